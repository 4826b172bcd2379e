"""A loop whose clock jumps: what waits for a second waits for no time at all, and what would wait
for ever is an error. So silences can be tested to the millisecond, on however busy a machine."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everybody waits for somebody else, and no clock will help."""


class _Jumps(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now_s += max(timeout, 0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now_s


def clock_ms() -> int:
    """Whole milliseconds of the running loop's clock."""
    return int(asyncio.get_running_loop().time() * 1_000 + 1e-6)


def run(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run this in virtual time. It must leave no task behind."""

    async def alone() -> T:
        result = await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"still running: {left}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(alone())
