"""Sounds that tests make for themselves."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import numpy.typing as npt

from engines.speech import PCM_FRAME_BYTES, PCM_RATE_HZ, PcmFrame

Samples = npt.NDArray[np.int16]
NOT_SPEECH = ("white", "brown", "fan", "hum", "clicks", "tones", "silence")


def sine(hz: float, rate_hz: int, seconds: float = 1.0, amplitude: int = 16_000) -> Samples:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.round(np.sin(2 * np.pi * hz * times) * amplitude).astype(np.int16)


def noise(samples: int, amplitude: int = 8_000, seed: int = 1) -> Samples:
    sound = np.random.default_rng(seed).standard_normal(samples) * amplitude / 3
    return np.clip(sound, -32_768, 32_767).astype(np.int16)


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, np.int16)


def not_speech(kind: str, seconds: int, seed: int = 1) -> list[PcmFrame]:
    """Sound that a microphone brings and nobody said: white or brown noise, a fan, the hum of
    the mains, clicks of a keyboard, rising tones, or silence."""
    count = seconds * PCM_RATE_HZ
    white = np.random.default_rng(seed).standard_normal(count)
    times = np.arange(count) / PCM_RATE_HZ
    match kind:
        case "white":
            sound = white * 2_000
        case "brown":
            sound = np.cumsum(white - white.mean())
            sound *= 6_000 / np.abs(sound).max()
        case "fan":
            sound = np.convolve(white, np.ones(24) / 24, "same") * 6_000
            sound *= 1 + 0.2 * np.sin(2 * np.pi * 11 * times)
        case "hum":
            tones = [3_000 / n * np.sin(2 * np.pi * 50 * n * times) for n in (1, 2, 3, 5)]
            sound = np.sum(tones, axis=0)
        case "clicks":
            sound = np.zeros(count)
            sound[:: PCM_RATE_HZ // 5] = 20_000
        case "tones":
            sound = 5_000 * np.sin(2 * np.pi * (300 + 200 * (times // 1)) * times)
        case _:
            sound = np.zeros(count)
    pcm = np.clip(sound, -32_768, 32_767).astype("<i2").tobytes()
    whole = len(pcm) // PCM_FRAME_BYTES * PCM_FRAME_BYTES
    return [
        PcmFrame(pcm[at : at + PCM_FRAME_BYTES]) for at in range(0, whole, PCM_FRAME_BYTES)
    ]


def loudness(pcm: bytes) -> float:
    """Root mean square in dB below full scale."""
    power = float(np.mean(samples_of(pcm).astype(float) ** 2))
    return 10 * float(np.log10(max(power, 1e-9) / 32_768**2))


def fitted(sound: Samples, hz: float, rate_hz: int) -> tuple[float, float]:
    """The amplitude of the best sine of `hz` in `sound`, and the rest below it in dB."""
    times = np.arange(len(sound)) / rate_hz
    pair = np.stack([np.sin(2 * np.pi * hz * times), np.cos(2 * np.pi * hz * times)], axis=1)
    weights, *_ = np.linalg.lstsq(pair, sound.astype(float), rcond=None)
    found = pair @ weights
    rest = float(np.var(sound - found))
    return float(np.hypot(*weights)), 10 * float(np.log10(np.var(found) / max(rest, 1e-9)))


def wave_file(sound: npt.NDArray[np.generic], rate_hz: int) -> bytes:
    """A WAV file as the standard library writes it; `sound` is (samples,) or (samples, channels),
    16-bit, or 8-bit unsigned."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        writer.setsampwidth(sound.dtype.itemsize)
        writer.setframerate(rate_hz)
        writer.writeframes(sound.tobytes())
    return file.getvalue()


def float_wave_file(sound: npt.NDArray[np.float32], rate_hz: int) -> bytes:
    shape = struct.pack("<HHIIHH", 3, 1, rate_hz, rate_hz * 4, 4, 32)
    data = sound.astype("<f4").tobytes()
    chunks = b"fmt " + struct.pack("<I", len(shape)) + shape
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
