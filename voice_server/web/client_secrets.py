"""`POST /v1/realtime/client_secrets`: a key for a browser, and the session it opens."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from voice_server.calls.realtime import checks
from voice_server.calls.realtime.checks import Fields

from .beginnings import beginning
from .bodies import read_body
from .errors import Refusal
from .house import House
from .vault import SECONDS_MAX, SECONDS_MIN

SECONDS_DEFAULT = 600
BODY_BYTES_MAX = checks.EVENT_BYTES_MAX


async def create(request: Request) -> Response:
    """200 with the secret, when it expires, and the session in full; 400 for a session that no
    call could begin with, 429 when the caller has too many secrets."""
    house: House = request.app.state.house
    owner = house.gate.admit(request)
    session, seconds = _asked(await read_body(request, BODY_BYTES_MAX))
    told = beginning(house, house.rules, {}, None, session, webrtc=False).dialect().session
    value, expires_s = await house.vault.keep(owner, orjson.dumps(session), seconds)
    return JSONResponse({"value": value, "expires_at": expires_s, "session": told})


def _asked(body: bytes) -> tuple[object, int]:
    """The session, and for how many seconds the secret is good. Raises `Refusal`."""
    try:
        asked = checks.parse(body or b"{}", bytes_max=BODY_BYTES_MAX)
        checks.check_small(asked, len(body))
        life = asked.child("expires_after") or Fields({})
        life.choice("anchor", "created_at", ("created_at",))
        seconds = life.integer("seconds", SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX)
    except checks.Refusal as refusal:
        raise Refusal(400, refusal.code, refusal.message, param=refusal.param or None) from refusal
    session = asked.values.get("session")
    return ({} if session is None else session), seconds
