"""People who speak as long as a test needs: sound that is loud or silent, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from engines.speech import PCM_FRAME_BYTES, PCM_FRAME_MS, PcmFrame

from .sounds import noise

SILENT = PcmFrame(bytes(PCM_FRAME_BYTES))


def speech(ms: int, seed: int = 1) -> list[PcmFrame]:
    """Loud sound. Another seed, other sound."""
    count = ms // PCM_FRAME_MS
    sound = noise(count * PCM_FRAME_BYTES // 2, seed=seed).tobytes()
    starts = range(0, len(sound), PCM_FRAME_BYTES)
    return [PcmFrame(sound[at : at + PCM_FRAME_BYTES]) for at in starts]


def silence(ms: int) -> list[PcmFrame]:
    return [SILENT] * (ms // PCM_FRAME_MS)


def bytes_of(frames: Iterable[PcmFrame]) -> bytes:
    return b"".join(frame.samples for frame in frames)


async def spoken(frames: Sequence[PcmFrame]) -> AsyncIterator[PcmFrame]:
    """All of it, as fast as it is taken; as in a call, others run between two frames."""
    for frame in frames:
        await asyncio.sleep(0)
        yield frame


async def spoken_until(
    frames: Sequence[PcmFrame], enough: asyncio.Event
) -> AsyncIterator[PcmFrame]:
    """All of it, and then nothing until it is enough."""
    for frame in frames:
        await asyncio.sleep(0)
        yield frame
    await enough.wait()
