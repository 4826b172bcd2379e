"""The book of all money: entries go in once, balances come out.

`post` runs inside the caller's transaction, so that an entry and what it is about happen
together or not at all. It

1. inserts the entry's key, which waits for another transaction with the same key; when
   the key is taken, nothing more happens and the first result is given back;
2. moves the balances of owned accounts in the order of their names, each in one guarded
   statement, so that no two entries wait for each other in a circle and none overdraws;
3. writes the postings with the balance before and after.

What a customer sees is simpler than the book: a hold only sets funds aside and a release
only brings them back, so `history` shows what changed the sum of wallet and held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from . import records
from .audit import Discrepancy, audit
from .database import Database, insert_once
from .postings import LedgerEntry, Posting, owner_of, wallet_of
from .pricing import MINUTE, InsufficientFunds

PAGE_MAX = 200


@dataclass(frozen=True, slots=True)
class Posted:
    """The result of an entry. `replayed`: it had happened before, and happened only then.
    `balances` holds each owned (account, unit) as the entry left it."""

    entry_id: int
    replayed: bool
    balances: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a user can spend, and what their open calls have set aside, by unit."""

    user_id: int
    balances: Mapping[str, int]
    held: Mapping[str, int]

    @property
    def minutes(self) -> int:
        return self.balances.get(MINUTE, 0)

    def money(self, currency: str) -> int:
        return self.balances.get(currency, 0)

    def as_json(self, currency: str) -> dict[str, object]:
        return {
            "minutes": self.minutes,
            "amount": self.money(currency),
            "currency": currency,
            "held_minutes": self.held.get(MINUTE, 0),
            "held_amount": self.held.get(currency, 0),
        }


@dataclass(frozen=True, slots=True)
class WalletTransaction:
    """One change of what a user owns. `type` is grant, usage, refund or adjust; a usage has
    negative deltas. Money is in minor units of `currency`.

    Balances count what is set aside for open calls. `id` is a cursor for older pages.
    """

    id: int
    key: str
    type: str
    about: str
    minutes_delta: int
    money_delta: int
    currency: str
    minutes_before: int
    minutes_after: int
    money_before: int
    money_after: int
    created_at: datetime

    def as_json(self) -> dict[str, object]:
        names = self.__dataclass_fields__
        fields: dict[str, object] = {name: getattr(self, name) for name in names}
        return {**fields, "created_at": self.created_at.isoformat()}


class Ledger:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def post(self, session: AsyncSession, entry: LedgerEntry) -> Posted:
        """Make the entry happen, once. Raises `InsufficientFunds` when an account would
        fall below its floor; the transaction must then be given up."""
        entry_id = await insert_once(
            session,
            records.LedgerEntry,
            key=entry.key,
            reason=entry.reason,
            about=entry.about,
            created_at=self._database.moment(),
        )
        if entry_id is None:
            return await _first_result(session, entry.key)
        balances: dict[tuple[str, str], int] = {}
        rows = []
        for posting in sorted(entry.postings, key=lambda posting: (posting.account, posting.unit)):
            owner, after = owner_of(posting.account), None
            if owner is not None:
                after = await _move_balance(session, owner, posting)
                if not after and posting.account.startswith("held:"):
                    await _forget_balance(session, posting)
                balances[posting.account, posting.unit] = after
            rows.append(_row(entry_id, posting, owner, after))
        if rows:
            await session.execute(insert(records.Posting), rows)
        return Posted(entry_id, False, balances)

    async def lock(self, session: AsyncSession, account: str) -> dict[str, int]:
        """The account's balances by unit; nobody else can move them until this ends."""
        balance = records.Balance
        rows = await session.execute(
            select(balance.unit, balance.amount)
            .where(balance.account == account)
            .order_by(balance.unit)
            .with_for_update()
        )
        return {unit: amount for unit, amount in rows if amount}

    async def wallet(self, user_id: int) -> Wallet:
        """What a user has now. Raises `DatabaseAway`."""
        return await self._database.read(lambda session: read_wallet(session, user_id))

    async def history(
        self, user_id: int, *, currency: str, cursor: int | None = None, limit: int = 50
    ) -> list[WalletTransaction]:
        """Changes of a user's minutes and of their money in one currency, newest first,
        older than `cursor` if one is given."""
        limit = max(1, min(limit, PAGE_MAX))
        return await self._database.read(
            lambda session: _read_history(session, user_id, currency, cursor, limit)
        )

    async def verify(self) -> list[Discrepancy]:
        """Everything in which balances, bills and the book disagree; empty is right."""
        return await self._database.read(audit)


