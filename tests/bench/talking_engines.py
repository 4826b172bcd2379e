"""Engines that fail, for the bench to see it: named as an operator's own are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from engines.scripted import ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import EngineError, OpusFrame, PcmFrame, Transcript, WordTime

BROKEN_VOICE = "tests.bench.talking_engines:BrokenVoice"
DEAF_EARS = "tests.bench.talking_engines:DeafEars"
STUCK_EARS = "tests.bench.talking_engines:StuckEars"
UNSTARTED_VOICE = "tests.bench.talking_engines:UnstartedVoice"


class BrokenVoice(ScriptedTextToSpeech):
    """Breaks off in every fifth sentence."""

    def __init__(self) -> None:
        self._asked = 0

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        self._asked += 1
        async for sound in super().synthesize(text, voice=voice, language=language):
            yield sound
            if self._asked % 5 == 0:
                raise EngineError("it lost its voice")


class UnstartedVoice(ScriptedTextToSpeech):
    async def start(self) -> None:
        raise EngineError("its weights are damaged")


class DeafEars(ScriptedSpeechToText):
    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        raise EngineError("it hears nothing")
        yield  # It is a generator all the same.


class StuckEars(ScriptedSpeechToText):
    """Understands, and never says that this was all."""

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        async for transcript in super().transcribe(audio, language=language):
            yield Transcript(transcript.text, final=False)
        await asyncio.Event().wait()
