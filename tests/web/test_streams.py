"""Work ends with its client, and with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message, Scope

from engines.speech import EngineError
from tests.calls.exchange import nothing_left
from voice_server.web.errors import Refusal
from voice_server.web.streams import Streamed, while_connected

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}


class Client:
    """The other end: takes what is sent, until it leaves."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self.took = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)
        self.took.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def ended(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


class Making:
    """A generator that can be watched. `pieces` many pieces, then it fails or goes on for ever."""

    def __init__(self, pieces: int, then: str = "ends") -> None:
        self.pieces, self.then, self.closed = pieces, then, False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for _ in range(self.pieces):
                yield b"x"
            if self.then == "waits":
                await asyncio.Event().wait()
            if self.then == "fails":
                raise EngineError("broken")
        finally:
            self.closed = True


async def test_work_that_ends_first_counts() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    async with nothing_left():
        assert await while_connected(Client().receive, asyncio.Event(), work()) == 7


async def test_work_that_fails_fails() -> None:
    async def work() -> int:
        raise EngineError("broken")

    async with nothing_left():
        with pytest.raises(EngineError, match="broken"):
            await while_connected(Client().receive, asyncio.Event(), work())


@pytest.mark.parametrize(("reason", "status"), [("left", 400), ("ending", 503)])
async def test_work_is_cancelled_and_has_ended_when_nobody_waits(reason: str, status: int) -> None:
    client, ending, begun, ended = Client(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # What it holds takes a moment to let go of.
            ended.set()

    async with nothing_left():
        waiting = asyncio.create_task(while_connected(client.receive, ending, work()))
        await begun.wait()
        (client.left if reason == "left" else ending).set()
        with pytest.raises(Refusal) as refused:
            await waiting
        assert refused.value.status == status
        assert ended.is_set()


async def test_a_stream_is_sent_whole() -> None:
    client, making = Client(), Making(3)
    response = Streamed(b"first ", making(), media_type="audio/mpeg", ending=asyncio.Event())
    async with nothing_left():
        await response(SCOPE, client.receive, client.send)
    assert client.body == b"first xxx"
    assert client.ended and making.closed
    assert dict(client.sent[0]["headers"])[b"content-type"] == b"audio/mpeg"


@pytest.mark.parametrize("reason", ["left", "ending"])
async def test_a_stream_that_nobody_takes_is_closed(reason: str) -> None:
    client, ending, making = Client(), asyncio.Event(), Making(2, "waits")
    stream = making()
    first = await anext(stream)
    response = Streamed(first, stream, media_type="audio/mpeg", ending=ending)
    async with nothing_left():
        sending = asyncio.create_task(response(SCOPE, client.receive, client.send))
        await client.took.wait()
        (client.left if reason == "left" else ending).set()
        await sending
    assert making.closed and not client.ended


async def test_a_stream_that_fails_ends_without_its_end() -> None:
    client, making = Client(), Making(2, "fails")
    response = Streamed(b"first ", making(), media_type="audio/mpeg", ending=asyncio.Event())
    await response(SCOPE, client.receive, client.send)
    assert client.body == b"first xx"
    assert making.closed and not client.ended
