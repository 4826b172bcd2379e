"""The judgements of the core, each a script. No loop, no clock, no sleep."""

from __future__ import annotations

import pytest

from engines.speech import (
    Cancel,
    Configure,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Hear,
    ReplyAudio,
    ReplyBegun,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Respond,
    Say,
    Turn,
    WordTime,
)
from voice_server.calls.events import (
    Allowed,
    Asked,
    Cleared,
    Closed,
    Committed,
    EndingSoon,
    EndWithin,
    Failed,
    FinalText,
    Flush,
    Heard,
    HungUp,
    Latency,
    MinuteElapsed,
    PartialText,
    Pause,
    Play,
    Refused,
    ReplyFinished,
    ReplyHeard,
    Resume,
    RulesChanged,
    SettingsChanged,
    SpeechDiscarded,
    SpeechStarted,
    SpeechStopped,
    Stopped,
    Truncated,
    Typed,
)
from voice_server.calls.phases import Phase
from voice_server.calls.rules import SILENT

from .playbook import (
    FRAME,
    SOUND,
    SPEECH,
    Connected,
    Endpointing,
    Interruption,
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

CANCELS = Rules(interruption=Interruption.CANCELS)
WAITS = Rules(interruption=Interruption.WAITS)
MANUAL = Rules(endpointing=Endpointing(manual=True))
UNFILLED = Rules(filler_ms=0)


def asked(question: str, rules: Rules | None = None) -> Playbook:
    """A call in which turn 1 was asked and waits for its reply."""
    book = Playbook(rules)
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> final(1, question) << Respond
    return book


def speaking(
    reply: str = "one two three four", ms: int = 400, rules: Rules | None = None
) -> Playbook:
    book = asked("Count.", rules)
    return (book >> voiced(1, reply, ms)).plays(ms // 20)


# A turn.


def test_question_and_answer() -> None:
    book = Playbook()
    book >> Connected() >> says(640) >> silent(600) << EndUtterance(1)
    book >> final(1, "What is a verb?") << Respond(1, (Turn("What is a verb?", ""),))
    (book >> answered(1, "A word for doing.", 400)).plays(20) >> Played(1, 400)
    assert book.call.phase is Phase.LISTENING
    assert book.call.history == [Turn("What is a verb?", "A word for doing.")]
    assert book.did(ReplyFinished) == [ReplyFinished(1, "completed", "", "A word for doing.", 400)]


def test_pre_roll_keeps_the_first_syllable() -> None:
    book = Playbook()
    book >> Connected() >> silent(3_000) >> says(96)
    assert len(book.did(Hear)) == 3 + 320 // 32
    assert book.did(SpeechStarted) == [SpeechStarted(1, 95 * 32 + 96 - 13 * 32 - 32)]


def test_cough_is_not_a_question() -> None:
    book = Playbook()
    book >> Connected() >> says(128) >> silent(600) << EndUtterance(1)
    book >> final(1, "  ")
    book.idle()
    assert book.call.phase is Phase.LISTENING and not book.call.history
    assert book.did(FinalText) == [FinalText(1, "", "")]


@pytest.mark.parametrize("words", ["My name is", "I like apples, ", "это мой"])
def test_unfinished_sentence_waits_longer(words: str) -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> partial(1, words) >> silent(700)
    book.idle()
    book >> silent(600) << EndUtterance(1)


def test_a_recogniser_without_punctuation_is_not_waited_for() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> partial(1, "what is a verb") >> silent(600)
    book << EndUtterance(1)


def test_a_recogniser_with_punctuation_tells_by_leaving_it_out() -> None:
    book = Playbook(Rules(prepare_ms=0))
    book >> Connected() >> says(320) >> partial(1, "What is a verb?") >> silent(600)
    book << EndUtterance(1) >> final(1, "What is a verb?") << Respond
    (book >> answered(1, "A word.", 20)).plays(1) >> Played(1, 20) >> says(320)
    book >> partial(2, "and what about nouns") >> silent(700)
    book.idle()


def test_a_recogniser_that_punctuates_only_in_the_end_is_not_waited_for() -> None:
    book = asked("What is a verb?")
    (book >> answered(1, "A word.", 20)).plays(1) >> Played(1, 20) >> says(320)
    book >> partial(2, "and what about nouns") >> silent(600) << EndUtterance(2)


def test_speaking_on_before_the_words_are_known_continues_the_turn() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> says(320) >> final(1, "My name is John")
    book.idle()
    book >> silent(1_300) << EndUtterance(1)
    book >> final(1, "Doe.") << Respond(1, (Turn("My name is John Doe.", ""),))


def test_speaking_on_after_the_reply_was_asked_for_inherits_the_words() -> None:
    book = asked("My name is John.")
    book >> says(96) << Cancel(1, 0)
    book >> voiced(1, "Hello John.", 200)  # late, and of the old turn
    book.idle()
    book >> silent(600) << EndUtterance(2)
    book >> final(2, "Doe.") << Respond(2, (Turn("My name is John. Doe.", ""),))


def test_waits_for_every_utterance_of_the_turn() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> partial(1, "First.")
    book.idle()  # A partial is not an answer.
    book >> says(320) >> silent(600) << EndUtterance(1)
    book >> final(1, "First.")
    book.idle()  # One of two.
    book >> final(1, "Second.") << Respond(1, (Turn("First. Second.", ""),))


def test_a_slow_recogniser_that_said_nothing_yet_is_given_more_time() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book.after(1_500).idle()
    book.after(1_000) << Say(2, Rules().notices.fillers[0], waited=True)
    (book >> answered(2, "Wait.", 20)).plays(1) >> final(1, "Three.") >> Played(2, 20)
    book << Respond(1, (Turn("Three.", ""),))


def test_words_that_never_come_are_not_waited_for_for_ever() -> None:
    book = Playbook(UNFILLED)
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book.after(7_999).idle()
    book.after(1) << Say(2, UNFILLED.notices.deaf)  # They were spoken to be heard.
    (book >> answered(2, UNFILLED.notices.deaf, 20)).plays(1) >> Played(2, 20)
    assert book.call.phase is Phase.LISTENING


def test_words_that_never_come_and_that_nobody_is_to_answer() -> None:
    book = Playbook(Rules(answers=False))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book.after(8_000).idle()
    assert book.call.phase is Phase.LISTENING


def test_a_late_final_finds_nobody_waiting() -> None:
    book = Playbook(UNFILLED)
    book >> Connected() >> says(320) >> partial(1, "Hello?") >> silent(600) << EndUtterance(1)
    book.after(2_000) << Respond(1, (Turn("Hello?", ""),))
    book >> final(1, "Hello there?") >> partial(1, "Hello there")
    assert book.did(FinalText) == [FinalText(1, "Hello?", "Hello?")]
    (book >> answered(1, "Hi.", 20)).plays(1) >> Played(1, 20)
    assert book.call.history == [Turn("Hello?", "Hi.")]


def test_partials_are_told_once() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> partial(1, "What") >> partial(1, "What")
    assert book.did(PartialText) == [PartialText(1, "What")]


# Interruptions: a reply that resumes.


def test_barge_in_pauses_and_words_take_the_floor() -> None:
    book = speaking()
    book >> Played(1, 200) >> says(160) << Pause(1)
    book >> partial(2, "wait a moment") << Flush(1) << Cancel(1, 200)
    assert book.call.history[-1] == Turn("Count.", "one two", interrupted=True)
    assert book.did(ReplyFinished) == [
        ReplyFinished(1, "cancelled", "turn_detected", "one two", 200)
    ]
    book >> ReplyAudio(1, SOUND) >> ReplyDone(1)
    book.idle()
    book >> silent(1_200) << EndUtterance(2)
    book >> final(2, "Wait a moment.") << Respond
    assert book.call.turn == 2


@pytest.mark.parametrize("words", ["", "mm-hm", "uh huh", "Угу.", "yes"])
def test_a_cough_or_a_nod_gives_the_floor_back(words: str) -> None:
    book = speaking(ms=4_000)
    book >> Played(1, 100) >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2)
    book >> final(2, words) << Resume(1)
    assert book.call.phase is Phase.SPEAKING
    (book >> ReplyAudio(1, SOUND) << Play).idle()
    book >> ReplyDone(1) >> Played(1, 4_020)
    assert book.call.history == [Turn("Count.", "one two three four")]


def test_yes_at_the_end_of_a_question_is_an_answer() -> None:
    book = speaking("Shall we go on?", 2_000)
    book >> ReplyDone(1) >> Played(1, 1_800) >> says(160) << Pause(1)
    book >> partial(2, "yes") << Flush(1) << Cancel(1, 1_800)


def test_a_reply_resumes_when_no_words_come() -> None:
    book = speaking(ms=4_000)
    book >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2)
    book.after(1_999).idle()
    book.after(1) << Cancel(2, 0) << Resume(1)
    assert SpeechDiscarded(2) in book.all
    book >> final(2, "too late")
    book.idle()


