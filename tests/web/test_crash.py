"""The server is killed at random moments, again and again; every call is billed once.

A real server process is started, called over a real WebSocket, and killed with SIGKILL while
the caller talks, types, hangs up or is only just being connected. The next server closes what
the dead one left. In the end the book must balance to the last minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import func, select
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from billing import records
from billing.audit import audit
from billing.database import Database
from tests.calls.exchange import PATIENCE_S, connect, eventually

KILLS = 50
LEASE_S = 1.0
# What one heartbeat may miss, and what a busy machine adds to it.
SLACK_MS = int(LEASE_S * 1000) + 10_000


class Server:
    """One `voice-server serve` at a time, on the same port and database."""

    def __init__(self, database_url: str, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        self._command = [sys.executable, "-m", "voice_server", "serve", "--port", str(port)]
        self._environment = os.environ | {
            "VOICE_SERVER_DATABASE_URL": database_url,
            "VOICE_SERVER_DATA_DIR": str(folder),
            "VOICE_SERVER_SPEECH_TO_TEXT": "scripted",
            "VOICE_SERVER_DIALOGUE": "scripted",
            "VOICE_SERVER_TEXT_TO_SPEECH": "scripted",
            "VOICE_SERVER_LEASE_SECONDS": str(LEASE_S),
            "VOICE_SERVER_DEMO_MINUTES": "30",
            "VOICE_SERVER_LOCAL_CREDIT": "1000000",
            "VOICE_SERVER_HOLD_MINUTES": "2",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )
        for _ in range(2_400):
            assert self._process.poll() is None, self.log.read_text()[-2_000:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                if urllib.request.urlopen(f"{self.url}/health", timeout=5).status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server did not start: " + self.log.read_text()[-2_000:])

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Caller:
    """Calls, types and hangs up in a loop until the server dies; remembers what it saw."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("http", "ws") + "/v1/realtime"
        self.seen: dict[str, tuple[float, float]] = {}

    async def call(self, rng: random.Random) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError, InvalidHandshake, OSError):
            while True:
                await self._one_call(rng.uniform(0.1, 1.2))

    async def _one_call(self, lasts_s: float) -> None:
        async with connect(self._url) as socket:
            began = time.monotonic()
            call_id = socket.response.headers["location"].rpartition("/")[2]  # type: ignore[union-attr]
            self.seen[call_id] = (began, began)
            ask = [{"type": "response.create"}, {"type": "input_audio_buffer.commit"}]
            for event in ask:
                await socket.send(json.dumps(event))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(lasts_s):
                    async for _ in socket:
                        self.seen[call_id] = (began, time.monotonic())
            self.seen[call_id] = (began, time.monotonic())


async def kill_in_the_middle(
    server: Server, caller: Caller, rng: random.Random, *, of_a_call: bool
) -> None:
    """At any moment, or at any moment after somebody's call was answered."""
    known = len(caller.seen)
    callers = [asyncio.create_task(caller.call(rng)) for _ in range(2)]
    if of_a_call:
        await eventually(lambda: len(caller.seen) > known)
    await asyncio.sleep(rng.uniform(0.0, 1.5))
    killed = time.monotonic()
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*callers)
    for call_id, (began, until) in caller.seen.items():
        caller.seen[call_id] = (began, min(until, killed))


async def open_leases(database: Database) -> int:
    lease = records.UsageLease
    statement = select(func.count()).where(lease.state == "open")
    return int((await database.read(lambda session: session.execute(statement))).scalar_one())


@pytest.mark.timeout(1_800)
async def test_every_call_is_billed_once_however_the_server_dies(
    database_url: str, free_port: int, tmp_path: Path
) -> None:
    server = Server(database_url, free_port, tmp_path)
    rng, caller = random.Random(20_261_121), Caller(server.url)
    try:
        for number in range(KILLS):
            await asyncio.to_thread(server.start)
            await kill_in_the_middle(server, caller, rng, of_a_call=number % 2 == 0)
        await asyncio.to_thread(server.start)
        database = Database(database_url)
        async with asyncio.timeout(2 * PATIENCE_S):
            while await open_leases(database):
                await asyncio.sleep(0.2)
    finally:
        server.kill()
    try:
        await check_the_books(database, caller)
    finally:
        await database.close()


async def check_the_books(database: Database, caller: Caller) -> None:
    sessions = await database.read(lambda session: session.execute(select(records.UsageSession)))
    bills = {bill.usage_id: bill for bill in sessions.scalars()}
    assert len(caller.seen) >= KILLS / 2, "hardly a call was placed"
    for call_id, (began, until) in caller.seen.items():
        bill = bills[call_id]  # The row is unique by its usage id: exactly one.
        lasted_ms = int((until - began) * 1000)
        assert lasted_ms - SLACK_MS <= bill.duration_ms <= lasted_ms + SLACK_MS
        assert bill.billed_minutes == max(1, -(-bill.duration_ms // 60_000))
        assert bill.billed_amount == bill.billed_minutes * 500
    # A call that was being connected when the server died may be billed or not, but once.
    paid_minutes = sum(bill.paid_minutes for bill in bills.values())
    paid_amount = sum(bill.paid_amount for bill in bills.values())
    assert paid_minutes + paid_amount // 500 == sum(b.billed_minutes for b in bills.values())
    balances = await database.read(lambda session: session.execute(select(records.Balance)))
    left = {(row.account, row.unit): row.amount for row in balances.scalars()}
    assert {account.partition(":")[0] for account, _ in left} == {"wallet"}, "something is held"
    assert sum(amount for (_, unit), amount in left.items() if unit == "minute") == (
        30 - paid_minutes
    )
    assert sum(amount for (_, unit), amount in left.items() if unit == "RUB") == (
        1_000_000 - paid_amount
    )
    assert await database.read(audit) == []
