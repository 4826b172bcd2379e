"""One wheel that beats every 20 ms for all calls of a process.

A timer per call would wake the process for every packet of every call; one timer wakes it
fifty times a second, however many calls play, and not at all while none does.

The beats lie on a grid of absolute times, so they do not drift. A beat that comes late is not
made up for: the next one lies on the grid again, and each call's playout decides how much of
what it missed may still be sent. Each member is called by a callback of its own, so that one
that fails is reported by the loop and dropped, and the others play on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

BEAT_MS = 20

# Called with the time of the beat; answers whether it wants the next one.
Member = Callable[[int], bool]


class Wheel:
    """Calls its members every 20 ms until they have had enough.

    Belongs to one event loop. `close` stops it for good; a member woken later stays asleep.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._origin = loop.time()
        self._beat = 0
        self._members: dict[Member, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def now_ms(self) -> int:
        """The wheel's clock: monotonic milliseconds since an unknown moment."""
        return int(self._loop.time() * 1_000)

    @property
    def turning(self) -> bool:
        return self._timer is not None

    def wake(self, member: Member) -> None:
        """Call `member` at every beat from the next one on."""
        if self._closed:
            return
        self._members[member] = None
        if self._timer is None:
            self._schedule()

    def rest(self, member: Member) -> None:
        self._members.pop(member, None)

    def close(self) -> None:
        self._closed = True
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        elapsed_ms = (self._loop.time() - self._origin) * 1_000
        # The timer may come a little early; the same beat must not be struck twice.
        self._beat = max(self._beat + 1, math.floor(elapsed_ms / BEAT_MS) + 1)
        self._timer = self._loop.call_at(self._origin + self._beat * BEAT_MS / 1_000, self._strike)

    def _strike(self) -> None:
        self._timer = None
        if not self._members:
            return
        now_ms = self.now_ms()
        for member in self._members:
            self._loop.call_soon(self._call, member, now_ms)
        self._schedule()

    def _call(self, member: Member, now_ms: int) -> None:
        if member not in self._members:
            return  # It was put to rest by one called before it.
        del self._members[member]
        if member(now_ms) and not self._closed:
            self._members[member] = None
