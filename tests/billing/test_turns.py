"""Turns are written down once, in the end, or dropped with a word; and a bill never waits."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.customers import Customers
from billing.database import Database, DatabaseAway
from billing.pricing import PerMinute
from billing.records import TurnRecord, UsageLease
from billing.turn_facts import TurnFacts
from billing.turns import BATCH, PAGE_MAX, Turns
from billing.usage import Usage
from tests.services import PostgresServer

from .conftest import HandClock
from .test_turn_facts import turn

TARIFF = PerMinute("RUB", 500)


@pytest.fixture
async def call(database: Database, customers: Customers) -> str:
    """The id of a use that is going on."""
    user = (await customers.local_user()).user_id
    await customers.grant(user, minutes=10, key="first")
    usage = Usage(database, server_id="s", lease_seconds=15, hold_minutes=2)
    async with usage.metered(
        user, kind="call", tariff=TARIFF, minutes_max=9, usage_id="call_1"
    ) as meter:
        await meter.tick(0)
    return "call_1"


async def rows(database: Database) -> int:
    count = select(func.count()).select_from(TurnRecord)
    return (await database.read(lambda session: session.execute(count))).scalar_one()


async def test_what_is_kept_is_written_and_read_as_it_was(database: Database, call: str) -> None:
    turns = Turns(database)
    kept = [
        turn(turn=number, gap_ms=600, endpointing_ms=600, failovers=number) for number in (1, 2, 3)
    ]
    turns.keep(kept)
    assert await turns.of(call) == kept, "what waits is known too"
    await turns.write()
    assert (turns.waiting, await rows(database)) == (0, 3)
    assert [replace(each, uses=tuple(each.uses)) for each in await turns.of(call)] == kept
    assert [each.turn for each in await turns.of(call, after=1, limit=1)] == [2]
    assert await turns.of("call_2") == []


async def test_a_turn_is_written_once_however_often_it_is_tried(
    database: Database, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    turns = Turns(database)
    for outcome in ("completed", "failed"):
        turns.keep([turn(turn=1, outcome=outcome)])
        await turns.write()
    [found] = await turns.of(call)
    assert found.outcome == "completed" and "cannot be written" not in caplog.text


async def test_more_than_a_batch_is_written(database: Database, call: str) -> None:
    turns = Turns(database)
    turns.keep(turn(turn=number) for number in range(2 * BATCH + 1))
    await turns.write()
    assert await rows(database) == 2 * BATCH + 1
    assert len(await turns.of(call, limit=10**6)) == PAGE_MAX
    assert [each.turn for each in await turns.of(call, after=2 * BATCH - 1)] == [2 * BATCH]


async def test_a_page_is_of_what_is_written_and_of_what_waits(
    database: Database, call: str
) -> None:
    turns = Turns(database)
    turns.keep([turn(turn=1), turn(turn=4)])
    await turns.write()
    turns.keep([turn(turn=2), turn(turn=9)])
    assert [each.turn for each in await turns.of(call, limit=3)] == [1, 2, 4]
    assert [each.turn for each in await turns.of(call, after=4)] == [9]


async def test_one_that_no_database_takes_does_not_take_others_along(
    database: Database, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    turns = Turns(database)
    wrong = [turn(usage_id="call_of_nobody"), turn(turn=7, outcome="splendid")]
    turns.keep([turn(turn=1), *wrong, turn(turn=2)])
    with caplog.at_level(logging.CRITICAL + 1, "billing.turns"):
        await turns.write()
    assert [each.turn for each in await turns.of(call)] == [1, 2]
    assert turns.waiting == 0


class Outage:
    """A database that is away for as long as one says so."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away, self._write = True, database.write
        monkeypatch.setattr(database, "write", self.write)

    async def write(self, work: object) -> object:
        if self.away:
            raise DatabaseAway("gone")
        return await self._write(work)  # type: ignore[arg-type]


