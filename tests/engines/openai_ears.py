"""What the tests of OpenAI's recogniser share: sound, an engine, and what its server was asked."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

from engines.openai.transcription import OpenAISpeechToText
from engines.speech import PCM_FRAME_BYTES, PcmFrame, Transcript
from engines.vendors import OpenAIOptions
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.wire import Asked

from .contract import spoken
from .sounds import sine

WORDS = "hello there my old friend"
# Far more than any answer takes; who waits for it to pass sets less.
PATIENCE_S = 60.0


def tone(seconds: float, hz: float = 220.0, amplitude: int = 9_000) -> list[PcmFrame]:
    sound = sine(hz, 16_000, seconds, amplitude).tobytes()
    starts = range(0, len(sound) - PCM_FRAME_BYTES + 1, PCM_FRAME_BYTES)
    return [PcmFrame(sound[start : start + PCM_FRAME_BYTES]) for start in starts]


SPEECH = tone(2.4)


def options(server: OpenAIServer, **changed: Any) -> OpenAIOptions:
    told = OpenAIOptions(server.key, server.base_url, patience_s=PATIENCE_S, connect_s=PATIENCE_S)
    return dataclasses.replace(told, **changed)


@contextlib.asynccontextmanager
async def engine_of(told: OpenAIOptions) -> AsyncIterator[OpenAISpeechToText]:
    engine = OpenAISpeechToText(told)
    try:
        yield engine
    finally:
        await engine.close()


async def all_of(
    engine: OpenAISpeechToText, frames: Sequence[PcmFrame] = SPEECH, language: str = "en",
    expected: Sequence[str] = (),
) -> list[Transcript]:  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        stream = engine.transcribe(spoken(frames), language=language, expected=expected)
        return [each async for each in stream]


def finals(heard: Sequence[Transcript]) -> str:
    return " ".join(each.text for each in heard if each.final)


def utterances(server: OpenAIServer) -> list[Asked]:
    """The sessions that heard something."""
    return [
        asked for asked in server.to("/realtime")
        if any(event["type"] == "input_audio_buffer.append" for event in asked.events)
    ]  # fmt: skip


def sound_sent(asked: Asked) -> int:
    """Base64 characters of sound."""
    return sum(len(event.get("audio", "")) for event in asked.events)
