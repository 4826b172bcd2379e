"""The sound of one utterance, read as it comes and kept while somebody may have to hear it again.

A task of its own reads the source, so that leaving an engine, which breaks off its reading,
breaks off nothing here; and so that the end of the sound is known although an engine does not
listen. What is kept is bounded: sound beyond that is forgotten once it was heard, and is not read
before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from ..speech import PCM_FRAME_MS, PcmFrame
from .work import gone

# Two minutes, 4 MB. Recognisers call words final well before, and then their sound is let go.
KEPT_FRAMES_MAX = 120_000 // PCM_FRAME_MS
# Ten seconds, where nobody may have to hear it again: then a recogniser that falls behind holds
# up whoever brings the sound.
AHEAD_FRAMES_MAX = 320


class Listener:
    """One engine's place on the tape. Places count in frames from the beginning of the sound."""

    def __init__(self, tape: Tape, begin: int, heard: Callable[[], None]) -> None:
        self._tape, self._heard = tape, heard
        self.begin = self.position = begin

    @property
    def begin_ms(self) -> int:
        return self.begin * PCM_FRAME_MS

    async def frames(self) -> AsyncIterator[PcmFrame]:
        """All sound from `begin` on, to its end. Raises what the source raises."""
        while (frame := await self._tape.at(self.position)) is not None:
            self.position = max(self.position, self._tape.start) + 1
            self._heard()
            self._tape.move_on()
            yield frame


class Tape:
    """Enter it with `async with`. `ended`: called once when the sound has ended."""

    def __init__(self, source: AsyncIterator[PcmFrame], ended: Callable[[], None]) -> None:
        self._source, self._when_ended = source, ended
        self._frames: deque[PcmFrame] = deque()
        # The place of the first frame that is kept, and whether those that were heard are.
        self.start, self.keeps = 0, True
        self.ended = False
        self._listeners: list[Listener] = []
        self._came, self._went = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Tape:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._task is not None
        self._task.cancel()
        await gone([self._task])
        self.failure()  # It has been looked at, and is not logged as forgotten.

    @property
    def end(self) -> int:
        return self.start + len(self._frames)

    def failure(self) -> BaseException | None:
        """What the source failed with."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def is_over(self) -> bool:
        """Whether the sound has ended and nothing of it is left to be heard."""
        return self.ended and not self._frames

    # Listening.

    def listen(self, heard: Callable[[], None]) -> Listener:
        """Somebody who hears all that is kept and all that comes; `heard`: each frame."""
        listener = Listener(self, self.start, heard)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
        self._went.set()

    def forget(self, before: int) -> None:
        """Nobody has to hear again what lies before this place."""
        while self._frames and self.start < before:
            self._frames.popleft()
            self.start += 1
        self._went.set()

    def move_on(self) -> None:
        """Somebody has heard a frame; there may be room for another."""
        self._went.set()

    async def at(self, place: int) -> PcmFrame | None:
        """The frame at a place, when it has come; None beyond the end of the sound."""
        while place >= self.end:
            if self.ended:
                if (failure := self.failure()) is not None:
                    raise failure
                return None
            self._came.clear()
            await self._came.wait()
        return self._frames[max(place - self.start, 0)]

    # Recording.

    async def _read(self) -> None:
        try:
            async for frame in self._source:
                await self._room()
                self._frames.append(frame)
                self._came.set()
        finally:
            self.ended = True
            self._came.set()
            self._when_ended()

    async def _room(self) -> None:
        """Wait until there is room for one frame more: where all have heard it, the oldest
        sound is forgotten."""
        while len(self._frames) >= (KEPT_FRAMES_MAX if self.keeps else AHEAD_FRAMES_MAX):
            heard = min((listener.position for listener in self._listeners), default=0)
            if heard > self.start:
                self.forget(self.start + 1)
            else:
                self._went.clear()
                await self._went.wait()
