"""Replies beside the conversation, which nobody hears and of which it knows nothing."""

from __future__ import annotations

import pytest

from engines.speech import (
    CallPiece,
    Cancel,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    FunctionCall,
    Note,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Turn,
)
from voice_server.calls.asides import ASIDES_MAX
from voice_server.calls.events import (
    Added,
    Asked,
    Called,
    Closed,
    Flush,
    HungUp,
    Pause,
    Play,
    Refused,
    ReplyFinished,
    ReplyMade,
    ReplySaid,
    ReplyStarted,
    Stopped,
    Truncated,
    Typed,
)
from voice_server.calls.phases import Phase
from voice_server.calls.reply import ARGUMENTS_CHARS_MAX, CALLS_MAX, TEXT_CHARS_MAX
from voice_server.calls.rules import ENGLISH, Interruption, Rules

from .playbook import (
    Connected,
    Playbook,
    Played,
    answered,
    final,
    partial,
    says,
    silent,
    voiced,
)

WRITES = EngineSettings(speaks=False, instructions="Sort it.")
SPEAKS = EngineSettings(instructions="Say it.")
SHOW = (ReplyStarted, ReplySaid, Called, ReplyMade, ReplyFinished, Refused)
THINKING_MS = Rules().thinking_ms_max


def aside(tag: int = 7, **fields: object) -> Asked:
    return Asked(tag, WRITES, aside=True, **fields)  # type: ignore[arg-type]


def listening() -> Playbook:
    return Playbook(show=SHOW) >> Connected()


def speaking() -> Playbook:
    """Turn 1 sounds; its reply is made, and half heard."""
    book = listening() >> says(320) >> silent(600) << EndUtterance(1)
    book >> final(1, "Count.") << ReplyStarted(1) << Respond
    book >> voiced(1, "one two", 400) << ReplySaid(1, "one two")
    book.plays(20) >> ReplyDone(1) << ReplyMade(1) >> Played(1, 200)
    return book


def history_of(book: Playbook, turn: int) -> tuple[object, ...]:
    (respond,) = [each for each in book.did(Respond) if each.turn == turn]
    return respond.history


# One of them.


def test_it_has_the_beginning_and_the_end_of_a_reply() -> None:
    book = listening() >> aside() << ReplyStarted(1, tag=7, speaks=False)
    book << Respond(1, (Turn("", ""),), WRITES, apart=True)
    assert book.call.phase is Phase.LISTENING
    book >> ReplyText(1, "All ") << ReplySaid(1, "All ") >> ReplyText(1, "well.")
    book << ReplySaid(1, "well.") >> ReplyDone(1) << ReplyMade(1)
    book << ReplyFinished(1, "completed", "", "All well.", 0)
    assert book.call.history == []


def test_it_calls_tools_and_may_be_cut() -> None:
    book = listening() >> aside() << ReplyStarted << Respond
    pieces = [CallPiece("a", "look", ""), CallPiece("b", "find", "{"), CallPiece("a", "", "{}")]
    for piece in pieces:
        book >> ReplyCall(1, piece) << Called(1, piece)
    book >> ReplyDone(1, cut=True) << ReplyMade(1, cut=True) << ReplyFinished
    assert book.call.history == []


def test_it_disturbs_no_reply_that_sounds() -> None:
    book = speaking() >> aside() << ReplyStarted(2, tag=7, speaks=False) << Respond
    book >> ReplyText(2, "x") << ReplySaid >> ReplyDone(2) << ReplyMade << ReplyFinished
    assert book.call.phase is Phase.SPEAKING
    book >> Played(1, 400) << ReplyFinished(1, "completed", "", "one two", 400)
    book >> Asked() << ReplyStarted << Respond(3, (Turn("Count.", "one two"), Turn("", "")))


def test_nor_does_a_reply_disturb_it() -> None:
    book = listening() >> aside() << ReplyStarted << Respond
    book >> Asked() << ReplyStarted(2) << Respond >> answered(2, "Hi.", 20) << ReplySaid
    book.plays(1) << ReplyMade >> Played(2, 20) << ReplyFinished
    book >> ReplyText(1, "late") << ReplySaid(1, "late")


