"""A call over one WebSocket.

    socket ─► read ─► dialect ─► Incoming ─► the call
    socket ◄─ write ◄─ outbox ◄─ dialect ◄─ actions
                          ▲
                          └── Speaking: binary frames paced 200 ms ahead, JSON at once

Text frames are events of the dialect. A binary frame from the client is always sound, in the
session's input format: one Opus packet, or any length of samples. To a client that asked for
binary frames the reply goes as one frame per 20 ms, at most `LEAD_MS` ahead of its ear, and
`output_audio_buffer.cleared` tells it to forget what it holds and has not played. Any other
client gets the reply as base64 in the events, as fast as it is made.

The door runs `serve`, which owns reading and writing; the call takes `inputs` and gives
`perform` and `close`. Every buffer is bounded: reading stops while the call is behind, and a
client that does not read loses its call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from engines.audio import BadAudio
from engines.speech import PcmFrame

from .events import Action, Closed, Connected, HungUp, Input, Play, Recorded
from .incoming import Incoming
from .pacing import Wheel
from .playout import Packet
from .realtime.dialect import Dialect, Received
from .realtime.server_events import ServerEvent
from .session import Summary
from .sound import Loudspeaker, Microphone
from .speaking import Speaking

logger = logging.getLogger(__name__)

# How far ahead of the listener's ear binary frames are sent.
LEAD_MS = 200
BINARY_BYTES_MAX = 256 * 1024
# Sound is converted in pieces of about a second, and the loop has its turn in between.
PIECE_BYTES = 48_000
# A reply in JSON is told in events of up to 200 ms.
DELTA_FRAMES_MAX = 10
OUTBOX_BYTES_MAX = 8 * 2**20
# A letter takes some kilobytes of memory, however little it says.
OUTBOX_LETTERS_MAX = 4_000
# A client that takes nothing for this long is not listening.
STUCK_MS_MAX = 10_000
CLOSE_SECONDS_MAX = 2.0

HUNG_UP_CODES = (1000, 1001)
# Close codes by the reason the call ended; 1000 where none is named.
CLOSE_CODES = {"unheard_fault": 1013, "draining": 1012, "abandoned": 1011}


@dataclass(frozen=True, slots=True)
class _Letter:
    """Something on its way to the client. `turn`: sound of that turn's reply."""

    content: bytes
    text: bool
    turn: int | None = None


