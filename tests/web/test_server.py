"""The process: told to stop, told again, unable to start, and patient only so long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.calls.exchange import PATIENCE_S, connect, eventually, serving
from voice_server.web import server as module
from voice_server.web.server import uvicorn_config

from .test_realtime import ask_for_bill, told_of


class Process:
    """`voice-server serve` with scripted engines, as a child of this test."""

    def __init__(self, child: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.child, self.port, self.log = child, port, log

    def tell(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.child.wait()

    async def is_ready(self) -> bool:
        assert self.child.returncode is None, self.log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(trust_env=False) as client:
                found = await client.get(f"http://127.0.0.1:{self.port}/health/ready")
                return bool(found.status_code == 200)
        return False


async def start(folder: Path, port: int, **options: object) -> Process:
    engines = dict.fromkeys(("speech_to_text", "dialogue", "text_to_speech"), "scripted")
    given = {"port": port, "data_dir": folder / "data", **engines, **options}
    environment = {f"VOICE_SERVER_{name.upper()}": str(value) for name, value in given.items()}
    log = folder / "server.log"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_server", "serve",
        env={**os.environ, **environment}, stderr=log.open("wb"),
    )  # fmt: skip
    return Process(child, port, log)


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, **options: object) -> AsyncIterator[Process]:
    process = await start(folder, port, **options)
    try:
        await eventually(process.is_ready, patience_s=2 * PATIENCE_S)
        yield process
    finally:
        if process.child.returncode is None:
            process.child.kill()
            await process.child.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_bills_its_calls_and_exits_with_0(
    tmp_path: Path, free_port: int, number: signal.Signals
) -> None:
    async with running(tmp_path, free_port, drain_seconds=1) as process:
        async with connect(f"ws://127.0.0.1:{free_port}/v1/realtime") as line:
            await told_of(line, "session.created")
            await ask_for_bill(line)
            process.tell(number)
            assert (await told_of(line, "voice_server.bill"))["billed_minutes"] == 1
        assert await process.exit_code() == 0
        assert "Traceback" not in process.log.read_text()


async def test_told_twice_it_exits_at_once(tmp_path: Path, free_port: int) -> None:
    async with running(tmp_path, free_port, drain_seconds=600) as process:  # noqa: SIM117
        async with connect(f"ws://127.0.0.1:{free_port}/v1/realtime") as line:
            await told_of(line, "session.created")
            process.tell(signal.SIGTERM)
            await eventually(lambda: "draining" in process.log.read_text())
            process.tell(signal.SIGTERM)
            assert await process.exit_code() == 128 + signal.SIGTERM


async def test_a_port_that_is_taken_is_said_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start(tmp_path, taken.getsockname()[1])
        assert await process.exit_code() == 1
    said = process.log.read_text()
    assert "VOICE_SERVER_PORT" in said
    assert "Traceback" not in said


class Met(set[object]):
    """The connections that are open; `met` counts those that ever were."""

    met = 0

    def add(self, connection: object) -> None:
        self.met += connection not in self
        super().add(connection)


@contextlib.asynccontextmanager
async def small_server(connections: set[object] | None = None) -> AsyncIterator[int]:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def flood(line: WebSocket) -> None:
        await line.accept()
        for _ in range(200):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await line.send_bytes(bytes(1_000_000))
                    continue
            return

    app = Starlette(routes=[Route("/", hello), WebSocketRoute("/flood", flood)])
    config = lambda app: uvicorn_config(app, loop="asyncio")  # noqa: E731
    async with serving(app, config, connections) as port:
        yield port


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HT"])
async def test_half_a_head_is_cut_off(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS_MAX", 0.1)
    async with small_server() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_half_a_second_head_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS_MAX", 2.0)
    async with small_server() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionResetError):
                assert (await reader.read()).endswith(b"hello")
        writer.close()


async def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS_MAX", 0.1)
    connections = Met()
    async with small_server(connections) as port:
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(
            b"GET /flood HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await eventually(lambda: connections.met == 2)  # A request, and the line it became.
        await eventually(lambda: not connections)  # Although nothing was read here.
        line.close()
