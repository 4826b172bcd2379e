"""The process: told to stop, told again, unable to start, and patient only so long."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import httpx2
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.calls.exchange import PATIENCE_S, connect, eventually, serving
from voice_server.web import server as module
from voice_server.web.certificates import ALWAYS, context_of, now, own_certificate
from voice_server.web.server import uvicorn_config

from .test_realtime import ask_for_bill, told_of

FLOOD = (
    b"GET /flood HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Process:
    """`voice-server serve` with scripted engines, as a child of this test."""

    def __init__(
        self, child: asyncio.subprocess.Process, port: int, log: Path, cert: Path | None
    ) -> None:
        self.child, self.port, self.log = child, port, log
        # Where it has its certificate, when it serves over TLS.
        self.cert = cert

    def tell(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.child.wait()

    async def is_ready(self) -> bool:
        assert self.child.returncode is None, self.log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            async with self.client() as client:
                return bool((await client.get("/health/ready")).status_code == 200)
        return False

    def client(self) -> httpx2.AsyncClient:
        trusts = self.trusts() if self.cert and self.cert.exists() else False
        scheme = "https" if self.cert else "http"
        return httpx2.AsyncClient(
            base_url=f"{scheme}://127.0.0.1:{self.port}", trust_env=False, verify=trusts
        )

    def trusts(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cert)


async def start(folder: Path, port: int, **options: object) -> Process:
    engines = dict.fromkeys(("speech_to_text", "dialogue", "text_to_speech"), "scripted")
    given = {"port": port, "data_dir": folder / "data", **engines, **options}
    environment = {f"VOICE_SERVER_{name.upper()}": str(value) for name, value in given.items()}
    log = folder / "server.log"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_server", "serve",
        env={**os.environ, **environment}, stderr=log.open("wb"),
    )  # fmt: skip
    cert = folder / "data" / "tls" / "cert.pem" if options.get("tls") else None
    return Process(child, port, log, cert)


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
async def small_server(
    connections: set[object] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
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

    async def echo(line: WebSocket) -> None:
        await line.accept()
        async for message in line.iter_bytes():
            await line.send_bytes(message)

    routes = [Route("/", hello), WebSocketRoute("/flood", flood), WebSocketRoute("/echo", echo)]
    app = Starlette(routes=routes)
    config = lambda app: uvicorn_config(app, loop="asyncio", tls=tls)  # noqa: E731
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
        line.sendall(FLOOD)
        await eventually(lambda: connections.met == 2)  # A request, and the line it became.
        await eventually(lambda: not connections)  # Although nothing was read here.
        line.close()


@contextlib.asynccontextmanager
async def small_tls_server(
    folder: Path, connections: set[object] | None = None
) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """Gives the port, and what trusts the server there."""
    certificate = own_certificate(folder / "tls", ALWAYS, now())
    tls = context_of(certificate.path, certificate.key_path)
    async with small_server(connections, tls) as port:
        yield port, ssl.create_default_context(cafile=certificate.path)


Run = Callable[[Coroutine[None, None, None]], None]


class TestOverTls:
    """The loops have a TLS of their own each: what holds without it holds with both."""

    @pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
    def run(self, request: pytest.FixtureRequest) -> Iterator[Run]:
        with asyncio.Runner(loop_factory=request.param) as runner:
            yield runner.run

    def test_a_websocket_loses_no_byte(self, run: Run, tmp_path: Path) -> None:
        chance, sip = random.Random(7), module.SIP_BYTES

        async def echoed() -> None:
            async with small_tls_server(tmp_path) as (port, trusts):
                url = f"wss://localhost:{port}/echo"
                async with connect(url, ssl=trusts, max_size=None, proxy=None) as line:
                    for size in (0, 1, sip - 1, sip, 3 * sip + 5, 5_000_000):
                        sound = chance.randbytes(size)
                        await line.send(sound)
                        assert await line.recv() == sound, size
                    many = [chance.randbytes(chance.randrange(40)) for _ in range(2_000)]
                    for sound in many:
                        await line.send(sound)
                    assert [await line.recv() for _ in many] == many

        run(echoed())

    def test_a_client_that_takes_nothing_is_let_go(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LINGER_SECONDS_MAX", 0.1)
        connections = Met()

        async def floods() -> None:
            async with small_tls_server(tmp_path, connections) as (port, trusts):
                _, writer = await asyncio.open_connection("localhost", port, ssl=trusts)
                writer.write(FLOOD)
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await eventually(lambda: connections.met == 2)
                await eventually(lambda: not connections)
                writer.transport.abort()

        run(floods())

    def test_half_a_head_is_cut_off(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "HEAD_SECONDS_MAX", 0.1)

        async def waits() -> None:
            async with small_tls_server(tmp_path) as (port, trusts):
                reader, writer = await asyncio.open_connection("localhost", port, ssl=trusts)
                writer.write(b"GET / HT")
                async with asyncio.timeout(PATIENCE_S):
                    with contextlib.suppress(ConnectionError, ssl.SSLError):
                        assert await reader.read() == b""
                writer.transport.abort()

        run(waits())


async def test_it_serves_https_and_wss_on_one_port_and_says_how_to_trust_it(
    tmp_path: Path, free_port: int
) -> None:
    async with running(tmp_path, free_port, tls=True, drain_seconds=1) as process:
        assert process.cert is not None
        said = process.log.read_text()
        kept = own_certificate(process.cert.parent, ALWAYS, now())
        assert f"SHA-256  {kept.fingerprint}" in said
        assert f"NODE_EXTRA_CA_CERTS={process.cert}" in said
        assert f"serving on https://127.0.0.1:{free_port}" in said
        async with process.client() as client:
            page = await client.get("/call")
            assert page.status_code == 200 and "wss:" in page.headers["content-security-policy"]
        await not_tls_at_all(free_port)
        url = f"wss://localhost:{free_port}/v1/realtime"
        async with connect(url, ssl=process.trusts(), proxy=None) as line:
            await told_of(line, "session.created")
            await ask_for_bill(line)
            for seconds in (0, 60):  # More sound at once than any buffer holds.
                sound = base64.b64encode(bytes(48_000 * seconds)).decode()
                event = {"type": "input_audio_buffer.append", "audio": sound}
                await line.send(json.dumps(event))
            await line.send(json.dumps({"type": "response.create"}))
            await told_of(line, "response.done")
            process.tell(signal.SIGTERM)
            assert (await told_of(line, "voice_server.bill"))["billed_minutes"] == 1
        assert await process.exit_code() == 0
        said = process.log.read_text()
        assert "Traceback" not in said and " ERROR " not in said


async def not_tls_at_all(port: int) -> None:
    """What knocks in plain words, or goes in the middle of a handshake."""
    plainly = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for knock in (plainly, b"\x16\x03\x01\x02\x00\x01", b"", bytes(5_000)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(knock)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()


async def test_a_certificate_that_cannot_be_used_is_said_in_words(
    tmp_path: Path, free_port: int
) -> None:
    for options, said in (
        ({"tls_cert": tmp_path / "none.pem"}, "none.pem"),
        ({"tls": True, "tls_key": tmp_path / "key.pem"}, "without VOICE_SERVER_TLS_CERT"),
        ({"tls": True, "data_dir": "/proc/nowhere"}, "no certificate can be kept"),
    ):
        process = await start(tmp_path, free_port, **options)
        assert await process.exit_code() == 1
        log = process.log.read_text()
        assert said in log and "Traceback" not in log


async def test_a_certificate_of_ones_own_is_served(tmp_path: Path, free_port: int) -> None:
    mine = own_certificate(tmp_path / "mine", ALWAYS, now())
    options = {"tls_cert": mine.path, "tls_key": mine.key_path}
    process = await start(tmp_path, free_port, **options)
    process.cert = mine.path
    try:
        await eventually(process.is_ready, patience_s=2 * PATIENCE_S)
        assert "NODE_EXTRA_CA_CERTS" not in process.log.read_text()
        assert not (tmp_path / "data" / "tls").exists()
    finally:
        process.child.kill()
        await process.child.wait()
