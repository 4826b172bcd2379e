"""A reply is thought of in the pause: when, what for, and that nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.speech import (
    Cancel,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Note,
    Prepare,
    Respond,
    Turn,
)
from voice_server.calls.conversation import Conversation
from voice_server.calls.events import (
    Action,
    Added,
    Asked,
    Cleared,
    Forgotten,
    Input,
    RulesChanged,
    Spoken,
    TurnJudged,
    Typed,
)
from voice_server.calls.rules import Judging

from . import simulate
from .playbook import (
    Connected,
    Endpointing,
    Playbook,
    Played,
    Rules,
    answered,
    final,
    partial,
    says,
    silent,
)

WORDS = "What is a verb?"
NOTHING = Prepare(1, ())


def prepared(turn: int, user: str, *before: Turn) -> Prepare:
    return Prepare(turn, (*before, Turn(user, "")))


def pausing(words: str = WORDS, rules: Rules | None = None) -> Playbook:
    """The words came while they were spoken; the pause is not long enough to matter."""
    book = Playbook(rules, show=(Prepare,)) >> Connected() >> says(320)
    return book >> partial(1, words) >> silent(160)


def test_in_a_pause_the_reply_is_thought_of_once() -> None:
    book = pausing()
    book.idle()
    book >> silent(0) << prepared(1, WORDS)
    book >> silent(300)
    book >> silent(32) << EndUtterance(1) >> final(1, "what is a verb")
    book << Respond(1, (Turn("what is a verb", ""),))
    assert len(book.did(Prepare)) == 1


def test_not_before_the_words_have_settled() -> None:
    book = pausing("What is") >> partial(1, WORDS) >> silent(150)
    book.idle()
    book >> silent(32) << prepared(1, WORDS)


def test_words_that_come_late_are_thought_of_while_the_last_are_awaited() -> None:
    book = Playbook(show=(Prepare,)) >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> partial(1, WORDS)
    book.after(199).idle()
    book.after(1) << prepared(1, WORDS)
    book >> final(1, WORDS) << Respond(1, (Turn(WORDS, ""),))


def test_with_all_that_was_said_before() -> None:
    book = pausing() >> silent(0) << Prepare
    (book >> silent(400) << EndUtterance(1)) >> final(1, WORDS) << Respond
    (book >> answered(1, "A doing word.", 100)).plays(5) >> Played(1, 100)
    book >> says(320) >> partial(2, "And a noun?") >> silent(250)
    book << prepared(2, "And a noun?", Turn(WORDS, "A doing word."))


def test_who_speaks_on_with_other_words_is_thought_of_anew() -> None:
    book = pausing() >> silent(0) << Prepare
    book >> says(320)
    book.idle()  # The words are still these.
    book >> partial(1, "What is a verb or a noun?") << NOTHING
    book >> silent(250) << prepared(1, "What is a verb or a noun?")


def test_who_speaks_on_and_said_nothing_more_is_not() -> None:
    book = pausing() >> silent(0) << Prepare
    book >> says(64) >> partial(1, "what is a verb") >> silent(500)
    book.idle()
    book >> silent(700) << EndUtterance(1) >> final(1, WORDS) << Respond


def test_other_words_in_the_end() -> None:
    book = pausing() >> silent(0) << Prepare
    book >> silent(400) << EndUtterance(1) >> final(1, "What is a herb?")
    book << Respond(1, (Turn("What is a herb?", ""),))


def test_no_words_in_the_end() -> None:
    book = pausing() >> silent(0) << Prepare
    book >> silent(400) << EndUtterance(1) >> final(1, "") << NOTHING
    book.idle()


def test_words_that_seem_unfinished_are_given_time() -> None:
    book = pausing("My name is") >> silent(300)
    book.idle()
    book >> silent(96) << prepared(1, "My name is")


def test_a_pause_that_was_judged_to_be_none_prepares_nothing() -> None:
    rules = Rules(endpointing=Endpointing(judging=Judging(after_ms=96)))
    book = pausing(rules=rules) >> TurnJudged(1, 1, 0.1) >> silent(2_000)
    book.idle()


@pytest.mark.parametrize(
    "rules",
    [
        Rules(prepare_ms=0), Rules(answers=False), Rules(answers_sound=True),
        Rules(endpointing=Endpointing(manual=True)),
    ],
)  # fmt: skip
def test_where_no_reply_would_follow_none_is_thought_of(rules: Rules) -> None:
    book = pausing(rules=rules) >> silent(300)
    book.idle()


def test_not_for_who_cannot_be_heard() -> None:
    book = pausing() >> EngineFailed(1, "no recogniser") >> silent(160)
    book.idle()


def test_not_over_a_reply() -> None:
    book = Playbook(show=(Prepare,)) >> Connected() >> Typed("Count.") << Respond
    book >> says(320) << Cancel  # Nothing was heard yet: the question goes on.
    book >> partial(2, "to ten, please.") >> silent(250) << prepared(2, "Count. to ten, please.")


@pytest.mark.parametrize(
    ("event", "done"),
    [
        (Typed("hello"), [Cancel(1, 0), Respond]), (Cleared(), [Cancel(1, 0), NOTHING]),
        (Added("n", Note("system", "Be brief.")), [NOTHING]),
        (EngineFailed(1, "x"), [NOTHING]), (Forgotten(Spoken(1, None)), []),
        (RulesChanged(Rules(prepare_ms=0)), [NOTHING]),
    ],
)  # fmt: skip
def test_what_makes_it_vain(event: Input, done: list[Action | type]) -> None:
    book = pausing() >> silent(0) << Prepare
    book >> event
    for action in done:
        book << action
    book.idle()


def test_settings_of_the_wish_that_waits_are_those_of_the_reply() -> None:
    own = EngineSettings(instructions="Be brief.")
    book = Playbook(show=(Prepare,)) >> Connected() >> says(320) >> Asked(settings=own)
    book >> partial(1, WORDS) >> silent(250) << Prepare(1, (Turn(WORDS, ""),), own)
    book >> silent(400) << EndUtterance(1) >> final(1, WORDS)
    book << Respond(1, (Turn(WORDS, ""),), own)


class Recorded(Conversation):
    """A call that remembers what happened, and what it did."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules, now_ms=0)
        self.first_rules = rules
        self.log: list[tuple[Input, int, list[Action]]] = []

    def receive(self, event: Input, now_ms: int) -> list[Action]:
        actions = super().receive(event, now_ms)
        self.log.append((event, now_ms, actions))
        return actions


def test_nobody_can_tell_that_a_reply_was_thought_of() -> None:
    """The same call without preparation does the same, but for that."""
    vain = 0
    for seed in range(120):
        made: list[Recorded] = []

        def begin(rules: Rules) -> Conversation:
            made.append(Recorded(replace(rules, prepare_ms=200)))  # noqa: B023
            return made[-1]  # noqa: B023

        simulate.play(seed, begin)
        [call] = made
        other = Conversation(replace(call.first_rules, prepare_ms=0), now_ms=0)
        for event, now_ms, actions in call.log:
            if isinstance(event, RulesChanged):
                event = RulesChanged(replace(event.rules, prepare_ms=0))
            told = [action for action in actions if not isinstance(action, Prepare)]
            vain += len(actions) - len(told)
            assert other.receive(event, now_ms) == told
    assert vain > 20, "nothing was prepared"
