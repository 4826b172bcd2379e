"""What is sent when, what counts as heard, and what may never be heard."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.speech import OpusFrame
from voice_server.calls.events import Played
from voice_server.calls.playout import CATCH_UP_MS, FLUSHED_MAX, SOUNDS_MAX, Playout


def frame(number: int) -> OpusFrame:
    return OpusFrame(number.to_bytes(4, "big"))


def number_of(sound: OpusFrame) -> int:
    return int.from_bytes(sound.packet, "big")


def sent(playout: Playout, now_ms: int) -> list[int]:
    return [number_of(packet.frame) for packet in playout.due(now_ms)]


def filled(lead_ms: int | None, frames: int) -> Playout:
    playout = Playout(lead_ms)
    for k in range(frames):
        assert playout.play(1, frame(k))
    return playout


def test_without_a_lead_one_frame_leaves_each_20_ms() -> None:
    playout = filled(0, 4)
    assert [sent(playout, t) for t in (0, 20, 40, 60, 80)] == [[0], [1], [2], [3], []]


def test_the_first_frame_need_not_wait_for_the_grid() -> None:
    playout = filled(0, 4)
    assert [sent(playout, t) for t in (13, 20, 40, 60)] == [[0], [1], [2], [3]]


def test_a_lead_fills_the_clients_store_and_then_keeps_it_full() -> None:
    playout = filled(200, 30)
    assert len(sent(playout, 0)) == 11
    assert [len(sent(playout, t)) for t in (20, 40, 60)] == [1, 1, 1]


def test_without_pacing_all_leaves_at_once_and_is_heard_by_the_clock() -> None:
    playout = filled(None, 50)
    assert len(sent(playout, 1_000)) == 50
    assert playout.progress(1_050) == []
    assert playout.progress(1_100) == [Played(1, 100)]
    assert playout.progress(1_999) == [Played(1, 980)]
    assert playout.progress(2_000) == [Played(1, 1_000)]


def test_the_stream_time_of_packets_has_no_holes_while_sound_flows() -> None:
    playout = filled(0, 6)
    starts = [packet.start_ms for t in (7, 20, 40, 61, 80, 100) for packet in playout.due(t)]
    assert [b - a for a, b in itertools.pairwise(starts)] == [20] * 5


def test_the_stream_time_of_packets_advances_over_silence() -> None:
    playout = filled(0, 1)
    [first] = playout.due(0)
    playout.play(1, frame(9))
    [later] = playout.due(500)
    assert (first.start_ms, later.start_ms) == (0, 500)


def test_a_stall_is_not_made_up_for_in_one_burst() -> None:
    playout = filled(0, 100)
    playout.due(0)
    burst = playout.due(1_000)
    assert len(burst) == CATCH_UP_MS // 20 + 1
    assert len(playout.due(1_020)) == 1


def test_progress_comes_every_100_ms_and_at_the_end() -> None:
    playout = filled(0, 13)
    reports = []
    for now_ms in range(0, 400, 20):
        playout.due(now_ms)
        reports += playout.progress(now_ms)
    assert reports == [Played(1, 100), Played(1, 200), Played(1, 260)]
    assert not playout.active


def test_a_pause_reports_at_once_what_was_heard() -> None:
    playout = filled(0, 13)
    for now_ms in range(0, 80, 20):
        playout.due(now_ms)
    playout.pause(1, 60)
    assert playout.progress(60) == []  # One packet is still on its way to the ear.
    assert playout.progress(80) == [Played(1, 80)]
    assert not playout.active
    assert playout.due(100) == []


def test_a_pause_takes_back_what_the_client_holds_but_has_not_heard() -> None:
    playout = filled(200, 20)
    sent(playout, 0)
    playout.pause(1, 50)
    assert playout.progress(50) == [Played(1, 40)]
    playout.resume(1)
    assert sent(playout, 5_000)[0] == 2


def test_paused_sound_lets_the_next_turn_speak() -> None:
    playout = filled(0, 3)
    playout.pause(1, 0)
    playout.play(2, frame(7))
    assert sent(playout, 0) == [7]


def test_nothing_is_heard_of_a_flushed_turn_even_when_it_comes_late() -> None:
    playout = filled(0, 5)
    playout.due(0)
    playout.flush(1, 5)
    assert not playout.play(1, frame(9))
    assert playout.due(40) == []
    assert playout.progress(1_000) == []


def test_after_a_flush_the_next_turn_is_heard_at_once() -> None:
    playout = filled(None, 500)
    playout.due(0)
    playout.flush(1, 100)
    playout.play(2, frame(1))
    [packet] = playout.due(120)
    assert packet.start_ms == 120
    assert playout.progress(140) == [Played(2, 20)]


def test_a_turn_that_never_ends_is_dropped() -> None:
    playout = Playout(0, frames_max=10)
    assert [playout.play(1, frame(k)) for k in range(12)] == [True] * 10 + [False, False]
    assert playout.due(0) == []


def test_many_turns_leave_nothing_behind() -> None:
    playout = Playout(0)
    for turn in range(1, 1_000):
        playout.play(turn, frame(turn))
        playout.due(turn * 100)
        assert playout.progress(turn * 100 + 50) == [Played(turn, 20)]
    assert len(playout._sounds) <= SOUNDS_MAX + 1
    assert len(playout._flushed) <= FLUSHED_MAX


Step = tuple[str, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["play", "play", "play", "pause", "resume", "flush", "beat", "beat"]),
        st.integers(1, 3),
    ),
    max_size=120,
)
LEADS = st.sampled_from([0, 40, 200, None])


class Listener:
    """A client that keeps the contract: it plays what came, and drops its store when told."""

    def __init__(self, playout: Playout) -> None:
        self.playout = playout
        self.now_ms = 0
        self.store: list[tuple[int, int, int]] = []  # turn, number, end
        self.heard: list[tuple[int, int]] = []
        self.made: dict[int, int] = {}
        self.flushed: set[int] = set()
        self.reports: dict[int, list[int]] = {}

    def listen(self) -> None:
        for packet in self.playout.due(self.now_ms):
            assert packet.turn not in self.flushed
            self.store.append((packet.turn, number_of(packet.frame), packet.end_ms))
        self._hear()
        for turn, played_ms in ((p.turn, p.played_ms) for p in self.playout.progress(self.now_ms)):
            assert turn not in self.flushed
            self.reports.setdefault(turn, []).append(played_ms)

    def _hear(self) -> None:
        while self.store and self.store[0][2] <= self.now_ms:
            turn, number, _ = self.store.pop(0)
            self.heard.append((turn, number))

    def obey(self, what: str, turn: int) -> None:
        self._hear()
        if what == "play":
            if self.playout.play(turn, frame(self.made.get(turn, 0))):
                self.made[turn] = self.made.get(turn, 0) + 1
        elif what == "pause":
            self.playout.pause(turn, self.now_ms)
            if self.playout.lead_ms:
                self.store = [held for held in self.store if held[0] != turn]
        elif what == "resume":
            self.playout.resume(turn)
        elif what == "flush":
            self.playout.flush(turn, self.now_ms)
            self.store = [held for held in self.store if held[0] != turn]
            self.flushed.add(turn)
        else:
            self.now_ms += 7 * turn
            self.listen()


def play_out(listener: Listener, steps: list[Step], until: Callable[[], bool]) -> None:
    for what, turn in steps:
        listener.obey(what, turn)
    for turn in (1, 2, 3):
        listener.obey("resume", turn)
    for _ in range(20_000):
        listener.now_ms += 20
        listener.listen()
        if until():
            return
    pytest.fail("the playout never came to rest")


@given(STEPS, LEADS)
def test_every_frame_is_heard_once_in_order_unless_flushed(
    steps: list[Step], lead_ms: int | None
) -> None:
    playout = Playout(lead_ms)
    listener = Listener(playout)
    play_out(listener, steps, lambda: not playout.active and not listener.store)
    for turn, made in listener.made.items():
        heard = [number for t, number in listener.heard if t == turn]
        if turn in listener.flushed:
            assert heard == list(range(len(heard)))
        else:
            assert heard == list(range(made))


@given(STEPS, LEADS)
def test_reports_rise_and_never_exceed_the_sound(steps: list[Step], lead_ms: int | None) -> None:
    playout = Playout(lead_ms)
    listener = Listener(playout)
    play_out(listener, steps, lambda: not playout.active and not listener.store)
    for turn, reports in listener.reports.items():
        assert all(a < b for a, b in itertools.pairwise(reports))
        assert reports[-1] <= 20 * listener.made[turn]
        if turn not in listener.flushed:
            assert reports[-1] == 20 * listener.made[turn]


@given(STEPS, st.integers(0, 200))
def test_a_client_never_holds_more_than_its_lead(steps: list[Step], lead_ms: int) -> None:
    playout = Playout(lead_ms)
    listener = Listener(playout)
    for what, turn in steps:
        listener.obey(what, turn)
        # The lead, the frame that bridges to the next beat, and the frame being heard.
        assert all(end - listener.now_ms < lead_ms + 40 for *_, end in listener.store)
