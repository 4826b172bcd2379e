"""Calls whose engine answers sound: words come when the reply to them has begun, or is over."""

from __future__ import annotations

from engines.speech import (
    Cancel,
    EndUtterance,
    EngineFailed,
    Hear,
    ReplyDone,
    ReplyText,
    Respond,
    Transcribed,
    Transcript,
    Turn,
)
from voice_server.calls.events import (
    Asked,
    Closed,
    Committed,
    FinalText,
    Flush,
    Forgotten,
    HungUp,
    Pause,
    Play,
    Replied,
    ReplyFinished,
    Resume,
    SpeechDiscarded,
    Spoken,
    Typed,
)
from voice_server.calls.late_words import LateWords
from voice_server.calls.reply import OpenTurn, PastTurn, Reply
from voice_server.calls.rules import Endpointing, Interruption

from .playbook import (
    Connected,
    Playbook,
    Played,
    Rules,
    answered,
    final,
    partial,
    says,
    silent,
    voiced,
)

SOUND = Rules(answers_sound=True)


def asking(rules: Rules = SOUND) -> Playbook:
    """Somebody has said something, and is being answered; its words are not known."""
    book = Playbook(rules, show=(FinalText,))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1) << Respond
    return book


def speaking(ms: int = 4_000) -> Playbook:
    book = asking()
    (book >> voiced(1, "one two three four", ms)).plays(ms // 20)
    return book


def history_of(book: Playbook) -> tuple[object, ...]:
    return book.did(Respond)[-1].history


# Words come late.


def test_words_that_come_while_the_reply_sounds_are_its_question() -> None:
    book = speaking()
    book >> final(1, "What is a verb?") << FinalText(1, "What is a verb?", "What is a verb?")
    book >> ReplyDone(1) >> Played(1, 4_000)
    assert book.call.history == [Turn("What is a verb?", "one two three four")]


def test_words_that_come_after_the_reply_was_heard_are_its_question() -> None:
    book = asking()
    book >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20)
    assert book.call.history == [Turn("", "Yes.")]
    book >> final(1, "Is it?") << FinalText(1, "Is it?", "Is it?")
    assert book.call.history == [Turn("Is it?", "Yes.")]


def test_words_that_come_when_another_turn_has_the_floor_are_remembered_in_their_own() -> None:
    book = asking()
    book >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> says(320) >> silent(600) << EndUtterance(2) << Respond
    book >> final(1, "Is it?") << FinalText(1, "Is it?", "Is it?")
    book >> final(2, "And that?") << FinalText(2, "And that?", "And that?")
    book >> answered(2, "No.", 20) << Play
    book >> Played(2, 20)
    assert book.call.history == [Turn("Is it?", "Yes."), Turn("And that?", "No.")]


def test_words_of_a_reply_that_was_spoken_over_are_told_and_remembered() -> None:
    book = speaking()
    book >> Played(1, 2_000) >> says(160) << Pause(1)
    book >> says(1_200) << Flush(1) << Cancel(1, 2_000)
    book >> final(1, "Count.") << FinalText(1, "Count.", "Count.")
    book >> silent(600) << EndUtterance(2) << Respond
    assert history_of(book) == (Turn("Count.", "one two", interrupted=True), Turn("", ""))


def test_words_of_a_question_that_went_on_are_not_lost_and_not_doubled() -> None:
    """The user speaks on before anything of the reply was heard."""
    book = asking()
    book >> partial(1, "What is") >> says(320) << Cancel(1, 0)
    book >> silent(600) << EndUtterance(2) << Respond
    book >> final(1, "What is a verb") << FinalText(1, "What is a verb", "What is a verb")
    book >> final(2, "in English?") << FinalText(2, "in English?", "in English?")
    book >> answered(2, "A word.", 20) << Play
    book >> Played(2, 20)
    assert book.call.history == [Turn("What is a verb", ""), Turn("in English?", "A word.")]


def test_typing_over_a_reply_keeps_the_words_that_it_answers() -> None:
    book = Playbook(SOUND, show=(FinalText, SpeechDiscarded))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1) << Respond
    book >> Typed("Stop.") << Cancel(1, 0) << Respond
    book >> final(1, "Count.") << FinalText(1, "Count.", "Count.")
    book >> answered(2, "Well.", 20) << Play
    book >> Played(2, 20)
    assert book.call.history == [Turn("Count.", ""), Turn("Stop.", "Well.")]


def test_words_that_never_come_are_given_up_with_what_is_known_of_them() -> None:
    book = asking()
    book >> partial(1, "Is it") >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20)
    book.after(SOUND.wordless_ms_max) << FinalText(1, "Is it", "Is it")
    book >> final(1, "Is it not?")
    assert book.call.history == [Turn("Is it", "Yes.")]


def test_an_engine_that_cannot_tell_them_ends_the_waiting() -> None:
    book = asking()
    book >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> EngineFailed(1, "deaf") << FinalText(1, "", "")
    assert book.call.history == [Turn("", "Yes.")]


