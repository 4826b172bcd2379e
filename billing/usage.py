"""Work that costs money: funds are held before it, and the bill is settled after it.

    async with usage.metered(user, kind="call", tariff=..., minutes_max=60, usage_id=...) as meter:
        ...                                # meter.allowance_ms: how long it is paid for
        await meter.tick(elapsed_ms)       # heartbeat: durable counter, lease, next hold
        meter.read(duration_ms, {...})     # facts, once the work is over
    meter.bill                             # None: it never began, or is still owed

1. Entry is one transaction: not one affordable minute, no work (`InsufficientFunds`).
2. The allowance is what is held. It grows in steps while the work lives; when the wallet
   gives no more it stays, and whoever runs the work warns and ends it.
3. Durations come from `tick` and `read` only, from the clock of the work itself.
4. Exit is one transaction, finished even when cancelled. Closing is a compare-and-set, so
   of an exit, its retry and any number of reapers one makes the bill and all see it.
5. What was never read is billed as far as it was counted; what never began (`read(None)`,
   or neither read nor ticked with a number) costs nothing and leaves no bill, only a
   `release` entry.
6. When the database is away, work goes on until its allowance ends. An exit that cannot be
   written is kept in memory and written by the next `reap`; if the server dies first,
   another one's `reap` closes the lease at its last durable counter. Never lost, never twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import select

from .bills import Bill, PastUse, find_bill, find_bills
from .database import Database, DatabaseAway, finished
from .leases import LeaseLost, Leases, Reading, Terms, UsageExists
from .pricing import MINUTE_MS, InsufficientFunds, PerMinute
from .records import UsageLease

__all__ = ["Bill", "InsufficientFunds", "LeaseLost", "Meter", "Usage", "UsageExists"]

logger = logging.getLogger(__name__)

# The next hold is made before a call would warn that its last minute has begun.
RENEW_BEFORE_MS = 90_000
# How long an exit waits for a database that is away before it leaves the bill for later.
SETTLE_SECONDS_MAX = 10.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 1.0
USAGE_ID_CHARS_MAX = 64
REASON_CHARS_MAX = 64
DETAIL_CHARS_MAX = 100_000
PAGE_MAX = 200


class Meter:
    """The meter of one use. `bill` is set when its `metered` block has been left."""

    def __init__(self, database: Database, leases: Leases, usage_id: str, held_minutes: int):
        self.usage_id = usage_id
        self.allowance_ms = held_minutes * MINUTE_MS
        self.bill: Bill | None = None
        self._database, self._leases = database, leases
        self._reading: Reading | None = None
        self._counted_ms: int | None = None
        self._away = False

    async def tick(self, elapsed_ms: int | None) -> int:
        """Heartbeat, some times per lease: make `elapsed_ms` durable (None: the work has not
        begun yet, only the lease is renewed) and hold the next minutes when few are left.

        Gives the allowance. While the database is away that stays as it is. Raises
        `LeaseLost` when somebody else has closed this use: the work must end.
        """
        if elapsed_ms is not None:
            self._counted_ms = max(self._counted_ms or 0, elapsed_ms)
        try:
            held_minutes = await self._database.write(
                lambda session: self._leases.renew(session, self.usage_id, elapsed_ms)
            )
        except DatabaseAway as away:
            if not self._away:
                logger.warning("%s goes on without the database: %s", self.usage_id, away)
            self._away = True
        else:
            self._away = False
            self.allowance_ms = max(self.allowance_ms, held_minutes * MINUTE_MS)
        return self.allowance_ms

    def read(self, duration_ms: int | None, detail: Mapping[str, object]) -> None:
        """The work is over and lasted this long; None: it never began. Facts only, kept
        with the bill as JSON; `detail["reason"]` says why it ended."""
        reason = str(detail.get("reason", ""))[:REASON_CHARS_MAX]
        self._reading = Reading(duration_ms, reason, facts(detail))

    def final(self) -> Reading:
        """What was read, or else how far it was counted."""
        if self._reading is not None:
            return self._reading
        return Reading(self._counted_ms, "abandoned", {})


class Usage:
    """All metered use of one server. `server_id` is new for every process."""

    def __init__(
        self,
        database: Database,
        *,
        server_id: str,
        lease_seconds: float,
        hold_minutes: int,
        renew_before_ms: int = RENEW_BEFORE_MS,
        settle_seconds: float = SETTLE_SECONDS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert lease_seconds > 0
        assert hold_minutes >= 1
        terms = Terms(lease_seconds, hold_minutes, renew_before_ms)
        self._database = database
        self._leases = Leases(database, terms, server_id)
        self._lease_seconds, self._settle_seconds = lease_seconds, settle_seconds
        self._monotonic = monotonic
        # Uses this process still answers for: their leases are not ours to reap.
        self._mine: set[str] = set()
        self._owed: dict[str, Reading] = {}
        self._away_until = -1.0

    @asynccontextmanager
    async def metered(
        self, user_id: int, *, kind: str, tariff: PerMinute, minutes_max: int, usage_id: str
    ) -> AsyncIterator[Meter]:
        """Hold, let the block work, settle. `usage_id` is fresh, at most 64 characters.

        Raises, before the block: `InsufficientFunds`, `UsageExists`, `DatabaseAway`.
        """
        assert minutes_max >= 1
        assert 0 < len(usage_id) <= USAGE_ID_CHARS_MAX
        opened: list[Meter] = []
        self._mine.add(usage_id)
        try:
            await finished(self._open(opened, user_id, kind, tariff, minutes_max, usage_id))
            yield opened[0]
        finally:
            # Also when cancelled while opening: what was opened is closed.
            if opened:
                await finished(self._close(opened[0]))
            if usage_id not in self._owed:
                self._mine.discard(usage_id)

    async def bill(self, usage_id: str, user_id: int) -> Bill | None:
        """The bill of a closed use, for its owner; None for everybody else, and while it is
        open. Raises `DatabaseAway`."""
        bill = await self._database.read(lambda session: find_bill(session, usage_id))
        return bill if bill is not None and bill.user_id == user_id else None

    async def bills(
        self, user_id: int, *, kind: str, cursor: int | None = None, limit: int = 50
    ) -> list[PastUse]:
        """A user's uses of one kind that are over, newest first, older than `cursor` if one is
        given; at most `limit`, and never more than `PAGE_MAX`. Raises `DatabaseAway`."""
        limit = max(1, min(limit, PAGE_MAX))
        return await self._database.read(
            lambda session: find_bills(session, user_id, kind, cursor=cursor, limit=limit)
        )

    async def owner(self, usage_id: str) -> int | None:
        """Whose open use this is; None when there is none such. Raises `DatabaseAway`."""
        statement = select(UsageLease.user_id).where(
            UsageLease.usage_id == usage_id, UsageLease.state == "open"
        )
        found = await self._database.read(lambda session: session.execute(statement))
        return found.scalar()

    async def reap(self) -> list[Bill]:
        """Settle what this server still owes, then close the leases that dead servers left.

        After the database was away nothing is reaped for one lease: live servers must be
        able to renew first. Gives the bills made. Raises `DatabaseAway`.
        """
        try:
            bills = await self._settle_owed()
            if self._monotonic() < self._away_until:
                return bills
            for usage_id in await self._database.read(self._leases.expired):
                if usage_id not in self._mine:
                    bill = await self._reap(usage_id)
                    bills += [bill] if bill is not None else []
        except DatabaseAway:
            self._away_until = self._monotonic() + self._lease_seconds
            raise
        return bills

    async def keep_reaping(self) -> None:
        """Reap twice per lease until cancelled."""
        while True:
            try:
                for bill in await self.reap():
                    logger.warning(
                        "%s was left open; closed at %d ms", bill.usage_id, bill.duration_ms
                    )
            except DatabaseAway as away:
                logger.warning("cannot look for lost calls: %s", away)
            await asyncio.sleep(self._lease_seconds / 2)

    async def _open(
        self,
        opened: list[Meter],
        user_id: int,
        kind: str,
        tariff: PerMinute,
        minutes_max: int,
        usage_id: str,
    ) -> None:
        held_minutes = await self._database.write(
            lambda session: self._leases.open(session, usage_id, user_id, kind, tariff, minutes_max)
        )
        opened.append(Meter(self._database, self._leases, usage_id, held_minutes))

    async def _close(self, meter: Meter) -> None:
        """Settle, trying again for a bounded time; then leave it to `reap`."""
        reading = meter.final()
        deadline, pause = self._monotonic() + self._settle_seconds, RETRY_SECONDS_MIN
        while True:
            try:
                meter.bill = await self._settle(meter.usage_id, reading)
                return
            except DatabaseAway as away:
                if self._monotonic() + pause > deadline:
                    logger.error("%s is owed until the database is back: %s", meter.usage_id, away)
                    self._owed[meter.usage_id] = reading
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    async def _settle_owed(self) -> list[Bill]:
        bills = []
        for usage_id, reading in list(self._owed.items()):
            bill = await self._settle(usage_id, reading)
            bills += [bill] if bill is not None else []
            self._owed.pop(usage_id, None)
            self._mine.discard(usage_id)
        return bills

    async def _settle(self, usage_id: str, reading: Reading) -> Bill | None:
        return await self._database.write(
            lambda session: self._leases.close(session, usage_id, reading)
        )

    async def _reap(self, usage_id: str) -> Bill | None:
        return await self._database.write(lambda session: self._leases.reap(session, usage_id))


def facts(detail: Mapping[str, object]) -> dict[str, object]:
    """What any database can keep as JSON: a bill must not fail over a strange remark."""
    text = json.dumps(dict(detail), default=str, skipkeys=True)
    if len(text) > DETAIL_CHARS_MAX:
        return {"left_out_chars": len(text)}
    kept: dict[str, object] = json.loads(text, parse_constant=str)
    return kept
