"""What a dialogue engine is told of a call: all of it, once, in its order, and last what it is to
answer."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.speech import (
    CallPiece,
    Entry,
    FunctionCall,
    FunctionResult,
    Note,
    Turn,
)
from voice_server.calls.events import FIRST, CalledIn, Replied, Spoken
from voice_server.calls.memory import CHARS_MAX, ENTRIES_MAX, Kept, Memory, fold
from voice_server.calls.reply import PastTurn, Piece, Reply

LOOK = FunctionCall("c1", "look", '{"at": "it"}')
SEVEN = FunctionResult("c1", "7")


def said(text: str = "", *calls: FunctionCall, heard: bool = True, made: bool = True) -> Reply:
    """A reply of 400 ms, heard to its end or not at all."""
    reply = Reply(made=made)
    if text:
        reply.pieces.append(Piece(text, sound_ms=400))
        reply.sound_ms = 400
        reply.play(400 if heard else 0)
    for call in calls:
        assert reply.add_call(CallPiece(call.call_id, call.name, call.arguments))
    return reply


def remembering(*entries: PastTurn | Entry) -> Memory:
    """The nth of the entries of the client has the id `k<n>`."""
    memory = Memory()
    for number, entry in enumerate(entries):
        if isinstance(entry, PastTurn):
            memory.remember(entry)
        else:
            memory.add(Kept(f"k{number}", entry))
    return memory


def answered(number: int, user: str, agent: str = "yes") -> PastTurn:
    return PastTurn(number, user, said(agent))


def unanswered(number: int, user: str) -> PastTurn:
    return PastTurn(number, user, Reply(), answered=False)


# What is told.


def test_an_empty_memory_holds_what_is_asked() -> None:
    assert Memory().history("Hello?") == (Turn("Hello?", ""),)


def test_turns_and_what_stands_between_them() -> None:
    memory = remembering(
        answered(1, "one"), Note("system", "Be kind."), PastTurn(2, "two", said("wait", LOOK)),
        SEVEN, answered(3, "", "it is seven"),
    )  # fmt: skip
    assert memory.history("three") == (
        Turn("one", "yes"), Note("system", "Be kind."), Turn("two", "wait", calls=(LOOK,)), SEVEN,
        Turn("", "it is seven"), Turn("three", ""),
    )  # fmt: skip


def test_what_nobody_answered_is_part_of_the_next_question() -> None:
    memory = remembering(unanswered(1, "one"), Note("user", "two"), unanswered(2, "three"))
    assert memory.history("four") == (Turn("one two three four", ""),)


def test_an_answer_answers_all_that_waited_for_it() -> None:
    memory = remembering(Note("user", "one"), answered(1, "two"), Note("user", "three"))
    assert memory.history("") == (Turn("one two", "yes"), Turn("three", ""))


def test_what_an_assistant_is_said_to_have_answered_is_a_turn() -> None:
    memory = remembering(Note("user", "one"), Note("assistant", "yes"), Note("assistant", "so"))
    assert memory.history("two") == (Turn("one", "yes"), Turn("", "so"), Turn("two", ""))


def test_a_call_a_client_made_stands_behind_the_words_it_was_made_for() -> None:
    memory = remembering(Note("user", "look"), LOOK, SEVEN, Note("assistant", "seven"))
    assert memory.history("and now?") == (
        Turn("look", "", calls=(LOOK,)), SEVEN, Turn("", "seven"), Turn("and now?", ""),
    )  # fmt: skip


def test_calls_in_a_row_stay_calls() -> None:
    other = FunctionCall("c2", "look", "{}")
    assert fold([LOOK, other, SEVEN], "x") == (LOOK, other, SEVEN, Turn("x", ""))
    assert fold([Note("user", "a"), LOOK, other], "") == (
        Turn("a", "", calls=(LOOK,)), other, Turn("", ""),
    )  # fmt: skip


def test_nothing_is_told_of_what_says_nothing() -> None:
    memory = remembering(Note("assistant", ""), Note("system", ""), Note("user", ""))
    assert memory.history("x") == (Turn("x", ""),)
    assert remembering(Note("user", "a"), Note("assistant", "")).history("b") == (Turn("a b", ""),)


def test_a_reply_that_was_cut_off_says_so() -> None:
    memory = remembering(PastTurn(1, "one", said("yes", heard=False)))
    assert memory.history("two")[0] == Turn("one", "", interrupted=True)


def test_a_call_that_was_cut_short_was_none() -> None:
    broken = PastTurn(1, "one", said("yes", LOOK, made=False))
    assert remembering(broken).history("two")[0] == Turn("one", "yes", interrupted=True)
    cut = PastTurn(1, "one", said("yes", LOOK))
    cut.reply.cut = True
    assert remembering(cut).history("two")[0] == Turn("one", "yes")


def test_what_is_going_on_comes_before_what_is_asked() -> None:
    memory = remembering(answered(1, "one"), unanswered(2, "two"))
    now = [Note("user", "three"), Note("system", "s")]
    assert memory.history("", now) == (
        Turn("one", "yes"), Note("system", "s"), Turn("two three", ""),
    )  # fmt: skip


def test_only_what_was_said_is_the_talk() -> None:
    memory = remembering(
        answered(1, "one"), Note("system", "s"), SEVEN, Note("user", "two"), unanswered(2, "three")
    )
    assert memory.turns() == [Turn("one", "yes"), Turn("two three", "")]
    assert remembering(answered(1, "one")).turns() == [Turn("one", "yes")]


# Places.


def test_behind_what_was_said_in_front_of_everything_and_last() -> None:
    memory = remembering(answered(1, "one"), answered(2, "two"))
    note = Note("system", "s")
    for item_id, after in (("a", Replied(1)), ("b", FIRST), ("c", None), ("d", "b"), ("e", "c")):
        assert memory.add(Kept(item_id, Note("system", item_id)), after)
    assert not memory.add(Kept("x", note), "nobody")
    assert not memory.add(Kept("x", note), Replied(9))
    told = [entry.text if isinstance(entry, Note) else "-" for entry in memory.history("")]
    assert told == ["b", "d", "-", "a", "-", "c", "e", "-"]


@pytest.mark.parametrize("after", [Spoken(1, "one"), Spoken(1, None), CalledIn(1, "c1")])
def test_all_that_is_of_a_turn_stands_where_the_turn_stands(after: Spoken | CalledIn) -> None:
    memory = remembering(PastTurn(1, "one", said("yes", LOOK)), answered(2, "two"))
    memory.add(Kept("x", SEVEN), after)
    assert memory.history("")[1] == SEVEN


def test_words_may_stand_apart_from_the_reply_to_them() -> None:
    note = Note("system", "s")
    memory = remembering(unanswered(1, "one"), note, answered(1, ""))
    memory.add(Kept("x", Note("system", "x")), Spoken(1, "one"))
    memory.add(Kept("y", Note("system", "y")), Replied(1))
    texts = [entry.text for entry in memory.history("") if isinstance(entry, Note)]
    assert texts == ["x", "s", "y"]
    assert memory.forget(Spoken(1, "one"))
    assert Turn("", "yes") in memory.history("")
    past = memory.turn(1)
    assert past is not None and past.reply.sound_ms == 400


# Forgetting and mending.


def test_what_a_client_put_there_is_taken_out_and_changed() -> None:
    memory = remembering(Note("user", "one"), Note("user", "two"))
    memory.amend(Kept("k0", Note("user", "ONE")))
    assert memory.forget("k1") and not memory.forget("k1")
    memory.amend(Kept("k1", Note("user", "TWO")))
    assert memory.history("") == (Turn("ONE", ""),)


def test_each_part_of_a_turn_is_forgotten_by_itself() -> None:
    def turn() -> Memory:
        return remembering(PastTurn(1, "one", said("yes", LOOK)))

    for source, left in (
        (Spoken(1, "one"), Turn("", "yes", calls=(LOOK,))),
        (Replied(1), Turn("one", "", calls=(LOOK,))),
        (CalledIn(1, "c1"), Turn("one", "yes")),
        (CalledIn(1, "other"), Turn("one", "yes", calls=(LOOK,))),
        (Spoken(1, "another"), Turn("one", "yes", calls=(LOOK,))),
    ):
        memory = turn()
        assert memory.forget(source)
        assert memory.history("")[0] == left
    memory = turn()
    for source in (Spoken(1, "one"), Replied(1), CalledIn(1, "c1")):
        memory.forget(source)
    assert memory.history("") == (Turn("", ""),)
    assert not memory.forget(Replied(1))


def test_a_broken_reply_that_is_forgotten_leaves_no_half_call() -> None:
    memory = remembering(PastTurn(1, "one", said("yes", LOOK, made=False)))
    memory.forget(Replied(1))
    assert memory.history("") == (Turn("one", ""), Turn("", ""))


@pytest.mark.parametrize(
    ("words", "taken", "left"),
    [
        ("go on", "go", "on"), ("a cat at a", "at", "a cat a"), ("an a", "a", "an"),
        ("Yes. Yes.", "Yes.", "Yes."), ("one", "one", ""), ("one", "two", "one"),
        ("What? (No)", "What?", "(No)"), ("one two three", "two", "one three"),
    ],
)  # fmt: skip
def test_only_whole_words_are_forgotten(words: str, taken: str, left: str) -> None:
    memory = remembering(answered(1, words))
    memory.forget(Spoken(1, taken))
    assert memory.history("")[0] == Turn(left, "yes")


def test_words_that_went_on_in_a_later_turn_are_forgotten_there() -> None:
    memory = remembering(PastTurn(3, "one two", said("yes"), earlier=(1, 2)))
    assert memory.forget(Spoken(1, "one"))
    assert memory.history("")[0] == Turn("two", "yes")
    assert not memory.forget(Replied(1))


# Bounds.


def test_the_oldest_are_forgotten_first() -> None:
    memory = remembering(*(answered(number, f"q{number}") for number in range(ENTRIES_MAX + 5)))
    history = memory.history("")
    assert len(history) == ENTRIES_MAX + 1
    assert history[0] == Turn("q5", "yes")
    assert memory.turn(4) is None


def test_much_text_is_bounded() -> None:
    memory = remembering(*(Note("system", "x" * (CHARS_MAX // 4)) for _ in range(6)))
    assert len(memory.history("")) == 5
    memory.amend(Kept("k5", Note("system", "x" * (CHARS_MAX // 4 + 1))))
    assert len(memory.history("")) == 4


def test_a_long_history_is_shortened_from_its_beginning() -> None:
    memory = remembering(*(answered(n, "x" * 37) for n in range(10)))  # 40 characters each.
    assert len(memory.history("x" * 40, tokens_max=110)) == 11
    assert len(memory.history("x" * 40, tokens_max=109)) == 10
    shared = memory.history("x" * 40, tokens_max=109, share_kept=0.5)
    assert len(shared) == 5  # 54 tokens: 216 characters.
    assert memory.history("x" * 40, tokens_max=110, share_kept=0.5)[0] == shared[0]
    assert len(memory.history("x" * 40, tokens_max=110, share_kept=0.5)) == 11


def test_the_question_and_the_systems_words_always_stay() -> None:
    memory = remembering(Note("system", "s" * 400), answered(1, "one"), LOOK, SEVEN)
    kept = memory.history("y" * 900, tokens_max=1, share_kept=0)
    assert kept == (Note("system", "s" * 400), Turn("y" * 900, ""))


def test_tools_count_as_text() -> None:
    call = FunctionCall("c", "look", "x" * 76)
    memory = remembering(PastTurn(1, "", said("", call)), FunctionResult("c", "y" * 80))
    assert len(memory.history("", tokens_max=40)) == 3
    assert len(memory.history("", tokens_max=39)) == 2


# Whatever it is made of.

TEXT = st.sampled_from(["", "a", "b c", "what is it", "so"])
CALL = st.builds(FunctionCall, st.sampled_from(["c1", "c2"]), st.just("f"), st.just("{}"))
ENTRY = st.one_of(
    st.builds(Note, st.sampled_from(["system", "user", "assistant"]), TEXT),
    CALL,
    st.builds(FunctionResult, st.sampled_from(["c1", "c2"]), TEXT),
    st.builds(answered, st.integers(1, 9), TEXT, TEXT),
    st.builds(unanswered, st.integers(1, 9), TEXT.filter(bool)),
    st.builds(lambda number, user, call: PastTurn(number, user, said("ok", call)),
              st.integers(1, 9), TEXT, CALL),
)  # fmt: skip


def users_words(entries: tuple[PastTurn | Entry, ...] | list[PastTurn | Entry]) -> list[str]:
    words = list[str]()
    for entry in entries:
        match entry:
            case Turn(user) | PastTurn(_, user):
                words += user.split()
            case Note("user", text):
                words += text.split()
    return words


def agents_words(entries: tuple[PastTurn | Entry, ...] | list[PastTurn | Entry]) -> list[str]:
    words = list[str]()
    for entry in entries:
        match entry:
            case PastTurn():
                words += entry.reply.heard().split()
            case Turn(_, agent) | Note("assistant", agent):
                words += agent.split()
    return words


def tools(entries: tuple[PastTurn | Entry, ...] | list[PastTurn | Entry]) -> list[object]:
    found = list[object]()
    for entry in entries:
        match entry:
            case PastTurn():
                found += entry.reply.asked_for
            case Turn():
                found += entry.calls
            case FunctionCall() | FunctionResult():
                found.append(entry)
    return found


@given(st.lists(ENTRY, max_size=12), TEXT)
def test_all_is_told_once_and_in_its_order(entries: list[PastTurn | Entry], asking: str) -> None:
    history = remembering(*entries).history(asking)
    last = history[-1]
    assert isinstance(last, Turn)
    assert (last.agent, last.calls, last.interrupted) == ("", (), False)
    assert last.user.endswith(asking)
    assert users_words(history) == [*users_words(entries), *asking.split()]
    assert agents_words(history) == agents_words(entries)
    assert tools(history) == tools(entries)
    assert not any(isinstance(each, Note) and each.role != "system" for each in history)
    system = [each for each in entries if isinstance(each, Note) and each.role == "system"]
    assert [each for each in history if isinstance(each, Note)] == [n for n in system if n.text]


@given(st.lists(ENTRY, max_size=12), TEXT, st.integers(1, 30), st.floats(0, 1))
def test_what_is_left_of_a_long_history_is_its_end(
    entries: list[PastTurn | Entry], asking: str, tokens_max: int, share: float
) -> None:
    memory = remembering(*entries)
    whole = memory.history(asking)
    short = memory.history(asking, tokens_max=tokens_max, share_kept=share)
    assert short[-1] == whole[-1]
    is_system = [isinstance(each, Note) and each.role == "system" for each in whole]
    gone = Counter(whole) - Counter(short)
    assert not any(isinstance(each, Note) and each.role == "system" for each in gone)
    rest = [each for each, system in zip(whole, is_system, strict=True) if not system]
    left = [each for each in short if not (isinstance(each, Note) and each.role == "system")]
    assert left == rest[len(rest) - len(left) :]


@given(st.lists(ENTRY, max_size=8), st.data())
def test_what_is_forgotten_is_not_told_and_the_rest_is(
    entries: list[PastTurn | Entry], data: st.DataObject
) -> None:
    notes = [n for n, entry in enumerate(entries) if not isinstance(entry, PastTurn)]
    taken = data.draw(st.sets(st.sampled_from(notes))) if notes else set[int]()
    memory = remembering(*entries)
    for number in taken:
        assert memory.forget(f"k{number}")
    left = [entry for number, entry in enumerate(entries) if number not in taken]
    assert memory.history("so") == remembering(*left).history("so")
