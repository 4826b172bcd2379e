"""OpenAI's API on this machine: chat, speech, file transcription, realtime transcription.

    async with OpenAIServer(hears="hello there") as server:
        options = OpenAIOptions(api_key=server.key, base_url=server.base_url)
        server.mood.trouble = Trouble.DROPPED

`hears` is what is heard in sound: words, or a function of s16le sound, or by default words that
the sound makes (`hearing`). `answers` makes a reply of a chat request: text, or (tool, arguments)
pairs for calls, piece by piece. `speaks` makes s16le sound at 24 kHz of (text, speed).
Requests are held to the vendor's own types; see `WireServer` for `requests` and `faults`.
"""

from __future__ import annotations

import email.parser
import email.policy
import io
import math
import wave
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, get_type_hints

import numpy as np
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
)
from openai.types.audio.speech_create_params import SpeechCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.engines.chat_server import DONE, call, chunk, event, words

from .hearing import BLOCK_MS, Hears, heard_blocks, words_heard
from .openai_transcription import COMMITTED, KEYWORDED, REFUSES, STREAMING, TranscriptionSession
from .trouble import Mood, Trouble
from .wire import Asked, Exchange, Json, Socket, WireServer

KEY = "sk-test-of-the-vendor"
RATE_HZ = 24_000
VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar",
    "fable", "onyx", "nova",
)  # fmt: skip
SPEECH_MODELS = ("gpt-4o-mini-tts", "tts-1", "tts-1-hd")
CHAT_MODELS = ("gpt-6-luna", "gpt-4o-mini", "gpt-4.1-mini")
TEXT_CHARS_MAX = 4_096
# Of the sound that is spoken by default.
CHAR_MS, SPEECH_CHUNK_MS = 60, 100

Answer = str | tuple[str, str]
Answers = Callable[[Json], Iterable[Answer]]
Speaks = Callable[[str, float], bytes]


