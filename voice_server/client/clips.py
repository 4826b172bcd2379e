"""Recordings made ready for a wire: decoded once, encoded once, sent as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.audio import BadAudio, OpusEncoder, Resampler, read_audio
from engines.speech import PCM_RATE_HZ

from .microphone import FRAME_MS, Clip, Frame
from .websocket import PCM_RATE_HZ as WIRE_RATE_HZ
from .websocket import Wire, appended

CLIP_SECONDS_MAX = 600.0
_OPUS_SOURCE_HZ = 24_000
_SILENT_BYTES = 2 * _OPUS_SOURCE_HZ * FRAME_MS // 1_000


def read_clip(path: Path, *, seconds_max: float = CLIP_SECONDS_MAX) -> bytes:
    """The file's sound: mono, 16-bit, 16 kHz. Raises `BadAudio` and `OSError`."""
    path.open("rb").close()
    return b"".join(frame.samples for frame in read_audio(path, seconds_max=seconds_max))


def framed(pcm: bytes, wire: Wire, *, speech_ms: int | None = None, voice_ms: int = 0) -> Clip:
    """16 kHz sound as frames for `wire`; the speech in it begins at `voice_ms` and ends at
    `speech_ms`. Raises `BadAudio` where there is no sound at all."""
    if not pcm:
        raise BadAudio("there is no sound in it")
    speech_ms = len(pcm) * 1_000 // (2 * PCM_RATE_HZ) if speech_ms is None else speech_ms
    frames: Sequence[Frame]
    if wire is Wire.OPUS:
        frames = opus_packets(pcm)
    else:
        pieces = _pieces(_resampled(pcm, WIRE_RATE_HZ), 2 * WIRE_RATE_HZ * FRAME_MS // 1_000)
        frames = pieces if wire is Wire.PCM else [appended(piece) for piece in pieces]
    speech_frames = min(max(1, -(-speech_ms // FRAME_MS)), len(frames))
    return Clip(frames, speech_frames, min(voice_ms // FRAME_MS, speech_frames - 1))


def opus_packets(pcm: bytes) -> list[bytes]:
    """16 kHz sound as Opus packets of 20 ms."""
    encoder = OpusEncoder(_OPUS_SOURCE_HZ)
    frames = [*encoder.encode(_resampled(pcm, _OPUS_SOURCE_HZ)), *encoder.flush()]
    return [frame.packet for frame in frames]


def silence(wire: Wire) -> Frame:
    """What a quiet room sounds like for 20 ms."""
    if wire is Wire.OPUS:
        encoder = OpusEncoder(_OPUS_SOURCE_HZ)
        # Encoders need a moment to believe that it is quiet.
        return encoder.encode(bytes(25 * _SILENT_BYTES))[-1].packet
    quiet = bytes(2 * WIRE_RATE_HZ * FRAME_MS // 1_000)
    return quiet if wire is Wire.PCM else appended(quiet)


def _resampled(pcm: bytes, rate_hz: int) -> bytes:
    resampler = Resampler(PCM_RATE_HZ, rate_hz)
    return resampler.feed(pcm) + resampler.flush()


def _pieces(pcm: bytes, size: int) -> list[bytes]:
    return [pcm[i : i + size].ljust(size, b"\0") for i in range(0, len(pcm), size)]
