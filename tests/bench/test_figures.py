"""The arithmetic of the bench: what counts as latency, gap, late, and right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.bench.figures import ReplyWatch, Tally, bill_is_right, percentile


def watched(*arrivals_ms: int) -> ReplyWatch:
    watch = ReplyWatch()
    for at_ms in arrivals_ms:
        watch.add(at_ms * 1_000, 20)
    return watch


def test_a_fluent_reply_has_no_gap() -> None:
    watch = watched(*range(0, 400, 20))
    assert (watch.gaps, watch.late, watch.gap_us_max) == (0, 0, 20_000)


def test_a_gap_is_more_than_60_ms() -> None:
    assert watched(0, 60).gaps == 0
    assert watched(0, 61).gaps == 1
    assert watched(0, 20, 120, 140, 260).gap_us_max == 120_000


def test_a_frame_is_late_when_the_listener_ran_dry() -> None:
    # Ten frames at once last 200 ms; with the cushion, 260.
    burst = [0] * 10
    assert watched(*burst, 260).late == 0
    assert watched(*burst, 261).late == 1
    # The listener waited once, and is not late for ever after.
    assert watched(0, 200, 220, 240).late == 1


def test_latency_is_what_the_server_adds() -> None:
    tally = Tally()
    tally.turn(watched(1_700, 1_720), speech_ended_us=1_000_000, silence_ms=608)
    assert tally.added_us == [92_000] and tally.frames == 2


def test_tallies_add_up() -> None:
    one = Tally(added_us=[1], gaps=1, gap_us_max=5, placed=2, bills=2, lag_counts=[1, 2])
    two = Tally(added_us=[2], lost=1, gap_us_max=9, placed=1, bills=1, lag_counts=[1, 1, 1])
    one.add(two)
    assert (one.added_us, one.gaps, one.lost, one.gap_us_max) == ([1, 2], 1, 1, 9)
    assert (one.placed, one.bills, one.lag_counts) == (3, 3, [2, 3, 1])


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_that_were_seen(values: list[float]) -> None:
    p50, p95 = percentile(values, 0.50), percentile(values, 0.95)
    assert p50 in values and p95 in values and p50 <= p95 <= max(values)
    assert percentile(values, 1.0) == max(values)


def test_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))
    assert percentile([1, 2, 3, 4], 0.5) == 2 and percentile(range(1, 101), 0.95) == 95


@pytest.mark.parametrize(
    ("seconds", "minutes", "right"),
    [(0, 1, True), (60, 1, True), (61, 2, True), (61, 1, False), (0, 0, False), (None, 1, False)],
)
def test_bills_are_checked(seconds: object, minutes: object, right: bool) -> None:
    assert bill_is_right({"duration_sec": seconds, "billed_minutes": minutes}) is right
