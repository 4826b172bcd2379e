"""A bill, as it is shown to the one who pays it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from .records import UsageLease, UsageSession


@dataclass(frozen=True, slots=True)
class Bill:
    """One closed use. Amounts are in minor units of `currency`.

    `billed_amount` is the price by the tariff. `paid_minutes` and `paid_amount` say how it
    was paid: granted minutes first, then money. The balances are what the wallet could
    spend right after; what other open calls hold is not in them.
    """

    usage_id: str
    user_id: int
    kind: str
    reason: str
    duration_ms: int
    duration_sec: int
    billed_minutes: int
    billed_amount: int
    currency: str
    paid_minutes: int
    paid_amount: int
    balance_minutes: int
    balance_amount: int
    tariff_snapshot: Mapping[str, str | int]
    created_at: datetime

    def as_json(self) -> dict[str, object]:
        names = self.__dataclass_fields__
        fields: dict[str, object] = {name: getattr(self, name) for name in names}
        return {
            **fields,
            "tariff_snapshot": dict(self.tariff_snapshot),
            "created_at": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class PastUse:
    """A use that is over. `cursor` asks for older ones; `opened_at` is when it was admitted."""

    cursor: int
    opened_at: datetime
    bill: Bill


async def find_bill(session: AsyncSession, usage_id: str) -> Bill | None:
    """The bill of a closed use, whoever's it is."""
    statement = (
        select(UsageSession)
        .where(UsageSession.usage_id == usage_id)
        .execution_options(populate_existing=True)
    )
    row = (await session.execute(statement)).scalar()
    return None if row is None else _bill(row)


async def find_bills(
    session: AsyncSession, user_id: int, kind: str, *, cursor: int | None, limit: int
) -> list[PastUse]:
    """A user's bills of one kind, newest first, older than `cursor` if one is given."""
    statement = (
        select(UsageSession, UsageLease.opened_at)
        .join(UsageLease, UsageLease.usage_id == UsageSession.usage_id)
        .where(UsageSession.user_account_id == user_id, UsageSession.kind == kind)
        .order_by(UsageSession.id.desc())
        .limit(limit)
    )
    if cursor is not None:
        statement = statement.where(UsageSession.id < cursor)
    rows = (await session.execute(statement)).all()
    return [PastUse(row.id, opened_at, _bill(row)) for row, opened_at in rows]


def _bill(row: UsageSession) -> Bill:
    return Bill(
        usage_id=row.usage_id,
        user_id=row.user_account_id,
        kind=row.kind,
        reason=row.reason,
        duration_ms=row.duration_ms,
        duration_sec=row.duration_sec,
        billed_minutes=row.billed_minutes,
        billed_amount=row.billed_amount,
        currency=row.currency,
        paid_minutes=row.paid_minutes,
        paid_amount=row.paid_amount,
        balance_minutes=row.balance_minutes,
        balance_amount=row.balance_amount,
        tariff_snapshot=dict(row.tariff_snapshot),
        created_at=row.created_at,
    )
