"""What is gathered of turns is what happened in them, each turn once, and no word of anybody."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.engine_prices import ANY, NOTHING, PUBLIC, Costs, EnginePrices, Price
from billing.turn_facts import USES_MAX, TurnFacts
from engines.speech import EngineFailed, EngineUse
from voice_server.calls import events as ev
from voice_server.calls.turn_log import (
    SETTLES_S,
    TURNS_MAX,
    UNANSWERED_S,
    USES_CHARS_MAX,
    TurnLog,
)

from . import simulate
from .playbook import Connected, Playbook, Played, answered, final, says, silent

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PENNY = Price(
    "dialogue", "vendor", ANY, "EUR", NOON.date(), {"tokens_out": Decimal(1)}
)  # A millionth for each token.
PRICES = EnginePrices([PENNY], PUBLIC)
HEARD = EngineUse("speech_to_text", "sphinx", "", "done", 800, 200)
THOUGHT = EngineUse(
    "dialogue", "vendor", "m1", "done", 900, 300, amounts=(("tokens_out", 30),)
)  # fmt: skip
SPOKEN = EngineUse("text_to_speech", "espeak", "", "done", 400, 50)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def log_of(book: Playbook, *uses: EngineUse) -> TurnLog:
    """What was done in a call, and these requests for its first turn."""
    log = TurnLog("call_1", PRICES)
    for action in book.all:
        log.act(action, NOON)
    for use in uses:
        log.used(1, use, NOON)
    return log


def asks() -> Playbook:
    book = Playbook()
    return book >> [Connected(), *says(640), *silent(700), final(1, "What is a verb?")]


def replies(book: Playbook) -> Playbook:
    book.pending.clear()
    return book >> answered(1, "A doing word.", 400)


# One turn.


def test_a_turn_that_was_answered() -> None:
    book = replies(asks())
    book.pending.clear()
    book >> [Played(1, 20), Played(1, 400)]
    log = log_of(book, HEARD, THOUGHT, SPOKEN)
    [turn] = log.rest()
    [latency] = book.did(ev.Latency)
    assert (turn.usage_id, turn.turn, turn.started_at) == ("call_1", 1, NOON)
    assert (turn.outcome, turn.reason, turn.failovers) == ("completed", "", 0)
    parts = (
        turn.endpointing_ms, turn.transcript_ms, turn.first_token_ms, turn.first_sentence_ms,
        turn.first_audio_ms, turn.first_packet_ms,
    )  # fmt: skip
    assert turn.endpointing_ms == latency.endpointing_ms > 0
    assert turn.gap_ms == latency.gap_ms == sum(part for part in parts if part is not None)
    engines = (turn.speech_to_text, turn.dialogue, turn.text_to_speech, turn.speech_to_speech)
    assert engines == ("sphinx", "vendor:m1", "espeak", None)
    assert (turn.requests, turn.cost_micros, turn.unpriced) == (3, {"EUR": 30}, 0)
    assert log.costs == Costs({"EUR": 30})
    assert turn.uses[1] == {
        "role": "dialogue", "engine": "vendor", "version": "m1", "outcome": "done",
        "took_ms": 900, "first_ms": 300, "error": "", "amounts": {"tokens_out": 30},
        "cost": {"currency": "EUR", "micros": 30},
    }  # fmt: skip


def test_no_word_of_anybody_is_in_it() -> None:
    [turn] = log_of(replies(asks()), HEARD).rest()
    told = json.dumps(turn.as_json(costs=True))
    assert "verb" not in told and "doing" not in told


def test_a_reply_that_was_cut_off_or_broke() -> None:
    book = asks()
    book.pending.clear()
    [cut] = log_of(book >> [ev.HungUp()]).rest()
    assert (cut.outcome, cut.reason, cut.gap_ms) == ("cancelled", "client_cancelled", None)
    book = asks()
    book.pending.clear()
    [broken, *_] = log_of(book >> [EngineFailed(1, "the vendor is\x00 away")]).rest()
    assert (broken.outcome, broken.reason) == ("failed", "the vendor is  away")


def test_words_that_could_not_be_heard_are_a_failure_of_their_turn() -> None:
    log = log_of(Playbook())
    log.act(ev.SpeechStarted(1, 0), NOON)
    log.act(ev.Failed(1, "nobody\nhears"), NOON)
    [turn] = log.rest()
    assert (turn.outcome, turn.reason) == ("failed", "nobody hears")


def test_sound_that_was_no_speech_is_told_for_what_hearing_it_cost() -> None:
    book = Playbook() >> [Connected(), *says(640), *silent(700)]
    book.pending.clear()
    book >> [final(1, "")]
    [turn] = log_of(book, HEARD).rest()
    assert (turn.outcome, turn.speech_to_text, turn.dialogue) == ("unanswered", "sphinx", None)
    assert log_of(book).rest() == [], "nobody was asked anything"


# Engines that stand in for others.


def use(engine: str, outcome: str, role: str = "dialogue", **more: object) -> EngineUse:
    return EngineUse(role, engine, "", outcome, 100, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uses", "failovers", "dialogue"),
    [
        ([use("a", "failed", error="503"), use("b", "done")], 1, "b"),
        ([use("a", "failed"), use("b", "failed"), use("c", "done")], 2, "c"),
        ([use("a", "failed"), use("b", "left", first_ms=9)], 1, "b"),
        ([use("a", "failed"), use("b", "left")], 0, None),
        ([use("a", "failed")], 0, None),
        ([use("a", "failed"), use("a", "done")], 0, "a"),
        ([use("a", "failed", "text_to_speech"), use("b", "done")], 0, "b"),
        ([use("a", "done"), use("a", "failed"), use("b", "done"), use("b", "done")], 1, "b"),
    ],
)
def test_failovers_are_what_another_engine_did_then(
    uses: list[EngineUse], failovers: int, dialogue: str | None
) -> None:
    [turn] = log_of(Playbook(), *uses).rest()
    assert (turn.failovers, turn.dialogue, turn.requests) == (failovers, dialogue, len(uses))
    assert turn.unpriced == len(uses), "none of them has a price"
    assert [each["error"] for each in turn.uses] == [each.error for each in uses]


@pytest.mark.parametrize(
    ("failed", "costs"),
    [
        (replace(THOUGHT, outcome="failed"), Costs({}, unknown=1)),
        (replace(THOUGHT, outcome="left"), Costs({"EUR": 30})),
        (replace(SPOKEN, outcome="failed"), Costs({})),
    ],
)
def test_what_failed_is_only_known_to_cost_nothing_here(failed: EngineUse, costs: Costs) -> None:
    assert log_of(Playbook(), failed).costs == costs


# When a turn is told.


def test_a_turn_is_told_once_it_is_over_and_quiet() -> None:
    log = TurnLog("call_1", PRICES)
    log.act(ev.SpeechStarted(1, 0), NOON)
    assert log.settled(after(300)) == [], "somebody speaks, or waits to be answered"
    log.act(ev.FinalText(1, "Hello", "Hello"), after(1))
    log.act(ev.ReplyStarted(1), after(1))
    assert log.settled(after(3_600)) == [], "the reply goes on"
    log.act(ev.ReplyFinished(1, "completed", "", "", 0), after(2))
    assert log.settled(after(2 + SETTLES_S - 0.1)) == []
    log.used(1, SPOKEN, after(4))
    assert log.settled(after(4 + SETTLES_S - 0.1)) == [], "something was heard of it"
    [turn] = log.settled(after(4 + SETTLES_S))
    assert (turn.turn, turn.started_at) == (1, NOON)
    assert log.settled(after(999)) == log.rest() == []


def test_what_nobody_answers_is_told_after_a_long_time() -> None:
    log = TurnLog("call_1", PRICES)
    log.used(1, HEARD, NOON)
    log.act(ev.FinalText(1, "Hello", "Hello"), after(1))
    assert log.settled(after(UNANSWERED_S)) == []
    [turn] = log.settled(after(1 + UNANSWERED_S))
    assert turn.outcome == "unanswered"


def test_what_comes_too_late_is_priced_and_not_told_again() -> None:
    log = TurnLog("call_1", PRICES)
    log.used(1, THOUGHT, NOON)
    [turn] = log.rest()
    log.used(1, THOUGHT, after(60))
    assert log.rest() == []
    assert (turn.cost_micros, log.costs) == ({"EUR": 30}, Costs({"EUR": 60}))


def test_what_was_asked_for_nobody_s_words_began_when_it_was_asked() -> None:
    log = TurnLog("call_1", PRICES)
    log.used(4, THOUGHT, NOON)
    assert log.rest()[0].started_at == NOON - timedelta(milliseconds=900)


def test_prices_are_those_of_the_day() -> None:
    log = TurnLog("call_1", PRICES)
    log.used(1, THOUGHT, NOON - timedelta(days=1))
    assert log.costs == Costs({}, unknown=1)


# Bounds.


def test_of_very_many_requests_the_first_are_kept_and_all_are_counted() -> None:
    log = TurnLog("call_1", PRICES)
    for _ in range(USES_MAX + 9):
        log.used(1, THOUGHT, NOON)
    [turn] = log.rest()
    assert (len(turn.uses), turn.requests) == (USES_MAX, USES_MAX + 9)
    assert turn.cost_micros == {"EUR": 30 * (USES_MAX + 9)}


def test_what_an_engine_says_is_cut_to_size() -> None:
    log, long = TurnLog("call_1", PRICES), "\x00" + "é" * 10**6
    for _ in range(USES_MAX):
        log.used(1, EngineUse(long, long, long, long, 1, error=long), NOON)
        log.used(1, EngineUse("dialogue", long, long, "done", 1), NOON)
    log.act(ev.Failed(1, long), NOON)
    [turn] = log.rest()
    assert len(json.dumps(turn.uses)) <= USES_CHARS_MAX + 2 * USES_MAX
    assert len(turn.reason) <= 200 and turn.dialogue is not None and len(turn.dialogue) <= 161


@pytest.mark.parametrize("amount", [-5, 10**30])
def test_a_count_that_cannot_be_is_unknown(amount: int) -> None:
    log = TurnLog("call_1", PRICES)
    log.used(1, EngineUse("dialogue", "vendor", "", "done", 1, amounts=(("tokens_out", amount),)),
             NOON)  # fmt: skip
    assert log.costs == Costs({}, unknown=1)
    assert log.rest()[0].uses[0]["amounts"] == {}


def test_of_a_call_with_too_many_turns_the_first_are_told() -> None:
    log = TurnLog("call_1", PRICES)
    told: list[TurnFacts] = []
    for number in range(TURNS_MAX + 50):
        log.act(ev.ReplyFinished(number, "completed", "", "", 0), after(number))
        log.used(number, THOUGHT, after(number))
        told += log.settled(after(number)) if number % 7 == 0 else []
    assert len(told) > TURNS_MAX - 50
    told += log.rest()
    assert [turn.turn for turn in told] == list(range(TURNS_MAX))
    assert log.costs == Costs({"EUR": 30 * (TURNS_MAX + 50)})


# Any call.


class Watched:
    """A random call, watched by a log, with random requests for its turns."""

    def __init__(self, seed: int) -> None:
        self.rng, self.now = random.Random(seed), NOON
        self.log = TurnLog("call_1", PRICES)
        self.told: list[TurnFacts] = []
        self.ends: dict[int, str] = {}
        self.gaps: dict[int, int] = {}
        self.uses = 0

    def see(self, actions: list[ev.Action]) -> None:
        self.now += timedelta(seconds=self.rng.choice((0, 0, 0.1, 1)))
        for action in actions:
            self.log.act(action, self.now)
            match action:
                case ev.ReplyStarted(turn) if self.rng.random() < 0.7:
                    engine = self.rng.choice(("vendor", "stranger"))
                    outcome = self.rng.choice(("done", "failed", "left"))
                    self.uses += 1
                    self.log.used(
                        turn,
                        EngineUse("dialogue", engine, "", outcome, 5, amounts=(("tokens_out", 7),)),
                        self.now,
                    )
                case ev.ReplyFinished(turn, status):
                    self.ends[turn] = status
                case ev.Latency(turn):
                    self.gaps[turn] = action.gap_ms
        if self.rng.random() < 0.05:
            self.told += self.log.settled(self.now)


def test_any_call_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reply with how it ended and where its time went, once; and every cost."""
    check = simulate.Promises.check
    early = gaps = 0
    for seed in range(150):
        watched = Watched(seed)

        def look(
            promises: simulate.Promises, actions: list[ev.Action], watched: Watched = watched
        ) -> None:
            check(promises, actions)
            watched.see(actions)

        with monkeypatch.context() as patched:
            patched.setattr(simulate.Promises, "check", look)
            simulate.run(seed)
        early += len(watched.told)
        told = watched.told + watched.log.rest()
        numbers = [turn.turn for turn in told]
        assert len(set(numbers)) == len(numbers)
        found = {turn.turn: turn for turn in told}
        assert watched.ends.items() <= {turn: f.outcome for turn, f in found.items()}.items()
        assert watched.gaps == {n: f.gap_ms for n, f in found.items() if f.gap_ms is not None}
        assert sum(turn.requests for turn in told) == watched.uses
        costs = NOTHING
        for turn in told:
            micros = costs.micros.get("EUR", 0) + turn.cost_micros.get("EUR", 0)
            costs = Costs({"EUR": micros} if micros else {}, costs.unknown + turn.unpriced)
        assert costs == watched.log.costs
        gaps += len(watched.gaps)
    assert early > 100 and gaps > 100, "hardly anything was told"
