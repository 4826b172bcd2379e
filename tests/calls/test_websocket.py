"""Calls over real WebSockets: every format, every way to misbehave, every way to end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engines.audio import OpusDecoder, OpusEncoder, pcm_to_alaw, pcm_to_mulaw
from engines.speech import OpusFrame, PcmFrame
from voice_server.calls import websocket as module
from voice_server.calls.events import (
    Connected,
    Flush,
    HungUp,
    Play,
    ReplyMade,
    ReplyStarted,
)
from voice_server.calls.rules import Interruption, Rules
from voice_server.calls.session import Summary
from voice_server.calls.sound import Microphone
from voice_server.calls.websocket import BINARY_BYTES_MAX, WebSocketLink
from voice_server.web.server import uvicorn_config

from .exchange import (
    PATIENCE_S,
    Exchange,
    connect,
    eventually,
    loudness,
    nothing_left,
    serving,
    silence,
    tone,
)

Event = dict[str, Any]
OPUS = {"type": "audio/opus"}


class Client:
    """A caller that keeps all it is told, in order: events, and sound as bytes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[Event | bytes] = []
        self._arrived = asyncio.Event()

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self.socket:
                self.told.append(message if isinstance(message, bytes) else json.loads(message))
                self._arrived.set()
        self.told.append({"type": "closed"})
        self._arrived.set()

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def update(self, **session: object) -> None:
        await self.send("session.update", session={"type": "realtime", **session})
        await self.told_of("session.updated")

    async def append(self, sound: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(sound).decode())

    async def told_of(self, kind: str, count: int = 1) -> Event:
        """Wait until the server has told so many events of a kind; gives the latest."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.of(kind)) < count:
                assert kind == "closed" or not self.of("closed"), f"closed before {kind}"
                self._arrived.clear()
                await self._arrived.wait()
        return self.of(kind)[-1]

    def of(self, kind: str) -> list[Event]:
        return [each for each in self.told if isinstance(each, dict) and each["type"] == kind]

    def kinds(self) -> list[str]:
        return [each["type"] if isinstance(each, dict) else "sound" for each in self.told]


@contextlib.asynccontextmanager
async def calling(exchange: Exchange) -> AsyncIterator[Client]:
    """A caller on the line. Afterwards nothing of the call is left."""

    async def door(socket: WebSocket) -> None:
        link = WebSocketLink(socket, exchange.dialect(webrtc=False), exchange.wheel)
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange.talk(link))
            await link.serve()

    app = Starlette(routes=[WebSocketRoute("/", door)])
    async with nothing_left():
        async with (
            serving(app, lambda app: uvicorn_config(app, loop="asyncio")) as port,
            connect(f"ws://127.0.0.1:{port}/") as socket,
            asyncio.TaskGroup() as group,
        ):
            client = Client(socket)
            group.create_task(client.listen())
            await client.told_of("session.created")
            yield client
            await socket.close()
        await exchange.ended()
        assert not exchange.wheel.turning or not exchange.wheel._members


def exchange_with(interruption: Interruption = Interruption.CANCELS, **options: Any) -> Exchange:
    return Exchange(rules=Rules(interruption=interruption), **options)


async def test_a_question_in_json_is_answered_in_json() -> None:
    async with calling(exchange_with()) as client:
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")
        deltas = client.of("response.output_audio.delta")
        sound = b"".join(base64.b64decode(delta["delta"]) for delta in deltas)
        assert len(sound) == 6 * 240 * 24 * 2  # Six words of the scripted voice.
        assert loudness(sound) > 1_000
        assert len(deltas) < 6 * 12  # Frames made together are told together.


async def test_nothing_of_a_response_follows_its_end() -> None:
    async with calling(exchange_with()) as client:
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")
        await client.send("response.create")
        await client.told_of("response.done", 2)
        done = client.kinds().index("response.done")
        first = client.of("response.done")[0]["response"]["id"]
        assert not [e for e in client.told[done + 1 :] if first in json.dumps(e)]


FORMATS: dict[str, tuple[Event, Callable[[bytes], list[bytes]]]] = {
    "pcm at 24 kHz": ({"type": "audio/pcm", "rate": 24_000}, lambda pcm: [pcm]),
    "mu-law": ({"type": "audio/pcmu"}, lambda pcm: [pcm_to_mulaw(pcm)]),
    "A-law": ({"type": "audio/pcma"}, lambda pcm: [pcm_to_alaw(pcm)]),
    "pcm at 16 kHz": ({"type": "audio/pcm", "rate": 16_000}, lambda pcm: [pcm]),
    "opus": (OPUS, lambda pcm: [f.packet for f in OpusEncoder(24_000).encode(pcm)]),
}
RATES = {"mu-law": 8_000, "A-law": 8_000, "pcm at 16 kHz": 16_000}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
async def test_every_format_is_heard_for_as_long_as_it_lasts(name: str, binary: bool) -> None:
    sound_format, pieces = FORMATS[name]
    rate = RATES.get(name, 24_000)
    async with calling(exchange_with()) as client:
        await client.update(audio={"input": {"format": sound_format}})
        for piece in pieces(tone(1_000, rate) + silence(1_500, rate)):
            await (client.socket.send(piece) if binary else client.append(piece))
        stopped = await client.told_of("input_audio_buffer.speech_stopped")
        assert 960 <= stopped["audio_end_ms"] <= 1_120


async def test_sound_may_be_cut_anywhere() -> None:
    async with calling(exchange_with()) as client:
        pcm = tone(1_000) + silence(1_500)
        for start in range(0, len(pcm), 1_001):  # In the middle of samples.
            await client.socket.send(pcm[start : start + 1_001])
        stopped = await client.told_of("input_audio_buffer.speech_stopped")
        assert 960 <= stopped["audio_end_ms"] <= 1_120


@pytest.mark.parametrize(
    ("sound_format", "rate"),
    [({"type": "audio/pcmu"}, 8_000), ({"type": "audio/pcm", "rate": 16_000}, 16_000)],
    ids=["mu-law", "pcm at 16 kHz"],
)
async def test_the_reply_comes_in_the_format_asked_for(sound_format: Event, rate: int) -> None:
    async with calling(exchange_with()) as client:
        await client.update(audio={"output": {"format": sound_format}})
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")
        sound = [base64.b64decode(e["delta"]) for e in client.of("response.output_audio.delta")]
        width = 1 if sound_format["type"] == "audio/pcmu" else 2
        assert len(b"".join(sound)) == 6 * 240 * rate // 1_000 * width


async def test_binary_replies_are_opus_packets_sent_at_the_listeners_pace() -> None:
    async with calling(exchange_with(Interruption.RESUMES)) as client:
        await client.update(audio={"output": {"format": OPUS}})
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")
        # All of it has been made, and only the client's store has been filled.
        kinds = client.kinds()
        before = kinds[: kinds.index("response.done")]
        assert before.count("sound") <= module.LEAD_MS // 20 + 5
        await eventually(lambda: client.kinds().count("sound") == 6 * 12)
        decoder = OpusDecoder(16_000)
        packets = [each for each in client.told if isinstance(each, bytes)]
        assert loudness(b"".join(decoder.decode(packet) for packet in packets)) > 1_000
        assert not client.of("response.output_audio.delta")


async def test_pcm_can_be_had_in_binary_frames() -> None:
    async with calling(exchange_with(Interruption.RESUMES)) as client:
        await client.update(voice_server={"binary": True})
        await client.append(tone(600) + silence(1_500))
        await eventually(lambda: client.kinds().count("sound") == 6 * 12)
        assert {len(each) for each in client.told if isinstance(each, bytes)} == {960}


async def test_a_barge_in_empties_the_clients_store_and_stops_the_sound() -> None:
    long_reply = " ".join(["word"] * 40)
    async with calling(exchange_with(Interruption.RESUMES, reply=long_reply)) as client:
        await client.update(audio={"output": {"format": OPUS}})
        await client.append(tone(600) + silence(1_500))
        await eventually(lambda: client.kinds().count("sound") > 20)
        await client.append(tone(800) + silence(1_500))
        await client.told_of("output_audio_buffer.cleared")
        await client.told_of("response.created", 2)
        kinds = client.kinds()
        cleared = kinds.index("output_audio_buffer.cleared")
        second = [i for i, kind in enumerate(kinds) if kind == "response.created"][1]
        assert "sound" not in kinds[cleared:second]


@pytest.mark.parametrize(
    ("wish", "way"),
    [
        ({"audio": {"output": {"format": OPUS}}}, Interruption.RESUMES),
        ({"voice_server": {"binary": True}}, Interruption.RESUMES),
        ({"voice_server": {"binary": True, "interruption": "cancels"}}, Interruption.CANCELS),
        ({"voice_server": {"events": True}}, Interruption.CANCELS),
    ],
)
async def test_a_client_that_can_be_paused_is_paused(wish: Event, way: Interruption) -> None:
    exchange = exchange_with()
    async with calling(exchange) as client:
        await client.update(**wish)
        await client.append(silence(200))
        await client.send("response.create")
        await client.told_of("response.done")
        assert exchange.sessions[0]._conversation._floor.rules.interruption is way


async def test_a_cancelled_json_reply_falls_silent_at_once() -> None:
    long_reply = " ".join(["word"] * 400)  # More than may be made ahead.
    async with calling(exchange_with(reply=long_reply)) as client:
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.output_audio.delta")
        await client.send("response.cancel")
        done = await client.told_of("response.done")
        assert done["response"]["status"] == "cancelled"
        kinds = client.kinds()
        assert "response.output_audio.delta" not in kinds[kinds.index("response.done") :]


async def test_a_reply_that_is_only_read_makes_no_sound_and_ends() -> None:
    async with calling(exchange_with()) as client:
        await client.update(output_modalities=["text"], voice_server={"binary": True})
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")
        assert client.of("response.output_text.delta")
        assert "sound" not in client.kinds()
        await client.send("response.create")  # The floor is free: nothing is "being heard".
        assert (await client.told_of("response.done", 2))["response"]["status"] == "completed"


async def test_what_was_recorded_before_is_heard_and_answered() -> None:
    async with calling(exchange_with()) as client:
        audio = base64.b64encode(tone(30_000)).decode()
        item = {"type": "message", "role": "user",
                "content": [{"type": "input_audio", "audio": audio}]}  # fmt: skip
        await client.send("conversation.item.create", item=item)
        await client.send("response.create")
        heard = await client.told_of("conversation.item.input_audio_transcription.completed")
        assert heard["transcript"] and heard["usage"]["seconds"] == 30
        done = await client.told_of("response.done")
        assert done["response"]["status"] == "completed"
        assert not client.of("input_audio_buffer.speech_started")


BAD_EVENTS = [
    "", "x", "[]", "null", "{}", '{"type": 5}', '{"type": "no.such.event"}', "{" * 5_000,
    '{"type": "input_audio_buffer.append"}',
    '{"type": "input_audio_buffer.append", "audio": "###"}',
    '{"type": "session.update", "session": 7}',
    '{"type": "session.update", "session": {"audio": {"input": {"format": {"type": "mp3"}}}}}',
    '{"type": "conversation.item.create", "item": {"type": "message"}}',
    '{"type": "response.create", "response": []}',
]  # fmt: skip


async def test_bad_events_are_answered_and_the_call_goes_on() -> None:
    async with calling(exchange_with()) as client:
        for number, text in enumerate(BAD_EVENTS, 1):
            await client.socket.send(text)
            await client.told_of("error", number)
        await client.append(tone(600) + silence(1_500))
        await client.told_of("response.done")


async def test_bad_sound_is_answered_and_the_call_goes_on() -> None:
    async with calling(exchange_with()) as client:
        await client.socket.send(bytes(BINARY_BYTES_MAX + 1))
        assert (await client.told_of("error"))["error"]["code"] == "audio_too_large"
        await client.update(audio={"input": {"format": OPUS}})
        await client.socket.send(b"\xff" * 2_000)
        assert (await client.told_of("error", 2))["error"]["code"] == "invalid_audio"
        await client.socket.send(b"")
        for packet in FORMATS["opus"][1](tone(600) + silence(1_500)):
            await client.socket.send(packet)
        await client.told_of("response.done")


HOSTILE_FRAMES = {
    "more than any message may hold": b"\x81\xff" + (20 * 2**20).to_bytes(8, "big") + b"mask",
    "text that is not UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "a frame without a mask": b"\x81\x02{}",
    "a reserved bit": b"\xf1\x80\0\0\0\0",
    "an unknown opcode": b"\x83\x80\0\0\0\0",
    "a continuation of nothing": b"\x80\x80\0\0\0\0",
    "a huge ping": b"\x89\xfe\x01\x00\0\0\0\0" + bytes(256),
}


@pytest.mark.parametrize("name", HOSTILE_FRAMES)
async def test_a_client_that_breaks_the_protocol_ends_its_own_call(name: str) -> None:
    exchange = exchange_with()
    async with calling(exchange) as client:
        client.socket.transport.write(HOSTILE_FRAMES[name])
        assert (await exchange.ended())[0].reason == "link_lost"


async def test_a_minute_of_sound_at_once_lets_others_have_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, heard = 0, []
    hear = Microphone.hear

    def watched(microphone: Microphone, piece: bytes) -> list[PcmFrame]:
        heard.append((turns, len(piece)))
        return hear(microphone, piece)

    async def take_turns() -> None:
        nonlocal turns
        while not client.of("response.done"):
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Microphone, "hear", watched)
    async with calling(exchange_with()) as client:
        taking = asyncio.create_task(take_turns())
        await client.append(silence(60_000) + tone(600) + silence(1_500))
        await taking
        assert len(heard) >= 60
        assert max(size for _, size in heard) <= module.PIECE_BYTES
        assert all(a < b for (a, _), (b, _) in itertools.pairwise(heard))


async def test_a_line_that_closes_does_not_wait_for_the_sound_before_it() -> None:
    exchange = exchange_with()
    async with calling(exchange) as client:
        await client.append(silence(20_000))
        await client.socket.close(1000)
        await exchange.ended()


async def test_a_client_that_hangs_up_has_hung_up() -> None:
    exchange = exchange_with()
    async with calling(exchange) as client:
        await client.socket.close(1000)
        assert (await exchange.ended())[0].reason == "hung_up"


async def test_a_client_that_vanishes_has_lost_the_line() -> None:
    exchange = exchange_with()
    async with calling(exchange) as client:
        client.socket.transport.abort()
        assert (await exchange.ended())[0].reason == "link_lost"


async def test_a_silent_client_is_ended_by_the_call() -> None:
    exchange = Exchange(rules=Rules(idle_ms_max=3_000, interruption=Interruption.CANCELS))
    async with calling(exchange) as client:
        await client.update(voice_server={"events": True})
        await client.told_of("closed")
        assert client.socket.close_code == 1000
        assert client.socket.close_reason == "idle"
        kinds = client.kinds()
        assert kinds[-2:] == ["voice_server.bill", "closed"]


# What real networks seldom show: a client that takes nothing.


class StuckSocket:
    """A socket whose client reads nothing: sending never ends."""

    def __init__(self) -> None:
        from starlette.websockets import WebSocketState

        self.client_state = WebSocketState.CONNECTED
        self.sent: list[str] = []

    async def accept(self, subprotocol: str | None, headers: object) -> None:
        pass

    async def receive(self) -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        await asyncio.Event().wait()

    send_bytes = send_text

    async def close(self, code: int, reason: str) -> None:
        raise AssertionError("it takes nothing")


async def test_a_client_that_takes_nothing_loses_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OUTBOX_BYTES_MAX", 50_000)
    monkeypatch.setattr(module, "CLOSE_SECONDS_MAX", 0.1)
    exchange = exchange_with()
    async with nothing_left():
        link = WebSocketLink(
            cast(WebSocket, StuckSocket()), exchange.dialect(webrtc=False), exchange.wheel
        )
        serving = asyncio.create_task(link.serve())
        inputs = link.inputs()
        assert await anext(inputs) == Connected()
        link.perform(ReplyStarted(1))
        [packet] = OpusEncoder(24_000).encode(tone(20))
        for _ in range(400):
            link.perform(Play(1, OpusFrame(packet.packet)))
        assert link._outbox_bytes <= 50_000
        while (news := await anext(inputs)) != HungUp("unheard_fault"):
            assert not isinstance(news, HungUp)
        await link.close(Summary("call_1", "unheard_fault", 0, None))
        async with asyncio.timeout(PATIENCE_S):
            await serving


def stuck_link(**session: object) -> WebSocketLink:
    """A link whose letters stay in its outbox, to be looked at."""
    exchange = exchange_with()
    dialect = exchange.dialect(webrtc=False)
    dialect.receive(json.dumps({"type": "session.update", "session": session}))
    link = WebSocketLink(cast(WebSocket, StuckSocket()), dialect, exchange.wheel)
    link.perform(ReplyStarted(1))
    return link


def outbox(link: WebSocketLink) -> list[str]:
    kinds = [json.loads(each.content)["type"] if each.text else "sound" for each in link._outbox]
    return [
        k for k in kinds if k in {"sound", "response.done"} or "_audio." in k or "_buffer." in k
    ]


async def test_sound_that_has_not_left_is_dropped_with_its_turn() -> None:
    [packet] = OpusEncoder(24_000).encode(tone(20))
    for session, told in (
        ({"type": "realtime"}, []),
        ({"type": "realtime", "voice_server": {"binary": True}}, ["output_audio_buffer.cleared"]),
    ):
        link = stuck_link(**session)
        for _ in range(15):
            link.perform(Play(1, packet))
        assert outbox(link)
        link.perform(Flush(1))
        assert outbox(link) == told
        assert link._outbox_bytes == sum(len(letter.content) for letter in link._outbox)


async def test_sound_is_told_before_the_end_of_its_response() -> None:
    [packet] = OpusEncoder(24_000).encode(tone(20))
    link = stuck_link(type="realtime")
    for _ in range(12):
        link.perform(Play(1, packet))
    link.perform(ReplyMade(1))
    assert outbox(link) == [
        "response.output_audio.delta", "response.output_audio.delta",
        "response.output_audio.done", "response.done",
    ]  # fmt: skip


async def test_a_call_that_ends_before_its_door_opened_does_not_wait() -> None:
    exchange = exchange_with()
    link = WebSocketLink(
        cast(WebSocket, StuckSocket()), exchange.dialect(webrtc=False), exchange.wheel
    )
    async with asyncio.timeout(PATIENCE_S):
        await link.close(Summary("call_1", "abandoned", 0, None))
