"""The four transactions in the life of a use, each repeatable.

    open     lease, and the first hold
    renew    durable counter, lease, and the next hold when little is left
    close    open → closed once; the bill, and held → revenue / wallet
    reap     the same for a lease that has expired, at its last durable counter

    held:  |<-------- held_minutes -------->|
    call:  |------ elapsed ------>|  left   |      left <= renew_before: hold the next step

The lease's row is locked first, then the wallet, then what is held, in every one of them.
So a renewal and a close of one use never wait for each other in a circle, and of two that
close it the second finds it closed and reads the first one's bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from .bills import Bill, find_bill
from .database import Database, UtcDateTime, insert_once
from .ledger import Ledger, read_wallet
from .postings import held_for, hold, release, settle, wallet_of
from .pricing import (
    MINUTE,
    MINUTE_MS,
    InsufficientFunds,
    PerMinute,
    billed_minutes,
    duration_seconds,
)
from .records import CLOSED, OPEN, UsageLease, UsageSession

# How many expired leases one look takes up.
REAP_MAX = 100


class LeaseLost(Exception):
    """The use has been closed by somebody else; its work must end."""


class UsageExists(Exception):
    """This usage id has been used before."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How funds are set aside and for how long a silent server is believed alive."""

    lease_seconds: float
    hold_minutes: int
    renew_before_ms: int

    def minutes_wanted(self, held_minutes: int, elapsed_ms: int, minutes_max: int) -> int:
        """How many more minutes to hold now; 0 while enough is left."""
        left_ms = held_minutes * MINUTE_MS - elapsed_ms
        if left_ms > self.renew_before_ms:
            return 0
        short = (self.renew_before_ms - left_ms) // MINUTE_MS + 1
        return min(max(self.hold_minutes, short), minutes_max - held_minutes)


@dataclass(frozen=True, slots=True)
class Reading:
    """The end of a use by the clock that counted it. `duration_ms` None: it was not read;
    what has been made durable counts, and if nothing has, the use never began."""

    duration_ms: int | None
    reason: str
    detail: Mapping[str, object]


