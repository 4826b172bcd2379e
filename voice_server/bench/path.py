"""What the server puts around every packet of every call, and what that costs.

A call carries fifty packets a second to its caller and thirty-one frames from it, so a microsecond
for each packet is half a percent of a core for a hundred calls. The engines are the scripted ones,
which cost nothing, and what is counted is the time that this thread ran, not the time that went
by: other programs on the machine matter little. The least of several rounds counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from engines.delivery import Delivery, Piece
from engines.failover.health import Health
from engines.failover.hearing import FailoverSpeechToText
from engines.failover.speaking import FailoverTextToSpeech
from engines.failover.work import Candidate, Terms
from engines.scripted import ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import (
    OPUS_FRAME_MS,
    PCM_FRAME_BYTES,
    PCM_FRAME_MS,
    Event,
    OpusFrame,
    PcmFrame,
    ReplyAudio,
    SpeechOutput,
    SpeechToText,
    TextToSpeech,
)
from engines.spoken_text import Normalised
from engines.started import StartedEars, StartedVoice
from engines.timed_voice import Timed

from .engine_figures import Layer, PathFigures

E = TypeVar("E")

ROUNDS = 9
TEXT = " ".join(["A verb is a doing word that tells us what somebody does every day."] * 4)
UTTERANCE_FRAMES = 300
# More than this for a packet, all wrappers together, and a hundred calls would be felt.
ADDED_US_MAX = 30.0

Run = Callable[[], Awaitable[int]]
Sounds = AsyncGenerator[SpeechOutput, None]


async def measure_path(rounds: int = ROUNDS) -> list[PathFigures]:
    """The roads of a voice that tells when its words begin, of one that does not, and to a
    recogniser."""
    scripted = ScriptedTextToSpeech()
    return [
        await _speaking("a voice that tells its words", scripted, Normalised, rounds),
        await _speaking("a voice that tells none", _Wordless(scripted), Timed, rounds),
        await _hearing(rounds),
    ]


async def _speaking(
    name: str, voice: TextToSpeech, dress: Callable[[TextToSpeech], TextToSpeech], rounds: int
) -> PathFigures:
    wraps: list[tuple[str, Callable[[TextToSpeech], TextToSpeech]]] = [
        ("the voice itself", lambda each: each),
        ("waited for until it can work", lambda each: StartedVoice(each, _ready)),
        (_DRESSES[dress.__name__], dress),
        ("with others standing by", _one_voice),
    ]
    layers = []
    roads = [voice, _Waited(voice)]
    for title, wrap in wraps:
        roads = [wrap(each) for each in roads]
        layers.append(Layer(title, *[await _least(_consumed(each), rounds) for each in roads]))
    delivered = [await _least(_delivered(each), rounds) for each in roads]
    layers.append(Layer("made ahead and told in order", *delivered))
    return PathFigures(name, OPUS_FRAME_MS, tuple(layers))


async def _hearing(rounds: int) -> PathFigures:
    wraps: list[tuple[str, Callable[[SpeechToText], SpeechToText]]] = [
        ("the recogniser itself", lambda each: each),
        ("waited for until it can work", lambda each: StartedEars(each, _ready)),
        ("kept on tape, others standing by", _one_recogniser),
    ]
    ears: SpeechToText = ScriptedSpeechToText()
    layers = []
    for title, wrap in wraps:
        ears = wrap(ears)
        crowd, single = [await _least(_listened(ears, waits), rounds) for waits in (False, True)]
        layers.append(Layer(title, crowd, single))
    return PathFigures("a recogniser", PCM_FRAME_MS, tuple(layers))


_DRESSES = {
    Normalised.__name__: "told in words what to say", Timed.__name__: "its words' times reckoned",
}  # fmt: skip


async def _least(run: Run, rounds: int) -> float:
    """Microseconds of this thread for a packet; `run` gives how many there were."""
    await run()
    found = []
    for _ in range(rounds):
        begun_ns = time.thread_time_ns()
        count = await run()
        found.append((time.thread_time_ns() - begun_ns) / 1_000 / count)
    return min(found)


# Roads.


async def _ready(_: object) -> None:
    """It could work from the beginning on."""


def _one_voice(voice: TextToSpeech) -> TextToSpeech:
    return FailoverTextToSpeech(_two(voice), Terms(Health()))


def _one_recogniser(ears: SpeechToText) -> SpeechToText:
    return FailoverSpeechToText(_two(ears), Terms(Health()))


def _two(engine: E) -> Sequence[Candidate[E]]:
    return [Candidate(name, "", lambda: engine) for name in ("first", "second")]


class _Wordless:
    """A voice that does not say when its words begin."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> Sounds:
        async for sound in self._voice.synthesize(text, voice=voice, language=language):
            if isinstance(sound, OpusFrame):
                yield sound


class _Waited:
    """A voice whose packets come one by one: each is waited for."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> Sounds:
        async for sound in self._voice.synthesize(text, voice=voice, language=language):
            await asyncio.sleep(0)
            yield sound


def _consumed(voice: TextToSpeech) -> Run:
    async def run() -> int:
        stream = voice.synthesize(TEXT, voice="", language="en")
        async with contextlib.aclosing(stream) as sounds:
            return sum([isinstance(sound, OpusFrame) async for sound in sounds])

    return run


def _delivered(voice: TextToSpeech) -> Run:
    async def run() -> int:
        count = 0

        async def emit(event: Event) -> None:
            nonlocal count
            count += isinstance(event, ReplyAudio)

        delivery = Delivery(
            1, lambda piece: voice.synthesize(piece.text, voice="", language="en"), emit
        )
        for piece in (Piece(TEXT), None):
            await delivery.put(piece)
        await delivery.run()
        return count

    return run


def _listened(ears: SpeechToText, waits: bool) -> Run:
    async def sound() -> AsyncIterator[PcmFrame]:
        for _ in range(UTTERANCE_FRAMES):
            if waits:
                await asyncio.sleep(0)
            yield _SILENT

    async def run() -> int:
        async with contextlib.aclosing(ears.transcribe(sound(), language="en")) as transcripts:
            async for _ in transcripts:
                pass
        return UTTERANCE_FRAMES

    return run


_SILENT = PcmFrame(bytes(PCM_FRAME_BYTES))
