"""The first tables: users, balances, the ledger, leases and bills.

Entries, postings and bills are append-only, and the database itself says so.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("ledger_entries", "postings", "usage_sessions")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_user_accounts()
    create_balances()
    create_ledger_entries()
    create_postings()
    create_usage_leases()
    create_usage_sessions()
    for table in APPEND_ONLY:
        make_append_only(table)


def downgrade() -> None:
    for table in (
        "usage_sessions",
        "usage_leases",
        "postings",
        "ledger_entries",
        "balances",
        "user_accounts",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def create_user_accounts() -> None:
    op.create_table(
        "user_accounts",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("handle", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_accounts"),
        sa.UniqueConstraint("handle", name="uq_user_accounts_handle"),
    )


def create_balances() -> None:
    op.create_table(
        "balances",
        sa.Column("account", sa.String(120), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "unit", name="pk_balances"),
        sa.ForeignKeyConstraint(["user_id"], ["user_accounts.id"], name="fk_balances_user_id"),
        sa.CheckConstraint("amount >= floor", name=op.f("ck_balances_floor")),
    )
    op.create_index("ix_balances_user_id", "balances", ["user_id"])


def create_ledger_entries() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("about", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_entries"),
        sa.UniqueConstraint("key", name="uq_ledger_entries_key"),
    )
    op.create_index("ix_ledger_entries_about", "ledger_entries", ["about"])


def create_postings() -> None:
    op.create_table(
        "postings",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("entry_id", NUMBER, nullable=False),
        sa.Column("account", sa.String(120), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("user_id", NUMBER, nullable=True),
        sa.Column("balance_before", sa.BigInteger(), nullable=True),
        sa.Column("balance_after", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_postings"),
        sa.ForeignKeyConstraint(["entry_id"], ["ledger_entries.id"], name="fk_postings_entry_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_accounts.id"], name="fk_postings_user_id"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_postings_moves")),
        sa.CheckConstraint(
            "balance_after = balance_before + amount", name=op.f("ck_postings_adds_up")
        ),
        sa.CheckConstraint(
            "(user_id IS NULL) = (balance_before IS NULL)"
            " AND (user_id IS NULL) = (balance_after IS NULL)",
            name=op.f("ck_postings_owned_is_balanced"),
        ),
    )
    op.create_index("ix_postings_entry_id", "postings", ["entry_id"])
    op.create_index("ix_postings_account_unit_id", "postings", ["account", "unit", "id"])
    op.create_index("ix_postings_user_id_id", "postings", ["user_id", "id"])


def create_usage_leases() -> None:
    op.create_table(
        "usage_leases",
        sa.Column("usage_id", sa.String(64), nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("server_id", sa.String(100), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("tariff_snapshot", sa.JSON(), nullable=False),
        sa.Column("minutes_max", sa.Integer(), nullable=False),
        sa.Column("held_minutes", sa.Integer(), nullable=False),
        sa.Column("holds", sa.Integer(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("counted_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name="pk_usage_leases"),
        sa.ForeignKeyConstraint(["user_id"], ["user_accounts.id"], name="fk_usage_leases_user_id"),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_usage_leases_state")),
        sa.CheckConstraint(
            "held_minutes BETWEEN 0 AND minutes_max", name=op.f("ck_usage_leases_held")
        ),
        sa.CheckConstraint("counted_ms >= 0", name=op.f("ck_usage_leases_counted")),
    )
    op.create_index("ix_usage_leases_user_id", "usage_leases", ["user_id"])
    op.create_index(
        "ix_usage_leases_open",
        "usage_leases",
        ["lease_expires_at"],
        postgresql_where=sa.text("state = 'open'"),
        sqlite_where=sa.text("state = 'open'"),
    )


def create_usage_sessions() -> None:
    op.create_table(
        "usage_sessions",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("usage_id", sa.String(64), nullable=False),
        sa.Column("user_account_id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_sec", sa.BigInteger(), nullable=False),
        sa.Column("billed_minutes", sa.BigInteger(), nullable=False),
        sa.Column("billed_amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("tariff_snapshot", sa.JSON(), nullable=False),
        sa.Column("paid_minutes", sa.BigInteger(), nullable=False),
        sa.Column("paid_amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_minutes", sa.BigInteger(), nullable=False),
        sa.Column("balance_amount", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_sessions"),
        sa.UniqueConstraint("usage_id", name="uq_usage_sessions_usage_id"),
        sa.ForeignKeyConstraint(
            ["usage_id"], ["usage_leases.usage_id"], name="fk_usage_sessions_usage_id"
        ),
        sa.ForeignKeyConstraint(
            ["user_account_id"],
            ["user_accounts.id"],
            name="fk_usage_sessions_user_account_id",
        ),
        *usage_session_checks(),
    )
    op.create_index(
        "ix_usage_sessions_user_account_id_id", "usage_sessions", ["user_account_id", "id"]
    )
    op.create_index("ix_usage_sessions_created_at", "usage_sessions", ["created_at"])


def usage_session_checks() -> list[sa.CheckConstraint]:
    rules = {
        "minutes": "billed_minutes >= 1",
        "duration": "duration_sec >= 0 AND duration_ms >= 0",
        "amount": "billed_amount >= 0",
        "paid": "paid_minutes >= 0 AND paid_amount >= 0",
    }
    return [
        sa.CheckConstraint(rule, name=op.f(f"ck_usage_sessions_{name}"))
        for name, rule in rules.items()
    ]


def make_append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER append_only_{table}_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
