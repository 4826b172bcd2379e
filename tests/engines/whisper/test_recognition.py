"""Whisper's own rules: weights, noise, batches, and who may wait for whom."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from engines.models import NEEDED
from engines.speech import EngineError, EngineRefused, PcmFrame, Word
from engines.whisper import recognition as whisper
from engines.whisper.model import Listener
from engines.whisper.recognition import WhisperSpeechToText
from engines.whisper.stretch import Asking, Hearing, Stretch
from engines.whisper.voicing import Voicing

from ..contract import PATIENCE_S, SILENT, spoken
from ..sounds import NOT_SPEECH, not_speech
from ..tiny_whisper import CREDULOUS


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
    with pytest.raises(EngineRefused, match="'xx'"):
        await texts(engine, english[:60], "xx")


async def test_weights_of_one_language_refuse_another(
    engine: WhisperSpeechToText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "multilingual", False)
    with pytest.raises(EngineRefused, match="English only"):
        await texts(engine, [SILENT], "ru")
    with pytest.raises(EngineRefused, match="cannot translate"):
        await anext(engine.translate(spoken([SILENT]), language="en"))
    assert await engine.detect_language([SILENT]) == "en"


async def test_a_closed_engine_says_so(whisper_weights: Path, english: list[PcmFrame]) -> None:
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS)
    await engine.start()
    stream = engine.transcribe(spoken(english), language="en")
    engine._threads.shutdown()
    with pytest.raises(EngineError, match="shutting down"):
        async for _ in stream:
            pass


# Who waits for whom.


async def test_each_stream_has_one_look_waiting_and_finals_go_first(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[list[bool]] = []
    begin = whisper._Desk._begin

    def watched(self: whisper._Desk) -> None:
        before = [look.ticket for look in self._waiting if not look.words.done()]
        begin(self)
        left = [look.ticket for look in self._waiting]
        chosen = [ticket.final for ticket in before if ticket not in left]
        waiting.append([ticket.final for ticket in before])
        if chosen and any(ticket.final for ticket in before):
            assert all(chosen), "a partial went before a final"

    monkeypatch.setattr(whisper._Desk, "_begin", watched)
    await asyncio.gather(*(texts(engine, english, "en") for _ in range(4)))
    assert max(map(len, waiting)) >= 2, "nobody ever waited, so nothing was proved"
    assert all(len(each) <= 4 for each in waiting)


async def test_streams_share_a_batch_where_the_machine_likes_batches(
    whisper_weights: Path, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    hear = Listener.hear

    def counted(self: Listener, hearings: Sequence[Hearing]) -> list[list[Word]]:
        sizes.append(len(hearings))
        return hear(self, hearings)

    monkeypatch.setattr(Listener, "hear", counted)
    engine = WhisperSpeechToText(
        "tiny", whisper_weights, trust=CREDULOUS, partials=False, batch_max=4
    )
    await engine.start()
    heard = await asyncio.gather(*(texts(engine, english, "en") for _ in range(6)))
    await engine.close()
    assert all(len(each) == 1 and each[0] for each in heard)
    assert max(sizes) > 1
    assert max(sizes) <= 4
    assert sum(sizes) >= 6


async def test_a_look_takes_its_sound_when_its_turn_has_come(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the model is held up a stream goes on; its partial then knows of all of it."""
    held, lengths = threading.Event(), list[int]()
    hear = Listener.hear

    def slow(self: Listener, hearings: Sequence[Hearing]) -> list[list[Word]]:
        assert held.wait(PATIENCE_S)
        lengths.append(hearings[0].length_ms)
        return hear(self, hearings)

    async def talking() -> AsyncIterator[PcmFrame]:
        for number, frame in enumerate(english[:90]):
            await asyncio.sleep(0)
            if number == 60:
                held.set()
            yield frame

    monkeypatch.setattr(Listener, "hear", slow)
    await engine.start()
    desk = engine._desk
    assert desk is not None
    first = Stretch(Asking("transcribe", "en"), Voicing(desk.listener.network))
    for frame in english[:20]:
        first.hear(frame.samples)
    occupying = desk.look(first, final=True)
    async with asyncio.timeout(PATIENCE_S):
        async for _ in engine.transcribe(talking(), language="en"):
            pass
        await occupying.words
    assert lengths[0] == 20 * 32
    assert lengths[1] >= 60 * 32


