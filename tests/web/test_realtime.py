"""Calls through the front doors: admitted or refused, served, hung up, billed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from engines.speech import PCM_RATE_HZ
from tests.calls.exchange import PATIENCE_S, connect, eventually, nothing_left, silence, tone
from tests.calls.test_webrtc import Client
from tests.human_speech import HumanSpeech
from voice_server.client.clips import framed, read_clip
from voice_server.client.websocket import Wire

from .served import Served, scripted, served

Event = dict[str, Any]
SDP = {"content-type": "application/sdp"}


async def told_of(socket: ClientConnection, kind: str) -> Event:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == kind:
                return dict(event)


async def ask_for_bill(socket: ClientConnection) -> None:
    session = {"type": "realtime", "voice_server": {"events": True}}
    await socket.send(json.dumps({"type": "session.update", "session": session}))
    await told_of(socket, "session.updated")


async def speak(socket: ClientConnection, recording: Path) -> None:
    """Say what was recorded, and then nothing for two seconds."""
    said = read_clip(recording) + bytes(2 * 2 * PCM_RATE_HZ)
    for frame in framed(said, Wire.JSON).frames:
        await socket.send(frame)


async def writes_down(socket: ClientConnection, speech: HumanSpeech) -> None:
    """This session has words for what it hears, and no answer, though nothing was updated."""
    created = await told_of(socket, "session.created")
    assert created["session"]["type"] == "transcription"
    await speak(socket, speech("en_brooklyn.wav"))
    kinds: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while "conversation.item.input_audio_transcription.completed" not in kinds:
            kinds.append(json.loads(await socket.recv())["type"])
        # A reply would have begun with the words; this one is refused, and nothing came between.
        await socket.send(json.dumps({"type": "response.create"}))
        while "error" not in kinds:
            event = json.loads(await socket.recv())
            kinds.append(event["type"])
    assert event["error"]["code"] == "invalid_session_type"
    assert "response.created" not in kinds


def id_of(location: str) -> str:
    path, _, call_id = location.rpartition("/")
    assert path == "/v1/realtime/calls"
    return call_id


async def refused(
    server: Served, *, path: str = "", **options: Any
) -> tuple[int, Event, dict[str, str]]:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(server.websocket_url + path, **options)
    response = refusal.value.response
    assert response.body is not None
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return response.status_code, json.loads(response.body), headers


@contextlib.asynccontextmanager
async def dialled(server: Served, **session: object) -> AsyncIterator[tuple[Client, str]]:
    """A WebRTC call through the door; gives the client and the call's id."""
    client = Client()
    offer = await client.offer()
    response = await server.client.post(
        "/v1/realtime/calls", files={"sdp": (None, offer), "session": (None, json.dumps(session))}
    )
    assert response.status_code == 201, response.text
    assert response.headers["content-type"].startswith("application/sdp")
    await client.accept(response.text)
    await client.connected()
    yield client, id_of(response.headers["location"])
    await client.connection.close()


