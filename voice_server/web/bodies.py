"""Reading a request's body, bounded in size and in time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .errors import Refusal

BODY_SECONDS_MAX = 10.0


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body. Raises `Refusal`: 413 too large, 408 too slow, 400 broken off."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError:
        raise Refusal(408, "request_timeout", "The request took too long to arrive.") from None
    except ClientDisconnect:
        raise Refusal(400, "broken_off", "The request broke off.") from None
    return bytes(body)


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(413, "too_large", f"The request is larger than {bytes_max} bytes.")
