"""One table from what went wrong to what is answered."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from billing.database import DatabaseAway
from billing.pricing import InsufficientFunds
from engines.speech import EngineError
from voice_server.calls.offers import BadOffer
from voice_server.calls.switchboard import Busy, Draining, TooManyCalls
from voice_server.web.errors import Refusal, refusal_of, response_of

TABLE = [
    (Refusal(415, "odd", "Odd."), 415, "odd", None),
    (Busy("busy"), 503, "busy", "5"),
    (Draining("draining"), 503, "draining", "10"),
    (TooManyCalls("too many"), 429, "too_many_calls", "5"),
    (InsufficientFunds("none"), 402, "insufficient_funds", None),
    (DatabaseAway("gone"), 503, "database_away", "5"),
    (BadOffer(422, "no_opus", "No Opus."), 422, "no_opus", None),
    (EngineError("no such engine"), 422, "engine_unavailable", None),
    (HTTPException(404), 404, "not_found", None),
    (HTTPException(405), 405, "method_not_allowed", None),
    (ValueError("password=hunter2"), 500, "internal_error", None),
]


@pytest.mark.parametrize(("error", "status", "code", "retry"), TABLE)
def test_each_error_has_its_answer(
    error: Exception, status: int, code: str, retry: str | None
) -> None:
    response = response_of(refusal_of(error))
    body = json.loads(bytes(response.body))
    assert (response.status_code, body["code"]) == (status, code)
    assert set(body) == {"error", "code"}
    assert body["error"] and "hunter2" not in body["error"]
    assert response.headers.get("retry-after") == retry


def test_401_says_how_to_ask() -> None:
    response = response_of(Refusal(401, "missing_key", "No key."))
    assert response.headers["www-authenticate"] == "Bearer"
