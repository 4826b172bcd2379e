"""A call written as a script: `>>` is what happens, `<<` is what must be done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from engines.speech import (
    Cancel,
    EndUtterance,
    Fill,
    Hear,
    OpusFrame,
    PcmFrame,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Transcribed,
    Transcript,
)
from voice_server.calls.conversation import Conversation
from voice_server.calls.events import (
    Action,
    Closed,
    Connected,
    Flush,
    Heard,
    Input,
    MinuteElapsed,
    Pause,
    Play,
    Played,
    Resume,
    Tick,
)
from voice_server.calls.rules import Endpointing, Interruption, Rules

Kind = TypeVar("Kind")
SPEECH, SILENCE = 0.95, 0.02
FRAME = PcmFrame(b"\0" * 1024)
SOUND = OpusFrame(b"\xfc")
# What a script must mention; all else is shown on request.
_SHOWN = (
    EndUtterance, Respond, Fill, Say, Cancel, Play, Pause, Resume, Flush, MinuteElapsed, Closed,
)  # fmt: skip


class Playbook:
    """Drive a conversation by hand."""

    def __init__(self, rules: Rules | None = None, *, show: tuple[type, ...] = ()) -> None:
        self.now_ms = 0
        self.call = Conversation(rules or Rules(), now_ms=0)
        self.pending: list[Action] = []
        self.all: list[Action] = []
        self._shown = (*_SHOWN, *show)

    def __rshift__(self, event: Input | Iterable[Input]) -> Playbook:
        self.idle()
        for one in event if isinstance(event, Iterable) else [event]:
            self._give(one)
        return self

    def __lshift__(self, action: Action | type) -> Playbook:
        assert self.pending, f"nothing was done; expected {action}"
        done = self.pending.pop(0)
        same = isinstance(done, action) if isinstance(action, type) else done == action
        assert same, f"did {done}; expected {action}"
        return self

    def plays(self, frames: int) -> Playbook:
        for _ in range(frames):
            self << Play
        return self

    def after(self, ms: int) -> Playbook:
        """Let time pass, waking at every deadline the conversation asks for."""
        ends_ms = self.now_ms + ms
        while (due_ms := self.call.deadline_ms()) is not None and due_ms <= ends_ms:
            self.now_ms = max(due_ms, self.now_ms)
            before = (self.call.phase, due_ms, len(self.all))
            self._take(self.call.receive(Tick(), self.now_ms))
            after = (self.call.phase, self.call.deadline_ms(), len(self.all))
            assert after != before, "a deadline that does not move"
        self.now_ms = ends_ms
        return self

    def idle(self) -> Playbook:
        assert not self.pending, f"not expected: {self.pending}"
        return self

    def did(self, kind: type[Kind]) -> list[Kind]:
        return [action for action in self.all if isinstance(action, kind)]

    def _give(self, event: Input) -> None:
        if isinstance(event, Heard):
            self.now_ms += 32
        self._take(self.call.receive(event, self.now_ms))

    def _take(self, actions: list[Action]) -> None:
        self.all += actions
        self.pending += [action for action in actions if isinstance(action, self._shown)]


def says(ms: int) -> list[Input]:
    return [Heard(FRAME, SPEECH)] * (ms // 32)


def silent(ms: int) -> list[Input]:
    return [Heard(FRAME, SILENCE)] * (ms // 32 + 1)


def final(turn: int, text: str) -> Transcribed:
    return Transcribed(turn, Transcript(text, final=True))


def partial(turn: int, text: str) -> Transcribed:
    return Transcribed(turn, Transcript(text, final=False))


def voiced(turn: int, text: str, ms: int) -> list[Input]:
    return [ReplyText(turn, text), *[ReplyAudio(turn, SOUND)] * (ms // 20)]


def answered(turn: int, text: str, ms: int) -> list[Input]:
    return [*voiced(turn, text, ms), ReplyDone(turn)]


__all__ = [
    "FRAME", "SILENCE", "SOUND", "SPEECH", "Connected", "Endpointing", "Hear", "Interruption",
    "Playbook", "Played", "Rules", "answered", "final", "partial", "says", "silent", "voiced",
]  # fmt: skip
