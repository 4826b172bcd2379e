"""The voice called "openai": over a realtime session, or over the older door that servers like
OpenAI's keep. Which of them is decided by the model's name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from ..espeak import Voice
from ..speech import SpeechOutput
from ..vendors import OpenAIOptions
from .reader import OpenAIReader, reads
from .speaking import OpenAITextToSpeech


class OpenAIVoice:
    """A `TextToSpeech`. Realtime models are told to read; all others are asked for speech."""

    def __init__(self, options: OpenAIOptions) -> None:
        over_session = reads(options.voice_model)
        self._voice: OpenAIReader | OpenAITextToSpeech = (
            OpenAIReader(options) if over_session else OpenAITextToSpeech(options)
        )

    async def start(self) -> None:
        """Raises `EngineError` where something is not configured."""
        await self._voice.start()

    async def close(self) -> None:
        await self._voice.close()

    def voices(self, language: str = "") -> list[Voice]:
        """All voices, the default one first."""
        return self._voice.voices(language)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        """Raises `EngineError`, and `EngineRefused` for what the vendor does not speak."""
        stream = self._voice.synthesize(text, voice=voice, language=language, speed=speed)
        async with contextlib.aclosing(stream) as sounds:
            async for sound in sounds:
                yield sound
