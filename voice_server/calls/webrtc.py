"""A call over WebRTC: Opus both ways, events on the data channel.

    packets ─► Arrivals ─► Microphone ─► Incoming ─► the call
    channel ─► dialect ─────────────────────┘
    channel ◄─ dialect ◄─ actions ─► Speaking ─► OpusTrack ─► packets

What happens on the connection arrives in callbacks that must not wait: sound that the call has
no time for is dropped, the oldest first, and so are events of a client that floods. A client
that takes no events loses its call. The peer is closed in `close`, and by nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import orjson

from engines.audio import BadAudio
from engines.speech import OPUS_FRAME_MS, PcmFrame

from .arrivals import Arrivals
from .events import Action, Connected, HungUp, Input, Play
from .incoming import Incoming
from .pacing import Wheel
from .peer import Peer
from .playout import Packet
from .realtime.dialect import Dialect
from .realtime.server_events import ServerEvent
from .realtime.session import AudioFormat
from .session import Summary
from .sound import Microphone
from .speaking import Speaking

logger = logging.getLogger(__name__)

OPUS = AudioFormat("audio/opus", 0)
# About three seconds of frames, or that many events.
SAID_MAX = 100
MESSAGE_BYTES_MAX = 256 * 1024
# Events kept for a channel that is not open yet, and bytes held for one that is.
UNSENT_MAX = 500
UNSENT_BYTES_MAX = 2**20
WATCH_SECONDS = 1.0


class WebRtcLink:
    """Keeps `session.Link` for a peer that has negotiated."""

    def __init__(self, peer: Peer, dialect: Dialect, wheel: Wheel) -> None:
        self._peer, self._dialect = peer, dialect
        self._incoming = Incoming(SAID_MAX)
        self._arrivals, self._microphone = Arrivals(), Microphone(OPUS)
        self._speaking = Speaking(
            wheel, lead_ms=0, send=self._send_sound, recall=lambda turn: peer.track.clear(),
            report=self._incoming.tell,
        )  # fmt: skip
        self._unsent: deque[str] = deque(maxlen=UNSENT_MAX)
        self._connected = False
        self._watch: asyncio.TimerHandle | None = None
        peer.on_state, peer.on_open = self._state_changed, self._channel_opened
        peer.on_message, peer.on_packet = self._message_arrived, self._packet_arrived
        self._tell(dialect.begin())
        self._keep_watch()
        self._state_changed(peer.state)

    def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        return self._incoming.inputs()

    def perform(self, action: Action) -> None:
        if isinstance(action, Play):  # Told before the sound that it announces.
            self._tell(self._dialect.translate(action))
            self._speaking.perform(action)
            return
        self._speaking.perform(action)
        self._tell(self._dialect.translate(action))

    async def close(self, summary: Summary) -> None:
        bill = summary.bill.as_json() if summary.bill else None
        self._end()
        self._tell(self._dialect.closing(bill, summary.reason))
        await self._peer.flush()
        await self._peer.close()

    # What happens on the connection.

    def _state_changed(self, state: str) -> None:
        if state == "connected" and not self._connected:
            self._connected = True
            self._incoming.say(Connected())
        elif state in {"closed", "failed"}:
            if self._peer.said_goodbye:
                self._incoming.tell(HungUp("hung_up"))
            self._end()

    def _packet_arrived(self, sequence: int, stream_time: int, payload: bytes) -> None:
        for arrival in self._arrivals.push(sequence, stream_time, payload):
            frames = self._microphone.miss(arrival.hole_ms) if arrival.hole_ms else []
            try:
                frames += self._microphone.hear(arrival.payload)
            except BadAudio:
                frames += self._microphone.miss(OPUS_FRAME_MS)
            for frame in frames:
                self._incoming.push(frame)

    def _message_arrived(self, message: str | bytes) -> None:
        if len(message) > MESSAGE_BYTES_MAX:
            text = f"A message may hold {MESSAGE_BYTES_MAX} bytes at most."
            self._tell([self._dialect.error("message_too_large", text)])
            return
        received = self._dialect.receive(message)
        self._tell(received.events)
        if received.audio:
            self._tell([self._dialect.error("audio_on_channel", "Sound travels on the track.")])
        if received.recorded:
            recorded, sound = received.recorded
            frames = Microphone(self._dialect.input_format).hear(sound)
            self._incoming.push(replace(recorded, frames=tuple(frames)))
        for event in received.inputs:
            self._incoming.push(event)

    def _channel_opened(self) -> None:
        while self._unsent:
            self._peer.send(self._unsent.popleft())

    # What goes to the client.

    def _tell(self, events: Iterable[ServerEvent]) -> None:
        for event in events:
            text = orjson.dumps(event).decode()
            if self._peer.channel_is_open:
                self._peer.send(text)
            elif self._peer.has_channel:
                self._unsent.append(text)

    def _send_sound(self, packet: Packet) -> None:
        self._peer.track.put(packet.frame.packet, packet.start_ms)

    def _keep_watch(self) -> None:
        """Once a second: is this client one that fills our memory?"""
        if self._peer.floods or self._peer.buffered_bytes > UNSENT_BYTES_MAX:
            logger.info("a client does not take or does not finish its events; its call ends")
            self._incoming.tell(HungUp("unheard_fault"))
            self._end()
            return
        self._watch = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._keep_watch)

    def _end(self) -> None:
        self._incoming.end()
        self._speaking.stop()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
