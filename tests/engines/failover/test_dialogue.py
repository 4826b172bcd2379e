"""A reply is given to its end by whoever can, whatever fails when: its words come once and in
order, and no tool is called twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.failover.continuing import GO_ON
from engines.failover.dialogue import FailoverDialogue, ReplyingPatience
from engines.failover.health import HealthRules, State
from engines.failover.work import Candidate
from engines.openai.chat_messages import messages_of
from engines.speech import (
    CallPiece,
    Cut,
    Dialogue,
    DialogueOutput,
    EngineError,
    EngineRefused,
    EngineSettings,
    Expect,
    FunctionResult,
    HangUp,
    Note,
    Pace,
    Turn,
)

from ..flaky import Fault, Record, Talker, call_piece, candidate, candidates
from ..virtual_time import clock_ms, run

REPLY = "A verb is a doing word. It tells us what somebody does, as in: the dog that a man had."
HISTORY = (Turn("Hello", "Good morning."), Turn("What is a verb?", ""))
WORDS = REPLY.split()


def failover(
    record: Record, *talkers: Talker, hedge_ms: int = 0, patience: ReplyingPatience | None = None
) -> FailoverDialogue:
    ordered: Sequence[Candidate[Dialogue]] = candidates(*talkers)
    return FailoverDialogue(ordered, record.terms(hedge_ms), patience)


async def said(
    engine: FailoverDialogue, history: Sequence[Turn | Note | FunctionResult] = HISTORY
) -> list[DialogueOutput]:
    return [each async for each in engine.respond(history, EngineSettings())]


def text_of(outputs: Sequence[DialogueOutput]) -> str:
    return "".join(each for each in outputs if isinstance(each, str))


def test_one_alone_is_given_on_as_it_is() -> None:
    async def test() -> None:
        record = Record()
        outputs: list[DialogueOutput] = [
            "He", "llo", " there", Pace(0.8), Expect(("yes",)), " x", HangUp(), Cut(),
        ]  # fmt: skip
        assert await said(failover(record, Talker("one", outputs=outputs))) == outputs
        assert record.told == [("one", "done")]

    run(test)


def test_what_a_reply_cost_is_reported_and_not_given_on() -> None:
    async def test() -> None:
        record = Record()
        one = Talker("one", reply=REPLY, spent=17, slow_s=0.25)
        assert all(isinstance(each, str) for each in await said(failover(record, one)))
        use, = record.uses
        assert (use.role, use.version, use.first_ms) == ("dialogue", "one-1", 250)
        assert use.amounts == (("tokens_out", 17),)

    run(test)


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.BUG, Fault.STALL, Fault.REFUSED, Fault.END])
def test_before_the_first_word_the_next_is_simply_asked(fault: Fault) -> None:
    async def test() -> None:
        record = Record()
        one = Talker("one", fault, 2, outputs=[Pace(0.5), Expect(("no",)), "never"])
        two = Talker("two", outputs=[Pace(0.9), "Yes."])
        begun_ms = clock_ms()
        assert await said(failover(record, one, two)) == [Pace(0.9), "Yes."]
        assert list(two.asked[0]) == list(HISTORY)
        assert clock_ms() - begun_ms == (1_500 if fault is Fault.STALL else 0)
        assert record.told == [("one", "failed"), ("two", "done")]

    run(test)


FAULTS = st.sampled_from([Fault.ERROR, Fault.BUG, Fault.STALL, Fault.REFUSED])


@given(
    after=st.integers(0, 40), fault=FAULTS, token_chars=st.integers(1, 12),
    says_again=st.sampled_from([0, 1, 2, 5, 99]), again_fails=st.booleans(),
)  # fmt: skip
@example(after=1_000, fault=Fault.STALL, token_chars=3, says_again=0, again_fails=False)
def test_wherever_a_dialogue_breaks_off_its_reply_is_given_whole_and_once(
    after: int, fault: Fault, token_chars: int, says_again: int, again_fails: bool
) -> None:
    async def test() -> None:
        record = Record()
        one = Talker("one", fault, after, reply=REPLY, token_chars=token_chars)
        two = Talker("two", reply=REPLY, token_chars=token_chars, says_again=says_again)
        if again_fails:
            two.fault, two.after = fault, 2
        three = Talker("three", reply=REPLY, token_chars=7)
        outputs = await said(failover(record, one, two, three))
        assert text_of(outputs).split() == WORDS
        assert " ".join(text_of(outputs).split()) == text_of(outputs).strip()
        for talker in (two, three):
            for history in talker.asked:
                if len(history) > len(HISTORY):
                    *_, before, last = history
                    assert isinstance(before, Turn)
                    assert (before.user, last) == ("What is a verb?", Turn(GO_ON, ""))
                    # No word was begun that another had to finish.
                    assert before.agent.split() == WORDS[: len(before.agent.split())]
        assert one.open == two.open == three.open == 0

    run(test)


def test_words_come_as_soon_as_they_are_whole() -> None:
    async def test() -> list[tuple[str, int]]:
        record, came, begun_ms = Record(), list[tuple[str, int]](), clock_ms()
        one = Talker("one", outputs=["Hel", "lo th", "ere. ", "Next"], pace_s=0.1)
        async for each in failover(record, one, Talker("two")).respond(HISTORY, EngineSettings()):
            assert isinstance(each, str)
            came.append((each, clock_ms() - begun_ms))
        return came

    assert run(test) == [("Hello ", 200), ("there. ", 300), ("Next", 400)]


def test_a_script_that_does_not_part_its_words_is_not_held_back() -> None:
    async def test() -> None:
        one = Talker("one", outputs=["你好", "吗"])
        assert await said(failover(Record(), one, Talker("two"))) == ["你好", "吗"]

    run(test)


def test_who_goes_on_is_told_what_was_said_in_the_words_of_a_chat() -> None:
    async def test() -> None:
        two = Talker("two", reply=REPLY)
        await said(failover(Record(), Talker("one", Fault.ERROR, 3, reply=REPLY), two))
        messages = messages_of(two.asked[0], EngineSettings(instructions="Be kind."))
        assert [(m["role"], m["content"]) for m in messages[1:]] == [
            ("user", "Hello"), ("assistant", "Good morning."), ("user", "What is a verb?"),
            ("assistant", "A verb is a"), ("user", GO_ON),
        ]  # fmt: skip

    run(test)


def test_who_follows_a_script_is_not_asked_to_go_on() -> None:
    async def test() -> None:
        record, tutor = Record(), Talker("tutor", reply="Let us begin.")
        one = Talker("one", Fault.ERROR, 4, reply=REPLY)
        ordered = [candidate(one), candidate(tutor, continues=False)]
        engine, heard = FailoverDialogue(ordered, record.terms()), list[DialogueOutput]()
        with pytest.raises(EngineError, match="one is broken"):
            async for each in engine.respond(HISTORY, EngineSettings()):
                heard.append(each)
        assert text_of(heard).split() == WORDS[:4]
        assert tutor.asked == []
        # But from the beginning it is as good as any.
        one.after = 0
        engine = FailoverDialogue(ordered, record.terms())
        assert text_of(await said(engine)) == "Let us begin."

    run(test)


def test_a_stall_is_waited_out_where_nobody_could_go_on() -> None:
    async def test() -> None:
        one = Talker("one", reply=REPLY, pace_s=5, slow_s=50)
        tutor = Talker("tutor", reply="Let us begin.")
        ordered = [candidate(one, patience_ms=60_000), candidate(tutor, continues=False)]
        assert text_of(await said(FailoverDialogue(ordered, Record().terms()))) == REPLY
        assert text_of(await said(failover(Record(), one))) == REPLY

    run(test)


def test_a_blank_is_no_beginning() -> None:
    async def test() -> None:
        record, two = Record(), Talker("two", reply=REPLY)
        one = Talker("one", Fault.STALL, 1, outputs=["\n", REPLY])
        begun_ms = clock_ms()
        assert text_of(await said(failover(record, one, two))).split() == WORDS
        assert clock_ms() - begun_ms == 1_500, "as if it had said nothing"
        assert two.asked == [HISTORY]

    run(test)


def test_a_stall_before_a_word_was_given_is_ended_by_who_follows_a_script_too() -> None:
    async def test() -> None:
        # The word is not whole, and so was not given.
        one = Talker("one", Fault.STALL, 1, outputs=["A", " verb."])
        tutor = Talker("tutor", reply="Let us begin.")
        ordered = [candidate(one), candidate(tutor, continues=False)]
        told = text_of(await said(FailoverDialogue(ordered, Record().terms())))
        assert told == "Let us begin."

    run(test)


def test_one_that_has_nothing_to_add_ends_the_reply() -> None:
    async def test() -> None:
        record = Record()
        one, two = Talker("one", Fault.STALL, 1_000, reply=REPLY), Talker("two", reply=REPLY)
        assert text_of(await said(failover(record, one, two))).split() == WORDS
        assert record.told == [("one", "failed"), ("two", "done")]
        assert record.health.of("dialogue", "two", clock_ms()).last_error == ""

    run(test)


# Tools.


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.BUG])
@pytest.mark.parametrize("words", [[], ["Let me look. "]])
def test_a_tool_that_was_called_is_not_called_again(fault: Fault, words: list[str]) -> None:
    async def test() -> None:
        record, two, heard = Record(), Talker("two", reply=REPLY), list[DialogueOutput]()
        pieces = [call_piece(""), call_piece('{"a":'), call_piece("1}")]
        outputs: list[DialogueOutput] = [*words, *pieces]
        one = Talker("one", fault, len(words) + 2, outputs=outputs)
        with pytest.raises(EngineError):
            async for each in failover(record, one, two).respond(HISTORY, EngineSettings()):
                heard.append(each)
        assert heard == [*words, call_piece(""), call_piece('{"a":')]
        assert two.asked == []

    run(test)


def test_a_reply_of_calls_alone_is_a_good_one() -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        one = Talker("one", outputs=[call_piece()])
        for _ in range(3):
            assert await said(failover(record, one, Talker("two"))) == [call_piece()]
        assert record.told == [("one", "done")] * 3
        assert record.health.of("dialogue", "one", clock_ms()).state is State.CLOSED

    run(test)


def test_a_call_that_takes_its_time_is_waited_for() -> None:
    async def test() -> None:
        outputs = [call_piece(""), call_piece("{}")]
        one = Talker("one", outputs=outputs, slow_s=1.0)

        class Slow(Talker):
            async def step(self) -> bool:
                if self.pieces == 1:
                    await asyncio.sleep(30)
                return await super().step()

        one = Slow("one", outputs=outputs)
        assert await said(failover(Record(), one, Talker("two"))) == outputs

    run(test)


def test_words_held_back_come_before_a_call() -> None:
    async def test() -> None:
        one = Talker("one", outputs=["Let me lo", "ok", call_piece()])
        outputs = await said(failover(Record(), one, Talker("two")))
        assert text_of(outputs) == "Let me look"
        assert isinstance(outputs[-1], CallPiece)

    run(test)


# All of them.


def test_saying_nothing_is_a_failure_and_hanging_up_or_being_cut_is_not() -> None:
    async def test() -> None:
        record = Record()
        silent = Talker("silent", outputs=[Pace(1.0)])
        assert text_of(await said(failover(record, silent, Talker("two", reply=REPLY)))) == REPLY
        assert record.told[0] == ("silent", "failed")
        with pytest.raises(EngineError, match="said nothing"):
            await said(failover(record, silent))
        for last in (HangUp(), Cut()):
            assert await said(failover(record, Talker("x", outputs=[last]), silent)) == [last]

    run(test)


def test_when_all_fail_after_words_the_words_stand_and_people_are_told() -> None:
    async def test() -> None:
        heard = list[DialogueOutput]()
        one = Talker("one", Fault.ERROR, 3, reply=REPLY)
        two = Talker("two", Fault.ERROR, 0, reply=REPLY)
        with pytest.raises(EngineError, match=r"one is broken.*two is broken.*minute"):
            async for each in failover(Record(), one, two).respond(HISTORY, EngineSettings()):
                heard.append(each)
        assert text_of(heard).split() == WORDS[:4]
        refused = Talker("a", Fault.REFUSED), Talker("b", Fault.REFUSED)
        with pytest.raises(EngineRefused):
            await said(failover(Record(), *refused))

    run(test)


def test_an_engine_that_cannot_even_be_made_is_one_more_that_failed() -> None:
    async def test() -> None:
        def unmade() -> Dialogue:
            raise EngineError("it has no key; set one")

        record = Record()
        ordered: list[Candidate[Dialogue]] = [Candidate("keyless", "", unmade)]
        ordered.append(candidate(Talker("two", reply=REPLY)))
        assert text_of(await said(FailoverDialogue(ordered, record.terms()))) == REPLY
        assert record.uses[0].error == "it has no key; set one"
        with pytest.raises(EngineError, match="settings"):
            await said(FailoverDialogue([], record.terms()))

    run(test)


def test_a_hedged_reply_is_that_of_the_first_to_speak() -> None:
    async def test() -> None:
        record = Record()
        one = Talker("one", outputs=[Pace(0.5), "One."], slow_s=0.2, pace_s=1.0)
        two = Talker("two", outputs=["Two."], slow_s=0.1)
        begun_ms = clock_ms()
        assert await said(failover(record, one, two, hedge_ms=400)) == ["Two."]
        assert clock_ms() - begun_ms == 500
        assert record.told == [("one", "left"), ("two", "done")]
        assert (one.open, two.open) == (0, 0)

    run(test)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_leaving_leaves_nothing_and_blames_nobody(after: int) -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        one, two = Talker("one", reply=REPLY, slow_s=0.1, pace_s=0.1), Talker("two", reply=REPLY)
        stream = failover(record, one, two).respond(HISTORY, EngineSettings())
        async with contextlib.aclosing(stream):
            for _ in range(after):
                await anext(stream)
            if not after:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(stream)
        assert (one.open, two.open) == (0, 0)
        assert record.told == [("one", "left")]
        assert record.health.of("dialogue", "one", clock_ms()).state is State.CLOSED

    run(test)
