"""What a client recorded and hands over whole: its words are asked for beside the call. Pure.

A recording has a turn number of its own, so the turn law covers its words, and a deadline. It
takes no floor and opens no utterance. Who asks for a reply meanwhile is answered once the words
are known, or will not come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engines.speech import (
    PCM_FRAME_MS,
    Cancel,
    EngineFailed,
    Event,
    Note,
    PcmFrame,
    Transcribe,
    Transcribed,
)

from . import events as ev
from .memory import Kept
from .phases import NEVER_MS

RECORDINGS_MAX = 4
# A recogniser that hears no faster than people speak is slow, and not yet broken.
PATIENCE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Recording:
    item_id: str
    written: str
    ends_ms: int


class Recordings:
    """`amend` takes the words to where the recording stands in the conversation."""

    def __init__(
        self, do: Callable[[ev.Action], None], amend: Callable[[Kept], None]
    ) -> None:
        self._do, self._amend = do, amend
        self._open: dict[int, Recording] = {}
        # Who wants a reply once all words are known.
        self.asked: ev.Asked | None = None

    def __contains__(self, turn: int) -> bool:
        return turn in self._open

    @property
    def awaited(self) -> bool:
        return bool(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) == RECORDINGS_MAX

    @property
    def deadline_ms(self) -> int:
        if not self._open:
            return NEVER_MS
        return min(recording.ends_ms for recording in self._open.values())

    def begin(
        self, turn: int, item_id: str, written: str, frames: tuple[PcmFrame, ...], now_ms: int
    ) -> None:
        ends_ms = now_ms + len(frames) * PCM_FRAME_MS + PATIENCE_MS
        self._open[turn] = Recording(item_id, written, ends_ms)
        self._do(Transcribe(turn, frames))

    def receive(self, event: Event) -> None:
        """The recogniser's answer. Words that may still change are of no use here."""
        match event:
            case Transcribed(turn, transcript) if transcript.final:
                self._end(turn, transcript.text.strip(), "")
            case EngineFailed(turn, reason):
                self._end(turn, "", reason)

    def keep_time(self, now_ms: int) -> None:
        overdue = [turn for turn, each in self._open.items() if now_ms >= each.ends_ms]
        for turn in overdue:
            self._do(Cancel(turn, 0))
            self._end(turn, "", "the words took too long")

    def forget(self, item_id: str) -> None:
        """The client does not want these words any more."""
        unwanted = [turn for turn, each in self._open.items() if each.item_id == item_id]
        for turn in unwanted:
            self._do(Cancel(turn, 0))
            self._end(turn, "", "the item was deleted")

    def close(self) -> None:
        for turn in self._open:
            self._do(Cancel(turn, 0))
        self._open.clear()
        self.asked = None

    def _end(self, turn: int, text: str, failure: str) -> None:
        recording = self._open.pop(turn)
        words = " ".join(filter(None, [recording.written, text]))
        self._amend(Kept(recording.item_id, Note("user", words)))
        self._do(ev.RecordingHeard(recording.item_id, text, failure))
