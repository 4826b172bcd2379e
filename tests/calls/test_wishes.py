"""What a client asks for: tools and their answers, replies of its own kind, and a conversation
that it has changed."""

from __future__ import annotations

import itertools

import pytest

from engines.speech import (
    CallPiece,
    Cancel,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    FunctionCall,
    FunctionResult,
    Note,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Turn,
)
from voice_server.calls.events import (
    FIRST,
    Added,
    Asked,
    Called,
    CalledIn,
    Closed,
    Flush,
    Forgotten,
    IdleTimedOut,
    Input,
    MinuteElapsed,
    Pause,
    Play,
    Recorded,
    Refused,
    Replied,
    ReplyFinished,
    ReplyMade,
    ReplyStarted,
    Resume,
    RulesChanged,
    SettingsChanged,
    Spoken,
    Stopped,
    Truncated,
    Typed,
)
from voice_server.calls.floor import IDLE_PROMPTS_MAX, LATER_MAX
from voice_server.calls.phases import Phase
from voice_server.calls.reply import ARGUMENTS_CHARS_MAX, CALLS_MAX, TEXT_CHARS_MAX
from voice_server.calls.rules import ENGLISH, SILENT

from .playbook import (
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

LOOK = FunctionCall("c1", "look", '{"at":"it"}')
WISHES = ("result", "other", "sound")
SEVEN = Added("seven", FunctionResult("c1", "7"))
WRITES = EngineSettings(speaks=False)


def asked(question: str = "Look.", rules: Rules | None = None) -> Playbook:
    """Turn 1 was asked and waits for its reply."""
    book = Playbook(rules) >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
    return book >> final(1, question) << Respond


def calls(turn: int, call: FunctionCall = LOOK) -> list[Input]:
    """The call, streamed in three pieces."""
    half = len(call.arguments) // 2
    pieces = ["", call.arguments[:half], call.arguments[half:]]
    return [ReplyCall(turn, CallPiece(call.call_id, call.name, each)) for each in pieces]


def finished(book: Playbook) -> list[tuple[int, str, str]]:
    return [(each.turn, each.status, each.reason) for each in book.did(ReplyFinished)]


def last_asked(book: Playbook) -> Respond:
    return book.did(Respond)[-1]


class TestCalls:
    def test_a_reply_may_be_a_call_and_nothing_else(self) -> None:
        book = asked() >> calls(1) >> ReplyDone(1)
        assert book.call.phase is Phase.LISTENING
        assert [each.piece.arguments for each in book.did(Called)] == ["", '{"at"', ':"it"}']
        assert finished(book) == [(1, "completed", "")]
        book >> SEVEN >> Asked()
        book << Respond(2, (Turn("Look.", "", calls=(LOOK,)), SEVEN.entry, Turn("", "")))
        (book >> answered(2, "Seven.", 20)).plays(1) >> Played(2, 20)
        assert book.call.history[-1] == Turn("", "Seven.")

    def test_several_at_once_and_words_before_them(self) -> None:
        other = FunctionCall("c2", "find", "{}")
        book = asked() >> [*voiced(1, "Wait.", 20), *calls(1), *calls(1, other)] << Play
        book >> ReplyDone(1) >> Played(1, 20)
        results = [SEVEN, Added("x", FunctionResult("c2", "x"))]
        book >> results >> Asked()
        book << Respond(2, (
            Turn("Look.", "Wait.", calls=(LOOK, other)), *(each.entry for each in results),
            Turn("", ""),
        ))  # fmt: skip

    def test_pieces_of_several_calls_may_alternate(self) -> None:
        other = FunctionCall("c2", "find", '{"n":1}')
        book = asked()
        book >> [each for pair in zip(calls(1), calls(1, other), strict=True) for each in pair]
        book >> ReplyDone(1)
        assert book.call.history == [Turn("Look.", "", calls=(LOOK, other))]

    def test_the_first_piece_names_the_call(self) -> None:
        book = asked() >> ReplyCall(1, CallPiece("c1", "look", "{"))
        book >> ReplyCall(1, CallPiece("c1", "", "}")) >> ReplyDone(1)
        assert book.call.history[0].calls == (FunctionCall("c1", "look", "{}"),)

    def test_a_call_that_was_interrupted_was_none(self) -> None:
        book = asked("Look.", Rules(interruption=Interruption.CANCELS)) >> calls(1)[:2]
        book >> says(320) << Cancel(1, 0) >> silent(600) << EndUtterance(2)
        book >> final(2, "No, wait.") << Respond(2, (Turn("Look. No, wait.", ""),))

    def test_nor_was_one_whose_filler_was_spoken_over(self) -> None:
        book = asked() >> [*voiced(1, "One moment please", 300), *calls(1)]
        book.plays(15) >> Played(1, 100) >> Stopped() << Flush(1) << Cancel(1, 100)
        assert book.call.history == [Turn("Look.", "One", interrupted=True)]

    def test_a_call_that_was_made_stands_even_if_its_filler_was_interrupted(self) -> None:
        book = asked() >> [*voiced(1, "One moment please", 300), *calls(1), ReplyDone(1)]
        book.plays(15) >> Played(1, 100) >> says(320) << Pause >> silent(600) << EndUtterance(2)
        book >> final(2, "Hurry up.") << Flush(1) << Cancel(1, 100)
        book << Respond(2, (
            Turn("Look.", "One", interrupted=True, calls=(LOOK,)), Turn("Hurry up.", ""),
        ))  # fmt: skip

    def test_a_failed_reply_asked_for_nothing(self) -> None:
        book = asked("Look.", Rules(notices=SILENT)) >> calls(1) >> EngineFailed(1, "503")
        book << Cancel(1, 0)
        assert book.call.history == [Turn("Look.", "")]

    def test_nor_did_one_that_was_cut(self) -> None:
        book = asked() >> ReplyText(1, "a") >> calls(1) >> ReplyDone(1, cut=True)
        assert book.did(ReplyMade) == [ReplyMade(1, cut=True)]
        assert book.call.history == [Turn("Look.", "a")]

    @pytest.mark.parametrize(
        "flood",
        [
            [ReplyCall(1, CallPiece(str(n), "f", "")) for n in range(CALLS_MAX + 1)],
            [ReplyCall(1, CallPiece("a", "f", "x" * (ARGUMENTS_CHARS_MAX // 2)))] * 3,
            [ReplyText(1, "x" * (TEXT_CHARS_MAX // 2))] * 3,
        ],
        ids=["calls", "arguments", "text"],
    )
    def test_what_an_engine_says_is_bounded(self, flood: list[Input]) -> None:
        book = asked("Look.", Rules(notices=SILENT)) >> flood[:-1]
        book.idle()
        book >> flood[-1] << Cancel(1, 0)
        assert finished(book) == [(1, "failed", "the reply is too long")]

    def test_whoever_still_writes_a_call_is_given_time(self) -> None:
        book = asked("Look.", Rules(filler_ms=0))
        for piece in calls(1):
            book.after(9_000) >> piece
        book.after(9_999).idle()
        book.after(1) << Cancel(1, 0)


class TestResults:
    def sounding(self) -> Playbook:
        """The call is made, and the filler before it sounds."""
        book = asked() >> [*voiced(1, "One moment", 200), *calls(1), ReplyDone(1)]
        return book.plays(10) >> Played(1, 100)

    def test_a_result_stands_behind_the_turn_that_still_sounds(self) -> None:
        book = self.sounding() >> SEVEN >> Played(1, 200) >> Asked()
        book << Respond(2, (Turn("Look.", "One moment", calls=(LOOK,)), SEVEN.entry, Turn("", "")))

    def test_who_asks_while_it_sounds_is_answered_when_it_has_ended(self) -> None:
        book = self.sounding() >> SEVEN >> Asked(5)
        book.idle()
        book >> Played(1, 200)
        book << Respond(2, (Turn("Look.", "One moment", calls=(LOOK,)), SEVEN.entry, Turn("", "")))
        assert book.did(ReplyStarted)[-1].tag == 5

    def test_or_when_the_client_says_that_it_has_heard_it(self) -> None:
        book = self.sounding() >> SEVEN >> Played(1, 1 << 50) >> Asked() << Respond
        assert book.call.phase is Phase.THINKING

    def test_a_result_that_comes_after_the_wish_is_too_late_for_it(self) -> None:
        book = asked() >> calls(1) >> ReplyDone(1) >> Asked()
        book << Respond(2, (Turn("Look.", "", calls=(LOOK,)), Turn("", ""))) >> SEVEN
        (book >> answered(2, "Wait.", 20)).plays(1) >> Played(2, 20) >> Asked()
        book << Respond(3, (
            Turn("Look.", "", calls=(LOOK,)), Turn("", "Wait."), SEVEN.entry, Turn("", "")
        ))  # fmt: skip

    @pytest.mark.parametrize("order", [*itertools.permutations(WISHES)])
    def test_whatever_the_order_they_stand_behind_the_call(self, order: tuple[str, ...]) -> None:
        other = Added("other", FunctionResult("c2", "8"))
        events: dict[str, Input] = dict(zip(WISHES, (SEVEN, other, Played(1, 200)), strict=True))
        book = self.sounding() >> [events[name] for name in order] >> Asked() << Respond
        first, *results, last = last_asked(book).history
        assert first == Turn("Look.", "One moment", calls=(LOOK,))
        added = [events[name] for name in order]
        assert results == [each.entry for each in added if isinstance(each, Added)]
        assert last == Turn("", "")

    def test_one_wish_waits_and_a_second_is_refused(self) -> None:
        book = self.sounding() >> Asked(5) >> Asked(6)
        assert book.did(Refused) == [Refused("response_active", 6)]

    def test_who_speaks_over_the_filler_is_answered_with_the_result(self) -> None:
        book = self.sounding() >> SEVEN >> Asked(5) >> says(320) << Pause
        book >> silent(600) << EndUtterance(2) >> final(2, "Well?") << Flush << Cancel(1, 100)
        book << Respond(2, (
            Turn("Look.", "One", interrupted=True, calls=(LOOK,)), SEVEN.entry, Turn("Well?", ""),
        ))  # fmt: skip
        assert book.did(ReplyStarted)[-1].tag == 5


class TestOrder:
    def test_what_is_added_while_words_are_awaited_stands_behind_them(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
        book >> [Added("a", Note("user", "two")), final(1, "one")]
        book << Respond(1, (Turn("one two", ""),))
        (book >> answered(1, "Yes.", 20)).plays(1) >> Played(1, 20)
        assert book.call.history == [Turn("one two", "Yes.")]

    def test_what_is_added_before_a_word_is_said_stands_before_it(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> Added("a", Note("user", "one"))
        book >> silent(600) << EndUtterance(1) >> final(1, "two")
        book << Respond(1, (Turn("one two", ""),))

    def test_what_is_added_while_a_reply_is_made_stands_behind_it(self) -> None:
        book = asked("one") >> Added("a", Note("user", "two"))
        (book >> answered(1, "Yes.", 20)).plays(1) >> Played(1, 20) >> Asked()
        book << Respond(2, (Turn("one", "Yes."), Turn("two", "")))

    def test_even_behind_what_was_added_there(self) -> None:
        book = asked("q") >> Added("a", Note("system", "1")) >> Added("b", Note("system", "3"))
        book >> Added("c", Note("system", "2"), "a") >> Stopped() << Cancel >> Asked() << Respond
        notes = [entry.text for entry in last_asked(book).history if isinstance(entry, Note)]
        assert notes == ["1", "2", "3"]

    def test_at_the_very_beginning(self) -> None:
        book = asked("q") >> Added("a", Note("system", "s"), FIRST) >> Stopped() << Cancel
        book >> Asked() << Respond(2, (Note("system", "s"), Turn("q", ""), Turn("", "")))

    def test_a_long_past_is_restored_in_its_order_even_under_a_greeting(self) -> None:
        book = Playbook(Rules(greets=True)) >> Connected() << Respond
        count = LATER_MAX + 9
        book >> [Added(str(n), Note("system", str(n))) for n in range(count)]
        assert len(book.call._floor.later) <= LATER_MAX
        book >> Stopped() << Cancel >> Asked() << Respond
        notes = [entry.text for entry in last_asked(book).history if isinstance(entry, Note)]
        assert notes == [str(n) for n in range(count)]

    def test_words_over_a_reply_are_not_lost_when_somebody_types(self) -> None:
        book = asked("one", Rules(interruption=Interruption.WAITS)) >> voiced(1, "yes it is", 400)
        book.plays(20) >> says(320) >> silent(600) << EndUtterance(2) >> final(2, "two")
        book >> Played(1, 400) >> Typed("three") << Flush << Cancel(1, 400)
        book << Respond(3, (Turn("one", "yes it is", interrupted=True), Turn("two three", "")))

    def test_but_a_nod_is_nothing_that_was_said(self) -> None:
        book = asked("one") >> voiced(1, "yes it is so", 3_000)
        book.plays(150) >> says(320) << Pause >> silent(600) << EndUtterance >> final(2, "mm-hm")
        book << Resume >> Typed("three") << Flush << Cancel
        book << Respond(3, (Turn("one", "", interrupted=True), Turn("three", "")))

    def test_before_the_call_is_connected(self) -> None:
        book = Playbook() >> Added("a", Note("user", "Hello")) >> Connected() >> Asked()
        book << Respond(1, (Turn("Hello", ""),))


class TestSettings:
    def test_those_of_a_wish_hold_for_its_reply(self) -> None:
        own = EngineSettings(instructions="Be brief.")
        book = Playbook() >> Connected() >> Asked(1, own)
        book << Respond(1, (Turn("", ""),), own) >> Stopped() << Cancel
        book >> Asked() << Respond(2, (Turn("", ""),), None)

    def test_and_survive_until_the_words_are_known(self) -> None:
        own = EngineSettings(instructions="Be brief.", speaks=False)
        book = Playbook(Rules(answers=False)) >> Connected()
        book >> says(320) >> silent(600) << EndUtterance(1) >> Asked(3, own)
        book.idle()
        book >> final(1, "Hello") << Respond(1, (Turn("Hello", ""),), own)
        assert book.did(ReplyStarted) == [ReplyStarted(1, tag=3, speaks=False)]

    def test_and_until_a_recording_is_known(self) -> None:
        book = Playbook() >> Connected() >> Recorded("r", ()) >> Asked(3, WRITES)
        book >> final(1, "Hello") << Respond(2, (Turn("Hello", ""),), WRITES)

    def test_something_else_than_the_conversation(self) -> None:
        context = (Note("system", "s"), Note("user", "Hi"))
        book = asked("one") >> Stopped() << Cancel >> Asked(context=context)
        book << Respond(2, (Note("system", "s"), Turn("Hi", "")), None, apart=True)
        (book >> answered(2, "Ho.", 20)).plays(1) >> Played(2, 20)
        assert book.call.history == [Turn("one", ""), Turn("", "Ho.")]

    def test_what_was_just_said_is_not_part_of_it_and_is_kept(self) -> None:
        book = Playbook(Rules(answers=False)) >> Connected()
        book >> says(320) >> silent(600) << EndUtterance(1)
        book >> Asked(context=(Note("user", "Hi"),)) >> final(1, "secret")
        book << Respond(1, (Turn("Hi", ""),), None, apart=True)
        (book >> answered(1, "Ho.", 20)).plays(1) >> Played(1, 20)
        assert book.call.history == [Turn("secret", "Ho.")]

    def test_a_wish_for_nothing_but_instructions(self) -> None:
        book = asked("one") >> Stopped() << Cancel >> Asked(context=())
        book << Respond(2, (Turn("", ""),), None, apart=True)


class TestWriting:
    def written(self) -> Playbook:
        book = Playbook() >> Connected() >> SettingsChanged(WRITES)
        return book >> Typed("Tell me.") << Respond

    def test_it_needs_no_sound_and_what_was_written_was_heard(self) -> None:
        book = self.written() >> [ReplyText(1, "One"), ReplyText(1, ", two."), ReplyDone(1)]
        assert book.call.phase is Phase.LISTENING
        assert book.did(ReplyStarted) == [ReplyStarted(1, speaks=False)]
        assert book.did(ReplyFinished) == [ReplyFinished(1, "completed", "", "One, two.", 0)]
        assert book.call.history == [Turn("Tell me.", "One, two.")]

    def test_speech_interrupts_it_and_what_was_written_is_remembered(self) -> None:
        book = self.written() >> ReplyText(1, "One,") >> says(320) << Cancel(1, 0)
        book >> silent(600) << EndUtterance(2) >> final(2, "Enough.")
        book << Respond(2, (Turn("Tell me.", "One,", interrupted=True), Turn("Enough.", "")))

    def test_nothing_written_yet_the_question_goes_on(self) -> None:
        book = self.written() >> says(320) << Cancel(1, 0) >> silent(600) << EndUtterance(2)
        book >> final(2, "please") << Respond(2, (Turn("Tell me. please", ""),))

    def test_whoever_still_writes_is_given_time(self) -> None:
        book = self.written()
        for word in ("One,", "two,", "three"):
            book.after(9_999) >> ReplyText(1, word)
        book.after(10_000) << Cancel(1, 0)
        assert finished(book) == [(1, "failed", "the reply took too long")]

    def test_notices_are_written_too(self) -> None:
        book = Playbook(Rules(call_ms_max=62_000)) >> Connected() >> SettingsChanged(WRITES)
        book.after(2_000) << Say(1, ENGLISH.warning)
        book >> ReplyText(1, ENGLISH.warning) >> ReplyDone(1)
        assert book.did(ReplyStarted) == [ReplyStarted(1, notice=True, speaks=False)]
        assert book.call.phase is Phase.LISTENING

    def test_one_reply_may_be_written_where_others_are_spoken(self) -> None:
        book = Playbook() >> Connected() >> Asked(1, WRITES) << Respond
        book >> ReplyText(1, "a") >> ReplyText(1, "b") >> ReplyDone(1)
        assert book.call.history == [Turn("", "ab")]
        book >> Asked(2) << Respond >> ReplyText(2, "a") >> ReplyText(2, "b") >> ReplyDone(2)
        assert book.did(ReplyStarted)[-1].speaks


IDLE = Rules(idle_prompt_ms=5_000)


def left_alone(book: Playbook) -> None:
    """Nobody is prompted, for much longer than it takes."""
    prompts = len(book.did(IdleTimedOut))
    book.after(50_000)
    assert len(book.did(IdleTimedOut)) == prompts
    assert not book.did(Closed)
    book.pending = [each for each in book.pending if not isinstance(each, MinuteElapsed | Cancel)]
    book.idle()


class TestIdlePrompts:
    def replied(self, rules: Rules = IDLE, *extra: Input) -> Playbook:
        """The first reply has been heard to its end."""
        book = Playbook(rules) >> Connected() >> Typed("Hello") << Respond
        (book >> [*voiced(1, "Hi.", 20), *extra, ReplyDone(1)]).plays(1)
        return book >> Played(1, 20)

    def prompted(self, book: Playbook, turn: int) -> None:
        book.after(4_999).idle()
        book.after(1) << Respond
        (book >> answered(turn, "Are you there?", 20)).plays(1) >> Played(turn, 20)

    def test_who_says_nothing_is_spoken_to(self) -> None:
        book = self.replied() >> silent(1_000)
        book.after(5_000 - 32 * 32) << Respond(2, (Turn("Hello", "Hi."), Turn("", "")))
        assert book.did(IdleTimedOut) == [IdleTimedOut(2, 0, 1_024)]

    def test_the_silence_has_its_place_in_the_sound(self) -> None:
        book = Playbook(IDLE) >> Connected() >> silent(6_000) >> Typed("Hello") << Respond
        (book >> answered(1, "Hi.", 20)).plays(1) >> Played(1, 20) >> silent(4_900)
        book.after(1_000) << Respond
        ends_ms = 6_016 + 4_928
        assert book.did(IdleTimedOut) == [IdleTimedOut(2, ends_ms - 5_000, ends_ms)]

    def test_three_times_and_then_no_more(self) -> None:
        book = self.replied()
        for turn in range(2, 2 + IDLE_PROMPTS_MAX):
            self.prompted(book, turn)
        left_alone(book)
        assert len(book.did(IdleTimedOut)) == IDLE_PROMPTS_MAX == 3

    @pytest.mark.parametrize(
        "sign", [Typed("x", answer=False), Added("a", Note("user", "x")), Recorded("r", ())]
    )
    def test_whoever_gives_a_sign_of_life_is_not_spoken_to(self, sign: Input) -> None:
        book = self.replied() >> sign
        left_alone(book)

    def test_and_may_be_spoken_to_three_times_again(self) -> None:
        book = self.replied()
        for turn in (2, 3):
            self.prompted(book, turn)
        book >> Added("a", Note("user", "x")) >> Asked() << Respond
        (book >> answered(4, "Yes.", 20)).plays(1) >> Played(4, 20)
        for turn in (5, 6, 7):
            self.prompted(book, turn)
        left_alone(book)

    def test_speaking_counts_too(self) -> None:
        book = self.replied()
        for turn in (2, 3, 4):
            self.prompted(book, turn)
        book >> says(320) >> silent(600) << EndUtterance(5) >> final(5, "Yes?") << Respond
        (book >> answered(5, "Well.", 20)).plays(1) >> Played(5, 20)
        self.prompted(book, 6)

    def test_who_is_speaking_is_not_spoken_to(self) -> None:
        book = self.replied()
        book.after(4_500) >> says(3_000)
        assert not book.did(IdleTimedOut)

    def test_a_client_that_answers_tools_by_itself_is_nobody(self) -> None:
        book = self.replied()
        for number in range(IDLE_PROMPTS_MAX):
            turn = 2 + 2 * number
            book.after(5_000) << Respond >> calls(turn) >> ReplyDone(turn)
            book >> SEVEN >> Asked() << Respond >> answered(turn + 1, "Seven.", 20) << Play
            book >> Played(turn + 1, 20)
        left_alone(book)

    def test_while_a_tool_is_awaited_the_silence_is_not_the_users(self) -> None:
        book = self.replied(IDLE, *calls(1))
        left_alone(book)
        book >> SEVEN >> Asked() << Respond >> answered(2, "Seven.", 20) << Play >> Played(2, 20)
        book.after(5_000) << Respond

    def test_nor_is_it_when_the_server_has_said_something_meanwhile(self) -> None:
        book = self.replied(Rules(idle_prompt_ms=5_000, call_ms_max=61_000), *calls(1))
        book.after(1_000) << Say >> answered(2, ENGLISH.warning, 20) << Play >> Played(2, 20)
        book.after(20_000).idle()

    def test_a_notice_that_was_heard_begins_the_wait_anew(self) -> None:
        book = self.replied(Rules(idle_prompt_ms=5_000, call_ms_max=64_000))
        book.after(4_000) << Say >> answered(2, ENGLISH.warning, 20) << Play >> Played(2, 20)
        self.prompted(book, 3)

    def test_only_a_reply_that_was_heard_to_its_end_is_waited_upon(self) -> None:
        book = Playbook(IDLE) >> Connected()
        book.after(20_000) >> Typed("Hello") << Respond
        (book >> voiced(1, "one two", 400)).plays(20) >> Played(1, 100) >> Stopped()
        book << Flush << Cancel
        book.after(20_000).idle()

    def test_a_notice_that_was_stopped_does_not_prompt_at_once(self) -> None:
        book = self.replied(Rules(idle_prompt_ms=5_000, call_ms_max=64_000))
        book.after(4_000) << Say >> voiced(2, ENGLISH.warning, 3_000)
        book.plays(150).after(2_000) >> Stopped() << Flush << Cancel
        book.after(20_000).idle()

    @pytest.mark.parametrize(
        "rules",
        [
            Rules(), Rules(idle_prompt_ms=5_000, answers=False),
            Rules(idle_prompt_ms=5_000, endpointing=Endpointing(manual=True)),
        ],
    )  # fmt: skip
    def test_where_the_client_decides_nobody_is_prompted(self, rules: Rules) -> None:
        left_alone(self.replied(rules))
        book = self.replied() >> RulesChanged(rules)
        left_alone(book)

    def test_while_the_reply_sounds_nobody_waits(self) -> None:
        book = Playbook(IDLE) >> Connected() >> Typed("Hello") << Respond
        (book >> answered(1, "one two", 9_000)).plays(450) >> Played(1, 20)
        book.after(8_000).idle()

    def test_a_prompt_may_itself_be_interrupted(self) -> None:
        book = self.replied()
        book.after(5_000) << Respond >> says(320) << Cancel(2, 0) >> silent(600) << EndUtterance
        book >> final(3, "I am here.")
        book << Respond(3, (Turn("Hello", "Hi."), Turn("I am here.", "")))


class TestForgetting:
    def replied(self) -> Playbook:
        """Turn 1 with a filler and a call is over."""
        book = asked("Look here.") >> [*voiced(1, "One moment", 200), *calls(1), ReplyDone(1)]
        return book.plays(10) >> Played(1, 200)

    def next_history(self, book: Playbook) -> tuple[object, ...]:
        book >> Asked() << Respond
        return last_asked(book).history

    @pytest.mark.parametrize(
        ("source", "left"),
        [
            (Spoken(1, "Look here."), Turn("", "One moment", calls=(LOOK,))),
            (Replied(1), Turn("Look here.", "", calls=(LOOK,))),
            (CalledIn(1, "c1"), Turn("Look here.", "One moment")),
            (Spoken(1, None), Turn("Look here.", "One moment", calls=(LOOK,))),
        ],
    )
    def test_of_a_past_turn(self, source: Spoken | Replied | CalledIn, left: Turn) -> None:
        book = self.replied() >> Forgotten(source)
        assert self.next_history(book) == (left, Turn("", ""))

    @pytest.mark.parametrize(
        ("source", "left"),
        [
            (Replied(1), Turn("Look here.", "", calls=(LOOK,))),
            (CalledIn(1, "c1"), Turn("Look here.", "One moment")),
        ],
    )
    @pytest.mark.parametrize("made", [True, False])
    def test_of_a_reply_that_is_still_going_on(
        self, source: Replied | CalledIn, left: Turn, made: bool
    ) -> None:
        book = asked("Look here.") >> [*voiced(1, "One moment", 200), *calls(1)]
        book.plays(10)
        book >> ([ReplyDone(1), Forgotten(source)] if made else [Forgotten(source), ReplyDone(1)])
        book >> Played(1, 200)
        assert self.next_history(book) == (left, Turn("", ""))

    def test_of_a_reply_that_is_interrupted_after_that(self) -> None:
        book = asked("Look here.") >> voiced(1, "One moment", 200)
        book.plays(10) >> Forgotten(Replied(1)) >> Played(1, 100) >> Stopped() << Flush << Cancel
        assert self.next_history(book) == (Turn("Look here.", ""), Turn("", ""))

    def test_words_that_are_being_answered(self) -> None:
        book = asked("Look here.") >> Forgotten(Spoken(1, "Look here."))
        book >> [*voiced(1, "One moment", 200), ReplyDone(1)]
        book.plays(10) >> Played(1, 200)
        assert self.next_history(book) == (Turn("", "One moment"), Turn("", ""))

    def test_words_that_have_not_come_yet(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
        book >> partial(1, "secret") >> Forgotten(Spoken(1, None)) >> final(1, "secret word")
        assert book.call.phase is Phase.LISTENING
        assert self.next_history(book) == (Turn("", ""),)

    def test_only_so_many_as_are_awaited(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
        book >> Forgotten(Spoken(1, None)) >> Forgotten(Spoken(1, None)) >> says(320)
        book >> final(1, "secret") >> silent(600) << EndUtterance(1) >> final(1, "Hello")
        book << Respond(1, (Turn("Hello", ""),))

    def test_words_that_are_no_longer_waited_for(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
        book >> partial(1, "secret") >> Forgotten(Spoken(1, None))
        book.after(2_500)
        assert book.call.phase is Phase.LISTENING
        assert self.next_history(book) == (Turn("", ""),)

    def test_words_that_went_on_in_the_next_turn(self) -> None:
        rules = Rules(interruption=Interruption.CANCELS)
        book = asked("my name is", rules) >> says(320) << Cancel(1, 0)
        book >> Forgotten(Spoken(1, "my name is")) >> silent(600) << EndUtterance(2)
        book >> final(2, "John") << Respond(2, (Turn("John", ""),))
        book = asked("my name is", rules) >> says(320) << Cancel(1, 0) >> silent(1_200)
        book << EndUtterance(2) >> final(2, "John") << Respond
        book >> answered(2, "Hi.", 20) << Play >> Played(2, 20)
        book >> Forgotten(Spoken(1, "my name is"))
        assert self.next_history(book) == (Turn("John", "Hi."), Turn("", ""))

    def test_words_of_who_speaks_over_a_reply(self) -> None:
        book = asked("one") >> voiced(1, "One moment", 200)
        book.plays(10) >> says(320) << Pause >> partial(2, "two") << Flush << Cancel
        book >> silent(600) << EndUtterance(2) >> Forgotten(Spoken(2, None)) >> final(2, "two")
        assert self.next_history(book)[-1] == Turn("", "")

    def test_what_a_client_put_there(self) -> None:
        book = self.replied() >> SEVEN >> Added("a", Note("user", "x")) >> Forgotten("a")
        assert self.next_history(book)[1:] == (SEVEN.entry, Turn("", ""))

    def test_what_a_client_put_there_a_moment_ago(self) -> None:
        book = asked("one") >> Added("a", Note("user", "x")) >> Forgotten("a") >> Stopped()
        book << Cancel
        assert self.next_history(book) == (Turn("one", ""), Turn("", ""))


class TestTruncating:
    def test_a_past_reply_is_cut_in_the_next_history(self) -> None:
        book = asked("Count.") >> answered(1, "one two three four", 400)
        book.plays(20) >> Played(1, 400) >> Truncated(1, 250) >> Asked()
        book << Respond(2, (Turn("Count.", "one two", interrupted=True), Turn("", "")))

    def test_and_may_be_cut_again_and_less(self) -> None:
        book = asked("Count.") >> answered(1, "one two three four", 400)
        book.plays(20) >> Played(1, 400) >> Truncated(1, 100) >> Truncated(1, 9_999) >> Asked()
        book << Respond(2, (Turn("Count.", "one two three four"), Turn("", "")))

    def test_its_calls_stand(self) -> None:
        book = asked("Count.") >> [*voiced(1, "one two", 400), *calls(1), ReplyDone(1)]
        book.plays(20) >> Played(1, 400) >> Truncated(1, 0) >> Asked() << Respond
        assert last_asked(book).history[0] == Turn("Count.", "", interrupted=True, calls=(LOOK,))

    def test_one_whose_question_stands_apart_from_it(self) -> None:
        book = Playbook() >> Connected() >> says(320) >> silent(600) << EndUtterance(1)
        book >> [Added("a", Note("user", "two")), final(1, "one")] << Respond
        (book >> answered(1, "yes it is so", 400)).plays(20) >> Played(1, 400)
        book >> Truncated(1, 200) >> Asked()
        book << Respond(2, (Turn("one two", "yes it", interrupted=True), Turn("", "")))

    def test_one_that_was_never_there(self) -> None:
        book = asked("Count.") >> Truncated(1, 100) >> Truncated(7, 100)
        assert book.call.phase is Phase.THINKING


class TestBounds:
    def test_the_oldest_are_left_out(self) -> None:
        rules = Rules(context_tokens_max=10, context_share_kept=0.5)
        book = Playbook(rules) >> Connected()
        notes = [Added(str(n), Note("assistant", "x" * 8)) for n in range(6)]
        book >> notes[:5] >> Asked() << Respond
        assert len(last_asked(book).history) == 6
        book >> Stopped() << Cancel >> notes[5] >> Asked() << Respond
        assert len(last_asked(book).history) == 1 + 2

    def test_none_where_the_client_wants_all(self) -> None:
        book = Playbook(Rules(context_tokens_max=0)) >> Connected()
        book >> [Added(str(n), Note("assistant", "x" * 9_000)) for n in range(30)] >> Asked()
        book << Respond
        assert len(last_asked(book).history) == 31

    def test_the_clients_own_context_is_not_shortened(self) -> None:
        book = Playbook(Rules(context_tokens_max=1)) >> Connected()
        book >> Asked(context=(Note("assistant", "x" * 900),))
        book << Respond(1, (Turn("", "x" * 900), Turn("", "")), None, apart=True)


def test_an_audio_reply_outside_of_the_conversation_can_be_cancelled() -> None:
    book = Playbook() >> Connected() >> Asked(4, EngineSettings(), aside=True) << Respond
    book >> Stopped(1) << Cancel(1, 0)
    assert finished(book) == [(1, "cancelled", "client_cancelled")]
    assert book.call.phase is Phase.LISTENING
