"""Ten thousand events that no sane client sends: none raises, each bad one is answered, and the
call goes on. Behind the dialect is the real conversation, and engines that say anything."""

from __future__ import annotations

import copy
import json
import random
import string
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.speech import ReplyDone
from voice_server.calls import events as ev
from voice_server.calls.memory import ENTRIES_MAX
from voice_server.calls.realtime.items import ITEMS_BYTES_MAX, ITEMS_MAX
from voice_server.calls.realtime.replies import REPLIES_MAX

from .. import simulate
from .listener import Listener
from .talk import Talk

EVENTS = 10_000
SOUND = "AAAA" * 400
MINE = "mine"  # In a fuzzed event often the id of an item that is there.
VALID: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "model": "gpt-realtime",
            "instructions": "Be kind.",
            "output_modalities": ["audio"],
            "max_output_tokens": 100,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "f"},
            "tracing": {"workflow_name": "w", "metadata": {"a": [1]}},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
            "prompt": {"id": "p", "variables": {"a": "b"}},
            "reasoning": {"effort": "low"},
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": {"model": "whisper-1", "language": "en", "keywords": ["a"]},
                    "noise_reduction": {"type": "near_field", "strength": 1},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                        "idle_timeout_ms": 6000,
                        "create_response": True,
                        "interrupt_response": False,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.1},
            },
            "voice_server": {"events": True, "interruption": "waits", "binary": False},
        },
    },
    {"type": "input_audio_buffer.append", "audio": SOUND},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": "{}"},
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message", "role": "user", "id": MINE,
            "content": [{"type": "input_audio", "audio": SOUND},
                        {"type": "input_text", "text": "Hear this."}],
        },
    },
    {
        "type": "conversation.item.create",
        "previous_item_id": MINE,
        "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    },
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "output_modalities": ["text"],
            "max_output_tokens": "inf",
            "tools": [{"type": "function", "name": "g", "description": "G"}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "input": [
                {"type": "item_reference", "id": MINE},
                {"type": "message", "role": "system",
                 "content": [{"type": "input_text", "text": "Sort it."}]},
            ],
        },
    },
    {"type": "conversation.item.delete", "item_id": MINE},
    {"type": "conversation.item.retrieve", "item_id": MINE},
    {
        "type": "conversation.item.truncate",
        "item_id": MINE,
        "content_index": 0,
        "audio_end_ms": 100,
    },
    {
        "type": "response.create",
        "response": {
            "metadata": {"a": "b"},
            "instructions": "Now.",
            "audio": {"output": {"voice": {"id": "v"}}},
        },
    },
    {"type": "response.cancel", "response_id": "resp_1"},
]
NONSENSE: list[Any] = [
    None, True, 0, -1, 2**53, -(2**63), 1e308, 0.1, "", "\x00", "x" * 70_000, "audio/pcm", [], {},
    [[]], {"type": None}, "\u202e", "📞", ["audio", "text"], {"a": {"b": {"c": []}}},
]  # fmt: skip


def mutated(rng: random.Random, event: dict[str, Any]) -> object:
    """The event with one or more of its values replaced, removed, renamed or wrapped."""
    event = copy.deepcopy(event)
    for _ in range(rng.choice((1, 1, 2))):
        spots = list(_spots(event))
        if not spots:
            break
        place, key = rng.choice(spots)
        match rng.randrange(5):
            case 0 | 1:
                place[key] = copy.deepcopy(rng.choice(NONSENSE))
            case 2:
                place[key] = [place[key]]
            case 3 if isinstance(place, dict):
                del place[key]
            case _ if isinstance(place, dict):
                name = "".join(rng.choices(string.printable, k=5))
                place[name] = copy.deepcopy(rng.choice(NONSENSE))
    return event


