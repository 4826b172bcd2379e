"""A caller over real WebRTC: UDP, DTLS, a data channel, an aiortc peer at the other end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from tests.calls.exchange import eventually
from tests.client.peer import RtcPeer, running
from voice_server.client import webrtc
from voice_server.client.caller import Happening, MediaFailed, Sound, Told, Wishes
from voice_server.client.http import Server
from voice_server.client.microphone import Clip
from voice_server.client.webrtc import WebRtcCaller

QUIET = b"\xf8\xff\xfe"
VOICE = [bytes([0xF8, n]) for n in range(6)]


async def test_a_call_from_greeting_to_bill() -> None:
    peer = RtcPeer(VOICE)
    async with running(peer.app) as url, Server(url) as server:
        async with WebRtcCaller(server, Wishes(language="en"), silence=QUIET) as call:
            assert call.call_id == "call_rtc"
            utterance = call.microphone.say(Clip([b"\xf8a", b"\xf8b", b"\xf8c"], 3))
            happenings = [each async for each in until_heard(call, peer, utterance.over)]
        await peer.close()
    sounds = [h.audio for h in happenings if isinstance(h, Sound)]
    assert sounds == VOICE, "each packet once, in order, undecoded"
    kinds = [h.event["type"] for h in happenings if isinstance(h, Told)]
    assert kinds == ["session.created", "voice_server.bill"]
    assert call.bill and call.bill["billed_minutes"] == 2
    said = [packet for packet in peer.heard if packet != QUIET]
    assert said == [b"\xf8a", b"\xf8b", b"\xf8c"]
    assert QUIET in peer.heard, "a microphone is never off"
    assert peer.session["audio"] == {"input": {"transcription": {"language": "en"}}}
    assert call.unread_dropped == 0


async def until_heard(
    call: WebRtcCaller, peer: RtcPeer, over: asyncio.Event
) -> AsyncIterator[Happening]:
    sounds = 0
    async for happening in call.happenings():
        yield happening
        sounds += isinstance(happening, Sound)
        if sounds == len(VOICE) and isinstance(happening, Sound):
            await over.wait()
            await eventually(lambda: b"\xf8c" in peer.heard)
            await call.tell({"type": "response.cancel"})
            await call.hang_up()


def decoders() -> int:
    return sum(thread.name == "audio-decoder" for thread in threading.enumerate())


async def test_no_decoder_runs() -> None:
    """What aiortc would do with every packet costs more than all the rest."""
    peer = RtcPeer([])
    before = {thread.name for thread in threading.enumerate()}
    async with running(peer.app) as url, Server(url) as server:
        async with WebRtcCaller(server, Wishes(), silence=QUIET) as call:
            # The peer's own, which is stock aiortc, remains.
            await eventually(lambda: decoders() <= 1)
            await call.hang_up()
        await peer.close()
    assert "audio-decoder" not in before


async def test_a_server_that_cannot_be_heard_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "_CONNECT_S", 1.5)
    peer = RtcPeer(VOICE)
    peer.connects = False
    async with running(peer.app) as url, Server(url) as server:
        with pytest.raises(MediaFailed):
            async with WebRtcCaller(server, Wishes(), silence=QUIET):
                pass
    assert peer.hung_up.is_set(), "the server must not bill for silence"


async def test_an_unread_call_keeps_its_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "_UNREAD_MAX", 3)
    async with Server("http://127.0.0.1:9") as server:
        call = WebRtcCaller(server, Wishes(), silence=QUIET)
    for n in range(5):
        call._put(Sound(bytes([n]), 0, 20, opus=True))
    call._end()
    left = [h.audio async for h in call.happenings() if isinstance(h, Sound)]
    assert left == [b"\x03", b"\x04"] and call.unread_dropped == 3
