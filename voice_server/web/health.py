"""Is the server alive, and does it take calls? For whoever balances load or restarts it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .house import House


async def alive(request: Request) -> Response:
    """`GET /health`: answered as long as the loop turns."""
    house: House = request.app.state.house
    return JSONResponse({"status": "ok", "calls": len(house.switchboard.calls)})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: 200 when calls are taken; 503 says what is missing."""
    house: House = request.app.state.house
    missing = await house.why_not_ready()
    if missing:
        body = {"status": "not ready", "error": missing, "code": "not_ready"}
        return JSONResponse(body, 503, headers={"Retry-After": "2"})
    return JSONResponse({"status": "ready", "calls": len(house.switchboard.calls)})
