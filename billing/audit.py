"""Does everything that is written down agree? Asked of the database, answered from the book.

Balances are recomputed from postings, each posting's balance from the one before it, each
entry's units must sum to zero, and each bill must say what its entry really moved. The
answer is a list of what does not agree; it is empty, or somebody must look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Select, String, case, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from .pricing import MINUTE
from .records import CLOSED, Balance, LedgerEntry, Posting, UsageLease, UsageSession


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something is wrong with `where`: it should be `expected` and is `found`."""

    what: str
    where: str
    expected: str
    found: str


# Three columns: where, what is expected there, and what is found.
Question: TypeAlias = Select[*tuple[Any, ...]]


async def audit(session: AsyncSession) -> list[Discrepancy]:
    """Every disagreement, of a snapshot of the database."""
    questions = {
        "an entry makes or loses funds": _unbalanced_entries(),
        "a balance is not the sum of its postings": _wrong_balances(),
        "a balance has no postings": _groundless_balances(),
        "a balance lies below its floor": _below_floor(),
        "a posting does not continue from the one before": _broken_chains(),
        "a closed use still holds funds": _left_held(),
        "a connected use was closed without a bill": _unbilled(),
        "a bill belongs to a use that is open": _billed_while_open(),
        "a bill does not say what was paid": _misstated_bills(),
        "an entry of usage has no bill": _usage_without_bill(),
        "a bill's minutes are not those of its duration": _misbilled_minutes(),
    }
    found = []
    for what, question in questions.items():
        rows = (await session.execute(question)).all()
        found += [Discrepancy(what, str(row[0]), str(row[1]), str(row[2])) for row in rows]
    return found


def _unbalanced_entries() -> Question:
    total = func.sum(Posting.amount)
    return (
        select(LedgerEntry.key, literal(0), total)
        .join(Posting, Posting.entry_id == LedgerEntry.id)
        .group_by(LedgerEntry.key, Posting.unit)
        .having(total != 0)
    )


def _wrong_balances() -> Question:
    sums = (
        select(Posting.account, Posting.unit, func.sum(Posting.amount).label("total"))
        .where(Posting.user_id.is_not(None))
        .group_by(Posting.account, Posting.unit)
        .subquery()
    )
    cached = func.coalesce(Balance.amount, 0)
    same = (Balance.account == sums.c.account) & (Balance.unit == sums.c.unit)
    return (
        select(sums.c.account, sums.c.total, cached)
        .outerjoin(Balance, same)
        .where(cached != sums.c.total)
    )


def _groundless_balances() -> Question:
    posted = select(Posting.id).where(
        Posting.account == Balance.account, Posting.unit == Balance.unit
    )
    return select(Balance.account, literal(0), Balance.amount).where(
        Balance.amount != 0, ~posted.exists()
    )


def _below_floor() -> Question:
    return select(Balance.account, Balance.floor, Balance.amount).where(
        Balance.amount < Balance.floor
    )


def _broken_chains() -> Question:
    before = func.lag(Posting.balance_after, 1, 0).over(
        partition_by=(Posting.account, Posting.unit), order_by=Posting.id
    )
    chain = (
        select(Posting.account, before.label("expected"), Posting.balance_before)
        .where(Posting.user_id.is_not(None))
        .subquery()
    )
    return select(chain.c.account, chain.c.expected, chain.c.balance_before).where(
        chain.c.expected != chain.c.balance_before
    )


def _left_held() -> Question:
    owner = cast(UsageLease.user_id, String)
    account = literal("held:") + owner + literal(":") + UsageLease.usage_id
    return (
        select(UsageLease.usage_id, literal(0), Balance.amount)
        .join(Balance, Balance.account == account)
        .where(UsageLease.state == CLOSED, Balance.amount != 0)
    )


def _unbilled() -> Question:
    bill = select(UsageSession.id).where(UsageSession.usage_id == UsageLease.usage_id)
    return select(UsageLease.usage_id, literal(1), literal(0)).where(
        UsageLease.state == CLOSED, UsageLease.connected, ~bill.exists()
    )


def _billed_while_open() -> Question:
    return (
        select(UsageSession.usage_id, literal(0), literal(1))
        .join(UsageLease, UsageLease.usage_id == UsageSession.usage_id)
        .where(UsageLease.state != CLOSED)
    )


def _misstated_bills() -> Question:
    earned = Posting.user_id.is_(None)
    minutes = func.sum(case((earned & (Posting.unit == MINUTE), Posting.amount), else_=0))
    money = func.sum(case((earned & (Posting.unit != MINUTE), Posting.amount), else_=0))
    paid = (
        select(LedgerEntry.about, minutes.label("minutes"), money.label("money"))
        .outerjoin(Posting, Posting.entry_id == LedgerEntry.id)
        .where(LedgerEntry.reason == "usage")
        .group_by(LedgerEntry.about)
        .subquery()
    )
    return (
        select(UsageSession.usage_id, paid.c.minutes, UsageSession.paid_minutes)
        .outerjoin(paid, paid.c.about == UsageSession.usage_id)
        .where(
            or_(
                paid.c.about.is_(None),
                paid.c.minutes != UsageSession.paid_minutes,
                paid.c.money != UsageSession.paid_amount,
            )
        )
    )


def _usage_without_bill() -> Question:
    bill = select(UsageSession.id).where(UsageSession.usage_id == LedgerEntry.about)
    return select(LedgerEntry.key, literal(1), literal(0)).where(
        LedgerEntry.reason == "usage", ~bill.exists()
    )


def _misbilled_minutes() -> Question:
    whole = (UsageSession.duration_sec + 59) // 60
    expected = case((whole < 1, 1), else_=whole)
    return select(UsageSession.usage_id, expected, UsageSession.billed_minutes).where(
        expected != UsageSession.billed_minutes
    )
