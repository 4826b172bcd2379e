"""Arguments are what was said, and always valid."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engines.tutor.tool_arguments import CHARS_MAX, arguments_for
from engines.tutor.utterance import stems_of, utterance

Json = dict[str, Any]
STRING, NUMBER, INTEGER, BOOLEAN = ({"type": t} for t in ("string", "number", "integer", "boolean"))
UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}


def made(properties: Json, words: str, required: list[str] | None = None, about: str = "") -> Json:
    """The arguments; all properties are required unless it is said which are."""
    names = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": names}
    arguments = json.loads(arguments_for(json.dumps(schema), utterance(words), stems_of(about)))
    Draft202012Validator(schema).validate(arguments)
    return cast(Json, arguments)


@pytest.mark.parametrize("name", ["city", "location", "place", "cityName", "where"])
@pytest.mark.parametrize(
    ("words", "city"),
    [
        ("What is the weather in Paris?", "Paris"),
        ("what is the weather in paris", "paris"),
        ("What's the weather like in New York right now?", "New York"),
        ("what is the weather in new york today", "new york"),
        ("Weather for tomorrow in Rio de Janeiro, please", "Rio"),
        ("Paris weather", "Paris"),
        ("Will the weather in the Netherlands be fine?", "Netherlands"),
    ],
)
def test_a_place(name: str, words: str, city: str) -> None:
    assert made({name: STRING}, words, about="weather") == {name: city}


def test_a_place_in_russian() -> None:
    assert made({"город": STRING}, "Какая погода в Москве?", about="погода") == {"город": "Москве"}


@pytest.mark.parametrize(
    ("properties", "words", "wanted"),
    [
        (
            {"origin": STRING, "destination": STRING, "date": STRING},
            "Book a flight from Paris to New York for next Monday",
            {"origin": "Paris", "destination": "New York", "date": "Monday"},
        ),
        (
            {"from": STRING, "to": STRING},
            "fly to london from moscow",
            {"from": "moscow", "to": "london"},
        ),
        ({"a": NUMBER, "b": NUMBER}, "Add 2 and 3.5", {"a": 2, "b": 3.5}),
        (
            {"a": INTEGER, "b": INTEGER},
            "add twenty five and two hundred and five",
            {"a": 25, "b": 205},
        ),
        ({"numbers": {"type": "array", "items": NUMBER}}, "add 2, 3 and 4", {"numbers": [2, 3, 4]}),
        ({"sides": INTEGER}, "Roll a dice with twenty sides", {"sides": 20}),
        ({"days": INTEGER, "people": INTEGER}, "for 3 people, 5 days", {"days": 5, "people": 3}),
        (
            {"on": BOOLEAN, "room": STRING},
            "Turn on the light in the kitchen",
            {"on": True, "room": "kitchen"},
        ),
        ({"on": BOOLEAN}, "Turn it off", {"on": False}),
        ({"urgent": BOOLEAN}, "it is not urgent", {"urgent": False}),
        ({"query": STRING}, "Search for cheap flights to Rome", {"query": "cheap flights to Rome"}),
        (
            {"text": STRING, "language": STRING},
            'Translate "good morning" to French',
            {"text": "good morning", "language": "French"},
        ),
        (
            {"to": STRING, "message": STRING},
            "Send a message to Bob saying I am late",
            {"to": "Bob", "message": "I am late"},
        ),
        ({"name": STRING}, "My name is John Smith", {"name": "John Smith"}),
        ({"name": STRING}, "Меня зовут Иван", {"name": "Иван"}),
        ({"order_id": STRING}, "Where is my order A1234?", {"order_id": "A1234"}),
        ({"email": STRING}, "Write to anna@example.com.", {"email": "anna@example.com"}),
        (
            {"size": {"enum": ["small", "extra large", "large"]}},
            "an extra large one",
            {"size": "extra large"},
        ),
        (
            {"cities": {"type": "array", "items": STRING}},
            "Is it warmer in Rome or in Oslo?",
            {"cities": ["Rome", "Oslo"]},
        ),
        (
            {"filter": {"type": "object", "properties": {"city": STRING}, "required": ["city"]}},
            "find something in Rome",
            {"filter": {"city": "Rome"}},
        ),
    ],
)
def test_what_was_said(properties: Json, words: str, wanted: Json) -> None:
    about = "book flight add roll dice turn light search translate send message write order find"
    assert made(properties, words, about=about) == wanted


def test_open_properties_are_there_only_when_the_words_give_them() -> None:
    properties = {
        "city": STRING,
        "unit": UNIT,
        "days": INTEGER,
        "detailed": BOOLEAN,
        "date": STRING,
    }
    usual = "What is the weather in Paris?"
    assert made(properties, usual, ["city"], "weather") == {"city": "Paris"}
    more = "What is the detailed weather in fahrenheit in Paris tomorrow for 3 days?"
    assert made(properties, more, ["city"], "weather") == {
        "city": "Paris", "unit": "fahrenheit", "days": 3, "detailed": True, "date": "tomorrow",
    }  # fmt: skip


def test_required_ones_are_there_whatever_was_said() -> None:
    for words in ("", "?!", "um"):
        assert made({"unit": UNIT}, words) == {"unit": "celsius"}
        assert made({"unit": {**UNIT, "default": "fahrenheit"}}, words) == {"unit": "fahrenheit"}
        assert made({"ok": BOOLEAN, "n": INTEGER}, words) == {"ok": False, "n": 1}
        assert made({"n": {"type": "integer", "minimum": 10}}, words) == {"n": 10}
        assert made({"x": {"anyOf": [STRING, {"type": "null"}]}}, words) == {"x": None}
        assert made({"city": {"type": "string", "minLength": 1}}, words)["city"]


def test_a_null_gives_way_to_words() -> None:
    open_city = {
        "city": {"anyOf": [STRING, {"type": "null"}]},
        "days": {"type": ["integer", "null"]},
    }
    assert made(open_city, "forecast for Rome", about="forecast") == {"city": "Rome", "days": None}


def test_words_are_taken_once() -> None:
    both, words = {"city": STRING, "country": STRING}, "weather in Paris in France"
    assert made(both, words, about="weather") == {"city": "Paris", "country": "France"}


def test_tools_without_a_schema_take_nothing() -> None:
    for schema in ("", "nonsense", "{}", '{"type": "object"}', "[]", "true"):
        assert arguments_for(schema, utterance("weather in Paris")) == "{}"


# Any schema.

NAMES = st.sampled_from(
    ["city", "from", "to", "date", "name", "query", "email", "order_id", "on", "n", "x y", "ключ"]
)
SPOKEN = st.sampled_from(
    ["", "What is the weather in Paris tomorrow?", "add 2 and three", "red or blue, from A to B",
     "отправь письмо в Москву завтра", 'say "hello" to Bob at 5 pm', "yes, not on", "X " * 300]
) | st.text(max_size=60)  # fmt: skip
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": st.integers(0, 5), "maxLength": st.integers(5, 40),
              "format": st.sampled_from(["date", "email", "uuid", "nonsense"]),
              "description": st.text(max_size=9), "default": st.text(max_size=3)},
)  # fmt: skip
INTEGERS = st.fixed_dictionaries(
    {"type": st.just("integer")},
    optional={"minimum": st.integers(-50, 5), "maximum": st.integers(5, 60),
              "multipleOf": st.sampled_from([1, 2, 5])},
)  # fmt: skip
NUMBERS = st.builds(
    lambda low, size, open_low, open_high: {
        "type": "number",
        "exclusiveMinimum" if open_low else "minimum": low,
        "exclusiveMaximum" if open_high else "maximum": low + size,
    },
    st.integers(-9, 9) | st.floats(-9, 9),
    st.sampled_from([0.25, 1, 7]),
    st.booleans(),
    st.booleans(),
)
CHOICES = st.lists(
    st.sampled_from(["red", "blue", "A", "tomorrow", 3, 7.5, True, None]),
    min_size=3,
    unique_by=repr,
).map(lambda choices: {"enum": choices})
CONSTANTS = st.sampled_from([1, "x", None, [1], {"a": 1}]).map(lambda value: {"const": value})
LEAVES = st.one_of(
    STRINGS, INTEGERS, NUMBERS, CHOICES, CONSTANTS, st.just({}), st.just(True),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["integer", "null"]},
                     {"$ref": "#/$defs/colour"}, {"allOf": [{"$ref": "#/$defs/colour"}]}]),
)  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    def build(properties: Json, is_required: list[bool], closed: bool, least: int) -> Json:
        return {
            "type": "object", "properties": properties,
            "required": [n for n, yes in zip(properties, is_required, strict=False) if yes],
            "minProperties": min(least, len(properties)),
            **({"additionalProperties": False} if closed else {}),
        }  # fmt: skip

    flags = st.lists(st.booleans(), min_size=4, max_size=4)
    properties = st.dictionaries(NAMES, inner, max_size=4)
    return st.builds(build, properties, flags, st.booleans(), st.integers(0, 4))


ARRAYABLE = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "integer", "minimum": 4},
     {"enum": ["red", "blue", "tomorrow", 3]}, {"type": "number", "maximum": -1}]
)  # fmt: skip
ARRAYS = st.builds(
    lambda items, least, more, unique: {
        "type": "array", "items": items, "minItems": least, "maxItems": least + more,
        "uniqueItems": unique,
    },
    ARRAYABLE, st.integers(0, 4), st.integers(0, 3), st.booleans(),
)  # fmt: skip


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least},
        inner, st.integers(0, 2),
    )  # fmt: skip
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})
    return st.one_of(objects(inner), lists, ARRAYS, unions)


SCHEMAS = objects(st.recursive(LEAVES, grown, max_leaves=6)).map(
    lambda schema: {**schema, "$defs": {"colour": {"enum": ["red", "blue"]}}}
)


@given(SCHEMAS, SPOKEN)
def test_arguments_are_always_valid(schema: Json, words: str) -> None:
    arguments = json.loads(arguments_for(json.dumps(schema), utterance(words)))
    Draft202012Validator(schema).validate(arguments)


NESTED: Json = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}
WIDE: Json = {
    "type": "object", "required": [f"p{n}" for n in range(5_000)],
    "properties": {f"p{n}": {"anyOf": [{"$ref": "#"}] * 40} for n in range(5_000)},
}  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        NESTED,
        WIDE,
        {"$ref": "#"},
        {"type": "object", "required": ["x"], "properties": {"x": False}},
        {
            "properties": {"a": {"type": "array", "minItems": 10**9, "items": {"type": "string"}}},
            "required": ["a"],
        },
        {"properties": {"a": {"type": "string", "minLength": 10**9}}, "required": ["a"]},
        {"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}, "required": ["a"]},
        {"properties": {"a": {"type": "number", "minimum": 5, "maximum": 1}}, "required": ["a"]},
        {"properties": {"a": {"type": "number", "multipleOf": 0}}, "required": ["a"]},
        {"properties": {"a": {"enum": []}, "b": {"oneOf": [{}, {}]}}, "required": ["a", "b"]},
        {"properties": {"a": {"enum": ["x" * 10**6]}}, "required": ["a"]},
        {
            "properties": {
                "a": {
                    "type": "array",
                    "minItems": 32,
                    "uniqueItems": True,
                    "items": {"enum": list(range(6_000))},
                }
            },
            "required": ["a"],
        },
        {"properties": {"a": {"minimum": 1e308, "multipleOf": 1e-308}}, "required": ["a"]},
        {"properties": {"a": {"minimum": 5, "multipleOf": 1e-308}}, "required": ["a"]},
        {
            "properties": {"a": {"minimum": 10**400, "default": 10**400, "multipleOf": 0.5}},
            "required": ["a"],
        },
    ],
    ids=lambda schema: str(schema)[:40],
)
@pytest.mark.timeout(30)
def test_hostile_schemas_are_bounded(schema: Json) -> None:
    for words in ("", "weather in Paris for 3 days" * 20):
        text = arguments_for(json.dumps(schema), utterance(words))
        assert isinstance(json.loads(text), dict)
        assert len(text) <= CHARS_MAX


def test_a_nest_within_a_schema_is_no_error() -> None:
    deep = "[" * 900 + "]" * 900
    schema = (
        f'{{"properties": {{"a": {{"default": {deep}, "enum": [{deep}]}}}}, "required": ["a"]}}'
    )
    assert isinstance(json.loads(arguments_for(schema, utterance(""))), dict)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "required", "items", "enum", "anyOf", "$ref", "minimum", "a",
             "maximum", "multipleOf", "minItems", "minLength", "default", "allOf", "oneOf"]
        ), inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(ANY_JSON, SPOKEN)
@example({"properties": {"a": {"minimum": math.inf}}, "required": ["a"]}, "1")
def test_whatever_is_sent_as_a_schema_makes_an_object(schema: object, words: str) -> None:
    assert isinstance(json.loads(arguments_for(json.dumps(schema), utterance(words))), dict)
