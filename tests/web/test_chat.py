"""Whole calls whose dialogue is a chat model's, and calls that use tools without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.calls.exchange import eventually, nothing_left
from tests.engines.chat_server import (
    Answer,
    ChatServer,
    Stall,
    call,
    finish,
    refuses,
    says,
    serving_chat,
    words,
)

from .served import Served, scripted, served

Event = dict[str, Any]
PATIENCE_S = 60.0
WEATHER = {
    "type": "function", "name": "get_weather", "description": "Get the weather in a city.",
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    },
}  # fmt: skip


class Caller:
    """A client of the Realtime protocol that reads and writes."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.said: list[Event] = []

    async def send(self, kind: str, **fields: object) -> None:
        await self._socket.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str) -> Event:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event: Event = json.loads(await self._socket.recv())
                assert event["type"] != "error", event
                self.said.append(event)
                if event["type"] == kind:
                    return event

    async def begin(self, *tools: Event, **fields: object) -> None:
        await self.until("session.created")
        session = {"type": "realtime", "output_modalities": ["text"], "tools": tools, **fields}
        await self.send("session.update", session=session)
        await self.until("session.updated")

    async def asks(self, text: str) -> Event:
        content = [{"type": "input_text", "text": text}]
        await self.adds(type="message", role="user", content=content)
        return await self.response()

    async def adds(self, **item: object) -> None:
        await self.send("conversation.item.create", item=item)

    async def response(self) -> Event:
        await self.send("response.create")
        done: Event = (await self.until("response.done"))["response"]
        return done

    def arguments(self) -> str:
        """What came in pieces since the last look."""
        deltas = [e["delta"] for e in self.said if e["type"].endswith("call_arguments.delta")]
        self.said.clear()
        return "".join(deltas)


def text_of(response: Event) -> str:
    assert response["status"] == "completed", response
    return "".join(part["text"] for item in response["output"] for part in item["content"]).strip()


def calls_of(response: Event) -> list[tuple[str, str]]:
    assert response["status"] == "completed", response
    assert [item["type"] for item in response["output"]] == ["function_call"]
    return [(item["name"], item["arguments"]) for item in response["output"]]


@contextlib.asynccontextmanager
async def called(server: Served, model: str = "gpt-realtime") -> AsyncIterator[Caller]:
    async with connect(f"{server.websocket_url}?model={model}") as socket:
        yield Caller(socket)


@contextlib.asynccontextmanager
async def talking(
    folder: Path, *answers: Answer, model: str = "gpt-realtime"
) -> AsyncIterator[tuple[Caller, ChatServer]]:
    """A call with a chat model that answers so; it leaves nothing behind."""
    async with serving_chat(*answers) as chat, nothing_left():
        config = scripted(
            folder, dialogue="openai", chat_base_url=chat.base_url, chat_model="small",
            chat_models={"gpt-realtime-mini": "tiny"},
        )  # fmt: skip
        async with served(config) as server, called(server, model) as caller:
            yield caller, chat


async def test_a_chat_model_answers(tmp_path: Path) -> None:
    answer = says("A verb is ", "a doing word.")
    async with talking(tmp_path, answer) as (caller, chat):
        await caller.begin(instructions="Be brief.")
        assert text_of(await caller.asks("What is a verb?")) == "A verb is a doing word."
        assert text_of(await caller.asks("And now?")) == "A verb is a doing word."
    first, second = (asked.body for asked in chat.asked)
    assert first["model"] == "small"
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a verb?"},
    ]  # fmt: skip
    assert second["messages"][2:] == [
        {"role": "assistant", "content": "A verb is a doing word."},
        {"role": "user", "content": "And now?"},
    ]
    assert chat.connections == 1


async def test_a_name_of_the_clients_means_a_model_of_the_servers(tmp_path: Path) -> None:
    async with talking(tmp_path, says("Hi."), model="gpt-realtime-mini") as (caller, chat):
        await caller.begin()
        await caller.asks("Hello.")
    assert chat.asked[0].body["model"] == "tiny"


async def test_a_tool_is_called_and_its_answer_goes_back(tmp_path: Path) -> None:
    pieces = [call(0, arguments='{"city": "Pa'), call(0, arguments='ris"}')]
    begun = call(0, "get_weather", "", id="call_1")
    answer = Answer([begun, *pieces, *finish("tool_calls")])
    async with talking(tmp_path, answer, says("It is sunny.")) as (caller, chat):
        await caller.begin(WEATHER)
        wanted = [("get_weather", '{"city": "Paris"}')]
        response = await caller.asks("How is Paris?")
        assert calls_of(response) == wanted
        assert caller.arguments() == wanted[0][1]
        call_id = response["output"][0]["call_id"]
        await caller.adds(type="function_call_output", call_id=call_id, output="sunny")
        assert text_of(await caller.response()) == "It is sunny."
    told = chat.asked[1].body["messages"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "tool"]
    assert told[-1]["content"] == "sunny"
    assert chat.asked[0].body["tools"][0]["function"]["name"] == "get_weather"


async def test_a_fault_of_the_chat_server_is_apologised_for_once(tmp_path: Path) -> None:
    async with talking(tmp_path, refuses(429), says("Better.")) as (caller, _):
        await caller.begin()
        failed = await caller.asks("Hello?")
        assert failed["status"] == "failed"
        assert "127.0.0.1" not in json.dumps(failed)
        apology = (await caller.until("response.done"))["response"]
        assert text_of(apology).startswith("Sorry")
        assert text_of(await caller.asks("Hello?")) == "Better."


async def test_a_cancelled_response_leaves_the_chat_server(tmp_path: Path) -> None:
    endless = Answer([*words("Once upon a time. "), Stall()])
    async with talking(tmp_path, endless) as (caller, chat):
        await caller.begin()
        await caller.send("response.create")
        await caller.until("response.output_text.delta")
        await caller.send("response.cancel")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        await eventually(chat.left.is_set, PATIENCE_S)


@pytest.mark.parametrize("dialogue", ["tutor", "scripted"])
@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_tools_need_no_model(tmp_path: Path, dialogue: str, choice: str) -> None:
    config = scripted(tmp_path, dialogue=dialogue)
    async with nothing_left(), served(config) as server, called(server) as caller:
        await caller.begin(WEATHER, tool_choice=choice)
        for _ in range(2):
            response = await caller.asks("What is the weather in Paris?")
            assert calls_of(response) == [("get_weather", '{"city": "Paris"}')]
            assert json.loads(caller.arguments()) == {"city": "Paris"}
            call_id = response["output"][0]["call_id"]
            answer = '{"temperature": 21, "unit": "C"}'
            await caller.adds(type="function_call_output", call_id=call_id, output=answer)
            assert text_of(await caller.response()) == "Temperature: 21, unit: C."
