"""Whoever has waited for long is spoken to by the voice that begins soon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from engines.failover.speaking import FailoverTextToSpeech, SpeakingPatience
from engines.speech import Hurried, OpusFrame
from voice_server.config import Config

from ..flaky import Fault, Record, Voice, candidates
from ..virtual_time import clock_ms, run

TEXT = "One moment, please."
# What the embedded voice needs on a machine that has nothing else to do, with some to spare.
EMBEDDED_MS = 250


def failover(record: Record, *voices: Voice, hedge_ms: int = 0) -> FailoverTextToSpeech:
    return FailoverTextToSpeech(candidates(*voices), record.terms(hedge_ms))


async def begins(engine: FailoverTextToSpeech, *, hurry_ms: int | None) -> tuple[str, int]:
    """Who says the first sound, and when. `hurry_ms`: when the listener has waited for long."""
    begun_ms, first = clock_ms(), list[tuple[str, int]]()

    async def hurry(after_ms: int) -> None:
        await asyncio.sleep(after_ms / 1_000)
        engine.hurry()

    async def speak() -> None:
        async for each in engine.synthesize(TEXT, voice="", language="en"):
            if isinstance(each, OpusFrame) and not first:
                first.append((each.packet.decode().split()[0], clock_ms() - begun_ms))

    both: list[Coroutine[Any, Any, None]] = [speak()]
    if hurry_ms is not None:
        both.append(hurry(hurry_ms))
    await asyncio.gather(*both)
    return first[0]


@pytest.mark.parametrize(
    ("slow_s", "hurry_ms", "begun"),
    [
        (0.9, None, ("one", 900)),  # It has its own time where nobody has waited yet.
        (0.9, 0, ("two", 500)),
        (0.4, 0, ("one", 400)),
        (0.9, 300, ("two", 800)),
        (0.9, 600, ("one", 900)),
        (60.0, 1_000, ("two", 1_200)),  # Its own time ends first.
    ],
)
def test_a_voice_that_is_waited_for_must_begin_soon(
    slow_s: float, hurry_ms: int | None, begun: tuple[str, int]
) -> None:
    async def test() -> None:
        engine = failover(Record(), Voice("one", slow_s=slow_s), Voice("two"))
        assert isinstance(engine, Hurried)
        assert await begins(engine, hurry_ms=hurry_ms) == begun

    run(test)


def test_whoever_was_hurried_has_not_failed_and_is_asked_first_again() -> None:
    async def test() -> None:
        record, one = Record(), Voice("one", slow_s=0.9)
        assert await begins(failover(record, one, Voice("two")), hurry_ms=0) == ("two", 500)
        assert record.told == [("one", "left"), ("two", "done")]
        assert one.open == 0
        assert await begins(failover(record, one, Voice("two")), hurry_ms=None) == ("one", 900)

    run(test)


def test_nobody_is_hurried_who_is_alone() -> None:
    async def test() -> None:
        alone = failover(Record(), Voice("one", slow_s=3))
        assert await begins(alone, hurry_ms=0) == ("one", 3_000)

    run(test)


def test_each_is_given_that_time() -> None:
    async def test() -> None:
        stalled = Voice("one", Fault.STALL), Voice("two", Fault.STALL)
        engine = failover(Record(), *stalled, Voice("three"))
        assert await begins(engine, hurry_ms=0) == ("three", 1_000)

    run(test)


def test_who_does_not_listen_live_hurries_nobody() -> None:
    async def test() -> None:
        voices = candidates(Voice("one", slow_s=3), Voice("two"))
        engine = FailoverTextToSpeech(voices, Record().terms(), SpeakingPatience(None, None))
        assert await begins(engine, hurry_ms=0) == ("one", 3_000)

    run(test)


def test_what_fills_the_time_is_heard_before_three_seconds_are_over() -> None:
    filler_ms = Config.model_fields["filler_ms"].default
    assert filler_ms + SpeakingPatience().hurried_ms + EMBEDDED_MS <= 3_000
