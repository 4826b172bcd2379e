"""The judges themselves: each fault that has broken a client is found."""

from __future__ import annotations

from typing import Any

import pytest

from .strictness import Schemas, faults_of_nulls, faults_of_types

ADDED: dict[str, Any] = {
    "type": "conversation.item.added",
    "event_id": "event_1",
    "previous_item_id": None,
    "item": {
        "id": "item_1", "object": "realtime.item", "type": "function_call", "name": "weather",
        "arguments": "", "call_id": "call_1", "status": "in_progress",
    },
}  # fmt: skip


async def test_an_event_as_it_should_be_pleases_all(schemas: Schemas) -> None:
    assert faults_of_types([ADDED]) == []
    assert faults_of_nulls([ADDED]) == []
    assert await schemas.faults([ADDED]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": 5},
        {"item": {**ADDED["item"], "name": None}},
        {"item": {**ADDED["item"], "status": "done"}},
        {"type": "conversation.item.created"},
        {"previous_item": "item_0"},
    ],
)
def test_what_the_types_do_not_allow_is_found(wrong: dict[str, Any]) -> None:
    assert len(faults_of_types([{**ADDED, **wrong}])) == 1


def test_a_field_that_is_missing_is_found() -> None:
    assert len(faults_of_types([{k: v for k, v in ADDED.items() if k != "event_id"}])) == 1


def test_a_null_that_says_nothing_is_found() -> None:
    item = {**ADDED["item"], "call_id": None}
    assert faults_of_nulls([{**ADDED, "item": item}]) == [
        "conversation.item.added: .item.call_id",
    ]


async def test_what_the_agents_would_drop_is_found(schemas: Schemas) -> None:
    item = {**ADDED["item"], "call_id": None}
    (fault,) = await schemas.faults([ADDED, {**ADDED, "item": item}])
    assert fault.startswith("conversation.item.added") and "call_id" in fault
