"""The life of a use: held before, settled after, closed once whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing.customers import Customers
from billing.database import Database
from billing.pricing import MINUTE, MINUTE_MS, InsufficientFunds, PerMinute
from billing.records import UsageLease, UsageSession
from billing.usage import LeaseLost, Meter, Usage, UsageExists

from .conftest import HandClock

TARIFF = PerMinute("RUB", 500, "calls")
LEASE_S, LEASE_S_MS = 15.0, 15_000


def make_usage(database: Database, name: str = "server-1", *, hold_minutes: int = 5) -> Usage:
    return Usage(
        database,
        server_id=name,
        lease_seconds=LEASE_S,
        hold_minutes=hold_minutes,
        renew_before_ms=30_000,
        settle_seconds=0.2,
    )


@asynccontextmanager
async def calling(
    usage: Usage, user: int, usage_id: str = "call_1", minutes_max: int = 60
) -> AsyncIterator[Meter]:
    async with usage.metered(
        user, kind="call", tariff=TARIFF, minutes_max=minutes_max, usage_id=usage_id
    ) as meter:
        yield meter


@pytest.fixture
def usage(database: Database) -> Usage:
    return make_usage(database)


@pytest.fixture
async def user(customers: Customers) -> int:
    """Ten granted minutes and money for a hundred."""
    found = (await customers.local_user()).user_id
    await customers.grant(found, minutes=10, money=50_000, key="first")
    return found


async def sessions(database: Database) -> list[UsageSession]:
    found = await database.read(lambda s: s.execute(select(UsageSession)))
    return list(found.scalars())


async def lease(database: Database, usage_id: str = "call_1") -> UsageLease:
    found = await database.read(lambda s: s.get(UsageLease, usage_id))
    assert found is not None
    return found


# A call as it should be.


async def test_a_call_is_held_settled_and_billed(
    database: Database, customers: Customers, usage: Usage, user: int, clock: HandClock
) -> None:
    async with calling(usage, user) as meter:
        assert meter.allowance_ms == 5 * MINUTE_MS
        wallet = await customers.wallet(user)
        assert (wallet.balances, wallet.held) == ({MINUTE: 5, "RUB": 50_000}, {MINUTE: 5})
        assert await usage.bill("call_1", user) is None
        await meter.tick(0)
        clock.move(83.4)
        meter.read(83_400, {"reason": "hung_up", "turns": 3})
    bill = meter.bill
    assert bill is not None
    assert (bill.duration_ms, bill.duration_sec, bill.billed_minutes) == (83_400, 84, 2)
    assert (bill.billed_amount, bill.currency, bill.reason) == (1_000, "RUB", "hung_up")
    assert (bill.paid_minutes, bill.paid_amount) == (2, 0)
    assert (bill.balance_minutes, bill.balance_amount) == (8, 50_000)
    assert bill.tariff_snapshot == TARIFF.snapshot()
    assert bill.created_at == clock.now
    assert bill.as_json()["created_at"] == clock.now.isoformat()
    [session] = await sessions(database)
    assert session.user_account_id == user
    assert (session.billed_minutes, session.billed_amount) == (2, 1_000)
    assert session.detail == {"reason": "hung_up", "turns": 3}
    wallet = await customers.wallet(user)
    assert (wallet.balances, wallet.held) == ({MINUTE: 8, "RUB": 50_000}, {})
    [transaction, _] = await customers.ledger.history(user, currency="RUB")
    assert (transaction.type, transaction.minutes_delta) == ("usage", -2)
    assert await customers.ledger.verify() == []


async def test_granted_minutes_go_first_and_then_money(
    customers: Customers, usage: Usage, user: int
) -> None:
    async with calling(usage, user) as meter:
        for second in range(0, 724, 5):
            await meter.tick(second * 1_000)
        meter.read(724_000, {"reason": "hung_up"})
    assert meter.bill is not None
    assert (meter.bill.billed_minutes, meter.bill.billed_amount) == (13, 6_500)
    assert (meter.bill.paid_minutes, meter.bill.paid_amount) == (10, 1_500)
    assert (await customers.wallet(user)).balances.get("RUB") == 48_500
    assert await customers.ledger.verify() == []


async def test_a_bill_is_shown_to_its_owner_only(
    customers: Customers, usage: Usage, user: int
) -> None:
    stranger = (await customers.anonymous_user("stranger")).user_id
    async with calling(usage, user) as meter:
        assert await usage.owner("call_1") == user
        meter.read(1, {})
    assert await usage.bill("call_1", user) == meter.bill
    assert await usage.bill("call_1", stranger) is None
    assert await usage.bill("call_2", user) is None
    assert await usage.owner("call_1") is None


async def test_the_snapshot_keeps_the_price_of_the_day(usage: Usage, user: int) -> None:
    async with calling(usage, user) as meter:
        meter.read(1, {})
    later = await usage.bill("call_1", user)
    assert later is not None
    assert PerMinute.from_snapshot(later.tariff_snapshot) == TARIFF


# Holds.


async def test_the_next_step_is_held_before_the_last_minute_and_once(
    database: Database, usage: Usage, user: int
) -> None:
    async with calling(usage, user) as meter:
        assert await meter.tick(5 * MINUTE_MS - 30_001) == 5 * MINUTE_MS
        assert await meter.tick(5 * MINUTE_MS - 30_000) == 10 * MINUTE_MS
        assert await meter.tick(5 * MINUTE_MS) == 10 * MINUTE_MS
        assert (await lease(database)).holds == 2
        meter.read(5 * MINUTE_MS, {})


async def test_what_is_left_is_held_and_then_the_allowance_stays(
    customers: Customers, usage: Usage
) -> None:
    user = (await customers.local_user()).user_id
    await customers.grant(user, minutes=5, money=1_499, key="k")
    async with calling(usage, user) as meter:
        assert meter.allowance_ms == 5 * MINUTE_MS
        assert await meter.tick(280_000) == 7 * MINUTE_MS
        assert await meter.tick(400_000) == 7 * MINUTE_MS
        # Money that arrives in the middle of a call extends it.
        await customers.grant(user, minutes=1, key="more")
        assert await meter.tick(401_000) == 8 * MINUTE_MS
        meter.read(10 * MINUTE_MS, {"reason": "allowance_spent"})
    bill = meter.bill
    assert bill is not None
    # Nothing beyond the hold is taken, whatever the reading says.
    assert (bill.billed_minutes, bill.paid_minutes, bill.paid_amount) == (8, 6, 1_000)
    assert (await customers.wallet(user)).balances["RUB"] == 499
    assert await customers.ledger.verify() == []


async def test_minutes_max_bounds_what_is_held(
    customers: Customers, usage: Usage, user: int
) -> None:
    async with calling(usage, user, minutes_max=6) as meter:
        assert await meter.tick(290_000) == 6 * MINUTE_MS
        assert await meter.tick(350_000) == 6 * MINUTE_MS
        meter.read(350_000, {})


async def test_a_small_step_still_covers_the_warning(database: Database, user: int) -> None:
    """Steps of a minute with 90 s of foresight: two are held at once, or every call would
    begin with the warning that its last minute has begun."""
    usage = Usage(database, server_id="s", lease_seconds=LEASE_S, hold_minutes=1)
    async with calling(usage, user) as meter:
        assert meter.allowance_ms == 2 * MINUTE_MS
        assert await meter.tick(30_000) == 3 * MINUTE_MS
        meter.read(30_000, {})


async def test_without_a_minutes_worth_nothing_begins_and_nothing_stays(
    database: Database, customers: Customers, usage: Usage
) -> None:
    user = (await customers.local_user()).user_id
    await customers.grant(user, money=499, key="k")
    with pytest.raises(InsufficientFunds):
        async with calling(usage, user):
            pytest.fail("must not begin")
    assert (await customers.wallet(user)).balances == {"RUB": 499}
    assert await database.read(lambda s: s.get(UsageLease, "call_1")) is None


async def test_a_usage_id_is_used_once(usage: Usage, user: int) -> None:
    async with calling(usage, user) as meter:
        meter.read(1, {})
    with pytest.raises(UsageExists):
        async with calling(usage, user):
            pytest.fail("must not begin")


# Ends.


async def test_what_never_began_costs_nothing_and_leaves_no_bill(
    database: Database, customers: Customers, usage: Usage, user: int
) -> None:
    async with calling(usage, user) as meter:
        await meter.tick(None)
        meter.read(None, {"reason": "never_connected"})
    assert meter.bill is None
    assert await sessions(database) == []
    assert (await customers.wallet(user)).balances == {MINUTE: 10, "RUB": 50_000}
    assert (await lease(database)).state == "closed"
    assert await customers.ledger.verify() == []


async def test_who_was_connected_for_an_instant_pays_one_minute(usage: Usage, user: int) -> None:
    async with calling(usage, user) as meter:
        meter.read(0, {})
    assert meter.bill is not None
    assert (meter.bill.duration_sec, meter.bill.billed_minutes) == (0, 1)


async def test_work_that_breaks_is_billed_as_far_as_it_was_counted(usage: Usage, user: int) -> None:
    with pytest.raises(LookupError):
        async with calling(usage, user) as meter:
            await meter.tick(61_000)
            raise LookupError
    assert meter.bill is not None
    assert (meter.bill.billed_minutes, meter.bill.reason) == (2, "abandoned")


async def test_a_cancelled_call_is_settled_before_it_is_gone(
    customers: Customers, usage: Usage, user: int
) -> None:
    inside = asyncio.Event()
    meters: list[Meter] = []

    async def call() -> None:
        async with calling(usage, user) as meter:
            meters.append(meter)
            await meter.tick(1_000)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # Once more, while it settles.
    with pytest.raises(asyncio.CancelledError):
        await task
    assert meters[0].bill is not None
    assert (await customers.wallet(user)).held == {}


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_a_call_cancelled_while_it_opens_holds_nothing(
    customers: Customers, usage: Usage, user: int, steps: int
) -> None:
    async def call() -> None:
        async with calling(usage, user):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await customers.wallet(user)).balances == {MINUTE: 10, "RUB": 50_000}
    assert await customers.ledger.verify() == []


async def test_strange_remarks_do_not_keep_a_bill_from_being_written(
    database: Database, usage: Usage, user: int
) -> None:
    strange = {"reason": "x" * 300, "nan": float("nan"), "zero": "a\0b", "half": "\ud800", "o": {1}}
    async with calling(usage, user) as meter:
        meter.read(1, strange)
    async with calling(usage, user, "call_2") as second:
        second.read(1, {"much": "x" * 200_000})
    assert meter.bill is not None
    assert second.bill is not None
    [first, _] = await sessions(database)
    assert (first.detail["nan"], first.detail["zero"]) == ("NaN", "a\0b")


# Crashes: a server is gone, another one finds what it left.


async def crash(
    database: Database, user: int, ticks: list[int | None], usage_id: str = "call_1"
) -> None:
    """A call whose server dies after these heartbeats: its block is never left, so only
    the half of `metered` before the block runs."""
    usage = make_usage(database, "dead", hold_minutes=1)
    opened: list[Meter] = []
    await usage._open(opened, user, "call", TARIFF, 60, usage_id)
    for elapsed_ms in ticks:
        await opened[0].tick(elapsed_ms)


async def test_a_dead_servers_call_is_closed_once_at_its_last_counter(
    database: Database, customers: Customers, usage: Usage, user: int, clock: HandClock
) -> None:
    await crash(database, user, [0, 59_000, 61_000])
    seen_at = clock.now
    clock.move(LEASE_S - 1)
    assert await usage.reap() == []
    clock.move(1)
    [bill] = await usage.reap()
    assert await usage.reap() == []
    assert (bill.duration_ms, bill.billed_minutes, bill.reason) == (61_000, 2, "server_lost")
    assert bill.created_at == seen_at, "the session ended when its server was last seen"
    assert bill == await usage.bill("call_1", user)
    assert (await customers.wallet(user)).balances == {MINUTE: 8, "RUB": 50_000}
    assert await customers.ledger.verify() == []


async def test_a_dead_servers_call_that_had_just_connected_costs_one_minute(
    database: Database, usage: Usage, user: int, clock: HandClock
) -> None:
    await crash(database, user, [None, 0])
    clock.move(LEASE_S)
    [bill] = await usage.reap()
    assert (bill.duration_ms, bill.billed_minutes) == (0, 1)


@pytest.mark.parametrize("ticks", [[], [None, None]])
async def test_a_dead_servers_call_that_never_connected_is_released(
    database: Database,
    customers: Customers,
    usage: Usage,
    user: int,
    clock: HandClock,
    ticks: list[int | None],
) -> None:
    await crash(database, user, ticks)
    clock.move(LEASE_S)
    assert await usage.reap() == []
    assert (await customers.wallet(user)).balances == {MINUTE: 10, "RUB": 50_000}
    assert (await lease(database)).state == "closed"
    assert await sessions(database) == []


async def test_a_live_call_keeps_its_lease(
    database: Database, neighbour: Database, usage: Usage, user: int, clock: HandClock
) -> None:
    other = make_usage(neighbour, "server-2")
    async with calling(usage, user) as meter:
        for second in range(0, 60, 10):
            await meter.tick(second * 1_000)
            clock.move(10)
            assert await other.reap() == []
        assert (await lease(database)).lease_expires_at == clock.now + timedelta(seconds=5)
        meter.read(60_000, {})


async def test_a_server_does_not_reap_what_it_still_holds(
    usage: Usage, user: int, clock: HandClock
) -> None:
    """A clock that is set forward must not end the calls of this very process."""
    async with calling(usage, user) as meter:
        clock.move(3_600)
        assert await usage.reap() == []
        assert await meter.tick(1_000) == 5 * MINUTE_MS
        meter.read(1_000, {})
    assert meter.bill is not None


async def test_a_call_whose_lease_was_taken_is_told_and_billed_once(
    database: Database, neighbour: Database, usage: Usage, user: int, clock: HandClock
) -> None:
    other = make_usage(neighbour, "server-2")
    async with calling(usage, user) as meter:
        await meter.tick(61_000)
        clock.move(LEASE_S)
        [bill] = await other.reap()
        with pytest.raises(LeaseLost):
            await meter.tick(76_000)
        meter.read(200_000, {})
    assert meter.bill == bill
    assert len(await sessions(database)) == 1


async def test_a_late_heartbeat_keeps_a_lease_that_nobody_took(
    neighbour: Database, usage: Usage, user: int, clock: HandClock
) -> None:
    async with calling(usage, user) as meter:
        clock.move(LEASE_S * 3)
        await meter.tick(45_000)
        assert await make_usage(neighbour, "server-2").reap() == []
        meter.read(45_000, {})


async def test_a_lease_renewed_after_a_reaper_looked_is_left_alone(
    neighbour: Database, usage: Usage, user: int, clock: HandClock
) -> None:
    reaper = make_usage(neighbour, "server-2")
    async with calling(usage, user) as meter:
        clock.move(LEASE_S)
        assert await neighbour.read(reaper._leases.expired) == ["call_1"]
        await meter.tick(LEASE_S_MS)
        assert await reaper._reap("call_1") is None
        meter.read(LEASE_S_MS + 1, {})
    assert meter.bill is not None
    assert meter.bill.duration_ms == LEASE_S_MS + 1


async def test_the_counter_never_runs_back(database: Database, usage: Usage, user: int) -> None:
    async with calling(usage, user) as meter:
        await meter.tick(50_000)
        await meter.tick(40_000)
        assert (await lease(database)).counted_ms == 50_000
        meter.read(50_000, {})


# Many at once.


async def test_two_reapers_close_each_call_once(
    database: Database, neighbour: Database, customers: Customers, user: int, clock: HandClock
) -> None:
    for n in range(8):
        await crash(database, user, [0], f"call_{n}")
    clock.move(LEASE_S)
    reapers = [make_usage(d, name) for d, name in ((database, "a"), (neighbour, "b"))] * 2
    bills = [bill for found in await asyncio.gather(*(r.reap() for r in reapers)) for bill in found]
    assert sorted(bill.usage_id for bill in bills) == [f"call_{n}" for n in range(8)]
    assert len(await sessions(database)) == 8
    assert (await customers.wallet(user)).held == {}
    assert await customers.ledger.verify() == []


@pytest.mark.parametrize("round_", range(4))
async def test_an_exit_and_a_reaper_that_race_make_one_bill(
    database: Database,
    neighbour: Database,
    customers: Customers,
    usage: Usage,
    user: int,
    clock: HandClock,
    round_: int,
) -> None:
    async def end() -> None:
        async with calling(usage, user) as meter:
            meters.append(meter)
            await meter.tick(61_000)
            clock.move(LEASE_S)
            ready.set()
            meter.read(70_000, {})

    async def take() -> None:
        await ready.wait()
        for _ in range(round_ * 3):
            await asyncio.sleep(0)
        await make_usage(neighbour, "server-2").reap()

    meters: list[Meter] = []
    ready = asyncio.Event()
    await asyncio.gather(end(), take())
    [session] = await sessions(database)
    assert meters[0].bill is not None
    assert meters[0].bill.duration_ms == session.duration_ms
    assert (await customers.wallet(user)).balances == {MINUTE: 8, "RUB": 50_000}
    assert await customers.ledger.verify() == []


async def test_many_calls_on_the_last_minutes_never_overdraw(
    database: Database, neighbour: Database, customers: Customers
) -> None:
    user = (await customers.local_user()).user_id
    await customers.grant(user, minutes=3, money=1_900, key="k")
    servers = [make_usage(d, n, hold_minutes=1) for d, n in ((database, "a"), (neighbour, "b"))]
    refused: list[int] = []
    gate = asyncio.Barrier(32)

    async def call(n: int) -> None:
        try:
            async with calling(servers[n % 2], user, f"call_{n}") as meter:
                await gate.wait()
                await meter.tick(31_000)
                meter.read(min(61_000, meter.allowance_ms), {})
        except InsufficientFunds:
            refused.append(n)
            await gate.wait()

    await asyncio.gather(*(call(n) for n in range(32)))
    bills = await sessions(database)
    assert (len(bills), len(refused)) == (6, 26)
    wallet = await customers.wallet(user)
    assert (wallet.minutes, wallet.money("RUB"), wallet.held) == (0, 400, {})
    assert sum(bill.paid_minutes for bill in bills) == 3
    assert sum(bill.paid_amount for bill in bills) == 1_500
    assert await customers.ledger.verify() == []


async def test_calls_of_one_wallet_on_two_servers_keep_the_book(
    database: Database, neighbour: Database, customers: Customers, user: int
) -> None:
    servers = [make_usage(d, n, hold_minutes=1) for d, n in ((database, "a"), (neighbour, "b"))]

    async def call(n: int) -> None:
        async with calling(servers[n % 2], user, f"call_{n}") as meter:
            for elapsed_ms in (0, 31_000, 62_000, 95_000):
                await meter.tick(elapsed_ms)
            meter.read(95_000 + n, {})

    await asyncio.gather(*(call(n) for n in range(20)))
    assert {bill.billed_minutes for bill in await sessions(database)} == {2}
    wallet = await customers.wallet(user)
    assert (wallet.minutes, wallet.money("RUB"), wallet.held) == (0, 50_000 - 30 * 500, {})
    assert await customers.ledger.verify() == []


# What a user has used.


async def test_uses_that_are_over_come_in_pages_newest_first(
    customers: Customers, usage: Usage, user: int, clock: HandClock
) -> None:
    opened = []
    for number in range(3):
        clock.move(60)
        opened.append(clock.now)
        async with calling(usage, user, f"call_{number}") as meter:
            clock.move(30)
            meter.read(30_000 if number != 1 else None, {})
    assert [
        (past.bill.usage_id, past.opened_at) for past in await usage.bills(user, kind="call")
    ] == [("call_2", opened[2]), ("call_0", opened[0])], "what never began is not among them"
    [newest] = await usage.bills(user, kind="call", limit=1)
    [older] = await usage.bills(user, kind="call", cursor=newest.cursor, limit=10**9)
    assert older.bill.usage_id == "call_0"
    assert older.bill == await usage.bill("call_0", user)
    assert await usage.bills(user, kind="call", cursor=older.cursor) == []
    assert await usage.bills(user, kind="transcription") == []
    other = (await customers.anonymous_user("other")).user_id
    assert await usage.bills(other, kind="call") == []
