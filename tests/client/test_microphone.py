"""The microphone keeps its grid, says everything once, and shows how late it was."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.client.microphone import (
    FRAME_US,
    STALL_US,
    Clip,
    Lag,
    Microphone,
    Utterance,
)

SILENCE = b"quiet"


class Clock:
    """Time that passes only while somebody sleeps, and by `stalls` on top of it."""

    def __init__(self, stalls: list[int] | None = None) -> None:
        self.us = 1_000_000
        self.stalls = stalls or []

    def now(self) -> int:
        return self.us

    async def sleep(self, seconds: float) -> None:
        self.us += round(seconds * 1e6) + (self.stalls.pop(0) if self.stalls else 0)


def microphone(clock: Clock) -> Microphone:
    return Microphone(SILENCE, clock=clock.now, sleep=clock.sleep)


def clip(frames: int, speech_frames: int | None = None, voice_frame: int = 0) -> Clip:
    packets = [bytes([n % 256]) for n in range(frames)]
    return Clip(packets, frames if speech_frames is None else speech_frames, voice_frame)


async def test_frames_come_on_the_grid() -> None:
    clock = Clock()
    mic = microphone(clock)
    times = [(await mic.frame(), clock.us)[1] for _ in range(5)]
    assert [b - a for a, b in itertools.pairwise(times)] == [FRAME_US] * 4


@given(st.lists(st.integers(0, 3 * FRAME_US), max_size=40))
def test_lateness_does_not_add_up(stalls: list[int]) -> None:
    """However late single frames are, an hour of frames takes an hour."""

    async def play() -> None:
        clock = Clock(list(stalls))
        mic = microphone(clock)
        begun = clock.us
        for n in range(200):
            await mic.frame()
            assert clock.us >= begun + n * FRAME_US, "a frame before its time"
        assert clock.us == begun + 199 * FRAME_US

    asyncio.run(play())


async def test_a_stall_moves_the_grid_instead_of_sending_a_flood() -> None:
    clock = Clock([STALL_US + FRAME_US])
    mic = microphone(clock)
    await mic.frame()
    await mic.frame()
    stalled = clock.us
    await mic.frame()
    assert clock.us == stalled + FRAME_US


async def test_missed_frames_follow_at_once() -> None:
    clock = Clock([5 * FRAME_US])
    mic = microphone(clock)
    await mic.frame()
    await mic.frame()
    late = clock.us
    for _ in range(5):
        await mic.frame()
    assert clock.us == late
    await mic.frame()
    assert clock.us == late + FRAME_US


async def test_says_clips_in_order_and_is_silent_between() -> None:
    mic = microphone(Clock())
    assert await mic.frame() == SILENCE
    first, second = mic.say(clip(2)), mic.say(clip(1))
    said = [await mic.frame() for _ in range(3)]
    assert said == [b"\x00", b"\x01", b"\x00"]
    assert first.over.is_set() and second.over.is_set()
    assert await mic.frame() == SILENCE


async def test_knows_when_the_speech_in_a_clip_ended() -> None:
    clock = Clock()
    mic = microphone(clock)
    utterance = mic.say(clip(4, speech_frames=2))
    await mic.frame()
    assert utterance.speech_ended_us == 0
    await mic.frame()
    ended = clock.us
    await mic.frame()
    await mic.frame()
    assert utterance.speech_ended_us == ended and utterance.over.is_set()


async def test_knows_when_the_voice_in_a_clip_began() -> None:
    clock = Clock()
    mic = microphone(clock)
    utterance = mic.say(clip(4, voice_frame=2))
    await mic.frame()
    await mic.frame()
    assert utterance.voice_began_us == 0
    await mic.frame()
    began = clock.us
    await mic.frame()
    assert utterance.voice_began_us == began < utterance.speech_ended_us
    at_once = mic.say(clip(1))
    await mic.frame()
    assert at_once.voice_began_us == at_once.speech_ended_us == clock.us


async def test_clips_begin_where_windows_do() -> None:
    mic = Microphone(SILENCE, align=8, clock=Clock().now, sleep=Clock().sleep)
    await mic.frame()
    mic.say(clip(2))
    mic.say(clip(1))
    said = [await mic.frame() for _ in range(17)]
    assert [n + 1 for n, frame in enumerate(said) if frame != SILENCE] == [8, 9, 16]


async def test_hushing_forgets_what_was_not_said() -> None:
    mic = microphone(Clock())
    utterance = mic.say(clip(3))
    await mic.frame()
    mic.hush()
    assert await mic.frame() == SILENCE and not utterance.over.is_set()


def test_a_clip_says_where_its_speech_ends() -> None:
    with pytest.raises(AssertionError):
        Utterance(Clip([b"x"], 2))
    with pytest.raises(AssertionError):
        Utterance(Clip([], 0))
    with pytest.raises(AssertionError):
        Utterance(Clip([b"x", b"y"], 1, 1))
    assert clip(50).duration_ms == 1_000


async def test_lag_is_seen() -> None:
    clock = Clock([0, 0, 30_000])
    mic = microphone(clock)
    for _ in range(4):
        await mic.frame()
    assert mic.lag.percentile_ms(0.5) == 0 and mic.lag.percentile_ms(1.0) == 30


@given(st.lists(st.integers(-5_000, 2_000_000), min_size=1))
def test_lag_percentiles_bound_what_was_noted(late_us: list[int]) -> None:
    lag, other = Lag(), Lag()
    for us in late_us:
        lag.note(us)
    other.add(lag.counts)
    assert other.percentile_ms(1.0) == min(max(0, *late_us, 0) // 1_000, 1_000)
    assert lag.percentile_ms(0.5) <= lag.percentile_ms(0.95) <= lag.percentile_ms(1.0)
    assert Lag().percentile_ms(0.99) == 0