def test_insisting_interrupts_before_words_come() -> None:
    book = speaking(ms=4_000)
    book >> says(160) << Pause(1)
    book >> says(1_024)
    book.idle()
    book >> says(32) << Flush(1) << Cancel(1, 0)
    assert book.call.phase is Phase.HEARING


def test_backchannel_too_short_for_an_onset_does_not_even_pause() -> None:
    book = speaking()
    book >> says(128) >> silent(200)
    book.idle()
    assert book.call.phase is Phase.SPEAKING


def test_the_reply_goes_on_being_made_while_it_is_paused() -> None:
    book = speaking()
    book >> says(160) << Pause(1)
    (book >> voiced(1, "five", 40)).plays(2) >> ReplyDone(1)
    book >> silent(600) << EndUtterance(2)
    book >> final(2, "") << Resume(1)
    book >> Played(1, 440)
    assert book.call.history == [Turn("Count.", "one two three four five")]


def test_a_pause_does_not_count_as_playing() -> None:
    book = speaking(ms=1_000)
    book >> ReplyDone(1) >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2)
    book.after(1_900) >> final(2, "") << Resume(1)
    book.after(1_000).idle()
    assert book.call.phase is Phase.SPEAKING  # Its second of sound is not over yet.


def test_a_recogniser_that_fails_during_a_challenge_costs_nothing() -> None:
    book = speaking(ms=4_000)
    book >> says(160) << Pause(1)
    book >> EngineFailed(2, "503") >> says(2_000) >> silent(550)
    book.idle()  # It stays silent while somebody speaks, however long.
    book >> silent(60) << Cancel(2, 0) << Resume(1)
    assert Failed(2, "503") in book.all
    assert len([hear for hear in book.did(Hear) if hear.turn == 2]) == 5


