"""Strangers on WebRTC: offers that are none, offers nobody follows up, packets that are none,
and channels full of nonsense. `outside` holds the server to its promises afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pylibsrtp
import pytest
from aiortc.rtp import RtpPacket

from engines.audio import Resampler, read_audio
from engines.speech import PCM_RATE_HZ
from tests.calls.exchange import PATIENCE_S, eventually, silence, tone
from tests.calls.test_webrtc import Client
from tests.human_speech import HumanSpeech

from .outside import Outside, outside
from .test_realtime import id_of

SDP = {"content-type": "application/sdp"}
CANDIDATE = "a=candidate:1 1 udp 2130706431 {address} {port} typ host\r\n"
MUTANTS, CALLERS = 300, 4


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[Outside]:
    async with outside(tmp_path, free_port) as server:
        yield server


async def an_offer() -> str:
    client = Client()
    offer = await client.offer()
    await client.connection.close()
    return offer


async def offered(server: Outside, offer: str | bytes) -> httpx2.Response:
    """What the server says to this offer. A call that it begins is hung up at once."""
    response = await server.client.post("/v1/realtime/calls", content=offer, headers=SDP)
    if response.status_code == 201:
        call_id = id_of(response.headers["location"])
        server.unconnected.add(call_id)
        hung_up = await server.client.post(f"/v1/realtime/calls/{call_id}/hangup")
        assert hung_up.status_code in {200, 404}, hung_up.text
    else:
        assert 400 <= response.status_code < 500, response.text
        assert set(response.json()) == {"error", "code"}
    return response


@contextlib.asynccontextmanager
async def calling(server: Outside) -> AsyncIterator[Client]:
    client = Client()
    response = await server.client.post(
        "/v1/realtime/calls", content=await client.offer(), headers=SDP
    )
    assert response.status_code == 201, response.text
    server.answered.add(id_of(response.headers["location"]))
    await client.accept(response.text)
    await client.connected()
    try:
        yield client
    finally:
        await client.connection.close()


async def still_serves(server: Outside) -> None:
    """Somebody who means it is served."""
    async with calling(server) as client:
        client.send("response.create")
        await client.told_of("response.done")


def without(pattern: str) -> Callable[[str], str]:
    return lambda offer: re.sub(pattern, "", offer, flags=re.MULTILINE)


def instead(pattern: str, replacement: str) -> Callable[[str], str]:
    return lambda offer: re.sub(pattern, replacement, offer, flags=re.MULTILINE)


def section(offer: str, kind: str) -> str:
    found = re.search(rf"m={kind}.*?(?=m=|\Z)", offer, re.DOTALL)
    assert found is not None
    return found[0]


def many(count: int) -> Callable[[str], str]:
    """The audio section, `count` times."""

    def more(offer: str) -> str:
        audio = section(offer, "audio")
        mids = " ".join(str(number) for number in range(count))
        extra = "".join(audio.replace("a=mid:0", f"a=mid:{n}") for n in range(2, count))
        return offer.replace("BUNDLE 0 1", f"BUNDLE {mids}") + extra

    return more


def candidates(*lines: str) -> Callable[[str], str]:
    return lambda offer: re.sub(r"a=end-of-candidates\r\n", "".join(lines), offer, count=1)


REFUSED: dict[str, tuple[Callable[[str], str], set[str]]] = {
    "nothing": (lambda offer: "", {"bad_sdp"}),
    "garbage": (lambda offer: "v=0" + "\x00ÿ" * 5_000, {"bad_sdp"}),
    "half": (lambda offer: offer[:400], {"bad_sdp", "not_bundled"}),
    "the head only": (lambda offer: offer[: offer.index("m=")], {"no_audio", "not_bundled"}),
    "a data channel only": (
        lambda offer: offer.replace(section(offer, "audio"), "").replace("BUNDLE 0 1", "BUNDLE 1"),
        {"no_audio"},
    ),
    "too large": (lambda offer: offer + "a=x:" + "x" * 70_000, {"offer_too_large"}),
    "eighty sections": (many(80), {"offer_too_large"}),
    "nine sections": (many(9), {"too_many_sections"}),
    "two of one name": (lambda offer: offer.replace("a=mid:1", "a=mid:0"), {"bad_sdp"}),
    "not bundled": (without(r"^a=group:BUNDLE.*\r\n"), {"not_bundled"}),
    "a bundle of one that is not there": (
        lambda offer: offer[: offer.index("m=application")], {"not_bundled"},
    ),
    "a bundle of others": (instead("BUNDLE 0 1", "BUNDLE 7 8"), {"not_bundled"}),
    "no ice": (without(r"^a=ice-.*\r\n"), {"bad_sdp"}),
    "no fingerprint": (without(r"^a=fingerprint.*\r\n"), {"bad_sdp"}),
    "no opus": (without(r"^a=rtpmap:96.*\r\n"), {"no_opus", "bad_sdp"}),
    "no mux": (without(r"^a=rtcp-mux\r\n"), {"no_rtcp_mux"}),
    "inactive": (instead("^a=sendrecv", "a=inactive"), {"no_audio"}),
    "a port of letters": (instead(r"^m=audio \d+", "m=audio x"), {"bad_sdp"}),
    "a thousand candidates": (
        candidates(*(CANDIDATE.format(address="127.0.0.1", port=n + 1) for n in range(900))),
        {"too_many_candidates"},
    ),
    "a candidate by name": (
        candidates(CANDIDATE.format(address="metadata.internal", port=80)), {"bad_candidate"},
    ),
    "a candidate of words": (candidates("a=candidate:x y z\r\n"), {"bad_sdp"}),
    "a candidate beyond ports": (
        candidates(CANDIDATE.format(address="127.0.0.1", port=70_000)), {"bad_candidate"},
    ),
    "a candidate below ports": (
        candidates(CANDIDATE.format(address="127.0.0.1", port=-1)), {"bad_candidate"},
    ),
    "a fingerprint of nothing": (
        instead(r"^a=fingerprint:\S+ .*\r\n", "a=fingerprint:sha-256 \r\n"), {"bad_sdp"},
    ),
    "a fingerprint of no kind": (
        instead(r"^a=fingerprint:\S+ ", "a=fingerprint:md5 "), {"no_fingerprint"},
    ),
    "both passive": (instead("^a=setup:actpass", "a=setup:holdconn"), {"bad_sdp"}),
}  # fmt: skip


async def test_offers_that_cannot_be_answered_are_refused_in_words(server: Outside) -> None:
    offer = await an_offer()
    before = server.holdings()
    wrong = {}
    for name, (spoil, codes) in REFUSED.items():
        assert spoil(offer) != offer, name
        response = await offered(server, spoil(offer))
        code = response.json()["code"] if response.status_code != 201 else "201"
        if code not in codes:
            wrong[name] = (response.status_code, code)
    assert not wrong
    await server.no_more_than(before, spare=8)
    await still_serves(server)
    await server.at_rest()
    assert (await server.client.get("/v1/wallet")).json()["held_minutes"] == 0


async def test_offers_with_anything_in_them_end(server: Outside) -> None:
    """Lines lost, doubled, swapped, cut and overwritten: answered or refused, never stuck."""
    offer, rng = await an_offer(), random.Random(5)
    places = asyncio.Semaphore(CALLERS)

    async def one(spoiled: str) -> int:
        async with places, asyncio.timeout(PATIENCE_S):
            return int((await offered(server, spoiled)).status_code)

    def spoil() -> str:
        lines = offer.splitlines(keepends=True)
        for _ in range(rng.randrange(1, 6)):
            at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            match rng.randrange(5):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, lines[other])
                case 2:
                    lines[at], lines[other] = lines[other], lines[at]
                case 3:
                    lines[at] = lines[at][: rng.randrange(len(lines[at]))] + "\r\n"
                case _:
                    spot = rng.randrange(len(lines[at]))
                    noise = rng.choice(["9" * 30, "-1", " ", "\x00", "ÿ", ":", "=", "/"])
                    lines[at] = lines[at][:spot] + noise + lines[at][spot + 1 :]
            lines = lines or ["v=0\r\n"]
        return "".join(lines)

    statuses = await asyncio.gather(*(one(spoil()) for _ in range(MUTANTS)))
    assert set(statuses) <= {201, 400, 413, 422}
    assert 201 in statuses
    await server.at_rest()
    await still_serves(server)


async def test_who_offers_and_never_comes_is_forgotten_unbilled(server: Outside) -> None:
    """No ICE check ever arrives; or the wrong certificate does. Nobody pays for either."""
    await still_serves(server)
    await server.at_rest()
    before = server.holdings()
    offers = [await an_offer() for _ in range(CALLERS)]
    offers.append(candidates(CANDIDATE.format(address="127.0.0.1", port=9))(offers[0]))
    offers.append(instead(r"^a=candidate.*\r\n", "")(offers[0]))
    offers.append(candidates(CANDIDATE.format(address="gone.local", port=9))(offers[0]))
    billed = set((await server.books()).bills)
    for offer in offers:
        response = await server.client.post("/v1/realtime/calls", content=offer, headers=SDP)
        assert response.status_code == 201, response.text
    # One who comes with another certificate than the one announced.
    impostor = Client()
    real = await impostor.offer()
    wrong = re.sub(r"(?m)^(a=fingerprint:\S+ )..", r"\g<1>00", real)
    response = await server.client.post("/v1/realtime/calls", content=wrong, headers=SDP)
    await impostor.accept(response.text)
    assert await server.calls() == len(offers) + 1
    await server.at_rest(2 * PATIENCE_S)
    assert impostor.told == []
    await impostor.connection.close()
    assert set((await server.books()).bills) == billed
    await server.no_more_than(before, spare=8)


async def test_who_is_gone_without_a_word_is_billed_and_forgotten(server: Outside) -> None:
    """The socket closes under a connection: no goodbye, and nobody answers any more."""
    await still_serves(server)
    await server.at_rest()
    before = server.holdings()
    async with calling(server) as client, calling(server) as other:
        for each in (client, other):
            each.send("response.create")
            await eventually(lambda each=each: len(each.packets) > 3)  # type: ignore[misc]
        transport = client.connection.getTransceivers()[0].receiver.transport.transport
        await transport._connection.close()
        await server.at_rest(but=1)
        other.send("response.create")
    await server.at_rest()
    await server.no_more_than(before, spare=8)


# Once connected.

WRONG_MESSAGES: list[str | bytes] = [
    "", "{", "[]", b"\x00\xff", b"", "x" * 60_000, '{"type": "nope"}', "[" * 20_000,
    '{"type": "input_audio_buffer.append", "audio": "AAAA"}',
    '{"type": "session.update", "session": {"audio": {"input": {"format": {"type": "x"}}}}}',
]  # fmt: skip


async def test_messages_that_are_none_are_answered(server: Outside) -> None:
    async with calling(server) as client:
        assert client.channel is not None
        for message in WRONG_MESSAGES:
            errors = len(client.of("error"))
            client.channel.send(message)
            error = await client.told_of("error", errors + 1)
            assert error["error"]["message"]
            assert error["error"]["type"] == "invalid_request_error"
        other = client.connection.createDataChannel("another")
        await eventually(lambda: other.readyState == "open")
        other.send("hello?")
        for _ in range(500):
            client.channel.send("{")
        client.send("response.create")
        await client.told_of("response.done")


def spoken(clip: Path) -> bytes:
    """What this recording says, as the client's microphone gives it."""
    frames = read_audio(clip, seconds_max=30)
    return Resampler(PCM_RATE_HZ, 24_000).feed(b"".join(frame.samples for frame in frames))


