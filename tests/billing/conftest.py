"""A migrated database of each kind, with a clock that only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from billing.customers import Customers
from billing.database import Database
from billing.migrations import migrate


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def migrated_url(database_url: str) -> str:
    await migrate(database_url)
    return database_url


@pytest.fixture
async def database(migrated_url: str, clock: HandClock) -> AsyncIterator[Database]:
    database = Database(migrated_url, clock=clock)
    yield database
    await database.close()


@pytest.fixture
async def neighbour(migrated_url: str, clock: HandClock) -> AsyncIterator[Database]:
    """The same database as another server process sees it, with connections of its own."""
    database = Database(migrated_url, clock=clock)
    yield database
    await database.close()


@pytest.fixture
def customers(database: Database) -> Customers:
    return Customers(database, currency="RUB", demo_minutes=0, local_credit=0)
