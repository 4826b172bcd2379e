"""Tools without a model: which are called, and what is made of their answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.scripted import REPLY, ScriptedDialogue
from engines.speech import (
    CallPiece,
    DialogueOutput,
    EngineSettings,
    Entry,
    Expect,
    FunctionCall,
    FunctionResult,
    HangUp,
    Note,
    Tool,
    Turn,
)
from engines.tutor.offline_tools import CALLS_MAX, PIECE_CHARS, ToolTurn, tool_turn, without_tools
from engines.tutor.tutor import Tutor, reply_to


def tool(name: str, description: str = "", **kinds: str) -> Tool:
    properties = {each: {"type": kind} for each, kind in kinds.items()}
    schema = {"type": "object", "properties": properties, "required": list(kinds)}
    return Tool(name, description, json.dumps(schema))


WEATHER = tool(
    "get_weather", "Get the current weather for a city, e.g. Paris, France", city="string"
)
TIME = tool("get_time", "Get the current time in a city", city="string")
TOOLS = (
    WEATHER, TIME,
    tool("add_numbers", "Add two numbers", a="number", b="number"),
    tool("play_music", "Play some music", genre="string"),
    tool("lookup_order", "Look up an order by its number", order_id="string"),
    tool("kb", "Search the company knowledge base for opening hours and prices", query="string"),
    tool("transferToHuman", "Transfer the caller to a human agent"),
    tool("prognoz", "Узнать погоду в городе", город="string"),
)  # fmt: skip
SETTINGS = EngineSettings(tools=TOOLS)
Made = list[tuple[str, Any]]


def settings(*tools: Tool, **options: Any) -> EngineSettings:
    return EngineSettings(tools=tools or TOOLS, **options)


def calls_of(outputs: Sequence[DialogueOutput]) -> list[FunctionCall]:
    """The calls as a client puts them together."""
    made: dict[str, FunctionCall] = {}
    for piece in outputs:
        if isinstance(piece, CallPiece):
            begun = made.get(piece.call_id, FunctionCall(piece.call_id, piece.name, ""))
            arguments = begun.arguments + piece.arguments
            made[piece.call_id] = FunctionCall(piece.call_id, piece.name, arguments)
    return list(made.values())


def asked(words: str, options: EngineSettings = SETTINGS) -> Made:
    found = tool_turn((Turn(words, ""),), options)
    assert found.goes_on is not bool(found.pieces)
    return [(call.name, json.loads(call.arguments)) for call in calls_of(found.pieces)]


# Which tools.


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("What is the weather in Paris?", ("get_weather", {"city": "Paris"})),
        ("what's the weather like in paris today", ("get_weather", {"city": "paris"})),
        ("What time is it in Tokyo?", ("get_time", {"city": "Tokyo"})),
        ("Add 2 and 3", ("add_numbers", {"a": 2, "b": 3})),
        ("Please add 2 and 3.", ("add_numbers", {"a": 2, "b": 3})),
        ("Play some jazz", ("play_music", {"genre": "jazz"})),
        ("Where is my order A77?", ("lookup_order", {"order_id": "A77"})),
        ("What are your opening hours?", ("kb", {"query": "What are your opening hours?"})),
        ("I want to talk to a human", ("transferToHuman", {})),
        ("Please use the tool get_weather for Rome", ("get_weather", {"city": "Rome"})),
        ("Какая погода в Москве?", ("prognoz", {"город": "Москве"})),
    ],
)
def test_a_question_that_names_what_a_tool_is_for(words: str, made: tuple[str, Any]) -> None:
    assert asked(words) == [made]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "What is a verb?",
        "what is a verb",
        "Hello, how are you today?",
        "yes",
        "No, thank you.",
        "I have two brothers.",
        "I play football.",
        "The cat is on the table.",
        "One more time please",
        "What is the capital of France?",
        "What is a good city in France?",
        "count",
        "goodbye",
        "Please repeat that slowly.",
        "I do not know.",
        "Give me an example.",
        "Что такое глагол?",
        "Привет, как дела?",
        "Повтори, пожалуйста.",
        "My name is Ann.",
        "flower",
        "slower",
    ],
)
def test_chatter_calls_nothing(words: str) -> None:
    assert asked(words) == []


def test_distinct_parts_are_distinct_calls() -> None:
    assert asked("What is the weather in Paris and what time is it in Tokyo?") == [
        ("get_weather", {"city": "Paris"}), ("get_time", {"city": "Tokyo"}),
    ]  # fmt: skip
    both = asked("What is the weather in Paris, and the weather in Rome?")
    assert both == [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]
    assert len(asked("Hello. What's the weather in Oslo? And the weather in Oslo?")) == 1
    assert len(asked(" and ".join(f"the weather in A{n}" for n in range(40)))) == CALLS_MAX


def test_the_choice_of_the_client() -> None:
    verb = "What is a verb?"
    assert asked("the weather in Rome", settings(tool_choice="none")) == []
    assert [name for name, _ in asked(verb, settings(tool_choice="required"))] == ["get_weather"]
    assert [name for name, _ in asked("", settings(tool_choice="required"))] == ["get_weather"]
    better = asked("tell me the time", settings(tool_choice="required"))
    assert [name for name, _ in better] == ["get_time"]
    named = settings(tool_choice="required", tool_named="get_time")
    assert [name for name, _ in asked("the weather in Rome", named)] == ["get_time"]
    assert asked("the weather", EngineSettings(tool_choice="required")) == []


def test_calls_come_in_pieces_under_ids_of_their_own() -> None:
    found = tool_turn((Turn("the weather in Paris and the time in Kuala Lumpur", ""),), SETTINGS)
    assert [piece.arguments for piece in found.pieces if not piece.arguments] == ["", ""]
    assert len(found.pieces) > 4
    assert all(len(piece.arguments) <= PIECE_CHARS for piece in found.pieces)
    ids = {piece.call_id for piece in found.pieces}
    assert len(ids) == 2 and all(each.startswith("call_") for each in ids)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("words", ["a, " * 300, "word1 thing1, " * 80, "1 " * 500])
def test_many_tools_and_many_words_are_bounded(words: str) -> None:
    described = " ".join(f"word{n} thing{n}" for n in range(60))
    many = settings(*(Tool(f"tool_{n}_name{n}", described) for n in range(128)))
    assert len(asked(words, many)) <= CALLS_MAX


# What they answered.


class Client:
    """Answers the calls, and asks for the reply, until the dialogue speaks."""

    def __init__(self, options: EngineSettings) -> None:
        self.options = options
        self.history: list[Entry] = []
        self.ids: list[str] = []

    def turn(self, words: str) -> tuple[ToolTurn, list[FunctionCall]]:
        found = tool_turn((*self.history, Turn(words, "")), self.options)
        made = calls_of(found.pieces)
        self.ids += [call.call_id for call in made]
        self.history.append(Turn(words, found.said or "Well." * found.goes_on, calls=tuple(made)))
        return found, made

    def answers(self, *outputs: str) -> None:
        self.history += [
            FunctionResult(call_id, output)
            for call_id, output in zip(self.ids[-len(outputs) :], outputs, strict=True)
        ]


def test_an_answer_is_said_and_then_the_lesson_goes_on() -> None:
    client = Client(SETTINGS)
    client.turn("What is the weather in Paris?")
    client.answers('{"temperature": 21, "unit": "C"}')
    found, _ = client.turn("")
    assert found == ToolTurn("Temperature: 21, unit: C.", goes_on=False)
    assert client.turn("What is a verb?")[0] == ToolTurn()


def test_two_answers_are_said_one_after_the_other() -> None:
    client = Client(SETTINGS)
    client.turn("the weather in Paris and the time in Rome")
    client.answers("sunny", "noon")
    assert client.turn("")[0].said == "Sunny. Noon."


@pytest.mark.parametrize("named", ["", "get_weather"])
def test_a_client_that_insists_gets_its_answer_and_no_loop(named: str) -> None:
    client = Client(settings(tool_choice="required", tool_named=named))
    for _ in range(3):
        _, made = client.turn("What is a verb?")
        assert len(made) == 1
        client.answers("sunny")
        found, made = client.turn("")
        assert found.said == "Sunny." and not made
    assert len(set(client.ids)) == 3


def test_one_at_a_time_where_the_client_wants_no_more() -> None:
    client = Client(settings(parallel_tools=False))
    _, first = client.turn("the weather in Paris and the time in Rome")
    client.answers("sunny")
    _, second = client.turn("")
    client.answers("noon")
    found, third = client.turn("")
    assert [[call.name for call in made] for made in (first, second, third)] == [
        ["get_weather"], ["get_time"], [],
    ]  # fmt: skip
    assert found.said == "Sunny. Noon."


def test_an_answer_that_was_not_heard_is_said_again() -> None:
    call = FunctionCall("a", "get_weather", "{}")
    history = (Turn("weather", "", calls=(call,)), FunctionResult("a", "sunny"))
    cut = Turn("", "", interrupted=True)
    assert tool_turn((*history, cut, Turn("what?", "")), SETTINGS) == ToolTurn("Sunny.")
    heard = Turn("", "Sunny.")
    assert tool_turn((*history, heard, Turn("what?", "")), SETTINGS) == ToolTurn()


def test_a_new_question_while_the_answer_came() -> None:
    call = FunctionCall("a", "get_weather", "{}")
    history = (Turn("weather", "", calls=(call,)), FunctionResult("a", "sunny"))
    found = tool_turn((*history, Turn("And the time in Rome?", "")), SETTINGS)
    assert found.said == "Sunny."
    assert [each.name for each in calls_of(found.pieces)] == ["get_time"]


def test_no_answer_yet_is_said_so() -> None:
    history = (Turn("weather", "", calls=(FunctionCall("a", "get_weather", "{}"),)), Turn("", ""))
    assert "waiting" in tool_turn(history, SETTINGS).said
    assert "жду" in tool_turn(history, settings(language="ru")).said


def test_what_a_client_put_there_counts_too() -> None:
    history = (
        Turn("weather?", "Let me see."), FunctionCall("a", "get_weather", "{}"),
        Note("system", "Be kind."), FunctionResult("a", "sunny"), Turn("", ""),
    )  # fmt: skip
    assert tool_turn(history, SETTINGS) == ToolTurn("Sunny.", goes_on=False)


def test_only_the_lesson_is_the_lesson() -> None:
    call = FunctionCall("a", "get_weather", "{}")
    history = (
        Turn("hello", "Hi."), Turn("weather", "", calls=(call,)), FunctionResult("a", "sunny"),
        Turn("", "Sunny."), Note("user", "x"), Turn("", "Are you there?"), Turn("yes", ""),
    )  # fmt: skip
    kept = [turn.user for turn in without_tools(history)]
    assert kept == ["hello", "", "yes"]


ENTRIES = st.one_of(
    st.builds(FunctionCall, st.sampled_from("ab"), st.just("get_weather"), st.just("{}")),
    st.builds(FunctionResult, st.sampled_from("ab"), st.sampled_from(["", "sunny", "[1]"])),
    st.builds(Note, st.just("system"), st.just("x")),
    st.builds(
        Turn, st.sampled_from(["", "the weather in Rome", "yes"]), st.sampled_from(["", "Well."]),
        st.booleans(),
        st.sampled_from([(), (FunctionCall("a", "get_weather", "{}"),)]),
    ),
)  # fmt: skip
CHOICES = st.builds(
    EngineSettings, tools=st.sampled_from([(), TOOLS]),
    tool_choice=st.sampled_from(["auto", "none", "required"]),
    tool_named=st.sampled_from(["", "get_time", "unknown"]), parallel_tools=st.booleans(),
)  # fmt: skip


@given(st.lists(ENTRIES, max_size=8), CHOICES, st.sampled_from(["", "weather in Oslo", "hm"]))
def test_whatever_went_before_somebody_speaks_or_calls(
    before: list[Entry], options: EngineSettings, words: str
) -> None:
    history = (*before, Turn(words, ""))
    found = tool_turn(history, options)
    assert found == tool_turn(history, options)
    assert found.said or found.pieces or found.goes_on
    known = {entry.call_id for entry in before if isinstance(entry, FunctionCall | FunctionResult)}
    known |= {call.call_id for entry in before if isinstance(entry, Turn) for call in entry.calls}
    for call in calls_of(found.pieces):
        assert call.call_id not in known and isinstance(json.loads(call.arguments), dict)
    assert options.tools or not found.pieces
    assert options.parallel_tools or len(calls_of(found.pieces)) <= 1


# In the dialogues.


async def said_by(dialogue: Tutor | ScriptedDialogue, *history: Entry) -> list[DialogueOutput]:
    return [output async for output in dialogue.respond(history, SETTINGS)]


@pytest.mark.parametrize("dialogue", [Tutor(), ScriptedDialogue()], ids=["tutor", "scripted"])
async def test_the_offline_dialogues_use_tools(dialogue: Tutor | ScriptedDialogue) -> None:
    question = Turn("What is the weather in Paris?", "")
    made = await said_by(dialogue, question)
    assert all(isinstance(output, CallPiece) for output in made)
    (call,) = calls_of(made)
    history = (Turn(question.user, "", calls=(call,)), FunctionResult(call.call_id, "sunny"))
    assert await said_by(dialogue, *history, Turn("", "")) == ["Sunny."]
    verb = await said_by(dialogue, *history, Turn("", "Sunny."), Turn("What is a verb?", ""))
    words = "".join(output for output in verb if isinstance(output, str))
    assert "verb" in words.casefold() and "Sunny" not in words
    late = await said_by(dialogue, *history, Turn("What is a verb?", ""))
    assert late[0] == "Sunny. " and late[1:] == verb


async def test_the_scripted_reply_is_still_the_reply() -> None:
    assert "".join(await said_by(ScriptedDialogue(), Turn("hi", ""))).strip() == REPLY  # type: ignore[arg-type]


async def test_the_lesson_does_not_notice_the_tools() -> None:
    lesson = [Turn("", "".join(_words(reply_to([Turn("", "")], "en"))))]
    call = FunctionCall("a", "get_weather", "{}")
    aside = (
        Turn("weather in Rome?", "", calls=(call,)), FunctionResult("a", "sunny"),
        Turn("", "Sunny."),
    )  # fmt: skip
    with_tools = await said_by(Tutor(), *lesson, *aside, Turn("yes", ""))
    assert with_tools == list(reply_to([*lesson, Turn("yes", "")], "en"))
    assert not {HangUp()} & {o for o in with_tools if not isinstance(o, Expect)}


def _words(outputs: Sequence[DialogueOutput]) -> list[str]:
    return [output for output in outputs if isinstance(output, str)]
