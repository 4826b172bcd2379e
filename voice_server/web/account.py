"""The caller's money, and the relays the caller may use."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .house import House
from .ice import ice_entries


async def wallet(request: Request) -> Response:
    """`GET /v1/wallet`: granted minutes, money in minor units, and what open calls hold."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    found = await house.customers.wallet(caller.user_id)
    price = {"price_per_minute": house.config.price_per_minute}
    return JSONResponse(found.as_json(house.config.currency) | price)


async def ice(request: Request) -> Response:
    """`GET /v1/ice`: the servers for the browser's `RTCConfiguration`."""
    house: House = request.app.state.house
    caller = house.gate.admit(request)
    entries = ice_entries(house.config, user_id=caller.user_id, now_s=int(time.time()))
    return JSONResponse({"ice_servers": [entry.as_json() for entry in entries]})
