"""Engines that are waited for: whoever asks before they are ready asks a moment later. Everything
else that is asked of them is asked of the engine itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from .speech import PcmFrame, SpeechOutput, SpeechToText, TextToSpeech, Transcript

Ready = Callable[[object], Awaitable[None]]


class StartedEars:
    """A `SpeechToText`. `ready` waits until the engine can work; raises `EngineError`."""

    def __init__(self, engine: SpeechToText, ready: Ready) -> None:
        self._engine, self._ready = engine, ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        await self._ready(self._engine)
        stream = self._engine.transcribe(audio, language=language, expected=expected)
        async with contextlib.aclosing(stream) as transcripts:
            async for transcript in transcripts:
                yield transcript


class StartedVoice:
    """A `TextToSpeech`. `ready` waits until the engine can work; raises `EngineError`."""

    def __init__(self, engine: TextToSpeech, ready: Ready) -> None:
        self._engine, self._ready = engine, ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        await self._ready(self._engine)
        speech = self._engine.synthesize(text, voice=voice, language=language, speed=speed)
        async with contextlib.aclosing(speech) as sounds:
            async for sound in sounds:
                yield sound
