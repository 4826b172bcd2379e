"""Calls are admitted, metered, run, drained; each is billed, whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select

from billing.customers import Customers
from billing.database import Database
from billing.migrations import migrate
from billing.pricing import InsufficientFunds, PerMinute
from billing.records import UsageLease, UsageSession
from billing.turn_facts import TurnFacts
from billing.usage import Usage
from engines.cascade import Cascade
from engines.speech import (
    Dialogue,
    EngineSettings,
    EngineUse,
    PcmFrame,
    Report,
    TextToSpeech,
    unreported,
)
from voice_server.calls.directory import MemoryDirectory
from voice_server.calls.events import (
    Action,
    Connected,
    HungUp,
    Input,
    Play,
    Played,
    ReplyFinished,
    Typed,
)
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
    url: str, *, engines: Engines | None = None, limits: Limits = LIMITS, credit: int = 10_000,
    keep_turns: Callable[[Iterable[TurnFacts]], None] = lambda _: None,
    moment: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Exchange]:  # fmt: skip
    await migrate(url)
    database = Database(url)
    customers = Customers(database, currency="RUB", demo_minutes=2, local_credit=credit)
    user = await customers.local_user()
    usage = Usage(database, server_id="one", lease_seconds=5, hold_minutes=1)
    ears, directory, clock = Ears(), MemoryDirectory(), [0]
    board = Switchboard(
        usage=usage, directory=directory, ears=ears,
        engine=partial(Cascade, engines or Engines(Mouth())),
        tariff=lambda _: PerMinute("RUB", 500), limits=limits, clock_ms=lambda: clock[0],
        keep_turns=keep_turns, moment=moment,
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


# Turns are told, and what they cost.


class Telling(Engines):
    """Engines that tell of each request, as those do that stand for several."""

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        report(EngineUse("dialogue", "away", "m", "failed", 100, error="it is away"))
        told = (("tokens_in", 1_000), ("tokens_cached", 0), ("tokens_out", 100))
        report(EngineUse("dialogue", "openai", "gpt-4.1-mini", "done", 700, 300, amounts=told))
        return super().dialogue(name)

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
        report(EngineUse("text_to_speech", "espeak", "", "done", 90, 9))
        return super().text_to_speech(name)


class ListeningLink(QueueLink):
    """Hears every frame at once."""

    def perform(self, action: Action) -> None:
        super().perform(action)
        if isinstance(action, Play):
            played = sum(isinstance(a, Play) and a.turn == action.turn for a in self.done)
            self.queue.put_nowait(Played(action.turn, played * 20))


def replied(link: QueueLink, turn: int) -> bool:
    return any(isinstance(a, ReplyFinished) and a.turn == turn for a in link.done)


async def detail_of(here: Exchange, call: LiveCall) -> dict[str, object]:
    statement = select(UsageSession.detail).where(UsageSession.usage_id == call.id)
    found = await here.usage._database.read(lambda session: session.execute(statement))
    return dict(found.scalar_one())


async def test_the_turns_of_a_call_are_told_with_who_answered_and_the_bill_with_the_cost(
    sqlite_url: str,
) -> None:
    kept: list[TurnFacts] = []
    async with exchange(
        sqlite_url, engines=Telling(Mouth()), keep_turns=kept.extend
    ) as here:  # fmt: skip
        call, link = await here.place(ListeningLink())
        link.queue.put_nowait(Connected())
        link.queue.put_nowait(Typed("hello"))
        await eventually(lambda: replied(link, 1))
        link.queue.put_nowait(HungUp())
        summary = await call.finished()
        detail = await detail_of(here, call)
    [turn] = kept
    assert (turn.usage_id, turn.turn, turn.outcome) == (call.id, 1, "completed")
    assert (turn.dialogue, turn.text_to_speech) == ("openai:gpt-4.1-mini", "espeak")
    assert (turn.failovers, turn.gap_ms is not None) == (1, True)
    assert turn.uses[0]["error"] == "it is away"
    # 1,000 × 0.40 + 100 × 1.60, and an engine whose price nobody knows.
    assert (turn.cost_micros, turn.unpriced) == ({"USD": 560}, 1)
    assert detail == {
        "reason": "hung_up", "turns": 1, "engine_cost_micros": {"USD": 560},
        "engine_cost_unknown": 1,
    }  # fmt: skip
    assert summary.bill is not None and "engine_cost_micros" not in summary.bill.as_json()


async def test_of_a_long_call_turns_are_told_while_it_lives(sqlite_url: str) -> None:
    kept, now = list[TurnFacts](), [datetime(2026, 11, 21, 12, tzinfo=UTC)]
    async with exchange(
        sqlite_url, engines=Telling(Mouth()), keep_turns=kept.extend, moment=lambda: now[0]
    ) as here:  # fmt: skip
        call, link = await here.place(ListeningLink())
        link.queue.put_nowait(Connected())
        link.queue.put_nowait(Typed("hello"))
        await eventually(lambda: replied(link, 1))
        now[0] += timedelta(seconds=60)
        await eventually(lambda: len(kept) == 1)
        link.queue.put_nowait(Typed("and now?"))
        await eventually(lambda: replied(link, 2))
        link.queue.put_nowait(HungUp())
        await call.finished()
        detail = await detail_of(here, call)
    assert [(turn.turn, turn.started_at.minute) for turn in kept] == [(1, 0), (2, 1)]
    assert detail["engine_cost_micros"] == {"USD": 1_120}


async def test_a_turn_that_a_bug_cut_off_is_told_and_billed(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[TurnFacts] = []
    engines = Telling(BrokenMouth(ZeroDivisionError("a bug")))
    async with exchange(sqlite_url, engines=engines, keep_turns=kept.extend) as here:
        call, link = await here.place()
        with caplog.at_level(logging.CRITICAL, "voice_server.calls.switchboard"):
            link.queue.put_nowait(Connected())
            link.queue.put_nowait(Typed("hello"))
            summary = await call.finished()
        assert summary.bill is not None
    assert [turn.outcome for turn in kept] == ["cancelled"]


async def test_a_record_that_cannot_be_kept_leaves_the_bill_right(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Iterable[TurnFacts]) -> None:
        if here.clock[0]:
            raise ZeroDivisionError("a bug")

    async with exchange(sqlite_url, engines=Telling(Mouth()), keep_turns=broken) as here:
        call, link = await here.place(ListeningLink())
        link.queue.put_nowait(Connected())
        link.queue.put_nowait(Typed("hello"))
        await eventually(lambda: replied(link, 1))
        with caplog.at_level(logging.CRITICAL, "voice_server.calls.switchboard"):
            here.clock[0] += 61_000
            link.queue.put_nowait(HungUp())
            summary = await call.finished()
        assert summary.bill is not None and summary.bill.billed_minutes == 2
