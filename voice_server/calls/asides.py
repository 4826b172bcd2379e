"""Replies that are written beside the conversation, several at once. Pure.

A client may ask for an answer that nobody is to hear and that the conversation is not to know
of: to sum it up, to sort it, to check it. Such a reply needs no floor. It has a turn number of
its own, so the turn law covers it, a deadline, and the same beginning and end as any reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engines.speech import (
    Cancel,
    EngineFailed,
    Entry,
    Event,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
)

from . import events as ev
from .phases import NEVER_MS
from .reply import Reply

ASIDES_MAX = 8


@dataclass(slots=True)
class Aside:
    ends_ms: int
    reply: Reply = field(default_factory=lambda: Reply(speaks=False))


class Asides:
    def __init__(self, do: Callable[[ev.Action], None]) -> None:
        self._do = do
        self._open: dict[int, Aside] = {}

    def __contains__(self, turn: int) -> bool:
        return turn in self._open

    @property
    def full(self) -> bool:
        return len(self._open) == ASIDES_MAX

    @property
    def deadline_ms(self) -> int:
        if not self._open:  # Asked for every frame of sound, and mostly there are none.
            return NEVER_MS
        return min(aside.ends_ms for aside in self._open.values())

    def begin(
        self, turn: int, asked: ev.Asked, history: tuple[Entry, ...], ends_ms: int
    ) -> None:
        self._open[turn] = Aside(ends_ms)
        self._do(ev.ReplyStarted(turn, tag=asked.tag, speaks=False))
        self._do(Respond(turn, history, asked.settings, asked.apart))

    def receive(self, event: Event, ends_ms: int) -> None:
        """The engine's next word for one of these; `ends_ms`: how long it may now take."""
        turn, aside = event.turn, self._open[event.turn]
        aside.ends_ms = ends_ms
        match event:
            case ReplyText(_, text) if aside.reply.add_text(text):
                self._do(ev.ReplySaid(turn, text))
            case ReplyCall(_, piece) if aside.reply.add_call(piece):
                self._do(ev.Called(turn, piece))
            case ReplyText() | ReplyCall():
                self._fail(turn, "the reply is too long")
            case ReplyDone(_, _, cut):
                self._do(ev.ReplyMade(turn, cut))
                self._end(turn, "completed", "")
            case EngineFailed(_, reason):
                self._end(turn, "failed", reason)

    def stop(self, turn: int) -> None:
        self._do(Cancel(turn, 0))
        self._end(turn, "cancelled", "client_cancelled")

    def keep_time(self, now_ms: int) -> None:
        overdue = [turn for turn, aside in self._open.items() if now_ms >= aside.ends_ms]
        for turn in overdue:
            self._fail(turn, "the reply took too long")

    def close(self) -> None:
        for turn in list(self._open):
            self.stop(turn)

    def _fail(self, turn: int, reason: str) -> None:
        self._do(Cancel(turn, 0))
        self._end(turn, "failed", reason)

    def _end(self, turn: int, status: str, reason: str) -> None:
        aside = self._open.pop(turn)
        self._do(ev.ReplyFinished(turn, status, reason, aside.reply.heard(), 0))
