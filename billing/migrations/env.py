"""Runs migrations on the connection that `billing.migrations` lends, in its transaction.

Alembic executes this file by its path; nobody imports it.
"""

from __future__ import annotations

from alembic import context

from billing.records import Record

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Record.metadata,
    # True of SQLite too, as `sqlite_engine` begins transactions by itself.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
