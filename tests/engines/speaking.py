"""What a voice said, in a form that tests can hold against the text."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.opus import OpusDecoder
from engines.speech import OPUS_FRAME_MS, OpusFrame, TextToSpeech, WordTime

from .contract import PATIENCE_S

RATE_HZ = 16_000


@dataclass(slots=True)
class Heard:
    """The sound at 16 kHz; `frames_before_word`: packets that came before each word."""

    sound: npt.NDArray[np.int16]
    times: list[WordTime] = field(default_factory=list)
    frames_before_word: list[int] = field(default_factory=list)

    @property
    def words(self) -> list[tuple[int, int, int]]:
        return [(word.char_start, word.char_end, word.start_ms) for word in self.times]


async def heard(
    engine: TextToSpeech, text: str, *, voice: str = "", language: str = "en", speed: float = 1.0
) -> Heard:
    """All that the engine says; every word told before its sound, and in order."""
    decoder, sound, frames = OpusDecoder(RATE_HZ), bytearray(), 0
    said = Heard(np.zeros(0, np.int16))
    async with asyncio.timeout(PATIENCE_S):
        async for each in engine.synthesize(text, voice=voice, language=language, speed=speed):
            if isinstance(each, OpusFrame):
                sound += decoder.decode(each.packet)
                frames += 1
            elif isinstance(each, WordTime):
                assert each.start_ms >= (frames - 1) * OPUS_FRAME_MS, "told after its sound"
                said.times.append(each)
                said.frames_before_word.append(frames)
    said.sound = np.frombuffer(bytes(sound), "<i2")
    starts = [word.start_ms for word in said.times]
    assert starts == sorted(starts)
    return said


def loud_ms(sound: npt.NDArray[np.int16], *, gap_ms: int = 20, level: int = 500) -> list[int]:
    """Where sound begins after at least `gap_ms` without any."""
    size = RATE_HZ * 5 // 1_000
    blocks = np.abs(sound[: len(sound) // size * size].astype(int)).reshape(-1, size).max(axis=1)
    begins, quiet = list[int](), gap_ms
    for number, block in enumerate(blocks):
        if block < level:
            quiet += 5
            continue
        if quiet >= gap_ms:
            begins.append(number * 5)
        quiet = 0
    return begins


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
