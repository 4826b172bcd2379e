"""The dialogue over the vendor's wire protocol, against a server that does it every wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from engines.cascade import Cascade
from engines.openai.chat import ChatDialogue, ChatOptions
from engines.registry import Registry
from engines.roster import EngineOptions
from engines.speech import (
    CallPiece,
    Cancel,
    Command,
    DialogueOutput,
    EngineError,
    EngineFailed,
    EngineSettings,
    Event,
    FunctionCall,
    FunctionResult,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Spent,
    Tool,
    Turn,
)

from .. import contract
from ..chat_server import (
    DONE,
    Answer,
    Break,
    ChatServer,
    Stall,
    call,
    event,
    finish,
    refuses,
    says,
    serving_chat,
    words,
)

KEY = "sk-very-secret-key"
ASKED = (Turn("What is a verb?", ""),)
SCHEMA = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}})
TOOLS = EngineSettings(tools=(Tool("get_weather", "The weather.", SCHEMA),))
PATIENCE_S = 30.0


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with serving_chat(says("A verb ", "is a doing word.")) as chat:
        yield chat


@pytest.fixture
def options(server: ChatServer) -> ChatOptions:
    return ChatOptions(server.base_url, KEY, "small", {"gpt-realtime": "large"})


@pytest.fixture
async def chat(options: ChatOptions) -> AsyncIterator[ChatDialogue]:
    async with opened(options) as dialogue:
        yield dialogue


@contextlib.asynccontextmanager
async def opened(options: ChatOptions) -> AsyncIterator[ChatDialogue]:
    dialogue = ChatDialogue(options)
    await dialogue.start()
    yield dialogue
    await dialogue.close()


async def reply_of(
    dialogue: ChatDialogue, settings: EngineSettings | None = None
) -> list[DialogueOutput]:
    async with asyncio.timeout(PATIENCE_S):
        made = [x async for x in dialogue.respond(ASKED, settings or EngineSettings())]
    return [x for x in made if not isinstance(x, Spent)]


async def failure_of(dialogue: ChatDialogue) -> str:
    with pytest.raises(EngineError) as failed:
        await reply_of(dialogue)
    told = str(failed.value)
    assert "127.0.0.1" not in told and KEY not in told and "http" not in told
    assert failed.value.__cause__ is None
    return told


# What is asked, and what comes.


@pytest.mark.parametrize("check", contract.DIALOGUE_CHECKS, ids=lambda check: check.__name__)
async def test_the_contract(check: contract.Check, chat: ChatDialogue) -> None:
    await check(chat)


async def test_words_are_streamed_over_one_connection(
    chat: ChatDialogue, server: ChatServer
) -> None:
    for _ in range(3):
        assert await reply_of(chat) == ["A verb ", "is a doing word."]
    assert server.connections == 1
    asked = server.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body.keys() == {"model", "messages", "stream", "stream_options"}
    assert asked.body["stream_options"] == {"include_usage": True}
    assert (asked.body["model"], asked.body["stream"]) == ("small", True)
    assert asked.body["messages"][-1] == {"role": "user", "content": "What is a verb?"}


async def test_a_word_is_given_before_the_next_is_made(
    chat: ChatDialogue, server: ChatServer
) -> None:
    server.answers_with(Answer([*words("A verb"), Stall()]))
    async with asyncio.timeout(PATIENCE_S):
        async with contextlib.aclosing(chat.respond(ASKED, EngineSettings())) as reply:
            assert await anext(reply) == "A verb"
        await server.left.wait()


async def test_closing_ends_the_request_while_the_model_still_thinks(
    chat: ChatDialogue, server: ChatServer
) -> None:
    server.answers_with(Answer([event({"choices": []}), Stall()]))
    reply = chat.respond(ASKED, EngineSettings())
    waiting = asyncio.ensure_future(anext(reply))
    async with asyncio.timeout(PATIENCE_S):
        while not server.asked:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.left.wait()


async def test_names_that_clients_use_mean_models_of_the_server(
    chat: ChatDialogue, server: ChatServer
) -> None:
    await reply_of(chat, EngineSettings(dialogue="gpt-realtime"))
    await reply_of(chat, EngineSettings(dialogue="gpt-unheard-of"))
    assert [asked.body["model"] for asked in server.asked] == ["large", "small"]


async def test_a_tool_is_called(chat: ChatDialogue, server: ChatServer) -> None:
    pieces = [call(0, arguments='{"city": "Pa'), call(0, arguments='ris"}')]
    begun = call(0, "get_weather", "", id="call_1")
    server.answers_with(Answer([begun, *pieces, *finish("tool_calls")]))
    assert await reply_of(chat, TOOLS) == [
        CallPiece("call_1", "get_weather", ""),
        CallPiece("call_1", "get_weather", '{"city": "Pa'),
        CallPiece("call_1", "get_weather", 'ris"}'),
    ]
    told = server.asked[0].body
    assert told["tools"][0]["function"]["name"] == "get_weather"
    assert "tool_choice" not in told and "parallel_tool_calls" not in told


async def test_ids_of_a_server_without_ids_are_new_in_the_call(
    chat: ChatDialogue, server: ChatServer
) -> None:
    server.answers_with(Answer([call(0, "get_weather", "{}", id="call_0"), *finish()]))
    made: set[str] = set()
    for _ in range(3):
        before = tuple(FunctionCall(call_id, "get_weather", "{}") for call_id in made)
        history = (Turn("and?", "", calls=before), Turn("again?", ""))
        async for piece in chat.respond(history, TOOLS):
            if isinstance(piece, Spent):
                continue
            assert isinstance(piece, CallPiece)
            made.add(piece.call_id)
    assert len(made) == 3 and all(call_id.startswith("call_") for call_id in made)


async def test_the_result_goes_back_and_the_reply_goes_on(
    chat: ChatDialogue, server: ChatServer
) -> None:
    made = FunctionCall("call_1", "get_weather", '{"city": "Paris"}')
    history = (Turn("Weather?", "", calls=(made,)), FunctionResult("call_1", "sunny"), Turn("", ""))
    async for _ in chat.respond(history, TOOLS):
        pass
    roles = [message["role"] for message in server.asked[0].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


async def test_only_one_call_where_only_one_is_wanted(
    chat: ChatDialogue, server: ChatServer
) -> None:
    both = [call(n, "get_weather", "{}", id=f"c{n}") for n in range(2)]
    server.answers_with(Answer([*both, *finish("tool_calls")]))
    made = await reply_of(chat, replace(TOOLS, parallel_tools=False))
    assert {piece.call_id for piece in made if isinstance(piece, CallPiece)} == {"c0"}
    assert server.asked[0].body["parallel_tool_calls"] is False


# Fields that a server does not take.


async def test_the_bound_of_a_reply_goes_by_the_name_the_server_knows(
    chat: ChatDialogue, server: ChatServer
) -> None:
    no = refuses(400, "Unsupported parameter: use max_tokens", param="max_completion_tokens")
    server.answers_with(no, says("Well."))
    bounded = EngineSettings(output_tokens_max=50)
    for _ in range(2):
        assert await reply_of(chat, bounded) == ["Well."]
    first, second, third = (asked.body for asked in server.asked)
    assert first["max_completion_tokens"] == 50
    for later in (second, third):  # What was learned is not asked again.
        assert later["max_tokens"] == 50 and "max_completion_tokens" not in later


async def test_the_name_of_the_bound_can_be_configured(
    options: ChatOptions, server: ChatServer
) -> None:
    async with opened(replace(options, limit_field="max_tokens")) as chat:
        await reply_of(chat, EngineSettings(output_tokens_max=9))
    assert server.asked[0].body["max_tokens"] == 9


async def test_an_optional_field_that_is_refused_is_left_out(
    chat: ChatDialogue, server: ChatServer
) -> None:
    no = refuses(422, "extra fields not permitted: parallel_tool_calls")
    server.answers_with(no, says("Well."))
    assert await reply_of(chat, replace(TOOLS, parallel_tools=False)) == ["Well."]
    assert "parallel_tool_calls" not in server.asked[1].body and "tools" in server.asked[1].body


@pytest.mark.parametrize(
    ("base_url", "model", "asked", "told"),
    [
        ("", "gpt-6-luna", "auto", "none"), ("", "gpt-6.1-terra", "auto", "none"),
        ("https://api.openai.com/v1", "gpt-5.4-mini", "auto", "none"),
        # Models that do not think, or not so little; and servers that are not OpenAI's.
        ("", "gpt-4.1-mini", "auto", ""), ("", "gpt-5-mini", "auto", ""), ("", "o3", "auto", ""),
        ("http://127.0.0.1:11434/v1", "gpt-6-luna", "auto", ""),
        ("http://127.0.0.1:11434/v1", "qwen3", "low", "low"), ("", "gpt-6-luna", "", ""),
    ],
)  # fmt: skip
def test_how_much_a_model_is_told_to_think(
    base_url: str, model: str, asked: str, told: str
) -> None:
    assert ChatOptions(base_url, KEY, reasoning_effort=asked).effort(model) == told


async def test_a_server_is_told_how_much_to_think_unless_it_refuses(
    options: ChatOptions, server: ChatServer
) -> None:
    no = refuses(400, "Unrecognized request argument supplied: reasoning_effort")
    server.answers_with(no, says("Well."))
    async with opened(replace(options, reasoning_effort="none")) as chat:
        for _ in range(2):
            assert await reply_of(chat, TOOLS) == ["Well."]
    efforts = [asked.body.get("reasoning_effort") for asked in server.asked]
    assert efforts == ["none", None, None]


async def test_what_a_reply_cost_is_told(chat: ChatDialogue) -> None:
    made = [each async for each in chat.respond(ASKED, EngineSettings())]
    assert made[-1] == Spent((("tokens_in", 1), ("tokens_out", 1)))


async def test_a_server_that_does_not_tell_what_it_costs_answers_all_the_same(
    chat: ChatDialogue, server: ChatServer
) -> None:
    no = refuses(400, "Unrecognized request argument supplied: stream_options")
    server.answers_with(no, says("Well."))
    for _ in range(2):
        assert await reply_of(chat) == ["Well."]
    assert ["stream_options" in asked.body for asked in server.asked] == [True, False, False]


async def test_another_refusal_is_final(chat: ChatDialogue, server: ChatServer) -> None:
    server.answers_with(refuses(400, "max_completion_tokens was not even sent"))
    assert await failure_of(chat) == "the chat server refused the request"
    assert len(server.asked) == 1


# Trouble.


@pytest.mark.parametrize(
    ("answer", "told", "times"),
    [
        (refuses(401, f"Incorrect API key: {KEY}"), "does not accept our key", 1),
        (refuses(403), "does not accept our key", 1),
        (refuses(404, "no such model", code="model_not_found"), "no model 'small'", 1),
        (refuses(429), "too busy", 1),
        (refuses(429, code="insufficient_quota"), "used up", 1),
        (refuses(500), "has a fault", 2),
        (refuses(503), "has a fault", 2),
        (Answer(status=418, body=b"teapot"), "refused", 1),
        (Answer([Break()]), "broke off", 2),
        (Answer([event({"choices": []}), Break()]), "broke off", 2),
        (Answer([*words("Well, "), Break()]), "broke off", 1),
        (Answer([b"data: {nonsense\n\n"]), "something else", 1),
        (Answer([b"data: \xff\xfe\n\n"]), "something else", 1),
        (Answer([b"data: " + b"[" * 50_000 + b"\n\n"]), "something else", 1),
        (Answer([event({"error": {"message": f"inside {KEY}"}})]), "broke off", 1),
        (Answer(body=b"<html>hello</html>", content_type="text/html"), "said nothing", 1),
        (Answer([DONE]), "said nothing", 1),
        (Answer(finish("content_filter")), "declined", 1),
    ],
)  # fmt: skip
async def test_trouble_is_told_in_words_fit_for_a_caller(
    chat: ChatDialogue, server: ChatServer, caplog: pytest.LogCaptureFixture,
    answer: Answer, told: str, times: int,
) -> None:  # fmt: skip
    server.answers_with(answer)
    with caplog.at_level(logging.INFO):
        assert told in await failure_of(chat)
    assert len(server.asked) == times
    assert KEY not in caplog.text
    assert "chat with small" in caplog.text
    server.answers_with(says("Better."))
    assert await reply_of(chat) == ["Better."]


async def test_a_connection_that_fails_is_tried_once_more(
    chat: ChatDialogue, server: ChatServer
) -> None:
    for trouble in (Answer([Break()]), refuses(502)):
        server.answers_with(trouble, says("Well."))
        assert await reply_of(chat) == ["Well."]
        assert len(server.asked) == 2


async def test_what_was_said_before_the_connection_broke_is_not_said_twice(
    chat: ChatDialogue, server: ChatServer
) -> None:
    server.answers_with(Answer([*words("Well, "), Break()]), says("Never."))
    said = []
    with pytest.raises(EngineError):
        async for output in chat.respond(ASKED, EngineSettings()):
            said.append(output)
    assert said == ["Well, "] and len(server.asked) == 1


@pytest.mark.parametrize("answer", [Answer([*words("Well, "), Stall()]), Answer([Stall()])])
async def test_a_server_that_falls_silent_is_given_up(
    options: ChatOptions, server: ChatServer, answer: Answer
) -> None:
    server.answers_with(answer)
    async with opened(replace(options, patience_s=1.0)) as chat:
        assert await failure_of(chat) == "the chat server took too long"
        async with asyncio.timeout(PATIENCE_S):
            while server.asked and not server.left.is_set():
                await asyncio.sleep(0.01)
    assert len(server.asked) <= 1


async def test_comments_that_keep_the_line_open_are_no_answer(
    options: ChatOptions, server: ChatServer
) -> None:
    server.answers_with(Answer([b": still thinking\n\n", Stall()]))
    async with opened(replace(options, patience_s=1.0)) as chat:
        assert await failure_of(chat) == "the chat server took too long"


async def test_a_server_that_does_not_answer_at_all(options: ChatOptions) -> None:
    nobody = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = nobody.sockets[0].getsockname()[1]
    nobody.close()
    await nobody.wait_closed()
    async with opened(replace(options, base_url=f"http://127.0.0.1:{port}/v1")) as chat:
        assert "cannot be reached" in await failure_of(chat)


async def test_what_is_not_configured_fails_at_the_start() -> None:
    for options, missing in (
        (ChatOptions(model="m"), "VOICE_SERVER_CHAT_API_KEY"),
        (ChatOptions("http://127.0.0.1:1/v1"), "VOICE_SERVER_CHAT_MODEL"),
    ):
        with pytest.raises(EngineError, match=missing):
            await ChatDialogue(options).start()
        with pytest.raises(EngineError, match=missing):
            await reply_of(ChatDialogue(options))


async def test_the_models_a_server_has(chat: ChatDialogue, server: ChatServer) -> None:
    listed = {"object": "list", "data": [{"id": "small", "object": "model"}]}
    server.answers_with(
        Answer(body=json.dumps(listed).encode(), content_type="application/json")
    )
    assert await chat.models() == ("small",)
    server.answers_with(refuses(401))
    with pytest.raises(EngineError, match="does not accept our key"):
        await chat.models()


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(ChatOptions("", KEY, "m"))


# In its place.


async def test_the_registry_finds_it_where_it_was_chosen(options: ChatOptions) -> None:
    registry = Registry(EngineOptions("scripted", "openai", "scripted", chat=options))
    await registry.start()
    for name in ("openai", "gpt-realtime", "gpt-unheard-of"):
        assert isinstance(registry.mind(name), ChatDialogue)
    assert registry.mind("openai") is registry.mind("gpt-realtime")
    offered = {model["id"] for model in registry.offers.catalogue()["data"]}  # type: ignore[attr-defined]
    assert {"openai", "gpt-realtime"} <= offered
    await registry.close()


async def test_no_client_spends_the_owners_money_by_a_name(options: ChatOptions) -> None:
    registry = Registry(EngineOptions("scripted", "tutor", "scripted", chat=options))
    assert not isinstance(registry.mind("openai"), ChatDialogue)
    assert isinstance(registry.mind("gpt-realtime"), ChatDialogue)
    described = registry.describe(EngineSettings(dialogue="gpt-realtime"))
    assert described["dialogue"] == "openai"
    await registry.close()


def test_naming_it_does_not_load_the_client() -> None:
    code = (
        "import sys, engines.roster as o, engines.openai.chat as c\n"
        "c.ChatDialogue(o.EngineOptions().chat)\nprint('openai' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# Through the cascade.


class Talk:
    """A cascade that talks with the chat server; its events as they come."""

    def __init__(self, registry: Registry) -> None:
        self.events: list[Event] = []
        self._commands = asyncio.Queue[Command]()
        settings = EngineSettings(dialogue="openai", text_to_speech="scripted")
        cascade = Cascade(registry.for_call(), settings)
        self._task = asyncio.create_task(cascade.converse(self._asked(), self._emit))

    async def _asked(self) -> AsyncIterator[Command]:
        while True:
            yield await self._commands.get()

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    def do(self, command: Command) -> None:
        self._commands.put_nowait(command)

    async def until(self, kind: type[Any], turn: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not any(isinstance(e, kind) and e.turn == turn for e in self.events):
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def talk(options: ChatOptions) -> AsyncIterator[Talk]:
    registry = Registry(EngineOptions("scripted", "openai", "scripted", chat=options))
    talk = Talk(registry)
    yield talk
    await talk.close()
    await registry.close()


async def test_a_reply_is_spoken_in_sentences(talk: Talk, server: ChatServer) -> None:
    server.answers_with(says("A verb is ", "a doing word. It", " tells us", " what happens."))
    talk.do(Respond(1, ASKED))
    await talk.until(ReplyDone, 1)
    said = [event.text for event in talk.events if isinstance(event, ReplyText)]
    assert said == ["A verb is a doing word.", "It tells us what happens."]


async def test_calls_come_beside_the_words(talk: Talk, server: ChatServer) -> None:
    events = [*words("One moment."), call(0, "get_weather", '{"city": "Paris"}', id="c")]
    server.answers_with(Answer([*events, *finish("tool_calls")]))
    talk.do(Respond(1, ASKED, replace(TOOLS, dialogue="openai", text_to_speech="scripted")))
    await talk.until(ReplyDone, 1)
    pieces = [event.piece for event in talk.events if isinstance(event, ReplyCall)]
    assert "".join(piece.arguments for piece in pieces) == '{"city": "Paris"}'
    assert ReplyText(1, "One moment.") in talk.events


async def test_cancelling_a_turn_leaves_the_server(talk: Talk, server: ChatServer) -> None:
    server.answers_with(Answer([*words("Listen to me. And "), Stall()]))
    talk.do(Respond(1, ASKED))
    await talk.until(ReplyText, 1)
    talk.do(Cancel(1, 0))
    async with asyncio.timeout(PATIENCE_S):
        await server.left.wait()


async def test_a_failure_fails_the_turn_and_the_next_is_answered(
    talk: Talk, server: ChatServer
) -> None:
    server.answers_with(refuses(429), says("Yes."))
    talk.do(Respond(1, ASKED))
    await talk.until(EngineFailed, 1)
    assert EngineFailed(1, "the chat server is too busy") in talk.events
    talk.do(Respond(2, ASKED))
    await talk.until(ReplyDone, 2)
    assert ReplyText(2, "Yes.") in talk.events
