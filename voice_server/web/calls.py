"""What became of a call, for the one who made it."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import Refusal
from .house import House

_CALL_ID = re.compile(r"call_[0-9a-f]{32}")


async def show(request: Request) -> Response:
    """`GET /v1/calls/{id}`: live, or closed with its bill. Nobody else can tell that it is."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    call_id = call_id_of(request)
    call = house.switchboard.calls.get(call_id)
    if call is not None and call.caller.user_id == caller.user_id:
        return JSONResponse({"id": call_id, "state": "live"})
    bill = await house.usage.bill(call_id, caller.user_id)
    if bill is not None:
        return JSONResponse(
            {"id": call_id, "state": "closed", "reason": bill.reason, "bill": bill.as_json()}
        )
    if await house.usage.owner(call_id) == caller.user_id:  # It lives on another server.
        return JSONResponse({"id": call_id, "state": "live"})
    raise Refusal(404, "call_not_found", "There is no such call.")


def call_id_of(request: Request) -> str:
    """The id in the path. Raises `Refusal` for what cannot be one."""
    call_id = str(request.path_params["call_id"])
    if not _CALL_ID.fullmatch(call_id):
        raise Refusal(404, "call_not_found", "There is no such call.")
    return call_id
