"""The wheel beats on the grid, sleeps when nobody plays, and one failure stops nobody else."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest

from voice_server.calls.pacing import Wheel


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """As much of an event loop as the wheel asks for, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.late = 0.0
        self.timers: list[tuple[float, int, Timer, Callable[[], None]]] = []
        self.failures: list[Exception] = []
        self._ready: list[Callable[[], object]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self._count += 1
        timer = Timer()
        heapq.heappush(self.timers, (when, self._count, timer, callback))
        return timer

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._ready.append(lambda: callback(*args))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            when, _, timer, callback = heapq.heappop(self.timers)
            self.now = max(self.now, when + self.late)
            if not timer.cancelled:
                callback()
            self._settle()
        self.now = max(self.now, end)

    def _settle(self) -> None:
        ready, self._ready = self._ready, []
        for callback in ready:
            try:
                callback()
            except LookupError as error:  # As a loop does: report and go on.
                self.failures.append(error)


def keeps(beats: list[int]) -> Callable[[int], bool]:
    def member(now_ms: int) -> bool:
        beats.append(now_ms)
        return True

    return member


@pytest.fixture
def loop() -> ManualLoop:
    return ManualLoop()


@pytest.fixture
def wheel(loop: ManualLoop) -> Wheel:
    return Wheel(cast(asyncio.AbstractEventLoop, loop))


def test_beats_lie_on_the_grid_and_do_not_drift(loop: ManualLoop, wheel: Wheel) -> None:
    beats: list[int] = []
    loop.late = 0.003
    wheel.wake(keeps(beats))
    loop.run_for(60)
    assert len(beats) == 3_000
    assert {(beat - beats[0]) % 20 for beat in beats} <= {0, 1, 19}  # Rounding, not drift.


def test_a_late_beat_is_not_made_up_for(loop: ManualLoop, wheel: Wheel) -> None:
    beats: list[int] = []
    wheel.wake(keeps(beats))
    loop.run_for(0.1)
    loop.late = 0.5
    loop.run_for(0.03)
    loop.late = 0.0
    after = len(beats)
    loop.run_for(0.1)
    assert after <= 7
    assert len(beats) - after == 5


def test_the_wheel_sleeps_when_nobody_plays(loop: ManualLoop, wheel: Wheel) -> None:
    assert not wheel.turning
    wheel.wake(lambda now_ms: False)
    assert wheel.turning
    loop.run_for(1)
    assert not wheel.turning
    assert not loop.timers


def test_a_member_woken_again_beats_again(loop: ManualLoop, wheel: Wheel) -> None:
    beats: list[int] = []

    def once(now_ms: int) -> bool:
        beats.append(now_ms)
        return False

    wheel.wake(once)
    loop.run_for(1)
    wheel.wake(once)
    wheel.wake(once)  # Twice woken is still one member.
    loop.run_for(1)
    assert len(beats) == 2


def test_a_member_that_fails_is_dropped_and_the_others_play_on(
    loop: ManualLoop, wheel: Wheel
) -> None:
    beats: list[int] = []

    def broken(now_ms: int) -> bool:
        raise LookupError

    wheel.wake(broken)
    wheel.wake(keeps(beats))
    loop.run_for(0.2)
    assert len(beats) == 10
    assert len(loop.failures) == 1


def test_a_member_put_to_rest_is_not_called(loop: ManualLoop, wheel: Wheel) -> None:
    beats: list[int] = []

    def member(now_ms: int) -> bool:
        beats.append(now_ms)
        return True

    wheel.wake(member)
    wheel.rest(member)
    loop.run_for(1)
    assert beats == []


def test_a_closed_wheel_stays_closed(loop: ManualLoop, wheel: Wheel) -> None:
    beats: list[int] = []
    wheel.wake(keeps(beats))
    wheel.close()
    wheel.wake(keeps(beats))
    loop.run_for(1)
    assert beats == []
    assert not wheel.turning


async def test_a_real_loop_turns_it() -> None:
    wheel = Wheel(asyncio.get_running_loop())
    done = asyncio.Event()
    beats: list[int] = []

    def member(now_ms: int) -> bool:
        beats.append(now_ms)
        if len(beats) == 5:
            done.set()
        return not done.is_set()

    wheel.wake(member)
    await done.wait()
    assert all(a < b for a, b in itertools.pairwise(beats))
    wheel.close()
