"""ElevenLabs' HTTP API on this machine: its voices, and speech with the times of characters.

    async with ElevenLabsServer() as server:
        options = ElevenLabsOptions(api_key=server.key, base_url=server.origin)

Requests are held to what the vendor documents. What is said is a tone for each character, so
that the sound's length and the characters' times are the same thing. `requests`: all it was
asked; `faults`: what the vendor would not have taken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .trouble import Mood, Trouble
from .wire import Asked, Exchange, Json, Socket, WireServer

KEY = "sk_of_the_tests_0123456789abcdef"
VOICES = {
    "21m00Tcm4TlvDq8ikWAM": ("Rachel", "female", "en"),
    "JBFqnCBsd6RMkjVDRZzb": ("George - warm storyteller", "male", "en"),
    "aTTiK3YzK3dXETpuDE2h": ("Oxana", "female", "ru"),
}
MODELS = {
    "eleven_flash_v2_5": 40_000, "eleven_turbo_v2_5": 40_000, "eleven_multilingual_v2": 10_000,
    "eleven_flash_v2": 30_000, "eleven_v3": 5_000,
}  # fmt: skip
# The languages in which the fast models are asked for by code.
LANGUAGES = frozenset(
    "en ru ja zh de hi fr ko pt it es id nl tr fil pl sv bg ro ar cs el fi hr ms sk da ta uk hu no "
    "vi".split()
)
FIELDS = {
    "text", "model_id", "language_code", "voice_settings", "seed", "previous_text", "next_text",
    "previous_request_ids", "next_request_ids", "pronunciation_dictionary_locators",
    "use_pvc_as_ivc", "apply_text_normalization", "apply_language_text_normalization",
}  # fmt: skip
SETTINGS = {"stability", "similarity_boost", "style", "use_speaker_boost", "speed"}
CHARACTER_MS, CHARACTERS_PER_CHUNK = 60, 12
REFUSES = {
    Trouble.LIMITED: (429, "too_many_concurrent_requests", "Too many concurrent requests."),
    Trouble.BROKEN: (503, "service_unavailable", "Service unavailable."),
    Trouble.LOCKED: (401, "invalid_api_key", "Invalid API key: {key}"),
}


class ElevenLabsServer(WireServer):
    """`used_up`: the account has no characters left. `repeats`: as some models do, each chunk
    but the first says the characters of the one before once more."""

    def __init__(self, *, mood: Mood | None = None) -> None:
        super().__init__()
        self.key, self.mood = KEY, mood or Mood()
        self.used_up = self.repeats = False
        self.retry_after_s = 2.0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spoken(self) -> list[Asked]:
        return [asked for asked in self.requests if asked.path.endswith("/with-timestamps")]

    async def answer(self, asked: Asked, exchange: Exchange) -> None:
        if asked.headers.get("xi-api-key") != self.key:
            await _refuse(exchange, 401, "invalid_api_key", "Invalid API key")
            return
        match asked.method, asked.path.strip("/").split("/"):
            case "GET", ["v1", "voices"]:
                await exchange.json(200, {"voices": [*_listed()]})
            case "POST", ["v1", "text-to-speech", voice, "stream", "with-timestamps"]:
                await self._speech(asked, exchange, voice)
            case _:
                await _refuse(exchange, 404, "not_found", "Not Found")

    async def converse(
        self, asked: Asked, exchange: Exchange, accept: Callable[[], Socket]
    ) -> None:
        await _refuse(exchange, 403, "forbidden", "There is no socket here")

    async def _speech(self, asked: Asked, exchange: Exchange, voice: str) -> None:
        trouble = self.mood.next()
        if trouble in REFUSES:
            status, code, words = REFUSES[trouble]
            after = {"retry_after": f"{self.retry_after_s:g}"} if status == 429 else {}
            await _refuse(exchange, status, code, words.format(key=self.key), **after)
            return
        body = asked.json()
        if (wrong := _wrong(body, asked.query)) is not None:
            self.faults.append(f"{asked.path}: {wrong['msg']}")
            await exchange.json(422, {"detail": [wrong]})
            return
        if len(body["text"]) > MODELS[body["model_id"]]:
            await _refuse(exchange, 400, "max_character_limit_exceeded", "The text is too long.")
            return
        if voice not in VOICES:
            await _refuse(exchange, 404, "voice_not_found", f"A voice {voice} was not found.")
            return
        if self.used_up:
            await _refuse(exchange, 401, "quota_exceeded", "This request exceeds your quota.")
            return
        if trouble is Trouble.SLOW:
            await exchange.wait(self.mood.slow_s)
        await exchange.begin("application/json")
        speed = body.get("voice_settings", {}).get("speed", 1.0)
        rate_hz = int(asked.query["output_format"].removeprefix("pcm_"))
        chunks = _chunks(body["text"], speed, rate_hz, repeats=self.repeats)
        await self._send(exchange, trouble, chunks)

    async def _send(
        self, exchange: Exchange, trouble: Trouble, chunks: Iterator[Json]
    ) -> None:
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
            if (chunk := next(chunks, None)) is None:
                break
            await exchange.piece(json.dumps(chunk).encode() + b"\n")
            number += 1
        await exchange.end()


async def _refuse(
    exchange: Exchange, status: int, code: str, message: str, **headers: str
) -> None:
    kinds = {401: "authentication_error", 404: "not_found", 429: "rate_limit_error"}
    detail = {
        "type": kinds.get(status, "invalid_request"), "code": code, "status": code,
        "message": message, "request_id": "of-the-tests",
    }  # fmt: skip
    await exchange.json(status, {"detail": detail}, **headers)


def _wrong(body: Json, query: dict[str, str]) -> Json | None:
    """What the vendor's validation would find first."""
    text, settings = body.get("text"), body.get("voice_settings", {})
    model, code = body.get("model_id", "eleven_multilingual_v2"), body.get("language_code")
    for place, message in (
        (["body", "text"], "Field required" if not isinstance(text, str) or not text else ""),
        (["body"], f"Unknown fields: {body.keys() - FIELDS}" if body.keys() - FIELDS else ""),
        (["body", "voice_settings"], "Unknown" if settings.keys() - SETTINGS else ""),
        (["body", "voice_settings", "speed"],
         "" if 0.7 <= settings.get("speed", 1.0) <= 1.2 else "speed must be 0.7 to 1.2"),
        (["body", "model_id"], "" if model in MODELS else f"no model {model}"),
        (["body", "language_code"],
         "not supported by this model" if code and model == "eleven_multilingual_v2" else ""),
        (["body", "language_code"],
         f"no language {code}" if code and code not in LANGUAGES else ""),
        (["query", "output_format"],
         "" if query.get("output_format") in ("pcm_16000", "pcm_24000", "pcm_48000")
         else "the tests expect PCM"),
    ):
        if message:
            return {"type": "value_error", "loc": place, "msg": message}
    return None


