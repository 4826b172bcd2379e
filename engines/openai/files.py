"""Sound written down as files, by OpenAI's file transcription or a server like it.

It is asked where no realtime session can be had, a stretch of speech at a time. The answer
comes as a stream where the server streams; whisper-1 does not, and says where its words lie.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI, AsyncStream

from ..audio import wav
from ..speech import PCM_FRAME_MS, PCM_RATE_HZ, EngineError, PcmFrame, Word
from ..vendors import OpenAIOptions
from .client import finishing_generators, said_plainly
from .hearing import hints

DETECT_FRAMES_MAX = 30_000 // PCM_FRAME_MS
# The model that answers in one piece, and knows where its words lie.
_UNSTREAMED = "whisper-1"


@dataclass(frozen=True, slots=True)
class Written:
    """All that is said in a file. Times of words count from its start."""

    text: str
    words: tuple[Word, ...] = ()


class SpeechFiles:
    """`connection` gives the client to ask with, and may raise `EngineError`."""

    def __init__(self, options: OpenAIOptions, connection: Callable[[], AsyncOpenAI]) -> None:
        self._options, self._connection = options, connection
        self._streams = options.file_model != _UNSTREAMED

    async def detect_language(self, frames: Sequence[PcmFrame]) -> str:
        """The language of this sound, of which half a minute is heard at most; empty where the
        model does not tell. Raises `EngineError`."""
        sound = b"".join(frame.samples for frame in frames[:DETECT_FRAMES_MAX])
        with said_plainly(self._options, "asking for a language"):
            answer = await self._connection().audio.transcriptions.create(
                file=_file(sound), **self._shape()
            )
        languages = getattr(answer, "languages", None) or ()
        for told in (*(getattr(each, "code", "") for each in languages), _text(answer, "language")):
            if told and isinstance(told, str):
                return told
        return ""

    async def written(
        self, sound: bytes, language: str, expected: Sequence[str]
    ) -> AsyncGenerator[str | Written, None]:
        """What is said in 16 kHz sound: pieces of text where the server streams, then all of it.
        Raises `EngineError`."""
        asked = {**self._shape(), **hints(self._options.file_model, language, expected)}
        transcriptions = self._connection().audio.transcriptions
        file = _file(sound)
        with said_plainly(self._options, "a file to be written down"):
            if self._streams:
                stream = await transcriptions.create(file=file, stream=True, **asked)
                whole = False
                async with finishing_generators(), contextlib.aclosing(_pieces(stream)) as pieces:
                    async for piece in pieces:
                        whole = isinstance(piece, Written)
                        yield piece
                if whole:
                    return
                # A server that does not know of streams has answered in one piece.
                self._streams = False
            answer = await transcriptions.create(file=file, **asked)
        if not hasattr(answer, "text"):
            raise EngineError("OpenAI answered with something else than a transcript")
        yield Written(_text(answer, "text"), _words(answer))

    def _shape(self) -> dict[str, Any]:
        model = self._options.file_model
        if model != _UNSTREAMED:
            return {"model": model, "response_format": "json"}
        return {
            "model": model, "response_format": "verbose_json",
            "timestamp_granularities": ["word"],
        }  # fmt: skip


async def _pieces(stream: AsyncStream[Any]) -> AsyncGenerator[str | Written, None]:
    """What a file's stream says; nothing where it is no stream. Closes it."""
    async with stream:
        said, done = "", False
        # To the very end, so that the connection can be used again.
        async for event in stream:
            kind = getattr(event, "type", "")
            if kind == "transcript.text.delta" and isinstance(event.delta, str) and not done:
                said += event.delta
                yield event.delta
            elif kind == "transcript.text.done" and isinstance(event.text, str) and not done:
                done = True
                yield Written(event.text)
        if said and not done:
            yield Written(said)


def _file(sound: bytes) -> tuple[str, bytes, str]:
    return "speech.wav", wav(sound, PCM_RATE_HZ), "audio/wav"


def _text(answer: object, name: str) -> str:
    found = getattr(answer, name, "")
    return found if isinstance(found, str) else ""


def _words(answer: object) -> tuple[Word, ...]:
    """The words with their places; none where any of them has none."""
    found = getattr(answer, "words", None) or ()
    try:
        return tuple(
            Word(each.word.strip(), round(each.start * 1_000), round(each.end * 1_000))
            for each in found
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return ()
