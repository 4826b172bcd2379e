"""HTTP and WebSockets on one port of this machine, in a thread and a loop of their own.

Most of what a vendor's server is told to do wrong is what a well-made server cannot do: stop in
the midst of an answer, cut the connection, send half a chunk. So it writes its own HTTP; the
WebSocket protocol is `websockets`' own, without its input and output. It runs in a thread, so
that neither its tasks nor its work are seen in the loop under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

Json = dict[str, Any]
PATIENCE_S = 60.0
# How long a connection that was closed waits for its client.
LINGER_S = 5.0
_HEAD_BYTES_MAX = 64 * 1024
# Not that of the library, in which a test would find the keys that came here.
_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)
_READ_BYTES = 64 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
            429: "Too Many Requests", 500: "Internal Server Error",
            503: "Service Unavailable"}  # fmt: skip


@dataclass(slots=True)
class Asked:
    """One request: of a WebSocket, its handshake, and in `events` what the client then sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    events: list[Json] = field(default_factory=list)
    # When the client is gone, or has its whole answer.
    over: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Json:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class Left(Exception):
    """The client is gone, or we have cut it off."""


class Exchange:
    """The answer to one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._chunked = False

    async def whole(
        self, status: int, body: bytes, kind: str = "application/json", **headers: str
    ) -> None:
        lines = {"Content-Type": kind, "Content-Length": str(len(body)), **_named(headers)}
        await self._write(_head(status, lines) + body)

    async def json(self, status: int, told: Json, **headers: str) -> None:
        await self.whole(status, json.dumps(told).encode(), **headers)

    async def begin(self, kind: str) -> None:
        """The head of an answer that comes in pieces."""
        lines = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
        self._chunked = True
        await self._write(_head(200, lines))

    async def piece(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")

    async def stall(self) -> None:
        """Say nothing more until the client has left."""
        while await self._reader.read(_READ_BYTES):
            pass
        raise Left

    def drop(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()
        raise Left

    async def wait(self, seconds: float) -> None:
        """Say nothing for so long. Raises `Left` when the client does not wait for it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stall(), seconds)

    async def _write(self, data: bytes) -> None:
        if self._reader.at_eof():
            raise Left
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Left from error


class Socket:
    """The server's end of one WebSocket."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = ServerProtocol(max_size=64 * 1024 * 1024, logger=_log)
        self._protocol.receive_data(head)
        (handshake,) = self._protocol.events_received()
        assert isinstance(handshake, Handshake)
        self._protocol.send_response(self._protocol.accept(handshake))
        self._frames: list[Frame] = []

    async def send(self, text: str) -> None:
        """Raises `Left`."""
        if self._writer.transport.is_closing():
            raise Left
        try:
            self._protocol.send_text(text.encode())
        except InvalidState as error:  # The client has said goodbye.
            raise Left from error
        await self.flush()

    async def receive(self) -> str:
        """The next message. Raises `Left`."""
        message = b""
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if frame.opcode in (Opcode.TEXT, Opcode.CONT):
                    message += bytes(frame.data)
                    if frame.fin:
                        return message.decode()
                elif frame.opcode is Opcode.CLOSE:
                    await self.flush()
                    raise Left
            data = await self._reader.read(_READ_BYTES)
            self._protocol.receive_data(data) if data else self._protocol.receive_eof()
            self._frames += [e for e in self._protocol.events_received() if isinstance(e, Frame)]
            await self.flush()
            if not data and not self._frames:
                raise Left

    async def close(self, code: int, reason: str = "") -> None:
        """Raises `Left`."""
        self._protocol.send_close(code, reason)
        await self.flush()
        raise Left

    def drop(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()
        raise Left

    async def flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Left from error


class WireServer:
    """`async with` it. A subclass says what is answered, in `answer` and `converse`.

    `requests`: every one so far, oldest first. `faults`: what a client did that the vendor's
    own types forbid; leaving the `async with` fails on them.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Asked] = []
        self.faults: list[str] = []
        # Connections that are open now, and that were ever opened.
        self.open, self.opened = 0, 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vendor", daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, asked: Asked, exchange: Exchange) -> None:
        raise NotImplementedError

    async def converse(
        self, asked: Asked, exchange: Exchange, accept: Callable[[], Socket]
    ) -> None:
        """Speak over a WebSocket: `accept` it, or refuse it in the exchange."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._thread.start()
        await asyncio.to_thread(self._ready.wait, PATIENCE_S)
        assert self.port, "the vendor's server did not start"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._loop is not None
        assert self._stopped is not None
        self._loop.call_soon_threadsafe(self._stopped.set)
        await asyncio.to_thread(self._thread.join, PATIENCE_S)
        if kind is None:
            assert not self.faults, self.faults

    async def until(self, met: Callable[[], object]) -> None:
        """Wait until this holds of the server; fails after a generous while."""
        async with asyncio.timeout(PATIENCE_S):
            while not met():
                await asyncio.sleep(0.005)

    def cut_all(self) -> None:
        """Cut every connection there is."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(PATIENCE_S)

    async def _cut(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        await self._cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.open, self.opened = self.open + 1, self.opened + 1
        try:
            while (read := await _request(reader)) is not None:
                asked, head = read
                self.requests.append(asked)
                try:
                    if not await self._answered(asked, head, reader, writer):
                        return
                finally:
                    asked.over.set()
        except (Left, ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception as error:
            self.faults.append(f"the vendor's server failed: {error!r}")
            raise
        finally:
            self.open -= 1
            self._serving.discard(task)
            writer.close()

    async def _answered(
        self, asked: Asked, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may be used for another request."""
        exchange = Exchange(reader, writer)
        if asked.headers.get("upgrade", "").lower() != "websocket":
            await self.answer(asked, exchange)
            return True
        try:
            await self.converse(asked, exchange, lambda: Socket(reader, writer, head))
        except Left:
            # What was said last is lost on the way when the connection is cut on top of it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(exchange.stall(), LINGER_S)
            raise
        return False


async def _request(reader: asyncio.StreamReader) -> tuple[Asked, bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    assert len(head) <= _HEAD_BYTES_MAX
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await _body(reader, headers)
    address = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    return Asked(method, address.path, query, headers, body), head


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def _head(status: int, lines: dict[str, str]) -> bytes:
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Said')}\r\n{told}\r\n".encode()


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
