"""The doors through which calls come in: a WebSocket, and WebRTC by offer and answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from engines.speech import EngineSettings
from voice_server.calls.realtime.dialect import Dialect
from voice_server.calls.rules import Interruption, Rules
from voice_server.calls.session import Link
from voice_server.calls.switchboard import LiveCall
from voice_server.calls.websocket import WebSocketLink

from .auth import offered_subprotocol
from .bodies import read_body
from .calls import call_id_of
from .errors import REFUSALS, Refusal, refusal_of, response_of
from .house import House
from .ice import ice_entries

CALLS_PATH = "/v1/realtime/calls"
MODEL_DEFAULT = "voice-server"
MODEL_CHARS_MAX = 128
# An offer, a session, and what multipart puts around them.
BODY_BYTES_MAX = 256 * 1024


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


async def websocket(socket: WebSocket) -> None:
    """`GET /v1/realtime`: refused before the upgrade, or served until the call is over."""
    house: House = socket.app.state.house
    links: list[WebSocketLink] = []

    def connect(call: LiveCall) -> Link:
        dialect = _dialect(house, call.id, model, settings, rules, only_transcribes=transcribes)
        links.append(WebSocketLink(socket, dialect, house.wheel))
        return links[0]

    try:
        caller = house.gate.admit(socket)
        model = _model(socket.query_params.get("model", ""))
        transcribes = socket.query_params.get("intent") == "transcription"
        settings = house.settings_for(model)
        # A client that plays from its own buffer cannot be paused; one that takes binary
        # frames can say so.
        rules = replace(house.rules, interruption=Interruption.CANCELS)
        call = await house.switchboard.place(
            caller, connect, settings=settings, rules=rules, media_flows=True
        )
    except REFUSALS as refused:
        await socket.send_denial_response(response_of(refusal_of(refused)))
        return
    await links[0].serve(
        subprotocol=offered_subprotocol(socket),
        headers=[(b"location", f"{CALLS_PATH}/{call.id}".encode())],
    )


async def offer(request: Request) -> Response:
    """`POST /v1/realtime/calls`: an SDP offer in, 201 and the answer out."""
    from voice_server.calls.peer import Peer
    from voice_server.calls.webrtc import WebRtcLink

    house: House = request.app.state.house
    caller = house.gate.admit(request)
    if house.switchboard.draining:
        raise Refusal(503, "draining", "The server is shutting down.", retry_after_s=10)
    sdp, session = await _read_offer(request)
    model = _model(request.query_params.get("model", "") or _text(session, "model"))
    settings, rules = _as_wished(house, model, session)

    def connect(call: LiveCall) -> Link:
        dialect = _dialect(house, call.id, model, house.settings_for(model), house.rules, rtc=True)
        dialect.preset(session)
        return WebRtcLink(peer, dialect, house.wheel)

    entries = ice_entries(house.config, user_id=caller.user_id, now_s=int(time.time()))
    peer, call = Peer((e.urls, e.username, e.credential) for e in entries), None
    try:
        answer = await peer.negotiate(sdp)
        call = await house.switchboard.place(caller, connect, settings=settings, rules=rules)
    finally:
        if call is None:
            await peer.close()
    return Response(
        answer, 201, media_type="application/sdp", headers={"Location": f"{CALLS_PATH}/{call.id}"}
    )


async def hang_up(request: Request) -> Response:
    """`POST /v1/realtime/calls/{id}/hangup`: 200; 404 for calls that are not the caller's."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    if not await house.switchboard.hang_up(call_id_of(request), caller.user_id):
        raise Refusal(404, "call_not_found", "There is no such call.")
    return Response(status_code=200)


async def _read_offer(request: Request) -> tuple[str, dict[str, object]]:
    """The offer and the session it is for. Raises `Refusal` or `BadOffer`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/sdp", "multipart/form-data"}:
        raise Refusal(415, "unsupported_media_type", "Send application/sdp or a form with sdp.")
    body = await read_body(request, BODY_BYTES_MAX)
    if kind == "application/sdp":
        return _decoded(body), {}
    fields = await _fields(request, body)
    if "sdp" not in fields:
        raise Refusal(400, "missing_sdp", "The form has no field named sdp.")
    return _decoded(fields["sdp"]), _session(fields.get("session", b"{}"))


async def _fields(request: Request, body: bytes) -> dict[str, bytes]:
    """A form's fields, whether they came as values or as files."""
    try:
        parser = MultiPartParser(
            request.headers, _whole(body), max_files=4, max_fields=16,
            max_part_size=BODY_BYTES_MAX,
        )  # fmt: skip
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(400, "bad_form", "The form cannot be read.") from error
    fields = {}
    for name, value in form.items():
        fields[name] = await value.read() if isinstance(value, UploadFile) else value.encode()
    await form.close()
    return fields


async def _whole(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
    yield b""


def _session(text: bytes) -> dict[str, object]:
    try:
        session = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal(400, "bad_session", "The session is not JSON.") from None
    if not isinstance(session, dict):
        raise Refusal(400, "bad_session", "The session must be a JSON object.")
    return session


def _as_wished(
    house: House, model: str, session: dict[str, object]
) -> tuple[EngineSettings, Rules]:
    """What the session asks for, tried on a dialect that nobody uses. Raises `Refusal`."""
    trial = _dialect(house, "", model, house.settings_for(model), house.rules, rtc=True)
    for event in trial.preset(session).events:
        error = event["error"]
        assert isinstance(error, dict)
        raise Refusal(400, str(error.get("code", "bad_session")), str(error["message"]))
    return trial.settings, trial.rules


def _dialect(
    house: House, call_id: str, model: str, settings: EngineSettings, rules: Rules, *,
    rtc: bool = False, only_transcribes: bool = False,
) -> Dialect:
    return Dialect(
        call_id=call_id, model=model or MODEL_DEFAULT, settings=settings, rules=rules,
        new_id=new_id, webrtc=rtc, transcription_only=only_transcribes, describe=house.describe,
    )  # fmt: skip


def _model(name: str) -> str:
    if len(name) > MODEL_CHARS_MAX:
        raise Refusal(400, "bad_model", "This is no model's name.")
    return name


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "bad_sdp", "The offer is not text.") from None