def test_a_recogniser_that_fails_after_a_challenge_costs_nothing() -> None:
    book = speaking(ms=4_000)
    book >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2)
    book >> EngineFailed(2, "503") << Cancel(2, 0) << Resume(1)


def test_a_reply_that_fails_while_challenged_leaves_the_floor_to_the_speaker() -> None:
    book = speaking()
    book >> says(160) << Pause(1)
    book >> EngineFailed(1, "503") << Flush(1) << Cancel(1, 0)
    assert book.call.phase is Phase.HEARING and book.call.turn == 2


def test_stop_while_challenged() -> None:
    book = speaking()
    book >> says(160) << Pause(1)
    book >> Stopped() << Flush(1) << Cancel(1, 0)
    assert book.call.phase is Phase.HEARING


def test_microphone_that_goes_dead_while_it_challenges() -> None:
    book = speaking(ms=20_000)
    book >> says(160) << Pause(1)
    book.after(2_000) << EndUtterance(2)
    book.after(2_000) << Cancel(2, 0) << Resume(1)


# Interruptions: a client that empties its own buffer, and a reply that waits.


def test_barge_in_cancels_at_once() -> None:
    book = speaking(rules=CANCELS)
    book >> Played(1, 200) >> says(160) << Flush(1) << Cancel(1, 200)
    assert book.call.history[-1] == Turn("Count.", "one two", interrupted=True)
    kinds = [type(action) for action in book.all]
    assert kinds.index(ReplyFinished) > kinds.index(SpeechStarted)


def test_words_wait_for_the_end_of_a_reply_that_may_not_be_interrupted() -> None:
    book = speaking(rules=WAITS)
    book >> says(160)
    book >> silent(600) << EndUtterance(2)
    book >> final(2, "And then?") >> ReplyDone(1)
    book.idle()
    book >> Played(1, 400) << Respond
    assert book.call.turn == 2 and book.call.history[-1].agent == "one two three four"


