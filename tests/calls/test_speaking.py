"""Actions go in; packets and reports come out with the wheel."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from engines.speech import OpusFrame
from voice_server.calls.events import Flush, Pause, Play, Played, ReplyMade, Resume
from voice_server.calls.pacing import Wheel
from voice_server.calls.playout import FRAMES_MAX, Packet
from voice_server.calls.speaking import Speaking

from .test_pacing import ManualLoop

FRAME = OpusFrame(b"x")


class Listener:
    def __init__(self, lead_ms: int | None) -> None:
        self.loop = ManualLoop()
        self.wheel = Wheel(cast(asyncio.AbstractEventLoop, self.loop))
        self.sent: list[Packet] = []
        self.recalled: list[int] = []
        self.reports: list[Played] = []
        self.speaking = Speaking(
            self.wheel, lead_ms=lead_ms, send=self.sent.append, recall=self.recalled.append,
            report=self.reports.append,
        )  # fmt: skip

    def play(self, frames: int, turn: int = 1) -> None:
        for _ in range(frames):
            self.speaking.perform(Play(turn, FRAME))


def test_the_first_packet_leaves_at_once_and_the_others_with_the_wheel() -> None:
    listener = Listener(0)
    listener.play(5)
    assert len(listener.sent) == 1
    listener.loop.run_for(0.2)
    assert len(listener.sent) == 5
    assert listener.reports == [Played(1, 100)]
    assert not listener.wheel.turning


def test_a_pause_silences_the_next_packet_and_a_resume_goes_on() -> None:
    listener = Listener(0)
    listener.play(10)
    listener.loop.run_for(0.05)
    sent = len(listener.sent)
    listener.speaking.perform(Pause(1))
    listener.loop.run_for(1)
    assert len(listener.sent) == sent
    assert listener.reports[-1] == Played(1, sent * 20)
    listener.speaking.perform(Resume(1))
    listener.loop.run_for(1)
    assert len(listener.sent) == 10
    assert listener.recalled == []  # On a track, what has left is heard.


def test_a_store_is_recalled_and_sent_again() -> None:
    listener = Listener(200)
    listener.play(30)
    ahead = len(listener.sent)
    listener.speaking.perform(Pause(1))
    assert listener.recalled == [1]
    listener.speaking.perform(Resume(1))
    listener.loop.run_for(2)
    assert len(listener.sent) == ahead + 30


@pytest.mark.parametrize("lead_ms", [0, 200, None])
def test_a_flush_recalls_and_nothing_follows(lead_ms: int | None) -> None:
    listener = Listener(lead_ms)
    listener.play(10)
    listener.speaking.perform(Flush(1))
    sent = len(listener.sent)
    listener.play(10)
    listener.loop.run_for(1)
    assert (len(listener.sent), listener.recalled, listener.reports) == (sent, [1], [])


def test_what_is_not_for_the_ear_wakes_nobody() -> None:
    listener = Listener(0)
    listener.speaking.perform(ReplyMade(1))
    assert not listener.wheel.turning


def test_a_dropped_turn_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(0)
    with caplog.at_level("INFO"):
        listener.play(FRAMES_MAX + 50)
    assert len(caplog.records) == 1


def test_after_the_end_nothing_is_sent() -> None:
    listener = Listener(0)
    listener.play(10)
    listener.speaking.stop()
    listener.loop.run_for(1)
    assert len(listener.sent) == 1
