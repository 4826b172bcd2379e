"""Packets come late, twice, out of order or never; the stream's time holds."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.arrivals import (
    HELD_MAX,
    HOLE_MS_MAX,
    TAKEOVER_PACKETS,
    VOICES_MAX,
    Arrival,
    Arrivals,
    Voice,
    opus_samples,
)

SILK_20_MS = 0b01001_0_00


def packet(number: int) -> bytes:
    return bytes([SILK_20_MS]) + number.to_bytes(4, "big")


def number_of(arrival: Arrival) -> int:
    return int.from_bytes(arrival.payload[1:], "big")


def push(arrivals: Arrivals, number: int, start: int = 0, time: int = 0) -> list[Arrival]:
    return arrivals.push((start + number) % 2**16, (time + 960 * number) % 2**32, packet(number))


def test_a_packet_in_its_place_goes_on_at_once() -> None:
    arrivals = Arrivals()
    assert [len(push(arrivals, k)) for k in range(5)] == [1] * 5


def test_swapped_packets_are_put_back_in_order() -> None:
    arrivals = Arrivals()
    out = [number_of(a) for k in (0, 2, 1, 3) for a in push(arrivals, k)]
    assert out == [0, 1, 2, 3]


def test_a_lost_packet_leaves_a_hole_of_its_length() -> None:
    arrivals = Arrivals()
    out = [a for k in (0, 2, 3, 4, 5) for a in push(arrivals, k)]
    assert [(number_of(a), a.hole_ms) for a in out] == [(0, 0), (2, 20), (3, 0), (4, 0), (5, 0)]


def test_a_latecomer_and_a_duplicate_are_dropped() -> None:
    arrivals = Arrivals()
    for k in (0, 2, 3, 4, 5):
        push(arrivals, k)
    assert push(arrivals, 1) == []
    assert push(arrivals, 5) == []


def test_a_sender_that_is_silent_leaves_a_hole() -> None:
    arrivals = Arrivals()
    arrivals.push(0, 0, packet(0))
    [arrival] = arrivals.push(1, 960 + 400 * 48, packet(1))
    assert arrival.hole_ms == 400


def test_no_hole_is_longer_than_can_be_filled() -> None:
    arrivals = Arrivals()
    arrivals.push(0, 0, packet(0))
    [arrival] = arrivals.push(1, 2**30, packet(1))
    assert arrival.hole_ms == HOLE_MS_MAX


def test_a_new_stream_begins_where_it_begins() -> None:
    arrivals = Arrivals()
    push(arrivals, 0)
    [arrival] = arrivals.push(30_000, 77, packet(9))
    assert (number_of(arrival), arrival.hole_ms) == (9, 0)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (b"", 0),
        (bytes([0b00000_0_00]), 480),
        (bytes([SILK_20_MS]), 960),
        (bytes([0b01011_0_00]), 2_880),
        (bytes([0b01101_0_00]), 960),
        (bytes([0b11100_0_00]), 120),
        (bytes([0b11111_0_01]), 1_920),
        (bytes([0b11111_0_11]), 0),
        (bytes([0b11111_0_11, 3]), 2_880),
        (bytes([0b01011_0_11, 3]), 0),  # 180 ms: longer than Opus allows.
    ],
)
def test_a_packet_tells_its_own_length(packet: bytes, samples: int) -> None:
    assert opus_samples(packet) == samples


@given(
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32),
    st.floats(0, 0.3),
)
def test_whatever_the_network_does_time_holds(
    start: int, time: int, seed: int, loss: float
) -> None:
    dice = random.Random(seed)
    arrivals = Arrivals()
    order = [k for k in range(200) if k == 0 or dice.random() >= loss]
    for k in range(1, len(order) - 1, 2):  # Neighbours change places.
        if dice.random() < 0.3:
            order[k], order[k + 1] = order[k + 1], order[k]
    out = [a for k in order for a in push(arrivals, k, start, time)]
    numbers = [number_of(a) for a in out]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= len(order) - HELD_MAX
    for a, b in itertools.pairwise(out):
        assert b.hole_ms == 20 * (number_of(b) - number_of(a) - 1)


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.binary())))
def test_nonsense_harms_nobody(packets: list[tuple[int, int, bytes]]) -> None:
    arrivals = Arrivals()
    for sequence, stream_time, payload in packets:
        for arrival in arrivals.push(sequence, stream_time, payload):
            assert 0 <= arrival.hole_ms <= HOLE_MS_MAX
        assert len(arrivals._held) <= HELD_MAX


def test_a_sender_that_began_anew_close_behind_is_heard_again_within_a_second() -> None:
    arrivals = Arrivals()
    for k in range(200):
        push(arrivals, k)
    heard = [number_of(a) for k in range(120) for a in push(arrivals, k)]
    assert heard == list(range(50, 120))


def test_the_announced_source_is_heard_and_no_other() -> None:
    voice = Voice(7)
    heard = [source for source in (1, 7, 2, 2, 7, 9, 7) if voice.is_from(source)]
    assert heard == [7, 7, 7]


def test_without_an_announcement_the_first_source_is_heard() -> None:
    voice = Voice()
    assert [voice.is_from(source) for source in (3, 4, 3, 4, 3)] == [True, False, True, False, True]


def test_a_voice_that_has_changed_its_name_is_heard_again() -> None:
    voice = Voice()
    assert voice.is_from(3)
    heard = [voice.is_from(4) for _ in range(60)]
    assert heard == [False] * (TAKEOVER_PACKETS - 1) + [True] * (60 - TAKEOVER_PACKETS + 1)
    assert not voice.is_from(3)


def test_no_crowd_takes_a_voice_over() -> None:
    """Only one who goes on alone: not many together, and not one beside the voice."""
    voice = Voice()
    assert voice.is_from(3)
    assert not any(voice.is_from(source % 2**32) for source in range(10, 10_000))
    for _ in range(10):
        assert not any(voice.is_from(4) for _ in range(TAKEOVER_PACKETS - 1))
        assert voice.is_from(3)


def test_the_announced_source_has_its_place_back_at_once() -> None:
    voice = Voice(7)
    assert any(voice.is_from(4) for _ in range(TAKEOVER_PACKETS))
    assert voice.is_from(7)
    assert not voice.is_from(4)


def test_a_line_has_few_voices_in_its_life() -> None:
    voice = Voice(0)
    heard = [s for s in range(1, 100) if any(voice.is_from(s) for _ in range(TAKEOVER_PACKETS))]
    assert heard == list(range(1, VOICES_MAX))
