"""Sound that is kept for whoever may have to hear it again, and no longer and no more of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from engines.failover.tape import KEPT_FRAMES_MAX, Listener, Tape
from engines.speech import EngineError, PcmFrame

from ..flaky import frame_of
from ..virtual_time import run


async def sound(count: int) -> AsyncIterator[PcmFrame]:
    for number in range(count):
        yield frame_of(number)


async def numbers(listener: Listener, count: int = 1_000_000) -> list[int]:
    heard = list[int]()
    async for frame in listener.frames():
        heard.append(int.from_bytes(frame.samples[:4], "little"))
        if len(heard) == count:
            break
    return heard


def nothing() -> None:
    pass


def test_everybody_hears_all_that_is_kept() -> None:
    async def test() -> None:
        async with Tape(sound(50), nothing) as tape:
            first = tape.listen(nothing)
            assert await numbers(first, 20) == [*range(20)]
            tape.forget(15)
            second = tape.listen(nothing)
            assert await numbers(second) == [*range(15, 50)]
            assert await numbers(first) == [*range(20, 50)]

    run(test)


def test_who_takes_nothing_holds_up_the_rest_until_it_is_left() -> None:
    async def test() -> None:
        count = KEPT_FRAMES_MAX + 100
        async with Tape(sound(count), nothing) as tape:
            slow, fast = tape.listen(nothing), tape.listen(nothing)
            hearing = asyncio.create_task(numbers(fast))
            await asyncio.sleep(1)
            assert fast.position == KEPT_FRAMES_MAX
            tape.leave(slow)
            assert await hearing == [*range(count)]

    run(test)


def test_who_is_overtaken_goes_on_where_sound_is_left() -> None:
    async def test() -> None:
        async with Tape(sound(50), nothing) as tape:
            listener = tape.listen(nothing)
            assert await numbers(listener, 5) == [*range(5)]
            tape.forget(30)
            assert await numbers(listener) == [*range(30, 50)]

    run(test)


def test_the_end_is_told_once_and_a_failure_to_everybody() -> None:
    async def breaking() -> AsyncIterator[PcmFrame]:
        yield frame_of(0)
        raise EngineError("the microphone is gone")

    async def test() -> None:
        ended = list[bool]()
        async with Tape(breaking(), lambda: ended.append(True)) as tape:
            for _ in range(2):
                with pytest.raises(EngineError, match="microphone"):
                    await numbers(tape.listen(nothing))
            assert isinstance(tape.failure(), EngineError)
        assert ended == [True]

    run(test)
