"""The embedded recogniser: PocketSphinx, for a machine that has nothing better yet.

It needs no download and knows only English. Its words are right about every second time, so
whoever shows them should say so. The work is done in `engines.sphinx_worker`, in processes of
its own; here is the server's side: sound goes to the worker while it arrives, and partials
and finals come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from .speech import EngineRefused, PcmFrame, Transcript, Word
from .workers import Job, WorkerPool

LANGUAGES = ("en",)
# One costs from a quarter to a third of a core while somebody speaks, and callers seldom do so all
# at once; more than these would be heard late.
STREAMS_PER_WORKER = 5
FRAMES_PER_MESSAGE = 4


class SphinxSpeechToText:
    """A `SpeechToText` for English. Partials show only words that two guesses agree on."""

    def __init__(
        self, workers: int = 1, *, streams_per_worker: int = STREAMS_PER_WORKER,
        wait_s: float = 5.0, nice: int = 0,
    ) -> None:  # fmt: skip
        self._pool = WorkerPool(
            "engines.sphinx_worker",
            workers=workers,
            jobs_per_worker=streams_per_worker,
            name="recogniser",
            wait_s=wait_s,
            nice=nice,
        )

    async def start(self) -> None:
        """Load the models in every worker. Raises `EngineError`."""
        await self._pool.start()

    async def close(self) -> None:
        await self._pool.close()

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """The words of one stream. Raises `EngineError`, and at once `EngineRefused` for another
        language."""
        if language.casefold()[:2] not in LANGUAGES:
            raise EngineRefused(
                "The built-in recogniser understands English only; for other languages "
                "pull Whisper weights (voice-server models pull base)."
            )
        async with self._pool.job({"expected": list(expected)}) as job:
            feeding = asyncio.create_task(_feed(audio, job))
            try:
                async for message, _ in job:
                    yield _transcript(message)
                await feeding
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)


async def _feed(audio: AsyncIterator[PcmFrame], job: Job) -> None:
    """Hand over the sound as it comes, and its end however it ends: the job must not wait
    for a stream that has failed."""
    pending = bytearray()
    frames, cancelled = 0, False
    try:
        async for frame in audio:
            pending += frame.samples
            frames += 1
            if frames % FRAMES_PER_MESSAGE == 0:
                await job.send({}, bytes(pending))
                pending.clear()
    except asyncio.CancelledError:
        cancelled = True
        raise
    finally:
        if not cancelled:
            await job.send({"end": True}, bytes(pending))


def _transcript(message: dict[str, Any]) -> Transcript:
    final = "final" in message
    words = tuple(Word(*word) for word in message["final" if final else "partial"])
    start_ms = message.get("start_ms", words[0].start_ms if words else 0)
    end_ms = message.get("end_ms", words[-1].end_ms if words else start_ms)
    return Transcript(" ".join(word.text for word in words), final, start_ms, end_ms, words)
