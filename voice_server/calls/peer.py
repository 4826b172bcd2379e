"""The WebRTC connection of one call, through aiortc, with two of its ways changed.

Sound in: aiortc decodes in a thread per track, through a jitter buffer that waits for 80 ms.
Here each Opus packet is handed over as it arrives (`PacketReceiver`); order and loss are dealt
with by `Arrivals`, and decoding costs less than the hop to a thread.

Sound out: packets that were made as Opus pass through unencoded (`OpusTrack`), each when the
playout sends it. While nothing is said nothing is sent; the packets' stream time goes on.

A peer is made by `negotiate`: offer in, answer out, all candidates in both (no trickle).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import aioice.ice
import av
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtp import RtpPacket
from av.stream import Stream
from OpenSSL import SSL

from .arrivals import STREAM_RATE_HZ, Voice
from .offers import PARSER_ERRORS, BadOffer, check_offer

logger = logging.getLogger(__name__)

# A peer that does not answer for 10 s is gone: four checks, 2 s apart, half a second each.
aioice.ice.CONSENT_INTERVAL = 2
aioice.ice.CONSENT_FAILURES = 4

CHANNEL = "oai-events"
NEGOTIATION_SECONDS_MAX = 8.0
CLOSE_SECONDS_MAX = 1.5
FLUSH_SECONDS_MAX = 0.5
# Packets between the playout and the network: more than one only after a stall.
TRACK_PACKETS_MAX = 50
_STREAM_TIME = Fraction(1, STREAM_RATE_HZ)
_FAILURES = (InternalError, InvalidAccessError, InvalidStateError, OperationError, ConnectionError)

# URLs, user name, credential.
IceServer = tuple[Sequence[str], str | None, str | None]
OnPacket = Callable[[int, int, bytes], None]


class OpusTrack(MediaStreamTrack):
    """The reply's packets, taken by aiortc's sender as soon as they are put here."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[av.Packet[Stream]] = deque(maxlen=TRACK_PACKETS_MAX)
        self._stir = asyncio.Event()

    def put(self, packet: bytes, start_ms: int) -> None:
        """Send this packet; the listener's stream time is `start_ms`."""
        sound: av.Packet[Stream] = av.Packet(packet)
        sound.pts = start_ms * STREAM_RATE_HZ // 1_000
        sound.time_base = _STREAM_TIME
        self._packets.append(sound)
        self._stir.set()

    def clear(self) -> None:
        self._packets.clear()

    async def recv(self) -> av.Packet[Stream]:
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._stir.clear()
            await self._stir.wait()
        return self._packets.popleft()

    def stop(self) -> None:
        super().stop()
        self._stir.set()


class PacketReceiver(RTCRtpReceiver):
    """Hands over the packets of one voice as they arrive. An existing receiver is made one by
    `adopt`."""

    _on_packet: OnPacket
    _voice: Voice

    @classmethod
    def adopt(cls, receiver: RTCRtpReceiver, on_packet: OnPacket) -> None:
        """A transceiver makes its receiver itself; this changes what kind it is."""
        receiver.__class__ = cls
        assert isinstance(receiver, PacketReceiver)
        receiver._on_packet, receiver._voice = on_packet, Voice()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        self._voice = Voice(next((each.ssrc for each in parameters.encodings), None))
        await super().receive(parameters)
        self._handle_disconnect()  # Ends the decoder's thread, which has nothing to do here.

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        # What aiortc has counted it reports, each source by itself; from 64 on its report fails
        # and the connection can no longer be closed.
        if not self._voice.is_from(packet.ssrc):
            return
        await super()._handle_rtp_packet(packet, arrival_time_ms)  # Counts for its reports.
        self._on_packet(packet.sequence_number, packet.timestamp, packet.payload)


