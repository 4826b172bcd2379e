"""What is known of a turn is bounded, and tells each what they may see."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from billing.engine_prices import Cost
from billing.turn_facts import (
    AMOUNT_MAX,
    AMOUNTS_MAX,
    PricedUse,
    TurnFacts,
    clean,
    sound_amounts,
)

USE = PricedUse(
    "dialogue", "openai", "gpt-4.1-mini", "done", 900, 300, "", (("tokens_out", 9),),
    Cost("USD", 15),
)  # fmt: skip


def turn(**more: object) -> TurnFacts:
    facts: dict[str, object] = {
        "usage_id": "call_1", "turn": 3, "started_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
        "outcome": "completed", "dialogue": USE.name, "requests": 1, "unpriced": 1,
        "cost_micros": {"USD": 15}, "uses": (USE.as_json(),),
    }  # fmt: skip
    return TurnFacts(**facts | more)  # type: ignore[arg-type]


def test_a_use_names_the_engine_and_the_model() -> None:
    assert USE.name == "openai:gpt-4.1-mini"
    assert json.loads(json.dumps(USE.as_json()))["cost"] == {"currency": "USD", "micros": 15}


@pytest.mark.parametrize(
    ("outcome", "first_ms", "answered"),
    [("done", None, True), ("left", 5, True), ("left", None, False), ("failed", 5, False)],
)
def test_who_answered(outcome: str, first_ms: int | None, answered: bool) -> None:
    use = PricedUse("dialogue", "e", "", outcome, 1, first_ms, "", (), None)
    assert (use.answered, use.name) == (answered, "e")
    assert use.as_json()["cost"] is None


def test_only_who_runs_the_server_sees_what_it_cost() -> None:
    told, owner_told = turn().as_json(costs=False), turn().as_json(costs=True)
    assert "cost" not in told and "15" not in json.dumps(told)
    assert told["uses"] == [
        {k: v for k, v in USE.as_json().items() if k not in ("cost", "amounts")}
    ]
    assert owner_told["cost"] == {"micros": {"USD": 15}, "unknown": 1}
    assert owner_told["uses"] == [USE.as_json()]


def test_a_turn_without_a_reply_has_no_latency() -> None:
    assert turn().as_json(costs=False)["latency"] is None
    parts = dict.fromkeys(
        ("endpointing_ms", "transcript_ms", "first_token_ms", "first_sentence_ms",
         "first_audio_ms", "first_packet_ms"), 1,
    )  # fmt: skip
    told = turn(gap_ms=6, answer_ms=9, **parts).as_json(costs=False)["latency"]
    assert told == parts | {"gap_ms": 6, "answer_ms": 9}
    assert turn().as_json(costs=False)["engines"] == {"dialogue": "openai:gpt-4.1-mini"}


def test_text_is_made_fit_to_be_kept() -> None:
    assert clean("a\x00b\nc\ud800d ", 99) == "a b c d"
    assert clean("x" * 99, 10) == "x" * 10


def test_amounts_that_nobody_counted_are_left_out() -> None:
    told = [("a", 0), ("b", -1), ("c", AMOUNT_MAX), ("d", AMOUNT_MAX + 1), ("e", "9")]
    assert sound_amounts(told) == (("a", 0), ("c", AMOUNT_MAX))  # type: ignore[arg-type]
    assert len(sound_amounts([("a", 1)] * 99)) == AMOUNTS_MAX