def test_speech_takes_the_floor_and_leaves_it_alone() -> None:
    book = listening() >> aside() << ReplyStarted << Respond
    book >> says(320) >> silent(600) << EndUtterance(2) >> ReplyDone(1) << ReplyMade
    book << ReplyFinished(1, "completed", "", "", 0) >> final(2, "Hi") << ReplyStarted
    book << Respond(2, (Turn("Hi", ""),))


def test_a_failure_is_its_own() -> None:
    book = speaking() >> aside() << ReplyStarted << Respond
    book >> EngineFailed(2, "503") << ReplyFinished(2, "failed", "503", "", 0)
    assert book.call.phase is Phase.SPEAKING
    book >> ReplyText(2, "late")
    book.idle()


@pytest.mark.parametrize(
    "flood",
    [
        [ReplyCall(1, CallPiece(str(n), "f", "")) for n in range(CALLS_MAX + 1)],
        [ReplyCall(1, CallPiece("a", "f", "x" * (ARGUMENTS_CHARS_MAX // 2)))] * 3,
        [ReplyText(1, "x" * (TEXT_CHARS_MAX // 2))] * 3,
    ],
    ids=["calls", "arguments", "text"],
)
def test_it_is_bounded(flood: list[ReplyCall | ReplyText]) -> None:
    book = Playbook() >> Connected() >> aside() << Respond >> flood[:-1]
    book.idle()
    book >> flood[-1] << Cancel(1, 0)
    (finished,) = book.did(ReplyFinished)
    assert (finished.status, finished.reason) == ("failed", "the reply is too long")


# What it knows.


def test_it_is_told_the_conversation() -> None:
    book = listening() >> Added("a", Note("user", "Hello")) >> aside() << ReplyStarted
    book << Respond(1, (Turn("Hello", ""),), WRITES, apart=True)


def test_it_is_told_of_what_still_sounds_and_of_what_came_since() -> None:
    book = speaking() >> Added("a", Note("user", "and three?")) >> aside() << ReplyStarted
    book << Respond(2, (Turn("Count.", "one two"), Turn("and three?", "")), WRITES, apart=True)


def test_it_is_told_what_is_being_said_and_which_tools_were_called() -> None:
    book = listening() >> says(320) >> silent(600) << EndUtterance(1) >> final(1, "Look.")
    book << ReplyStarted << Respond >> voiced(1, "wait", 20) << ReplySaid << Play
    book >> aside() << ReplyStarted << Respond
    assert history_of(book, 2) == (Turn("Look.", "wait", interrupted=True), Turn("", ""))
    book >> ReplyCall(1, CallPiece("a", "look", "{}")) << Called >> ReplyDone(1) << ReplyMade
    book >> aside() << ReplyStarted << Respond
    call = FunctionCall("a", "look", "{}")
    assert history_of(book, 3) == (Turn("Look.", "wait", calls=(call,)), Turn("", ""))


def test_it_is_told_words_that_nobody_has_answered_yet() -> None:
    book = listening() >> says(320) >> silent(600) << EndUtterance(1) >> says(320)
    book >> final(1, "my name is") >> aside() << ReplyStarted << Respond
    assert history_of(book, 2) == (Turn("my name is", ""),)


def test_it_is_told_what_is_being_said_over_a_reply() -> None:
    book = Playbook(Rules(interruption=Interruption.WAITS)) >> Connected() >> Typed("Count.")
    (book << Respond >> voiced(1, "one two", 400)).plays(20) >> says(320) >> partial(2, "wait a")
    book >> aside() << Respond
    assert history_of(book, 3) == (
        Turn("Count.", "one two", interrupted=True), Turn("wait a", ""),
    )  # fmt: skip


def test_a_notice_is_no_part_of_what_it_is_told() -> None:
    book = Playbook(Rules(call_ms_max=62_000)) >> Connected() >> Added("a", Note("user", "Hi"))
    book.after(2_000) << Say(1, ENGLISH.warning)
    book >> voiced(1, ENGLISH.warning, 20) << Play >> aside()
    book << Respond(2, (Turn("Hi", ""),), WRITES, apart=True)


def test_it_may_be_told_something_else_instead() -> None:
    context = (Note("user", "Hi"), Note("assistant", "Ho"), Note("user", "Well?"))
    book = speaking() >> aside(context=context) << ReplyStarted << Respond
    assert history_of(book, 2) == (Turn("Hi", "Ho"), Turn("Well?", ""))


# Its end.


def test_it_has_a_deadline_that_each_word_moves() -> None:
    book = listening() >> aside() << ReplyStarted << Respond
    book.after(THINKING_MS - 1)
    book >> ReplyText(1, "slow") << ReplySaid
    book.after(THINKING_MS - 1).idle()
    book.after(1) << Cancel(1, 0)
    book << ReplyFinished(1, "failed", "the reply took too long", "slow", 0)
    assert book.call.phase is Phase.LISTENING


def test_each_has_its_own_deadline() -> None:
    book = listening() >> aside() << ReplyStarted << Respond
    book.after(4_000) >> aside() << ReplyStarted << Respond
    book.after(THINKING_MS - 4_000) << Cancel(1, 0) << ReplyFinished
    book.idle()
    book.after(4_000) << Cancel(2, 0) << ReplyFinished


def test_it_is_cancelled_by_its_number_and_nothing_else_is() -> None:
    book = speaking() >> aside() << ReplyStarted << Respond >> aside() << ReplyStarted << Respond
    book >> Stopped(2) << Cancel(2, 0)
    book << ReplyFinished(2, "cancelled", "client_cancelled", "", 0)
    assert book.call.phase is Phase.SPEAKING
    book >> Stopped(2) << Refused("response_not_active")
    book >> Stopped() << Flush(1) << Cancel(1, 200) << ReplyFinished
    book >> ReplyText(3, "still here") << ReplySaid


def test_no_more_than_eight_at_once() -> None:
    book = listening()
    for number in range(ASIDES_MAX):
        book >> aside(number) << ReplyStarted << Respond
    book >> aside(99) << Refused("asides_full", 99)
    book >> ReplyDone(3) << ReplyMade << ReplyFinished >> aside(99) << ReplyStarted << Respond


def test_they_end_with_the_call() -> None:
    book = listening() >> aside() << ReplyStarted << Respond >> aside() << ReplyStarted << Respond
    book >> HungUp() << Cancel(1, 0) << ReplyFinished(1, "cancelled", "client_cancelled", "", 0)
    book << Cancel(2, 0) << ReplyFinished << Closed


# One that is heard.


def test_one_that_is_heard_takes_the_floor_and_is_not_remembered() -> None:
    book = listening() >> Added("a", Note("user", "Hello"))
    book >> Asked(7, SPEAKS, aside=True) << ReplyStarted(1, tag=7)
    book << Respond(1, (Turn("Hello", ""),), SPEAKS, apart=True)
    book >> answered(1, "Psst.", 40) << ReplySaid
    book.plays(2) << ReplyMade >> Played(1, 40)
    book << ReplyFinished(1, "completed", "", "Psst.", 40)
    book >> Asked() << ReplyStarted << Respond(2, (Turn("Hello", ""),))


def test_one_that_is_heard_is_interrupted_like_any_other() -> None:
    book = Playbook(show=(ReplyFinished,)) >> Connected() >> Asked(7, SPEAKS, aside=True) << Respond
    (book >> voiced(1, "one two", 400)).plays(20) >> Played(1, 200) >> says(320) << Pause
    book >> silent(600) << EndUtterance(2) >> final(2, "Stop it.") << Flush << Cancel(1, 200)
    book << ReplyFinished(1, "cancelled", "turn_detected", "one", 200)
    book << Respond(2, (Turn("Stop it.", ""),))


def test_one_that_is_heard_waits_for_nobody() -> None:
    book = speaking() >> Asked(7, SPEAKS, aside=True) << Refused("response_active", 7)
    book >> says(320) << Pause >> silent(600) << EndUtterance
    book >> Asked(8, SPEAKS, aside=True) << Refused("response_active", 8)


def test_the_session_says_whether_it_is_heard() -> None:
    book = listening() >> Asked(7, aside=True) << ReplyStarted(1, tag=7) << Respond
    assert book.call.phase is Phase.THINKING


def test_it_cannot_be_truncated() -> None:
    book = listening() >> aside() << ReplyStarted << Respond >> ReplyText(1, "x") << ReplySaid
    book >> Truncated(1, 0) >> Played(1, 100)
    book.idle()
