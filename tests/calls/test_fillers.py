"""Nobody who waits for a reply is left in silence: what is said, when, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from engines.speech import (
    CallPiece,
    Cancel,
    Command,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Event,
    Fill,
    FunctionCall,
    Note,
    Prepare,
    ReplyAudio,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Turn,
)
from voice_server.calls.events import (
    Added,
    Asked,
    Committed,
    Failed,
    Flush,
    Forgotten,
    Input,
    Latency,
    Pause,
    Play,
    Refused,
    ReplyFinished,
    ReplySaid,
    ReplyStarted,
    Resume,
    SettingsChanged,
    Spoken,
    Stopped,
    Typed,
)
from voice_server.calls.phases import Phase
from voice_server.calls.rules import RUSSIAN, SILENT

from .playbook import (
    SOUND,
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

NOTICES = Rules().notices
WAIT, STILL = NOTICES.fillers
QUESTION = "What is a verb?"


def filler(turn: int, text: str = WAIT, ms: int = 1_000) -> list[Input]:
    return [ReplyText(turn, text, filler=True), *[ReplyAudio(turn, SOUND)] * (ms // 20)]


def listening(rules: Rules | None = None) -> Playbook:
    """Turn 1 has ended 608 ms after its last sound, and waits for its words."""
    return Playbook(rules) >> Connected() >> says(320) >> silent(600) << EndUtterance(1)


def thinking(rules: Rules | None = None) -> Playbook:
    return listening(rules) >> final(1, QUESTION) << Respond


def filled(ms: int = 1_000) -> Playbook:
    """Who asked has heard the filler to its end."""
    book = thinking().after(1_592) << Fill(1, WAIT)
    (book >> filler(1, ms=ms)).plays(ms // 20)
    return book.after(ms) >> Played(1, ms)


# While the reply is being made.


def test_who_waits_is_told_to() -> None:
    book = thinking().after(1_591)
    book.idle()
    book.after(1) << Fill(1, WAIT)
    assert book.now_ms == 320 + 2_200


def test_in_the_language_of_the_call() -> None:
    book = thinking(Rules(notices=RUSSIAN)).after(1_592)
    book << Fill(1, RUSSIAN.fillers[0])


def test_what_was_said_to_fill_is_told_and_not_remembered() -> None:
    book = filled()
    (book >> answered(1, "A doing word.", 400)).plays(20) >> Played(1, 1_400)
    assert [said.text for said in book.did(ReplySaid)] == [WAIT, "A doing word."]
    assert book.did(ReplyFinished) == [
        ReplyFinished(1, "completed", "", f"{WAIT} A doing word.", 1_400)
    ]
    assert book.call.history == [Turn(QUESTION, "A doing word.")]


def test_the_answer_in_time_needs_no_filler() -> None:
    book = thinking().after(1_500)
    (book >> voiced(1, "A doing word", 400)).plays(20)
    book.after(400) >> Played(1, 400)
    book.after(2_199).idle()
    book.after(1) << Fill(1, WAIT)  # It broke off.


def test_each_filler_is_said_once_and_then_who_waits_is_told_the_truth() -> None:
    book = filled().after(2_200) << Fill(1, STILL)
    (book >> filler(1, STILL)).plays(50)
    book.after(3_199).idle()
    book.after(1) << Flush(1) << Cancel(1, 1_000) << Say(2, NOTICES.apology)
    assert book.did(Failed) == [Failed(1, "the reply took too long")]


def test_a_reply_that_broke_off_is_said_to_have() -> None:
    book = thinking() >> voiced(1, "A doing", 100)
    book.plays(5).after(2_300) << Fill(1, WAIT)
    book.after(2_200) << Fill(1, STILL)
    book.after(2_200) << Flush(1) << Cancel(1, 0) << Say
    assert book.did(Failed) == [Failed(1, "the reply broke off")]


def test_more_of_an_answer_begins_the_wait_anew() -> None:
    book = thinking() >> voiced(1, "A doing", 100)
    book.plays(5).after(2_000) >> [ReplyAudio(1, SOUND)] * 5
    book.plays(5).after(2_299).idle()
    book.after(1) << Fill(1, WAIT)


def test_a_reply_that_is_made_is_only_played() -> None:
    book = thinking()
    (book >> answered(1, "A doing word.", 200)).plays(10)
    book.after(1_699).idle()


@pytest.mark.parametrize("quiet", [Rules(filler_ms=0), Rules(notices=SILENT)])
def test_where_nothing_is_to_be_said_the_old_bound_holds(quiet: Rules) -> None:
    book = thinking(quiet).after(9_999)
    book.idle()
    book.after(1) << Cancel(1, 0)


def test_who_only_reads_hears_nothing() -> None:
    book = Playbook() >> Connected() >> SettingsChanged(EngineSettings(speaks=False))
    book >> Typed("hi") << Respond
    book.after(9_999).idle()
    book = Playbook() >> Connected() >> Asked(settings=EngineSettings(speaks=False)) << Respond
    book.after(9_999).idle()


def test_nor_does_who_asked_beside_the_conversation() -> None:
    book = Playbook() >> Connected() >> Asked(aside=True) << Respond
    book.after(9_999).idle()


def test_a_notice_needs_no_filler() -> None:
    book = Playbook() >> Connected() >> Typed("hi") << Respond >> EngineFailed(1, "x")
    book << Cancel(1, 0) << Say(2, NOTICES.apology)
    book.after(9_999).idle()


def test_long_arguments_of_a_tool_are_waited_for() -> None:
    book = thinking() >> ReplyCall(1, CallPiece("a", "look", "{"))
    book.after(1_592) << Fill(1, WAIT)
    book.after(2_200) << Fill(1, STILL)
    for _ in range(9):
        book.after(2_000) >> ReplyCall(1, CallPiece("a", "look", " "))
    book >> [ReplyCall(1, CallPiece("a", "look", "}")), ReplyDone(1)]
    arguments = f"{{{' ' * 9}}}"
    book >> Asked() << Respond(
        2, (Turn(QUESTION, "", calls=(FunctionCall("a", "look", arguments),)), Turn("", ""))
    )


def test_a_long_pause_of_the_users_own_is_not_the_engines_fault() -> None:
    rules = Rules(endpointing=Endpointing(pause_ms=3_000, pause_unfinished_ms=3_000))
    book = Playbook(rules) >> Connected() >> says(320) >> silent(3_000) << EndUtterance(1)
    book >> final(1, QUESTION) << Respond
    book.after(999).idle()
    book.after(1) << Fill(1, WAIT)


def test_who_typed_waits_from_then_on() -> None:
    book = Playbook() >> Connected()
    book.after(9_000) >> Typed("hi") << Respond
    book.after(2_199).idle()
    book.after(1) << Fill(1, WAIT)


# Over a filler.


def test_who_speaks_over_a_filler_is_heard_and_asked_nothing_twice() -> None:
    book = thinking().after(1_592) << Fill(1, WAIT)
    (book >> filler(1)).plays(50) >> Played(1, 300) >> says(160) << Pause(1)
    book >> partial(2, "and a noun") << Flush(1) << Cancel(1, 300)
    [over] = book.did(ReplyFinished)
    assert (over.status, over.heard_ms) == ("cancelled", 300) and over.heard in WAIT
    book >> silent(1_200) << EndUtterance(2) >> final(2, "And a noun?")
    book << Respond(2, (Turn(QUESTION, ""), Turn("And a noun?", "")))


def test_a_cough_over_a_filler_changes_nothing() -> None:
    book = thinking().after(1_592) << Fill(1, WAIT)
    (book >> filler(1)).plays(50) >> Played(1, 300) >> says(160) << Pause(1)
    book >> silent(600) << EndUtterance(2) >> final(2, "") << Resume(1)
    (book >> answered(1, "A doing word.", 400)).plays(20) >> Played(1, 1_400)
    assert book.call.history == [Turn(QUESTION, "A doing word.")]


def test_a_pause_moves_the_end_of_the_sound() -> None:
    book = thinking().after(1_592) << Fill(1, WAIT)
    (book >> filler(1)).plays(50) >> says(160) << Pause(1)
    paused_ms = book.now_ms
    book >> silent(600) << EndUtterance(2) >> final(2, "") << Resume(1)
    resumed_ms, ends_ms = book.now_ms, 320 + 2_200 + 1_000
    book.after(ends_ms + resumed_ms - paused_ms + 2_199 - book.now_ms).idle()
    book.after(1) << Fill(1, STILL)


# While the words are awaited.


def beside(rules: Rules | None = None, *, ms: int = 1_000) -> Playbook:
    """The recogniser is slow: turn 2 says so while turn 1 waits for its words."""
    book = listening(rules).after(1_592) << Say(2, WAIT, waited=True)
    return (book >> voiced(2, WAIT, ms)).plays(ms // 20)


def test_who_was_heard_but_not_understood_yet_is_told_to_wait() -> None:
    book = listening().after(1_591)
    book.idle()
    book.after(1) << Say(2, WAIT, waited=True)
    assert book.did(ReplyStarted) == [ReplyStarted(2, notice=True)]
    assert book.call.phase is Phase.CHALLENGED


def test_words_that_come_meanwhile_are_answered_after_it() -> None:
    book = beside() >> ReplyDone(2)
    book.after(300) >> final(1, QUESTION)
    book.idle()
    book.after(700) >> Played(2, 1_000) << Respond(1, (Turn(QUESTION, ""),))
    book.after(2_199).idle()
    book.after(1) << Fill(1, STILL)
    (book >> answered(1, "A doing word.", 20)).plays(1) >> Played(1, 20)
    assert book.call.history == [Turn(QUESTION, "A doing word.")]


def test_words_that_come_after_it_are_answered_at_once() -> None:
    book = beside() >> ReplyDone(2)
    book.after(1_000) >> Played(2, 1_000)
    assert book.call.phase is Phase.TRANSCRIBING
    book >> final(1, QUESTION) << Respond(1, (Turn(QUESTION, ""),))


def test_words_that_come_meanwhile_are_thought_about() -> None:
    book = beside() >> final(1, QUESTION) >> ReplyDone(2)
    assert book.did(Prepare) == [Prepare(1, (Turn(QUESTION, ""),))]
    book >> Played(2, 1_000) << Respond(1, (Turn(QUESTION, ""),))
    assert len(book.did(Prepare)) == 1


def test_a_voice_that_stalls_takes_nobody_with_it() -> None:
    book = listening().after(1_592) << Say(2, WAIT, waited=True) >> final(1, QUESTION)
    book.after(2_199).idle()
    book.after(1) << Cancel(2, 0) << Respond(1, (Turn(QUESTION, ""),))


def test_words_that_never_come_are_said_not_to_have() -> None:
    book = beside() >> ReplyDone(2)
    book.after(1_000) >> Played(2, 1_000)
    book.after(2_200) << Say(3, STILL, waited=True)
    (book >> answered(3, STILL, 1_000)).plays(50)
    book.after(1_000) >> Played(3, 1_000)
    book.after(8_000 - 1_592 - 2 * 1_000 - 2_200 - 1).idle()
    book.after(1) << Say(4, NOTICES.deaf)
    assert book.now_ms == 928 + 8_000
    assert book.call.history == []


def test_what_was_said_of_the_words_is_said_again_of_the_answer_and_no_more() -> None:
    book = beside() >> ReplyDone(2)
    book.after(1_000) >> Played(2, 1_000)
    book.after(2_200) << Say(3, STILL, waited=True)
    (book >> answered(3, STILL, 20)).plays(1) >> Played(3, 20) >> final(1, QUESTION) << Respond
    book.after(2_200) << Fill(1, STILL)
    book.after(2_200) << Cancel(1, 0) << Say(4, NOTICES.apology)


@pytest.mark.parametrize("sounds", [True, False])
def test_a_cough_that_was_asked_to_wait_is_told_why(sounds: bool) -> None:
    book = beside() if sounds else listening().after(1_592) << Say(2, WAIT, waited=True)
    book >> final(1, "")
    book.idle()
    if not sounds:
        (book >> voiced(2, WAIT, 1_000)).plays(50)
    book >> ReplyDone(2) >> Played(2, 1_000) << Say(3, NOTICES.deaf)


def test_a_recogniser_that_fails_meanwhile() -> None:
    book = beside() >> EngineFailed(1, "503") << Cancel(1, 0) >> ReplyDone(2) >> Played(2, 1_000)
    book << Say(3, NOTICES.deaf)
    assert Failed(1, "503") in book.all


def test_a_voice_that_fails_takes_nobody_with_it() -> None:
    book = listening().after(1_592) << Say(2, WAIT, waited=True)
    book >> EngineFailed(2, "503") << Cancel(2, 0)
    assert book.call.phase is Phase.TRANSCRIBING
    book >> final(1, QUESTION) << Respond


def test_who_goes_on_speaking_is_not_spoken_over() -> None:
    book = beside() >> Played(2, 200) >> says(160) << Flush(2) << Cancel(2, 200)
    book >> silent(600) << EndUtterance(1)
    book >> final(1, "What is") >> final(1, "a verb?") << Respond(1, (Turn("What is a verb?", ""),))


def test_what_is_added_meanwhile_stands_behind_the_words() -> None:
    book = beside() >> Added("n", Note("system", "Be brief.")) >> ReplyDone(2)
    book >> Played(2, 1_000) >> final(1, QUESTION)
    book << Respond(1, (Note("system", "Be brief."), Turn(QUESTION, "")))


def test_who_asks_meanwhile_is_answered_once() -> None:
    book = beside(Rules(answers=True)) >> Asked(tag=7) >> Asked(tag=8)
    assert book.did(Refused) == [Refused("response_active", 8)]
    book >> final(1, QUESTION) >> ReplyDone(2) >> Played(2, 1_000) << Respond
    assert book.did(ReplyStarted)[-1] == ReplyStarted(1, tag=7)


def test_who_asked_is_owed_a_reply_whatever_became_of_the_words() -> None:
    manual = Rules(answers=False, endpointing=Endpointing(manual=True))
    book = Playbook(manual) >> Connected() >> says(320) >> Committed() << EndUtterance(1)
    book >> Asked(tag=7)
    book.after(2_200) << Say(2, WAIT, waited=True)
    (book >> answered(2, WAIT, 100)).plays(5) >> final(1, "") >> Played(2, 100)
    book << Respond
    assert book.did(ReplyStarted)[-1].tag == 7


def test_without_a_wish_for_a_reply_there_is_no_filler() -> None:
    book = listening(Rules(answers=False)).after(4_000)
    book.idle()


def test_words_that_will_be_answered_in_writing_need_none() -> None:
    written = EngineSettings(speaks=False)
    manual = Rules(answers=False, endpointing=Endpointing(manual=True))
    asking = Playbook(manual) >> Connected() >> says(320) >> Committed() << EndUtterance(1)
    (asking >> Asked(settings=written)).after(4_000).idle()
    reading = Playbook() >> Connected() >> SettingsChanged(written) >> says(320) >> silent(600)
    reading << EndUtterance(1)
    reading.after(1_900).idle()
    # Here one reply would be spoken, and what is said beside it is written.
    aloud = Playbook(manual) >> Connected() >> SettingsChanged(written) >> says(320) >> Committed()
    aloud << EndUtterance(1)
    (aloud >> Asked(settings=EngineSettings())).after(4_000).idle()


def test_words_that_the_client_does_not_want_are_waited_for_by_nobody() -> None:
    book = listening() >> Forgotten(Spoken(1, None))
    book.after(1_900).idle()


def test_stopping_it_leaves_the_turn_its_answer() -> None:
    beside() >> Stopped() << Flush(2) << Cancel(2, 0) >> final(1, QUESTION) << Respond


# Where the silence went.


def test_the_gap_ends_with_the_filler_and_the_answer_is_told_apart() -> None:
    book = thinking().after(1_592) << Fill(1, WAIT)
    (book >> filler(1, ms=200)).plays(10)
    book.after(120) >> Played(1, 100)
    book.after(100) >> Played(1, 200)
    assert book.did(Latency) == []
    book.after(780) >> ReplyBegun(1) >> voiced(1, "A doing word", 200)
    book.plays(10).after(150) >> Played(1, 300)
    [latency] = book.did(Latency)
    assert latency.gap_ms == 2_200 + 20 and latency.endpointing_ms == 608
    assert latency.first_token_ms == 1_612 and latency.first_packet_ms == 0
    assert latency.answer_ms == 2_200 + 1_000 + 50
    book.after(100) >> Played(1, 400)
    assert len(book.did(Latency)) == 1


def test_a_reply_that_never_came_tells_of_the_gap() -> None:
    book = filled() >> EngineFailed(1, "503") << Flush(1) << Cancel(1, 1_000) << Say
    [latency] = book.did(Latency)
    assert (latency.gap_ms, latency.answer_ms) == (2_200, None)


def test_of_a_reply_that_nobody_heard_there_is_no_gap_to_tell() -> None:
    book = thinking() >> EngineFailed(1, "503") << Cancel(1, 0) << Say
    assert book.did(Latency) == []


def test_a_filler_beside_the_turn_ends_its_silence_too() -> None:
    book = beside(ms=200)
    book.after(120) >> Played(2, 100)
    book.after(100) >> ReplyDone(2) >> Played(2, 200) >> final(1, QUESTION) << Respond
    book.after(400)
    (book >> voiced(1, "A doing word", 200)).plays(10)
    book.after(100) >> Played(1, 100)
    [latency] = book.did(Latency)
    assert latency.turn == 1 and latency.gap_ms == 2_220
    assert (latency.endpointing_ms, latency.transcript_ms) == (608, 1_612)
    assert latency.answer_ms == 2_200 + 220 + 400


def test_who_waited_for_the_floor_waited_for_nothing_else() -> None:
    book = thinking(Rules(interruption=Interruption.WAITS))
    (book >> answered(1, "A doing word.", 4_000)).plays(200)
    book >> says(160) >> silent(600) << EndUtterance(2) >> final(2, "And a noun?")
    book.after(3_000) >> Played(1, 4_000) << Respond
    book.after(300)
    (book >> voiced(2, "A name", 100)).plays(5) >> Played(2, 20)
    latency = book.did(Latency)[-1]
    assert (latency.turn, latency.gap_ms, latency.answer_ms) == (2, 280, 280)


# Never three seconds of silence, whichever engine falls silent.


@dataclass
class Caller:
    """Hears what a call plays, over engines of which one does nothing from some moment on."""

    stalls: str
    rules: Rules
    endpoint_ms: int
    book: Playbook = field(default_factory=Playbook)
    todo: list[tuple[int, Event]] = field(default_factory=list)
    sound_ends_ms: int = 0
    silences: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    notices: set[int] = field(default_factory=set)
    seen: int = 0

    def call(self) -> None:
        self.book = Playbook(self.rules) >> Connected() >> says(640)
        self.sound_ends_ms = self.book.now_ms
        self._work()
        if self.stalls != "ears":
            self.book.pending.clear()
            self.book >> partial(1, "what is a verb")
        for _ in range(self.endpoint_ms // 32 + 1):
            self.book.pending.clear()
            self.book >> silent(0)
            self._work()
        for _ in range(16_000 // 20):
            self.book.after(20)
            self._work()
        self.silences.append(self.book.now_ms - self.sound_ends_ms)

    def _work(self) -> None:
        """The engines do what they were asked, and the loudspeaker plays what was made."""
        new, self.seen = self.book.all[self.seen :], len(self.book.all)
        now_ms = self.book.now_ms
        for action in new:
            match action:
                case EndUtterance(turn) if self.stalls not in ("ears", "final"):
                    self.todo.append((now_ms + 300, final(turn, QUESTION)))
                case Respond() | Fill() | Say():
                    self._answer(action, now_ms)
                case Cancel(turn):
                    self.todo = [each for each in self.todo if each[1].turn != turn]
                case Play():
                    self.silences.append(max(0, now_ms - self.sound_ends_ms))
                    self.sound_ends_ms = max(self.sound_ends_ms, now_ms) + 20
                case ReplySaid(_, text):
                    self.said.append(text)
        due = [event for at_ms, event in self.todo if at_ms <= now_ms]
        self.todo = [each for each in self.todo if each[0] > now_ms]
        self.book.pending.clear()
        for event in due:
            self.book >> event
            self.book.pending.clear()
        reply = self.book.call._floor.open.reply
        if len(self.book.all) == self.seen and reply.sound_ms:
            left_ms = max(0, self.sound_ends_ms - now_ms)
            self.book >> Played(self.book.call.turn, reply.sound_ms - left_ms)
            self.book.pending.clear()
        if len(self.book.all) > self.seen:
            self._work()

    def _answer(self, action: Command, now_ms: int) -> None:
        match action:
            case Say(turn, text):
                self._speak(turn, text, now_ms + 400)
                self.todo.append((now_ms + 400, ReplyDone(turn)))
            case Fill(turn, text):
                # What is thought of meanwhile is said behind it.
                answer = [(max(at_ms, now_ms + 400), event) for at_ms, event in self.todo]
                self.todo.clear()
                self._speak(turn, text, now_ms + 400, filler=True)
                self.todo += answer
            case Respond(turn) if self.stalls == "middle":
                self._speak(turn, "A verb is", now_ms + 900)
            case Respond(turn) if self.stalls != "mind":
                self._speak(turn, "A doing word.", now_ms + 900)
                self.todo.append((now_ms + 900, ReplyDone(turn)))

    def _speak(self, turn: int, text: str, at_ms: int, *, filler: bool = False) -> None:
        sound: list[Event] = [ReplyAudio(turn, SOUND)] * 60
        events = [ReplyText(turn, text, filler), *sound]
        self.todo += [(at_ms, event) for event in events]


@pytest.mark.parametrize("endpoint_ms", [600, 1_200])
@pytest.mark.parametrize(
    ("stalls", "last"),
    [("", "A doing word."), ("ears", NOTICES.deaf), ("final", "A doing word."),
     ("mind", NOTICES.apology), ("middle", NOTICES.apology)],
)  # fmt: skip
def test_never_three_seconds_of_silence(stalls: str, last: str, endpoint_ms: int) -> None:
    pause = Endpointing(pause_ms=endpoint_ms, pause_unfinished_ms=1_200)
    caller = Caller(stalls, Rules(endpointing=pause), endpoint_ms)
    caller.call()
    assert caller.said[-1] == last, "an answer or an apology"
    *silences, _ = caller.silences  # The last is the end of the talk.
    assert max(silences) <= 3_000, (max(silences), caller.said)
    assert not [each for each in caller.book.all if isinstance(each, Prepare)] or stalls != "ears"
