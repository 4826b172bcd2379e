"""What the README says of the protocol is complete, and the tests it names are there."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

from voice_server.calls.realtime.dialect import CLIENT_EVENTS

HOUSE = Path(__file__).resolve().parent.parent
TESTS = HOUSE / "tests" / "calls" / "realtime"
_ROW = re.compile(r"^\| (`[a-z_.` ]+`) \| ([►◄]) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)


def published(union: object) -> set[str]:
    models = typing.get_args(typing.get_args(union)[0])
    return {typing.get_args(model.model_fields["type"].annotation)[0] for model in models}


def rows() -> list[tuple[set[str], str, str, str]]:
    found = _ROW.findall((HOUSE / "README.md").read_text())
    return [(set(re.findall(r"`([a-z_.]+)`", n)), way, said, test) for n, way, said, test in found]


def events(way: str) -> set[str]:
    return {name for names, direction, _, _ in rows() if direction == way for name in names}


def test_every_published_event_has_a_row() -> None:
    assert events("►") == published(RealtimeClientEvent) == set(CLIENT_EVENTS)
    assert events("◄") == published(RealtimeServerEvent)


def test_what_is_supported_names_a_test_that_is_there() -> None:
    for names, _, said, test in rows():
        assert (said.startswith("no")) == (test == ""), f"{names}: {said} {test}"
        if test:
            file, _, name = test.strip("`").partition("::")
            text = (TESTS / file).read_text()
            assert not name or re.search(rf"(class|def) {name}\b", text), f"{test} is not there"
