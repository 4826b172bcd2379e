"""A server may die between any two statements; what is left can be closed once, rightly.

The same small life of a call is played again and again, and dies before its first
statement, before its second, and so on, and right after each commit. A dead server stays
dead: everything else it tries fails too. Another server then reaps.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from billing.customers import Customers
from billing.database import Database, DatabaseAway
from billing.migrations import migrate
from billing.pricing import MINUTE, MINUTE_MS, PerMinute
from billing.records import UsageLease, UsageSession
from billing.usage import Meter, Usage
from tests.services import PostgresServer

from .conftest import HandClock

TARIFF = PerMinute("RUB", 500)
LEASE_S = 15.0


class Died(Exception):
    """The process is gone."""


class Doom:
    """Lets a number of steps pass (statements, or commits) and then nothing at all."""

    def __init__(self, steps: int) -> None:
        self.steps, self.dead = steps, False

    def step(self, *_: object) -> None:
        self.steps -= 1
        self.dead = self.dead or self.steps < 0
        self.check()

    def check(self, *_: object) -> None:
        if self.dead:
            raise Died


@contextmanager
def dies_before_statement(database: Database, doom: Doom) -> Iterator[None]:
    engine = database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", doom.step)
    event.listen(engine, "commit", doom.step)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", doom.step)
        event.remove(engine, "commit", doom.step)


@contextmanager
def dies_after_commit(database: Database, doom: Doom) -> Iterator[None]:
    """The commit is durable, but nobody here ever learns of it."""
    engine = database.writer.sync_engine
    event.listen(Session, "after_commit", doom.step)
    event.listen(engine, "before_cursor_execute", doom.check)
    try:
        yield
    finally:
        event.remove(Session, "after_commit", doom.step)
        event.remove(engine, "before_cursor_execute", doom.check)


def make_usage(database: Database, name: str) -> Usage:
    return Usage(
        database,
        server_id=name,
        lease_seconds=LEASE_S,
        hold_minutes=2,
        renew_before_ms=30_000,
        settle_seconds=0.1,
    )


async def live(usage: Usage, user: int, usage_id: str) -> None:
    async with usage.metered(
        user, kind="call", tariff=TARIFF, minutes_max=60, usage_id=usage_id
    ) as meter:
        for elapsed_ms in (None, 0, 95_000, 130_000):
            await meter.tick(elapsed_ms)
        meter.read(170_000, {"reason": "hung_up"})


async def judge(
    database: Database, customers: Customers, user: int, usage_id: str
) -> tuple[int, int]:
    """What must be true of one closed use, however it ended: (counted_ms, bills)."""
    count = select(func.count()).where(UsageSession.usage_id == usage_id)
    bills = (await database.read(lambda s: s.execute(count))).scalar_one()
    lease = await database.read(lambda s: s.get(UsageLease, usage_id))
    wallet = await customers.wallet(user)
    owned = wallet.minutes * 500 + wallet.money("RUB")
    assert wallet.held == {}
    if lease is None:
        assert (bills, owned) == (0, 3_000)
        return 0, 0
    assert lease.state == "closed"
    assert bills == int(lease.connected)
    minutes = max(1, -(-lease.counted_ms // MINUTE_MS)) if lease.connected else 0
    assert owned == 3_000 - minutes * 500
    return lease.counted_ms, bills


@pytest.mark.parametrize("kind", ["before a statement", "after a commit"])
async def test_a_call_may_die_at_every_step(
    database: Database, neighbour: Database, customers: Customers, clock: HandClock, kind: str
) -> None:
    dies = dies_before_statement if kind == "before a statement" else dies_after_commit
    other, ends = make_usage(neighbour, "other"), list[tuple[int, int]]()
    for step in range(200):
        user = (await customers.anonymous_user(f"user {step}")).user_id
        await customers.grant(user, minutes=3, money=1_500, key=f"first {step}")
        doom = Doom(step)
        with dies(database, doom), suppress(Died):
            await live(make_usage(database, "doomed"), user, f"call_{step}")
        clock.move(LEASE_S)
        assert len(await other.reap()) <= 1
        assert await other.reap() == []
        ends.append(await judge(database, customers, user, f"call_{step}"))
        if not doom.dead:
            break
    assert await customers.ledger.verify() == []
    assert not doom.dead, "the life of a call is shorter than that"
    assert len(ends) >= (20 if kind == "before a statement" else 5)
    # The later it dies, the more of it was durable; and it passes through every stage.
    assert ends == sorted(ends)
    assert {(0, 0), (0, 1), (95_000, 1), (130_000, 1), (170_000, 1)} <= set(ends)


async def test_an_answer_lost_at_the_commit_is_not_asked_for_twice(
    database: Database, customers: Customers
) -> None:
    """Work is repeated when the connection breaks at its commit; it must not count twice."""
    user = (await customers.local_user()).user_id
    await customers.grant(user, minutes=9, key="k")
    usage = make_usage(database, "s")
    opened: list[Meter] = []
    for _ in range(2):
        await usage._open(opened, user, "call", TARIFF, 60, "call_1")
    for _ in range(2):
        await opened[0].tick(100_000)
    first, second = opened
    first.read(100_000, {})
    await usage._close(first)
    await usage._close(second)
    assert second.bill == first.bill is not None
    assert (await customers.wallet(user)).balances == {MINUTE: 7}
    assert await customers.ledger.verify() == []


@pytest.fixture
def mortal_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that this test alone may kill."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
async def mortal(mortal_postgres: PostgresServer) -> AsyncIterator[Database]:
    with mortal_postgres.database() as url:
        await migrate(url)
        database = Database(url)
        yield database
        await database.close()


async def test_a_call_outlives_the_database_and_is_settled_when_it_is_back(
    mortal_postgres: PostgresServer, mortal: Database
) -> None:
    usage = Usage(mortal, server_id="s", lease_seconds=15, hold_minutes=2, settle_seconds=0)
    customers = Customers(mortal, currency="RUB", demo_minutes=10, local_credit=0)
    user = (await customers.local_user()).user_id
    async with usage.metered(
        user, kind="call", tariff=TARIFF, minutes_max=9, usage_id="call_1"
    ) as meter:
        await meter.tick(1_000)
        mortal_postgres.stop(signal.SIGKILL)
        assert await meter.tick(30_000) == 2 * MINUTE_MS
        assert await meter.tick(100_000) == 2 * MINUTE_MS, "the allowance stays"
        meter.read(110_000, {"reason": "hung_up"})
    assert meter.bill is None
    with pytest.raises(DatabaseAway):
        await usage.reap()
    mortal_postgres.start()
    [bill] = await usage.reap()
    assert (bill.duration_ms, bill.billed_minutes, bill.reason) == (110_000, 2, "hung_up")
    assert await usage.reap() == []
    assert (await customers.wallet(user)).balances == {MINUTE: 8}
    assert await customers.ledger.verify() == []


async def test_an_exit_waits_for_a_database_that_comes_back(
    mortal_postgres: PostgresServer, mortal: Database
) -> None:
    usage = Usage(mortal, server_id="s", lease_seconds=15, hold_minutes=2, settle_seconds=60)
    customers = Customers(mortal, currency="RUB", demo_minutes=10, local_credit=0)
    user = (await customers.local_user()).user_id
    back: asyncio.Future[None] | None = None
    async with usage.metered(
        user, kind="call", tariff=TARIFF, minutes_max=9, usage_id="call_1"
    ) as meter:
        await meter.tick(1_000)
        mortal_postgres.stop(signal.SIGKILL)
        with pytest.raises(DatabaseAway):
            await usage.bill("call_1", user)
        meter.read(61_000, {})
        back = asyncio.ensure_future(asyncio.to_thread(mortal_postgres.start))
    await back
    assert meter.bill is not None
    assert meter.bill.billed_minutes == 2


async def test_after_the_database_was_away_the_living_may_renew_first(
    database: Database, customers: Customers, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    reaper = Usage(
        database, server_id="r", lease_seconds=LEASE_S, hold_minutes=1, monotonic=lambda: now
    )
    user = (await customers.local_user()).user_id
    await customers.grant(user, minutes=9, key="k")
    opened: list[Meter] = []
    await make_usage(database, "dead")._open(opened, user, "call", TARIFF, 60, "call_1")
    await opened[0].tick(5_000)
    clock.move(LEASE_S)

    async def away(_: object) -> object:
        raise DatabaseAway("gone")

    with monkeypatch.context() as patched:
        patched.setattr(database, "read", away)
        with pytest.raises(DatabaseAway):
            await reaper.reap()
    now = LEASE_S - 1
    assert await reaper.reap() == []
    now = LEASE_S
    assert len(await reaper.reap()) == 1


CALLER = """
import asyncio, sys
from billing.database import Database
from billing.pricing import PerMinute
from billing.usage import Usage

