"""Transactions are whole: not torn by cancellation, repeated when they lose a race."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from billing.customers import Customers
from billing.database import Database, DatabaseAway, finished, insert_once
from billing.migrations import migrate
from billing.records import UserAccount
from tests.services import PostgresServer

from .conftest import HandClock


async def add(session: AsyncSession, handle: str, at: datetime) -> bool:
    made = await insert_once(
        session, UserAccount, handle=handle, kind="local", name="n", created_at=at
    )
    return made is not None


async def handles(database: Database) -> list[str]:
    statement = select(UserAccount.handle).order_by(UserAccount.id)
    found = await database.read(lambda session: session.execute(statement))
    return list(found.scalars())


async def test_work_that_fails_leaves_nothing(database: Database, clock: HandClock) -> None:
    async def half(session: AsyncSession) -> None:
        await add(session, "a", clock.now)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.write(half)
    assert await handles(database) == []


async def test_a_cancelled_writer_is_cancelled_after_its_transaction(
    database: Database, clock: HandClock
) -> None:
    begun = asyncio.Event()

    async def slow(session: AsyncSession) -> None:
        await add(session, "a", clock.now)
        begun.set()
        await asyncio.sleep(0.05)
        await add(session, "b", clock.now)

    writer = asyncio.create_task(database.write(slow))
    await begun.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert await handles(database) == ["a", "b"]


async def test_finished_work_tells_a_cancelled_caller_of_its_cancellation_only() -> None:
    async def breaks() -> None:
        await asyncio.sleep(0)
        raise LookupError("nobody asks any more")

    task = asyncio.create_task(finished(breaks()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_writers_that_lock_each_other_both_get_through(
    database: Database, neighbour: Database, clock: HandClock
) -> None:
    """PostgreSQL ends one of two that wait for each other; that one is run again."""
    await database.write(lambda session: add(session, "a", clock.now))
    await database.write(lambda session: add(session, "b", clock.now))
    met = asyncio.Barrier(2)
    runs: list[str] = []

    async def rename(session: AsyncSession, first: str, second: str) -> None:
        runs.append(first)
        rename_one = text("UPDATE user_accounts SET name = name || '!' WHERE handle = :handle")
        await session.execute(rename_one, {"handle": first})
        if len(runs) <= 2 and database.url.get_backend_name() == "postgresql":
            await met.wait()
        await session.execute(rename_one, {"handle": second})

    await asyncio.gather(
        database.write(lambda session: rename(session, "a", "b")),
        neighbour.write(lambda session: rename(session, "b", "a")),
    )
    names = await database.read(lambda session: session.execute(select(UserAccount.name)))
    assert list(names.scalars()) == ["n!!", "n!!"]


async def test_who_reads_before_writing_reads_what_will_still_be_true(
    database: Database, neighbour: Database, clock: HandClock
) -> None:
    """Two processes each read a row, think, and write what follows from it; none is lost."""
    await database.write(lambda session: add(session, "a", clock.now))

    async def lengthen(session: AsyncSession) -> None:
        row = (await session.execute(select(UserAccount).with_for_update())).scalar_one()
        await asyncio.sleep(0.002)
        row.name = row.name + "!"

    await asyncio.gather(*(here.write(lengthen) for here in [database, neighbour] * 8))
    names = await database.read(lambda session: session.execute(select(UserAccount.name)))
    assert list(names.scalars()) == ["n" + "!" * 16]


async def test_moments_keep_their_zone_and_come_back_in_utc(
    database: Database, clock: HandClock
) -> None:
    in_moscow = clock.now.astimezone(timezone(timedelta(hours=3)))
    await database.write(lambda session: add(session, "a", in_moscow))
    at = await database.read(lambda session: session.execute(select(UserAccount.created_at)))
    [kept] = at.scalars()
    assert kept == clock.now
    assert kept.utcoffset() == timedelta(0)


async def test_without_a_clock_of_the_test_the_database_knows_the_time(
    migrated_url: str,
) -> None:
    database = Database(migrated_url)
    try:
        later = select(database.moment(60) > database.moment(), database.moment())
        [(is_later, now)] = await database.read(lambda session: session.execute(later))
        assert is_later
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=5)
    finally:
        await database.close()


async def test_sqlite_is_durable_and_guards_its_references(sqlite_url: str) -> None:
    await migrate(sqlite_url)
    database = Database(sqlite_url)
    try:
        for engine in (database.writer, database.reader):
            async with engine.connect() as connection:
                found = [
                    (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                    for name in ("journal_mode", "synchronous", "foreign_keys")
                ]
            assert found == ["wal", 2, 1]
    finally:
        await database.close()


async def test_sqlite_locked_by_another_program_is_away(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.database.BUSY_MS", 20)
    await migrate(sqlite_url)
    database = Database(sqlite_url)
    other = sqlite3.connect(sqlite_url.partition("///")[2])
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseAway, match="locked"):
            await database.write(lambda session: add(session, "a", datetime.now(UTC)))
        other.rollback()
        assert await database.write(lambda session: add(session, "a", datetime.now(UTC)))
    finally:
        other.close()
        await database.close()


async def test_a_wrong_statement_is_our_fault_and_not_the_databases(database: Database) -> None:
    with pytest.raises(DBAPIError, match="nowhere"):
        await database.read(lambda session: session.execute(text("SELECT * FROM nowhere")))


def test_a_bill_is_not_kept_in_memory() -> None:
    with pytest.raises(ValueError, match="file"):
        Database("sqlite+aiosqlite:///:memory:")


async def test_postgres_that_is_restarted_is_away_and_then_back() -> None:
    server = PostgresServer()
    try:
        with server.database() as url:
            await migrate(url)
            database = Database(url)
            customers = Customers(database, currency="RUB", demo_minutes=1, local_credit=0)
            user = await customers.local_user()
            server.stop()
            with pytest.raises(DatabaseAway):
                await customers.local_user()
            with pytest.raises(DatabaseAway):
                await customers.grant(user.user_id, minutes=1, key="k")
            server.start()
            await customers.grant(user.user_id, minutes=1, key="k")
            assert (await customers.wallet(user.user_id)).minutes == 2
            # The pool's other connections died with the old server; nobody is told.
            server.stop()
            server.start()
            await customers.grant(user.user_id, minutes=1, key="k2")
            assert (await customers.wallet(user.user_id)).minutes == 3
            await database.close()
    finally:
        server.remove()
