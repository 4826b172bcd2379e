"""A real server process, seen from outside: what it says, what it holds, what it wrote.

Nothing here looks into the server. Its threads and descriptors come from /proc, its calls from
`/health`, its bills from the database it leaves behind, its troubles from its log. When the
block ends the server is told to stop; it must then be at rest, exit with 0, have complained of
nothing, and its books must balance.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, select

from billing import records
from billing.audit import audit
from billing.database import Database
from tests.calls.exchange import PATIENCE_S, eventually

from .test_server import Process, running

# Enough for as many calls as a test can place.
RICH = {"local_credit": 10**9, "demo_minutes": 10}


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds of the machine. `memory_kb` is what is resident of it."""

    threads: int
    descriptors: int
    memory_kb: int


@dataclass(frozen=True, slots=True)
class Books:
    """What the server wrote. `bills`: how often each use was billed, by its id."""

    bills: Counter[str]
    open_leases: int
    discrepancies: list[Any]


class Outside:
    """One server process and what can be known of it without asking its insides."""

    def __init__(self, process: Process, folder: Path, client: httpx2.AsyncClient) -> None:
        self.process, self.folder, self.client = process, folder, client
        self.port = process.port
        # Calls that were answered, by id: each must be billed once.
        self.answered: set[str] = set()
        # Calls that may end without a bill, because no sound ever flowed.
        self.unconnected: set[str] = set()

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def holdings(self) -> Holdings:
        place = Path(f"/proc/{self.process.child.pid}")
        resident = re.search(r"VmRSS:\s+(\d+) kB", (place / "status").read_text())
        assert resident is not None
        threads, descriptors = (len(list((place / kind).iterdir())) for kind in ("task", "fd"))
        return Holdings(threads, descriptors, int(resident[1]))

    async def calls(self) -> int:
        found = (await self.client.get("/health")).json()
        assert found["status"] == "ok"
        return int(found["calls"])

    async def at_rest(self, patience_s: float = PATIENCE_S, *, but: int = 0) -> None:
        """No call is left, but for so many. Fails when one outlives everybody's patience."""

        async def nobody_calls() -> bool:
            return await self.calls() <= but

        await eventually(nobody_calls, patience_s)

    async def no_more_than(self, before: Holdings, *, spare: int = 0) -> None:
        """Threads and descriptors are back where they were, but for `spare` of each."""
        most = before.threads + spare, before.descriptors + spare

        def is_back() -> bool:
            now = self.holdings()
            return now.threads <= most[0] and now.descriptors <= most[1]

        try:
            await eventually(is_back, PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"held {before}, now {self.holdings()}") from None

    async def books(self) -> Books:
        database = Database(f"sqlite+aiosqlite:///{self.folder / 'data' / 'voice.db'}")
        lease = records.UsageLease
        try:
            sessions = await database.read(
                lambda session: session.scalars(select(records.UsageSession.usage_id))
            )
            still_open = await database.read(
                lambda session: session.scalar(
                    select(func.count()).select_from(lease).where(lease.state == "open")
                )
            )
            found = await database.read(audit)
            return Books(Counter(sessions), int(still_open or 0), found)
        finally:
            await database.close()

    async def check_books(self) -> None:
        """Every call that was answered has one bill, nothing is held, and it all adds up."""
        books = await self.books()
        assert books.discrepancies == []
        assert books.open_leases == 0
        assert set(books.bills.values()) <= {1}
        unbilled = self.answered - set(books.bills)
        assert not unbilled, f"{len(unbilled)} of {len(self.answered)} calls were never billed"
        unknown = set(books.bills) - self.answered - self.unconnected
        assert not unknown, f"nobody knows of {unknown}"

    def check_log(self) -> None:
        complaints = [line for line in self.log.splitlines() if " ERROR " in line]
        assert not complaints, complaints[:5]
        assert "Traceback" not in self.log, self.log[-4_000:]
        assert "never awaited" not in self.log
        assert "was destroyed but it is pending" not in self.log


@contextlib.asynccontextmanager
async def outside(folder: Path, port: int, **options: object) -> AsyncIterator[Outside]:
    """A server of its own for one test, held to its promises at the end."""
    usual = {**RICH, "drain_seconds": 0, "calls_per_user_max": 1_000, "calls_max": 1_000}
    async with running(folder, port, **{**usual, **options}) as process:
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
            server = Outside(process, folder, client)
            yield server
            await server.at_rest()
        process.tell(signal.SIGTERM)
        assert await process.exit_code() == 0
        await server.check_books()
        server.check_log()


class Line:
    """A WebSocket written by hand, so that it can be written wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.call_id = ""

    async def shake_hands(self, path: str = "/v1/realtime", **headers: str) -> bytes:
        """Upgrade; returns the head of the answer."""
        usual = {
            "Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
        }  # fmt: skip
        lines = [f"{name}: {value}" for name, value in {**usual, **headers}.items()]
        self.writer.write("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(call_[0-9a-f]{32})", head)
        self.call_id = found[1].decode() if found else ""
        return head

    def frame(
        self, code: int, payload: bytes = b"", *, final: bool = True, masked: bool = True,
        reserved: int = 0, claims: int | None = None,
    ) -> bytes:  # fmt: skip
        """One frame. `claims`: the length it states, whatever it really is."""
        length = len(payload) if claims is None else claims
        mask = 0x80 if masked else 0
        head = bytes([(0x80 if final else 0) | reserved << 4 | code])
        if length < 126:
            head += bytes([mask | length])
        elif length < 1 << 16:
            head += bytes([mask | 126]) + length.to_bytes(2, "big")
        else:
            head += bytes([mask | 127]) + length.to_bytes(8, "big")
        # A mask of zeros leaves the payload as it is.
        return head + (bytes(4) if masked else b"") + payload

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.writer.write(frame)

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: its code and payload. Raises IncompleteReadError at the end."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(length)

    async def ends(self) -> int:
        """Read on until the server lets go; the code it closed with, 1006 without one."""
        code = 1006
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    kind, payload = await self.receive()
                    if kind == 8:
                        code = int.from_bytes(payload[:2], "big") if payload else 1005
                        self.send(self.frame(8, payload[:2]))
        return code

    def deaf(self) -> None:
        """Read nothing more."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def vanish(self) -> None:
        """Be gone without a word: the other side sees a reset."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    line = Line(reader, writer)
    try:
        yield line
    finally:
        line.vanish()


@contextlib.asynccontextmanager
async def call_to(server: Outside) -> AsyncIterator[Line]:
    """A line that has been answered."""
    async with line_to(server.port) as line:
        head = await line.shake_hands()
        assert head.startswith(b"HTTP/1.1 101"), head
        assert line.call_id
        server.answered.add(line.call_id)
        yield line