async def read_wallet(session: AsyncSession, user_id: int) -> Wallet:
    """A user's balances as this transaction sees them."""
    balance = records.Balance
    statement = select(balance.account, balance.unit, balance.amount).where(
        balance.user_id == user_id
    )
    balances: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    for account, unit, amount in await session.execute(statement):
        (balances if account == wallet_of(user_id) else held)[unit] += amount
    return Wallet(user_id, dict(balances), dict(held))


async def paid_by(session: AsyncSession, key: str) -> dict[str, int]:
    """What the entry of that key brought to accounts of nobody (revenue), by unit."""
    entry, posting = records.LedgerEntry, records.Posting
    statement = (
        select(posting.unit, func.sum(posting.amount))
        .join(entry, entry.id == posting.entry_id)
        .where(entry.key == key, posting.user_id.is_(None))
        .group_by(posting.unit)
    )
    return {unit: int(amount) for unit, amount in (await session.execute(statement))}


async def _move_balance(session: AsyncSession, owner: int, posting: Posting) -> int:
    """Change one balance and return it; the row is locked from here on."""
    balance = records.Balance
    is_it = (balance.account == posting.account, balance.unit == posting.unit)
    change = (
        update(balance)
        .where(*is_it, balance.amount + posting.amount >= balance.floor)
        .values(amount=balance.amount + posting.amount)
        .returning(balance.amount)
        .execution_options(synchronize_session=False)
    )
    after = (await session.execute(change)).scalar()
    if after is None and posting.amount > 0:
        # There is no such row yet. When another transaction has made it meanwhile, add to it.
        made = await insert_once(
            session, balance, account=posting.account, unit=posting.unit,
            user_id=owner, amount=posting.amount, floor=0,
        )  # fmt: skip
        after = posting.amount if made else (await session.execute(change)).scalar()
    if after is None:
        raise InsufficientFunds(f"{posting.account} cannot give {-posting.amount} {posting.unit}")
    return after


async def _forget_balance(session: AsyncSession, posting: Posting) -> None:
    """Nothing is held any more. A row for every call there ever was would only be in the way."""
    balance = records.Balance
    is_it = (balance.account == posting.account, balance.unit == posting.unit)
    await session.execute(delete(balance).where(*is_it))


def _row(
    entry_id: int, posting: Posting, owner: int | None, after: int | None
) -> dict[str, object]:
    return {
        "entry_id": entry_id,
        "account": posting.account,
        "unit": posting.unit,
        "amount": posting.amount,
        "user_id": owner,
        "balance_before": None if after is None else after - posting.amount,
        "balance_after": after,
    }


async def _first_result(session: AsyncSession, key: str) -> Posted:
    entry, posting = records.LedgerEntry, records.Posting
    by_key = select(entry.id).where(entry.key == key)
    entry_id = (await session.execute(by_key)).scalar_one()
    statement = (
        select(posting.account, posting.unit, posting.balance_after)
        .where(posting.entry_id == entry_id, posting.user_id.is_not(None))
        .order_by(posting.id)
    )
    rows = await session.execute(statement)
    return Posted(entry_id, True, {(a, u): after for a, u, after in rows if after is not None})


async def _read_history(
    session: AsyncSession, user_id: int, currency: str, cursor: int | None, limit: int
) -> list[WalletTransaction]:
    """Postings of a user, summed by entry, with running sums in the order they happened.

    The order is that of the postings' ids: they are numbered while the balance is locked.
    """
    entry, posting = records.LedgerEntry, records.Posting
    per_entry = (
        select(
            func.max(posting.id).label("id"),
            posting.entry_id.label("entry_id"),
            func.sum(case((posting.unit == MINUTE, posting.amount), else_=0)).label("minutes"),
            func.sum(case((posting.unit == currency, posting.amount), else_=0)).label("money"),
        )
        .where(posting.user_id == user_id)
        .group_by(posting.entry_id)
        .subquery()
    )
    in_order = per_entry.c.id
    running = select(
        per_entry,
        func.sum(per_entry.c.minutes).over(order_by=in_order).label("minutes_after"),
        func.sum(per_entry.c.money).over(order_by=in_order).label("money_after"),
    ).subquery()
    page = (
        select(running, entry.key, entry.reason, entry.about, entry.created_at)
        .join(entry, entry.id == running.c.entry_id)
        .where((running.c.minutes != 0) | (running.c.money != 0))
        .order_by(running.c.id.desc())
        .limit(limit)
    )
    if cursor is not None:
        page = page.where(running.c.id < cursor)
    return [
        WalletTransaction(
            id=row.id,
            key=row.key,
            type=row.reason,
            about=row.about,
            minutes_delta=int(row.minutes),
            money_delta=int(row.money),
            currency=currency,
            minutes_before=int(row.minutes_after - row.minutes),
            minutes_after=int(row.minutes_after),
            money_before=int(row.money_after - row.money),
            money_after=int(row.money_after),
            created_at=row.created_at,
        )
        for row in (await session.execute(page)).all()
    ]
