"""Voices that tell too much, too little or too late, and what they are asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from engines.scripted import tone
from engines.speech import EngineError, OpusFrame, SpeechOutput, TextToSpeech, WordTime


@dataclass
class Mute:
    """A voice whose words are kept from the listener, and noted."""

    voice: TextToSpeech
    words: list[WordTime] = field(default_factory=list)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        self.words = []
        async for each in self.voice.synthesize(
            text, voice=voice, language=language, speed=speed
        ):
            if isinstance(each, WordTime):
                self.words.append(each)
            else:
                yield each


@dataclass
class Playing:
    """A voice that gives just these things, and may fail after them."""

    makes: Sequence[SpeechOutput]
    fails: bool = False
    asked: list[tuple[str, str, str, float]] = field(default_factory=list)
    given: int = 0
    closed: int = 0
    title: str = "playing"

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        self.asked.append((text, voice, language, speed))
        self.given = 0
        try:
            for each in self.makes:
                self.given += 1
                yield each
            if self.fails:
                raise EngineError("the voice is lost")
        finally:
            self.closed += 1


def packets(count: int) -> list[OpusFrame]:
    """Sound, 20 ms each."""
    return [tone()[at % len(tone())] for at in range(count)]


async def collect(
    voice: TextToSpeech, text: str, *, language: str = "en", speed: float = 1.0, name: str = ""
) -> list[SpeechOutput]:
    stream = voice.synthesize(text, voice=name, language=language, speed=speed)
    return [each async for each in stream]
