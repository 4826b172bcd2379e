"""What became of calls, for the one who made them.

Nobody else can tell that there was such a call. What the engines of a call cost is the business
of whoever runs the server, and only told to them: see `Gate.runs_the_server`.
"""

from __future__ import annotations

import re
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from voice_server.calls.switchboard import Caller

from .errors import Refusal
from .house import House

_CALL_ID = re.compile(r"call_[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
NUMBER_MAX, TURN_MAX = 10**18 - 1, 2**31 - 1
PAGE_DEFAULT, PAGE_MAX = 50, 200

Default = TypeVar("Default", int, None)


async def show(request: Request) -> Response:
    """`GET /v1/calls/{id}`: live, or closed with its bill. Nobody else can tell that it is."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    call_id = call_id_of(request)
    if _is_live_here(house, call_id, caller):
        return JSONResponse({"id": call_id, "state": "live"})
    bill = await house.usage.bill(call_id, caller.user_id)
    if bill is not None:
        return JSONResponse(
            {"id": call_id, "state": "closed", "reason": bill.reason, "bill": bill.as_json()}
        )
    if await house.usage.owner(call_id) == caller.user_id:  # It lives on another server.
        return JSONResponse({"id": call_id, "state": "live"})
    raise no_such_call()


async def listed(request: Request) -> Response:
    """`GET /v1/calls?cursor=&limit=`: the caller's calls that are over, the newest first."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    limit = _number(request, "limit", PAGE_DEFAULT, lowest=1, highest=PAGE_MAX)
    cursor = _number(request, "cursor", None, lowest=1, highest=NUMBER_MAX)
    found = await house.usage.bills(caller.user_id, kind="call", cursor=cursor, limit=limit)
    calls: list[dict[str, object]] = [
        {
            "id": past.bill.usage_id,
            "state": "closed",
            "reason": past.bill.reason,
            "began_at": past.opened_at.isoformat(),
            "bill": past.bill.as_json(),
        }
        for past in found
    ]
    return _page(calls, found[-1].cursor if len(found) == limit else None)


async def turns(request: Request) -> Response:
    """`GET /v1/calls/{id}/turns?cursor=&limit=`: the turns of a call in their order, of a live
    one those that are over: where the latency went, who answered, who failed and why."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    call_id = call_id_of(request)
    limit = _number(request, "limit", PAGE_DEFAULT, lowest=1, highest=PAGE_MAX)
    after = _number(request, "cursor", -1, lowest=0, highest=TURN_MAX)
    if not await _made_by(house, call_id, caller):
        raise no_such_call()
    found = await house.turns.of(call_id, after=after, limit=limit)
    costs = house.gate.runs_the_server(caller)
    return _page(
        [turn.as_json(costs=costs) for turn in found],
        found[-1].turn if len(found) == limit else None,
    )


def call_id_of(request: Request) -> str:
    """The id in the path. Raises `Refusal` for what cannot be one."""
    call_id = str(request.path_params["call_id"])
    if not _CALL_ID.fullmatch(call_id):
        raise no_such_call()
    return call_id


def no_such_call() -> Refusal:
    return Refusal(404, "call_not_found", "There is no such call.")


async def _made_by(house: House, call_id: str, caller: Caller) -> bool:
    """Whether this is a call of theirs, live here or elsewhere, or closed with a bill."""
    return (
        _is_live_here(house, call_id, caller)
        or await house.usage.bill(call_id, caller.user_id) is not None
        or await house.usage.owner(call_id) == caller.user_id
    )


def _is_live_here(house: House, call_id: str, caller: Caller) -> bool:
    call = house.switchboard.calls.get(call_id)
    return call is not None and call.caller.user_id == caller.user_id


def _page(found: list[dict[str, object]], cursor: int | None) -> Response:
    """`next_cursor` asks for the next page; null: this was the last."""
    told = None if cursor is None else str(cursor)
    return JSONResponse({"object": "list", "data": found, "next_cursor": told})


def _number(
    request: Request, name: str, default: Default, *, lowest: int, highest: int
) -> int | Default:
    """A number in the query. Raises `Refusal`, 400 for what is none or is out of bounds."""
    asked = request.query_params.get(name)
    if asked is None:
        return default
    if not _NUMBER.fullmatch(asked) or not lowest <= int(asked) <= highest:
        raise Refusal(
            400, "invalid_value", f"{name} is a whole number from {lowest} to {highest}.",
            param=name,
        )  # fmt: skip
    return int(asked)
