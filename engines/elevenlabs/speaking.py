"""ElevenLabs speaks: sound while it is being made, and for every word the moment it begins.

One request over HTTP per text, on connections that are kept open: the vendor's WebSocket takes
text piece by piece, but here the whole text is known, and a new socket for each would cost a
handshake. The vendor's own package is not needed for one address; it wraps the same lines of
JSON in a hundred modules. Leaving the generator closes the connection, and with it the work.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import orjson

from ..opus import OpusEncoder
from ..speech import EngineError, EngineRefused, OpusFrame, WordTime
from ..vendors import ElevenLabsOptions
from .alignment import Alignment

logger = logging.getLogger(__name__)

RATE_HZ = 24_000
TEXT_CHARS_MAX = 5_000
SPEED_MIN, SPEED_MAX = 0.7, 1.2
NOT_CONFIGURED = "ElevenLabs needs a key: set ELEVENLABS_API_KEY"
# The languages of the vendor's fast models, and of those in which one may be asked for.
LANGUAGES = tuple(
    "en ru ja zh de hi fr ko pt it es id nl tr fil pl sv bg ro ar cs el fi hr ms sk da ta uk hu no "
    "vi".split()
)
_TAKES_LANGUAGE = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_v3")
_ENGLISH_ONLY = ("eleven_flash_v2", "eleven_turbo_v2", "eleven_monolingual_v1")
_VOICE_ID = re.compile(r"[A-Za-z0-9]{20}")
_VOICES_MAX = 1_000
_KEPT_ALIVE_S = 120.0
_CONNECTIONS_MAX = 1_000
_LINE_BYTES_MAX = 8 * 1024 * 1024
_ERROR_BYTES_MAX = 64 * 1024
# No text takes longer to say than this: a model that goes on rambles.
_SOUND_S_SPARE, _SOUND_S_PER_CHAR = 10.0, 1.0
_GENERATORS_MAX = 20
_ENCODED_BYTES = RATE_HZ // 10 * 2
_LOGGED_CHARS_MAX = 300
_RETRY_S_MAX = 3_600.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_USED_UP = {"quota_exceeded", "insufficient_credits", "payment_required"}
_UNKNOWN_VOICE = {"voice_not_found", "invalid_voice_id", "voice_does_not_exist"}


@dataclass(frozen=True, slots=True)
class ElevenLabsVoice:
    """`name` is what `synthesize` takes: the vendor's id; `title` is its name, and may be given
    in its stead. `language` is ISO 639-1, empty for a voice of all languages."""

    name: str
    title: str
    language: str
    gender: str


class ElevenLabsTextToSpeech:
    """A `TextToSpeech` with exact times for words. A voice is named by its id or its name."""

    def __init__(self, options: ElevenLabsOptions) -> None:
        self._options = options
        self._client: httpx2.AsyncClient | None = None
        self._voices: list[ElevenLabsVoice] = []

    async def start(self) -> None:
        """Learn the account's voices, which also opens a connection. Raises `EngineError` where
        no key is configured; without the list, voices are still known by their ids."""
        client = self._connection()
        try:
            with _said_plainly(self._options, "voices"):
                answer = await client.get("/v1/voices")
                if answer.is_error:
                    raise _refusal(self._options, answer, answer.content)
                self._voices = list(_voices_in(answer.content))
        except EngineError as error:
            logger.warning("ElevenLabs' voices are known by their ids only: %s", error)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def voices(self, language: str = "") -> list[ElevenLabsVoice]:
        """The voices of the account, the default one first, then those of the language; every
        voice speaks every language."""
        default, wanted = self._options.voice, language.lower()[:2]
        known = self._voices or [ElevenLabsVoice(default, default, "", "")]

        def unfit(voice: ElevenLabsVoice) -> tuple[bool, bool]:
            return default not in (voice.name, voice.title), bool(wanted) and (
                voice.language != wanted
            )

        found = sorted(known, key=unfit)
        return [
            ElevenLabsVoice(voice.name, voice.title, wanted or voice.language, voice.gender)
            for voice in found
        ]

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of a text and its words' places; none of a text without a letter or digit.
        An empty `voice` is the configured one. A `speed` beyond the vendor's is its nearest.
        Raises `EngineError`, and `EngineRefused` for what the vendor does not speak."""
        text = text.encode(errors="replace").decode()  # Half a surrogate pair: a "?".
        path = f"/v1/text-to-speech/{quote(self._id_of(voice), safe='')}/stream/with-timestamps"
        request = self._request(text, language, speed)
        if not any(char.isalnum() for char in text):
            return
        with _said_plainly(self._options, "speech"):
            async with self._answered(path, request) as lines:
                sounding = _Sounding(text, speed)
                async for line in lines:
                    for piece in sounding.feed(line):
                        if piece is None:
                            await asyncio.sleep(0)  # Others have their turn.
                        else:
                            yield piece
                for frame in sounding.finish():
                    yield frame

    # The request.

    def _request(self, text: str, language: str, speed: float) -> dict[str, Any]:
        if len(text) > TEXT_CHARS_MAX:
            raise EngineRefused(f"a text to be spoken has at most {TEXT_CHARS_MAX} characters")
        model, code = self._options.model, language.lower()[:3].partition("-")[0]
        if model in _ENGLISH_ONLY and code not in ("", "en"):
            raise EngineRefused(f"the ElevenLabs model {model} speaks English only")
        if code and model in _TAKES_LANGUAGE[:2] and code not in LANGUAGES:
            raise EngineRefused(f"ElevenLabs does not speak {language[:20]!r}")
        request: dict[str, Any] = {"text": text, "model_id": model}
        if code and model in _TAKES_LANGUAGE:
            request["language_code"] = code
        if speed != 1.0:
            request["voice_settings"] = {"speed": min(max(speed, SPEED_MIN), SPEED_MAX)}
        return request

    def _id_of(self, voice: str) -> str:
        """Raises `EngineRefused` for a voice that is neither an id nor a known name."""
        wanted = voice or self._options.voice
        for known in self._voices:
            if wanted == known.name or wanted.casefold() == known.title.casefold():
                return known.name
        if _VOICE_ID.fullmatch(wanted):
            return wanted  # Of the vendor's library, perhaps.
        raise EngineRefused(f"ElevenLabs has no voice {wanted[:40]!r}")

    @contextlib.asynccontextmanager
    async def _answered(
        self, path: str, request: Mapping[str, Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the answer. Leaving ends it."""
        client = self._connection()
        sending = client.build_request(
            "POST", path, json=request, params={"output_format": f"pcm_{RATE_HZ}"}
        )
        answer = await client.send(sending, stream=True)
        try:
            pieces = answer.aiter_bytes()
            async with contextlib.aclosing(pieces):
                if answer.is_error:
                    body = await _first_of(pieces)
                    raise _refusal(self._options, answer, body)
                lines = _lines(pieces)
                async with contextlib.aclosing(lines):
                    yield lines
        finally:
            await answer.aclose()
            # A stream that is left half read has generators one within the other, and the loop
            # finishes them one after the other, each in a task.
            for _ in range(_GENERATORS_MAX):
                await asyncio.sleep(0)

    def _connection(self) -> httpx2.AsyncClient:
        """Raises `EngineError` where no key is configured."""
        options = self._options
        if not options.api_key:
            raise EngineError(NOT_CONFIGURED)
        if self._client is None:
            self._client = httpx2.AsyncClient(
                base_url=options.base_url,
                headers={"xi-api-key": options.api_key},
                timeout=httpx2.Timeout(options.patience_s, connect=options.connect_s),
                limits=httpx2.Limits(
                    max_connections=_CONNECTIONS_MAX, max_keepalive_connections=_CONNECTIONS_MAX,
                    keepalive_expiry=_KEPT_ALIVE_S,
                ),
                # A server on this machine is never reached through a proxy.
                trust_env=urlsplit(options.base_url).hostname not in _LOOPBACK,
            )  # fmt: skip
        return self._client


class _Sounding:
    """One answer: lines of JSON in, places of words and packets out."""

    def __init__(self, text: str, speed: float) -> None:
        self._encoder = OpusEncoder(RATE_HZ)
        self._alignment = Alignment(text)
        self._received = 0
        seconds_max = _SOUND_S_SPARE + _SOUND_S_PER_CHAR * len(text) / min(speed, 1.0)
        self._bytes_max = round(seconds_max * RATE_HZ) * 2

    def feed(self, line: bytes) -> Iterator[OpusFrame | WordTime | None]:
        """None: a good moment to let others work."""
        told = _object(line)
        if "audio_base64" not in told:
            raise EngineError("ElevenLabs answered with something else than speech")
        sound = _decoded(told.get("audio_base64"))
        alignment = told.get("alignment")
        if isinstance(alignment, dict):
            characters = _list_of(alignment.get("characters"))
            starts_s = _list_of(alignment.get("character_start_times_seconds"))
            if all(isinstance(each, str) for each in characters):
                sound_ms = self._received // 2 * 1_000 // RATE_HZ
                yield from self._alignment.feed(characters, starts_s, sound_ms)
        self._received += len(sound)
        if self._received > self._bytes_max:
            raise EngineError("ElevenLabs speaks without end")
        for at in range(0, len(sound), _ENCODED_BYTES):
            yield from self._encoder.encode(sound[at : at + _ENCODED_BYTES])
            yield None

    def finish(self) -> list[OpusFrame]:
        if not self._received:
            raise EngineError("ElevenLabs gave no sound")
        return self._encoder.flush()


def _object(line: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise EngineError("ElevenLabs answered with something else than speech")
    return told


def _decoded(sound: object) -> bytes:
    if not sound:
        return b""  # A piece may hold only the places of characters.
    try:
        return base64.b64decode(sound if isinstance(sound, str) else b"?", validate=True)
    except (binascii.Error, ValueError):
        raise EngineError("ElevenLabs answered with something else than speech") from None


def _list_of(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines that are not empty, each as soon as it is whole."""
    held = b""
    async for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        if len(held) > _LINE_BYTES_MAX:
            raise EngineError("ElevenLabs answered with something else than speech")
        for line in whole:
            if line.strip():
                yield line
    if held.strip():
        yield held


async def _first_of(pieces: AsyncIterator[bytes]) -> bytes:
    body = b""
    async for piece in pieces:
        body += piece
        if len(body) >= _ERROR_BYTES_MAX:
            break
    return body


def _voices_in(body: bytes) -> Iterator[ElevenLabsVoice]:
    voices = _object(body).get("voices")
    for voice in voices[:_VOICES_MAX] if isinstance(voices, list) else []:
        if not isinstance(voice, dict) or not isinstance(voice.get("voice_id"), str):
            continue
        labels = voice.get("labels")
        labels = labels if isinstance(labels, dict) else {}
        # The vendor's names go on: "Rachel - calm and clear".
        title = str(voice.get("name") or voice["voice_id"]).split(" - ")[0].strip()[:80]
        language, gender = (str(labels.get(name) or "")[:20] for name in ("language", "gender"))
        yield ElevenLabsVoice(voice["voice_id"], title, language, gender)


# Errors.


@contextlib.contextmanager
def _said_plainly(options: ElevenLabsOptions, doing: str) -> Iterator[None]:
    """Errors of HTTP become what a caller may be told."""
    try:
        yield
    except EngineError as error:
        logger.warning("ElevenLabs %s: %s", doing, error)
        raise
    except httpx2.TimeoutException as error:
        logger.warning("ElevenLabs %s: %s", doing, type(error).__name__)
        raise EngineError("ElevenLabs took too long") from None
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        logger.warning("ElevenLabs %s: %s", doing, type(error).__name__)
        raise EngineError("ElevenLabs cannot be reached, or broke off") from None


def _refusal(options: ElevenLabsOptions, answer: httpx2.Response, body: bytes) -> EngineError:
    """What the vendor's answer means. Its own words go to the log, without our key."""
    status, headers = answer.status_code, answer.headers
    code, words = _detail(body)
    logged = words.replace(options.api_key, "…")[:_LOGGED_CHARS_MAX]
    logger.warning("ElevenLabs: %d %s: %s", status, code[:80], logged)
    if code in _UNKNOWN_VOICE or (status in (400, 404) and "voice" in code):
        return EngineRefused("ElevenLabs does not have this voice")
    if code in _USED_UP or status == 402:
        return EngineError("the ElevenLabs account is used up")
    if status in (401, 403):
        return EngineError("ElevenLabs does not accept our key")
    if status == 429:
        busy = EngineError("ElevenLabs is too busy, or we ask too much at once")
        busy.retry_after_s = _retry_after_s(headers)
        return busy
    if status in (400, 404, 413, 422):
        return EngineRefused("ElevenLabs refused the request")
    error = EngineError("ElevenLabs has a fault")
    error.retry_after_s = _retry_after_s(headers)
    return error


def _detail(body: bytes) -> tuple[str, str]:
    """The vendor's code and its words, as it says them now, or as it used to."""
    with contextlib.suppress(EngineError):
        detail = _object(body).get("detail")
        if isinstance(detail, dict):
            code = detail.get("code") or detail.get("status") or ""
            return str(code), str(detail.get("message") or "")
        return "", str(detail)
    return "", ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    told = headers.get("retry-after", "").strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", told):
        return None
    return min(float(told), _RETRY_S_MAX)
