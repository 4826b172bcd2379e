"""The process that serves: sockets, signals and patience.

The first SIGTERM or Ctrl-C drains: nobody is admitted any more, live calls are told and have
`drain_seconds` to end, all are billed, and the process exits with 0. A second one exits at
once; what is then left open is billed by the next reaper.

A connection that does not get to the end of its request's head in `HEAD_SECONDS_MAX`, or that
will not take what it is sent before the server lets go of it, is cut off: it holds a socket
and pays nothing (for shaking hands over TLS it has the loop's own minute). A WebSocket is read
in sips, so that a flood of tiny frames takes turns with everybody else's sound.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from voice_server.config import Config

from .certificates import (
    BadCertificate,
    context_of,
    given_certificate,
    names_of_this_machine,
    now,
    own_certificate,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

    from .house import House

logger = logging.getLogger(__name__)

HEAD_SECONDS_MAX = 10.0
LINGER_SECONDS_MAX = 10.0
PING_SECONDS = 20.0
MESSAGE_BYTES_MAX = 16 * 2**20 + 2**16
KEEP_ALIVE_SECONDS = 5
# Frames can be two bytes long: what is read at once must be little, or it takes too long.
SIP_BYTES = 8 * 2**10
# Answers to pings that a client does not take, and pieces of one message that never ends.
UNTAKEN_BYTES_MAX = 2**20
PIECES_MAX = 16_384
# How many more objects, young looks and older looks make the collector look at everything.
GARBAGE_THRESHOLDS = 700, 10, 3
# Requests that are still being answered when all calls have ended.
GRACE_SECONDS = 5


# How clients come to trust a certificate that nobody else has signed.
TRUST = """\
TLS with a certificate of our own, good until {0.expires:%Y-%m-%d}: {0.path}
  SHA-256  {0.fingerprint}
  Node.js  NODE_EXTRA_CA_CERTS={0.path}
  Python   SSL_CERT_FILE={0.path}
  curl     --cacert {0.path}"""

_UNREADABLE_BODY = b'{"error":"This request cannot be read.","code":"bad_request"}'
UNREADABLE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_UNREADABLE_BODY), _UNREADABLE_BODY)
)


class PatientHttp(H11Protocol):
    """HTTP, with an end to waiting for a request's head."""

    _watch: asyncio.TimerHandle | None = None
    _watched: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch = self.loop.call_later(HEAD_SECONDS_MAX, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        line = self.transport.get_protocol()
        assert isinstance(line, PatientWebSocket)
        self.transport.set_protocol(Sips(line))
        if not line.handshake_initiated:
            # A head too long for the parser of WebSockets, which then answers nothing at all.
            self.transport.write(UNREADABLE)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request. Whoever was reading its body is not to answer it too."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(UNREADABLE)
        self.transport.close()

    def _look(self) -> None:
        """Cut off a connection that has begun no request since the last look."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is self._watched:
            self.transport.abort()
            return
        self._watched = self.cycle
        self._watch = self.loop.call_later(HEAD_SECONDS_MAX, self._look)


class PatientWebSocket(WebSocketsSansIOProtocol):
    """WebSocket, with an end to waiting for a client that takes nothing."""

    _linger: asyncio.TimerHandle | None = None

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # A call that was refused in words is answered; uvicorn would log it as an error.
            self.handshake_complete = True

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > UNTAKEN_BYTES_MAX:
            self.transport.abort()
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= PIECES_MAX:
            self.transport.abort()
        else:
            super().handle_cont(event)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._linger = self.loop.call_later(LINGER_SECONDS_MAX, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()


class Sips(asyncio.BufferedProtocol):
    """Reads for a WebSocket, a little at a time: the loop has its turn after each sip."""

    def __init__(self, line: PatientWebSocket) -> None:
        # A view, not the bytes: TLS writes into slices of it.
        self._line, self._sip = line, memoryview(bytearray(SIP_BYTES))
        self.connection_lost = line.connection_lost  # type: ignore[method-assign]
        self.eof_received = line.eof_received  # type: ignore[method-assign]
        self.pause_writing = line.pause_writing  # type: ignore[method-assign]
        self.resume_writing = line.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._sip

    def buffer_updated(self, nbytes: int) -> None:
        self._line.data_received(bytes(self._sip[:nbytes]))


class DrainingServer(uvicorn.Server):
    """Lets live calls end before the sockets close."""

    def __init__(
        self, config: uvicorn.Config, *, is_warm: Callable[[], bool],
        drain: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        super().__init__(config)
        self._is_warm, self._drain = is_warm, drain
        self._settled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            host = f"[{host}]" if ":" in host else host
            logger.info("serving on %s://%s:%d", scheme, host, port)

    async def main_loop(self) -> None:
        await super().main_loop()
        await self._drain()

    async def on_tick(self, counter: int) -> bool:
        if not self._settled and self._is_warm():
            self._settled = True
            settle()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not kept in uvicorn's list, which would end the process by the signal, not with 0.
        if self.should_exit:
            logger.warning("told again to stop: exiting at once")
            os._exit(128 + sig)
        logger.info("told to stop: draining")
        self.should_exit = True


def uvicorn_config(
    app: Starlette, *, loop: str = "uvloop", tls: ssl.SSLContext | None = None
) -> uvicorn.Config:
    """How the application is served, in tests as well; over https with `tls`."""
    return uvicorn.Config(
        app, loop=loop, http=PatientHttp, ws=PatientWebSocket, lifespan="on",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        ws_max_size=MESSAGE_BYTES_MAX, ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS, ws_ping_timeout=PING_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )  # fmt: skip


def run(app: Starlette, config: Config) -> None:
    """Serve until told to stop. Raises SystemExit(1) when the address cannot be had."""
    _log(config)
    tls = secured(config)
    listener = listen(config.host, config.port)

    async def drain() -> None:
        house: House = app.state.house
        await house.switchboard.drain(config.drain_seconds)
        house.ending.set()

    def is_warm() -> bool:
        house: House = app.state.house
        return house.engines_warm.is_set()

    server = DrainingServer(uvicorn_config(app, tls=tls), is_warm=is_warm, drain=drain)
    server.run(sockets=[listener])


def settle() -> None:
    """Set apart what has been loaded by now, for it stays.

    Looking through it for garbage takes a tenth of a second, in which no sound moves; without
    it the collector can look often through the rest. A call leaves its decoders and buffers in
    a ring of objects that hold each other, and only the collector can free those.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # From now on only what comes after counts.
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def secured(config: Config) -> ssl.SSLContext | None:
    """What https needs, None where it is not wanted; says how to trust a certificate that was
    made here. Raises SystemExit(1), having said why."""
    if not config.serves_tls:
        return None
    try:
        if config.tls_cert is not None:
            certificate = given_certificate(config.tls_cert, config.tls_key)
        elif config.tls_key is not None:
            raise BadCertificate("VOICE_SERVER_TLS_KEY is of no use without VOICE_SERVER_TLS_CERT")
        else:
            names = names_of_this_machine(config.host)
            certificate = own_certificate(config.tls_folder, names, now())
            print(TRUST.format(certificate), file=sys.stderr, flush=True)
        return context_of(certificate.path, certificate.key_path)
    except (BadCertificate, OSError) as error:
        print(f"voice-server: {error}.", file=sys.stderr)
        raise SystemExit(1) from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SystemExit(1), having said why."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        print(
            f"voice-server: cannot listen on {host} port {port}: {error.strerror or error}. "
            "Choose another with VOICE_SERVER_HOST and VOICE_SERVER_PORT.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    listener.set_inheritable(False)
    return listener


def _log(config: Config) -> None:
    logging.basicConfig(
        level=config.log_level.upper(), stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )  # fmt: skip
    # These tell of every packet, or repeat what we say ourselves.
    for name in ("aiortc", "aioice", "alembic", "uvicorn.error", "websockets"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("uvicorn.error").addFilter(_is_no_strangers_fault)


def _is_no_strangers_fault(record: logging.LogRecord) -> bool:
    """A text frame that is no text is answered with code 1007, and is worth no traceback."""
    return not record.getMessage().startswith("Invalid UTF-8 sequence received from client")
