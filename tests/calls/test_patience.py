"""A pause that is judged: ends at once, waits for seconds, or goes by its length."""

from __future__ import annotations

import pytest

from engines.speech import EndUtterance, EngineFailed, Hear, PcmFrame, Respond, Turn
from voice_server.calls.events import (
    Cleared,
    Committed,
    Flush,
    Heard,
    Input,
    JudgeTurn,
    Pause,
    Resume,
    RulesChanged,
    SpeechStopped,
    TurnJudged,
)
from voice_server.calls.phases import Phase
from voice_server.calls.rules import Judging

from .playbook import (
    SILENCE,
    SPEECH,
    Connected,
    Endpointing,
    Interruption,
    Playbook,
    Rules,
    final,
    partial,
    says,
    voiced,
)

JUDGING = Judging()
SEMANTIC = Rules(endpointing=Endpointing(judging=JUDGING))
OVER, GOES_ON = 0.9, 0.1


def quiet(ms: int) -> list[Input]:
    """Exactly so many frames of silence."""
    return [Heard(PcmFrame(b"\1" * 1024), SILENCE)] * (ms // 32)


def pausing(rules: Rules = SEMANTIC) -> Playbook:
    """The user has spoken and is silent for 192 ms; what this is about was asked."""
    book = Playbook(rules, show=(JudgeTurn,))
    book >> Connected() >> says(640) >> quiet(160)
    book >> quiet(32) << JudgeTurn
    return book


def test_a_likely_end_ends_the_utterance_at_once() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    assert book.call.phase is Phase.TRANSCRIBING
    book >> final(1, "What is a verb?") << Respond
    assert book.did(SpeechStopped) == [SpeechStopped(1, 640)]


def test_the_latency_that_is_told_is_the_short_one() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    marks = book.call._floor.open.marks
    assert marks.endpoint_ms - marks.speech_ended_ms == 192


@pytest.mark.parametrize("patience_ms", [2_000, 4_000, 8_000])
def test_an_unlikely_end_is_waited_for_as_long_as_the_rules_say(patience_ms: int) -> None:
    judging = Judging(patience_ms=patience_ms)
    book = pausing(Rules(endpointing=Endpointing(judging=judging)))
    book >> TurnJudged(1, 1, GOES_ON) >> quiet(patience_ms - 192 - 32)
    assert book.call.phase is Phase.HEARING
    book >> quiet(64) << EndUtterance(1)


def test_a_pause_is_asked_about_once() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, GOES_ON) >> quiet(3_000)
    assert len(book.did(JudgeTurn)) == 1


def test_each_new_pause_is_judged_anew() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, GOES_ON) >> quiet(1_000) >> says(320) >> quiet(160)
    book >> quiet(32) << JudgeTurn
    assert [(q.turn, q.pause) for q in book.did(JudgeTurn)] == [(1, 1), (1, 2)]
    # What was made of the first pause says nothing about the second.
    book >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(1)


def test_without_an_answer_the_length_of_the_pause_decides() -> None:
    book = pausing()
    book >> quiet(576 - 192)
    assert book.call.phase is Phase.HEARING
    book >> quiet(32) << EndUtterance(1)


def test_without_an_answer_unfinished_words_get_more_time() -> None:
    book = Playbook(SEMANTIC, show=(JudgeTurn,))
    book >> Connected() >> says(640) >> partial(1, "my name is") >> quiet(160)
    book >> quiet(32) << JudgeTurn
    book >> quiet(1_184 - 192)
    book >> quiet(32) << EndUtterance(1)


def test_an_answer_that_comes_late_still_counts_while_the_pause_lasts() -> None:
    book = pausing()
    book >> quiet(320)
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)


@pytest.mark.parametrize(
    "judged",
    [
        TurnJudged(0, 1, OVER),
        TurnJudged(2, 1, OVER),
        TurnJudged(1, 0, OVER),
        TurnJudged(1, 2, OVER),
    ],
)
def test_an_answer_to_another_question_is_dropped(judged: TurnJudged) -> None:
    book = pausing()
    book >> judged
    assert book.call.phase is Phase.HEARING