class WebSocketLink:
    """Keeps `session.Link`. Made before the socket is accepted; `serve` accepts it."""

    def __init__(self, socket: WebSocket, dialect: Dialect, wheel: Wheel) -> None:
        self._socket, self._dialect, self._wheel = socket, dialect, wheel
        self._incoming = Incoming()
        self._microphone = Microphone(dialect.input_format)
        self._loudspeaker = Loudspeaker(dialect.output_format)
        self._speaking = Speaking(
            wheel, lead_ms=self._lead_ms(), send=self._send_sound, recall=self._recall,
            report=self._incoming.tell,
        )  # fmt: skip
        self._outbox: deque[_Letter] = deque()
        self._outbox_bytes = 0
        self._stir = asyncio.Event()
        self._closing = False
        self._farewell: tuple[int, str] | None = None
        self._serving = False
        self._served = asyncio.Event()
        self._mute = False
        self._patience = asyncio.timeout(None)
        self._taken_ms = wheel.now_ms()
        self._delta: list[bytes] = []
        self._delta_turn = 0

    # The door's side.

    async def serve(
        self, *, subprotocol: str | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Accept the socket, then read and write until it is closed. Leaves nothing running."""
        self._serving = True
        try:
            async with self._patience:
                await self._socket.accept(subprotocol, headers)
                self._tell(self._dialect.begin())
                self._incoming.say(Connected())
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(self._read())
                    await self._write()
                    reader.cancel()
                if self._farewell and self._socket.client_state is WebSocketState.CONNECTED:
                    await self._socket.close(*self._farewell)
        except* (WebSocketDisconnect, TimeoutError) as lost:
            logger.debug("socket lost: %s", lost.exceptions)
        finally:
            self._incoming.end()
            self._speaking.stop()
            self._served.set()

    async def _read(self) -> None:
        """Take what the client sends until it goes; the call's pace is the reader's pace."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                if message.get("code") in HUNG_UP_CODES:
                    self._incoming.say(HungUp("hung_up"))
                self._incoming.end()
                self._stop_writing()
                return
            text, sound = message.get("text"), message.get("bytes")
            if text is not None:
                await self._obey(self._dialect.receive(text))
            elif sound is not None:
                await self._hear_binary(sound)
            # Messages that are there already cost no wait; who sends a flood of small ones
            # takes turns with everybody else.
            await asyncio.sleep(0)

    async def _obey(self, received: Received) -> None:
        self._tell(received.events)
        self._follow_formats()
        if received.audio:
            await self._hear(received.audio)
        if received.recorded:
            await self._take_recorded(*received.recorded)
        for event in received.inputs:
            await self._incoming.room()
            self._incoming.say(event)

    async def _take_recorded(self, recorded: Recorded, sound: bytes) -> None:
        microphone, frames = Microphone(self._dialect.input_format), list[PcmFrame]()
        for start in range(0, len(sound), PIECE_BYTES):
            frames += microphone.hear(sound[start : start + PIECE_BYTES])
            await asyncio.sleep(0)
        await self._incoming.room()
        self._incoming.say(replace(recorded, frames=tuple(frames)))

    async def _hear_binary(self, sound: bytes) -> None:
        if len(sound) > BINARY_BYTES_MAX:
            message = f"A binary frame may hold {BINARY_BYTES_MAX} bytes at most."
            self._tell([self._dialect.error("audio_too_large", message)])
        else:
            await self._hear(sound)

    async def _hear(self, sound: bytes) -> None:
        whole = self._dialect.input_format.type == "audio/opus"
        step = max(1, len(sound)) if whole else PIECE_BYTES
        for start in range(0, len(sound), step):
            try:
                frames = self._microphone.hear(sound[start : start + step])
            except BadAudio as error:
                self._tell([self._dialect.error("invalid_audio", str(error))])
                return
            for frame in frames:
                await self._incoming.room()
                self._incoming.say(frame)
            if len(sound) > step:
                await asyncio.sleep(0)

    def _follow_formats(self) -> None:
        """The client may have changed what it sends and what it wants to get."""
        self._microphone.use(self._dialect.input_format)
        self._loudspeaker.use(self._dialect.output_format)
        self._speaking.lead_ms = self._lead_ms()

    def _lead_ms(self) -> int | None:
        return LEAD_MS if self._dialect.binary_output else None

    async def _write(self) -> None:
        """Send what is in the outbox until the call is closed and all of it is sent."""
        while self._outbox or not self._closing:
            if not self._outbox:
                self._stir.clear()
                await self._stir.wait()
                continue
            letter = self._outbox.popleft()
            self._outbox_bytes -= len(letter.content)
            await self._send(letter)
            self._taken_ms = self._wheel.now_ms()

    async def _send(self, letter: _Letter) -> None:
        try:
            if letter.text:
                await self._socket.send_text(letter.content.decode())
            else:
                await self._socket.send_bytes(letter.content)
        except RuntimeError as error:  # The server closed the socket: a dead client, mostly.
            raise WebSocketDisconnect(1006) from error

    def _stop_writing(self) -> None:
        """Nobody is there any more: drop what was to be sent."""
        self._mute = self._closing = True
        self._drop_outbox()
        self._stir.set()

    def _drop_outbox(self) -> None:
        self._delta.clear()
        self._outbox.clear()
        self._outbox_bytes = 0

    # The call's side.

    def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        return self._incoming.inputs()

    def perform(self, action: Action) -> None:
        if isinstance(action, Play):
            self._play(action)
            return
        self._speaking.perform(action)
        self._post_delta()
        self._tell(self._dialect.translate(action))
        if isinstance(action, Closed):
            self._speaking.stop()

    def _play(self, play: Play) -> None:
        if play.turn != self._delta_turn:
            self._post_delta()
        self._tell(self._dialect.translate(play))
        self._speaking.perform(play)

    async def close(self, summary: Summary) -> None:
        bill = summary.bill.as_json() if summary.bill else None
        self._mute = False
        self._tell(self._dialect.closing(bill, summary.reason))
        self._farewell = (CLOSE_CODES.get(summary.reason, 1000), summary.reason)
        self._closing = True
        self._stir.set()
        if not self._serving:
            return  # The door never opened.
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._served.wait()
        except TimeoutError:
            logger.info("call %s: the client did not take its last words", summary.call_id)
            self._give_up()

    # On the way to the client.

    def _tell(self, events: Iterable[ServerEvent]) -> None:
        for event in events:
            self._put(_Letter(orjson.dumps(event), text=True))

    def _send_sound(self, packet: Packet) -> None:
        try:
            sound = self._loudspeaker.speak(packet.frame)
        except BadAudio as error:
            logger.warning("turn %d: a packet of the reply is no sound: %s", packet.turn, error)
            return
        if self._dialect.binary_output:
            self._put(_Letter(sound, text=False, turn=packet.turn))
            return
        if not self._delta:
            # All frames that come in this turn of the loop are told in one event.
            asyncio.get_running_loop().call_soon(self._post_delta)
        self._delta_turn = packet.turn
        self._delta.append(sound)
        if len(self._delta) >= DELTA_FRAMES_MAX:
            self._post_delta()

    def _post_delta(self) -> None:
        if self._delta:
            sound, self._delta = b"".join(self._delta), []
            for event in self._dialect.audio(self._delta_turn, sound):
                self._put(_Letter(orjson.dumps(event), text=True, turn=self._delta_turn))

    def _recall(self, turn: int) -> None:
        """Drop what was not sent, and have the client drop what it did not play."""
        if self._delta_turn == turn:
            self._delta.clear()
        self._outbox = deque(letter for letter in self._outbox if letter.turn != turn)
        self._outbox_bytes = sum(len(letter.content) for letter in self._outbox)
        if self._dialect.binary_output:
            self._tell(self._dialect.output_cleared(turn))

    def _put(self, letter: _Letter) -> None:
        if self._mute or self._farewell is not None:
            return  # Nobody listens, or the last words have been said.
        now_ms = self._wheel.now_ms()
        if not self._outbox:
            self._taken_ms = now_ms
        self._outbox.append(letter)
        self._outbox_bytes += len(letter.content)
        self._stir.set()
        stuck = now_ms - self._taken_ms > STUCK_MS_MAX
        overfull = len(self._outbox) > OUTBOX_LETTERS_MAX
        if stuck or overfull or self._outbox_bytes > OUTBOX_BYTES_MAX:
            logger.info("the client does not take what it is sent; its call ends")
            self._incoming.tell(HungUp("unheard_fault"))
            self._mute = True
            self._drop_outbox()

    def _give_up(self) -> None:
        """Make `serve` return although the client takes nothing."""
        if not self._served.is_set():
            self._patience.reschedule(asyncio.get_running_loop().time())
