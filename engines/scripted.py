"""Deterministic stand-ins for the three engines: for tests and for load.

They answer at once, so that what is measured is the server and not an engine. The voice's
sound is a real tone in real Opus packets, encoded once for the whole process.
"""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import cache

from .speech import (
    OPUS_FRAME_MS,
    DialogueOutput,
    EngineSettings,
    Entry,
    OpusFrame,
    PcmFrame,
    Transcript,
    Turn,
    WordTime,
)
from .tutor.offline_tools import tool_turn

HEARD = "What is a verb?"
REPLY = "A verb is a doing word. It tells us what somebody does."
WORD_MS = 240
_TONE_RATE_HZ = 24_000


class ScriptedSpeechToText:
    """Hears the same question in every utterance."""

    def __init__(self, text: str = HEARD) -> None:
        self._text = text

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        frames = 0
        async for _ in audio:
            frames += 1
            if frames == 1:
                yield Transcript(self._text.split()[0], final=False)
        if frames:
            yield Transcript(self._text, final=True)


class ScriptedDialogue:
    """Gives the same reply; when asked to count, counts for half a minute. Calls tools."""

    def __init__(self, reply: str = REPLY) -> None:
        self._reply = reply

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        tools = tool_turn(history, settings)
        for first in tools.outputs:
            yield first
        if not tools.goes_on:
            return
        reply, last = self._reply, history[-1]
        if isinstance(last, Turn) and "count" in last.user.lower():
            reply = " ".join(f"Number {number}." for number in range(1, 61))
        for word in reply.split():
            yield word + " "


class ScriptedTextToSpeech:
    """A tone of 240 ms for each word."""

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        position = 0
        for index, word in enumerate(text.split()):
            position = text.index(word, position)
            yield WordTime(position, position + len(word), index * WORD_MS)
            position += len(word)
            for frame in tone():
                yield frame


@cache
def tone() -> tuple[OpusFrame, ...]:
    """One word's sound: 440 Hz at a quarter of full scale, faded at both ends."""
    from .audio import OpusEncoder

    count = _TONE_RATE_HZ * WORD_MS // 1000
    fade = count // 8
    wave = [math.sin(math.tau * 440 * i / _TONE_RATE_HZ) for i in range(count)]
    samples = [
        int(8_000 * min(1, i / fade, (count - i) / fade) * wave[i])
        for i in range(count)
    ]
    encoder = OpusEncoder(_TONE_RATE_HZ)
    frames = [*encoder.encode(struct.pack(f"<{count}h", *samples)), *encoder.flush()]
    return tuple(frames[: WORD_MS // OPUS_FRAME_MS])