def test_an_answer_does_not_count_when_speech_went_on() -> None:
    book = pausing()
    book >> says(32) >> TurnJudged(1, 1, OVER)
    assert book.call.phase is Phase.HEARING
    # Not even in the next pause, before or after that one is asked about.
    book >> quiet(160) >> TurnJudged(1, 1, OVER)
    book >> quiet(32) << JudgeTurn
    book >> TurnJudged(1, 1, OVER)
    assert book.call.phase is Phase.HEARING
    book >> TurnJudged(1, 2, OVER) << EndUtterance(1)


def test_patience_ends_with_the_pause_it_was_for() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, GOES_ON) >> says(32) >> quiet(160)
    book >> TurnJudged(1, 1, GOES_ON) >> quiet(32) << JudgeTurn
    book >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(1)


def test_an_answer_does_not_reach_the_next_utterance_of_the_turn() -> None:
    book = pausing()
    book >> quiet(600 - 192)
    book >> quiet(32) << EndUtterance(1)
    book >> says(320) >> TurnJudged(1, 1, OVER)
    assert book.call.phase is Phase.HEARING and book.call.turn == 1
    book >> quiet(160) >> TurnJudged(1, 1, OVER) >> quiet(32) << JudgeTurn
    assert book.call.phase is Phase.HEARING


@pytest.mark.parametrize("ends", [Committed(), Cleared()])
def test_an_answer_finds_the_utterance_over(ends: Input) -> None:
    book = pausing()
    book >> ends
    book.pending.clear()
    book >> TurnJudged(1, 1, OVER) >> TurnJudged(1, 1, GOES_ON)
    assert book.call.phase in (Phase.TRANSCRIBING, Phase.LISTENING)


def test_who_is_surer_ends_later() -> None:
    sure = Rules(endpointing=Endpointing(judging=Judging(ended_above=0.7)))
    book = pausing(sure)
    book >> TurnJudged(1, 1, 0.69)
    assert book.call.phase is Phase.HEARING
    book = pausing(sure)
    book >> TurnJudged(1, 1, 0.7) << EndUtterance(1)


def test_silence_is_all_that_counts_where_nobody_asked_for_judgement() -> None:
    """`server_vad` keeps the silence that the client named, to the frame."""
    exact = Rules(endpointing=Endpointing(pause_ms=448, pause_unfinished_ms=448))
    book = Playbook(exact, show=(JudgeTurn,))
    book >> Connected() >> says(640) >> partial(1, "my name is") >> quiet(224)
    book >> TurnJudged(1, 0, OVER) >> TurnJudged(1, 1, OVER) >> TurnJudged(1, 1, GOES_ON)
    book >> quiet(192)
    assert book.call.phase is Phase.HEARING
    book >> quiet(32) << EndUtterance(1)


def test_push_to_talk_asks_nobody() -> None:
    book = Playbook(Rules(endpointing=Endpointing(manual=True)), show=(JudgeTurn,))
    book >> Connected() >> says(640) >> quiet(3_000)


def test_judgement_that_is_no_longer_wanted() -> None:
    book = pausing()
    book >> RulesChanged(Rules()) >> TurnJudged(1, 1, OVER)
    assert book.call.phase is Phase.HEARING
    book >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(1)


def test_patience_that_is_no_longer_wanted() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, GOES_ON) >> RulesChanged(Rules()) >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(1)


def test_an_utterance_has_an_end_however_patient_one_is() -> None:
    judging = Judging(patience_ms=8_000)
    book = Playbook(Rules(endpointing=Endpointing(judging=judging, utterance_ms_max=3_200)))
    book >> Connected() >> says(640) >> quiet(192) >> TurnJudged(1, 1, GOES_ON)
    book >> quiet(3_200 - 640 - 192 - 32) >> quiet(32) << EndUtterance(1)


# What is given to be judged.


def marked(number: int, speech: float) -> Heard:
    return Heard(PcmFrame(number.to_bytes(2, "little") * 512), speech)


def numbers(question: JudgeTurn) -> list[int]:
    return [int.from_bytes(frame.samples[:2], "little") for frame in question.frames]


def test_the_sound_begins_before_the_first_syllable_and_ends_with_the_pause() -> None:
    book = Playbook(SEMANTIC, show=(JudgeTurn,))
    book >> Connected() >> [marked(n, SILENCE) for n in range(100, 120)]
    book >> [marked(n, SPEECH) for n in range(120, 150)]
    book >> [marked(n, SILENCE) for n in range(150, 156)] << JudgeTurn
    (question,) = book.did(JudgeTurn)
    # 320 ms from before the onset.
    assert numbers(question) == list(range(110, 156))
    assert [h.frame for h in book.did(Hear)] == list(question.frames)