async def test_a_websocket_call_is_answered_and_billed_once(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        async with connect(server.websocket_url) as socket:
            assert socket.response is not None
            call_id = id_of(socket.response.headers["location"])
            live = (await server.client.get(f"/v1/calls/{call_id}")).json()
            assert live == {"id": call_id, "state": "live"}
            await told_of(socket, "session.created")
            await ask_for_bill(socket)
            sound = base64.b64encode(tone(600) + silence(1_500)).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
            await socket.send(json.dumps({"type": "response.create"}))
            await told_of(socket, "response.done")
            response = await server.client.post(f"/v1/realtime/calls/{call_id}/hangup")
            assert response.status_code == 200
            told = await told_of(socket, "voice_server.bill")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
        shown = await server.closed(call_id)
        bill = shown["bill"]
        assert isinstance(bill, dict)
        assert (told["billed_minutes"], told["billed_amount"], told["currency"]) == (1, 500, "RUB")
        assert {name: bill[name] for name in told if name in bill} == {
            name: told[name] for name in told if name in bill
        }
        assert shown["reason"] == told["reason"] == "hung_up"
        wallet = (await server.client.get("/v1/wallet")).json()
        assert (wallet["minutes"], wallet["held_minutes"]) == (9, 0)


async def test_a_webrtc_call_is_answered_hung_up_and_billed_once(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        wishes = {"type": "realtime", "voice_server": {"events": True}, "instructions": "Be kind."}
        async with dialled(server, **wishes) as (client, call_id):
            created = await client.told_of("session.created")
            assert created["session"]["instructions"] == "Be kind."
            client.send("response.create")
            await client.told_of("response.done")
            await eventually(lambda: len(client.packets) > 10)
            await server.client.post(f"/v1/realtime/calls/{call_id}/hangup")
            told = await client.told_of("voice_server.bill")
            assert (told["call_id"], told["billed_minutes"]) == (call_id, 1)
            await eventually(lambda: client.connection.connectionState == "closed")
        assert (await server.closed(call_id))["reason"] == "hung_up"


async def test_an_offer_alone_is_enough(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        client = Client()
        response = await server.client.post(
            "/v1/realtime/calls?model=gpt-realtime", content=await client.offer(), headers=SDP
        )
        assert response.status_code == 201
        await client.accept(response.text)
        await client.connected()
        assert client.told[0]["session"]["model"] == "gpt-realtime"
        await client.connection.close()
        await server.closed(id_of(response.headers["location"]))


BAD_REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no type": ({"content": b"v=0"}, 415, "unsupported_media_type"),
    "json": ({"json": {"sdp": "v=0"}}, 415, "unsupported_media_type"),
    "empty": ({"content": b"", "headers": SDP}, 400, "bad_sdp"),
    "no text": ({"content": b"\xff\xfe", "headers": SDP}, 400, "bad_sdp"),
    "garbage": ({"content": b"v=0\r\nm=", "headers": SDP}, 400, "bad_sdp"),
    "a large offer": (
        {"content": b"v=0" + b"x" * 70_000, "headers": SDP}, 413, "offer_too_large",
    ),
    "too large a body": ({"content": b"x" * 300_000, "headers": SDP}, 413, "too_large"),
    "no offer": ({"files": {"session": (None, "{}")}}, 400, "missing_sdp"),
    "no session": (
        {"files": {"sdp": (None, "v=0"), "session": (None, "nope")}}, 400, "bad_session",
    ),
    "a list": ({"files": {"sdp": (None, "v=0"), "session": (None, "[]")}}, 400, "bad_session"),
    "a bad session": (
        {"files": {"sdp": (None, "v=0"), "session": (None, '{"audio": 5}')}}, 400, "invalid_type",
    ),
    "a bad form": (
        {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=y"}},
        400, "bad_form",
    ),
    "no boundary": (
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad_form",
    ),
    "many fields": ({"files": {f"f{i}": (None, "x") for i in range(50)}}, 400, "bad_form"),
}  # fmt: skip


async def test_a_transcription_session_answers_nothing_from_the_first_word_on(
    tmp_path: Path, speech: HumanSpeech
) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:  # noqa: SIM117
        async with connect(f"{server.websocket_url}?intent=transcription") as socket:
            await writes_down(socket, speech)


async def test_a_session_needs_no_type_and_any_model_will_do(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        for model in ("gpt-realtime-2.1", "llama/3.2:8b", ""):
            async with connect(f"{server.websocket_url}?model={model}") as socket:
                created = await told_of(socket, "session.created")
                assert created["session"]["model"] == (model or "voice-server")
                session = {"instructions": "Be kind."}
                await socket.send(json.dumps({"type": "session.update", "session": session}))
                updated = (await told_of(socket, "session.updated"))["session"]
                assert (updated["type"], updated["instructions"]) == ("realtime", "Be kind.")
        status, body, _ = await refused(server, path=f"?model={'m' * 200}")
        assert (status, body["error"]["code"]) == (400, "bad_model")


def form(boundary: str, *parts: tuple[str, str, str]) -> dict[str, Any]:
    """A form written by hand: (what follows form-data, the part's type, its content)."""
    lines = []
    for disposition, kind, content in parts:
        lines += [f"--{boundary}", f"Content-Disposition: form-data; {disposition}"]
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += ["", content]
    body = "\r\n".join([*lines, f"--{boundary}--", ""])
    kind = f"multipart/form-data; boundary={boundary}"
    return {"content": body.encode(), "headers": {"content-type": kind}}


# How browsers, Node.js and Python send the two fields.
FORMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "two values": (('name="sdp"', ""), ('name="session"', "")),
    "values with types": (
        ('name="sdp"', "application/sdp"), ('name="session"', "application/json"),
    ),
    "blobs": (
        ('name="sdp"; filename="blob"', "application/sdp"),
        ('name="session"; filename="blob"', "application/json"),
    ),
    "files without types": (
        ('name="sdp"; filename="offer.sdp"', ""), ('name="session"; filename="s.json"', ""),
    ),
    "text with a charset": (
        ('name="sdp"', "text/plain; charset=utf-8"),
        ('name="session"', "application/json; charset=utf-8"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMS)
async def test_the_offer_and_the_session_come_in_any_form(tmp_path: Path, kind: str) -> None:
    (offered, sdp_type), (wished, session_type) = FORMS[kind]
    async with nothing_left(), served(scripted(tmp_path)) as server:
        client, session = Client(), json.dumps({"instructions": "Говори «да»."})
        request = form(
            "----WebKitFormBoundaryx", (offered, sdp_type, await client.offer()),
            (wished, session_type, session),
        )  # fmt: skip
        response = await server.client.post("/v1/realtime/calls?model=gpt-realtime", **request)
        assert response.status_code == 201, response.text
        await client.accept(response.text)
        await client.connected()
        created = (await client.told_of("session.created"))["session"]
        assert (created["model"], created["instructions"]) == ("gpt-realtime", "Говори «да».")
        await client.connection.close()
        await server.closed(id_of(response.headers["location"]))


async def test_bad_requests_are_refused_clearly_and_nothing_is_charged(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        for name, (request, status, code) in BAD_REQUESTS.items():
            response = await server.client.post("/v1/realtime/calls", **request)
            assert (response.status_code, response.json()["code"]) == (status, code), name
        assert (await server.client.get("/v1/wallet")).json()["minutes"] == 10


async def test_a_body_without_a_length_is_bounded_too(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 1_000

    async with nothing_left(), served(scripted(tmp_path)) as server:
        response = await server.client.post("/v1/realtime/calls", content=endless(), headers=SDP)
        assert response.status_code == 413


async def test_nobody_is_served_without_the_key(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path, api_key="s3cret")) as server:
        status, body, headers = await refused(server)
        assert (status, body["code"]) == (401, "missing_key")
        assert headers["www-authenticate"] == "Bearer"
        wrong = {"Authorization": "Bearer wrong"}
        assert (await refused(server, additional_headers=wrong))[1]["code"] == "invalid_key"
        for path in ("/v1/wallet", "/v1/ice", f"/v1/calls/call_{'0' * 32}"):
            assert (await server.client.get(path)).status_code == 401
        assert (await server.client.post("/v1/realtime/calls")).status_code == 401
        protocols = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.s3cret")]
        async with connect(server.websocket_url, subprotocols=protocols) as socket:
            assert socket.subprotocol == "realtime"
            await told_of(socket, "session.created")


async def test_a_strangers_page_cannot_call_on_the_visitors_server(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        evil = {"Origin": "https://evil.example"}
        _, body, _ = await refused(server, origin="https://evil.example")
        assert body["code"] == "origin_not_allowed"
        response = await server.client.post("/v1/realtime/calls", headers=evil | SDP, content="v=0")
        assert response.status_code == 403
        name = f"evil.example:{server.port}"
        rebound = {"Host": name, "Origin": f"http://{name}"}
        assert (await server.client.get("/v1/wallet", headers=rebound)).status_code == 403


async def test_without_money_there_is_no_call(tmp_path: Path) -> None:
    config = scripted(tmp_path, demo_minutes=0, local_credit=499)
    async with nothing_left(), served(config) as server:
        assert (await refused(server))[0:2][0] == 402
        client = Client()
        response = await server.client.post(
            "/v1/realtime/calls", content=await client.offer(), headers=SDP
        )
        assert (response.status_code, response.json()["code"]) == (402, "insufficient_funds")
        await client.connection.close()


@pytest.mark.parametrize(
    ("option", "status", "code"),
    [("calls_per_user_max", 429, "too_many_calls"), ("calls_max", 503, "busy")],
)
async def test_too_many_calls_are_told_when_to_come_again(
    tmp_path: Path, option: str, status: int, code: str
) -> None:
    async with nothing_left(), served(scripted(tmp_path, **{option: 1})) as server:
        async with connect(server.websocket_url) as socket:
            await told_of(socket, "session.created")
            found, body, headers = await refused(server)
            assert (found, body["code"]) == (status, code)
            assert int(headers["retry-after"]) >= 1
        await eventually(lambda: not server.house.switchboard.calls)
        async with connect(server.websocket_url) as socket:
            await told_of(socket, "session.created")


async def test_one_user_talks_on_as_many_lines_as_are_allowed_and_no_more(
    tmp_path: Path,
) -> None:
    options = {"calls_per_user_max": 4, "local_credit": 10**6}
    async with nothing_left(), served(scripted(tmp_path, **options)) as server:  # noqa: SIM117
        async with contextlib.AsyncExitStack() as stack:
            lines = [connect(server.websocket_url) for _ in range(10)]
            tries = await asyncio.gather(
                *(stack.enter_async_context(line) for line in lines), return_exceptions=True
            )
            refusals = [each for each in tries if isinstance(each, InvalidStatus)]
            assert [each.response.status_code for each in refusals] == [429] * 6
            assert all(int(each.response.headers["retry-after"]) >= 1 for each in refusals)
            sockets = [each for each in tries if isinstance(each, ClientConnection)]
            for socket in sockets:
                await socket.send(json.dumps({"type": "response.create"}))
            done = await asyncio.gather(*(told_of(socket, "response.done") for socket in sockets))
            assert len({event["response"]["id"] for event in done}) == 4
            client = Client()
            response = await server.client.post(
                "/v1/realtime/calls", content=await client.offer(), headers=SDP
            )
            assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1
            error = response.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "too_many_calls")
            await client.connection.close()


async def test_a_page_of_another_site_may_ask_and_read_where_its_call_is(tmp_path: Path) -> None:
    page = {"Origin": "https://page.example"}
    asks = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    async with nothing_left(), served(scripted(tmp_path, api_key="s3cret")) as server:
        for path in ("/v1/realtime/calls", "/v1/realtime/client_secrets"):
            may = await server.client.options(path, headers=asks)
            assert may.status_code == 200
            assert may.headers["access-control-allow-origin"] == "*"
            assert "POST" in may.headers["access-control-allow-methods"]
            assert "x-openai-agents-sdk" in may.headers["access-control-allow-headers"]
        client, key = Client(), {"Authorization": "Bearer s3cret"}
        response = await server.client.post(
            "/v1/realtime/calls", content=await client.offer(), headers=page | SDP | key
        )
        assert response.status_code == 201, response.text
        exposed = response.headers["access-control-expose-headers"].lower()
        assert "location" in exposed and "retry-after" in exposed
        assert response.headers["access-control-allow-origin"] == "*"
        await client.accept(response.text)
        await client.connection.close()
        denied = await server.client.post("/v1/realtime/calls", content="v=0", headers=page | SDP)
        assert denied.status_code == 401 and denied.headers["access-control-allow-origin"] == "*"


async def test_a_draining_server_ends_its_calls_and_takes_no_more(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:  # noqa: SIM117
        async with connect(server.websocket_url) as socket:
            await told_of(socket, "session.created")
            await ask_for_bill(socket)
            assert (await server.client.get("/health/ready")).status_code == 200
            draining = asyncio.create_task(server.house.switchboard.drain(0.3))
            await eventually(lambda: server.house.switchboard.draining)
            assert (await server.client.get("/health/ready")).status_code == 503
            assert (await server.client.get("/health")).status_code == 200
            status, body, headers = await refused(server)
            assert (status, body["code"]) == (503, "draining")
            assert "retry-after" in headers
            response = await server.client.post("/v1/realtime/calls", content="v=0", headers=SDP)
            assert response.status_code == 503
            assert (await told_of(socket, "voice_server.bill"))["billed_minutes"] == 1
            await draining


async def test_calls_of_others_do_not_exist(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path)) as server:
        for call_id in ("call_" + "0" * 32, "x", "call_..%2F..", "call_" + "0" * 5_000):
            shown = await server.client.get(f"/v1/calls/{call_id}")
            hung_up = await server.client.post(f"/v1/realtime/calls/{call_id}/hangup")
            assert (shown.status_code, hung_up.status_code) == (404, 404)


async def test_many_calls_leave_nothing_behind(tmp_path: Path) -> None:
    async with nothing_left(), served(scripted(tmp_path, local_credit=10**7)) as server:
        before = asyncio.all_tasks()

        async def call() -> None:
            async with connect(server.websocket_url) as socket:
                await socket.send(json.dumps({"type": "response.create"}))
                await told_of(socket, "response.done")

        for _ in range(4):
            await asyncio.gather(*(call() for _ in range(5)))
        await eventually(lambda: not server.house.switchboard.calls)
        await eventually(lambda: not {t for t in asyncio.all_tasks() - before if not t.done()})
        wallet = (await server.client.get("/v1/wallet")).json()
        assert wallet["held_minutes"] == wallet["held_amount"] == 0
        spent = (10 - wallet["minutes"]) + (10**7 - wallet["amount"]) // 500
        assert spent == 20  # A minute each, of whichever kind was free at the time.
