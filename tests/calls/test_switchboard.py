"""Calls are admitted, metered, run, drained; each is billed, whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import select

from billing.customers import Customers
from billing.database import Database
from billing.migrations import migrate
from billing.pricing import InsufficientFunds, PerMinute
from billing.records import UsageLease
from billing.usage import Usage
from engines.speech import EngineSettings, PcmFrame
from voice_server.calls.directory import MemoryDirectory
from voice_server.calls.events import Action, Connected, HungUp, Input, Typed
from voice_server.calls.rules import SILENT, Rules
from voice_server.calls.session import Link, Summary
from voice_server.calls.switchboard import (
    Busy,
    Caller,
    Draining,
    Limits,
    LiveCall,
    Switchboard,
    TooManyCalls,
)

from .exchange import PATIENCE_S, eventually
from .test_session import BrokenMouth, Engines, LoudnessVad, Mouth, others

LIMITS = Limits(calls_max=3, calls_per_user_max=2, call_minutes_max=60, heartbeat_s=0.02)
RULES = Rules(notices=SILENT, idle_ms_max=10**9)


class Stream(LoudnessVad):
    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    def close(self) -> None:
        self._ears.open_streams -= 1


class Ears:
    open_streams = 0

    def open(self) -> Stream:
        self.open_streams += 1
        return Stream(self)


class QueueLink:
    """A caller whose every move is put in by the test."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Input | None] = asyncio.Queue()
        self.summaries: list[Summary] = []
        self.done: list[Action] = []

    async def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        while (event := await self.queue.get()) is not None:
            yield event

    def perform(self, action: Action) -> None:
        self.done.append(action)

    async def close(self, summary: Summary) -> None:
        self.summaries.append(summary)


class BrokenLink(QueueLink):
    def perform(self, action: Action) -> None:
        raise ZeroDivisionError("a bug in a link")


@dataclass
class Exchange:
    """A switchboard over a real database, and one paying user."""

    board: Switchboard
    usage: Usage
    customers: Customers
    caller: Caller
    ears: Ears
    directory: MemoryDirectory
    clock: list[int]

    async def place(
        self, link: QueueLink | None = None, **more: bool
    ) -> tuple[LiveCall, QueueLink]:
        link = link or QueueLink()
        connect: Callable[[LiveCall], Link] = lambda _: link  # noqa: E731
        call = await self.board.place(
            self.caller, connect, settings=EngineSettings(), rules=RULES, **more
        )
        return call, link

    async def counted(self, call: LiveCall, elapsed_ms: int) -> bool:
        """Whether a heartbeat has written that the call has lasted so long, and paid on."""
        lease = select(UsageLease.counted_ms).where(UsageLease.usage_id == call.id)
        found = await self.usage._database.read(lambda session: session.execute(lease))
        return found.scalar_one() >= elapsed_ms


@asynccontextmanager
async def exchange(
    url: str, *, engines: Engines | None = None, limits: Limits = LIMITS, credit: int = 10_000
) -> AsyncIterator[Exchange]:
    await migrate(url)
    database = Database(url)
    customers = Customers(database, currency="RUB", demo_minutes=2, local_credit=credit)
    user = await customers.local_user()
    usage = Usage(database, server_id="one", lease_seconds=5, hold_minutes=1)
    ears, directory, clock = Ears(), MemoryDirectory(), [0]
    board = Switchboard(
        usage=usage, directory=directory, engines=engines or Engines(Mouth()), ears=ears,
        tariff=lambda _: PerMinute("RUB", 500), limits=limits, clock_ms=lambda: clock[0],
    )  # fmt: skip
    async with board:
        yield Exchange(
            board, usage, customers, Caller(user.user_id, "me"), ears, directory, clock
        )  # fmt: skip
    assert ears.open_streams == 0
    await database.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert others() == []


