"""The doors through which calls come in: a WebSocket, and WebRTC by offer and answer."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from voice_server.calls.realtime.dialect import Dialect
from voice_server.calls.rules import Interruption
from voice_server.calls.session import Link
from voice_server.calls.switchboard import LiveCall
from voice_server.calls.websocket import WebSocketLink

from .auth import Admitted, offered_subprotocol
from .beginnings import beginning
from .bodies import read_body
from .calls import call_id_of
from .errors import REFUSALS, Refusal, refusal_of, response_of
from .house import House
from .ice import ice_entries

CALLS_PATH = "/v1/realtime/calls"
# An offer, a session, and what multipart puts around them.
BODY_BYTES_MAX = 256 * 1024


async def websocket(socket: WebSocket) -> None:
    """`GET /v1/realtime`: refused before the upgrade, or served until the call is over."""
    house: House = socket.app.state.house
    links: list[WebSocketLink] = []

    def connect(call: LiveCall) -> Link:
        links.append(WebSocketLink(socket, begins.dialect(call.id), house.wheel))
        return links[0]

    try:
        admitted = await house.gate.admit_to_calls(socket)
        # A client that plays from its own buffer cannot be paused; one that takes binary
        # frames can say so.
        rules = replace(house.rules, interruption=Interruption.CANCELS)
        begins = beginning(house, rules, socket.query_params, admitted.secret, {}, webrtc=False)
        call = await _place(house, admitted, begins.dialect(), connect, media_flows=True)
    except REFUSALS as refused:
        response = response_of(refusal_of(refused), socket.url.path)
        await socket.send_denial_response(response)
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
    admitted = await house.gate.admit_to_calls(request)
    if house.switchboard.draining:
        raise Refusal(503, "draining", "The server is shutting down.", retry_after_s=10)
    sdp, session = await _read_offer(request)
    begins = beginning(
        house, house.rules, request.query_params, admitted.secret, session, webrtc=True
    )
    first = begins.dialect()  # What cannot be is refused before anything is negotiated.

    def connect(call: LiveCall) -> Link:
        return WebRtcLink(peer, begins.dialect(call.id), house.wheel)

    user_id = admitted.caller.user_id
    entries = ice_entries(house.config, user_id=user_id, now_s=int(time.time()))
    peer, call = Peer((e.urls, e.username, e.credential) for e in entries), None
    try:
        answer = await peer.negotiate(sdp)
        call = await _place(house, admitted, first, connect)
    finally:
        if call is None:
            await peer.close()
    return Response(
        answer, 201, media_type="application/sdp", headers={"Location": f"{CALLS_PATH}/{call.id}"}
    )


async def hang_up(request: Request) -> Response:
    """`POST /v1/realtime/calls/{id}/hangup`: 200; 404 for calls that are not the caller's, and
    for those that were not placed with the client secret that is shown."""
    house: House = request.app.state.house
    admitted = await house.gate.admit_to_calls(request)
    call_id, secret = call_id_of(request), admitted.secret
    is_theirs = secret is None or await house.vault.placed(secret, call_id)
    if not (is_theirs and await house.switchboard.hang_up(call_id, admitted.caller.user_id)):
        raise Refusal(404, "call_not_found", "There is no such call.")
    return Response(status_code=200)


async def _place(
    house: House, admitted: Admitted, first: Dialect, connect: Callable[[LiveCall], Link], *,
    media_flows: bool = False,
) -> LiveCall:  # fmt: skip
    """Let a call begin with the settings and rules of `first`. Raises what `REFUSALS` names."""
    call = await house.switchboard.place(
        admitted.caller, connect, settings=first.settings, rules=first.rules,
        media_flows=media_flows,
    )  # fmt: skip
    if admitted.secret:
        await house.vault.note_call(admitted.secret, call.id)
    return call


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


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "bad_sdp", "The offer is not text.") from None
