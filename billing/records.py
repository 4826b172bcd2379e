"""What is written down, table by table.

    user_accounts ◄── usage_leases ── usage_sessions       who used what, and the bill
          ▲                ▲
          │           turn_records                         each turn of it, and its engines
    balances   ledger_entries ◄── postings                 where the money is, and why

Entries and postings are only ever added; the database refuses anything else (triggers, see
the migrations). A balance is a cache of its postings' sum, kept so that one row can be
locked and can refuse to fall below its floor. Amounts are integers in the unit's smallest
part, moments are UTC.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .database import UtcDateTime
from .turn_facts import ENGINE_CHARS_MAX, ERROR_CHARS_MAX, ROLES

# SQLite numbers rows by itself only where the key is exactly an INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

OPEN, CLOSED = "open", "closed"


class Record(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UserAccount(Record):
    """Somebody who can call and pay. `handle` is how they are found again: `local`,
    `anonymous:...`; `kind` is local or anonymous."""

    __tablename__ = "user_accounts"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    handle: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Balance(Record):
    """What an owned account holds of one unit: the cached sum of its postings."""

    __tablename__ = "balances"
    __table_args__ = (CheckConstraint("amount >= floor", name="floor"),)

    account: Mapped[str] = mapped_column(String(120), primary_key=True)
    unit: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_accounts.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    floor: Mapped[int] = mapped_column(BigInteger, default=0)


class LedgerEntry(Record):
    """One thing that happened to money; `key` lets it happen once."""

    __tablename__ = "ledger_entries"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    reason: Mapped[str] = mapped_column(String(32))
    about: Mapped[str] = mapped_column(String(200), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Posting(Record):
    """One line of an entry. Owned accounts carry their balance before and after."""

    __tablename__ = "postings"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="moves"),
        CheckConstraint("balance_after = balance_before + amount", name="adds_up"),
        CheckConstraint(
            "(user_id IS NULL) = (balance_before IS NULL)"
            " AND (user_id IS NULL) = (balance_after IS NULL)",
            name="owned_is_balanced",
        ),
        Index(None, "account", "unit", "id"),
        Index(None, "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("ledger_entries.id"), index=True)
    account: Mapped[str] = mapped_column(String(120))
    unit: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_accounts.id"))
    balance_before: Mapped[int | None] = mapped_column(BigInteger)
    balance_after: Mapped[int | None] = mapped_column(BigInteger)


class UsageLease(Record):
    """Work that is going on, or was. A server that works renews its lease; when it stops
    renewing, anybody may close the lease, once, at `counted_ms`."""

    __tablename__ = "usage_leases"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'closed')", name="state"),
        CheckConstraint("held_minutes BETWEEN 0 AND minutes_max", name="held"),
        CheckConstraint("counted_ms >= 0", name="counted"),
        Index(
            "ix_usage_leases_open",
            "lease_expires_at",
            postgresql_where=text("state = 'open'"),
            sqlite_where=text("state = 'open'"),
        ),
    )

    usage_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    server_id: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(8))
    tariff_snapshot: Mapped[dict[str, str | int]] = mapped_column(JSON)
    minutes_max: Mapped[int] = mapped_column(Integer)
    held_minutes: Mapped[int] = mapped_column(Integer)
    # How many `hold` entries there are; the next one's key is one more.
    holds: Mapped[int] = mapped_column(Integer)
    connected: Mapped[bool] = mapped_column(Boolean)
    counted_ms: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UsageSession(Record):
    """A bill: what was used, its price by the tariff of the day, and how it was paid.
    `created_at` is the end of the session."""

    __tablename__ = "usage_sessions"
    __table_args__ = (
        CheckConstraint("billed_minutes >= 1", name="minutes"),
        CheckConstraint("duration_sec >= 0 AND duration_ms >= 0", name="duration"),
        CheckConstraint("billed_amount >= 0", name="amount"),
        CheckConstraint("paid_minutes >= 0 AND paid_amount >= 0", name="paid"),
        Index(None, "user_account_id", "id"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    usage_id: Mapped[str] = mapped_column(ForeignKey("usage_leases.usage_id"), unique=True)
    user_account_id: Mapped[int] = mapped_column(ForeignKey("user_accounts.id"))
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64))
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    duration_sec: Mapped[int] = mapped_column(BigInteger)
    billed_minutes: Mapped[int] = mapped_column(BigInteger)
    billed_amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    tariff_snapshot: Mapped[dict[str, str | int]] = mapped_column(JSON)
    # How the bill was paid, and what the wallet held right after.
    paid_minutes: Mapped[int] = mapped_column(BigInteger)
    paid_amount: Mapped[int] = mapped_column(BigInteger)
    balance_minutes: Mapped[int] = mapped_column(BigInteger)
    balance_amount: Mapped[int] = mapped_column(BigInteger)
    detail: Mapped[dict[str, object]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TurnRecord(Record):
    """One turn of a call: how long the caller waited and for what, which engines answered, and
    what that cost. See `turn_facts.TurnFacts`."""

    __tablename__ = "turn_records"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('completed', 'cancelled', 'failed', 'unanswered')", name="outcome"
        ),
        Index(None, "usage_id", "turn", unique=True),
        Index(None, "started_at"),
        *(
            Index(
                f"ix_turn_records_{role}_started_at_gap_ms",
                role,
                "started_at",
                "gap_ms",
                postgresql_where=text(f"{role} IS NOT NULL"),
                sqlite_where=text(f"{role} IS NOT NULL"),
            )
            for role in ROLES
        ),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    usage_id: Mapped[str] = mapped_column(ForeignKey("usage_leases.usage_id"))
    turn: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(ERROR_CHARS_MAX))
    endpointing_ms: Mapped[int | None] = mapped_column(Integer)
    transcript_ms: Mapped[int | None] = mapped_column(Integer)
    first_token_ms: Mapped[int | None] = mapped_column(Integer)
    first_sentence_ms: Mapped[int | None] = mapped_column(Integer)
    first_audio_ms: Mapped[int | None] = mapped_column(Integer)
    first_packet_ms: Mapped[int | None] = mapped_column(Integer)
    gap_ms: Mapped[int | None] = mapped_column(Integer)
    answer_ms: Mapped[int | None] = mapped_column(Integer)
    speech_to_text: Mapped[str | None] = mapped_column(String(ENGINE_CHARS_MAX))
    dialogue: Mapped[str | None] = mapped_column(String(ENGINE_CHARS_MAX))
    text_to_speech: Mapped[str | None] = mapped_column(String(ENGINE_CHARS_MAX))
    speech_to_speech: Mapped[str | None] = mapped_column(String(ENGINE_CHARS_MAX))
    failovers: Mapped[int] = mapped_column(Integer)
    requests: Mapped[int] = mapped_column(Integer)
    cost_micros: Mapped[dict[str, int]] = mapped_column(JSON)
    unpriced: Mapped[int] = mapped_column(Integer)
    uses: Mapped[list[dict[str, object]]] = mapped_column(JSON)
