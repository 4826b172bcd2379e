"""Small real servers for the callers to talk to: HTTP and WebSocket by uvicorn, WebRTC by
aiortc. They keep the protocol just well enough to be called, and write down what they get."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from aiortc import (
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from av.packet import Packet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket


@contextlib.asynccontextmanager
async def running(app: ASGIApp, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve `app` on a free port of the loopback address; its URL."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", ws="websockets-sansio",
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


class SocketPeer:
    """A WebSocket voice server: greets, writes down what it is sent, answers with `reply`."""

    def __init__(self, *, call_id: str = "call_1", reply: list[bytes | str] | None = None) -> None:
        self.call_id, self.reply = call_id, reply or []
        self.told: list[dict[str, object]] = []
        self.sounds: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.refusal: tuple[int, dict[str, object]] | None = None
        self.farewell: tuple[int, str] = (1000, "hung_up")
        self.closes_at_once = False
        self._gone = False
        self._hang_up = asyncio.Event()

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                WebSocketRoute("/v1/realtime", self._call),
                Route("/v1/realtime/calls/{id}/hangup", self._end, methods=["POST"]),
            ]
        )

    async def _end(self, request: Request) -> Response:
        assert request.path_params["id"] == self.call_id
        self._hang_up.set()
        return Response(status_code=200)

    async def _call(self, socket: WebSocket) -> None:
        self.headers = dict(socket.headers)
        if self.refusal:
            status, body = self.refusal
            await socket.send_denial_response(JSONResponse(body, status, {"Retry-After": "3"}))
            return
        location = f"/v1/realtime/calls/{self.call_id}"
        await socket.accept(headers=[(b"location", location.encode())])
        await socket.send_json({"type": "session.created", "session": {}})
        for sound in self.reply:
            await (socket.send_text(sound) if isinstance(sound, str) else socket.send_bytes(sound))
        if not self.closes_at_once:
            reading = asyncio.create_task(self._read(socket))
            await self._hang_up.wait()
            reading.cancel()
            if self._gone:
                return
            bill = {"type": "voice_server.bill", "call_id": self.call_id, "billed_minutes": 1}
            await socket.send_json(bill)
        await socket.close(*self.farewell)

    async def _read(self, socket: WebSocket) -> None:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") is not None:
                self.told.append(json.loads(message["text"]))
            else:
                self.sounds.append(message["bytes"])
        self._gone = True
        self._hang_up.set()


class RtcPeer:
    """A WebRTC voice server: answers an offer, sends `packets` once connected, writes down
    what it hears, and tells a bill when asked to hang up."""

    def __init__(self, packets: list[bytes]) -> None:
        self.packets = packets
        self.heard: list[bytes] = []
        self.told: list[dict[str, object]] = []
        self.session: dict[str, object] = {}
        self.connects = True
        self.hung_up = asyncio.Event()
        self._connection = RTCPeerConnection()
        self._channel: RTCDataChannel | None = None

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/ice", self._ice),
                Route("/v1/realtime/calls", self._answer, methods=["POST"]),
                Route("/v1/realtime/calls/{id}/hangup", self._end, methods=["POST"]),
            ]
        )

    async def close(self) -> None:
        await self._connection.close()

    async def _ice(self, request: Request) -> Response:
        return JSONResponse({"ice_servers": []})

    async def _answer(self, request: Request) -> Response:
        form = await request.form()
        sdp, session = form["sdp"], form["session"]
        assert isinstance(sdp, str) and isinstance(session, str)
        self.session = json.loads(session)
        self._connection.on("datachannel", self._open)
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        transceiver = self._connection.getTransceivers()[0]
        self._listen(transceiver.receiver)
        self._connection.addTrack(Packets(self.packets))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        answer = self._connection.localDescription.sdp
        if not self.connects:
            await self._connection.close()
        headers = {"Location": "/v1/realtime/calls/call_rtc"}
        return Response(answer, 201, headers, "application/sdp")

    def _listen(self, receiver: RTCRtpReceiver) -> None:
        passed_on = receiver._handle_rtp_packet

        async def noted(packet: RtpPacket, arrival_time_ms: int) -> None:
            self.heard.append(packet.payload)
            await passed_on(packet, arrival_time_ms)

        receiver._handle_rtp_packet = noted  # type: ignore[method-assign]

    def _open(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", lambda text: self.told.append(json.loads(text)))
        channel.send(json.dumps({"type": "session.created", "session": {}}))

    async def _end(self, request: Request) -> Response:
        assert request.path_params["id"] == "call_rtc"
        self.hung_up.set()
        if self._channel is not None:
            self._channel.send(json.dumps({"type": "voice_server.bill", "billed_minutes": 2}))
            await asyncio.sleep(0.1)
            self._channel.close()
        return Response(status_code=200)


class Packets(MediaStreamTrack):
    """A track of packets that are Opus already, 20 ms apart, then nothing."""

    kind = "audio"

    def __init__(self, packets: list[bytes]) -> None:
        super().__init__()
        self._packets = list(packets)
        self._sent = 0

    async def recv(self) -> Packet[Any]:
        await asyncio.sleep(0.02 if self._packets else 3_600)
        packet = Packet(self._packets.pop(0))
        packet.pts, packet.time_base = self._sent * 960, fractions.Fraction(1, 48_000)
        self._sent += 1
        return packet
