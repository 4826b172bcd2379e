"""Brings a database to the shape that `billing.records` describes.

    await migrate("postgresql+asyncpg://...")

Any number of servers may do so at once: one changes the tables, in one transaction, and
the others wait and then find nothing to do. A new migration is a file in `versions/` that
names the one before it; a test compares the migrated database with the records.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..database import finished, sqlite_engine

# Any number, as long as every server takes the same one.
MIGRATION_LOCK = 7_426_110_033


async def migrate(url: str, revision: str = "head") -> None:
    """Upgrade the database at `url`, creating a SQLite file that does not exist."""
    await finished(_change(url, lambda config: command.upgrade(config, revision)))


async def downgrade(url: str, revision: str) -> None:
    """Go back to `revision`; `base` leaves nothing of ours."""
    await finished(_change(url, lambda config: command.downgrade(config, revision)))


async def current(url: str) -> str | None:
    """The revision the database is at; None for an empty one."""
    engine = _engine(url, begin="BEGIN")
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(
                lambda inner: MigrationContext.configure(inner).get_current_revision()
            )
    finally:
        await engine.dispose()


def newest() -> str | None:
    """The revision this release works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def _change(url: str, change: Callable[[Config], None]) -> None:
    engine = _engine(url, begin="BEGIN EXCLUSIVE")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(lambda inner: _apply(inner, change))
    finally:
        await engine.dispose()


def _apply(connection: Connection, change: Callable[[Config], None]) -> None:
    if connection.dialect.name == "postgresql":
        # Held until this transaction ends. SQLite's BEGIN EXCLUSIVE is already such a lock.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    config = _config()
    config.attributes["connection"] = connection
    change(config)


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    return config


def _engine(url: str, *, begin: str) -> AsyncEngine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return sqlite_engine(parsed, begin=begin, connections=1)
    # No limit on how long it waits for its turn: another server may be changing a big table.
    return create_async_engine(parsed, poolclass=NullPool, connect_args={"timeout": 10})