class Wrong(Exception):
    """The request does not keep the vendor's types."""

    def __init__(self, message: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.code = code


class OpenAIServer(WireServer):
    """See above. Without `realtime` there are no realtime sessions: their door is a 404. Change
    any of its fields while it runs."""

    def __init__(
        self, *, mood: Mood | None = None, hears: Hears = None, answers: Answers | None = None,
        speaks: Speaks | None = None, realtime: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.key, self.mood = KEY, mood or Mood()
        self.hears, self.realtime = hears, realtime
        self.answers: Answers = answers or echo
        self.speaks: Speaks = speaks or tone
        self.transcription_models: tuple[str, ...] = (*STREAMING, *COMMITTED)
        self.retry_after_s = 2.0
        # Of all sound, as the models tell it that tell it.
        self.language = "en"
        # So many requests are cut off before any answer, as those on connections that died are.
        self.cuts = 0
        # What speech is said to be, and whether files are answered in streams.
        self.sound_type, self.streams_files = "audio/pcm", True

    def to(self, path: str) -> list[Asked]:
        """What was asked of one door, by the end of its path."""
        return [asked for asked in self.requests if asked.path.endswith(path)]

    async def converse(
        self, asked: Asked, exchange: Exchange, accept: Callable[[], Socket]
    ) -> None:
        if not await self._admitted(asked, exchange):
            return
        if not self.realtime or not asked.path.endswith("/realtime"):
            await self._refuse(exchange, 404, "there is nothing here", "not_found")
            return
        if asked.query != {"intent": "transcription"}:
            self.faults.append(f"a transcription session was asked for with {asked.query}")
        if self.mood.trouble in REFUSES and (trouble := self.mood.next()) is not Trouble.NONE:
            await self._refuse_for(trouble, exchange)
            return
        socket = accept()
        await socket.flush()
        await TranscriptionSession(self, asked, socket).run()

    async def answer(self, asked: Asked, exchange: Exchange) -> None:
        if self.cuts:
            self.cuts -= 1
            exchange.drop()
        if not await self._admitted(asked, exchange):
            return
        doors = {
            "/v1/chat/completions": self._chat,
            "/v1/audio/speech": self._speech,
            "/v1/audio/transcriptions": self._transcription,
        }
        if asked.path == "/v1/models":
            await exchange.json(200, {"object": "list", "data": self._models()})
            return
        if asked.path not in doors or asked.method != "POST":
            await self._refuse(exchange, 404, "there is nothing here", "not_found")
            return
        trouble = self.mood.next()
        if trouble in REFUSES:
            await self._refuse_for(trouble, exchange)
            return
        try:
            await doors[asked.path](asked, exchange, trouble)
        except Wrong as wrong:
            await self._refuse(exchange, 400, str(wrong), wrong.code)

    # Refusals.

    async def _admitted(self, asked: Asked, exchange: Exchange) -> bool:
        if asked.headers.get("authorization") == f"Bearer {self.key}":
            return True
        await self._refuse(exchange, 401, "Incorrect API key provided", "invalid_api_key")
        return False

    async def _refuse_for(self, trouble: Trouble, exchange: Exchange) -> None:
        match trouble:
            case Trouble.LIMITED:
                wait = f"{self.retry_after_s:g}"
                await self._refuse(
                    exchange, 429, "Rate limit reached", "rate_limit_exceeded", retry_after=wait
                )
            case Trouble.LOCKED:
                said = f"Incorrect API key provided: {self.key}"
                await self._refuse(exchange, 401, said, "invalid_api_key")
            case _:
                await self._refuse(exchange, 503, "The server is overloaded", None)

    async def _refuse(
        self, exchange: Exchange, status: int, message: str, code: str | None, **headers: str
    ) -> None:
        kinds = {429: "rate_limit_error", 503: "server_error", 500: "server_error"}
        kind = kinds.get(status, "invalid_request_error")
        error = {"message": message, "type": kind, "param": None, "code": code}
        await exchange.json(status, {"error": error}, **headers)

    def _models(self) -> list[Json]:
        names = (*self.transcription_models, *SPEECH_MODELS, *CHAT_MODELS)
        return [{"id": n, "object": "model", "created": 1, "owned_by": "openai"} for n in names]

    # The doors.

    async def _chat(self, asked: Asked, exchange: Exchange, trouble: Trouble) -> None:
        body = self._checked(asked, CompletionCreateParamsStreaming)
        thinks = str(body["model"]).startswith("gpt-6") and body.get("reasoning_effort") != "none"
        if body.get("tools") and thinks:
            raise Wrong("tools need reasoning_effort to be none", "unsupported_parameter")
        await self._stream(exchange, trouble, "text/event-stream", _reply(body, self.answers(body)))

    async def _speech(self, asked: Asked, exchange: Exchange, trouble: Trouble) -> None:
        body = self._checked(asked, SpeechCreateParams)
        if body.get("response_format") != "pcm":
            self._note("this server speaks PCM only")
        if not 0 < len(body["input"]) <= TEXT_CHARS_MAX:
            raise Wrong("the text is too long", "string_above_max_length")
        voice = body["voice"]
        if voice not in VOICES if isinstance(voice, str) else not str(voice["id"]):
            raise Wrong(f"no voice {voice}")
        if not 0.25 <= body.get("speed", 1.0) <= 4.0:
            raise Wrong("a speed is 0.25 to 4")
        sound = self.speaks(body["input"], body.get("speed", 1.0))
        size = RATE_HZ * 2 * SPEECH_CHUNK_MS // 1_000
        pieces = (sound[start : start + size] for start in range(0, len(sound), size))
        await self._stream(exchange, trouble, self.sound_type, pieces)

    async def _transcription(self, asked: Asked, exchange: Exchange, trouble: Trouble) -> None:
        fields, pcm, rate_hz = _form(asked)
        model = fields.get("model", [""])[0]
        if model not in COMMITTED:
            raise Wrong(f"no model {model}", "model_not_found")
        for name in ("keywords[]", "languages[]"):
            if name in fields and model not in KEYWORDED:
                self._note(f"{name} are not supported by {model}")
        shape = fields.get("response_format", ["json"])[0]
        if shape != "json" and model != "whisper-1":
            self._note(f"{model} answers in json")
        heard = words_heard(self.hears, pcm, rate_hz, whole=True)
        seconds = len(pcm) / 2 / rate_hz
        if fields.get("stream", [""])[0] == "true" and self._streams(model):
            await self._stream(exchange, trouble, "text/event-stream", _told(heard))
            return
        whole = _verbose(heard, pcm, rate_hz) if shape == "verbose_json" else Transcription(
            text=" ".join(heard), languages=[{"code": self.language}],  # type: ignore[list-item]
            usage={"type": "duration", "seconds": seconds},  # type: ignore[arg-type]
        )  # fmt: skip
        await self._whole(exchange, trouble, whole.model_dump_json(exclude_none=True).encode())

    def _streams(self, model: str) -> bool:
        return self.streams_files and model != "whisper-1"

    def _note(self, fault: str) -> None:
        self.faults.append(fault)
        raise Wrong(fault)

    def _checked(self, asked: Asked, kind: Any) -> Json:
        body = asked.json()
        unknown = body.keys() - get_type_hints(kind).keys()
        if unknown:
            self._note(f"Unknown parameters: {sorted(unknown)}")
        try:
            checked = TypeAdapter(kind).validate_python(body)
            for each in checked.values():
                if isinstance(each, Iterator):
                    list(each)  # It is checked as it is read.
        except ValidationError as error:
            self._note(f"{asked.path}: {error}")
        return body

    # Answers, and the troubles in them.

    async def _whole(self, exchange: Exchange, trouble: Trouble, body: bytes) -> None:
        match trouble:
            case Trouble.SLOW | Trouble.LATE:
                await exchange.wait(self.mood.slow_s)
            case Trouble.STALLED:
                await exchange.stall()
            case Trouble.DROPPED:
                exchange.drop()
        await exchange.whole(200, body)

    async def _stream(
        self, exchange: Exchange, trouble: Trouble, kind: str, pieces: Iterable[bytes]
    ) -> None:
        if trouble is Trouble.SLOW:
            await exchange.wait(self.mood.slow_s)
        await exchange.begin(kind)
        async for piece in self._troubled(exchange, trouble, iter(pieces)):
            await exchange.piece(piece)
        await exchange.end()

    async def _troubled(
        self, exchange: Exchange, trouble: Trouble, pieces: Iterator[bytes]
    ) -> AsyncIterator[bytes]:
        number = 0
        while True:
            if number == self.mood.after:
                match trouble:
                    case Trouble.STALLED:
                        await exchange.stall()
                    case Trouble.DROPPED:
                        exchange.drop()
                    case Trouble.LATE:
                        await exchange.wait(self.mood.slow_s)
            if (piece := next(pieces, None)) is None:
                return
            yield piece
            number += 1


def echo(body: Json) -> Iterator[Answer]:
    """Says back what was said last."""
    said = next((m["content"] for m in reversed(body["messages"]) if m["role"] == "user"), "")
    yield "You said:"
    for word in str(said).split():
        yield f" {word}"


def tone(text: str, speed: float) -> bytes:
    """A hum as long as the text, louder and softer with its letters."""
    samples = round(RATE_HZ * CHAR_MS / 1_000 / speed)
    time = np.arange(samples * len(text)) / RATE_HZ
    loud = np.repeat([4_000.0 if char.isalnum() else 400.0 for char in text], samples)
    return bytes((np.sin(2 * math.pi * 180 * time) * loud).astype("<i2").tobytes())


def _reply(body: Json, answers: Iterable[Answer]) -> Iterator[bytes]:
    """The events of a streamed reply; its usage only where it was asked for."""
    calls = spent = 0
    for answer in answers:
        spent += 1
        if isinstance(answer, str):
            yield from words(answer)
        else:
            yield call(calls, answer[0], answer[1], id=f"call_{calls}")
            calls += 1
    yield event({**chunk().model_dump(), "choices": [
        {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}
    ]})  # fmt: skip
    if (body.get("stream_options") or {}).get("include_usage"):
        asked = sum(len(str(m.get("content", "")).split()) for m in body["messages"])
        usage = {"prompt_tokens": asked, "completion_tokens": spent,
                 "total_tokens": asked + spent,
                 "prompt_tokens_details": {"cached_tokens": 0}}  # fmt: skip
        yield event({**chunk().model_dump(), "usage": usage})
    yield DONE


def _form(asked: Asked) -> tuple[dict[str, list[str]], bytes, int]:
    """The fields of the form, and the sound in its file with its rate."""
    kind = asked.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise Wrong("a transcription is asked for with a form")
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    form = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + asked.body)
    fields: dict[str, list[str]] = {}
    sound: tuple[bytes, int] | None = None
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if name == "file":
            if not str(part.get_filename()).endswith(".wav"):
                raise Wrong("this server hears WAV only")
            sound = _wav(data)
        else:
            fields.setdefault(str(name), []).append(data.decode())
    if sound is None:
        raise Wrong("there is no file")
    return fields, *sound


def _wav(data: bytes) -> tuple[bytes, int]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise Wrong("this server hears 16-bit mono only")
            pcm = file.readframes(file.getnframes())
            if len(pcm) != 2 * file.getnframes() or not pcm:
                raise Wrong("the file is shorter than it says")
            return pcm, file.getframerate()
    except (wave.Error, EOFError) as error:
        raise Wrong(f"Audio file might be corrupted or unsupported: {error}") from None


def _verbose(heard: list[str], pcm: bytes, rate_hz: int) -> TranscriptionVerbose:
    length_s = len(pcm) / 2 / rate_hz
    starts = [start for start, _ in heard_blocks(pcm, rate_hz)] or [0]
    placed = []
    for number, word in enumerate(heard):
        start_s = starts[min(number, len(starts) - 1)] / 1_000
        end_s = min(start_s + BLOCK_MS / 1_000, length_s)
        placed.append({"word": word, "start": start_s, "end": end_s})
    return TranscriptionVerbose.model_validate({
        "duration": length_s, "language": "english", "text": " ".join(heard), "words": placed,
        "usage": {"type": "duration", "seconds": length_s},
    })  # fmt: skip


def _told(heard: list[str]) -> Iterator[bytes]:
    def sent(told: BaseModel) -> bytes:
        return f"data: {told.model_dump_json(exclude_none=True)}\n\n".encode()

    for number, word in enumerate(heard):
        delta = f" {word}" if number else word
        yield sent(TranscriptionTextDeltaEvent(type="transcript.text.delta", delta=delta))
    yield sent(TranscriptionTextDoneEvent(type="transcript.text.done", text=" ".join(heard)))
    yield DONE