def test_speech_that_outlasts_a_reply_goes_on_after_it() -> None:
    book = speaking(rules=WAITS)
    book >> says(160) >> ReplyDone(1) >> Played(1, 400)
    assert book.call.phase is Phase.HEARING and book.call.turn == 2
    book >> silent(600) << EndUtterance(2)


def test_a_reply_that_breaks_off_under_a_waiting_challenger() -> None:
    book = speaking(rules=WAITS)
    book >> says(160)
    book >> silent(600) << EndUtterance(2)
    book >> final(2, "And then?")
    book.after(11_000) << Flush(1) << Cancel(1, 0) << Respond
    assert book.call.turn == 2


# What was heard.


def test_word_times_tell_what_was_heard() -> None:
    book = asked("Go.")
    book >> [
        ReplyText(1, "Hi wonderful world"),
        ReplyWord(1, WordTime(0, 2, 0)), ReplyWord(1, WordTime(3, 12, 100)),
        ReplyWord(1, WordTime(13, 18, 900)),
    ]  # fmt: skip
    (book >> [ReplyAudio(1, SOUND)] * 50).plays(50)
    book >> Played(1, 500) >> Stopped() << Flush(1) << Cancel(1, 500)
    assert book.call.history[-1].agent == "Hi"  # "wonderful" was cut.
    assert book.did(ReplyHeard) == [ReplyHeard(1, 12)]  # But it had begun.


def test_highlight_runs_over_several_pieces() -> None:
    book = speaking("one two", 200)
    (book >> voiced(1, "three four", 200)).plays(10)
    for played_ms in (100, 200, 300, 400):
        book >> Played(1, played_ms)
    assert [heard.chars for heard in book.did(ReplyHeard)] == [3, 7, 13, 18]


def test_truncation_corrects_the_memory() -> None:
    book = speaking(rules=CANCELS)
    book >> Played(1, 400) >> says(160) << Flush(1) << Cancel(1, 400)
    book >> Truncated(1, 100)
    assert book.call.history[-1] == Turn("Count.", "one", interrupted=True)


def test_truncation_of_a_reply_that_still_plays_ends_it() -> None:
    book = speaking()
    book >> ReplyDone(1) >> Truncated(1, 200) << Flush(1) << Cancel(1, 200)
    assert book.call.history[-1].agent == "one two" and book.call.phase is Phase.LISTENING


def test_late_sound_of_a_cancelled_turn_is_never_played() -> None:
    book = Playbook()
    book >> Connected() >> Typed("one") << Respond
    (book >> voiced(1, "a b", 40)).plays(2)
    book >> Typed("two") << Flush(1) << Cancel(1, 0) << Respond
    book >> ReplyAudio(1, SOUND)
    book.idle()
    book >> ReplyAudio(2, SOUND) << Play(2, SOUND)


# Asking, typing, stopping.


def test_stop_button() -> None:
    book = Playbook()
    book >> Connected() >> Typed("hi") << Respond
    (book >> voiced(1, "hello there", 40)).plays(2)
    book >> Stopped() << Flush(1) << Cancel(1, 0)
    assert book.call.phase is Phase.LISTENING
    assert book.did(ReplyFinished)[-1].reason == "client_cancelled"


def test_stopping_nothing_is_refused() -> None:
    book = Playbook(show=(Refused,))
    book >> Connected() >> Stopped() << Refused("response_not_active")


def test_greeting_opens_the_call() -> None:
    book = Playbook(Rules(greets=True))
    book >> Connected() << Respond(1, (Turn("", ""),))


def test_a_client_may_ask_for_the_greeting() -> None:
    book = Playbook(show=(Refused,))
    book >> Connected() >> Asked() << Respond(1, (Turn("", ""),))
    book >> Asked() << Refused("response_active")


def test_written_words_wait_until_a_reply_is_asked_for() -> None:
    book = Playbook()
    book >> Connected() >> Typed("one", answer=False) >> Typed("two", answer=False)
    book.idle()
    book >> Asked() << Respond(1, (Turn("one two", ""),))