def packet(rng: random.Random, sequence: int, payload: bytes) -> RtpPacket:
    return RtpPacket(
        payload_type=rng.choice([96, 96, 96, 0, 8, 111, 127]),
        sequence_number=rng.choice([sequence, sequence - 3, sequence + 2, rng.randrange(2**16)])
        % 2**16,
        timestamp=rng.choice([sequence * 960, 0, 2**32 - 1, rng.randrange(2**32)]) % 2**32,
        ssrc=rng.choice([1, 2, rng.randrange(2**32)]), payload=payload,
    )  # fmt: skip


async def test_packets_of_every_kind_of_wrong_end_nothing(
    server: Outside, speech: HumanSpeech
) -> None:
    """Encrypted as agreed, and nonsense inside: wrong sources, sequences, times, kinds, lengths;
    then the same from nobody: plain noise on the wire. The caller is heard through all of it."""
    rng = random.Random(3)
    await still_serves(server)
    await server.at_rest()
    before = server.holdings()
    async with calling(server) as client:
        await client.say(tone(200))
        dtls = client.connection.getTransceivers()[0].sender.transport
        for sequence in range(1_500):
            size = rng.choice([0, 1, 2, 3, 20, 80, 400, 1_000])
            # Our own side will not encrypt what looks like a replay too old.
            with contextlib.suppress(pylibsrtp.Error):
                await dtls._send_rtp(packet(rng, sequence, rng.randbytes(size)).serialize())
            if sequence % 50 == 0:
                await asyncio.sleep(0.005)
        for _ in range(300):
            # What is no packet at all, on the way of those that are.
            kind = rng.choice([0, 1, 20, 22, 63, 64, 128, 200, 255])
            noise = bytes([kind]) + rng.randbytes(rng.choice([0, 1, 11, 40, 1_200]))
            await dtls.transport._send(noise)
        for _ in range(300):
            with contextlib.suppress(pylibsrtp.Error):
                await dtls._send_rtp(bytes([0x80, 200]) + rng.randbytes(rng.choice([6, 26, 400])))
        client.send("response.create")
        await client.told_of("response.done")
        await client.told_of("output_audio_buffer.stopped")
        assert not client.of("input_audio_buffer.speech_started"), "nonsense was taken for speech"
        await client.say(spoken(speech("en_LJ001-0011.wav")) + silence(1_500), speed=4)
        await client.told_of("conversation.item.input_audio_transcription.completed")
        await client.told_of("response.done", 2)
    await server.at_rest()
    await server.no_more_than(before, spare=8)
    await still_serves(server)


async def test_a_flood_on_the_channel_starves_nobody(server: Outside) -> None:
    async with calling(server) as other, calling(server) as client:
        assert client.channel is not None
        event = json.dumps({"type": "response.create", "response": {"conversation": "none"}})
        for _ in range(3_000):
            client.channel.send(event)
        other.send("response.create")
        await other.told_of("response.done")
        await client.told_of("error", 100)
