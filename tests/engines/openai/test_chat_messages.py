"""What a chat server is told of a call; and what holds for any history whatever."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import TypeAdapter

from engines.openai.chat_messages import BROKEN_OFF, NO_RESULT, YOUR_TURN, messages_of, tool_fields
from engines.speech import (
    EngineSettings,
    Entry,
    FunctionCall,
    FunctionResult,
    Note,
    Tool,
    Turn,
)

Told = dict[str, Any]
WEATHER = FunctionCall("call_a", "get_weather", '{"city": "Paris"}')
TIME = FunctionCall("call_b", "get_time", "{}")


def told(*history: Entry, settings: EngineSettings | None = None) -> list[Told]:
    return cast(list[Told], messages_of(history, settings or EngineSettings(instructions="Be.")))


def plain(messages: list[Told]) -> list[tuple[str, object]]:
    return [(m["role"], m["content"]) for m in messages[1:]]


def test_turns_become_a_user_and_an_assistant() -> None:
    history = (Turn("hello", "Hi there."), Turn("what is a verb?", ""))
    assert told(*history) == [
        {"role": "system", "content": "Be."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi there."},
        {"role": "user", "content": "what is a verb?"},
    ]


def test_without_instructions_the_model_is_told_that_it_speaks_and_which_language() -> None:
    spoken = told(Turn("x", ""), settings=EngineSettings(language="ru"))[0]["content"]
    assert "aloud" in spoken and "markup" in spoken and "Russian" in spoken
    written = told(Turn("x", ""), settings=EngineSettings(speaks=False))[0]["content"]
    assert "aloud" not in written and "English" in written


def test_an_interrupted_reply_is_what_was_heard_and_says_so() -> None:
    messages = told(Turn("go on", "A verb is a", interrupted=True), Turn("stop", ""))
    assert messages[2]["content"] == "A verb is a" + BROKEN_OFF
    assert "interrupted" in messages[0]["content"]
    assert "interrupted" not in told(Turn("go on", "All."), Turn("stop", ""))[0]["content"]


def test_a_reply_of_which_nothing_was_heard_was_not_made() -> None:
    assert plain(told(Turn("one", "", interrupted=True), Turn("two", ""))) == [("user", "one\ntwo")]


def test_silence_is_told_so_that_somebody_has_the_last_word() -> None:
    assert plain(told(Turn("", ""))) == [("user", YOUR_TURN)]
    assert plain(told(Turn("a", "b"), Turn("", "")))[-1] == ("user", YOUR_TURN)
    assert plain(told(Turn("a", "b"), Note("system", "Say bye."), Turn("", "")))[-1] == (
        "user", YOUR_TURN,
    )  # fmt: skip


def test_notes_keep_their_place_and_the_first_joins_the_instructions() -> None:
    kind, rain = Note("system", "Be kind."), Note("system", "Rain.")
    messages = told(kind, Turn("a", "b"), rain, Turn("c", ""))
    assert messages[0]["content"] == "Be.\nBe kind."
    assert plain(messages)[2:] == [("system", "Rain."), ("user", "c")]


def test_calls_are_followed_at_once_by_their_results_in_their_order() -> None:
    messages = told(
        Turn("weather and time?", "One moment.", calls=(WEATHER, TIME)),
        Note("system", "Be quick."),
        FunctionResult("call_b", "noon"),
        FunctionResult("call_a", "sunny"),
        Turn("", ""),
    )
    _, user, asked, first, second, note = messages
    assert user["content"] == "weather and time?"
    assert asked["content"] == "One moment."
    assert [c["function"]["name"] for c in asked["tool_calls"]] == ["get_weather", "get_time"]
    assert asked["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'
    assert [first["content"], second["content"]] == ["sunny", "noon"]
    assert first["tool_call_id"] == asked["tool_calls"][0]["id"]
    assert note == {"role": "system", "content": "Be quick."}


def test_calls_that_a_client_put_there_are_gathered() -> None:
    together = told(
        WEATHER, TIME, FunctionResult("call_a", "1"), FunctionResult("call_b", "2"), Turn("so?", "")
    )
    assert [m["role"] for m in together] == ["system", "assistant", "tool", "tool", "user"]
    one_by_one = told(
        WEATHER, FunctionResult("call_a", "1"), TIME, FunctionResult("call_b", "2"), Turn("so?", "")
    )
    assert [m["role"] for m in one_by_one][1:] == ["assistant", "tool", "assistant", "tool", "user"]


def test_a_call_without_a_result_says_so_and_a_late_one_is_told_where_it_comes() -> None:
    messages = told(
        Turn("weather?", "", calls=(WEATHER,)),
        Turn("are you there?", "Yes."),
        FunctionResult("call_a", "sunny"),
        Turn("", ""),
    )
    assert plain(messages) == [
        ("user", "weather?"), ("assistant", None), ("tool", NO_RESULT),
        ("user", "are you there?"), ("assistant", "Yes."),
        ("user", "(get_weather has answered: sunny)"),
    ]  # fmt: skip


def test_a_result_without_its_call_and_a_second_one_become_notes() -> None:
    assert plain(told(FunctionResult("gone", "42"), Turn("so?", ""))) == [
        ("user", "(A tool has answered: 42)\nso?")
    ]
    results = [FunctionResult("call_a", "1"), FunctionResult("call_a", "2")]
    twice = told(WEATHER, *results, Turn("", ""))
    assert plain(twice)[1:] == [("tool", "1"), ("user", "(get_weather has answered: 2)")]


def test_what_some_servers_refuse_is_mended() -> None:
    odd = FunctionCall("x" * 400, "look it up!", '{"half')
    asked = told(odd, FunctionResult("x" * 400, "  "), Turn("", ""))[1]["tool_calls"][0]
    assert asked["function"] == {"name": "look_it_up_", "arguments": "{}"}
    assert asked["id"].isalnum() and len(asked["id"]) == 9


# Tools.


def test_no_field_about_tools_without_tools() -> None:
    assert tool_fields(EngineSettings(tool_choice="required", parallel_tools=False)) == {}
    assert tool_fields(EngineSettings(tools=(Tool("a"),), tool_choice="none")) == {}


def test_tools_are_told_and_only_what_differs_from_usual() -> None:
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}}'
    usual = tool_fields(EngineSettings(tools=(Tool("get weather", "Weather.", schema), Tool("b"))))
    assert usual.keys() == {"tools"}
    first, second = cast(list[Told], usual["tools"])
    assert first["function"] == {
        "name": "get_weather", "description": "Weather.", "parameters": json.loads(schema),
    }  # fmt: skip
    assert second["function"] == {"name": "b", "parameters": {"type": "object", "properties": {}}}
    for told_tool in (first, second):
        TypeAdapter(ChatCompletionToolParam).validate_python(told_tool)


def test_the_choice_of_a_tool() -> None:
    tools = (Tool("a"), Tool("b", parameters="not json"))
    required = tool_fields(EngineSettings(tools=tools, tool_choice="required"))
    assert required["tool_choice"] == "required"
    named = tool_fields(EngineSettings(tools=tools, tool_choice="required", tool_named="b"))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "b"}}
    alone = tool_fields(EngineSettings(tools=tools, parallel_tools=False))
    assert alone["parallel_tool_calls"] is False


# Any history whatever.

IDS = st.sampled_from(["a", "b", "c", ""])
TEXTS = st.sampled_from(["", "  ", "hello", "{}", "—", "x" * 50])
CALLS = st.builds(FunctionCall, IDS, TEXTS, TEXTS)
ENTRIES = st.one_of(
    CALLS,
    st.builds(FunctionResult, IDS, TEXTS),
    st.builds(Note, st.sampled_from(["system", "user", "assistant", "odd"]), TEXTS),
    st.builds(Turn, TEXTS, TEXTS, st.booleans(), st.lists(CALLS, max_size=3).map(tuple)),
)
MESSAGES = TypeAdapter(list[ChatCompletionMessageParam])


@given(st.lists(ENTRIES, max_size=12), TEXTS)
def test_any_history_is_one_the_api_takes(history: list[Entry], asking: str) -> None:
    messages = told(*history, Turn(asking, ""))
    MESSAGES.validate_python(messages)
    open_ids: list[str] = []
    seen: set[str] = set()
    for message in messages:
        if open_ids:
            assert message["role"] == "tool" and message["tool_call_id"] == open_ids.pop(0)
        else:
            assert message["role"] != "tool"
        if "tool_calls" in message:
            open_ids = [call["id"] for call in message["tool_calls"]]
            assert open_ids and not seen & set(open_ids)
            seen |= set(open_ids)
            for call in message["tool_calls"]:
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
                assert call["function"]["name"]
        else:
            assert message["content"].strip()
    assert not open_ids
    talk = [m["role"] for m in messages if m["role"] != "system"]
    assert talk[-1] in ("user", "tool")


@given(st.lists(ENTRIES, max_size=12))
def test_nothing_that_was_said_or_answered_is_lost(history: list[Entry]) -> None:
    everything = json.dumps(told(*history, Turn("and now?", "")))
    said = {e.user.strip() for e in history if isinstance(e, Turn)}
    said |= {e.output.strip() for e in history if isinstance(e, FunctionResult)}
    said |= {e.text.strip() for e in history if isinstance(e, Note)}
    assert all(json.dumps(text)[1:-1] in everything for text in said)
