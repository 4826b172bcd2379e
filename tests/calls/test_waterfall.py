from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.waterfall import Marks


@given(st.lists(st.integers(0, 10_000), min_size=7, max_size=7).map(sorted))
def test_the_parts_of_the_gap_sum_to_the_gap(steps: list[int]) -> None:
    marks = Marks(*steps[:6])
    latency = marks.latency(3, steps[6])
    assert latency.gap_ms == steps[6] - steps[0]


def test_a_step_that_was_not_seen_took_no_time() -> None:
    latency = Marks(0, 600, 700, None, None, 900).latency(1, 950)
    assert (latency.first_token_ms, latency.first_sentence_ms) == (0, 0)
    assert latency.first_audio_ms == 200 and latency.gap_ms == 950
