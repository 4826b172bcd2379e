"""Recordings that somebody sends: decoded, measured and listened to in processes of their own.

A file is the most dangerous thing that is let into the house: it may crash its decoder, never
end, or lie about what it is. So each is given to a worker (`engines.recordings_worker`), one at
a time, which can be killed without anybody else noticing. The server's process only passes
bytes on. The file is decoded twice: first to know how long it is, before anything is promised;
then, as fast as somebody takes it, to be heard. No more than some seconds of sound are ever
held.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from .opus import BadAudio
from .speech import PCM_FRAME_BYTES, PcmFrame
from .workers import Job, WorkerPool

# A file that takes longer than this to be measured is made to be slow.
MEASURE_SECONDS_MAX = 60.0
# After so many frames in a row everybody else has a turn.
FRAMES_AT_ONCE = 32
# How long to wait for a worker that has only just begun, or is being replaced.
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a recording is. `duration_ms` is counted in decoded sound, whatever its head says."""

    duration_ms: int
    codec: str
    rate_hz: int
    channels: int


class Recording:
    """A recording that could be decoded from its beginning to its end."""

    def __init__(self, job: Job, measured: Measured) -> None:
        self._job, self.measured = job, measured

    async def frames(self) -> AsyncGenerator[tuple[PcmFrame, float], None]:
        """Its sound, once, and the chance of each frame, 0 to 1, that it is speech. Raises
        `EngineError` when the worker dies."""
        await self._job.send({"listen": True})
        given = 0
        async for message, sound in self._job:
            for number, chance in enumerate(message["chances"]):
                given += 1
                if given % FRAMES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                start = number * PCM_FRAME_BYTES
                yield PcmFrame(sound[start : start + PCM_FRAME_BYTES]), chance / 255


class Recordings:
    """Opens recordings, `workers` at a time. The workers start when the first one comes."""

    def __init__(self, *, workers: int = 2, nice: int = 5) -> None:
        self._pool = WorkerPool(
            "engines.recordings_worker", workers=workers, name="decoder", nice=nice, wait_s=WAIT_S
        )

    async def close(self) -> None:
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def open(
        self, pieces: AsyncIterator[bytes], *, seconds_max: float
    ) -> AsyncIterator[Recording]:
        """The recording whose file comes in these pieces, each at most 64 KiB.

        Raises `BadAudio` when it is no sound, holds none, is longer than `seconds_max` or too
        slow to decode, and `EngineError` when no worker is free or this one dies.
        """
        await self._pool.ready()
        async with self._pool.job({"seconds_max": seconds_max}) as job:
            async for piece in pieces:
                await job.send({}, piece)
            await job.send({"end": True})
            try:
                async with asyncio.timeout(MEASURE_SECONDS_MAX):
                    found, _ = await anext(job)
            except TimeoutError:
                raise BadAudio("the sound takes too long to decode") from None
            if "bad" in found:
                raise BadAudio(found["bad"])
            yield Recording(job, Measured(**found))
