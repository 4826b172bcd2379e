"""The turns of calls, written down behind the calls' backs.

    calls ──keep──► what waits, in memory ──keep_writing, some at a time──► turn_records
                          └────────────── of ──────────────┘

1. `keep` never waits and never fails: no sound and no bill ever depends on these rows.
2. A row is written once, however often it is tried. When the database is away all stays in
   memory, up to a bound; beyond it the oldest are dropped, and the log says how many.
3. A server that is killed loses what it had not written yet, and nothing else.
4. `of` also knows what waits here to be written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from sqlalchemy import select
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database, DatabaseAway, insert_all_once
from .records import TurnRecord
from .turn_facts import TurnFacts

logger = logging.getLogger(__name__)

WAITING_MAX = 5_000
BATCH = 200
PAGE_MAX = 200
# What comes within this time is written together.
GATHER_SECONDS = 1.0
RETRY_SECONDS_MAX = 30.0

_FIELDS = tuple(field.name for field in dataclasses.fields(TurnFacts))


class Turns:
    """All turns of one database. `keep_writing` runs for as long as the server does, and
    `close` writes what is left at its end."""

    def __init__(
        self,
        database: Database,
        *,
        waiting_max: int = WAITING_MAX,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._database, self._waiting_max = database, waiting_max
        self._gather_seconds = gather_seconds
        # In the order in which they came.
        self._waiting: dict[tuple[str, int], TurnFacts] = {}
        self._some = asyncio.Event()
        self._dropped = 0

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._waiting)

    def keep(self, turns: Iterable[TurnFacts]) -> None:
        """Have these written some time soon. Never waits."""
        for turn in turns:
            self._waiting[turn.usage_id, turn.turn] = turn
        while len(self._waiting) > self._waiting_max:
            del self._waiting[next(iter(self._waiting))]
            self._dropped += 1
        if self._waiting:
            self._some.set()

    async def keep_writing(self) -> None:
        """Write what is kept until cancelled."""
        pause = self._gather_seconds
        while True:
            await self._some.wait()
            await asyncio.sleep(pause)
            try:
                await self.write()
            except DatabaseAway as away:
                if pause == self._gather_seconds:
                    logger.warning("%d turns wait for the database: %s", self.waiting, away)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            else:
                pause = self._gather_seconds

    async def write(self) -> None:
        """Write all that waits. Raises `DatabaseAway`; what was not written waits on."""
        while batch := list(islice(self._waiting.values(), BATCH)):
            await self._write(batch)
            for turn in batch:
                self._waiting.pop((turn.usage_id, turn.turn), None)
        self._some.clear()
        if self._dropped:
            logger.error("%d turns were dropped while the database was away", self._dropped)
            self._dropped = 0

    async def close(self) -> None:
        """Write what is left; what cannot be written now is lost, and the log says so."""
        try:
            await self.write()
        except DatabaseAway as away:
            lost = self.waiting + self._dropped
            logger.error("%d turns were not written down: %s", lost, away)

    async def of(self, usage_id: str, *, after: int = -1, limit: int = 50) -> list[TurnFacts]:
        """Turns of one use in their order, those behind turn `after`, at most `limit` and never
        more than `PAGE_MAX`. Raises `DatabaseAway`."""
        limit = max(1, min(limit, PAGE_MAX))
        # Asked for first: what is written meanwhile is found there or here, or in both.
        waiting = {
            number: turn
            for (usage, number), turn in self._waiting.items()
            if usage == usage_id and number > after
        }
        written = await self._database.read(lambda session: _read(session, usage_id, after, limit))
        found = waiting | {turn.turn: turn for turn in written}
        return [found[number] for number in sorted(found)[:limit]]

    async def _write(self, batch: Sequence[TurnFacts]) -> None:
        """One transaction; a row that no database takes is left out of it."""
        rows = [{name: getattr(turn, name) for name in _FIELDS} for turn in batch]
        try:
            await self._database.write(lambda session: insert_all_once(session, TurnRecord, rows))
        except StatementError as error:
            if len(batch) > 1:
                for turn in batch:
                    await self._write([turn])
                return
            turn = batch[0]
            logger.error("turn %d of %s cannot be written: %s", turn.turn, turn.usage_id, error)


async def _read(session: AsyncSession, usage_id: str, after: int, limit: int) -> list[TurnFacts]:
    statement = (
        select(TurnRecord)
        .where(TurnRecord.usage_id == usage_id, TurnRecord.turn > after)
        .order_by(TurnRecord.turn)
        .limit(limit)
    )
    rows = (await session.execute(statement)).scalars()
    return [TurnFacts(**{name: getattr(row, name) for name in _FIELDS}) for row in rows]
