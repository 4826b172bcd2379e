"""A call over one WebSocket: Opus or PCM in binary frames, or base64 inside the JSON."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import enum
from collections.abc import AsyncIterator
from typing import Self

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from .caller import (
    BILL,
    CallFailed,
    Happening,
    Refused,
    ServerEvent,
    Sound,
    Told,
    Wishes,
)
from .http import Server, refusal
from .microphone import FRAME_MS, Frame, Microphone, now_us

PCM_RATE_HZ = 24_000
_PCM_BYTES_PER_MS = PCM_RATE_HZ * 2 // 1_000
_CONNECT_S = 10.0
_CLOSE_S = 2.0
_MESSAGE_BYTES_MAX = 4 * 2**20


class Wire(enum.Enum):
    """How sound travels in both directions."""

    OPUS = "opus"  # One packet of 20 ms in each binary frame.
    PCM = "pcm"  # 24 kHz samples in binary frames.
    JSON = "json"  # 24 kHz samples as base64 in the protocol's own events.


_FORMATS: dict[Wire, ServerEvent | None] = {
    Wire.OPUS: {"type": "audio/opus"},
    Wire.PCM: {"type": "audio/pcm", "rate": PCM_RATE_HZ},
    Wire.JSON: {"type": "audio/pcm", "rate": PCM_RATE_HZ},
}


def appended(pcm: bytes) -> str:
    """The JSON event that carries this sound; made once for sound that is sent often."""
    encoded = base64.b64encode(pcm).decode()
    return '{"type":"input_audio_buffer.append","audio":"' + encoded + '"}'


class WebSocketCaller:
    """A `Caller` over WebSocket; `silence` is what its microphone sends between clips.

    Entering raises `Refused`, `Unreachable` or `CallFailed`.
    """

    def __init__(self, server: Server, wishes: Wishes, *, wire: Wire, silence: Frame) -> None:
        self.microphone = Microphone(silence)
        self.call_id = ""
        self.bill: ServerEvent | None = None
        # The last error event, for a line that the server then closes.
        self.refused: ServerEvent | None = None
        self._server, self._wishes, self._wire = server, wishes, wire
        self._socket: ClientConnection | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._socket = await self._connect()
        self.call_id = _call_id(self._socket)
        session = self._wishes.session(audio_format=_FORMATS[self._wire])
        if self._wire is not Wire.JSON:
            # The server paces binary frames, so it can pause a reply and go on with it.
            extension = session.setdefault("voice_server", {})
            assert isinstance(extension, dict)
            extension |= {"binary": True, "interruption": "resumes"}
        with contextlib.suppress(ConnectionClosed):
            await self.tell({"type": "session.update", "session": session})
        self._speaking = asyncio.create_task(self._speak(), name="microphone")
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._socket and self._speaking
        self._speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._speaking
        await self._socket.close()

    async def happenings(self) -> AsyncIterator[Happening]:
        """All that the server sends, in order; ends when the line is closed."""
        assert self._socket
        try:
            async for message in self._socket:
                at_us = now_us()
                if isinstance(message, bytes):
                    yield self._sound(message, at_us)
                elif happening := self._hear(orjson.loads(message), at_us):
                    yield happening
        except ConnectionClosed as closed:
            self._raise_if_refused(closed)
        except orjson.JSONDecodeError as error:
            raise CallFailed("what answers there does not speak the protocol") from error

    async def tell(self, event: ServerEvent) -> None:
        assert self._socket
        await self._socket.send(orjson.dumps(event).decode())

    async def hang_up(self) -> None:
        """Ask the server to close; when it does not know the call, close from here."""
        assert self._socket
        if self.call_id:
            await self._server.hang_up(self.call_id)
        else:
            await self._socket.close()

    async def _connect(self) -> ClientConnection:
        url = self._server.websocket_url
        if self._wishes.model:
            url += f"?model={self._wishes.model}"
        try:
            return await connect(
                url, additional_headers=self._server.headers, compression=None,
                ssl=self._server.tls,
                proxy=None if self._server.is_local else True,
                open_timeout=_CONNECT_S, close_timeout=_CLOSE_S, max_size=_MESSAGE_BYTES_MAX,
                max_queue=256,
            )  # fmt: skip
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            raise refusal(answer.status_code, bytes(answer.body or b""), headers) from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise self._server.unreachable(error) from error

    async def _speak(self) -> None:
        assert self._socket
        # A line that the server closed ends the speech; the reader says why.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._socket.send(await self.microphone.frame())

    def _sound(self, audio: bytes, at_us: int) -> Sound:
        if self._wire is Wire.OPUS:
            return Sound(audio, at_us, FRAME_MS, opus=True)
        return Sound(audio, at_us, len(audio) // _PCM_BYTES_PER_MS, opus=False)

    def _hear(self, event: ServerEvent, at_us: int) -> Happening | None:
        kind = event.get("type")
        if kind == "response.output_audio.delta" and self._wire is Wire.JSON:
            return self._sound(base64.b64decode(str(event["delta"])), at_us)
        if kind == BILL:
            self.bill = event
            self.call_id = str(event.get("call_id") or self.call_id)
        if kind == "error":
            self.refused = event
        return Told(event, at_us)

    def _raise_if_refused(self, closed: ConnectionClosed) -> None:
        """A server may take the socket first and then say that it will not take the call."""
        code = closed.rcvd.code if closed.rcvd else 1006
        if self.bill is not None or code in {1000, 1001, 1005}:
            return
        error = (self.refused or {}).get("error")
        if isinstance(error, dict) and 4400 <= code < 4600:
            raise Refused(code - 4000, str(error.get("code", "")), str(error.get("message", "")))
        reason = closed.rcvd.reason if closed.rcvd and closed.rcvd.reason else f"code {code}"
        raise CallFailed(f"the line was cut: {reason}")


def _call_id(socket: ClientConnection) -> str:
    """The server names the call in the upgrade's answer, as WebRTC's `Location` does."""
    location = socket.response.headers.get("Location", "") if socket.response else ""
    return str(location).rpartition("/")[2]