def test_the_sound_is_of_the_whole_turn_and_never_more_than_eight_seconds() -> None:
    book = Playbook(SEMANTIC, show=(JudgeTurn,))
    book >> Connected() >> [marked(n, SPEECH) for n in range(1, 31)]
    book >> [marked(n, SILENCE) for n in range(31, 37)] << JudgeTurn
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    book >> [marked(n, SPEECH) for n in range(37, 60)]
    book >> [marked(n, SILENCE) for n in range(60, 66)] << JudgeTurn
    assert numbers(book.did(JudgeTurn)[1]) == list(range(1, 66))
    book >> [marked(n, SPEECH) for n in range(66, 400)]
    book >> [marked(n, SILENCE) for n in range(400, 406)] << JudgeTurn
    assert numbers(book.did(JudgeTurn)[2]) == list(range(406 - 250, 406))


def test_the_sound_of_an_earlier_turn_is_not_judged_again() -> None:
    book = pausing()
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    book >> final(1, "") >> [marked(7, SILENCE)] * 20 >> [marked(8, SPEECH)] * 10
    book >> [marked(9, SILENCE)] * 6 << JudgeTurn
    assert set(numbers(book.did(JudgeTurn)[1])) == {7, 8, 9}


def test_sound_is_not_kept_for_a_call_that_asks_for_no_judgement() -> None:
    book = Playbook()
    book >> Connected() >> says(640)
    assert not book.call._floor.patience._sound
    book = pausing()
    book >> RulesChanged(Rules()) >> says(32)
    assert not book.call._floor.patience._sound


def test_sound_that_no_recogniser_hears_is_not_judged() -> None:
    book = Playbook(SEMANTIC, show=(JudgeTurn,))
    book >> Connected() >> says(320) >> EngineFailed(1, "deaf") >> says(320) >> quiet(576)
    assert not book.did(JudgeTurn)


# Over a reply.


def replying(rules: Rules) -> Playbook:
    book = Playbook(rules, show=(JudgeTurn,))
    book >> Connected() >> says(320) >> quiet(192) << JudgeTurn
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    book >> final(1, "Count.") << Respond
    return (book >> voiced(1, "one two three four", 4_000)).plays(200)


def test_a_reply_is_not_held_up_for_seconds_by_a_cough() -> None:
    book = replying(SEMANTIC)
    book >> says(192) << Pause
    book >> quiet(192) << JudgeTurn
    book >> TurnJudged(2, 2, GOES_ON) >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(2)
    book >> final(2, "") << Resume(1)


def test_a_challenge_that_sounds_complete_is_heard_at_once() -> None:
    book = replying(SEMANTIC)
    book >> says(192) << Pause
    book >> quiet(192) << JudgeTurn
    book >> TurnJudged(2, 2, OVER) << EndUtterance(2)
    assert book.call.phase is Phase.CHALLENGED


def test_who_took_the_floor_may_think_as_long_as_anybody() -> None:
    book = replying(SEMANTIC)
    book >> says(192) << Pause
    book >> quiet(192) << JudgeTurn
    book >> TurnJudged(2, 2, GOES_ON) >> partial(2, "wait I want")
    book.pending.clear()  # The reply is dropped, as its own tests say.
    assert book.did(Flush) and book.call.phase is Phase.HEARING
    book >> quiet(4_000 - 192 - 32) >> quiet(32) << EndUtterance(2)


def test_a_reply_that_goes_on_is_not_waited_over() -> None:
    waits = Rules(endpointing=SEMANTIC.endpointing, interruption=Interruption.WAITS)
    book = replying(waits)
    book >> says(192) >> quiet(192) << JudgeTurn
    book >> TurnJudged(2, 2, GOES_ON) >> quiet(576 - 192)
    book >> quiet(32) << EndUtterance(2)


def test_a_turn_that_was_judged_over_too_early_goes_on() -> None:
    """The words come together although the model cut the sentence in two."""
    book = pausing()
    book >> TurnJudged(1, 1, OVER) << EndUtterance(1)
    book >> says(320) >> final(1, "My name is") >> quiet(192) << JudgeTurn
    book >> TurnJudged(1, 2, OVER) << EndUtterance(1)
    book >> final(1, "John.") << Respond(1, (Turn("My name is John.", ""),))
