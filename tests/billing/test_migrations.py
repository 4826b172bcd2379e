"""A migrated database is the one the records describe, however many migrate it at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from billing.database import Database
from billing.migrations import current, downgrade, migrate, newest
from billing.records import Record


async def look(url: str, look_at: Callable[[Connection], Any]) -> Any:
    database = Database(url)
    try:
        async with database.writer.begin() as connection:
            return await connection.run_sync(look_at)
    finally:
        await database.close()


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Record.metadata))


def shape(connection: Connection) -> dict[str, object]:
    """What autogenerate does not compare: checks, and the predicates of indexes."""
    inspector = inspect(connection)
    return {
        table: {
            "checks": sorted(
                (c["name"], c["sqltext"]) for c in inspector.get_check_constraints(table)
            ),
            "indexes": sorted(
                (str(i["name"]), i["column_names"], predicate(i))
                for i in inspector.get_indexes(table)
            ),
        }
        for table in sorted(set(inspector.get_table_names()) - {"alembic_version"})
    }


def predicate(index: Any) -> list[str]:
    options = index.get("dialect_options", {})
    return [str(where) for name, where in sorted(options.items()) if name.endswith("_where")]


def tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())


async def test_migrations_lead_to_the_records(database_url: str) -> None:
    assert await current(database_url) is None
    await migrate(database_url)
    assert await current(database_url) == newest() is not None
    assert await look(database_url, differences) == []
    migrated = await look(database_url, shape)
    await downgrade(database_url, "base")
    assert await look(database_url, tables) == ["alembic_version"]
    await look(database_url, lambda connection: Record.metadata.create_all(connection))
    assert await look(database_url, shape) == migrated


async def test_a_database_goes_down_and_up_again(database_url: str) -> None:
    for _ in range(2):
        await migrate(database_url)
        await migrate(database_url)
        assert "usage_sessions" in await look(database_url, tables)
        await downgrade(database_url, "base")


async def test_servers_that_migrate_at_once_do_not_disturb_each_other(database_url: str) -> None:
    code = (
        "import asyncio, sys; from billing.migrations import migrate; "
        "asyncio.run(migrate(sys.argv[1]))"
    )
    house = Path(__file__).resolve().parents[2]
    servers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, database_url, cwd=house, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for server in servers:
        _, said = await server.communicate()
        assert server.returncode == 0, said.decode()
    assert await look(database_url, differences) == []


@pytest.mark.parametrize("table", ["ledger_entries", "postings", "usage_sessions"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id + 1", "DELETE FROM {}"])
async def test_the_database_itself_refuses_to_rewrite_history(
    migrated_url: str, table: str, change: str
) -> None:
    database = Database(migrated_url)
    fill = [
        "INSERT INTO user_accounts VALUES (1, 'h', 'local', 'n', '2026-01-01')",
        "INSERT INTO ledger_entries VALUES (1, 'k', 'grant', '', '2026-01-01')",
        "INSERT INTO postings VALUES (1, 1, 'revenue', 'RUB', 5, NULL, NULL, NULL)",
        "INSERT INTO usage_leases VALUES ('u', 1, 'call', 's', 'closed', '{}', 1, 1, 1, true,"
        " 0, '2026-01-01', '2026-01-01', '2026-01-01')",
        "INSERT INTO usage_sessions VALUES (1, 'u', 1, 'call', '', 0, 0, 1, 0, 'RUB', '{}', 0,"
        " 0, 0, 0, '{}', '2026-01-01')",
    ]
    try:
        async with database.writer.begin() as connection:
            for statement in fill:
                await connection.execute(text(statement))
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.writer.begin() as connection:
                await connection.execute(text(change.format(table)))
    finally:
        await database.close()