async def test_while_the_database_is_away_everything_waits(
    database: Database, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage, turns = Outage(database, monkeypatch), Turns(database, gather_seconds=0.001)
    writing = asyncio.create_task(turns.keep_writing())
    turns.keep([turn(turn=1)])
    for _ in range(20):  # However often it is tried.
        await asyncio.sleep(0.002)
    assert turns.waiting == 1 and not writing.done()
    outage.away = False
    async with asyncio.timeout(60):
        while turns.waiting:
            await asyncio.sleep(0.01)
    turns.keep([turn(turn=2)])
    async with asyncio.timeout(60):
        while turns.waiting:
            await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert [each.turn for each in await turns.of(call)] == [1, 2]


async def test_what_waits_has_a_bound_and_the_oldest_go_first(
    database: Database, call: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    outage, turns = Outage(database, monkeypatch), Turns(database, waiting_max=3)
    turns.keep(turn(turn=number) for number in range(8))
    assert turns.waiting == 3
    with pytest.raises(DatabaseAway):
        await turns.write()
    assert turns.waiting == 3
    outage.away = False
    await turns.write()
    assert [each.turn for each in await turns.of(call)] == [5, 6, 7]
    assert "5 turns were dropped" in caplog.text


async def test_at_the_end_what_is_left_is_written_or_said_to_be_lost(
    database: Database, call: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    turns = Turns(database)
    turns.keep([turn(turn=1)])
    await turns.close()
    assert await rows(database) == 1
    Outage(database, monkeypatch)
    turns.keep([turn(turn=2)])
    await turns.close()
    assert "1 turns were not written down" in caplog.text


# A real database that goes away, and servers that die.


@pytest.fixture
async def mortal_postgres() -> AsyncIterator[PostgresServer]:
    server = await asyncio.to_thread(PostgresServer)
    yield server
    await asyncio.to_thread(server.remove)


async def test_a_real_database_is_killed_and_comes_back(
    mortal_postgres: PostgresServer, clock: HandClock
) -> None:
    from billing.migrations import migrate

    with mortal_postgres.database() as url:
        await migrate(url)
        database = Database(url, clock=clock)
        try:
            user = await Customers(
                database, currency="RUB", demo_minutes=10, local_credit=0
            ).local_user()
            usage = Usage(database, server_id="s", lease_seconds=15, hold_minutes=2)
            turns = Turns(database)
            async with usage.metered(
                user.user_id, kind="call", tariff=TARIFF, minutes_max=9, usage_id="call_1"
            ) as meter:
                await meter.tick(0)
                turns.keep([turn(turn=1)])
                await turns.write()
                mortal_postgres.stop(signal.SIGKILL)
                turns.keep([turn(turn=2)])
                with pytest.raises(DatabaseAway):
                    await turns.write()
                assert turns.waiting == 1
                await asyncio.to_thread(mortal_postgres.start)
                await turns.write()
                meter.read(61_000, {"engine_cost": {}})
            assert meter.bill is not None and meter.bill.billed_minutes == 2
            assert [each.turn for each in await turns.of("call_1")] == [1, 2]
        finally:
            await database.close()


CALLER = """
import asyncio, sys
from datetime import UTC, datetime
from billing.database import Database
from billing.pricing import PerMinute
from billing.turn_facts import TurnFacts
from billing.turns import Turns
from billing.usage import Usage

async def call(usage, turns, n, user):
    async with usage.metered(user, kind="call", tariff=PerMinute("RUB", 500), minutes_max=60,
                             usage_id=f"call_{n}") as meter:
        for number in range(1_000_000):
            turns.keep([TurnFacts(f"call_{n}", number, datetime.now(UTC), "completed",
                                  cost_micros={"USD": number})])
            await meter.tick(min(number * 100, 600_000))
            print(n, number, flush=True)

async def main(url, user):
    database = Database(url)
    usage = Usage(database, server_id="doomed", lease_seconds=0.3, hold_minutes=1)
    turns = Turns(database, gather_seconds=0.02)
    async with asyncio.TaskGroup() as group:
        group.create_task(turns.keep_writing())
        for n in range(3):
            group.create_task(call(usage, turns, n, user))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_a_server_killed_in_the_middle_leaves_the_bill_right(migrated_url: str) -> None:
    """SIGKILL while turns are being written: some are lost, and no minute is."""
    database = Database(migrated_url)
    customers = Customers(database, currency="RUB", demo_minutes=100, local_credit=10**9)
    user = (await customers.local_user()).user_id
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, migrated_url, str(user),
        cwd=Path(__file__).resolve().parents[2], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    ticked = dict[int, int]()
    async with asyncio.timeout(120):
        while len(ticked) < 3 or min(ticked.values()) < 20 or not await rows(database):
            note_ticks(ticked, await server.stdout.readline())
    server.kill()
    note_ticks(ticked, await server.stdout.read())
    await server.wait()
    reaper = Usage(database, server_id="after", lease_seconds=0.3, hold_minutes=1)
    open_calls = select(func.count()).where(UsageLease.state == "open")
    async with asyncio.timeout(120):
        while (await database.read(lambda s: s.execute(open_calls))).scalar_one():
            await reaper.reap()
            await asyncio.sleep(0.05)
    assert await customers.ledger.verify() == []
    turns = Turns(database)
    for call, last in ticked.items():
        bill = await reaper.bill(f"call_{call}", user)
        assert bill is not None and bill.duration_ms >= min(last * 100, 600_000)
        found = await every_turn(turns, f"call_{call}")
        assert [each.turn for each in found] == list(range(len(found))), "in order, no gap"
        assert all(each.cost_micros == {"USD": each.turn} for each in found)
    await database.close()


def note_ticks(ticked: dict[int, int], lines: bytes) -> None:
    for line in lines.decode().splitlines(keepends=True):
        if line.endswith("\n"):  # It may have died in the middle of one.
            call, last = map(int, line.split())
            ticked[call] = last


async def every_turn(turns: Turns, usage_id: str) -> list[TurnFacts]:
    found: list[TurnFacts] = []
    while page := await turns.of(usage_id, after=found[-1].turn if found else -1):
        found += page
    return found


# What others will ask of them.


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("SELECT * FROM turn_records WHERE usage_id = 'call_1' AND turn > 3 ORDER BY turn LIMIT 9",
         "ix_turn_records_usage_id_turn"),
        ("SELECT gap_ms FROM turn_records WHERE started_at >= '2026-11-01 00:00'"
         " AND started_at < '2026-11-02 00:00'", "ix_turn_records_started_at"),
        *(
            (f"SELECT gap_ms FROM turn_records WHERE {role} = 'openai:a'"
             " AND started_at >= '2026-11-01 00:00' AND started_at < '2026-11-02 00:00'",
             f"ix_turn_records_{role}_started_at_gap_ms")
            for role in ("speech_to_text", "dialogue", "text_to_speech", "speech_to_speech")
        ),
    ],
)  # fmt: skip
async def test_one_call_and_one_engine_s_day_are_found_by_an_index(
    database: Database, call: str, question: str, index: str
) -> None:
    async def plan(session: AsyncSession) -> str:
        if session.get_bind().dialect.name == "postgresql":
            await session.execute(text("SET LOCAL enable_seqscan = off"))
            explained = await session.execute(text(f"EXPLAIN (FORMAT JSON) {question}"))
            return json.dumps(explained.scalar_one())
        explained = await session.execute(text(f"EXPLAIN QUERY PLAN {question}"))
        return str(explained.all())

    assert index in await database.read(plan)
