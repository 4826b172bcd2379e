"""Chunks become words and calls, whoever made them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.openai.chat_stream import CALLS_MAX, CHARS_MAX, ChatStream
from engines.speech import CallPiece, Cut, DialogueOutput, EngineError, Spent

Json = dict[str, Any]


def stream(**options: Any) -> ChatStream:
    ids = itertools.count(1)
    return ChatStream(lambda: f"own{next(ids)}", **options)


def delta(finish: str | None = None, **told: object) -> Json:
    return {"choices": [{"index": 0, "delta": told, "finish_reason": finish}]}


def call(name: object = None, arguments: object = None, **told: object) -> Json:
    return delta(tool_calls=[{**told, "function": {"name": name, "arguments": arguments}}])


def outputs(*chunks: object, **options: Any) -> list[DialogueOutput]:
    reply = stream(**options)
    made = [output for chunk in chunks for output in reply.feed(chunk)]
    return [*made, *reply.finish()]


def calls(*chunks: object, **options: Any) -> list[tuple[str, str, str]]:
    """The calls as a client puts them together: id, name, arguments."""
    whole: dict[str, tuple[str, str]] = {}
    for piece in outputs(*chunks, delta("tool_calls"), **options):
        assert isinstance(piece, CallPiece)
        name, arguments = whole.get(piece.call_id, (piece.name, ""))
        assert name == piece.name
        whole[piece.call_id] = (name, arguments + piece.arguments)
    return [(call_id, *rest) for call_id, rest in whole.items()]


# Words.


def test_words_come_as_they_are_at_once() -> None:
    reply = stream()
    assert list(reply.feed(delta(role="assistant", content=""))) == []
    assert list(reply.feed(delta(content="Hello, "))) == ["Hello, "]
    assert list(reply.feed(delta(content="you."))) == ["you."]
    assert list(reply.feed(delta("stop"))) == []
    assert list(reply.feed({"choices": [], "usage": {"total_tokens": 3}})) == []
    assert list(reply.finish()) == []


def test_a_refusal_is_said() -> None:
    assert outputs(delta(refusal="I will not."), delta("stop")) == ["I will not."]


def test_parts_are_words_too() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, 7]
    assert outputs(delta(content=parts)) == ["Hello"]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_thoughts_are_not_said(size: int) -> None:
    text = "\n<think>I must say hello.</think>\n\nHello <think> you."
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    said = outputs(*(delta(content=piece) for piece in pieces))
    assert "".join(map(str, said)).lstrip() == "Hello <think> you."


def test_words_that_begin_like_a_thought_are_said() -> None:
    assert outputs(delta(content="<"), delta(content="3 you")) == ["<3 you"]
    assert outputs(delta(content="<thin")) == ["<thin"]


# Calls.


def test_a_call_the_way_its_maker_streams_it() -> None:
    chunks = [
        call("get_weather", "", index=0, id="call_1", type="function"),
        call(None, '{"ci', index=0), call(None, 'ty": "Paris"}', index=0),
        call("get_time", "", index=1, id="call_2", type="function"), call(None, "{}", index=1),
    ]  # fmt: skip
    assert outputs(*chunks, delta("tool_calls"))[0] == CallPiece("call_1", "get_weather", "")
    assert calls(*chunks) == [
        ("call_1", "get_weather", '{"city": "Paris"}'), ("call_2", "get_time", "{}"),
    ]  # fmt: skip


def test_pieces_of_parallel_calls_may_alternate() -> None:
    chunks = [
        call("a", "", index=0, id="x"), call("b", "", index=1, id="y"),
        call(None, '{"n":', index=0), call(None, '{"m":', index=1),
        call(None, "1}", index=0), call(None, "2}", index=1),
    ]  # fmt: skip
    assert calls(*chunks) == [("x", "a", '{"n":1}'), ("y", "b", '{"m":2}')]


@pytest.mark.parametrize("index", [{}, {"index": 0}, {"index": None}])
def test_whole_calls_without_ids(index: Json) -> None:
    """Ollama and others: one chunk a call, no id, and index 0 for each or none at all."""
    wanted = [("a", '{"n": 1}'), ("a", '{"n": 2}'), ("b", "{}")]
    made = calls(*(call(*each, **index) for each in wanted))
    assert made == [(f"own{n}", *each) for n, each in enumerate(wanted, start=1)]


def test_one_index_for_calls_with_ids_of_their_own() -> None:
    chunks = [call("a", '{"n": 1}', index=0, id="x"), call("a", '{"n": 2}', index=0, id="y")]
    assert calls(*chunks) == [("x", "a", '{"n": 1}'), ("y", "a", '{"n": 2}')]


def test_several_calls_in_one_chunk() -> None:
    told = [{"function": {"name": name, "arguments": {"n": 1}}} for name in "ab"]
    assert calls(delta(tool_calls=told)) == [("own1", "a", '{"n": 1}'), ("own2", "b", '{"n": 1}')]


def test_id_and_name_in_every_chunk() -> None:
    chunks = [call("a", piece, index=0, id="x") for piece in ("", '{"n"', ": 1}", "")]
    assert calls(*chunks) == [("x", "a", '{"n": 1}')]


def test_an_id_that_comes_late_changes_nothing() -> None:
    chunks = [call("a", "", index=0), call(None, "{", index=0, id="x"), call(None, "}", id="x")]
    assert calls(*chunks) == [("own1", "a", "{}")]


def test_pieces_without_any_mark_belong_to_the_newest_call() -> None:
    assert calls(call("a", ""), call(None, '{"n": '), call(None, "1}")) == [
        ("own1", "a", '{"n": 1}')
    ]


def test_the_older_field_for_one_function() -> None:
    chunks = [delta(function_call={"name": "a", "arguments": ""}),
              delta(function_call={"arguments": "{}"})]  # fmt: skip
    assert calls(*chunks) == [("own1", "a", "{}")]


def test_no_arguments_are_an_empty_object() -> None:
    assert calls(call("a", None, index=0, id="x")) == [("x", "a", "{}")]


def test_an_id_that_the_call_already_knows_is_made_anew() -> None:
    assert calls(call("a", "{}", id="call_0"), taken={"call_0", "own1"}) == [("own2", "a", "{}")]


def test_tools_keep_their_own_names() -> None:
    chunks = call("look_up", "{", id="x"), call("look_up", "}", id="x")
    assert calls(*chunks, names={"look_up": "look up"}) == [("x", "look up", "{}")]


def test_no_more_calls_than_are_wanted() -> None:
    unwanted = [call("b", "{", index=1, id="y"), call(None, "}", index=1)]
    chunks = [call("a", "{}", index=0, id="x"), *unwanted]
    assert calls(*chunks, calls_max=1) == [("x", "a", "{}")]
    many = [call("a", "{}", index=n, id=f"i{n}") for n in range(CALLS_MAX + 9)]
    assert len(calls(*many)) == CALLS_MAX


# Ends.


@pytest.mark.parametrize("why", ["stop", None])
def test_nothing_said_is_an_error(why: str | None) -> None:
    with pytest.raises(EngineError, match="said nothing"):
        outputs(delta(why, content=" "))


def test_a_filtered_answer_is_said_to_be_declined() -> None:
    with pytest.raises(EngineError, match="declined"):
        outputs(delta("content_filter"))


def test_half_a_call_is_an_error_only_where_nobody_said_it_is_the_end() -> None:
    half = call("a", '{"n":', id="x")
    with pytest.raises(EngineError, match="broke off"):
        outputs(half)
    assert outputs(half, delta("tool_calls"))[-1] == CallPiece("x", "a", '{"n":')


def test_a_reply_that_was_not_allowed_to_go_on_says_so() -> None:
    half = call("a", '{"n":', id="x")
    assert outputs(half, delta("length"))[-2:] == [CallPiece("x", "a", '{"n":'), Cut()]
    assert outputs(delta("length", content="One, two")) == ["One, two", Cut()]
    assert outputs(delta("length")) == [Cut()]  # All it was allowed went into thoughts.


def test_an_endless_reply_ends() -> None:
    reply = stream()
    with pytest.raises(EngineError, match="come to an end"):
        for _ in range(CHARS_MAX):
            list(reply.feed(delta(content="word " * 100)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "refusal", "tool_calls", "function", "id",
             "index", "name", "arguments", "finish_reason", "function_call", "text"]
        ), inner, max_size=4,
    ),
    max_leaves=30,
)  # fmt: skip


@given(st.lists(JSON.map(lambda inner: {"choices": [inner]}) | JSON, max_size=6))
def test_any_json_is_words_calls_or_an_engine_error(chunks: Sequence[object]) -> None:
    try:
        made = outputs(*chunks)
    except EngineError:
        return
    assert all(isinstance(each, str | CallPiece) for each in made)


@given(st.lists(st.text(max_size=9), min_size=1, max_size=5), st.data())
def test_arguments_arrive_whole_however_they_are_cut(
    values: list[str], data: st.DataObject
) -> None:
    wanted = [(f"id{n}", "tool", json.dumps({"v": value})) for n, value in enumerate(values)]
    chunks = []
    for n, (call_id, name, arguments) in enumerate(wanted):
        cut = data.draw(st.integers(0, len(arguments)))
        chunks.append(call(name, arguments[:cut], index=n, id=call_id))
        chunks.append(call(None, arguments[cut:], index=n))
    assert calls(*chunks) == wanted


# What it cost.

USAGE = {
    "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8},
}  # fmt: skip
SPENT = Spent((("tokens_in", 12), ("tokens_cached", 8), ("tokens_out", 3)))


def test_what_it_cost_is_told_once_and_last_but_for_the_cut() -> None:
    last = {"choices": [], "usage": USAGE}
    assert outputs(delta(content="Hi."), delta("stop"), last) == ["Hi.", SPENT]
    assert outputs(delta(content="Hi."), delta("length"), last) == ["Hi.", SPENT, Cut()]


def test_of_a_server_that_tells_it_with_every_chunk_the_last_counts() -> None:
    early = {**delta(content="Hi."), "usage": {"prompt_tokens": 12, "completion_tokens": 1}}
    assert outputs(early, {**delta("stop"), "usage": USAGE}) == ["Hi.", SPENT]
    assert outputs({**delta(content="Hi."), "usage": USAGE}, {**delta("stop"), "usage": None}) == [
        "Hi.", SPENT,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "usage",
    [None, 3, [], {}, {"total_tokens": 3}, {"prompt_tokens": "12"}, {"prompt_tokens": -1},
     {"prompt_tokens": True}, {"prompt_tokens": 1.5}, {"completion_tokens": 10**30},
     {"prompt_tokens_details": [8]}],
)  # fmt: skip
def test_what_is_no_amount_is_not_told(usage: object) -> None:
    assert outputs(delta(content="Hi."), {"choices": [], "usage": usage}) == ["Hi."]


def test_what_a_reply_without_words_cost_is_told_before_it_fails() -> None:
    reply = stream()
    assert list(reply.feed({"choices": [], "usage": USAGE})) == []
    told = reply.finish()
    assert next(told) == SPENT
    with pytest.raises(EngineError, match="said nothing"):
        next(told)
