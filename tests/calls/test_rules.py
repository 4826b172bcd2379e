from __future__ import annotations

import json

import pytest

from engines.speech import EngineSettings
from voice_server.calls.events import RulesChanged
from voice_server.calls.realtime.dialect import Dialect
from voice_server.calls.rules import ENGLISH, RUSSIAN, Endpointing, Judging, Rules, notices_in


def test_notices_are_spoken_in_the_language_of_the_call() -> None:
    dialect = Dialect(
        call_id="call_1", model="m", settings=EngineSettings(), rules=Rules(),
        new_id=lambda prefix: f"{prefix}_1", webrtc=True,
    )  # fmt: skip
    heard = {"transcription": {"language": "ru"}}
    update = {"type": "session.update", "session": {"audio": {"input": heard}}}
    changed = [e for e in dialect.receive(json.dumps(update)).inputs if isinstance(e, RulesChanged)]
    assert [event.rules.notices for event in changed] == [RUSSIAN]


def test_a_language_without_notices_gets_english_ones() -> None:
    assert notices_in("fi") == ENGLISH


@pytest.mark.parametrize(
    "wrong",
    [{"after_ms": 0}, {"after_ms": 4_000}, {"ended_above": 0.0}, {"ended_above": 1.1}],
)
def test_judging_that_contradicts_itself_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Judging(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"silence_below": 0.6}, {"onset_ms": 0}, {"barge_in_ms": 64}, {"pause_unfinished_ms": 500}],
)
def test_rules_that_contradict_themselves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Endpointing(**wrong)  # type: ignore[arg-type]
