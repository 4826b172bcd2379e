"""Text in, speech out, while it is being made: the door of OpenAI's speech clients.

The first sound leaves before the last sentence is spoken, a listener who leaves stops the voice,
and one who is slow holds up nobody: see `engines.narration`.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from engines.encoding import FORMATS
from engines.languages import code_of
from engines.narration import NoSuchVoice, NothingToSay, chosen_voice, narrated
from engines.speech import OPUS_FRAME_MS, EngineError, OpusFrame, TextToSpeech

from .bodies import read_body
from .errors import Refusal, openai_error, refusal_of
from .house import House
from .streams import Streamed, while_connected

TEXT_CHARS_MAX, NAME_CHARS_MAX = 4_096, 128
SPEED_MIN, SPEED_MAX = 0.25, 4.0
# The text and the instructions, with every letter written as an escape.
BODY_BYTES_MAX = 128 * 1_024
MEDIA_TYPES = {
    "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac",
    "wav": "audio/wav", "pcm": "audio/pcm",
}  # fmt: skip
# As OpenAI counts: four letters are about a token, and so is a twentieth of a second of speech.
TOKEN_CHARS, TOKEN_MS = 4, 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for. `language`: of text whose letters do not tell; may be empty."""

    text: str
    model: str
    voice: str
    language: str
    speed: float
    instructions: str
    audio_format: str
    events: bool


async def speech(request: Request) -> Response:
    """`POST /v1/audio/speech`: the sound of a text, or events that carry it."""
    house: House = request.app.state.house
    house.gate.admit(request)
    if house.switchboard.draining:
        raise Refusal(503, "draining", "The server is shutting down.", retry_after_s=10)
    asked = asked_of(await _json(request))
    engine = house.workshop.file_voice(house.workshop.order.named("text_to_speech", asked.model))
    with contextlib.ExitStack() as stack:
        stack.enter_context(house.speeches.one())
        making = _Making(house, asked, engine)
        pieces = making.pieces(stack.pop_all())
    try:
        first = await while_connected(request.receive, house.ending, anext(pieces))
    except NoSuchVoice as error:
        raise _bad("voice", f"is unknown: {error}") from None
    except NothingToSay as error:
        raise _bad("input", f"cannot be spoken: {error}") from None
    media_type = "text/event-stream" if asked.events else MEDIA_TYPES[asked.audio_format]
    return Streamed(first, pieces, media_type=media_type, ending=house.ending)


class _Making:
    """One text on its way to becoming sound."""

    def __init__(self, house: House, asked: Asked, engine: TextToSpeech) -> None:
        self._house, self._asked, self._engine = house, asked, engine
        self._frames = 0

    async def pieces(self, stack: contextlib.ExitStack) -> AsyncGenerator[bytes, None]:
        """The body of the answer. What the request holds is let go of at its end. Raises
        `EngineError` before the first piece; after it the answer breaks off."""
        with stack:
            await self._house.workshop.ready(self._engine)
            encoded = self._house.encoders.encoded(self._spoken(), self._asked.audio_format)
            async with contextlib.aclosing(encoded):
                if not self._asked.events:
                    async for piece in encoded:
                        yield piece
                    return
                begun = False
                try:
                    async for piece in encoded:
                        begun = True
                        yield _sse({"type": "speech.audio.delta", "audio": _base64(piece)})
                except EngineError as error:
                    if not begun:
                        raise
                    yield _sse({"type": "error", "error": openai_error(refusal_of(error))})
                    return
            yield _sse({"type": "speech.audio.done", "usage": self._usage()})

    async def _spoken(self) -> AsyncGenerator[OpusFrame, None]:
        asked = self._asked
        frames = narrated(
            self._engine, asked.text, voice=chosen_voice(self._engine, asked.voice),
            language=asked.language or self._house.settings.language, speed=asked.speed,
        )  # fmt: skip
        async with contextlib.aclosing(frames):
            async for frame in frames:
                self._frames += 1
                yield frame

    def _usage(self) -> dict[str, int]:
        read = -(-(len(self._asked.text) + len(self._asked.instructions)) // TOKEN_CHARS)
        made = -(-self._frames * OPUS_FRAME_MS // TOKEN_MS)
        return {"input_tokens": read, "output_tokens": made, "total_tokens": read + made}


def _sse(event: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _base64(piece: bytes) -> str:
    return base64.b64encode(piece).decode()


# What is asked for.


async def _json(request: Request) -> dict[str, object]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send application/json.")
    try:
        body = orjson.loads(await read_body(request, BODY_BYTES_MAX))
    except orjson.JSONDecodeError:
        raise Refusal(400, "bad_json", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "bad_json", "The body must be a JSON object.")
    return body


def asked_of(body: dict[str, object]) -> Asked:
    """The body, checked. Raises `Refusal` 400 that names what is wrong."""
    text = _text(body, "input", TEXT_CHARS_MAX)
    if not text.strip():
        raise _bad("input", "must be a text to speak")
    audio_format = _text(body, "response_format") or "mp3"
    if audio_format not in FORMATS:
        raise _bad("response_format", f"must be one of {', '.join(FORMATS)}")
    stream_format = _text(body, "stream_format") or "audio"
    if stream_format not in {"audio", "sse"}:
        raise _bad("stream_format", "must be audio or sse")
    named = _text(body, "language")
    language = code_of(named) if named else ""
    if language is None:
        raise _bad("language", "must be an ISO 639-1 code, such as en")
    return Asked(
        text=text,
        model=_text(body, "model"),
        voice=_voice(body),
        language=language,
        speed=_speed(body),
        instructions=_text(body, "instructions", TEXT_CHARS_MAX),
        audio_format=audio_format,
        events=stream_format == "sse",
    )


def _voice(body: dict[str, object]) -> str:
    """A voice is named by a string or, where it was made for somebody, by an object."""
    voice = body.get("voice")
    if isinstance(voice, dict):
        return _text(voice, "id")
    return _text(body, "voice")


def _speed(body: dict[str, object]) -> float:
    speed = body.get("speed")
    if speed is None:
        return 1.0
    is_number = isinstance(speed, int | float) and not isinstance(speed, bool)
    if not is_number or not SPEED_MIN <= speed <= SPEED_MAX:  # type: ignore[operator]
        raise _bad("speed", f"must be a number from {SPEED_MIN:g} to {SPEED_MAX:g}")
    return float(speed)  # type: ignore[arg-type]


def _text(body: dict[str, object], name: str, chars_max: int = NAME_CHARS_MAX) -> str:
    """A field that is a text, or empty where it is absent."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(name, "must be a string")
    if len(value) > chars_max:
        raise _bad(name, f"has {chars_max} characters at most")
    return value


def _bad(name: str, what: str) -> Refusal:
    return Refusal(400, "bad_parameter", f"{name} {what}.", param=name)
