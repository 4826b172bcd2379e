"""What neural voices on this machine have in common, seen from the server: a text goes to their
worker piece by piece, and packets and places come back.

The worker is begun when somebody first speaks, holds the network once for all callers, and makes
their pieces in turn. The first piece of a text is a short one, so that its sound leaves early.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from ..sentences import SentenceCutter
from ..serving import Options
from ..speech import EngineRefused, OpusFrame, WordTime
from ..workers import WorkerPool
from .phoneme_times import words_of

TEXT_CHARS_MAX = 5_000
SPEED_MIN, SPEED_MAX = 0.25, 4.0
# So many callers speak by turns.
JOBS_MAX = 16
# Weights of some hundred megabytes have to be read first.
START_S = 120.0


class LocalVoice:
    """The worker of one engine. `module` is what it runs, with `options`; `name` is for people."""

    def __init__(
        self, module: str, name: str, options: Options, *, wait_s: float, nice: int
    ) -> None:
        self._pool = WorkerPool(
            module, workers=1, jobs_per_worker=JOBS_MAX, options=options, name=f"{name} voice",
            wait_s=wait_s, start_s=START_S, nice=nice,
        )  # fmt: skip

    async def ready(self) -> None:
        """Raises `EngineError`."""
        await self._pool.ready()

    async def close(self) -> None:
        await self._pool.close()

    async def speak(
        self, text: str, request: Mapping[str, object]
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of a text. Leaving stops the worker in the middle of a piece. Raises
        `EngineError`."""
        pieces = pieces_of(text)
        if not pieces:
            return
        await self._pool.ready()
        async with self._pool.job({**request, "pieces": pieces}) as job:
            for _ in pieces:
                await job.send({})
            async for message, payload in job:
                for start, end, at_ms in message["words"]:
                    yield WordTime(start, end, at_ms)
                at = 0
                for size in message["sizes"]:
                    yield OpusFrame(payload[at : at + size])
                    at += size


def checked(text: str, speed: float) -> str:
    """The text as a worker can be told it. Raises `EngineRefused`."""
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise EngineRefused(f"a speed is from {SPEED_MIN:g} to {SPEED_MAX:g}")
    if len(text) > TEXT_CHARS_MAX:
        raise EngineRefused(f"a text to be spoken has at most {TEXT_CHARS_MAX} characters")
    return text.encode(errors="replace").decode()  # Half a surrogate pair: a "?".


def pieces_of(text: str) -> list[tuple[int, str]]:
    """The pieces that are made one by one, each with its place in the text; those without a
    word go with the piece before."""
    cutter = SentenceCutter()
    found: list[tuple[int, str]] = []
    at = 0
    for piece in [*cutter.feed(text), *cutter.rest()]:
        at = text.index(piece, at)
        if words_of(piece):
            found.append((at, piece))
        at += len(piece)
    return found