class Peer:
    """One connection. `on_state` hears connecting, connected, failed, closed; `on_message`
    hears what comes on the data channel; `on_packet` each Opus packet with its sequence number
    and stream time. None of them may wait or raise."""

    def __init__(self, ice_servers: Iterable[IceServer] = ()) -> None:
        self.on_state: Callable[[str], None] = _ignore
        self.on_open: Callable[[], None] = _ignore_open
        self.on_message: Callable[[str | bytes], None] = _ignore
        self.on_packet: OnPacket = _ignore_packet
        self.answer = ""
        self.has_channel = False
        self._channel: RTCDataChannel | None = None
        self.track = OpusTrack()
        servers = [RTCIceServer(list(urls), name, word) for urls, name, word in ice_servers]
        self._connection = RTCPeerConnection(
            RTCConfiguration(servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", self._channel_opened)

    async def negotiate(self, offer: str) -> str:
        """Answer the offer. Raises `BadOffer`; the peer is then closed."""
        description = check_offer(offer)
        self.has_channel = any(media.kind == "application" for media in description.media)
        try:
            async with asyncio.timeout(NEGOTIATION_SECONDS_MAX):
                return await self._negotiate(offer)
        except TimeoutError:
            await self.close()
            raise BadOffer(
                503, "negotiation_timeout", "No network path was found in time."
            ) from None
        except (*PARSER_ERRORS, *_FAILURES) as error:
            logger.info("offer refused: %r", error)
            await self.close()
            raise BadOffer(400, "bad_sdp", "This offer cannot be answered.") from None
        except asyncio.CancelledError:
            await asyncio.shield(self.close())
            raise

    async def _negotiate(self, offer: str) -> str:
        connection = self._connection
        transceiver = connection.addTransceiver(self.track, "sendrecv")
        opus = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.name == "opus"]
        transceiver.setCodecPreferences(opus)
        PacketReceiver.adopt(transceiver.receiver, self._packet_arrived)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for other in connection.getTransceivers():
            if other is not transceiver:
                other.direction = "inactive"  # Video, or a second track: we take no part.
        await connection.setLocalDescription(await connection.createAnswer())
        self.answer = connection.localDescription.sdp
        return self.answer

    @property
    def state(self) -> str:
        return str(self._connection.connectionState)

    @property
    def said_goodbye(self) -> bool:
        """The client closed the connection itself, rather than falling silent."""
        transports = (each.receiver.transport for each in self._connection.getTransceivers())
        return any(
            each._ssl is not None and bool(each._ssl.get_shutdown() & SSL.RECEIVED_SHUTDOWN)
            for each in transports
        )

    @property
    def channel_is_open(self) -> bool:
        return self._channel is not None and self._channel.readyState == "open"

    @property
    def buffered_bytes(self) -> int:
        """Sent on the data channel and still held here."""
        return self._channel.bufferedAmount if self._channel else 0

    @property
    def floods(self) -> bool:
        """The client sends pieces of messages that it never completes: 1 MB of them by now."""
        sctp = self._connection.sctp
        return sctp is not None and sctp._advertised_rwnd < 0

    def send(self, text: str) -> None:
        """Send on the data channel, which must be open."""
        assert self._channel is not None
        self._channel.send(text)

    async def close(self) -> None:
        """Let go of everything. Bounded: `CLOSE_SECONDS_MAX`."""
        self.track.stop()
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._connection.close()
        except TimeoutError:
            logger.warning("a peer connection did not close in time")

    async def flush(self) -> None:
        """Wait until the client has confirmed what was sent on the channel, for a while."""
        sctp = self._connection.sctp
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS_MAX):
                while (  # noqa: ASYNC110 - aiortc tells nobody.
                    self.channel_is_open
                    and sctp is not None
                    and (sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue)
                ):
                    await asyncio.sleep(0.01)

    def _state_changed(self) -> None:
        self.on_state(self.state)

    def _packet_arrived(self, sequence: int, stream_time: int, payload: bytes) -> None:
        self.on_packet(sequence, stream_time, payload)

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label == CHANNEL and self._channel is None:
            self._channel = channel
            channel.on("message", self._message_arrived)
            self.on_open()

    def _message_arrived(self, message: str | bytes) -> None:
        self.on_message(message)


def _ignore(_: object) -> None:
    pass


def _ignore_open() -> None:
    pass


def _ignore_packet(sequence: int, stream_time: int, payload: bytes) -> None:
    pass
