"""Calls over WebRTC, with aiortc at the other end and real UDP on the loopback between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from engines.audio import OpusDecoder, OpusEncoder
from voice_server.calls import webrtc as module
from voice_server.calls.offers import BadOffer, check_offer
from voice_server.calls.peer import CHANNEL, OpusTrack, PacketReceiver, Peer
from voice_server.calls.rules import Interruption, Rules
from voice_server.calls.session import Summary
from voice_server.calls.webrtc import WebRtcLink

from .exchange import Exchange, eventually, loudness, nothing_left, silence, tone

Event = dict[str, Any]


class Client:
    """A caller behind a peer connection of its own. Keeps what it hears and is told."""

    def __init__(self, *, channel: bool = True) -> None:
        self.connection = RTCPeerConnection()
        self.track = OpusTrack()
        self.packets: list[tuple[int, int, bytes]] = []
        self.told: list[Event] = []
        transceiver = self.connection.addTransceiver(self.track, "sendrecv")
        PacketReceiver.adopt(transceiver.receiver, self._hear)
        self.channel = self.connection.createDataChannel(CHANNEL) if channel else None
        if self.channel is not None:
            self.channel.on("message", lambda message: self.told.append(json.loads(message)))
        self._now_ms = 0

    def _hear(self, sequence: int, stream_time: int, payload: bytes) -> None:
        self.packets.append((sequence, stream_time, payload))

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connected(self) -> None:
        await eventually(lambda: self.connection.connectionState == "connected")
        if self.channel is not None:
            await eventually(lambda: bool(self.told))

    def speak(self, pcm: bytes) -> None:
        """Send it faster than it lasts; stream time says how long that is."""
        for frame in OpusEncoder(24_000).encode(pcm):
            self.track.put(frame.packet, self._now_ms)
            self._now_ms += 20

    async def say(self, pcm: bytes, *, speed: float = 20) -> None:
        """Send it so many times faster than it lasts; the network has small buffers."""
        for start in range(0, len(pcm), 9_600):  # 200 ms
            self.speak(pcm[start : start + 9_600])
            await asyncio.sleep(0.2 / speed)
            await eventually(lambda: not self.track._packets)

    def send(self, kind: str, **fields: object) -> None:
        assert self.channel is not None
        self.channel.send(json.dumps({"type": kind, **fields}))

    async def told_of(self, kind: str, count: int = 1) -> Event:
        await eventually(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[-1]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.told if event["type"] == kind]


@contextlib.asynccontextmanager
async def calling(exchange: Exchange, *, channel: bool = True) -> AsyncIterator[Client]:
    """A caller on the line. Afterwards nothing of the call is left."""
    async with nothing_left():
        client, peer = Client(channel=channel), Peer()
        answer = await peer.negotiate(await client.offer())
        async with asyncio.TaskGroup() as group:
            group.create_task(
                exchange.talk(WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel))
            )
            await client.accept(answer)
            await client.connected()
            yield client
            await client.connection.close()
            await exchange.ended()


async def test_a_question_is_heard_and_answered_with_sound_and_events() -> None:
    async with calling(Exchange()) as client:
        assert client.told[0]["type"] == "session.created"
        assert not [each for each in threading.enumerate() if "decoder" in each.name]
        await client.say(tone(600) + silence(1_500))
        await client.told_of("response.done")
        await client.told_of("output_audio_buffer.stopped")
        assert client.of("conversation.item.input_audio_transcription.completed")
        assert not client.of("response.output_audio.delta")
        decoder = OpusDecoder(16_000)
        heard = b"".join(decoder.decode(payload) for _, _, payload in client.packets)
        assert len(client.packets) == 6 * 12
        assert loudness(heard) > 1_000


async def test_nothing_is_sent_while_nothing_is_said_and_stream_time_goes_on() -> None:
    async with calling(Exchange()) as client:
        await client.say(silence(1_000))
        assert client.packets == []
        for number in (1, 2):
            await client.say(tone(600) + silence(1_500))
            await client.told_of("output_audio_buffer.stopped", number)
        assert len(client.packets) == 2 * 6 * 12
        steps = [
            (b[0] - a[0], b[1] - a[1])
            for a, b in zip(client.packets, client.packets[1:], strict=False)
        ]
        within = steps[: 6 * 12 - 1] + steps[6 * 12 :]
        assert {step[0] for step in steps} == {1}
        # Within a reply there is no hole, unless the machine stalled for longer than we catch up.
        assert within.count((1, 960)) > len(within) / 2
        assert all(step[1] % 960 == 0 and step[1] > 0 for step in within)
        assert steps[6 * 12 - 1][1] > 960


async def test_a_stop_silences_the_next_packet() -> None:
    async with calling(Exchange(reply=" ".join(["word"] * 60))) as client:
        await client.say(tone(600) + silence(1_500))
        await eventually(lambda: len(client.packets) > 10)
        client.send("output_audio_buffer.clear")
        await client.told_of("output_audio_buffer.cleared")
        heard = len(client.packets)
        await asyncio.sleep(0.2)
        assert len(client.packets) <= heard + 1  # One may have been on its way.


async def test_a_barge_in_pauses_and_then_drops_the_reply() -> None:
    rules = Rules(interruption=Interruption.RESUMES)
    async with calling(Exchange(reply=" ".join(["word"] * 60), rules=rules)) as client:
        await client.say(tone(600) + silence(1_500))
        await eventually(lambda: len(client.packets) > 10)
        await client.say(tone(800) + silence(1_500))
        done = await client.told_of("response.done", 2)
        assert done["response"]["status"] == "completed"
        first = client.of("response.done")[0]["response"]
        assert client.of("conversation.item.truncated") or first["status"] == "cancelled"


BAD_MESSAGES: list[str | bytes] = ["x", b"\x00\xff", "[]", '{"type": "nope"}']


async def test_events_wait_for_the_channel_and_bad_ones_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling(Exchange()) as client:
        assert client.channel is not None
        for number, message in enumerate(BAD_MESSAGES, 1):
            client.channel.send(message)
            await client.told_of("error", number)
        monkeypatch.setattr(module, "MESSAGE_BYTES_MAX", 1_000)
        client.channel.send("x" * 1_001)
        assert (await client.told_of("error", 5))["error"]["code"] == "message_too_large"
        client.send("response.create")
        await client.told_of("response.done")


async def test_a_call_needs_no_channel() -> None:
    async with calling(Exchange(), channel=False) as client:
        await client.say(tone(600) + silence(1_500))
        await eventually(lambda: len(client.packets) == 6 * 12)


async def test_the_last_words_reach_the_client() -> None:
    exchange = Exchange(rules=Rules(idle_ms_max=3_000))
    async with calling(exchange) as client:
        client.send(
            "session.update", session={"type": "realtime", "voice_server": {"events": True}}
        )
        await client.told_of("voice_server.bill")
        assert (await exchange.ended())[0].reason == "idle"
        await eventually(lambda: client.connection.connectionState == "closed")


async def test_a_flush_waits_until_the_client_has_it_all() -> None:
    async with nothing_left():
        client, peer = Client(), Peer()
        await client.accept(await peer.negotiate(await client.offer()))
        await eventually(lambda: peer.channel_is_open)
        for number in range(100):
            peer.send(json.dumps({"type": "test", "number": number, "ballast": "x" * 2_000}))
        await peer.flush()
        await peer.close()
        assert len(client.of("test")) == 100
        await client.connection.close()


async def test_the_last_words_are_flushed_before_the_line_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    async def flush(peer: Peer) -> None:
        done.append("flush")

    async def close(peer: Peer) -> None:
        done.append("close")

    peer = Peer()
    with monkeypatch.context() as patched:
        patched.setattr(Peer, "flush", flush)
        patched.setattr(Peer, "close", close)
        exchange = Exchange()
        link = WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel)
        await link.close(Summary("call_1", "idle", 0, None))
    assert done == ["flush", "close"]
    await peer.close()


async def test_a_client_that_closes_has_hung_up() -> None:
    exchange = Exchange()
    async with calling(exchange) as client:
        await client.connection.close()
        assert (await exchange.ended())[0].reason == "hung_up"


async def test_a_client_that_vanishes_has_lost_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aioice.ice.CONSENT_INTERVAL * aioice.ice.CONSENT_FAILURES <= 10
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.1)
    exchange = Exchange()
    async with calling(exchange) as client:
        ice = client.connection.getTransceivers()[0].receiver.transport.transport._connection
        for protocol in ice._protocols:
            protocol.transport.close()
        assert (await exchange.ended())[0].reason == "link_lost"


async def test_a_client_that_never_comes_ends_by_the_calls_own_deadline() -> None:
    exchange = Exchange(rules=Rules(connect_ms_max=200))
    async with nothing_left():
        client, peer = Client(), Peer()
        await peer.negotiate(await client.offer())
        link = WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel)
        await exchange.talk(link)
        assert exchange.summaries[0].reason == "never_connected"
        await client.connection.close()


async def test_a_client_that_takes_no_events_loses_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(Peer, "buffered_bytes", module.UNSENT_BYTES_MAX + 1)
    exchange = Exchange()
    async with nothing_left():
        client, peer = Client(), Peer()
        await peer.negotiate(await client.offer())
        await exchange.talk(WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel))
        assert exchange.summaries[0].reason == "unheard_fault"
        await client.connection.close()


async def test_lost_and_late_packets_leave_time_as_it_was() -> None:
    exchange = Exchange()
    async with nothing_left():
        client, peer = Client(), Peer()
        await peer.negotiate(await client.offer())
        link = WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel)
        packets = [f.packet for f in OpusEncoder(24_000).encode(tone(1_600))]
        order = [0, 2, 1, *range(3, 40), *range(43, 80)]  # 80 packets, three lost, two swapped.
        for number in order:
            peer.on_packet(number, 960 * number, packets[number])
        peer.on_packet(80, 960 * 80, b"\x48" + b"\xff" * 30)  # Hardly sound.
        assert len(link._incoming) in (81 * 20 // 32, 80 * 20 // 32)
        link._end()
        await peer.close()
        await client.connection.close()


async def test_of_many_sources_one_is_heard_and_counted() -> None:
    """aiortc reports on each source that it has counted; of 64 it cannot, nor close after it."""
    async with nothing_left():
        client, peer, heard = Client(), Peer(), list[bytes]()
        await client.accept(await peer.negotiate(await client.offer()))
        peer.on_packet = lambda sequence, stream_time, payload: heard.append(payload)
        await eventually(lambda: peer.channel_is_open)
        line = client.connection.getTransceivers()[0].sender.transport
        for source in range(1, 101):
            packet = RtpPacket(payload_type=96, ssrc=source, payload=b"\x48foreign")
            await line._send_rtp(packet.serialize())
        client.speak(tone(100))
        await eventually(lambda: len(heard) >= 5)
        assert b"\x48foreign" not in heard
        stats = await peer._connection.getTransceivers()[0].receiver.getStats()
        assert [each.type for each in stats.values()].count("inbound-rtp") == 1
        await peer.close()
        await client.connection.close()


async def test_calls_leave_no_socket_and_no_thread() -> None:
    async def call() -> None:
        exchange = Exchange()
        async with calling(exchange) as client:
            client.send("response.create")
            await client.told_of("response.done")

    await call()  # What is made once is made now.
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        await call()
    await eventually(lambda: threading.active_count() <= threads)
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


# Offers of strangers.


async def good_offer() -> str:
    client = Client()
    offer = await client.offer()
    await client.connection.close()
    return offer


def without(offer: str, start: str) -> str:
    return "".join(line for line in offer.splitlines(True) if not line.startswith(start))


CANDIDATE = "\r\na=candidate:1 1 udp 1 {} 9 typ host"
BAD_OFFERS: dict[str, tuple[Callable[[str], str], int]] = {
    "nothing": (lambda offer: "", 400),
    "prose": (lambda offer: "hello there", 400),
    "a binary": (lambda offer: "v=0\r\n\x00\xff", 422),
    "half a line": (lambda offer: "v=0\r\nm=", 400),
    "a bad section": (lambda offer: offer.replace("m=audio ", "m=audio x"), 400),
    "no section": (lambda offer: offer.split("m=")[0], 422),
    "only a channel": (lambda offer: offer.split("m=")[0] + "m=" + offer.split("m=")[2], 422),
    "only video": (lambda offer: offer.replace("m=audio", "m=video"), 422),
    "no opus": (lambda offer: offer.replace("opus/48000/2", "speex/16000/1"), 422),
    "no fingerprint": (lambda offer: without(offer, "a=fingerprint"), 400),
    "no ice": (lambda offer: without(offer, "a=ice-ufrag"), 400),
    "no bundle": (lambda offer: without(offer, "a=group:BUNDLE"), 422),
    "no mux": (lambda offer: without(offer, "a=rtcp-mux"), 422),
    "inactive": (lambda offer: offer.replace("a=sendrecv", "a=inactive"), 422),
    "a named candidate": (
        lambda offer: offer.replace("a=sendrecv", "a=sendrecv" + CANDIDATE.format("evil.example")),
        400,
    ),
    "many candidates": (
        lambda offer: offer.replace("a=sendrecv", "a=sendrecv" + CANDIDATE.format("::1") * 99),
        422,
    ),
    "many sections": (lambda offer: offer + ("m=" + offer.split("m=")[1]) * 20, 422),
    "twice the same": (lambda offer: offer + "m=" + offer.split("m=")[1], 400),
    "too large": (lambda offer: offer + "a=x:" + "x" * 70_000, 413),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_OFFERS)
async def test_a_bad_offer_is_refused_and_leaves_nothing(name: str) -> None:
    spoil, status = BAD_OFFERS[name]
    offer = spoil(await good_offer())
    async with nothing_left():
        with pytest.raises(BadOffer) as refused:
            await Peer().negotiate(offer)
        assert refused.value.status == status


async def test_a_thousand_damaged_offers_are_answered_or_refused() -> None:
    offer, dice = await good_offer(), random.Random(7)
    for _ in range(1_000):
        text = list(offer)
        for _ in range(dice.randrange(1, 12)):
            place = dice.randrange(len(text))
            match dice.randrange(3):
                case 0:
                    del text[place : place + dice.randrange(1, 40)]
                case 1:
                    text[place] = chr(dice.randrange(1, 300))
                case _:
                    text[place:place] = text[place : place + dice.randrange(1, 40)]
        with contextlib.suppress(BadOffer):
            check_offer("".join(text))


async def test_damaged_offers_that_parse_are_answered_or_refused() -> None:
    offer, dice = await good_offer(), random.Random(11)
    async with nothing_left():
        for _ in range(60):
            lines = offer.splitlines(True)
            for _ in range(dice.randrange(1, 4)):
                place = dice.randrange(4, len(lines))
                match dice.randrange(3):
                    case 0:
                        del lines[place]
                    case 1:
                        lines.insert(place, dice.choice(lines))
                    case _:
                        lines[place] = lines[place][:8] + "?" + lines[place][9:]
            peer = Peer()
            with contextlib.suppress(BadOffer):
                await peer.negotiate("".join(lines))
            await peer.close()


async def test_an_offer_without_candidates_is_served() -> None:
    """Browsers send the offer before they know their candidates; ours are enough."""
    exchange = Exchange()
    async with nothing_left():
        client, peer = Client(), Peer()
        offer = await client.offer()
        bare = without(without(offer, "a=candidate"), "a=end-of-candidates")
        answer = await peer.negotiate(bare)
        async with asyncio.TaskGroup() as group:
            link = WebRtcLink(peer, exchange.dialect(webrtc=True), exchange.wheel)
            group.create_task(exchange.talk(link))
            await client.accept(answer)
            await client.connected()
            await client.connection.close()


async def test_video_beside_the_voice_is_declined() -> None:
    client, peer = Client(), Peer()
    client.connection.addTransceiver("video", "sendrecv")
    answer = await peer.negotiate(await client.offer())
    video = "m=video" + answer.split("m=video")[1].split("m=")[0]
    assert "a=inactive" in video
    await client.accept(answer)
    await peer.close()
    await client.connection.close()


async def test_an_answer_without_network_is_refused_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(peer: Peer, offer: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Peer, "_negotiate", never)
    monkeypatch.setattr("voice_server.calls.peer.NEGOTIATION_SECONDS_MAX", 0.05)
    with pytest.raises(BadOffer) as refused:
        await Peer().negotiate(await good_offer())
    assert refused.value.status == 503
