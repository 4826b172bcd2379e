"""News overtakes what was said; what was said keeps its order and its bounds."""

from __future__ import annotations

import asyncio

from engines.speech import PcmFrame
from voice_server.calls.events import Committed, HungUp, Played
from voice_server.calls.incoming import NEWS_MAX, Incoming


def frame(number: int) -> PcmFrame:
    return PcmFrame(bytes([number]) * 1_024)


async def all_of(incoming: Incoming) -> list[object]:
    incoming.end()
    return [event async for event in incoming.inputs()]


async def test_what_was_said_keeps_its_order_and_news_comes_first() -> None:
    incoming = Incoming()
    incoming.say(frame(1))
    incoming.say(Committed())
    incoming.tell(Played(1, 100))
    assert await all_of(incoming) == [Played(1, 100), frame(1), Committed()]


async def test_what_comes_after_the_end_is_not_heard() -> None:
    incoming = Incoming()
    incoming.end()
    incoming.say(frame(1))
    incoming.push(frame(1))
    incoming.tell(HungUp())
    assert await all_of(incoming) == []


async def test_who_can_wait_waits_for_room() -> None:
    incoming = Incoming(said_max=2)
    incoming.say(frame(1))
    incoming.say(frame(2))
    waiting = asyncio.create_task(incoming.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    inputs = incoming.inputs()
    assert await anext(inputs) == frame(1)
    await waiting


async def test_the_end_wakes_who_waits() -> None:
    incoming = Incoming(said_max=1)
    incoming.say(frame(1))
    waiting = asyncio.create_task(incoming.room())
    await asyncio.sleep(0)
    incoming.end()
    await waiting


async def test_who_cannot_wait_loses_the_oldest_sound_and_no_event() -> None:
    incoming = Incoming(said_max=3)
    for event in (Committed(), frame(1), frame(2), frame(3), Committed()):
        incoming.push(event)
    assert incoming.dropped == 2
    assert await all_of(incoming) == [Committed(), frame(3), Committed()]


async def test_a_flood_of_events_is_bounded_too() -> None:
    incoming = Incoming(said_max=3)
    for number in range(NEWS_MAX * 2):
        incoming.push(Committed())
        incoming.tell(Played(1, number))
    assert len(incoming) == 3
    told = await all_of(incoming)
    assert len(told) == NEWS_MAX + 3
    assert Played(1, NEWS_MAX * 2 - 1) in told  # The latest is what counts.


async def test_inputs_come_as_they_are_said() -> None:
    incoming = Incoming()
    inputs = incoming.inputs()
    first = asyncio.ensure_future(anext(inputs))
    await asyncio.sleep(0)
    incoming.say(frame(7))
    assert await first == frame(7)
