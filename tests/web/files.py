"""A real server, and the published `openai` client that sends it files and texts."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx2
import numpy as np
from openai import AsyncOpenAI

from engines.audio import read_audio
from engines.recordings import Recordings
from tests.engines.sounds import Samples, loudness

from .outside import Outside, outside

# Nobody is judged by how fast the machine is.
PATIENCE_S = 110.0
# The real engines; the others are scripted.
LISTENING, SPEAKING = {"speech_to_text": "sphinx"}, {"text_to_speech": "espeak"}


@contextlib.asynccontextmanager
async def client_of(port: int, key: str = "none") -> AsyncIterator[AsyncOpenAI]:
    http = httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S)
    url = f"http://127.0.0.1:{port}/v1"
    async with AsyncOpenAI(api_key=key, base_url=url, max_retries=0, http_client=http) as client:
        yield client


@contextlib.asynccontextmanager
async def server_with_client(
    folder: Path, port: int, **options: object
) -> AsyncIterator[tuple[Outside, AsyncOpenAI]]:
    """A server of its own, held to its promises at the end."""
    async with outside(folder, port, **options) as server, client_of(port) as client:
        yield server, client


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


def wave_of(pcm: bytes, rate_hz: int) -> bytes:
    """A WAV file of mono s16le sound, by PyAV."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=rate_hz)
        samples: Samples = np.frombuffer(pcm, "<i2")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


async def judged(file: bytes) -> tuple[float, float, float]:
    """Seconds, loudness in dB, and the share of speech by the voice detector, of a sound file."""
    frames = read_audio(file, seconds_max=600)
    recordings = Recordings(workers=1)
    try:
        async with recordings.open(pieces(file), seconds_max=600) as recording:
            chances = [chance async for _, chance in recording.frames()]
            seconds = recording.measured.duration_ms / 1_000
    finally:
        await recordings.close()
    level = loudness(b"".join(frame.samples for frame in frames))
    return seconds, level, sum(chance > 0.5 for chance in chances) / len(chances)
