"""A voice that is given words to say: numbers, dates, marks and signs are written out for it.

Most local voices read a digit badly and a Markdown mark aloud. What they are given instead has
its own offsets, so the words' places are led back to the text the caller knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from .normalising import WayBack, normalise
from .speech import SpeechOutput, TextToSpeech, WordTime

# A longer text would keep the loop for some milliseconds.
_CHARS_AT_ONCE = 600


class Normalised:
    """A `TextToSpeech`: `voice`, told in words what to say. Everything else asked of it is
    asked of the voice itself."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._voice, name)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        """Text of which no word is left makes no sound. Raises `EngineError`."""
        if len(text) > _CHARS_AT_ONCE:
            spoken = await asyncio.to_thread(normalise, text, language)
        else:
            spoken = normalise(text, language)
        if not any(char.isalnum() for char in spoken.text):
            return
        back = WayBack(spoken, text)
        stream = self._voice.synthesize(
            spoken.text, voice=voice, language=language, speed=speed
        )
        async with contextlib.aclosing(stream) as sounds:
            async for sound in sounds:
                if not isinstance(sound, WordTime):
                    yield sound
                elif place := back.original(sound.char_start, sound.char_end):
                    yield replace(sound, char_start=place[0], char_end=place[1])
