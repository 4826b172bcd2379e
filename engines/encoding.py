"""Speech in the shape a listener asks for, made while it is still being spoken.

Opus only gets its container, here and now. For every other format the packets are decoded and
encoded anew, in a process of its own (`engines.encoding_worker`) that serves many listeners in
turn, so that no call waits for somebody's MP3. Nothing is held but what is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from .ogg import OggOpusWriter
from .speech import EngineError, OpusFrame
from .workers import Job, WorkerPool

OPUS = "opus"
FORMATS = ("mp3", OPUS, "aac", "flac", "wav", "pcm")
# Few, so that the first sound does not wait for much more of it.
FRAMES_PER_MESSAGE = 5
PACKETS_PER_PAGE = 10
# How long to wait for a worker that has only just begun.
WAIT_S = 30.0


class Encoders:
    """Encodes up to `streams_max` streams at once. The worker starts with the first of them."""

    def __init__(self, *, streams_max: int = 16, nice: int = 5) -> None:
        self._pool = WorkerPool(
            "engines.encoding_worker", workers=1, jobs_per_worker=streams_max, name="encoder",
            nice=nice, wait_s=WAIT_S,
        )  # fmt: skip

    async def close(self) -> None:
        await self._pool.close()

    async def encoded(
        self, frames: AsyncGenerator[OpusFrame, None], audio_format: str
    ) -> AsyncGenerator[bytes, None]:
        """The file or stream of these frames, piece by piece, at 24 kHz mono. `frames` is closed
        in any case. Raises `EngineError`, its own or that of the frames; the latter before
        anything is given, where there is no first frame."""
        assert audio_format in FORMATS
        async with contextlib.aclosing(frames):
            sound = _from(await anext(frames, None), frames)
            pieces = _in_ogg(sound) if audio_format == OPUS else self._anew(sound, audio_format)
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    yield piece

    async def _anew(
        self, frames: AsyncIterator[OpusFrame], audio_format: str
    ) -> AsyncGenerator[bytes, None]:
        await self._pool.ready()
        async with self._pool.job({"format": audio_format}) as job:
            feeding = asyncio.create_task(_feed(frames, job))
            try:
                async for _, piece in job:
                    yield piece
                await feeding
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)


async def _from(
    first: OpusFrame | None, rest: AsyncIterator[OpusFrame]
) -> AsyncGenerator[OpusFrame, None]:
    if first is not None:
        yield first
        async for frame in rest:
            yield frame


async def _in_ogg(frames: AsyncIterator[OpusFrame]) -> AsyncGenerator[bytes, None]:
    writer = OggOpusWriter(PACKETS_PER_PAGE)
    async for frame in frames:
        if page := writer.feed([frame]):
            yield page
    yield writer.finish()


async def _feed(frames: AsyncIterator[OpusFrame], job: Job) -> None:
    """Hand the frames over as they come. Where they fail the job is told, and so ends."""
    held: list[bytes] = []
    try:
        async for frame in frames:
            held.append(frame.packet)
            if len(held) == FRAMES_PER_MESSAGE:
                await job.send({"sizes": [*map(len, held)]}, b"".join(held))
                held.clear()
    except EngineError:
        await job.send({"sizes": [], "end": True})
        raise
    await job.send({"sizes": [*map(len, held)], "end": True}, b"".join(held))
