"""A wire tap: what a client and the server say to each other, without a hand in it.

Every byte is passed on as it came. What looks like a WebSocket is read along the way, so that a
test knows all events of a client that shows only some of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

TEXT, CONTINUED = 1, 0
FINAL, MASKED = 0x80, 0x80
PIECE_BYTES = 2**16


class Frames:
    """Reads the text messages out of one direction of a WebSocket, its HTTP head included."""

    def __init__(self) -> None:
        self._rest, self._message = b"", b""
        self._talks: bool | None = None

    def read(self, piece: bytes) -> Iterable[str]:
        if self._talks is False:
            return
        self._rest += piece
        if self._talks is None:
            head, found, self._rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._talks = b"websocket" in head.lower()
        while frame := self._frame():
            code, payload = frame
            if code & 0x0F in (TEXT, CONTINUED):
                self._message += payload
                if code & FINAL:
                    yield self._message.decode()
                    self._message = b""

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame: its first byte and what it carries."""
        data, start = self._rest, 2
        if len(data) < start:
            return None
        length = data[1] & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
            if len(data) < start:
                return None
        mask = b""
        if data[1] & MASKED:
            mask, start = data[start : start + 4], start + 4
        if len(data) < start + length:
            return None
        payload, self._rest = data[start : start + length], data[start + length :]
        return data[0], _unmasked(payload, mask)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    if not mask or not payload:
        return payload
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return mixed.to_bytes(len(payload), "big")


@dataclass(slots=True, eq=False)
class Line:
    """One connection: what the client said, what it was told, in order."""

    sent: list[Event] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    def sent_of(self, kind: str) -> list[Event]:
        return [event for event in self.sent if event["type"] == kind]

    def told_of(self, kind: str) -> list[Event]:
        return [event for event in self.told if event["type"] == kind]


class Tap:
    """Listens on `port`. `lines` are the WebSockets so far, in the order in which they came."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port, self.lines = 0, list[Line]()

    @property
    def line(self) -> Line:
        """The only WebSocket there was."""
        assert len(self.lines) == 1, f"{len(self.lines)} connections"
        return self.lines[0]

    @property
    def told(self) -> list[Event]:
        """Every event of the server, on any connection."""
        return [event for line in self.lines for event in line.told]

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        line = Line()
        await asyncio.gather(
            self._copy(reader, server_writer, line, line.sent),
            self._copy(server_reader, writer, line, line.told),
        )

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        line: Line, events: list[Event],
    ) -> None:  # fmt: skip
        frames = Frames()
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                for text in frames.read(piece):
                    events.append(json.loads(text))
                    if line not in self.lines:
                        self.lines.append(line)
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def tapped(server_port: int) -> AsyncIterator[Tap]:
    """A tap in front of the server on `server_port`, until the block ends."""
    tap = Tap(server_port)
    listener = await asyncio.start_server(tap.pass_on, "127.0.0.1", 0)
    tap.port = listener.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        listener.close()
