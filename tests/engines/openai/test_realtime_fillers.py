"""What is said to who waits for a vendor's reply, and what is held back meanwhile."""

from __future__ import annotations

import pytest

from engines.openai.realtime_answer import Sound
from engines.openai.realtime_fillers import Fillers
from engines.openai.realtime_lines import Action, Ask, Tell
from engines.speech import (
    Cancel,
    EngineFailed,
    OpusFrame,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Transcribed,
    Transcript,
    Turn,
)

WORDS, PCM = ReplyText(1, "One moment.", filler=True), b"\0" * 960
SOUND = ReplyAudio(1, OpusFrame(b"x"))
REPLY: list[Action] = [Tell(ReplyText(1, "Well.")), Sound(1, PCM), Tell(ReplyDone(1))]


def saying(sound_ms: int = 0) -> Fillers:
    fillers = Fillers()
    assert fillers.begin(1, "One moment.", sound_ms) == [Ask(Say(1, "One moment.", filler=True))]
    return fillers


def test_the_reply_waits_for_the_end_of_the_filler() -> None:
    fillers = saying()
    assert fillers.hold(REPLY) == []
    assert fillers.is_of(WORDS) and fillers.take(WORDS) == [Tell(WORDS)]
    assert fillers.take(SOUND) == [Tell(SOUND)]
    assert fillers.take(ReplyDone(1)) == REPLY
    assert not fillers.is_of(SOUND) and fillers.hold(REPLY) == REPLY


def test_a_filler_that_cannot_be_said_holds_nothing_up() -> None:
    fillers = saying()
    fillers.hold(REPLY)
    assert fillers.take(EngineFailed(1, "no voice")) == REPLY


def test_words_and_other_turns_do_not_wait() -> None:
    fillers, words = saying(), Transcribed(1, Transcript("hello", final=True))
    others: list[Action] = [Tell(words), Tell(ReplyText(2, "Well.")), Sound(2, PCM)]
    assert fillers.hold(others) == others
    assert not fillers.is_of(words)


def test_a_reply_of_the_cascade_is_asked_for_when_it_has_said_the_filler() -> None:
    fillers = saying()
    asks: list[Action] = [Ask(Respond(1, (Turn("hello", ""),)))]
    assert fillers.hold(asks) == []
    assert fillers.take(ReplyDone(1)) == asks


def test_one_at_a_time() -> None:
    assert saying().begin(1, "Still thinking.", 0) == []


def test_whoever_has_left_hears_neither() -> None:
    fillers = saying()
    fillers.hold(REPLY)
    fillers.leave(1)
    assert fillers.take(SOUND) == [] and fillers.take(ReplyDone(1)) == []


def test_work_that_is_abandoned_ends_the_filler() -> None:
    fillers, gone = saying(), Ask(Cancel(1, 0))
    fillers.hold(REPLY)
    assert fillers.hold([gone]) == [gone, *REPLY]
    assert not fillers.is_of(SOUND)


@pytest.mark.parametrize(
    ("heard_ms", "own_ms"), [(0, 0), (80, 80), (100, 100), (120, 100), (140, 100), (190, 150)]
)
def test_the_vendor_is_told_what_was_heard_of_its_own(heard_ms: int, own_ms: int) -> None:
    fillers = saying(100)
    for event in (WORDS, SOUND, SOUND, ReplyDone(1)):
        fillers.take(event)
    assert fillers.own_ms(1, heard_ms) == own_ms
    assert fillers.own_ms(2, heard_ms) == heard_ms
