from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.waterfall import Latency, Marks

MOMENT = st.integers(0, 10_000)
MARK = st.none() | MOMENT
MARKS = st.builds(Marks, MOMENT, MOMENT, MOMENT, MARK, MARK, MARK, MARK)


def parts(latency: Latency) -> list[int]:
    return [
        latency.endpointing_ms, latency.transcript_ms, latency.first_token_ms,
        latency.first_sentence_ms, latency.first_audio_ms, latency.first_packet_ms,
    ]  # fmt: skip


@given(MARKS, MARK)
def test_whatever_was_seen_the_parts_sum_to_the_gap(marks: Marks, heard_ms: int | None) -> None:
    if marks.filled_ms is None and heard_ms is None:
        heard_ms = marks.speech_ended_ms
    latency = marks.latency(3, heard_ms)
    sounds = [each for each in (marks.filled_ms, heard_ms) if each is not None]
    assert min(parts(latency)) >= 0
    assert sum(parts(latency)) == latency.gap_ms
    assert latency.gap_ms == max(0, min(sounds) - marks.speech_ended_ms)
    if heard_ms is None:
        assert latency.answer_ms is None
    else:
        assert latency.answer_ms == max(latency.gap_ms, heard_ms - marks.speech_ended_ms)


@given(MARKS, MOMENT, MOMENT)
def test_who_waits_for_the_floor_does_not_wait_for_an_answer(
    marks: Marks, free_ms: int, heard_ms: int
) -> None:
    marks.not_before(free_ms)
    if marks.endpoint_ms:
        assert marks.latency(1, heard_ms).gap_ms <= max(0, heard_ms - free_ms)


@given(st.lists(st.integers(0, 10_000), min_size=7, max_size=7).map(sorted))
def test_each_part_lies_between_its_marks(steps: list[int]) -> None:
    latency = Marks(*steps[:6]).latency(3, steps[6])
    assert parts(latency) == [steps[n + 1] - steps[n] for n in range(6)]
    assert latency.answer_ms == latency.gap_ms


def test_a_step_that_was_not_seen_took_no_time() -> None:
    latency = Marks(0, 600, 700, None, None, 900).latency(1, 950)
    assert parts(latency) == [600, 100, 0, 0, 200, 50]


def test_a_step_that_was_taken_ahead_took_no_time() -> None:
    """The reply was thought of in the pause: its first token is there before the words are."""
    latency = Marks(0, 600, 700, 650, 690, 900).latency(1, 950)
    assert parts(latency) == [600, 100, 0, 0, 200, 50]


def test_a_filler_ends_the_silence_and_the_answer_is_told_apart() -> None:
    latency = Marks(0, 600, 700, 4_000, 4_100, 4_300, filled_ms=2_300).latency(1, 4_400)
    assert parts(latency) == [600, 100, 1_600, 0, 0, 0] and latency.answer_ms == 4_400


def test_of_a_reply_that_never_came_the_silence_is_told() -> None:
    latency = Marks(0, 600, 700, filled_ms=2_300).latency(1, None)
    assert parts(latency) == [600, 100, 1_600, 0, 0, 0] and latency.answer_ms is None
    latency = Marks(0, 600, 700, 900, filled_ms=2_300).latency(1, None)
    assert parts(latency) == [600, 100, 200, 1_400, 0, 0]


def test_words_that_came_after_the_filler_are_what_was_waited_for() -> None:
    latency = Marks(0, 600, 3_000, 3_500, 3_600, 3_700, filled_ms=2_300).latency(1, 3_800)
    assert parts(latency) == [600, 1_700, 0, 0, 0, 0]