class Leases:
    """The transactions; each method is work for `Database.write`."""

    def __init__(self, database: Database, terms: Terms, server_id: str) -> None:
        self._database, self._terms, self._server_id = database, terms, server_id
        self._ledger = Ledger(database)

    async def open(
        self,
        session: AsyncSession,
        usage_id: str,
        user_id: int,
        kind: str,
        tariff: PerMinute,
        minutes_max: int,
    ) -> int:
        """Open a lease and hold the first minutes; give how many.

        Raises `InsufficientFunds` when not one minute can be paid, `UsageExists`.
        """
        now = self._database.moment()
        new = await insert_once(
            session,
            UsageLease,
            usage_id=usage_id,
            user_id=user_id,
            kind=kind,
            server_id=self._server_id,
            state=OPEN,
            tariff_snapshot=tariff.snapshot(),
            minutes_max=minutes_max,
            held_minutes=0,
            holds=0,
            connected=False,
            counted_ms=0,
            opened_at=now,
            seen_at=now,
            lease_expires_at=self._database.moment(self._terms.lease_seconds),
        )
        lease = await self._lease(session, usage_id)
        if not new:
            # Our own work may run twice, when the answer to its commit was lost.
            ours = (lease.server_id, lease.user_id, lease.state, lease.connected)
            if ours != (self._server_id, user_id, OPEN, False):
                raise UsageExists(f"{usage_id} has been used before")
            return lease.held_minutes
        if not await self._hold(session, lease, elapsed_ms=0):
            raise InsufficientFunds("the wallet does not pay for one minute")
        return lease.held_minutes

    async def renew(self, session: AsyncSession, usage_id: str, elapsed_ms: int | None) -> int:
        """Write down how far the use has come, renew its lease and, when little is left,
        its hold; give the minutes held. `elapsed_ms` None: it has not begun yet.

        Raises `LeaseLost`.
        """
        changes: dict[Any, object] = {
            UsageLease.seen_at: self._database.moment(),
            UsageLease.lease_expires_at: self._database.moment(self._terms.lease_seconds),
        }
        if elapsed_ms is not None:
            # The counter never runs back, whatever order heartbeats arrive in.
            counted = UsageLease.counted_ms
            changes[counted] = case((counted < elapsed_ms, elapsed_ms), else_=counted)
            changes[UsageLease.connected] = True
        # One statement, because this is what every live call does every few seconds.
        renewed = await session.execute(
            update(UsageLease)
            .where(
                UsageLease.usage_id == usage_id,
                UsageLease.state == OPEN,
                UsageLease.server_id == self._server_id,
            )
            .values(changes)
            .returning(UsageLease.held_minutes, UsageLease.minutes_max)
            .execution_options(synchronize_session=False)
        )
        row = renewed.one_or_none()
        if row is None:
            raise LeaseLost(usage_id)
        held_minutes, minutes_max = row
        if self._terms.minutes_wanted(held_minutes, elapsed_ms or 0, minutes_max) <= 0:
            return held_minutes
        lease = await self._lease(session, usage_id)
        await self._hold(session, lease, elapsed_ms or 0)
        return lease.held_minutes

    async def close(self, session: AsyncSession, usage_id: str, reading: Reading) -> Bill | None:
        """Close the use as it was read. Closed before: give the bill there is. None: it
        never began and costs nothing."""
        lease = await self._lease(session, usage_id)
        if lease.state != OPEN:
            return await find_bill(session, usage_id)
        return await self._settle(session, lease, reading, self._database.moment())

    async def reap(self, session: AsyncSession, usage_id: str) -> Bill | None:
        """Close the use at its last durable counter, if its lease has expired and nobody
        has closed it before; otherwise do nothing and give None."""
        lease = await _locked(session, usage_id, self._has_expired())
        if lease is None:
            return None
        reading = Reading(None, "server_lost", {"server_id": lease.server_id})
        return await self._settle(session, lease, reading, literal(lease.seen_at, UtcDateTime()))

    async def expired(self, session: AsyncSession) -> list[str]:
        """Uses that `reap` would close, the longest dead first."""
        statement = (
            select(UsageLease.usage_id)
            .where(self._has_expired())
            .order_by(UsageLease.lease_expires_at)
            .limit(REAP_MAX)
        )
        return list((await session.execute(statement)).scalars())

    def _has_expired(self) -> ColumnElement[bool]:
        late = UsageLease.lease_expires_at <= self._database.moment()
        return (UsageLease.state == OPEN) & late

    async def _hold(self, session: AsyncSession, lease: UsageLease, elapsed_ms: int) -> int:
        """Hold the next step, or as much of it as can be paid; give how many minutes."""
        wanted = self._terms.minutes_wanted(lease.held_minutes, elapsed_ms, lease.minutes_max)
        if wanted <= 0:
            return 0
        tariff = PerMinute.from_snapshot(lease.tariff_snapshot)
        funds = await self._ledger.lock(session, wallet_of(lease.user_id))
        minutes = tariff.affordable(funds, wanted)
        if minutes:
            key = f"{lease.kind}:{lease.usage_id}:hold:{lease.holds + 1}"
            spent = tariff.spend(funds, minutes)
            await self._ledger.post(session, hold(lease.user_id, lease.usage_id, spent, key=key))
            lease.holds += 1
            lease.held_minutes += minutes
        return minutes

    async def _settle(
        self,
        session: AsyncSession,
        lease: UsageLease,
        reading: Reading,
        ended: ColumnElement[datetime],
    ) -> Bill | None:
        """open → closed, with the bill and its entry. The lease is locked and open."""
        user_id, usage_id, key = lease.user_id, lease.usage_id, f"{lease.kind}:{lease.usage_id}"
        held = await self._ledger.lock(session, held_for(user_id, usage_id))
        lease.state = CLOSED
        duration_ms = reading.duration_ms
        if duration_ms is None and lease.connected:
            duration_ms = lease.counted_ms
        if duration_ms is None:
            entry = release(user_id, usage_id, held, key=f"{key}:release")
            await self._ledger.post(session, entry)
            return None
        # The caller was promised that nothing beyond the hold would be taken.
        duration_ms = min(duration_ms, lease.held_minutes * MINUTE_MS)
        lease.connected, lease.counted_ms = True, duration_ms
        tariff = PerMinute.from_snapshot(lease.tariff_snapshot)
        minutes = billed_minutes(duration_ms)
        spent = tariff.spend(held, minutes)
        await self._ledger.post(
            session, settle(user_id, usage_id, held, spent, key=f"{key}:settle")
        )
        wallet = await read_wallet(session, user_id)
        inserted = await insert_once(
            session,
            UsageSession,
            usage_id=usage_id,
            user_account_id=user_id,
            kind=lease.kind,
            reason=reading.reason,
            duration_ms=duration_ms,
            duration_sec=duration_seconds(duration_ms),
            billed_minutes=minutes,
            billed_amount=tariff.charge(minutes),
            currency=tariff.currency,
            tariff_snapshot=tariff.snapshot(),
            paid_minutes=spent.get(MINUTE, 0),
            paid_amount=spent.get(tariff.currency, 0),
            balance_minutes=wallet.minutes,
            balance_amount=wallet.money(tariff.currency),
            detail=dict(reading.detail),
            created_at=ended,
        )
        assert inserted, f"{usage_id} was open and had a bill"
        return await find_bill(session, usage_id)

    async def _lease(self, session: AsyncSession, usage_id: str) -> UsageLease:
        lease = await _locked(session, usage_id)
        if lease is None:
            raise LeaseLost(usage_id)
        return lease


async def _locked(
    session: AsyncSession, usage_id: str, *conditions: ColumnElement[bool]
) -> UsageLease | None:
    """The lease, nobody else's to change until this transaction ends."""
    statement = (
        select(UsageLease)
        .where(UsageLease.usage_id == usage_id, *conditions)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalar()
