"""A call over WebRTC: real UDP, Opus both ways, events on the data channel `oai-events`.

aiortc would decode every packet in a thread of its own, after a jitter buffer that holds the
first four back. A caller that measures wants the packets as they come from the wire, so this
one looks over the receiver's shoulder and stops the decoder. That is aiortc's inside; its
version is pinned, and a test would notice a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import orjson

from .caller import BILL, CallFailed, Happening, MediaFailed, ServerEvent, Sound, Told, Wishes
from .http import Server
from .microphone import FRAME_MS, Frame, Microphone, now_us

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection, RTCRtpReceiver
    from aiortc.rtp import RtpPacket

_CONNECT_S = 15.0
_CLOSE_S = 3.0
# Half a minute of sound and events that nobody has read; older ones are dropped and counted.
_UNREAD_MAX = 2_048
_ICE_FIELDS = "urls", "username", "credential"
_RTP_RATE_HZ = 48_000
_RTP_FRAME = _RTP_RATE_HZ * FRAME_MS // 1_000


class WebRtcCaller:
    """A `Caller` over WebRTC; `silence` is one Opus packet. Entering raises `Refused`,
    `Unreachable` or `MediaFailed`."""

    def __init__(self, server: Server, wishes: Wishes, *, silence: bytes) -> None:
        self.microphone = Microphone(silence)
        self.call_id = ""
        self.bill: ServerEvent | None = None
        self.unread_dropped = 0
        self._server, self._wishes = server, wishes
        self._unread: asyncio.Queue[Happening | None] = asyncio.Queue(_UNREAD_MAX)
        self._connected, self._open = asyncio.Event(), asyncio.Event()
        self._lost = False
        self._peer: RTCPeerConnection | None = None
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        self._peer = await self._dial()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
                if not self._lost:
                    await self._open.wait()
            if self._lost:
                raise MediaFailed("no path for the sound was found (ICE failed)")
        except TimeoutError:
            await self._give_up()
            raise MediaFailed(
                f"no sound path within {_CONNECT_S:.0f} s: UDP between here and the server is "
                "blocked; open it, configure a TURN server, or call without --webrtc"
            ) from None
        except BaseException:
            await self._give_up()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._peer
        await self._peer.close()

    async def happenings(self) -> AsyncIterator[Happening]:
        """All that arrives, in order; ends when the server has closed the call."""
        while (happening := await self._unread.get()) is not None:
            yield happening

    async def tell(self, event: ServerEvent) -> None:
        # A call that is over has nobody to tell; its happenings have ended.
        if self._channel.readyState == "open":
            self._channel.send(orjson.dumps(event).decode())

    async def hang_up(self) -> None:
        await self._server.hang_up(self.call_id)

    async def _dial(self) -> RTCPeerConnection:
        from aiortc import RTCPeerConnection, RTCSessionDescription

        peer = RTCPeerConnection(_ice(await self._server.ice_servers()))
        try:
            self._furnish(peer)
            await peer.setLocalDescription(await peer.createOffer())
            session = self._wishes.session(audio_format=None)
            if self._wishes.model:
                session["model"] = self._wishes.model
            answer, self.call_id = await self._server.offer(peer.localDescription.sdp, session)
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except ValueError as error:
            await peer.close()
            raise MediaFailed(f"the server's answer cannot be used: {error}") from error
        except BaseException:
            await peer.close()
            raise
        return peer

    def _furnish(self, peer: RTCPeerConnection) -> None:
        """One Opus track each way and the channel for the events."""
        from aiortc import RTCRtpSender

        self._channel = peer.createDataChannel("oai-events")
        self._channel.on("open", self._open.set)
        self._channel.on("message", self._hear_event)
        self._channel.on("close", self._end)
        transceiver = peer.addTransceiver(_track(self.microphone), direction="sendrecv")
        opus = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.name == "opus"]
        transceiver.setCodecPreferences(opus)
        self._watch(transceiver.receiver)

        @peer.on("connectionstatechange")
        async def changed() -> None:
            if peer.connectionState == "connected":
                _stop_decoding(transceiver.receiver)
                self._connected.set()
            elif peer.connectionState in {"failed", "closed"}:
                self._lost = not self._connected.is_set()
                self._connected.set()
                self._end()

    def _watch(self, receiver: RTCRtpReceiver) -> None:
        passed_on = receiver._handle_rtp_packet

        async def noted(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.payload:
                self._put(Sound(packet.payload, now_us(), FRAME_MS, opus=True))
            # aiortc keeps its statistics, from which it reports losses to the server.
            await passed_on(packet, arrival_time_ms)

        receiver._handle_rtp_packet = noted  # type: ignore[method-assign]

    def _hear_event(self, message: str | bytes) -> None:
        at_us = now_us()
        try:
            event = orjson.loads(message)
        except orjson.JSONDecodeError:
            return
        if event.get("type") == BILL:
            self.bill = event
        self._put(Told(event, at_us))

    def _put(self, happening: Happening | None) -> None:
        if self._unread.full():
            self._unread.get_nowait()
            self.unread_dropped += 1
        self._unread.put_nowait(happening)

    def _end(self) -> None:
        self._put(None)

    async def _give_up(self) -> None:
        """The server must not wait, and bill, for a caller that cannot hear it."""
        assert self._peer
        with contextlib.suppress(CallFailed):
            await self._server.hang_up(self.call_id)
        await self._peer.close()


def _ice(servers: Iterable[Mapping[str, Any]]) -> Any:
    from aiortc import RTCConfiguration, RTCIceServer

    return RTCConfiguration(
        [
            RTCIceServer(**{name: entry[name] for name in _ICE_FIELDS if entry.get(name)})
            for entry in servers
        ]
    )


def _stop_decoding(receiver: RTCRtpReceiver) -> None:
    receiver._RTCRtpReceiver__stop_decoder()  # type: ignore[attr-defined]


def _track(microphone: Microphone) -> Any:
    """The microphone as a track of packets that are Opus already."""
    from aiortc.mediastreams import MediaStreamTrack
    from av.packet import Packet

    class Track(MediaStreamTrack):
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._frames = 0

        async def recv(self) -> Packet[Any]:
            frame: Frame = await microphone.frame()
            assert isinstance(frame, bytes), "WebRTC carries Opus packets"
            packet = Packet(frame)
            packet.pts, packet.time_base = self._frames * _RTP_FRAME, _TIME_BASE
            self._frames += 1
            return packet

    return Track()


_TIME_BASE = fractions.Fraction(1, _RTP_RATE_HZ)
