"""An entry happens once, balances never fall below their floor, and the book proves it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from billing.customers import Customers
from billing.database import Database
from billing.ledger import Ledger
from billing.postings import adjust, grant, hold, settle
from billing.pricing import MINUTE, InsufficientFunds
from billing.records import Posting

from .conftest import HandClock


async def funded(customers: Customers, *, minutes: int = 0, money: int = 0) -> int:
    user = await customers.local_user()
    await customers.grant(user.user_id, minutes=minutes, money=money, key="first")
    return user.user_id


async def test_an_entry_happens_once_and_its_repeat_gives_the_first_result(
    database: Database, customers: Customers
) -> None:
    user = (await customers.local_user()).user_id
    first = await customers.grant(user, minutes=3, money=700, key="k")
    again = await customers.grant(user, minutes=3, money=700, key="k")
    assert not first.replayed
    assert again.replayed
    assert (again.entry_id, again.balances) == (first.entry_id, first.balances)
    assert (await customers.wallet(user)).balances == {MINUTE: 3, "RUB": 700}


async def test_the_same_key_from_many_at_once_happens_once(
    database: Database, neighbour: Database, customers: Customers
) -> None:
    user = (await customers.local_user()).user_id
    entry = grant(user, {"RUB": 500}, source="stripe", key="stripe:evt_1")

    async def post(here: Database) -> bool:
        return (await here.write(lambda s: Ledger(here).post(s, entry))).replayed

    replayed = await asyncio.gather(*(post(here) for here in [database, neighbour] * 8))
    assert replayed.count(False) == 1
    assert (await customers.wallet(user)).money("RUB") == 500
    assert await customers.ledger.verify() == []


async def test_a_wallet_gives_what_it_has_and_not_a_kopeck_more(
    database: Database, customers: Customers
) -> None:
    user = await funded(customers, money=500)
    ledger = customers.ledger
    with pytest.raises(InsufficientFunds):
        await database.write(lambda s: ledger.post(s, adjust(user, {"RUB": -501}, key="a")))
    with pytest.raises(InsufficientFunds):
        await database.write(lambda s: ledger.post(s, adjust(user, {"USD": -1}, key="b")))
    await database.write(lambda s: ledger.post(s, adjust(user, {"RUB": -500}, key="a")))
    assert (await customers.wallet(user)).money("RUB") == 0
    # The refused attempts left no trace: their keys are free again.
    history = await ledger.history(user, currency="RUB")
    assert [(t.type, t.money_delta) for t in history] == [("adjust", -500), ("grant", 500)]


async def test_the_row_itself_refuses_to_fall_below_its_floor(
    database: Database, customers: Customers
) -> None:
    """The pair of the guard in `post`: even a wrong statement cannot overdraw."""
    await funded(customers, money=500)
    with pytest.raises(IntegrityError):
        await database.write(lambda s: s.execute(text("UPDATE balances SET amount = -1")))


async def test_spenders_of_one_wallet_never_overdraw_it(
    database: Database, neighbour: Database, customers: Customers
) -> None:
    user = await funded(customers, money=1_000)

    async def spend(n: int) -> bool:
        here = (database, neighbour)[n % 2]
        entry = hold(user, f"u{n}", {"RUB": 100}, key=f"hold:{n}")
        try:
            await here.write(lambda s: Ledger(here).post(s, entry))
        except InsufficientFunds:
            return False
        return True

    spent = await asyncio.gather(*(spend(n) for n in range(32)))
    assert spent.count(True) == 10
    wallet = await customers.wallet(user)
    assert (wallet.money("RUB"), wallet.held) == (0, {"RUB": 1_000})
    assert await customers.ledger.verify() == []


async def test_balances_move_in_the_order_of_their_names(
    database: Database, customers: Customers
) -> None:
    """Whatever order an entry is written in: that is what keeps two from locking each other."""
    user = await funded(customers, minutes=5, money=500)
    one = hold(user, "u", {"RUB": 500, MINUTE: 5}, key="h")
    await database.write(
        lambda s: customers.ledger.post(s, replace(one, postings=one.postings[::-1]))
    )
    rows = select(Posting.account, Posting.unit).where(Posting.entry_id == 2).order_by(Posting.id)
    moved = [tuple(row) for row in await database.read(lambda s: s.execute(rows))]
    assert moved == sorted(moved)
    assert len(moved) == 4


async def test_transfers_in_opposite_directions_do_not_lock_each_other(
    database: Database, neighbour: Database, customers: Customers
) -> None:
    """Balances are always locked in the order of their names."""
    users = [(await customers.anonymous_user(token)).user_id for token in "ab"]
    for user in users:
        await customers.grant(user, money=1_000, key=f"g{user}")
    ledger = customers.ledger

    async def swap(n: int) -> None:
        giver, taker = users if n % 2 else reversed(users)
        entry = adjust(giver, {"RUB": -1}, key=f"out{n}")
        back = adjust(taker, {"RUB": 1}, key=f"in{n}")
        both = type(entry)(f"swap{n}", "adjust", entry.postings + back.postings)
        await (database, neighbour)[n // 2 % 2].write(lambda s: ledger.post(s, both))

    await asyncio.gather(*(swap(n) for n in range(24)))
    assert [(await customers.wallet(user)).money("RUB") for user in users] == [1_000, 1_000]
    assert await ledger.verify() == []


async def test_the_history_shows_what_changed_and_not_what_was_only_set_aside(
    database: Database, customers: Customers, clock: HandClock
) -> None:
    user = await funded(customers, minutes=10, money=5_000)
    ledger, held = customers.ledger, {MINUTE: 10, "RUB": 1_000}
    await database.write(lambda s: ledger.post(s, hold(user, "u", held, key="h")))
    assert len(await ledger.history(user, currency="RUB")) == 1
    spent = {MINUTE: 10, "RUB": 500}
    await database.write(lambda s: ledger.post(s, settle(user, "u", held, spent, key="s")))
    usage, first = await ledger.history(user, currency="RUB")
    assert (usage.type, usage.key, usage.about) == ("usage", "s", "u")
    assert (usage.minutes_delta, usage.money_delta) == (-10, -500)
    assert (usage.minutes_before, usage.minutes_after) == (10, 0)
    assert (usage.money_before, usage.money_after) == (5_000, 4_500)
    assert (first.minutes_before, first.minutes_after) == (0, 10)
    assert usage.created_at == clock.now
    assert usage.as_json()["created_at"] == clock.now.isoformat()


async def test_the_history_has_pages(customers: Customers) -> None:
    user = (await customers.local_user()).user_id
    for n in range(1, 8):
        await customers.grant(user, money=n, key=f"k{n}")
    seen: list[int] = []
    cursor = None
    while page := await customers.ledger.history(user, currency="RUB", cursor=cursor, limit=3):
        seen += [transaction.money_delta for transaction in page]
        cursor = page[-1].id
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    other = await customers.anonymous_user("somebody else")
    assert await customers.ledger.history(other.user_id, currency="RUB") == []


DAMAGE = {
    "a balance is not the sum of its postings": "UPDATE balances SET amount = amount + 1",
    "a balance has no postings": "INSERT INTO balances VALUES ('wallet:1', 'USD', 1, 5, 0)",
    "an entry makes or loses funds": "INSERT INTO postings (entry_id, account, unit, amount)"
    " VALUES (1, 'revenue', 'RUB', 5)",
    "a posting does not continue from the one before": "INSERT INTO postings (entry_id, account,"
    " unit, amount, user_id, balance_before, balance_after)"
    " VALUES (1, 'wallet:1', 'RUB', 1, 1, 3, 4)",
    "an entry of usage has no bill": "INSERT INTO ledger_entries (key, reason, about, created_at)"
    " VALUES ('x', 'usage', 'nobody', '2026-01-01')",
    "a connected use was closed without a bill": "INSERT INTO usage_leases VALUES ('u', 1,"
    " 'call', 's', 'closed', '{}', 1, 1, 1, true, 0, '2026-01-01', '2026-01-01', '2026-01-01')",
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_verify_finds_damage(database: Database, customers: Customers, what: str) -> None:
    await funded(customers, money=500)
    assert await customers.ledger.verify() == []
    await database.write(lambda s: s.execute(text(DAMAGE[what])))
    assert what in {discrepancy.what for discrepancy in await customers.ledger.verify()}
