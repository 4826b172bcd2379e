"""Whisper's own rules: weights, trust, stretches, and who may wait for whom."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines import whisper
from engines.models import NEEDED
from engines.speech import EngineError, PcmFrame, Word
from engines.whisper import Trust, WhisperSpeechToText

from .contract import PATIENCE_S, SILENT, spoken

CREDULOUS = Trust(no_speech_max=1, doubtful_min=-99, logprob_min=-99, compression_max=99)
LOUD = b"\x00\x20" * 16  # One millisecond.
HUSH = b"\x00\x00" * 16


async def texts(engine: WhisperSpeechToText, frames: list[PcmFrame], language: str) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [x.text async for x in engine.transcribe(spoken(frames), language=language)]


@pytest.fixture
async def engine(whisper_weights: Path) -> AsyncIterator[WhisperSpeechToText]:
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS)
    yield engine
    await engine.close()


# Weights.


async def test_missing_weights_say_what_to_do_and_ask_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", asked)
    engine = WhisperSpeechToText("base", tmp_path)
    with pytest.raises(EngineError, match="voice-server models pull base"):
        await engine.start()
    for name in NEEDED[:2]:  # All but the tokenizer: the library would ask the hub for it.
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_bytes(b"x")
    with pytest.raises(EngineError, match=r"tokenizer\.json"):
        await texts(engine, [SILENT], "en")
    await engine.close()


async def test_damaged_weights_are_an_engine_error_and_may_be_mended(
    whisper_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in (whisper_weights / "tiny").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.bin").write_bytes(b"damaged")
    engine = WhisperSpeechToText(str(folder), tmp_path)  # By directory, not by name.
    with pytest.raises(EngineError, match="pull them again"):
        await engine.start()
    (folder / "model.bin").write_bytes((whisper_weights / "tiny" / "model.bin").read_bytes())
    await engine.start()
    await engine.close()


async def test_languages_are_the_models(
    engine: WhisperSpeechToText, english: list[PcmFrame]
) -> None:
    assert (await texts(engine, english[:60], "ru-RU"))[-1]
    with pytest.raises(EngineError):
        await texts(engine, english[:60], "xx")


async def test_weights_of_one_language_refuse_another(
    engine: WhisperSpeechToText, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.start()
    only_english = SimpleNamespace(model=SimpleNamespace(is_multilingual=False))
    monkeypatch.setattr(engine, "_model", only_english)
    with pytest.raises(EngineError, match="English only"):
        await texts(engine, [SILENT], "ru")


async def test_a_closed_engine_says_so(whisper_weights: Path, english: list[PcmFrame]) -> None:
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS)
    await engine.start()
    stream = engine.transcribe(spoken(english), language="en")
    engine._threads.shutdown()
    with pytest.raises(EngineError, match="shutting down"):
        async for _ in stream:
            pass


# Trust.


def test_what_is_believed() -> None:
    trust = Trust()
    assert trust.believes(no_speech=0.1, logprob=-0.3, compression=1.5)
    assert trust.believes(no_speech=0.9, logprob=-0.2, compression=1.5)
    assert not trust.believes(no_speech=0.9, logprob=-0.8, compression=1.5)
    assert not trust.believes(no_speech=0.1, logprob=-2.0, compression=1.5)
    assert not trust.believes(no_speech=0.1, logprob=-0.3, compression=3.0)


async def test_a_model_that_is_sure_of_nothing_is_not_believed(
    whisper_weights: Path, english: list[PcmFrame]
) -> None:
    engine = WhisperSpeechToText("tiny", whisper_weights)
    assert await texts(engine, english, "en") == [""]
    await engine.close()


class Inventive:
    """A model that always hears two words, the second of them after the first second."""

    model = SimpleNamespace(is_multilingual=True)

    def __init__(self, no_speech: float = 0.0) -> None:
        self.no_speech = no_speech
        self.calls: list[dict[str, object]] = []

    def transcribe(self, sound: object, **options: object) -> tuple[list[object], None]:
        self.calls.append(options)
        words = [
            SimpleNamespace(word=" Thank", start=0.1, end=0.4),
            SimpleNamespace(word=" you.", start=1.1, end=1.4),
        ]
        segment = SimpleNamespace(
            words=words, no_speech_prob=self.no_speech, avg_logprob=-0.6, compression_ratio=1.0
        )
        return [segment], None


def hearing(sound: bytes, **changes: object) -> whisper._Hearing:
    plain = {"start_ms": 0, "language": "en", "hotwords": "", "prompt": "", "final": True}
    return whisper._Hearing(sound, **{**plain, **changes})  # type: ignore[arg-type]


def test_words_heard_in_silence_are_dropped() -> None:
    sound = LOUD * 1_000 + HUSH * 1_000
    heard = whisper._words(Inventive(), Trust(), hearing(sound, start_ms=5_000))
    assert heard == [Word(" Thank", 5_100, 5_400)]


def test_a_segment_that_may_be_no_speech_is_dropped() -> None:
    assert whisper._words(Inventive(no_speech=0.9), Trust(), hearing(LOUD * 2_000)) == []


def test_nobody_hears_for_someone_who_has_left() -> None:
    model, left = Inventive(), hearing(LOUD * 2_000)
    left.left.set()
    assert whisper._words(model, Trust(), left) == []
    assert model.calls == []


def test_expected_words_and_what_was_said_guide_the_model() -> None:
    model = Inventive()
    whisper._words(model, Trust(), hearing(LOUD, hotwords="noun, verb", prompt="The word is"))
    assert model.calls[0]["hotwords"] == "noun, verb"
    assert model.calls[0]["initial_prompt"] == "The word is"
    assert model.calls[0]["language"] == "en"


# Stretches.


def heard_so_far(stretch: whisper._Stretch, ms: int, *, loud: bool = True) -> None:
    for _ in range(ms // 32):
        stretch.hear((LOUD if loud else HUSH) * 32)


def test_looks_are_a_second_apart_and_silence_is_not_looked_at() -> None:
    stretch = whisper._Stretch("en", "")
    heard_so_far(stretch, 5_000, loud=False)
    assert not stretch.is_due()
    heard_so_far(stretch, 64)
    assert stretch.is_due()
    stretch.hearing(final=False)
    heard_so_far(stretch, 960)
    assert not stretch.is_due()
    heard_so_far(stretch, 64)
    assert stretch.is_due()


def test_a_long_stretch_forgets_the_sound_of_confirmed_words() -> None:
    stretch = whisper._Stretch("en", "")
    heard_so_far(stretch, 13_000)
    guess = [Word(" one", 0, 500), Word(" two", 500, 6_000), Word(" three", 6_000, 9_000)]
    assert not stretch.take(guess)
    assert stretch.take(guess)
    assert stretch.partial().text == "one two three"
    look = stretch.hearing(final=False)
    assert look.start_ms == 9_000
    assert len(look.sound) < 4_100 * whisper.BYTES_PER_MS
    assert look.prompt == " one two three"
    assert stretch.final([Word(" four", 9_100, 9_500)]).text == "one two three four"


def test_a_stretch_ends_in_a_pause_or_at_its_limit() -> None:
    stretch = whisper._Stretch("en", "")
    heard_so_far(stretch, 19_000)
    heard_so_far(stretch, 500, loud=False)
    assert not stretch.must_end()
    heard_so_far(stretch, 600, loud=False)
    assert stretch.must_end()
    endless = whisper._Stretch("en", "")
    heard_so_far(endless, 27_000)
    assert not endless.must_end()
    heard_so_far(endless, 1_100)
    assert endless.must_end()


def test_a_cut_loses_no_sound_and_falls_into_the_quietest_moment() -> None:
    stretch = whisper._Stretch("en", "")
    heard_so_far(stretch, 27_008)
    heard_so_far(stretch, 128, loud=False)
    heard_so_far(stretch, 960)
    before = stretch.hearing(final=True).sound
    rest = stretch.cut()
    first, second = stretch.hearing(final=True), rest.hearing(final=True)
    assert first.sound + second.sound == before
    assert 27_008 <= second.start_ms <= 27_136 + whisper.CUT_STEP_MS
    assert rest.follows and not stretch.follows


def test_languages_without_spaces_get_none() -> None:
    stretch = whisper._Stretch("ja", "")
    heard_so_far(stretch, 1_000)
    assert stretch.final([Word("動", 0, 300), Word("詞", 300, 600)]).text == "動詞"


# Who waits for whom.


async def test_partials_do_not_queue_behind_one_another(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    hear = WhisperSpeechToText._hear

    def watched(self: WhisperSpeechToText, hearing: whisper._Hearing) -> whisper._Guess:
        if not hearing.final:
            waiting.append(self._hearings)
        return hear(self, hearing)

    monkeypatch.setattr(WhisperSpeechToText, "_hear", watched)
    await asyncio.gather(*(texts(engine, english, "en") for _ in range(4)))
    assert waiting
    assert set(waiting) == {0}
    assert engine._hearings == 0


# Files: what nobody listens to live.


async def test_without_partials_only_finals_are_heard(
    whisper_weights: Path, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    hearings = []
    heard = whisper._words

    def words(model: object, trust: Trust, hearing: whisper._Hearing) -> list[Word]:
        hearings.append(hearing.final)
        return heard(model, trust, hearing)

    monkeypatch.setattr(whisper, "_words", words)
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS, partials=False)
    async with asyncio.timeout(PATIENCE_S):
        stream = engine.transcribe(spoken(english), language="en")
        assert [each.final async for each in stream] == [True]
    assert hearings == [True]
    await engine.close()


async def test_threads_in_the_background_stand_back(whisper_weights: Path) -> None:
    engine = WhisperSpeechToText("tiny", whisper_weights, nice=7)
    await engine.start()
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        engine._threads, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    )
    assert found == 7
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0
    await engine.close()


async def test_the_language_is_found_by_the_model(
    engine: WhisperSpeechToText, english: list[PcmFrame]
) -> None:
    assert await engine.detect_language(english) in engine._model.supported_languages
