"""Every refusal in one table: which error becomes which status and which code.

The body is always `{"error": "...", "code": "..."}`: `error` is for people, `code` for
programs. Where OpenAI's own clients ask, `error` is the object that they expect, with the
words in its `message`. A refusal that time may cure carries `Retry-After`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from billing.database import DatabaseAway
from billing.pricing import InsufficientFunds
from engines.opus import BadAudio
from engines.order import NoSuchModel
from engines.speech import EngineError
from voice_server.calls.directory import DirectoryAway
from voice_server.calls.offers import BadOffer
from voice_server.calls.switchboard import CallRefused, TooManyCalls

logger = logging.getLogger(__name__)

# The doors whose clients are OpenAI's.
OPENAI_PATHS = ("/v1/audio/", "/v1/models", "/v1/realtime")


class Refusal(Exception):
    """A request that is not granted. `retry_after_s` when trying again may help; `param`: what
    in the request is wrong."""

    def __init__(
        self, status: int, code: str, error: str, *, retry_after_s: int | None = None,
        param: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(error)
        self.status, self.code, self.error = status, code, error
        self.retry_after_s, self.param = retry_after_s, param


def refusal_of(error: Exception) -> Refusal:
    """The one table. What is not in it is our own fault: 500."""
    match error:
        case Refusal():
            return error
        case CallRefused():
            status = 429 if isinstance(error, TooManyCalls) else 503
            return Refusal(status, error.code, str(error), retry_after_s=error.retry_after_s)
        case InsufficientFunds():
            return Refusal(402, "insufficient_funds", "There is not enough money for one minute.")
        case DatabaseAway():
            return Refusal(503, "database_away", "The books are out of reach.", retry_after_s=5)
        case DirectoryAway():
            return Refusal(
                503, "directory_away", "The other servers are out of reach.", retry_after_s=5
            )
        case BadOffer():
            return Refusal(error.status, error.code, str(error))
        case BadAudio():
            return Refusal(400, "invalid_audio", _sentence(error), param="file")
        case NoSuchModel():
            return Refusal(404, "model_not_found", _sentence(error), param="model")
        case EngineError():
            return Refusal(422, "engine_unavailable", str(error))
        case HTTPException(status_code=status, detail=detail):
            return Refusal(status, _code_of(status), detail)
        case _:
            return Refusal(500, "internal_error", "Something went wrong on our side.")


def openai_error(refusal: Refusal) -> dict[str, object]:
    """The refusal as OpenAI's clients read it."""
    kind = "invalid_request_error"
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    elif refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "server_error"
    return {
        "message": refusal.error, "type": kind, "param": refusal.param, "code": refusal.code,
    }  # fmt: skip


def response_of(refusal: Refusal, path: str = "") -> Response:
    """The answer, in the form of the door at `path`."""
    headers = {}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, refusal.retry_after_s))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    of_openai = path.startswith(OPENAI_PATHS)
    error = openai_error(refusal) if of_openai else refusal.error
    return JSONResponse({"error": error, "code": refusal.code}, refusal.status, headers=headers)


async def answer(request: Request, error: Exception) -> Response:
    """For the application: any error, answered."""
    refusal = refusal_of(error)
    response = response_of(refusal, request.url.path)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # Such as Allow, for 405.
    return response


# What a call may be refused with, by whichever door it comes.
REFUSALS = (
    Refusal, CallRefused, InsufficientFunds, DatabaseAway, DirectoryAway, BadOffer, EngineError,
)  # fmt: skip
EXCEPTION_HANDLERS: dict[type[Exception] | int, ExceptionHandler] = dict.fromkeys(
    (*REFUSALS, HTTPException, Exception), answer
)


def _sentence(error: Exception) -> str:
    """What an engine says in small letters, as a sentence."""
    words = str(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _code_of(status: int) -> str:
    """404 → not_found."""
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        return "refused"
