"""Whether the clients' own makers would accept what the server says.

Three judges look at every event: the published types of `openai` (required fields must be there,
and be what they are said to be), the schemas with which `@openai/agents-realtime` drops events
without a word, and the rule that a field which may be absent is left out rather than null.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Annotated

from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from .programs import Program
from .tap import Event

_TYPES: TypeAdapter[object] = TypeAdapter(
    Annotated[RealtimeServerEvent, Field(discriminator="type")]
)
# Where null says something: there is nothing before the first item, what was spoken is not known
# yet (one client drops an item of sound without this), or a feature is off.
NULL_MEANS = {
    "previous_item_id", "transcript", "turn_detection", "noise_reduction", "transcription",
}  # fmt: skip

# The types still have this one, although its name is that of the beta.
BETA = {"conversation.item.created"}
# What every session has and the types, which are those of a request, have not.
UNTYPED = {".session.id", ".session.object"}


def faults_of_types(events: Iterable[Event]) -> list[str]:
    """What the published types hold against these events."""
    found = []
    for event in events:
        if event["type"] in BETA:
            found.append(f"{event['type']}: a name of the beta")
            continue
        try:
            read = _TYPES.validate_python(event, strict=True)
        except ValidationError as error:
            found.append(f"{event['type']}: {error}")
        else:
            unknown = set(_unknown(read, "")) - UNTYPED
            found += [f"{event['type']}: unknown {path}" for path in unknown]
    return found


def _unknown(value: object, path: str) -> Iterator[str]:
    """The fields that the published types do not have: a name that was misspelt, say."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in value.model_fields_set & set(type(value).model_fields):
            yield from _unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _unknown(inner, f"{path}[]")


def faults_of_nulls(events: Iterable[Event]) -> list[str]:
    """The places where null stands for nothing."""
    return [f"{event['type']}: {path}" for event in events for path in _nulls(event, "")]


def _nulls(value: object, path: str) -> Iterator[str]:
    if value is None and path.rpartition(".")[2] not in NULL_MEANS:
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _nulls(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _nulls(inner, f"{path}[]")


class Schemas:
    """The schemas of `@openai/agents-realtime`, asked in Node.js: tests/sdk/node/schemas.mjs."""

    def __init__(self, program: Program) -> None:
        self._program, self._asking = program, asyncio.Lock()

    async def faults(self, events: Iterable[Event]) -> list[str]:
        async with self._asking:
            self._program.say(events=list(events))
            seen = await self._program.read()
        assert seen is not None
        return [f"{each['type']}: {json.dumps(each['issues'])}" for each in seen["faults"]]