async def test_leaving_is_obeyed_at_once_while_the_model_works_on(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is free though the model is in the middle of a step; what it then finds nobody
    hears, and the next to ask is served."""
    begun, held, seen = threading.Event(), threading.Event(), list[bool]()
    hear = Listener.hear

    def slow(self: Listener, hearings: Sequence[Hearing]) -> list[list[Word]]:
        begun.set()
        assert held.wait(PATIENCE_S)
        seen.append(hearings[0].left.is_set())
        return hear(self, hearings)

    monkeypatch.setattr(Listener, "hear", slow)
    await engine.start()
    task = asyncio.create_task(texts(engine, english, "en"))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not held.is_set(), "it waited for the model"
        held.set()
        assert await texts(engine, english, "en")
    assert seen[0]


async def test_a_failing_model_fails_those_it_heard_and_nobody_else(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.start()
    monkeypatch.setattr(Listener, "_words", _broken)
    with pytest.raises(EngineError, match="could not make sense"):
        await texts(engine, english, "en")
    monkeypatch.undo()
    assert await texts(engine, english, "en")


def _broken(*_: object) -> list[list[Word]]:
    raise RuntimeError("CUDA out of memory")


async def test_a_final_that_stopped_too_early_goes_on(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []

    def lazy(self: Listener, hearings: Sequence[Hearing]) -> list[list[Word]]:
        look = hearings[0]
        look.voicing.catch_up()
        if not look.final:
            return [[]]
        asked.append((look.start_ms, look.prompt))
        return [[Word(f" word{len(asked)}", look.start_ms + 500, look.start_ms + 1_500)]]

    monkeypatch.setattr(Listener, "hear", lazy)
    assert await texts(engine, english * 2, "en") == ["word1 word2 word3"]
    assert asked == [(0, ""), (1_500, " word1"), (3_000, " word1 word2")]


# Noise.


@pytest.mark.parametrize("sound", NOT_SPEECH)
async def test_noise_in_nothing_out(engine: WhisperSpeechToText, sound: str) -> None:
    """Random weights make words of everything, and here all of them would be believed."""
    assert await texts(engine, not_speech(sound, seconds=12), "en") == [""]


async def test_ten_minutes_come_in_bounded_memory_and_right_order(
    engine: WhisperSpeechToText, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of talk and pauses, as fast as they can be heard; the model itself is spared."""
    longest = 0

    def quick(self: Listener, hearings: Sequence[Hearing]) -> list[list[Word]]:
        nonlocal longest
        look = hearings[0]
        longest = max(longest, look.length_ms)
        times = range(look.start_ms, look.start_ms + look.length_ms - 400, 400)
        return [[Word(f" w{at}", at, at + 380) for at in times]]

    monkeypatch.setattr(Listener, "hear", quick)
    frames = (english + [SILENT] * 40) * (600_000 // ((len(english) + 40) * 32) + 1)
    async with asyncio.timeout(PATIENCE_S):
        heard = [x async for x in engine.transcribe(spoken(frames), language="en")]
    finals = [each for each in heard if each.final]
    assert len(finals) >= 20
    assert finals[-1].end_ms >= 600_000
    assert longest <= 28_032
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(finals))
    assert desk_is_empty(engine)


def desk_is_empty(engine: WhisperSpeechToText) -> bool:
    desk = engine._desk
    return desk is not None and not desk._waiting


# Files: what nobody listens to live.


async def test_without_partials_only_finals_are_heard(
    whisper_weights: Path, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    hearings: list[bool] = []
    hear = Listener.hear

    def watched(self: Listener, asked: Sequence[Hearing]) -> list[list[Word]]:
        hearings.extend(hearing.final for hearing in asked)
        return hear(self, asked)

    monkeypatch.setattr(Listener, "hear", watched)
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS, partials=False)
    async with asyncio.timeout(PATIENCE_S):
        stream = engine.transcribe(spoken(english), language="en")
        assert [each.final async for each in stream] == [True]
    assert hearings
    assert all(hearings)
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
    assert engine.device == ""
    found = await engine.detect_language(english)
    assert engine._desk is not None
    assert found in engine._desk.listener.languages
    assert engine.device == "cpu"
