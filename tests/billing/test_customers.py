"""A user is made once, and so are the first grants."""

from __future__ import annotations

import asyncio

import pytest

from billing.customers import Customers
from billing.database import Database
from billing.pricing import MINUTE


def generous(database: Database) -> Customers:
    return Customers(database, currency="RUB", demo_minutes=10, local_credit=100_000)


async def test_the_local_user_is_made_once_with_demo_minutes_and_credit(
    database: Database,
) -> None:
    customers = generous(database)
    user = await customers.local_user()
    assert await customers.local_user() == user
    assert (user.kind, user.name) == ("local", "Local user")
    assert (await customers.wallet(user.user_id)).balances == {MINUTE: 10, "RUB": 100_000}
    history = await customers.ledger.history(user.user_id, currency="RUB")
    assert {(t.type, t.minutes_delta, t.money_delta) for t in history} == {
        ("grant", 10, 0),
        ("grant", 0, 100_000),
    }


async def test_servers_that_make_the_same_user_at_once_make_one(
    database: Database, neighbour: Database
) -> None:
    makers = [generous(database), generous(neighbour)] * 5
    users = await asyncio.gather(*(customers.local_user() for customers in makers))
    assert len(set(users)) == 1
    assert (await makers[0].wallet(users[0].user_id)).balances == {MINUTE: 10, "RUB": 100_000}
    assert await makers[0].ledger.verify() == []


async def test_anonymous_users_are_apart_and_have_no_credit(database: Database) -> None:
    customers = generous(database)
    one, two = [await customers.anonymous_user(token) for token in ("one", "two")]
    assert one.user_id != two.user_id
    assert await customers.anonymous_user("one") == one
    assert (await customers.wallet(one.user_id)).balances == {MINUTE: 10}


@pytest.mark.parametrize("token", ["", "x" * 81])
async def test_a_token_that_cannot_be_kept_is_refused(customers: Customers, token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        await customers.anonymous_user(token)


async def test_a_grant_does_not_take(customers: Customers) -> None:
    user = await customers.local_user()
    with pytest.raises(ValueError, match="gives"):
        await customers.grant(user.user_id, money=-1, key="k")
