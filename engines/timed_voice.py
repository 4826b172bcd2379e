"""A voice that says when its words begin, even where the engine does not: then it is reckoned.

The sound is decoded again to hear its pauses, some 20 µs a packet. One packet is held back, so
that the words that are left can be told before the end; in what a voice makes ahead of time
nobody hears that.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import numpy as np

from .opus import BadAudio, OpusDecoder
from .speech import (
    OPUS_FRAME_MS,
    EngineError,
    OpusFrame,
    SpeechOutput,
    Spent,
    TextToSpeech,
    WordTime,
)
from .word_times import Estimate, Paces, Weighed, weigh

_LISTEN_HZ = 8_000
_VOICES_MAX = 256
# A longer text would keep the loop for some milliseconds.
_CHARS_AT_ONCE = 600


class Timed:
    """A `TextToSpeech`: `voice`, with `WordTime(estimated=True)` where it gives none of its own.
    Everything else asked of it is asked of the voice itself."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice
        self._paces = Paces()
        # Those that once told their own times are believed to go on doing so.
        self._telling: dict[tuple[str, str], None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._voice, name)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        """What the voice makes, and the words it does not tell. Raises `EngineError`."""
        stream = self._voice.synthesize(text, voice=voice, language=language, speed=speed)
        async with contextlib.aclosing(stream) as sounds:
            if (voice, language) in self._telling:
                async for sound in sounds:
                    yield sound
                return
            if len(text) > _CHARS_AT_ONCE:
                words = await asyncio.to_thread(weigh, text, language)
            else:
                words = weigh(text, language)
            piece = _Piece(words, *self._paces.pace(voice, language, speed))
            async with contextlib.aclosing(piece.read(sounds)) as told:
                async for sound in told:
                    yield sound
            if piece.tells_itself:
                self._believe(voice, language)
            else:
                self._paces.learn(voice, language, speed, *piece.estimate.heard())

    def _believe(self, voice: str, language: str) -> None:
        if len(self._telling) >= _VOICES_MAX:
            self._telling.pop(next(iter(self._telling)))
        self._telling[voice, language] = None


class _Piece:
    """One text being spoken."""

    def __init__(self, words: list[Weighed], pace: float, known_ms: float) -> None:
        self.estimate = Estimate(words, pace, known_ms)
        self.tells_itself = False
        self._decoder: OpusDecoder | None = None
        self._held: OpusFrame | None = None
        self._at_ms = 0
        self._chars_told = 0

    async def read(
        self, sounds: AsyncIterator[SpeechOutput]
    ) -> AsyncGenerator[SpeechOutput, None]:
        try:
            async for sound in sounds:
                if isinstance(sound, Spent):
                    yield sound
                    continue
                made = self._word(sound) if isinstance(sound, WordTime) else self._frame(sound)
                for each in made:
                    yield each
        except EngineError:
            # What was made is not lost, for others may go on from here.
            for each in self._release():
                yield each
            raise
        for each in self._end():
            yield each

    def _word(self, word: WordTime) -> list[OpusFrame | WordTime]:
        """The voice tells its own words: from here on nothing is reckoned, or told twice."""
        released = self._release()
        self.tells_itself = True
        return [*released, word] if word.char_start >= self._chars_told else released

    def _frame(self, frame: OpusFrame) -> list[OpusFrame | WordTime]:
        if self.tells_itself:
            return [frame]
        released = self._release()
        self._held = frame
        return released

    def _release(self) -> list[OpusFrame | WordTime]:
        """The packet that was held back, after the words that begin in it."""
        if self._held is None:
            return []
        frame, self._held = self._held, None
        words = self.estimate.before(self._at_ms, self._loudness(frame))
        return self._told(words, frame)

    def _end(self) -> list[OpusFrame | WordTime]:
        if self._held is None:
            return []
        words = self.estimate.rest(self._at_ms, self._loudness(self._held))
        return self._told(words, self._held)

    def _told(self, words: list[WordTime], frame: OpusFrame) -> list[OpusFrame | WordTime]:
        self._at_ms += OPUS_FRAME_MS
        if words:
            self._chars_told = words[-1].char_end
        return [*words, frame]

    def _loudness(self, frame: OpusFrame) -> int:
        if self._decoder is None:
            self._decoder = OpusDecoder(_LISTEN_HZ)
        try:
            pcm = self._decoder.decode(frame.packet)
        except BadAudio:
            return 0  # It is for whoever plays it to complain.
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        return int(math.sqrt(samples.dot(samples) / samples.size)) if samples.size else 0
