"""A caller over a real WebSocket to a small real server."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from tests.client.peer import SocketPeer, running
from voice_server.client.caller import CallFailed, Refused, Sound, Told, Unreachable, Wishes
from voice_server.client.http import Server
from voice_server.client.microphone import Clip
from voice_server.client.websocket import WebSocketCaller, Wire, appended

QUIET = b"\xf8\xff\xfe"


def caller(server: Server, wire: Wire = Wire.OPUS, wishes: Wishes | None = None) -> WebSocketCaller:
    silence = appended(b"\0\0") if wire is Wire.JSON else QUIET
    return WebSocketCaller(server, wishes or Wishes(), wire=wire, silence=silence)


async def test_a_call_from_greeting_to_bill() -> None:
    peer = SocketPeer(reply=[b"voice"])
    async with running(peer.app) as url, Server(url, "secret") as server, caller(server) as call:
        assert call.call_id == "call_1"
        utterance = call.microphone.say(Clip([b"a", b"b", b"c"], 3))
        seen = []
        async for happening in call.happenings():
            seen.append(happening)
            if isinstance(happening, Sound):
                await utterance.over.wait()
                # One more frame, so that the last of the clip has left.
                while call.microphone.frames < 5:
                    await asyncio.sleep(0.01)
                await call.hang_up()
    assert peer.headers["authorization"] == "Bearer secret"
    update = peer.told[0]
    assert update["type"] == "session.update"
    assert isinstance(update["session"], dict)
    assert update["session"]["audio"]["input"]["format"] == {"type": "audio/opus"}
    said = [sound for sound in peer.sounds if sound != QUIET]
    assert said == [b"a", b"b", b"c"]
    kinds = [h.event["type"] if isinstance(h, Told) else h.audio for h in seen]
    assert kinds == ["session.created", b"voice", "voice_server.bill"]
    assert call.bill and call.bill["billed_minutes"] == 1
    times = [happening.at_us for happening in seen]
    assert times == sorted(times)


async def test_json_sound_goes_both_ways() -> None:
    pcm = bytes(range(96)) * 10
    delta = {"type": "response.output_audio.delta", "delta": base64.b64encode(pcm).decode()}
    peer = SocketPeer(reply=[json.dumps(delta)])
    async with running(peer.app) as url, Server(url) as server, caller(server, Wire.JSON) as call:
        call.microphone.say(Clip([appended(b"\1\2")], 1))
        async for happening in call.happenings():
            if isinstance(happening, Sound):
                sound = happening
                while call.microphone.frames < 3:
                    await asyncio.sleep(0.01)
                await call.hang_up()
    assert (sound.audio, sound.duration_ms, sound.opus) == (pcm, 20, False)
    appends = [e["audio"] for e in peer.told if e["type"] == "input_audio_buffer.append"]
    assert appends[0] == base64.b64encode(b"\1\2").decode()


async def test_pcm_asks_for_binary_frames() -> None:
    peer = SocketPeer(reply=[bytes(960)])
    async with running(peer.app) as url, Server(url) as server, caller(server, Wire.PCM) as call:
        async for happening in call.happenings():
            if isinstance(happening, Sound):
                assert happening.duration_ms == 20
                while not peer.told:
                    await asyncio.sleep(0.01)
                await call.hang_up()
    session = peer.told[0]["session"]
    assert isinstance(session, dict) and session["voice_server"]["binary"] is True


@pytest.mark.parametrize("status", [401, 402, 429, 503])
async def test_a_refusal_before_the_call(status: int) -> None:
    peer = SocketPeer()
    peer.refusal = status, {"error": "Not now.", "code": "busy"}
    async with running(peer.app) as url, Server(url) as server:
        with pytest.raises(Refused, match="Not now") as refused:
            async with caller(server):
                pass
    assert (refused.value.status, refused.value.code) == (status, "busy")
    assert refused.value.retry_after_s == 3


async def test_a_refusal_after_the_upgrade() -> None:
    error = {"type": "error", "error": {"code": "insufficient_funds", "message": "No money."}}
    peer = SocketPeer(reply=[json.dumps(error)])
    peer.closes_at_once, peer.farewell = True, (4402, "insufficient_funds")
    async with running(peer.app) as url, Server(url) as server:
        with pytest.raises(Refused, match="No money"):
            async with caller(server) as call:
                async for _ in call.happenings():
                    pass


async def test_a_line_that_is_cut_is_an_error() -> None:
    peer = SocketPeer()
    peer.closes_at_once, peer.farewell = True, (1011, "oops")
    async with running(peer.app) as url, Server(url) as server:
        with pytest.raises(CallFailed, match="oops"):
            async with caller(server) as call:
                async for _ in call.happenings():
                    pass


async def test_nobody_answers() -> None:
    async with Server("http://127.0.0.1:9") as server:
        with pytest.raises(Unreachable):
            async with caller(server):
                pass


async def test_what_is_no_protocol_is_an_error() -> None:
    peer = SocketPeer(reply=["<html>"])
    async with running(peer.app) as url, Server(url) as server:
        with pytest.raises(CallFailed, match="protocol"):
            async with caller(server) as call:
                async for _ in call.happenings():
                    pass
