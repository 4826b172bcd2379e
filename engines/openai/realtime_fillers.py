"""What is said to who waits for a vendor's reply, in another voice. Pure.

The vendor says nothing beside its replies, so the cascade does. What becomes of the reply itself
meanwhile is held back, or the two would be heard at once:

    Fill ──► the cascade says it ──► told as it is made ──► its end ──► what was held back

The call counts how much of a turn was heard with the fillers in it, the vendor without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..speech import (
    OPUS_FRAME_MS,
    Cancel,
    EngineFailed,
    Event,
    ReplyAudio,
    ReplyDone,
    Respond,
    Say,
    Transcribed,
)
from .realtime_answer import Sound
from .realtime_lines import TURNS_KEPT, Action, Ask, Tell


@dataclass(slots=True)
class _Filler:
    """`after_ms` of the reply's own sound it was said, for `sound_ms`."""

    after_ms: int
    sound_ms: int = 0


@dataclass(slots=True)
class Fillers:
    # By the turns whose fillers are being said: what is held back; None: nobody listens any more.
    _saying: dict[int | None, list[Action] | None] = field(default_factory=dict)
    _said: dict[int, list[_Filler]] = field(default_factory=dict)

    def begin(self, turn: int, text: str, sound_ms: int) -> list[Action]:
        """Say this after so much of the reply's own sound, unless something is being said."""
        if turn in self._saying:
            return []
        self._saying[turn] = []
        self._said.setdefault(turn, []).append(_Filler(sound_ms))
        while len(self._said) > TURNS_KEPT:
            del self._said[next(iter(self._said))]
        return [Ask(Say(turn, text, filler=True))]

    def is_of(self, event: Event) -> bool:
        """Whether this answer of the cascade is a part of a filler."""
        return event.turn in self._saying and not isinstance(event, Transcribed)

    def take(self, event: Event) -> list[Action]:
        """A part of a filler, or its end, however it ended."""
        if isinstance(event, ReplyDone | EngineFailed):
            return self._saying.pop(event.turn) or []
        if self._saying[event.turn] is None:
            return []
        if isinstance(event, ReplyAudio):
            self._said[event.turn][-1].sound_ms += OPUS_FRAME_MS
        return [Tell(event)]

    def hold(self, actions: Iterable[Action]) -> list[Action]:
        """Those that need not wait for the end of a filler; the others are kept until then."""
        passed = list[Action]()
        for action in actions:
            held = self._saying.get(_turn_of(action))
            if held is not None:
                held.append(action)
                continue
            passed.append(action)
            if isinstance(action, Ask) and isinstance(action.command, Cancel):
                # All that the cascade does for this turn ends here.
                passed += self._saying.pop(action.command.turn, None) or []
        return passed

    def leave(self, turn: int) -> None:
        """Nobody listens to this turn any more."""
        if turn in self._saying:
            self._saying[turn] = None

    def own_ms(self, turn: int, heard_ms: int) -> int:
        """How much of the reply's own sound was heard, of what was heard of the turn."""
        for filler in self._said.get(turn, ()):
            if heard_ms <= filler.after_ms:
                break
            heard_ms = max(filler.after_ms, heard_ms - filler.sound_ms)
        return heard_ms


def _turn_of(action: Action) -> int | None:
    """The turn whose reply this tells, or asks the cascade for."""
    match action:
        case Tell(Transcribed()):
            return None
        case Tell(event):
            return event.turn
        case Sound(turn) | Ask(Respond(turn)):
            return turn
    return None
