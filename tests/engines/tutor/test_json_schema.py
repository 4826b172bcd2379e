"""What a schema says, held against the library that judges by the standard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engines.tutor.json_schema import Judge, Schema, parsed, resolved, same, types_of


def fits(value: object, schema: object, root: Schema) -> bool:
    return Judge(root).fits(value, schema)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 2.0, "", "a", "ab"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)
SIMPLE = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "null"])
        | st.lists(st.sampled_from(["string", "integer", "null"]), min_size=1, unique=True),
        "enum": st.lists(VALUES, max_size=4),
        "const": VALUES,
        "minimum": st.integers(-3, 3), "maximum": st.integers(-3, 3),
        "exclusiveMinimum": st.integers(-3, 3), "exclusiveMaximum": st.integers(-3, 3),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": st.integers(0, 2), "maxLength": st.integers(0, 2),
    },
)  # fmt: skip
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | SIMPLE,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["array", "object"]), "items": inner,
            "minItems": st.integers(0, 2), "maxItems": st.integers(0, 2),
            "uniqueItems": st.booleans(),
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "additionalProperties": inner, "minProperties": st.integers(0, 2),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
        },
    ),
    max_leaves=6,
)  # fmt: skip


@given(VALUES, SCHEMAS)
def test_it_judges_as_the_standard_does(value: object, schema: object) -> None:
    assert fits(value, schema, {}) == Draft202012Validator(schema).is_valid(value)


def test_references_are_followed_and_merged() -> None:
    root = {
        "$defs": {"city": {"type": "string", "minLength": 1}, "a/b": {"type": "integer"}},
        "allOf": [{"properties": {"x": {"$ref": "#/$defs/city"}}, "required": ["x"]},
                  {"properties": {"y": {"$ref": "#/$defs/a~1b"}}, "required": ["y"]}],
    }  # fmt: skip
    rules = resolved(root, root)
    assert rules["required"] == ["x", "y"]
    assert fits({"x": "Paris", "y": 1}, root, root)
    assert not fits({"x": "", "y": 1}, root, root)
    assert not fits({"x": "Paris", "y": "1"}, root, root)
    assert resolved({"$ref": "#/$defs/city", "maxLength": 3}, root)["maxLength"] == 3


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"}, {"anyOf": [{"$ref": "#"}] * 16},
        {"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}},
    ],
)  # fmt: skip
def test_circles_come_to_an_end(schema: dict[str, object]) -> None:
    nest: object = 1
    for _ in range(40):
        nest = {"a": [nest]}
    assert fits(nest, schema, schema) in (True, False)


def test_what_is_no_schema_allows_everything() -> None:
    for text in ("", "{", "7", "null", "[" * 100_000, '"text"'):
        assert parsed(text) == {}
    assert parsed('{"minimum": NaN}') == {"minimum": None}


def test_odd_schemas_are_no_errors() -> None:
    odd = {"type": 7, "enum": 3, "properties": [], "required": "x", "minimum": "low", "anyOf": {}}
    values: list[object] = ["a", 1, {}, [], None]
    for value in values:
        assert fits(value, {k: v for k, v in odd.items() if k != "enum"}, {})
    assert types_of({"type": "nonsense"}) == ("string",)


def test_equal_as_json_has_it() -> None:
    assert same(1, 1.0) and not same(True, 1) and not same([0], [False])
    assert same({"a": [1]}, json.loads('{"a": [1.0]}')) and not same({"a": 1}, {"b": 1})