def _listed() -> Iterator[Json]:
    for voice_id, (name, gender, language) in VOICES.items():
        labels = {"gender": gender, "language": language, "accent": "neutral"}
        yield {"voice_id": voice_id, "name": name, "category": "premade", "labels": labels}


def _chunks(text: str, speed: float, rate_hz: int, *, repeats: bool) -> Iterator[Json]:
    """Times are those of the whole answer, in seconds."""
    step_s = CHARACTER_MS / speed / 1_000
    for first in range(0, len(text), CHARACTERS_PER_CHUNK):
        end = min(first + CHARACTERS_PER_CHUNK, len(text))
        told = max(0, first - CHARACTERS_PER_CHUNK) if repeats else first
        alignment: dict[str, Any] = {
            "characters": list(text[told:end]),
            "character_start_times_seconds": [at * step_s for at in range(told, end)],
            "character_end_times_seconds": [(at + 1) * step_s for at in range(told, end)],
        }
        count = round(end * step_s * rate_hz) - round(first * step_s * rate_hz)
        sound = np.sin(2 * np.pi * 180 * np.arange(count) / rate_hz) * 6_000
        yield {
            "audio_base64": base64.b64encode(sound.astype("<i2").tobytes()).decode(),
            "alignment": alignment, "normalized_alignment": alignment,
        }  # fmt: skip
