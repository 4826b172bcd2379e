"""A server that speaks OpenAI's Chat Completions on loopback, and misbehaves when told to.

It is plain asyncio and writes its own HTTP, because most of what it is told to do wrong is what
a well-made server cannot do: stop in the middle, close the socket, send half a chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import (
    Choice,
    ChoiceDelta,
    ChoiceDeltaToolCall,
    ChoiceDeltaToolCallFunction,
)

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"


class Break:
    """Close the connection here."""


class Stall:
    """Say nothing more until the client has left."""


@dataclass(slots=True)
class Answer:
    """One answer to one request: a body, or events of a stream."""

    events: Sequence[bytes | Break | Stall] = ()
    status: int = 200
    body: bytes = b""
    content_type: str = "text/event-stream"
    wait: asyncio.Event | None = None


@dataclass(slots=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: Json


@dataclass(slots=True)
class ChatServer:
    """`answers` are given in order; the last is given again. `asked` is every request."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answers_with(self, *answers: Answer) -> None:
        self.answers[:] = answers
        self.asked.clear()
        self.left.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (asked := await _request(reader)) is not None:
                self.asked.append(asked)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                await self._answer(answer, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.left.set()
            writer.close()

    async def _answer(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if answer.wait:
            await answer.wait.wait()
        head = f"HTTP/1.1 {answer.status} Said\r\nContent-Type: {answer.content_type}\r\n"
        if answer.body or not answer.events:
            head += f"Content-Length: {len(answer.body)}\r\n\r\n"
            writer.write(head.encode() + answer.body)
            await writer.drain()
            return
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for event in answer.events:
            if isinstance(event, Break):
                writer.transport.abort()
                raise ConnectionResetError
            if isinstance(event, Stall):
                await writer.drain()
                await reader.read()
                raise ConnectionResetError
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(first.split()[1], headers, json.loads(body) if body else {})


@contextlib.asynccontextmanager
async def serving_chat(*answers: Answer) -> AsyncIterator[ChatServer]:
    chat = ChatServer(answers=list(answers))
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        task.add_done_callback(served.discard)
        await chat.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    chat.port = server.sockets[0].getsockname()[1]
    try:
        yield chat
    finally:
        server.close()
        for task in list(served):
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        await server.wait_closed()


# What is said, in the vendor's own types.


def chunk(delta: ChoiceDelta | None = None, finish: Any = None) -> ChatCompletionChunk:
    choices = [Choice(index=0, delta=delta, finish_reason=finish)] if delta else []
    return ChatCompletionChunk(
        id="chatcmpl-1", created=1, model="m", object="chat.completion.chunk", choices=choices
    )


def event(told: ChatCompletionChunk | Json) -> bytes:
    text = json.dumps(told) if isinstance(told, dict) else told.model_dump_json(exclude_unset=True)
    return f"data: {text}\n\n".encode()


def words(*pieces: str) -> list[bytes]:
    return [event(chunk(ChoiceDelta(content=piece))) for piece in pieces]


def call(
    index: int, name: str | None = None, arguments: str | None = None, id: str | None = None
) -> bytes:
    function = ChoiceDeltaToolCallFunction(name=name, arguments=arguments)
    told = ChoiceDeltaToolCall(index=index, id=id, function=function, type="function")
    return event(chunk(ChoiceDelta(tool_calls=[told])))


def finish(reason: str = "stop") -> list[bytes]:
    """The last chunk, the usage, which has no choices, and the end."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    last = {**chunk().model_dump(), "usage": usage}
    return [event(chunk(ChoiceDelta(), reason)), event(last), DONE]


def says(*pieces: str) -> Answer:
    return Answer([*words(*pieces), *finish()])


def refuses(
    status: int, message: str = "no", *, code: str | None = None, param: str | None = None
) -> Answer:
    error = {"message": message, "type": "error", "code": code, "param": param}
    body = json.dumps({"error": error}).encode()
    return Answer(status=status, body=body, content_type="application/json")