def test_spoken_words_wait_when_the_client_wants_to_ask_itself() -> None:
    book = Playbook(Rules(answers=False))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> final(1, "What is a verb?")
    book.idle()
    book >> Asked() << Respond(2, (Turn("What is a verb?", ""),))


def test_asking_while_the_words_are_still_coming() -> None:
    book = Playbook(Rules(answers=False))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> Asked() >> final(1, "What is a verb?") << Respond(1, (Turn("What is a verb?", ""),))


def test_whoever_asks_is_answered_even_when_no_words_came() -> None:
    book = Playbook(Rules(answers=False))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book >> Asked() >> final(1, "") << Respond(2, (Turn("", ""),))


def test_asking_while_the_last_reply_still_sounds_waits_for_its_end() -> None:
    book = speaking()
    book >> ReplyDone(1) >> Asked()
    book.idle()
    book >> Asked()  # But once only.
    assert book.did(Refused) == [Refused("response_active")]
    book >> Played(1, 400) << Respond
    assert book.call.turn == 2


def test_asking_and_then_speaking_over_the_rest_is_answered_after_the_words() -> None:
    book = speaking()
    book >> RulesChanged(Rules(answers=False))
    book >> ReplyDone(1) >> Asked() >> says(160) << Pause(1)
    book >> partial(2, "and now") << Flush(1) << Cancel(1, 0)
    book >> silent(1_300) << EndUtterance(2)
    book >> final(2, "And now what?") << Respond


def test_a_tenth_of_a_second_may_be_committed() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> silent(80) >> Committed() << EndUtterance(1)


def test_typing_while_speaking_abandons_the_utterance() -> None:
    book = Playbook(show=(SpeechDiscarded,))
    book >> Connected() >> says(320)
    book >> Typed("never mind") << Cancel(1, 0) << SpeechDiscarded(1) << Respond
    book >> final(1, "ghost")
    book.idle()


def test_speech_to_speech_answers_without_words() -> None:
    book = Playbook(Rules(answers_sound=True))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1) << Respond
    book >> final(1, "Late words.") >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20)
    assert book.call.history[-1] == Turn("Late words.", "Yes.")


# Push-to-talk.


def test_push_to_talk_ends_only_when_the_key_is_let_go() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> Cleared() >> says(320) >> silent(5_000)
    book.idle()
    book >> Committed() << EndUtterance(1)
    book >> final(1, "Hello.") << Respond


def test_a_muted_microphone_does_not_let_go_of_the_key() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> says(320)
    book.after(MANUAL.frame_gap_ms_max + 1_000).idle()
    book >> Committed() << EndUtterance(1)


def test_a_key_that_is_never_let_go_of_ends_the_call() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> says(320)
    book.after(MANUAL.idle_ms_max) << MinuteElapsed << MinuteElapsed << Cancel(1, 0)
    book << Closed
    assert book.did(Closed)[0].reason == "idle"


def test_what_was_committed_is_not_committed_again() -> None:
    book = Playbook(MANUAL, show=(Refused,))
    book >> Connected() >> says(640) >> Committed() << EndUtterance(1)
    book >> Committed() << Refused("commit_empty")


def test_push_to_talk_commits_what_nobody_noticed() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> silent(640) >> Committed() << EndUtterance(1)
    assert len(book.did(Hear)) == 21


def test_an_empty_commit_is_refused() -> None:
    book = Playbook(MANUAL, show=(Refused,))
    book >> Connected() >> silent(10) >> Committed() << Refused("commit_empty")


def test_clearing_forgets_the_sound() -> None:
    book = Playbook(MANUAL, show=(Refused, SpeechDiscarded))
    book >> Connected() >> says(640) >> Cleared() << Cancel(1, 0) << SpeechDiscarded(1)
    book >> Committed() << Refused("commit_empty")


def test_push_to_talk_is_not_a_barge_in_until_committed() -> None:
    book = Playbook(MANUAL)
    book >> Connected() >> Typed("Count.") << Respond
    (book >> voiced(1, "one two", 400)).plays(20) >> says(640)
    book.idle()
    book >> Committed() << EndUtterance(2)
    book >> final(2, "Stop.") >> ReplyDone(1) >> Played(1, 400) << Respond
    assert book.call.turn == 2


