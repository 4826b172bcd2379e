"""Where records live: SQLite (aiosqlite) in one file, or PostgreSQL (asyncpg).

All work is a function from a session to a result, run as one transaction:

    bill = await database.write(lambda session: settle(session, ...))

1. A transaction is never torn by a cancellation: once begun it is finished, and only then
   is the caller's cancellation let through.
2. Work may run again, after a deadlock or a connection lost at its commit. So work is
   repeatable: it touches nothing but its session, and its keys make the second run harmless.
3. SQLite has one writer at a time: writers of this process queue in order, and `BEGIN
   IMMEDIATE` makes other processes wait instead of failing half way. Readers never wait.
4. A database that cannot be reached or cannot answer is `DatabaseAway`, whatever the
   driver called it.

Leases must expire by one clock for all servers: PostgreSQL's own. SQLite has no servers
but those of one machine, so the machine's clock serves. Tests pass their own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import DateTime, Dialect, event, func, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]
Clock = Callable[[], datetime]

ATTEMPTS_MAX = 5
BUSY_MS = 10_000
READERS_MAX = 4
POSTGRES_CONNECTIONS = 10
# A transaction that lost a race with another is simply run again.
RACES_LOST = {"40001", "40P01"}
# SQLSTATE classes that say the server, and not the statement, is at fault.
AWAY = ("08", "53", "57", "55P03", "25P03")


class DatabaseAway(Exception):
    """The database cannot be reached or does not answer; try again later."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept in UTC. SQLite has no zones, so there it is kept without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "a moment without a zone is not a moment"
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One database, open until `close`. Connections are made when first needed."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = make_url(url)
        self._clock = clock
        if self.url.get_backend_name() == "sqlite":
            self.writer = sqlite_engine(self.url, begin="BEGIN IMMEDIATE", connections=1)
            self.reader = sqlite_engine(self.url, begin="BEGIN", connections=READERS_MAX)
            self._turn: asyncio.Lock | None = asyncio.Lock()
        else:
            self.writer = self.reader = postgres_engine(self.url)
            self._turn = None

    async def write(self, work: Work[T]) -> T:
        """Run repeatable work in one durable transaction. Raises `DatabaseAway`."""
        return await finished(self._attempt(self.writer, work))

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing. Raises `DatabaseAway`."""
        return await finished(self._attempt(self.reader, work))

    def moment(self, after_seconds: float = 0.0) -> ColumnElement[datetime]:
        """Now, or so much later, by the clock that all servers of this database share."""
        after = timedelta(seconds=after_seconds)
        if self._clock is None and self._turn is None:
            return func.clock_timestamp(type_=UtcDateTime()) + literal(after)
        now = self._clock() if self._clock else datetime.now(UTC)
        return literal(now + after, UtcDateTime())

    async def close(self) -> None:
        for engine in {self.writer, self.reader}:
            await engine.dispose()

    async def _attempt(self, engine: AsyncEngine, work: Work[T]) -> T:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._transact(engine, work)
            except DBAPIError as error:
                # A pool may hold connections to a server that has since been restarted:
                # the first is found out here, and all are replaced.
                stale = error.connection_invalidated and attempt == 1
                if attempt < ATTEMPTS_MAX and (stale or _lost_a_race(error)):
                    continue
                if _is_away(error):
                    raise DatabaseAway(str(error.orig)) from error
                raise
            except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # Raised while connecting, where SQLAlchemy does not translate.
                raise DatabaseAway(str(error) or type(error).__name__) from error
        raise AssertionError("unreachable")

    async def _transact(self, engine: AsyncEngine, work: Work[T]) -> T:
        async with AsyncExitStack() as stack:
            if engine is self.writer and self._turn is not None:
                await stack.enter_async_context(self._turn)
            session = await stack.enter_async_context(AsyncSession(engine, expire_on_commit=False))
            await stack.enter_async_context(session.begin())
            return await work(session)


def sqlite_engine(url: URL, *, begin: str, connections: int) -> AsyncEngine:
    """An engine whose transactions begin as told. Raises ValueError for SQLite in memory."""
    if not url.database or url.database == ":memory:":
        raise ValueError("a bill is kept in a file; SQLite in memory forgets it")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=connections, max_overflow=0, pool_timeout=60)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # The driver must not begin transactions by itself; SQLAlchemy does, below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def postgres_engine(url: URL) -> AsyncEngine:
    """Waits are bounded on both sides: by the driver here, by the server for locks and for
    a client that stops in the middle of a transaction."""
    return create_async_engine(
        url,
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=POSTGRES_CONNECTIONS,
        pool_timeout=BUSY_MS / 1_000,
        connect_args={
            "timeout": 5,
            "command_timeout": 20,
            "server_settings": {
                "lock_timeout": str(BUSY_MS),
                "idle_in_transaction_session_timeout": "30000",
            },
        },
    )


async def insert_once(session: AsyncSession, table: type[Any], **values: Any) -> Any | None:
    """Insert a row and give its primary key; None when one of its unique keys is taken.

    Waits for another transaction that is inserting the same key to end.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    key = next(iter(table.__table__.primary_key.columns))
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing().returning(key)
    return (await session.execute(statement)).scalar()


async def insert_all_once(
    session: AsyncSession, table: type[Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert those of the rows whose unique keys are not taken."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    await session.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait until `work` has ended, even when cancelled meanwhile; then be cancelled."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # Seen: the caller is told of its cancellation instead.
        raise cancelled
    return task.result()


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _lost_a_race(error: DBAPIError) -> bool:
    return _sqlstate(error) in RACES_LOST


def _is_away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        # Locked, busy, disk full or unreadable; a wrong statement is a fault of ours.
        return error.orig.sqlite_errorcode != sqlite3.SQLITE_ERROR
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return _sqlstate(error).startswith(AWAY)