async def call(usage, n, user, name):
    async with usage.metered(user, kind="call", tariff=PerMinute("RUB", 500), minutes_max=60,
                             usage_id=f"{name}_{n}") as meter:
        for elapsed_ms in range(0, 200_000 + n * 1_000, 20_000):
            await meter.tick(elapsed_ms)
        meter.read(elapsed_ms, {"reason": "hung_up"})

async def main(url, user, name):
    usage = Usage(Database(url), server_id=name, lease_seconds=0.3, hold_minutes=1)
    print("ready", flush=True)
    n = 0
    while True:
        async with asyncio.TaskGroup() as group:
            for n in range(n + 1, n + 6):
                group.create_task(call(usage, n, user, name))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
"""


async def test_servers_killed_at_any_moment_leave_sums_that_match(migrated_url: str) -> None:
    """SIGKILL, with five calls at once in the process, on the real clock of the database."""
    database = Database(migrated_url)
    customers = Customers(database, currency="RUB", demo_minutes=100, local_credit=10**9)
    user, rng = (await customers.local_user()).user_id, random.Random(5)
    house = Path(__file__).resolve().parents[2]
    for round_ in range(6):
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CALLER, migrated_url, str(user), f"server{round_}",
            cwd=house, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert server.stdout is not None
        await server.stdout.readline()
        await asyncio.sleep(rng.uniform(0.02, 0.6))
        server.kill()
        await server.wait()
    reaper = Usage(database, server_id="after", lease_seconds=0.3, hold_minutes=1)
    open_calls = select(func.count()).where(UsageLease.state == "open")
    left = (await database.read(lambda s: s.execute(open_calls))).scalar_one()
    assert left > 0, "nothing was killed in the middle"
    while (await database.read(lambda s: s.execute(open_calls))).scalar_one():
        await reaper.reap()
        await asyncio.sleep(0.05)
    assert await customers.ledger.verify() == []
    wallet = await customers.wallet(user)
    assert wallet.held == {}
    paid = "SELECT SUM(paid_minutes), SUM(paid_amount), SUM(billed_minutes) FROM usage_sessions"
    [(minutes, money, billed)] = await database.read(lambda s: s.execute(text(paid)))
    assert (wallet.minutes + minutes, wallet.money("RUB") + money) == (100, 10**9)
    assert money == (billed - minutes) * 500
    await database.close()