async def test_a_call_is_placed_billed_and_forgotten(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        call, link = await here.place()
        assert call.id in here.board.calls
        link.queue.put_nowait(Connected())
        await call.session.began.wait()  # type: ignore[union-attr]
        here.clock[0] += 61_000
        link.queue.put_nowait(HungUp())
        summary = await call.finished()
        assert summary.reason == "hung_up" and summary.duration_ms == 61_000
        assert summary.bill is not None and summary.bill.billed_minutes == 2
        assert await here.usage.bill(call.id, here.caller.user_id) == summary.bill
        while not link.summaries:
            await asyncio.sleep(0)
        assert link.summaries == [summary]
    assert not here.board.calls


async def test_a_call_that_never_connected_costs_nothing(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        before = await here.customers.wallet(here.caller.user_id)
        call, link = await here.place()
        link.queue.put_nowait(None)
        summary = await call.finished()
        assert summary.bill is None
        assert await here.customers.wallet(here.caller.user_id) == before


async def test_media_that_flows_at_once_is_counted_before_the_caller_is_told(
    sqlite_url: str,
) -> None:
    async with exchange(sqlite_url, limits=replace(LIMITS, heartbeat_s=1_000)) as here:
        call, _ = await here.place(media_flows=True)
        lease = select(UsageLease.connected).where(UsageLease.usage_id == call.id)
        found = await here.usage._database.read(lambda session: session.execute(lease))
        assert found.scalar_one() is True


async def test_limits(sqlite_url: str) -> None:
    async with exchange(sqlite_url, limits=replace(LIMITS, calls_per_user_max=9)) as here:
        for _ in range(3):
            await here.place()
        with pytest.raises(Busy) as refused:
            await here.place()
        assert refused.value.retry_after_s


async def test_one_user_may_not_take_every_line(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        first, link = await here.place()
        await here.place()
        with pytest.raises(TooManyCalls):
            await here.place()
        link.queue.put_nowait(HungUp())
        await first.finished()
        while first.id in here.board.calls:
            await asyncio.sleep(0)
        await here.place()


async def test_without_money_no_call(sqlite_url: str) -> None:
    async with exchange(sqlite_url, credit=0) as here:
        _, link = await here.place()
        while (await here.customers.wallet(here.caller.user_id)).minutes:
            await asyncio.sleep(0)  # Two demo minutes: one is held, and soon the next.
        with pytest.raises(InsufficientFunds):
            await here.place()
        assert len(here.board.calls) == 1
        link.queue.put_nowait(HungUp())


async def test_the_hold_is_renewed_while_the_call_lives(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        call, link = await here.place()
        link.queue.put_nowait(Connected())
        await call.session.began.wait()  # type: ignore[union-attr]
        for minute in range(1, 6):  # Held one at a time, and yet it lasts.
            here.clock[0] = minute * 59_000
            await eventually(lambda: here.counted(call, minute * 59_000))  # noqa: B023
        assert call.session is not None and call.session.closed is None
        link.queue.put_nowait(HungUp())
        summary = await call.finished()
        assert summary.bill is not None and summary.bill.billed_minutes == 5


async def test_a_broken_link_ends_its_own_call_only(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with exchange(sqlite_url) as here:
        healthy, _ = await here.place()
        broken, link = await here.place(BrokenLink())
        with caplog.at_level(logging.CRITICAL, "voice_server.calls.switchboard"):
            link.queue.put_nowait(Connected())
            link.queue.put_nowait(Typed("hello"))
            summary = await broken.finished()
        assert summary.bill is not None and summary.bill.billed_minutes == 1
        assert healthy.session is not None and healthy.session.closed is None


async def test_a_bug_in_an_engine_is_billed_too(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engines = Engines(BrokenMouth(ZeroDivisionError("a bug")))
    async with exchange(sqlite_url, engines=engines) as here:
        call, link = await here.place()
        with caplog.at_level(logging.CRITICAL, "voice_server.calls.switchboard"):
            link.queue.put_nowait(Connected())
            link.queue.put_nowait(Typed("hello"))
            summary = await call.finished()
        assert summary.bill is not None


async def test_hanging_up_needs_the_owner(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        call, link = await here.place()
        link.queue.put_nowait(Connected())
        assert not await here.board.hang_up(call.id, here.caller.user_id + 1)
        assert not await here.board.hang_up("call_none", here.caller.user_id)
        assert await here.board.hang_up(call.id, here.caller.user_id)
        assert (await call.finished()).reason == "hung_up"


async def test_draining_admits_nobody_and_bills_everybody(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        call, link = await here.place()
        link.queue.put_nowait(Connected())
        await call.session.began.wait()  # type: ignore[union-attr]
        await here.board.drain(0)
        summary = await call.finished()
        assert summary.reason == "draining" and summary.bill is not None
        with pytest.raises(Draining):
            await here.place()


async def test_a_place_that_is_abandoned_leaves_nothing(sqlite_url: str) -> None:
    async with exchange(sqlite_url) as here:
        placing = asyncio.create_task(here.place())
        await asyncio.sleep(0)
        placing.cancel()
        await asyncio.gather(placing, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            while here.board.calls:
                await asyncio.sleep(0)
        wallet = await here.customers.wallet(here.caller.user_id)
        assert not wallet.held or not any(wallet.held.values())