def _spots(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _spots(inner)


def raw(rng: random.Random) -> str | bytes:
    """Something that is hardly an event."""
    deep = rng.choice((40, 200, 5_000))
    valid = json.dumps(rng.choice(VALID))
    choices: list[str | bytes] = [
        "", "null", "[]", '"x"', "{", "nan", "{]", "\ud800", b"\xff\xfe", bytes(rng.randbytes(50)),
        "[" * deep, "[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep,
        '{"type":"session.update","session":' + '{"a":' * deep + "1" + "}" * deep + "}",
        '{"type":"session.update","session":{"tools":[{"name":"f","parameters":'
        + '{"a":' * deep + "1" + "}" * deep + "}]}}",
        valid[: rng.randrange(len(valid))], valid.replace(":", "", 1), valid + valid,
        '{"type":"input_audio_buffer.append","audio":"' + "é" * 40 + '"}',
        '{"type":"response.cancel","response_id":1e999}',
        '{"type":"response.create","response":{"max_output_tokens":' + "9" * 400 + "}}",
    ]  # fmt: skip
    return rng.choice(choices)


def fuzzed(rng: random.Random, items: Sequence[str] = ()) -> object:
    """An event as some client might send it. `items`: ids of items that are there."""
    kind = rng.random()
    if kind > 0.9:
        return raw(rng)
    event = _aimed(rng, rng.choice(VALID), [*items, *items, MINE])
    return mutated(rng, event) if kind < 0.4 else event


def _aimed(rng: random.Random, value: Any, ids: Sequence[str]) -> Any:
    """A copy that speaks of items that are there."""
    if isinstance(value, dict):
        return {key: _aimed(rng, each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [_aimed(rng, each, ids) for each in value]
    return rng.choice(ids) if value is MINE else value


@pytest.mark.parametrize("seed", range(4))
def test_nothing_a_client_sends_ends_the_call(seed: int) -> None:
    rng, talk = random.Random(seed), Talk(webrtc=seed % 2 == 0).happen(ev.Connected())
    refused = 0
    for number in range(EVENTS // 4):
        event = fuzzed(rng, sorted(talk.listener.laws.items)[-3:])
        if isinstance(event, dict):
            event = {"event_id": f"client_{number}", **event}
        refused += _send(talk, event)
        _engines_say_something(rng, talk)
        talk.listener.forget()
    assert EVENTS // 12 < refused < EVENTS // 5.5, "too much of it made sense, or too little"
    assert len(talk.listener.dialect._items) <= ITEMS_MAX
    assert len(talk.listener.dialect._replies._replies) <= REPLIES_MAX
    assert len(talk.call._floor.memory._entries) <= ENTRIES_MAX
    assert not talk.closed
    _goes_on(talk)


def _engines_say_something(rng: random.Random, talk: Talk) -> None:
    turn = rng.choice((talk.call.turn, *talk.call._floor.asides._open))
    for event in simulate.happenings(rng, turn):
        if not isinstance(event, ev.Wish | ev.Heard | ev.HungUp | ev.EndWithin | ev.RulesChanged):
            is_goodbye = isinstance(event, ReplyDone) and event.hangs_up
            talk.happen(ReplyDone(turn) if is_goodbye else event)


def _goes_on(talk: Talk) -> None:
    """Whatever was in progress ends, and the next turn is whole."""
    talk.now_ms = 100_000  # Nothing is waited for so long.
    talk.happen(ev.Tick(), ev.Stopped()).forget()
    session = {"type": "realtime", "output_modalities": ["audio"], "tool_choice": "auto"}
    talk.send({"type": "session.update", "session": session})
    assert talk.kinds[0] == "session.updated"
    talk.forget().say("Are you there?").create().reply("Fine.")
    told = [kind for kind in talk.kinds if kind.startswith("response.")]
    assert (told[0], told[-1]) == ("response.created", "response.done")
    assert talk.response["status"] == "completed"
    assert "Fine." in str(talk.response["output"])


def _send(talk: Talk, event: object) -> bool:
    """Send it; whether it was refused. A refusal names the event and asks for nothing."""
    listener = talk.listener
    before = listener.dialect.rules, listener.dialect.settings
    received = listener.send(event)
    errors = [e["error"] for e in received.events if e["type"] == "error"]
    if not errors:
        talk.obey(received)
        return False
    assert len(received.events) == 1
    assert received.inputs == ()
    assert received.audio is None
    assert before == (listener.dialect.rules, listener.dialect.settings)
    error = errors[0]
    assert isinstance(error, dict)
    if isinstance(event, dict) and isinstance(event["event_id"], str):
        assert error["event_id"] == event["event_id"][:512]
    assert error["code"] and error["message"]
    return True


def _still_works(listener: Listener) -> None:
    listener.update(type="realtime", output_modalities=["audio"])
    asked = listener.send({"type": "response.create", "response": {"metadata": {"ok": "1"}}})
    (tag,) = [each.tag for each in asked.inputs if isinstance(each, ev.Asked)]
    listener.forget()
    listener.act(ev.ReplyStarted(99, tag=tag), ev.ReplySaid(99, "Fine."), ev.ReplyMade(99))
    assert listener.kinds[0] == "response.created"
    assert listener.kinds[-1] == "response.done"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@settings(max_examples=300)
@given(event=st.sampled_from(VALID), path=st.integers(0, 10_000), value=JSON)
def test_any_value_in_any_place(event: dict[str, Any], path: int, value: object) -> None:
    event = copy.deepcopy(event)
    spots = list(_spots(event))
    place, key = spots[path % len(spots)]
    place[key] = value
    listener = Listener()
    try:
        text = orjson.dumps(event)
    except TypeError:  # Integers beyond 64 bits: Python's own writer knows them.
        text = json.dumps(event).encode()
    listener.send(text)
    _still_works(listener)


def test_memory_is_bounded_however_much_a_client_writes() -> None:
    listener = Listener()
    for _ in range(60):
        listener.say("x" * 60_000)
    for number in range(ITEMS_MAX + 50):
        listener.say(f"number {number}")
    items = listener.dialect._items
    assert len(items) == ITEMS_MAX
    assert items._bytes <= ITEMS_BYTES_MAX
    assert set(items._items) == set(items._order)