def test_rules_change_in_the_middle_of_a_call() -> None:
    book = Playbook()
    book >> Connected() >> RulesChanged(MANUAL) >> says(320) >> silent(3_000)
    book.idle()
    book >> Committed() << EndUtterance(1)


def test_settings_are_passed_to_the_engine() -> None:
    settings = EngineSettings(language="ru")
    book = Playbook(show=(Configure,))
    book >> Connected() >> SettingsChanged(settings) << Configure(settings)


# Deadlines.


def test_microphone_that_goes_dead_ends_the_utterance() -> None:
    book = Playbook()
    book >> Connected() >> says(320)
    book.after(2_000) << EndUtterance(1)


def test_final_that_never_comes() -> None:
    book = Playbook(UNFILLED)
    book >> Connected() >> says(320) >> partial(1, "Hello?") >> silent(600) << EndUtterance(1)
    book.after(2_000) << Respond(1, (Turn("Hello?", ""),))


def test_engine_failure_returns_the_floor_with_an_apology() -> None:
    book = Playbook()
    book >> Connected() >> Typed("hi") << Respond >> EngineFailed(1, "503") << Cancel(1, 0)
    book << Say(2, Rules().notices.apology)
    book >> EngineFailed(2, "503") << Cancel(2, 0)
    assert book.call.phase is Phase.LISTENING  # And no apology for the apology.


def test_words_that_could_not_be_heard_may_be_written() -> None:
    book = Playbook()
    book >> Connected() >> says(320) >> EngineFailed(1, "no recogniser") >> says(2_000)
    book.idle()  # Who speaks is not spoken to.
    book >> silent(600) << Cancel(1, 0) << Say(2, Rules().notices.deaf)
    kinds = [type(action) for action in book.all]
    assert kinds.index(SpeechStopped) < kinds.index(Failed)


def test_a_reply_that_never_comes() -> None:
    book = asked("Hello?", Rules(notices=SILENT))
    book.after(10_000) << Cancel(1, 0)
    assert book.call.phase is Phase.LISTENING


def test_reply_without_playout_reports_ends_by_the_clock() -> None:
    book = Playbook()
    book >> Connected() >> Typed("hi") << Respond >> answered(1, "hello", 100)
    book.plays(5).after(1_600)
    assert book.call.phase is Phase.LISTENING


def test_silence_ends_the_call() -> None:
    book = Playbook()
    book >> Connected()
    book.after(60_000) << MinuteElapsed(1)
    book.after(60_000) << MinuteElapsed(2) << Closed("idle", 120_000, ())


def test_never_connected_costs_nothing() -> None:
    book = Playbook()
    book >> says(320)
    book.after(20_000) << Closed("never_connected", 0, ())
    assert not book.call.connected


# Minutes.


def test_minutes_and_allowance() -> None:
    quiet = Rules(call_ms_max=150_000, idle_ms_max=10**9, notices=SILENT)
    book = Playbook(quiet, show=(EndingSoon,))
    book >> Connected()
    book.after(59_999).idle()
    book.after(1) << MinuteElapsed(1)
    book.after(30_000) << EndingSoon(60_000)
    book.after(30_000) << MinuteElapsed(2)
    book.after(30_000) << Closed("allowance_spent", 150_000, ())
    assert book.call.deadline_ms() is None


def test_the_end_is_announced_and_then_spoken() -> None:
    rules = Rules(call_ms_max=120_000, idle_ms_max=10**9)
    book = Playbook(rules)
    book >> Connected()
    book.after(60_000) << MinuteElapsed(1) << Say(1, rules.notices.warning)
    (book >> answered(1, rules.notices.warning, 1_000)).plays(50) >> Played(1, 1_000)
    book.after(54_000) << Say(2, rules.notices.farewell)
    (book >> answered(2, rules.notices.farewell, 1_000)).plays(50)
    book.after(900) >> Played(2, 1_000) << Closed("allowance_spent", 114_900, ())


