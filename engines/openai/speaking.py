"""OpenAI's voices, or those of a server like it: sound from the first bytes that come.

The vendor sends 24 kHz PCM as fast as it makes it, and every 20 ms of it leave at once as an
Opus packet: PCM has no container that could hold sound back, and its packets are ours, exactly
20 ms each. Leaving the generator closes the HTTP stream, and with that the vendor's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import openai
from openai import AsyncAPIResponse, AsyncOpenAI

from ..espeak import Voice
from ..opus import OpusEncoder
from ..speech import OPUS_FRAME_MS, EngineError, EngineRefused, OpusFrame, WordTime
from ..vendors import OpenAIOptions
from .client import client_of, finishing_generators, said_plainly

logger = logging.getLogger(__name__)

RATE_HZ = 24_000
TEXT_CHARS_MAX = 4_096
SPEED_MIN, SPEED_MAX = 0.25, 4.0
# Every voice speaks every language.
VOICES = (
    ("marin", "female"), ("cedar", "male"), ("alloy", ""), ("ash", "male"), ("ballad", "male"),
    ("coral", "female"), ("echo", "male"), ("fable", ""), ("nova", "female"), ("onyx", "male"),
    ("sage", "female"), ("shimmer", "female"), ("verse", "male"),
)  # fmt: skip
NAME_CHARS_MAX = 64
# A voice of the customer's own is named by its id.
_OWN_VOICE = "voice_"
_TRIES_MAX = 2
# A packet takes 0.05 to 0.2 ms to make; after some, others have their turn.
PIECE_BYTES = 4 * RATE_HZ * 2 * OPUS_FRAME_MS // 1_000
# No text takes longer than this to say: a model that goes on rambles.
_SOUND_S_SPARE, _SOUND_S_PER_CHAR = 10.0, 1.0

Voices = Sequence[tuple[str, str]]


def listed(voices: Voices, options: OpenAIOptions, language: str) -> list[Voice]:
    """The voices for people, the default one first."""
    found = [Voice(name, name.title(), language, gender) for name, gender in voices]
    found.sort(key=lambda voice: voice.name != options.speech_voice)
    return found


def named(voice: str, options: OpenAIOptions, voices: Voices) -> str | dict[str, str]:
    """How the vendor is told which voice is wanted. Raises `EngineRefused`."""
    name = voice or options.speech_voice
    if name.startswith(_OWN_VOICE) and _is_name(name):
        return {"id": name}
    # Servers that are like OpenAI's have voices of their own, and know them.
    known = {known for known, _ in voices}
    if name not in known and not (options.base_url and _is_name(name)):
        raise EngineRefused(f"OpenAI has no voice {name[:40]!r}")
    return name


def _is_name(name: str) -> bool:
    plain = name.translate({ord(char): None for char in "_-+."})
    return 0 < len(name) <= NAME_CHARS_MAX and plain.isalnum()


def bytes_max(text: str, speed: float) -> int:
    """More sound than this is no reading of the text."""
    seconds = (_SOUND_S_SPARE + len(text) * _SOUND_S_PER_CHAR) / min(speed, 1.0)
    return round(seconds * RATE_HZ) * 2


class OpenAITextToSpeech:
    """A `TextToSpeech`. It tells no places of words."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._client: AsyncOpenAI | None = None

    async def start(self) -> None:
        """Raises `EngineError` where something is not configured."""
        self._connection()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def voices(self, language: str = "") -> list[Voice]:
        """All voices, the default one first; they speak whatever language the text is in."""
        return listed(VOICES, self._options, language)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of a text. An empty `voice` is the configured one. Raises `EngineError`, and
        `EngineRefused` for what this vendor does not speak."""
        request = self._request(text, voice, speed)
        if not any(char.isalnum() for char in text):
            return
        bytes_left = bytes_max(text, speed)
        encoder = OpusEncoder(RATE_HZ)
        with said_plainly(self._options, "speech"):
            async with finishing_generators(), contextlib.AsyncExitStack() as stack:
                answer = await self._begin(request, stack)
                async for sound in answer.iter_bytes():
                    for start in range(0, len(sound), PIECE_BYTES):
                        for frame in encoder.encode(sound[start : start + PIECE_BYTES]):
                            yield frame
                        await asyncio.sleep(0)
                    bytes_left -= len(sound)
                    if bytes_left < 0:
                        logger.warning("speech: far more sound than the text can take; cut off")
                        return
                for frame in encoder.flush():
                    yield frame

    def _request(self, text: str, voice: str, speed: float) -> dict[str, Any]:
        if not SPEED_MIN <= speed <= SPEED_MAX:
            raise EngineRefused(f"a speed is from {SPEED_MIN:g} to {SPEED_MAX:g}")
        if len(text) > TEXT_CHARS_MAX:
            raise EngineRefused(f"a text to be spoken has at most {TEXT_CHARS_MAX} characters")
        request: dict[str, Any] = {
            "model": self._options.voice_model, "response_format": "pcm",
            "input": text.encode(errors="replace").decode(),  # Half a surrogate pair: a "?".
            "voice": named(voice, self._options, VOICES),
        }  # fmt: skip
        if speed != 1.0:
            request["speed"] = speed
        return request

    async def _begin(
        self, request: dict[str, Any], stack: contextlib.AsyncExitStack
    ) -> AsyncAPIResponse[Any]:
        """The answer, of which nothing was read. A connection that was kept may be dead by now:
        what fails before an answer began is asked once more."""
        speech = self._connection().audio.speech.with_streaming_response
        for tries_left in reversed(range(_TRIES_MAX)):
            try:
                answer = await stack.enter_async_context(speech.create(**request))
            except openai.APIConnectionError as error:
                if isinstance(error, openai.APITimeoutError) or not tries_left:
                    raise
                logger.info("speech: the connection failed; trying again")
                continue
            kind = answer.headers.get("content-type", "")
            if kind.startswith(("text/", "application/json")):
                raise EngineError("OpenAI answered with something else than sound")
            return answer
        raise AssertionError("the last try returns or raises")

    def _connection(self) -> AsyncOpenAI:
        if self._client is None:
            self._client = client_of(self._options)
        return self._client
