"""Words that come after the reply to them has begun. Pure.

An engine that answers sound does not wait for words: they may come while its reply sounds, or
when that turn is over and the next has the floor. They are the user's words of their own turn all
the same: remembered there, and told to the client. Those that do not come in time were never
more than what is known of them by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engines.speech import EngineFailed, Event, Transcribed

from . import events as ev
from .phases import NEVER_MS
from .reply import OpenTurn, PastTurn


@dataclass(slots=True)
class Late:
    """`awaited`: how many of the turn's utterances still wait for their words."""

    turn: PastTurn
    awaited: int
    unwanted: int
    partial: str
    ends_ms: int


class LateWords:
    def __init__(self, do: Callable[[ev.Action], None]) -> None:
        self._do = do
        self._late: dict[int, Late] = {}

    def __contains__(self, turn: int) -> bool:
        return turn in self._late

    @property
    def deadline_ms(self) -> int:
        if not self._late:  # Asked for every frame of sound, and mostly there are none.
            return NEVER_MS
        return min(late.ends_ms for late in self._late.values())

    def wait_for(self, past: PastTurn, turn: OpenTurn, partial: str, ends_ms: int) -> None:
        """The turn is over, and these words of it have not come."""
        self._late[past.number] = Late(past, turn.awaited, turn.unwanted, partial, ends_ms)

    def receive(self, event: Event) -> None:
        match event:
            case Transcribed(turn, transcript) if transcript.final:
                self._hear(turn, transcript.text.strip())
            case Transcribed(turn, transcript):
                self._late[turn].partial = transcript.text.strip()
            case EngineFailed(turn):
                self._settle(turn)

    def forget(self, source: ev.Source) -> bool:
        """The client does not want words of a turn that have not come; whether there are any."""
        match source:
            case ev.Spoken(turn, None) if turn in self._late:
                late = self._late[turn]
            case _:
                return False
        if late.unwanted == late.awaited:
            return False
        late.unwanted += 1
        return True

    def keep_time(self, now_ms: int) -> None:
        for turn in [turn for turn, late in self._late.items() if now_ms >= late.ends_ms]:
            self._settle(turn)

    def close(self) -> None:
        for turn in list(self._late):
            self._settle(turn)

    def _settle(self, turn: int) -> None:
        """No more words are waited for."""
        while turn in self._late:
            self._hear(turn, self._late[turn].partial)

    def _hear(self, number: int, text: str) -> None:
        late, turn = self._late[number], self._late[number].turn
        late.partial, late.awaited = "", late.awaited - 1
        if late.unwanted:
            late.unwanted -= 1
        else:
            turn.user = " ".join(filter(None, [turn.user, text]))
        if not late.awaited:
            turn.late = False
            del self._late[number]
        self._do(ev.FinalText(number, turn.user, text))