def test_words_that_a_client_does_not_want_are_not_remembered() -> None:
    book = asking()
    book >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> Forgotten(Spoken(1, None)) >> final(1, "Is it?") << FinalText
    assert book.call.history == [Turn("", "Yes.")]


def test_hanging_up_does_not_wait_for_words() -> None:
    book = asking()
    book >> partial(1, "Is it") >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> HungUp() << FinalText << Closed
    assert book.did(Closed)[0].turns == (Turn("Is it", "Yes."),)


def test_a_turn_of_which_nothing_is_known_yet_is_not_told() -> None:
    book = asking()
    book >> says(320) << Cancel(1, 0)
    book >> silent(600) << EndUtterance(2) << Respond
    assert history_of(book) == (Turn("", ""),)


# What was no words.


def test_noise_is_not_answered_where_it_is_known_before_the_answer_sounds() -> None:
    book = Playbook(SOUND, show=(ReplyFinished,))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1) << Respond
    book >> final(1, "") << Cancel(1, 0) << ReplyFinished
    assert book.did(ReplyFinished)[0].status == "cancelled"
    book >> says(320) >> silent(600) << EndUtterance(2) << Respond
    assert history_of(book) == (Turn("", ""),)


def test_an_answer_that_has_begun_is_not_taken_back_for_want_of_words() -> None:
    book = asking()
    book >> ReplyText(1, "Pardon?") >> final(1, "") << FinalText
    book >> answered(1, "", 20) << Play
    book >> Played(1, 20)
    assert book.call.history == [Turn("", "Pardon?")]


def test_who_asked_for_an_answer_gets_it_without_words() -> None:
    rules = Rules(answers_sound=True, answers=False)
    book = Playbook(rules, show=(ReplyFinished,))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> Asked(tag=1) << Respond
    book >> final(1, "")
    book >> answered(1, "Pardon?", 20) << Play
    book >> Played(1, 20) << ReplyFinished
    assert book.did(ReplyFinished)[0].status == "completed"


def test_a_cough_over_a_reply_gives_it_back() -> None:
    book = speaking()
    book >> Played(1, 1_000) >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2)
    book >> final(2, "") << FinalText << Resume(1)
    book >> final(1, "Count.") << FinalText(1, "Count.", "Count.")


# Push-to-talk.


def test_push_to_talk_is_answered_when_it_is_asked_for_and_not_when_words_come() -> None:
    rules = Rules(Endpointing(manual=True), answers_sound=True, answers=False)
    book = Playbook(rules, show=(FinalText,))
    book >> Connected() >> says(320) >> Committed() << EndUtterance(1)
    book >> Asked(tag=1) << Respond
    book >> final(1, "Hello.") << FinalText(1, "Hello.", "Hello.")
    book >> answered(1, "Hi.", 20) << Play
    book >> Played(1, 20)
    assert book.call.history == [Turn("Hello.", "Hi.")]
    assert len(book.did(Hear)) == 10


def test_words_that_were_there_before_an_answer_was_asked_for_are_its_question() -> None:
    rules = Rules(Endpointing(manual=True), answers_sound=True, answers=False)
    book = Playbook(rules)
    book >> Connected() >> says(320) >> Committed() << EndUtterance(1)
    book >> final(1, "Hello.") >> Asked(tag=1) << Respond
    assert history_of(book) == (Turn("Hello.", ""),)


def test_a_client_that_empties_its_own_buffer_loses_no_words() -> None:
    book = asking(Rules(answers_sound=True, interruption=Interruption.CANCELS))
    (book >> voiced(1, "one two", 400)).plays(20)
    book >> Played(1, 400) >> says(320) << Flush(1) << Cancel(1, 400)
    book >> final(1, "Count.") << FinalText(1, "Count.", "Count.")
    book >> silent(600) << EndUtterance(2) << Respond
    assert history_of(book)[0] == Turn("Count.", "one two", interrupted=True)


def test_taking_out_the_reply_does_not_take_out_the_words_that_are_still_to_come() -> None:
    book = asking()
    book >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> Forgotten(Replied(1)) >> final(1, "Is it?") << FinalText
    book >> says(320) >> silent(600) << EndUtterance(2) << Respond
    assert history_of(book)[0] == Turn("Is it?", "")


def test_of_several_utterances_only_as_many_as_that_are_unwanted() -> None:
    told = list[object]()
    words, past = LateWords(told.append), PastTurn(1, "", Reply(), late=True)
    words.wait_for(past, OpenTurn(1, awaited=2, unwanted=1), "", 8_000)
    words.receive(Transcribed(1, Transcript("Er.", final=True)))
    words.receive(Transcribed(1, Transcript("Is it?", final=True)))
    assert told == [FinalText(1, "", "Er."), FinalText(1, "Is it?", "Is it?")]
    assert not past.late and 1 not in words
