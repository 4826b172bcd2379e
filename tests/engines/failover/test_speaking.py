"""A sentence is said to its end by whoever can, whatever fails when: no word is lost, none is
said twice beyond the rule, and what is told of the words stays true of the sound."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.failover.health import HealthRules, Outcome, State
from engines.failover.speaking import FailoverTextToSpeech, Sound, SpeakingPatience
from engines.failover.work import Candidate
from engines.speech import (
    EngineError,
    EngineRefused,
    OpusFrame,
    TextToSpeech,
    WordTime,
)
from voice_server.calls.reply import Piece

from ..flaky import FRAMES_PER_WORD, Fault, Record, Voice, candidate, candidates, places
from ..virtual_time import clock_ms, run

TEXT = "A verb is, as we said, a doing word."
STEP_MS = FRAMES_PER_WORD * 20
Sounds = list[Sound]


def failover(
    record: Record, *voices: Voice, hedge_ms: int = 0, patience: SpeakingPatience | None = None
) -> FailoverTextToSpeech:
    ordered: Sequence[Candidate[TextToSpeech]] = candidates(*voices)
    return FailoverTextToSpeech(ordered, record.terms(hedge_ms), patience)


async def said(
    engine: FailoverTextToSpeech, text: str = TEXT, voice: str = "", language: str = "en"
) -> Sounds:
    return [each async for each in engine.synthesize(text, voice=voice, language=language)]


def by(sounds: Sounds) -> list[tuple[str, str, int]]:
    """(voice, word, frame) of each frame."""
    frames = (each.packet.decode().split() for each in sounds if isinstance(each, OpusFrame))
    return [(name, word, int(number)) for name, word, number in frames]


def words_whole(sounds: Sounds) -> list[str]:
    """The words whose sound is there in full, in order."""
    return [
        word for n, (name, word, number) in enumerate(by(sounds))
        if number == FRAMES_PER_WORD - 1
        and by(sounds)[n + 1 - FRAMES_PER_WORD : n + 1]
        == [(name, word, k) for k in range(FRAMES_PER_WORD)]
    ]  # fmt: skip


def check_words_lie_right(sounds: Sounds, text: str = TEXT) -> None:
    """What was told of each word is true of the sound that follows."""
    given_ms, told = 0, list[WordTime]()
    for index, each in enumerate(sounds):
        if isinstance(each, OpusFrame):
            given_ms += 20
            continue
        told.append(each)
        assert each.start_ms == given_ms, "told when its sound comes"
        after = next(s for s in sounds[index:] if isinstance(s, OpusFrame))
        assert after.packet.decode().split()[1] == text[each.char_start : each.char_end]
    assert all(a.start_ms <= b.start_ms for a, b in pairwise(told))
    piece = Piece(text, words=told, sound_ms=given_ms)
    assert piece.heard_chars(given_ms, whole=True) == len(text)


def test_one_voice_alone_is_given_on_as_it_is() -> None:
    async def test() -> None:
        record = Record()
        alone = await said(FailoverTextToSpeech(candidates(Voice("one")), record.terms()))
        plain = [each async for each in Voice("one").synthesize(TEXT, voice="", language="en")]
        assert alone == plain
        use, = record.uses
        assert (use.role, use.engine, use.version, use.outcome) == (
            "text_to_speech", "one", "one-1", "done",
        )  # fmt: skip
        frames = len(TEXT.split()) * FRAMES_PER_WORD
        assert dict(use.amounts) == {"characters": len(TEXT), "audio_ms": 20 * frames}

    run(test)


def test_a_voice_that_fails_before_its_sound_is_followed_by_the_next() -> None:
    for fault in (Fault.ERROR, Fault.BUG, Fault.STALL, Fault.REFUSED, Fault.END):
        async def test(fault: Fault = fault) -> None:
            record = Record()
            one, two = Voice("one", fault), Voice("two")
            sounds = await said(failover(record, one, two))
            assert words_whole(sounds) == TEXT.split()
            assert {name for name, _, _ in by(sounds)} == {"two"}
            check_words_lie_right(sounds)
            assert record.told == [("one", "failed"), ("two", "done")]
            assert (one.open, two.open) == (0, 0)

        run(test)


async def broken_at(after: int, fault: Fault, times_of: str) -> tuple[Sounds, Voice, Voice, Record]:
    record = Record()
    one = Voice("one", fault, after, pace_s=0.005, times_of=times_of)
    two = Voice("two", pace_s=0.005)
    return await said(failover(record, one, two)), one, two, record


@given(
    after=st.integers(0, len(TEXT.split()) * (FRAMES_PER_WORD + 1) + 1),
    fault=st.sampled_from([Fault.ERROR, Fault.BUG, Fault.STALL, Fault.REFUSED]),
    times_of=st.sampled_from(["coming", "ahead"]),
)
@example(after=FRAMES_PER_WORD + 1, fault=Fault.STALL, times_of="coming")
@example(after=1_000, fault=Fault.STALL, times_of="coming")
def test_wherever_a_voice_breaks_off_no_word_is_lost(
    after: int, fault: Fault, times_of: str
) -> None:
    sounds, one, two, record = run(lambda: broken_at(after, fault, times_of))
    frames = by(sounds)
    from_one = [frame for frame in frames if frame[0] == "one"]
    assert frames[: len(from_one)] == from_one, "what one gave comes first"
    words = TEXT.split()
    whole = len(from_one) // FRAMES_PER_WORD
    assert words_whole([s for s in sounds if isinstance(s, OpusFrame)])[:whole] == words[:whole]
    if two.asked:
        text, _ = two.asked[0]
        again = len(words) - len(text.split())
        # The first word that was not given in full; or the one before, whose end nobody told.
        assert again in ((whole,) if times_of == "ahead" and whole < len(words) else
                         (whole, whole - 1))  # fmt: skip
        assert text == TEXT[places(TEXT)[again][0] :]
        assert [word for _, word, _ in frames[len(from_one) :: FRAMES_PER_WORD]] == words[again:]
        assert record.told == [("one", "failed"), ("two", "done")]
    else:
        assert whole == len(words), "nobody went on, and not all was said"
    check_words_lie_right(sounds)
    assert (one.open, two.open) == (0, 0)


@given(
    after=st.integers(0, len(TEXT.split()) * FRAMES_PER_WORD + 8),
    times_of=st.sampled_from(["reckoned", "none"]),
)
def test_where_a_voice_does_not_tell_its_times_words_are_said_again_and_not_lost(
    after: int, times_of: str
) -> None:
    sounds, _, two, _ = run(lambda: broken_at(after, Fault.ERROR, times_of))
    words = TEXT.split()
    given = len([1 for name, _, _ in by(sounds) if name == "one"]) // FRAMES_PER_WORD
    if two.asked:
        text, _ = two.asked[0]
        assert len(words) - len(text.split()) <= given
        if given > 4:
            assert text != TEXT, "and not all from the beginning"
    told = [each for each in sounds if isinstance(each, WordTime)]
    assert [each.start_ms for each in told] == sorted(each.start_ms for each in told)
    # Of all that was heard of the first something is told, be it late and reckoned.
    assert not given or told[0].char_start == 0
    piece = Piece(TEXT, words=told, sound_ms=given * STEP_MS)
    assert piece.begun_chars(given * STEP_MS) or not given


def test_an_end_that_was_heard_is_not_said_again() -> None:
    """A voice that gave all its sound, and silence after it, and then hangs."""

    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.STALL, after=FRAMES_PER_WORD + 1), Voice("two")
        sounds = await said(failover(record, one, two), text="I")
        assert words_whole(sounds) == ["I"]
        assert not two.asked

    run(test)


def test_sound_ahead_is_patience() -> None:
    """A voice may be silent as long as the listener still has something to hear."""

    text = f"{TEXT} {TEXT} {TEXT}"

    async def test() -> list[int]:
        # All words but the last at once; then a silence of nearly as long as they sound.
        record, at = Record(), list[int]()
        words = len(text.split())
        lead = (words - 1) * (FRAMES_PER_WORD + 1)

        class Bursts(Voice):
            async def step(self) -> bool:
                if self.pieces == lead:
                    await asyncio.sleep(silence_s)
                return await super().step()

        for silence_ms in (-1_100, 0):
            silence_s = ((words - 1) * STEP_MS + silence_ms) / 1_000
            one, two = Bursts("one"), Voice("two")
            sounds = await said(failover(record, one, two), text)
            at.append(len(two.asked))
            assert words_whole(sounds)[-1] == TEXT.split()[-1]
        return at

    assert run(test) == [0, 1]


def test_patience_is_only_for_those_who_could_be_replaced() -> None:
    async def test() -> None:
        record = Record()
        slow = Voice("slow", slow_s=60, pace_s=3)
        assert words_whole(await said(failover(record, slow), text="One two")) == ["One", "two"]
        # Nor when all the others are known to be unwell.
        record, dead = Record(), Voice("dead", Fault.ERROR)
        ticket = record.health.ask("text_to_speech", "dead", clock_ms())
        assert ticket is not None
        record.health.tell(ticket, Outcome.FAILED, clock_ms(), retry_after_s=600)
        slow = Voice("slow", slow_s=60)
        assert words_whole(await said(failover(record, slow, dead), text="One two"))
        assert dead.asked == []

    run(test)


def test_each_may_have_its_own_patience_or_all_none() -> None:
    async def test() -> None:
        for own_ms, all_ms, asked in ((5_000, 100, 0), (None, 100, 1), (None, None, 0)):
            record, two = Record(), Voice("two")
            ordered = [candidate(Voice("one", slow_s=2), patience_ms=own_ms), candidate(two)]
            engine = FailoverTextToSpeech(
                ordered, record.terms(), SpeakingPatience(first_ms=all_ms)
            )
            assert words_whole(await said(engine)) == TEXT.split()
            assert len(two.asked) == asked

    run(test)


def test_a_voice_that_one_engine_does_not_have_is_its_own_default_there() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.ERROR, 20, voices=("anna",)), Voice("two")
        terms = record.terms()
        sounds = await said(FailoverTextToSpeech(candidates(one, two), terms), voice="anna")
        assert one.asked == [(TEXT, "anna")]
        assert [voice for _, voice in two.asked] == ["anna", ""]
        assert words_whole(sounds)[-1] == "word."
        assert record.told == [("one", "failed"), ("two", "done")]
        # What an engine has it is asked for again, and what it does not have is not.
        has = Voice("has", voices=("anna",))
        both = failover(record, has)
        await said(both, voice="anna")
        await said(both, voice="anna")
        assert [voice for _, voice in has.asked] == ["anna", "anna"]
        await said(FailoverTextToSpeech(candidates(one, two), terms), voice="anna")
        assert [voice for _, voice in two.asked] == ["anna", "", ""]
        assert record.health.of("text_to_speech", "two", clock_ms()).state is State.CLOSED

    run(test)


def test_a_text_that_is_refused_is_not_taken_for_a_voice_that_is() -> None:
    async def test() -> None:
        record = Record()
        one = Voice("one", Fault.REFUSED, times=2, voices=("anna",))
        engine = failover(record, one, Voice("two"))
        assert {name for name, _, _ in by(await said(engine, voice="anna"))} == {"two"}
        assert {name for name, _, _ in by(await said(engine, voice="anna"))} == {"one"}
        assert [voice for _, voice in one.asked] == ["anna", "", "anna"]

    run(test)


def test_a_voice_that_refuses_in_the_middle_does_not_begin_again() -> None:
    async def test() -> None:
        record = Record()
        one = Voice("one", Fault.REFUSED, after=2 * (FRAMES_PER_WORD + 1) + 4, voices=("marina",))
        two = Voice("two")
        sounds = await said(failover(record, one, two), voice="marina")
        assert [voice for _, voice in one.asked] == ["marina"]
        assert words_whole(sounds) == TEXT.split()
        assert record.told == [("one", "failed"), ("two", "done")]

    run(test)


def test_ever_new_voices_are_answered_and_not_all_remembered() -> None:
    async def test() -> None:
        engine = failover(Record(), one := Voice("one"))
        for number in range(150):
            assert await said(engine, "One.", voice=f"voice {number}")
        assert len(engine.terms.refused_voices) == 100
        # One that is remembered is not asked for again.
        await said(engine, "One.", voice="voice 0")
        assert [voice for _, voice in one.asked[-2:]] == ["", ""]

    run(test)


def test_only_those_who_speak_the_language_are_asked() -> None:
    async def test() -> None:
        record, english, any_ = Record(), Voice("english"), Voice("any")
        ordered = [candidate(english, languages=("en",)), candidate(any_)]
        engine = FailoverTextToSpeech(ordered, record.terms())
        assert {name for name, _, _ in by(await said(engine, language="ru-RU"))} == {"any"}
        assert {name for name, _, _ in by(await said(engine, language="EN"))} == {"english"}
        only = FailoverTextToSpeech([candidate(english, languages=("en",))], record.terms())
        with pytest.raises(EngineRefused, match="choose another"):
            await said(only, language="ru")

    run(test)


def test_when_all_fail_people_are_told_what_to_do_and_nothing_of_a_bug() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.ERROR, retry_after_s=7), Voice("two", Fault.BUG)
        three = Voice("three", Fault.ERROR, retry_after_s=9)
        with pytest.raises(EngineError) as caught:
            await said(failover(record, one, two, three))
        told = str(caught.value)
        assert "one is broken" in told
        assert "minute" in told
        assert "secret" not in told
        assert caught.value.retry_after_s == 7
        assert not isinstance(caught.value, EngineRefused)
        with pytest.raises(EngineRefused):
            await said(failover(record, Voice("a", Fault.REFUSED), Voice("b", Fault.REFUSED)))
        # One alone speaks for itself.
        with pytest.raises(EngineError, match=r"^one is broken$"):
            await said(failover(record, Voice("one", Fault.ERROR)))

    run(test)


def test_what_is_unwell_is_asked_last_and_still_better_than_silence() -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        one, two = Voice("one", Fault.ERROR, times=1), Voice("two")
        assert {name for name, _, _ in by(await said(failover(record, one, two)))} == {"two"}
        # A new failover, as for the next turn: the circuit remembers.
        assert {name for name, _, _ in by(await said(failover(record, one, two)))} == {"two"}
        assert len(one.asked) == 1
        two.fault, two.times = Fault.ERROR, 1
        assert {name for name, _, _ in by(await said(failover(record, one, two)))} == {"one"}
        assert record.health.of("text_to_speech", "one", clock_ms()).state is State.CLOSED

    run(test)


def test_a_call_that_was_let_down_once_is_not_let_down_again_in_the_next_sentence() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.STALL), Voice("two")
        engine = failover(record, one, two)
        for _ in range(3):
            assert words_whole(await said(engine)) == TEXT.split()
        assert len(one.asked) == 1
        # Nor is it somebody to turn to, so the other is given all the time it needs.
        two.slow_s = 5.0
        assert {name for name, _, _ in by(await said(engine))} == {"two"}
        assert len(one.asked) == 1
        await asyncio.sleep(20)
        one.fault = Fault.NONE
        assert {name for name, _, _ in by(await said(engine))} == {"one"}

    run(test)


def test_nothing_to_say_is_no_failure() -> None:
    async def test() -> None:
        record, two = Record(), Voice("two")
        assert await said(failover(record, Voice("one", Fault.END), two), text=" … ") == []
        assert two.asked == []
        # Nobody has a sound for this; it is not said, and nobody is ill for it.
        mute = Voice("mute", Fault.END), Voice("dumb", Fault.END)
        for _ in range(5):
            assert await said(failover(record, *mute), text="字") == []
        states = {each.state for each in record.health.view(clock_ms())}
        assert states == {State.CLOSED}
        # But where another was broken, silence is a failure.
        with pytest.raises(EngineError):
            broken = Voice("broken", Fault.ERROR)
            await said(failover(record, broken, Voice("mute", Fault.END)), text="word")

    run(test)


def test_even_of_the_unwell_each_gets_only_so_long() -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        ill = Voice("one", Fault.STALL), Voice("two", Fault.STALL), Voice("three")
        for each in ill:
            ticket = record.health.ask("text_to_speech", each.name, clock_ms())
            assert ticket is not None
            record.health.tell(ticket, Outcome.FAILED, clock_ms())
        assert {name for name, _, _ in by(await said(failover(record, *ill)))} == {"three"}

    run(test)


def test_words_that_a_voice_tells_at_the_last_are_told() -> None:
    async def test() -> None:
        class Late(Voice):
            async def synthesize(
                self, text: str, *, voice: str, language: str, speed: float = 1.0
            ) -> AsyncGenerator[Sound, None]:
                yield OpusFrame(b"one word 0")
                yield WordTime(0, 4, 9_000)

        told = await said(failover(Record(), Late("one")), text="word")
        assert told == [OpusFrame(b"one word 0"), WordTime(0, 4, 20)]

    run(test)


# Hedging.


def test_a_hedge_is_taken_when_the_first_is_late_and_the_loser_is_closed_at_once() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", slow_s=0.9), Voice("two")
        begun_ms = clock_ms()
        stream = failover(record, one, two, hedge_ms=300).synthesize(TEXT, voice="", language="en")
        async with contextlib.aclosing(stream):
            first = [await anext(stream), await anext(stream)]
            assert {name for name, _, _ in by(first)} == {"two"}
            assert clock_ms() - begun_ms == 300
            await asyncio.sleep(0)
            assert one.open == 0
            rest = [each async for each in stream]
        assert words_whole(first + rest) == TEXT.split()
        assert record.told == [("one", "left"), ("two", "done")]
        assert record.uses[0].took_ms == 300
        assert record.uses[0].first_ms is None

    run(test)


def test_a_hedge_that_is_not_needed_is_not_asked_for() -> None:
    async def test() -> None:
        record, one, two = Record(), Voice("one", slow_s=0.2), Voice("two")
        await said(failover(record, one, two, hedge_ms=300))
        assert two.asked == []

    run(test)


def test_a_hedge_may_lose_and_stands_by_again() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.ERROR, 30, slow_s=0.5), Voice("two", slow_s=0.5)
        sounds = await said(failover(record, one, two, hedge_ms=300))
        assert [word for _, word, _ in by(sounds)[::1]][-1] == "word."
        assert record.told == [("two", "left"), ("one", "failed"), ("two", "done")]
        check_words_lie_right(sounds)

    run(test)


def test_a_silent_voice_does_not_win_over_one_that_is_about_to_speak() -> None:
    async def test() -> None:
        one, two = Voice("one", Fault.END, slow_s=0.4), Voice("two", slow_s=0.5)
        assert words_whole(await said(failover(Record(), one, two, hedge_ms=300))) == TEXT.split()

    run(test)


@pytest.mark.parametrize("hedge_ms", [0, 300])
def test_patience_ends_for_both(hedge_ms: int) -> None:
    async def test() -> None:
        record = Record()
        stalled = Voice("one", Fault.STALL), Voice("two", Fault.STALL)
        begun_ms = clock_ms()
        sounds = await said(failover(record, *stalled, Voice("three"), hedge_ms=hedge_ms))
        assert words_whole(sounds) == TEXT.split()
        assert clock_ms() - begun_ms <= 2_400
        assert record.told[-1] == ("three", "done")
        assert all(voice.open == 0 for voice in stalled)

    run(test)


# Leaving.


@pytest.mark.parametrize("after", [0, 1, 2, 20])
@pytest.mark.parametrize("hedge_ms", [0, 10])
def test_leaving_leaves_nothing_and_blames_nobody(after: int, hedge_ms: int) -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        one, two = Voice("one", slow_s=0.1), Voice("two", slow_s=0.5)
        engine = failover(record, one, two, hedge_ms=hedge_ms)

        async def listen() -> None:
            async with contextlib.aclosing(
                engine.synthesize(TEXT, voice="", language="en")
            ) as stream:
                for _ in range(after):
                    await anext(stream)
                heard.set()
                if after:
                    await asyncio.Event().wait()
                async for _ in stream:
                    raise AssertionError("nothing comes so soon")

        heard = asyncio.Event()
        listening = asyncio.create_task(listen())
        await heard.wait()
        await asyncio.sleep(0.05)
        left_ms = clock_ms()
        listening.cancel()
        await asyncio.wait([listening])
        assert clock_ms() == left_ms
        assert (one.open, two.open) == (0, 0)
        assert {outcome for _, outcome in record.told} == {"left"}
        assert {each.state for each in record.health.view(clock_ms())} == {State.CLOSED}

    run(test)


def test_a_slow_farewell_holds_up_neither_the_next_nor_the_end_for_long() -> None:
    async def test() -> None:
        record = Record()
        one, two = Voice("one", Fault.STALL, farewell_s=30), Voice("two")
        begun_ms, first_ms = clock_ms(), None
        async for each in failover(record, one, two).synthesize(TEXT, voice="", language="en"):
            if isinstance(each, OpusFrame) and first_ms is None:
                first_ms = clock_ms() - begun_ms
        assert first_ms == 1_200
        assert clock_ms() - begun_ms <= 1_500

    run(test)