def test_who_asks_while_the_server_speaks_for_itself_is_answered_after_it() -> None:
    rules = Rules(call_ms_max=60_000, idle_ms_max=10**9)
    book = Playbook(rules)
    book >> Connected() << Say(1, rules.notices.warning)
    book >> Asked()
    assert book.did(Refused) == []
    (book >> answered(1, rules.notices.warning, 1_000)).plays(50) >> Played(1, 1_000)
    book << Respond(2, (Turn("", ""),))


def test_the_warning_waits_for_the_speaker_and_the_farewell_does_not() -> None:
    rules = Rules(call_ms_max=70_000, idle_ms_max=10**9, resume_ms=500)
    book = Playbook(rules)
    book >> Connected() >> Typed("go") << Respond
    book.after(2_000) >> voiced(1, "one", 7_000)
    book.plays(350).after(7_000)
    (book >> voiced(1, "two three four", 60_000)).plays(3_000)
    book.after(40_000)
    book.idle()  # The warning waits for the end of the reply.
    book.after(15_000) << MinuteElapsed(1) << Flush(1) << Cancel(1, 0)
    book << Say(2, rules.notices.farewell)
    book >> says(320)
    book.idle()  # Nobody interrupts the farewell.
    book.after(6_000) << Cancel(2, 0) << Closed


def test_the_allowance_can_be_extended() -> None:
    rules = Rules(call_ms_max=120_000, idle_ms_max=10**9, notices=SILENT)
    book = Playbook(rules, show=(EndingSoon,))
    book >> Connected()
    book.after(59_000) >> Allowed(180_000)
    book.after(2_000) << MinuteElapsed(1)
    book.after(59_000) << MinuteElapsed(2) << EndingSoon(60_000)


def test_a_server_that_must_stop_says_goodbye_first() -> None:
    rules = Rules(idle_ms_max=10**9)
    book = Playbook(rules)
    book >> Connected()
    book.after(5_000) >> EndWithin(20_000) << Say(1, rules.notices.warning_short)
    (book >> answered(1, rules.notices.warning_short, 1_000)).plays(50) >> Played(1, 1_000)
    book >> Allowed(10**7)  # Renewing the hold changes nothing.
    book.after(14_000) << Say(2, rules.notices.stopping)
    (book >> answered(2, rules.notices.stopping, 1_000)).plays(50)
    book.after(900) >> Played(2, 1_000)
    assert book.did(Closed)[0].reason == "draining"


def test_a_server_that_must_stop_at_once() -> None:
    book = Playbook()
    book >> Connected()
    book.after(5_000) >> EndWithin(0) << Closed("draining", 5_000, ())


def test_goodbye_ends_the_call_when_it_was_heard() -> None:
    book = Playbook()
    book >> Connected() >> Typed("bye") << Respond
    (book >> voiced(1, "Goodbye!", 40)).plays(2) >> ReplyDone(1, hangs_up=True)
    book.idle()
    book >> Played(1, 40) << Closed("goodbye", 0, (Turn("bye", "Goodbye!"),))


def test_nothing_follows_closed() -> None:
    book = Playbook()
    book >> Connected() >> Typed("hi") << Respond
    book.after(1_000) >> HungUp() << Cancel(1, 0) << Closed("hung_up", 1_000, (Turn("hi", ""),))
    book >> voiced(1, "too late", 40) >> Typed("again") >> says(320)
    book.after(10**7).idle()


# The waterfall.


def test_latency_parts_sum_to_the_audible_gap() -> None:
    book = Playbook(show=(Latency,))
    book >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    book.after(100) >> final(1, "Why?") << Respond
    book.after(200) >> ReplyBegun(1)
    book.after(50) >> ReplyText(1, "Because.")
    book.after(30) >> ReplyAudio(1, SOUND) << Play
    book.after(25) >> Played(1, 20) << Latency(1, 608, 100, 200, 50, 30, 5, 993)
    assert book.did(Latency)[0].gap_ms == 608 + 385
    stopped = book.did(SpeechStopped)[0]
    assert stopped.end_ms == 320


def test_silence_is_counted_in_frames() -> None:
    """Frames that arrive in a burst, after a stall, do not end a sentence."""
    book = Playbook()
    book >> Connected() >> says(320)
    book.now_ms += 1_500
    book >> [Heard(FRAME, SPEECH)] * 10
    book.idle()
    assert book.call.phase is Phase.HEARING
