"""What the Yandex vendor server says: a tone for each word, in chunks as the vendor sends them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from yandex.cloud.ai.tts.v3 import tts_pb2

from .yandex_ear import Refusal

TEXT_CHARS_MAX, SOUND_MS_MAX = 250, 24_000
CHUNK_MS = 200
# As long as a letter sounds with a voice that takes its time.
LETTER_MS = 70
# The roles of each voice, as the vendor lists them.
VOICES: dict[str, tuple[str, ...]] = {
    "marina": ("neutral", "whisper", "friendly"), "alena": ("neutral", "good"),
    "filipp": (), "ermil": ("neutral", "good"), "jane": ("neutral", "good", "evil"),
    "omazh": ("neutral", "evil"), "zahar": ("neutral", "good"),
    "dasha": ("neutral", "good", "friendly"), "julia": ("neutral", "strict"),
    "lera": ("neutral", "friendly"), "masha": ("good", "strict", "friendly"),
    "alexander": ("neutral", "good"), "kirill": ("neutral", "strict", "good"),
    "anton": ("neutral", "good"), "john": (), "lea": (), "amira": (), "madi": (), "nigora": (),
}  # fmt: skip
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True)
class Wanted:
    text: str
    voice: str
    role: str
    speed: float
    rate_hz: int


def asked_for(request: Any) -> Wanted:
    """What a request asks for. Raises `Refusal` where the vendor would refuse it."""
    hints: dict[str, Any] = {}
    for hint in request.hints:
        name = hint.WhichOneof("Hint")
        if name is None or name in hints:
            raise Refusal(_INVALID, f"a hint is empty or given twice: {name}")
        hints[name] = getattr(hint, name)
    raw = request.output_audio_spec.raw_audio
    wanted = Wanted(
        request.text, hints.get("voice", "marina"), hints.get("role", ""),
        hints.get("speed", 1.0), raw.sample_rate_hertz,
    )  # fmt: skip
    for wrong, detail in (
        (bool(request.model), "model must be empty"),
        (request.WhichOneof("Utterance") != "text", "text is not set"),
        (not any(char.isalnum() for char in wanted.text), "nothing to synthesize"),
        (len(wanted.text) > TEXT_CHARS_MAX, "Too long text"),
        (wanted.voice not in VOICES, f"voice {wanted.voice} is not found"),
        (wanted.role and wanted.role not in VOICES.get(wanted.voice, ()), "unsupported role"),
        (not 0.1 <= wanted.speed <= 3.0, "speed must be from 0.1 to 3"),
        (raw.audio_encoding != tts_pb2.RawAudio.LINEAR16_PCM, "audio_encoding is not set"),
        (not 8_000 <= wanted.rate_hz <= 48_000, "invalid sample_rate_hertz"),
        (request.unsafe_mode, "the tests expect texts that are short enough"),
    ):
        if wrong:
            raise Refusal(_INVALID, detail)
    if sum(length_ms for _, length_ms in _words(wanted)) > SOUND_MS_MAX:
        raise Refusal(_INVALID, "Too long audio")
    return wanted


def spoken(wanted: Wanted) -> Iterator[Any]:
    """The sound in chunks, each with its words and its place."""
    start_ms, said, sound = 0, list[str](), bytearray()
    chunk_bytes = wanted.rate_hz * CHUNK_MS // 1_000 * 2
    for word, length_ms in _words(wanted):
        said.append(word)
        sound += tone(length_ms, wanted.rate_hz)
        while len(sound) >= chunk_bytes:
            yield _chunk(bytes(sound[:chunk_bytes]), said, start_ms, wanted.rate_hz)
            start_ms += CHUNK_MS
            del sound[:chunk_bytes]
            said.clear()
    if sound:
        yield _chunk(bytes(sound), said, start_ms, wanted.rate_hz)


def _words(wanted: Wanted) -> list[tuple[str, int]]:
    return [(word, round(LETTER_MS * len(word) / wanted.speed)) for word in wanted.text.split()]


def _chunk(sound: bytes, said: list[str], start_ms: int, rate_hz: int) -> Any:
    return tts_pb2.UtteranceSynthesisResponse(
        audio_chunk=tts_pb2.AudioChunk(data=sound),
        text_chunk=tts_pb2.TextChunk(text=" ".join(said)),
        start_ms=start_ms, length_ms=len(sound) // 2 * 1_000 // rate_hz,
    )  # fmt: skip


@functools.cache
def tone(length_ms: int, rate_hz: int) -> bytes:
    """220 Hz, faded at both ends, so that each word can be told from the next."""
    times = np.arange(rate_hz * length_ms // 1_000) / rate_hz
    faded = np.minimum(1.0, np.minimum(times, times[::-1]) / 0.02)
    return (np.sin(2 * np.pi * 220 * times) * faded * 9_000).astype("<i2").tobytes()
