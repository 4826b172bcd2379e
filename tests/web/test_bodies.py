"""A body that is too large, too slow or broken off is refused, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from voice_server.web import bodies
from voice_server.web.bodies import read_body
from voice_server.web.errors import Refusal


def request(receive: Callable[[], Awaitable[Message]], length: str | None = None) -> Request:
    headers = [] if length is None else [(b"content-length", length.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def coming(*chunks: bytes) -> Callable[[], Awaitable[Message]]:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def refused(asking: Request, bytes_max: int = 10) -> int:
    with pytest.raises(Refusal) as refusal:
        await read_body(asking, bytes_max)
    return refusal.value.status


async def test_a_body_is_read_whole() -> None:
    assert await read_body(request(coming(b"12345", b"67890")), 10) == b"1234567890"


async def test_too_much_is_413_whatever_its_header_says() -> None:
    for length in (None, "1", "-5", "x"):
        assert await refused(request(coming(b"123456", b"78901"), length)) == 413


async def test_a_large_promise_is_refused_before_it_is_kept() -> None:
    async def never() -> Message:
        raise AssertionError("nothing should have been read")

    assert await refused(request(never, "11")) == 413


async def test_too_slow_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bodies, "BODY_SECONDS_MAX", 0.01)
    assert await refused(request(never)) == 408


async def test_broken_off_is_400() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    assert await refused(request(gone)) == 400
