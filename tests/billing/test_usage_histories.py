"""Any history of calls keeps the book: grants, calls, heartbeats, ends, crashes, reapers.

Hypothesis makes the history up against the real database and a model that only knows what
each user was given. Whatever happens, in any order and however often repeated:

- what a user has, what is held and what was earned sum to what was given;
- no wallet is below zero;
- every connected call that is over has exactly one bill, priced by its minutes;
- what is computed from the postings equals what is cached.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from billing.customers import Customers
from billing.database import Database
from billing.migrations import migrate
from billing.pricing import MINUTE_MS, InsufficientFunds, PerMinute
from billing.records import UsageSession
from billing.usage import LeaseLost, Meter, Usage

from .conftest import HandClock

LEASE_S = 15.0
RATES = (0, 1, 500)


@dataclass(slots=True)
class Call:
    meter: Meter
    user: int
    usage: Usage
    rate: int
    elapsed_ms: int | None = None


class Histories(RuleBasedStateMachine):
    """One history. `world` (set by the test) lends the loop and the database."""

    world: World
    calls = Bundle("calls")

    @initialize()
    def begin(self) -> None:
        self.given: dict[int, list[int]] = {}
        self.live: dict[str, Call] = {}
        self.connected: dict[str, Call] = {}
        self.servers = [self.world.new_server(), self.world.new_server()]
        for _ in range(2):
            self.given[self.world.new_user()] = [0, 0]
        self.users = list(self.given)

    def run(self, work: Any) -> Any:
        return self.world.runner.run(work)

    @rule(who=st.integers(0, 1), minutes=st.integers(0, 6), money=st.integers(0, 3_000))
    def grant(self, who: int, minutes: int, money: int) -> None:
        user, key = self.users[who], self.world.name("grant")
        for _ in range(2):  # A repeat changes nothing.
            self.run(self.world.customers.grant(user, minutes=minutes, money=money, key=key))
        self.given[user][0] += minutes
        self.given[user][1] += money

    @rule(
        target=calls,
        who=st.integers(0, 1),
        where=st.integers(0, 1),
        rate=st.sampled_from(RATES),
        minutes_max=st.integers(1, 12),
    )
    def call(self, who: int, where: int, rate: int, minutes_max: int) -> Any:
        user, usage, opened = self.users[who], self.servers[where], list[Meter]()
        name, tariff = self.world.name("call"), PerMinute("RUB", rate)
        try:
            self.run(usage._open(opened, user, "call", tariff, minutes_max, name))
        except InsufficientFunds:
            wallet = self.run(self.world.customers.wallet(user))
            assert wallet.minutes == 0
            assert wallet.money("RUB") < rate
            return multiple()
        usage._mine.add(name)
        call = Call(opened[0], user, usage, rate)
        assert 0 < call.meter.allowance_ms <= minutes_max * MINUTE_MS
        self.live[name] = call
        return call

    @rule(call=calls, more_ms=st.none() | st.integers(0, 200_000))
    def tick(self, call: Call, more_ms: int | None) -> None:
        if call.meter.usage_id not in self.live:
            return
        if more_ms is not None:
            allowed = call.meter.allowance_ms
            call.elapsed_ms = min((call.elapsed_ms or 0) + more_ms, allowed)
        try:
            self.run(call.meter.tick(call.elapsed_ms))
        except LeaseLost:
            return
        if call.elapsed_ms is not None:
            self.connected[call.meter.usage_id] = call

    @rule(call=consumes(calls), read=st.booleans(), times=st.integers(1, 2))
    def end(self, call: Call, read: bool, times: int) -> None:
        name = call.meter.usage_id
        if self.live.pop(name, None) is None:
            return
        if read:
            call.meter.read(call.elapsed_ms, {"reason": "hung_up"})
        for _ in range(times):
            self.run(call.usage._close(call.meter))
        call.usage._mine.discard(name)
        if call.meter.bill is not None:
            self.connected[name] = call

    @rule(call=consumes(calls))
    def crash(self, call: Call) -> None:
        self.live.pop(call.meter.usage_id, None)
        call.usage._mine.discard(call.meter.usage_id)

    @rule(seconds=st.sampled_from([1.0, LEASE_S]), reapers=st.integers(1, 2))
    def time_passes(self, seconds: float, reapers: int) -> None:
        self.world.clock.move(seconds)

        async def reap() -> None:
            await asyncio.gather(*(usage.reap() for usage in self.servers[:reapers]))

        self.run(reap())

    @rule()
    def stranger_reaps(self) -> None:
        """A third server takes even live calls, when their lease has run out."""
        self.run(self.world.new_server().reap())

    @invariant()
    def the_book_is_right(self) -> None:
        assert self.run(self.world.customers.ledger.verify()) == []
        for user, (minutes, money) in self.given.items():
            wallet = self.run(self.world.customers.wallet(user))
            bills = self.run(self.world.bills(user))
            assert all(amount >= 0 for amount in wallet.balances.values())
            held = wallet.held
            paid_minutes = sum(bill.paid_minutes for bill in bills)
            paid_money = sum(bill.paid_amount for bill in bills)
            assert wallet.minutes + held.get("minute", 0) + paid_minutes == minutes
            assert wallet.money("RUB") + held.get("RUB", 0) + paid_money == money

    def teardown(self) -> None:
        if not hasattr(self, "users"):
            return
        self.world.clock.move(LEASE_S)
        self.run(self.world.new_server().reap())
        self.the_book_is_right()
        found = [bill for user in self.users for bill in self.run(self.world.bills(user))]
        assert sorted(bill.usage_id for bill in found) == sorted(self.connected)
        for bill in found:
            call = self.connected[bill.usage_id]
            assert bill.billed_minutes == max(1, -(-bill.duration_sec // 60))
            assert bill.billed_amount == bill.billed_minutes * call.rate
            assert bill.duration_ms <= (call.elapsed_ms or 0)
        for user in self.users:
            assert self.run(self.world.customers.wallet(user)).held == {}


class World:
    """What all histories of one test share: a database, a clock, and names never used."""

    def __init__(self, url: str) -> None:
        self.runner, self.clock = asyncio.Runner(), HandClock()
        self.runner.run(migrate(url))
        self.database = Database(url, clock=self.clock)
        self.customers = Customers(self.database, currency="RUB", demo_minutes=0, local_credit=0)
        self._names = 0

    def name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"

    def new_user(self) -> int:
        return self.runner.run(self.customers.anonymous_user(self.name("user"))).user_id

    def new_server(self) -> Usage:
        return Usage(
            self.database,
            server_id=self.name("server"),
            lease_seconds=LEASE_S,
            hold_minutes=2,
            renew_before_ms=30_000,
            settle_seconds=0,
        )

    async def bills(self, user: int) -> list[UsageSession]:
        statement = select(UsageSession).where(UsageSession.user_account_id == user)
        return list((await self.database.read(lambda s: s.execute(statement))).scalars())

    def close(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()


def test_any_history_keeps_the_book(database_url: str) -> None:
    world = World(database_url)

    class HistoriesHere(Histories):
        pass

    HistoriesHere.world = world
    try:
        run_state_machine_as_test(
            HistoriesHere,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        world.close()
