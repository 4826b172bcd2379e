"""What was said is heard, whoever hears it and whatever fails when: every word once, in order, at
its time, and what was understood does not go back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engines.failover.health import HealthRules, State
from engines.failover.hearing import FailoverSpeechToText, HearingPatience
from engines.failover.tape import AHEAD_FRAMES_MAX, KEPT_FRAMES_MAX
from engines.failover.work import Candidate
from engines.speech import (
    PCM_FRAME_MS,
    EngineError,
    EngineRefused,
    PcmFrame,
    SpeechToText,
    Transcript,
)

from ..flaky import (
    SOUND_FRAMES_PER_WORD,
    Ear,
    Fault,
    Record,
    candidate,
    candidates,
    frame_of,
    sound_of,
)
from ..virtual_time import clock_ms, run

WORDS = "she said that the dog which had bitten her was not a dog at all".split()
FRAMES = len(WORDS) * SOUND_FRAMES_PER_WORD
WORD_MS = SOUND_FRAMES_PER_WORD * PCM_FRAME_MS
LIVE_S = PCM_FRAME_MS / 1_000


def failover(
    record: Record, *ears: Ear, hedge_ms: int = 0, patience: HearingPatience | None = None
) -> FailoverSpeechToText:
    ordered: Sequence[Candidate[SpeechToText]] = candidates(*ears)
    return FailoverSpeechToText(ordered, record.terms(hedge_ms), patience)


async def heard(
    engine: FailoverSpeechToText, sound: AsyncIterator[PcmFrame] | None = None, language: str = "en"
) -> list[Transcript]:
    sound = sound_of(WORDS, LIVE_S) if sound is None else sound
    return [each async for each in engine.transcribe(sound, language=language)]


def words_of(transcripts: Sequence[Transcript]) -> list[str]:
    return " ".join(each.text for each in transcripts if each.final).split()


def check_times(transcripts: Sequence[Transcript]) -> None:
    """Every word lies where it was said, and stretches do not overlap."""
    finals = [each for each in transcripts if each.final]
    begun = [word.start_ms for each in finals for word in each.words]
    assert begun == [n * WORD_MS for n in range(len(begun))]
    for before, after in itertools.pairwise(finals):
        assert before.end_ms <= after.start_ms
    assert all(0 <= each.start_ms <= each.end_ms <= FRAMES * PCM_FRAME_MS for each in transcripts)


def check_partials(transcripts: Sequence[Transcript]) -> None:
    shown = 0
    for each in transcripts:
        assert each.final or len(each.text.split()) >= shown
        shown = 0 if each.final else len(each.text.split())


def test_one_alone_is_given_on_as_it_is() -> None:
    async def test() -> None:
        record = Record()
        one = Ear("one", words=WORDS, stretch=6, final_s=0.3)
        alone = await heard(failover(record, one))
        plain = Ear("one", words=WORDS, stretch=6)
        assert alone == [x async for x in plain.transcribe(sound_of(WORDS), language="en")]
        use, = record.uses
        assert (use.role, use.outcome, use.first_ms) == ("speech_to_text", "done", 300)
        assert use.amounts == (("audio_ms", FRAMES * PCM_FRAME_MS),)

    run(test)


FAULTS = st.sampled_from([Fault.ERROR, Fault.BUG, Fault.STALL, Fault.REFUSED, Fault.END])


@given(
    after=st.integers(0, FRAMES + 5), fault=FAULTS, stretch=st.sampled_from([0, 1, 3, 7]),
    twice=st.none() | st.integers(0, FRAMES + 5), every_s=st.sampled_from([0.0, LIVE_S]),
)  # fmt: skip
@example(after=FRAMES, fault=Fault.STALL, stretch=0, twice=None, every_s=LIVE_S)
@example(after=35, fault=Fault.END, stretch=1, twice=None, every_s=0.0)
@example(after=FRAMES // 2, fault=Fault.STALL, stretch=3, twice=FRAMES // 2, every_s=LIVE_S)
def test_whenever_a_recogniser_fails_every_word_is_heard_once(
    after: int, fault: Fault, stretch: int, twice: int | None, every_s: float
) -> None:
    # Where the sound begins that is heard again.
    stretch_frames = stretch * SOUND_FRAMES_PER_WORD
    again = after // stretch_frames * stretch_frames if stretch else 0
    if fault is Fault.END and stretch:
        # Nobody can tell words that were taken back from words that were forgotten.
        assume(after < FRAMES and again + (twice or 0) < FRAMES)

    async def test() -> None:
        record = Record()
        one = Ear("one", fault, after, words=WORDS, stretch=stretch)
        two = Ear("two", words=WORDS, stretch=stretch)
        if twice is not None:
            two.fault, two.after = fault, twice
        three = Ear("three", words=WORDS)
        transcripts = await heard(failover(record, one, two, three), sound_of(WORDS, every_s))
        assert words_of(transcripts) == WORDS
        assert transcripts[-1].final
        check_times(transcripts)
        check_partials(transcripts)
        assert one.open == two.open == three.open == 0
        # Only what was not final yet is heard again.
        if two.asked:
            assert two.heard <= FRAMES - again

    run(test)


@pytest.mark.parametrize(
    ("ear", "patience_ms"),
    [
        (Ear("one", Fault.STALL, FRAMES, words=WORDS), 1_000),
        (Ear("one", Fault.STALL, 3, words=WORDS), 1_000),
        (Ear("one", deaf=True), 1_000),
        (Ear("one", words=WORDS, final_s=1.5), 1_000),
        (Ear("one", words=WORDS, final_s=0.9), 900),
    ],
    ids=["at-the-end", "in-the-middle", "takes-no-sound", "late", "just-in-time"],
)
def test_the_caller_waits_no_longer_than_patience_after_the_end(ear: Ear, patience_ms: int) -> None:
    async def test() -> None:
        begun_ms, record = clock_ms(), Record()
        transcripts = await heard(failover(record, ear, Ear("two", words=WORDS)))
        assert words_of(transcripts) == WORDS
        assert clock_ms() - begun_ms == FRAMES * PCM_FRAME_MS + patience_ms
        late = patience_ms == 1_000
        assert record.told == ([("one", "failed"), ("two", "done")] if late else [("one", "done")])

    run(test)


def test_each_final_after_the_end_earns_patience_for_the_next() -> None:
    async def test() -> None:
        # Half a second for each word, all of them after the sound.
        one, two = Ear("one", words=WORDS, stretch=1, pace_s=0.05), Ear("two", words=WORDS)
        assert words_of(await heard(failover(Record(), one, two), sound_of(WORDS))) == WORDS
        assert two.asked == 0
        # Who is asked late has as long as who was asked early.
        ears = Ear("one", deaf=True), Ear("two", words=WORDS, pace_s=0.005), Ear("three")
        assert words_of(await heard(failover(Record(), *ears), sound_of(WORDS))) == WORDS

    run(test)


def test_who_ends_before_it_has_taken_all_the_sound_has_not_heard_it() -> None:
    """Although the sound has ended, for all of it came at once."""

    async def at_once() -> AsyncIterator[PcmFrame]:
        for number in range(FRAMES):
            yield frame_of(number)

    async def test() -> None:
        one = Ear("one", Fault.END, 35, words=WORDS, stretch=1)
        transcripts = await heard(failover(Record(), one, Ear("two", words=WORDS)), at_once())
        assert words_of(transcripts) == WORDS

    run(test)


class Speaks:
    """Says what it is told to when it has heard so many frames."""

    def __init__(self, *told: tuple[int, Transcript], breaks: bool = False) -> None:
        self.told, self.breaks = dict(told), breaks

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        count = 0
        async for _ in audio:
            count += 1
            if count in self.told:
                yield self.told[count]
        if self.breaks:
            raise EngineError("it broke")


def test_stretches_of_two_recognisers_do_not_overlap() -> None:
    async def test() -> None:
        # It ends within a frame, which is heard again.
        one = Speaks((20, Transcript("one", True, 0, 333)), breaks=True)
        two = Speaks((20, Transcript("two", True, 0, 600)))
        ordered = [candidate(one, name="one"), candidate(two, name="two")]
        finals = await heard(FailoverSpeechToText(ordered, Record().terms()))
        assert [(each.start_ms, each.end_ms) for each in finals] == [(0, 333), (333, 920)]

    run(test)


def test_words_that_were_final_before_the_sound_ended_took_no_time() -> None:
    async def test() -> None:
        record = Record()
        one = candidate(Speaks((20, Transcript("one", True, 0, 600))), name="one")
        await heard(FailoverSpeechToText([one], record.terms()))
        assert [use.first_ms for use in record.uses] == [0]

    run(test)


def test_a_stall_is_noticed_in_an_utterance_longer_than_anybody_reads_ahead() -> None:
    async def test() -> None:
        words = [f"w{n}" for n in range(2 * AHEAD_FRAMES_MAX // SOUND_FRAMES_PER_WORD)]
        one, two = Ear("one", deaf=True), Ear("two", words=words)
        engine = failover(Record(), one, two)
        assert words_of(await heard(engine, sound_of(words, LIVE_S))) == words

    run(test)


def test_who_cannot_be_replaced_is_waited_for() -> None:
    async def test() -> None:
        slow = Ear("slow", words=WORDS, final_s=60)
        assert words_of(await heard(failover(Record(), slow))) == WORDS
        own = [candidate(slow, patience_ms=70_000), candidate(Ear("two"))]
        assert words_of(await heard(FailoverSpeechToText(own, Record().terms()))) == WORDS
        never = HearingPatience(final_ms=None)
        assert words_of(await heard(failover(Record(), slow, Ear("two"), patience=never))) == WORDS

    run(test)


def test_while_the_next_catches_up_what_was_understood_is_not_replaced_by_less() -> None:
    async def test() -> None:
        one = Ear("one", Fault.ERROR, 61, words=WORDS)
        two = Ear("two", words=WORDS, pace_s=0.001)
        transcripts = await heard(failover(Record(), one, two))
        counts = [len(each.text.split()) for each in transcripts]
        # Six words of the first; then of the second six again, seven and so on.
        assert counts == [1, 2, 3, 4, 5, 6, 6, *range(7, len(WORDS) + 1), len(WORDS)]

    run(test)


def test_words_of_a_recogniser_that_was_left_come_too_late() -> None:
    async def test() -> None:
        class Stubborn(Ear):
            async def fails(self) -> None:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(3_600)

        one = Stubborn("one", Fault.STALL, FRAMES, words=["wrong"] * len(WORDS))
        transcripts = await heard(failover(Record(), one, Ear("two", words=WORDS)))
        assert [each.text for each in transcripts if each.final] == [" ".join(WORDS)]

    run(test)


def test_a_final_without_times_covers_all_that_was_heard() -> None:
    async def test() -> None:
        one = Ear("one", Fault.ERROR, 95, words=WORDS, stretch=4, tells_times=False)
        two = Ear("two", words=WORDS)
        transcripts = await heard(failover(Record(), one, two))
        assert words_of(transcripts) == WORDS
        assert two.heard == FRAMES - 80

    run(test)


def test_nobody_is_asked_to_hear_nothing() -> None:
    """One that gave its last final and then does not close."""

    async def test() -> None:
        class Lingers(Ear):
            async def end(self) -> None:
                if not lingered:
                    lingered.append(True)
                    await asyncio.Event().wait()
                await super().end()

        lingered, record, two = list[bool](), Record(), Ear("two", words=WORDS)
        transcripts = await heard(failover(record, Lingers("one", words=WORDS), two))
        assert words_of(transcripts) == WORDS
        assert two.asked == 0
        assert record.told == [("one", "failed")]

    run(test)


def test_silence_is_heard_as_silence_and_is_no_failure() -> None:
    async def test() -> None:
        record, two = Record(), Ear("two")
        transcripts = await heard(failover(record, Ear("one"), two), sound_of(WORDS))
        assert words_of(transcripts) == []
        assert await heard(failover(record, Ear("one"), two), sound_of([])) is not None
        assert two.asked == 0
        assert {outcome for _, outcome in record.told} == {"done"}

    run(test)


def test_only_those_who_understand_the_language_are_asked() -> None:
    async def test() -> None:
        record, english, any_ = Record(), Ear("english", words=WORDS), Ear("any", words=WORDS)
        ordered = [candidate(english, languages=("en",)), candidate(any_)]
        engine = FailoverSpeechToText(ordered, record.terms())
        assert words_of(await heard(engine, language="ru")) == WORDS
        assert (english.asked, any_.languages) == (0, ["ru"])
        assert record.told == [("any", "done")]
        with pytest.raises(EngineRefused, match="choose another"):
            await heard(FailoverSpeechToText(ordered[:1], record.terms()), language="ru")

    run(test)


def test_when_the_sound_itself_fails_nobody_is_to_blame() -> None:
    async def failing() -> AsyncIterator[PcmFrame]:
        for number in range(30):
            yield frame_of(number)
        raise EngineError("the microphone is gone")

    async def test() -> None:
        record, two = Record(HealthRules(failures_max=1)), Ear("two", words=WORDS)
        transcripts = list[Transcript]()
        with pytest.raises(EngineError, match="microphone"):
            engine = failover(record, Ear("one", words=WORDS), two)
            async for each in engine.transcribe(failing(), language="en"):
                transcripts.append(each)
        assert [each.final for each in transcripts] == [False, False, False]
        assert two.asked == 0
        assert record.told == [("one", "left")]
        assert record.health.of("speech_to_text", "one", clock_ms()).state is State.CLOSED

    run(test)


def test_when_all_fail_people_are_told() -> None:
    async def test() -> None:
        ears = Ear("one", Fault.ERROR, 50, words=WORDS), Ear("two", Fault.ERROR, 60, words=WORDS)
        with pytest.raises(EngineError, match=r"one is broken.*two is broken.*minute"):
            await heard(failover(Record(), *ears))

    run(test)


# What is kept.


def test_sound_that_nobody_may_have_to_hear_again_is_not_kept() -> None:
    async def test() -> None:
        frames, alive = 0, list[int]()

        async def endless() -> AsyncIterator[PcmFrame]:
            nonlocal frames
            for frames in range(KEPT_FRAMES_MAX + 1_000):
                await asyncio.sleep(0)
                if frames % 1_500 == 0 or frames == KEPT_FRAMES_MAX + 900:
                    alive.append(sum(type(each) is PcmFrame for each in gc.get_objects()))
                yield frame_of(frames)

        before = sum(type(each) is PcmFrame for each in gc.get_objects())
        await heard(failover(Record(), Ear("one")), endless())
        assert max(alive) - before <= AHEAD_FRAMES_MAX + 10
        alive.clear()
        await heard(failover(Record(), Ear("one"), Ear("two")), endless())
        assert KEPT_FRAMES_MAX // 2 < max(alive) - before <= KEPT_FRAMES_MAX + 10

    run(test)


def test_a_recogniser_alone_that_takes_nothing_holds_up_the_sound() -> None:
    async def test() -> None:
        sent = 0

        async def endless() -> AsyncIterator[PcmFrame]:
            nonlocal sent
            while True:
                await asyncio.sleep(LIVE_S)
                sent += 1
                yield frame_of(sent)

        stream = failover(Record(), Ear("one", deaf=True)).transcribe(endless(), language="en")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60), contextlib.aclosing(stream):
                await anext(stream)
        assert sent <= AHEAD_FRAMES_MAX + 2

    run(test)


# Hedging.


def test_a_hedge_hears_all_of_it_and_the_first_final_is_taken() -> None:
    async def test() -> None:
        record = Record()
        one, two = Ear("one", words=WORDS, final_s=0.9), Ear("two", words=WORDS, final_s=0.1)
        begun_ms = clock_ms()
        transcripts = await heard(failover(record, one, two, hedge_ms=300))
        assert words_of(transcripts) == WORDS
        check_partials(transcripts)
        assert clock_ms() - begun_ms == FRAMES * PCM_FRAME_MS + 400
        assert record.told == [("one", "left"), ("two", "done")]
        assert one.open == 0
        # Partials of the first only.
        assert [each.final for each in transcripts] == [False] * len(WORDS) + [True]

    run(test)


def test_a_hedge_may_lose() -> None:
    async def test() -> None:
        record = Record()
        one, two = Ear("one", words=WORDS, final_s=0.4), Ear("two", words=WORDS, final_s=0.3)
        transcripts = await heard(failover(record, one, two, hedge_ms=300))
        assert words_of(transcripts) == WORDS
        assert record.told == [("two", "left"), ("one", "done")]

    run(test)


# Leaving.


@pytest.mark.parametrize("after", [0, 1, 5])
def test_leaving_leaves_nothing_and_blames_nobody(after: int) -> None:
    async def test() -> None:
        record = Record(HealthRules(failures_max=1))
        one, two = Ear("one", words=WORDS), Ear("two", words=WORDS)
        sent = 0

        async def counted() -> AsyncIterator[PcmFrame]:
            nonlocal sent
            async for frame in sound_of(WORDS, LIVE_S):
                sent += 1
                yield frame

        stream = failover(record, one, two).transcribe(counted(), language="en")
        async with contextlib.aclosing(stream):
            for _ in range(after):
                await anext(stream)
            if not after:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(stream)
        left_ms, at = clock_ms(), sent
        await asyncio.sleep(1)
        assert sent == at
        assert clock_ms() - left_ms == 1_000
        assert (one.open, two.asked) == (0, 0)
        assert record.told == [("one", "left")]
        assert record.health.of("speech_to_text", "one", clock_ms()).state is State.CLOSED

    run(test)
