"""What the user said in a call, as sound, until its words are known. Pure.

The sound of an utterance is kept until its words have come, whoever finds them: so whoever hears
it can be lost at any moment, and another hears it from the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..speech import PCM_FRAME_BYTES, PCM_FRAME_MS, PcmFrame, Transcribed, Transcript

# Two minutes; a call ends an utterance long before.
FRAMES_MAX = 120_000 // PCM_FRAME_MS
# A vendor takes no shorter utterances.
UTTERANCE_MS_MIN = 128
SAID_TURNS_MAX = 64
_SILENT = PcmFrame(bytes(PCM_FRAME_BYTES))


@dataclass(slots=True)
class Utterance:
    """`ended_ms`: when it ended; None: it goes on. `item_id`: the vendor's name for it. `words`:
    None: not known yet; `told`: the call knows them. `aside`: the other engine was asked for
    them; `live`: it hears the sound as it comes."""

    turn: int
    frames: list[PcmFrame] = field(default_factory=list)
    ended_ms: int | None = None
    item_id: str = ""
    partial: str = ""
    words: str | None = None
    aside: bool = False
    live: bool = False

    @property
    def sound_ms(self) -> int:
        return len(self.frames) * PCM_FRAME_MS


class Utterances:
    def __init__(self) -> None:
        self.open: Utterance | None = None
        self._waiting: deque[Utterance] = deque()
        # The words of turns, for as long as somebody may ask for them.
        self._said: dict[int, list[str]] = {}

    def __iter__(self) -> Iterator[Utterance]:
        """Those whose words are not known, the oldest first."""
        yield from (each for each in self._waiting if each.words is None)

    @property
    def idle(self) -> bool:
        """Nobody speaks, and no words are waited for."""
        return self.open is None and not any(self)

    def hear(self, turn: int, frame: PcmFrame) -> Utterance:
        """The utterance to which this belongs; a new one has no other frames."""
        if self.open is None or self.open.turn != turn:
            self.open = Utterance(turn)
        if len(self.open.frames) < FRAMES_MAX:
            self.open.frames.append(frame)
        return self.open

    def end(self, turn: int, now_ms: int) -> tuple[Utterance | None, list[PcmFrame]]:
        """The utterance that has ended, and the silence without which it would be too short."""
        ended, self.open = self.open, None
        if ended is None or ended.turn != turn:
            return None, []
        short_ms = UTTERANCE_MS_MIN - ended.sound_ms
        padding = [_SILENT] * (-(-short_ms // PCM_FRAME_MS)) if short_ms > 0 else []
        ended.frames += padding
        ended.ended_ms = now_ms
        self._waiting.append(ended)
        return ended, padding

    def abandon(self, turn: int) -> Utterance | None:
        """The utterance that is being spoken, if it is of this turn, is forgotten."""
        if self.open is None or self.open.turn != turn:
            return None
        gone, self.open = self.open, None
        return gone

    def forget(self, turn: int) -> list[Utterance]:
        """Nobody wants the words of this turn."""
        gone = [each for each in self._waiting if each.turn == turn]
        self._waiting = deque(each for each in self._waiting if each.turn != turn)
        return gone

    def of_item(self, item_id: str) -> Utterance | None:
        heard = (each for each in (*self, self.open) if each is not None)
        return next((each for each in heard if item_id and each.item_id == item_id), None)

    def of_aside(self, turn: int) -> Utterance | None:
        """The one whose words the other engine tells next."""
        found = (each for each in (*self, self.open) if each and each.turn == turn and each.aside)
        return next(found, None)

    def awaits(self, turn: int) -> bool:
        return any(each.turn == turn for each in self)

    def spoke(self, turn: int) -> bool:
        """Whether anything was said in the turn, if only noise."""
        return turn in self._said or self.awaits(turn)

    def words(self, turn: int) -> str:
        """All that is known to have been said in a turn."""
        partial = [each.partial for each in self if each.turn == turn]
        return " ".join(filter(None, [*self._said.get(turn, ()), *partial]))

    def settle(self, utterance: Utterance, text: str) -> list[Transcribed]:
        """These are its words. Returns what the call can now be told: in the order in which
        the utterances of a turn ended, as that is how it knows them apart."""
        utterance.words, utterance.frames = " ".join(text.split()), []
        told = []
        for each in [each for each in self._waiting if each.turn == utterance.turn]:
            if each.words is None:
                break
            self._waiting.remove(each)
            self._said.setdefault(each.turn, []).append(each.words)
            told.append(Transcribed(each.turn, Transcript(each.words, final=True)))
        while len(self._said) > SAID_TURNS_MAX:
            del self._said[next(iter(self._said))]
        return told
