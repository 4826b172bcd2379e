"""Recordings written down by a recogniser that hears what it is given, and by the real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from engines.audio import read_audio
from engines.dictation import Dictation, can_translate
from engines.recordings import Recordings
from engines.speech import EngineError, PcmFrame, SpeechToText, Transcript, Word
from engines.sphinx import SphinxSpeechToText
from engines.stretches import Passage
from engines.whisper.recognition import WhisperSpeechToText
from tests.calls.exchange import nothing_left
from tests.human_speech import HumanSpeech

from .sounds import noise, wave_file
from .tiny_whisper import CREDULOUS

PATIENCE_S = 240.0


class Counting:
    """Hears the number of the stretch and how long it is; may give a word's times."""

    def __init__(self, *, times: bool = True, language: str | None = None) -> None:
        self._times, self._language = times, language
        self.heard: list[tuple[int, str, Sequence[str]]] = []
        self.begun = self.ended = 0

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        self.begun += 1
        try:
            frames = [frame async for frame in audio]
            self.heard.append((len(frames), language, expected))
            text = f"stretch {len(self.heard)}"
            yield Transcript("not yet", final=False)
            words = (Word("stretch", 0, 100), Word(str(len(self.heard)), 200, 300))
            yield Transcript(text, final=True, words=words if self._times else ())
        finally:
            self.ended += 1


class Polyglot(Counting):
    """Can tell a language, and translate."""

    async def detect_language(self, frames: Sequence[PcmFrame]) -> str:
        assert frames
        return str(self._language)

    def translate(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        return self.transcribe(audio, language=f"{language} into English", expected=expected)


@pytest.fixture
async def recordings() -> AsyncIterator[Recordings]:
    opened = Recordings(workers=1)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def twice(english: list[PcmFrame]) -> bytes:
    """A sentence, four seconds of nothing, and the sentence again, as a file."""
    sound = np.frombuffer(b"".join(frame.samples for frame in english), np.int16)
    silence = np.zeros(4 * 16_000, np.int16)
    return wave_file(np.concatenate([silence, sound, silence, sound, silence]), 16_000)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


@contextlib.asynccontextmanager
async def dictated(
    recordings: Recordings, data: bytes, engine: SpeechToText, **options: object
) -> AsyncIterator[Dictation]:
    async with asyncio.timeout(PATIENCE_S):
        async with recordings.open(pieces(data), seconds_max=600) as recording:
            yield Dictation(engine, recording, **options)  # type: ignore[arg-type]


async def written(
    recordings: Recordings, data: bytes, engine: SpeechToText, **options: object
) -> tuple[list[Passage], str]:
    async with dictated(recordings, data, engine, **options) as dictation:
        return [each async for each in dictation.passages()], dictation.language


async def test_each_stretch_is_heard_alone_and_lies_where_it_was_said(
    recordings: Recordings, twice: bytes, english: list[PcmFrame]
) -> None:
    engine = Counting()
    passages, language = await written(
        recordings, twice, engine, language="ru", expected=["a verb"]
    )
    assert language == "ru"
    assert {(tongue, tuple(expected)) for _, tongue, expected in engine.heard} == {
        ("ru", ("a verb",))
    }
    assert [each.text for each in passages] == [f"stretch {n + 1}" for n in range(len(passages))]
    # The same sentence is cut alike both times, and one sentence and a silence later.
    half = len(passages) // 2
    assert len(passages) == 2 * half >= 2
    apart_ms = (len(english) * 32) + 4_000
    for first, second in zip(passages[:half], passages[half:], strict=True):
        assert abs(second.start_ms - first.start_ms - apart_ms) <= 64
    assert passages[0].start_ms > 3_500
    assert not passages[0].estimated
    # Of twelve seconds of silence hardly anything is heard.
    assert sum(frames for frames, *_ in engine.heard) * 32 < len(english) * 32 * 2 + 2_000


async def test_words_without_times_lie_where_there_was_a_voice(
    recordings: Recordings, twice: bytes
) -> None:
    passages, _ = await written(recordings, twice, Counting(times=False), language="en")
    assert all(each.estimated and each.speech > 0.5 for each in passages)
    assert passages[0].words[0].start_ms > 3_900


async def test_silence_is_not_heard_at_all(recordings: Recordings) -> None:
    engine = Counting()
    for sound in (np.zeros(16_000 * 20, np.int16), noise(16_000 * 20, 200)):
        passages, language = await written(recordings, wave_file(sound, 16_000), engine)
        assert (passages, language) == ([], "en")
    assert engine.heard == []


async def test_the_language_is_found_out_where_it_can_be(
    recordings: Recordings, twice: bytes
) -> None:
    polyglot = Polyglot(language="ru")
    _, language = await written(recordings, twice, polyglot)
    assert language == "ru"
    assert {tongue for _, tongue, _ in polyglot.heard} == {"ru"}
    assert (await written(recordings, twice, Counting(), default_language="de"))[1] == "de"


async def test_a_translation_is_asked_for_where_it_can_be(
    recordings: Recordings, twice: bytes
) -> None:
    polyglot = Polyglot(language="ru")
    await written(recordings, twice, polyglot, translates=True)
    assert {tongue for _, tongue, _ in polyglot.heard} == {"ru into English"}
    assert not can_translate(Counting())
    with pytest.raises(EngineError, match="cannot translate"):
        await written(recordings, twice, Counting(), translates=True)


async def test_who_leaves_in_the_middle_closes_the_recogniser(
    recordings: Recordings, twice: bytes
) -> None:
    engine = Counting()
    await written(recordings, twice, engine)  # The worker has begun.
    async with nothing_left():
        async with dictated(recordings, twice, engine) as dictation:
            passages = dictation.passages()
            await anext(passages)
            await passages.aclose()
        assert engine.begun == engine.ended


async def test_the_offline_recogniser_writes_down_human_speech(
    recordings: Recordings, speech: HumanSpeech
) -> None:
    engine = SphinxSpeechToText(wait_s=PATIENCE_S)
    await engine.start()
    passages, _ = await written(recordings, speech("en_LJ001-0019.wav").read_bytes(), engine)
    await engine.close()
    heard = {word.text for each in passages for word in each.words}
    expected = set(speech.text("en_LJ001-0019.wav").lower().replace(",", "").split())
    # It knows people better than machines.
    assert len(heard & expected) >= (len(expected) // 2 if speech.human else 1)
    duration_ms = len(read_audio(speech("en_LJ001-0019.wav"), seconds_max=60)) * 32
    words = [word for each in passages for word in each.words]
    assert all(0 <= w.start_ms <= w.end_ms <= duration_ms for w in words)
    assert words == sorted(words, key=lambda word: word.start_ms)


async def test_whisper_writes_down_what_it_hears_in_the_language_it_finds(
    recordings: Recordings, twice: bytes, whisper_weights: Path
) -> None:
    engine = WhisperSpeechToText("tiny", whisper_weights, trust=CREDULOUS, partials=False)
    plain, language = await written(recordings, twice, engine)
    assert plain and len(language) in {2, 3}
    translated, _ = await written(recordings, twice, engine, language=language, translates=True)
    # Its weights are random, and so are its words; but it has been asked for something else.
    assert [each.text for each in translated] != [each.text for each in plain]
    await engine.close()
