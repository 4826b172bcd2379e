"""A call's playout, turned by the wheel: actions go in, packets and reports come out."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .events import Action, Flush, Pause, Play, Played, Resume
from .pacing import Wheel
from .playout import Packet, Playout

logger = logging.getLogger(__name__)


class Speaking:
    """`send` takes each packet when it is due; `recall` drops a turn's packets that `send`
    took and that have not left yet; `report` hears what was heard. None of them may wait."""

    def __init__(
        self,
        wheel: Wheel,
        *,
        lead_ms: int | None,
        send: Callable[[Packet], None],
        recall: Callable[[int], None],
        report: Callable[[Played], None],
    ) -> None:
        self._wheel = wheel
        self._playout = Playout(lead_ms)
        self._send, self._recall, self._report = send, recall, report
        self._dropped_turn: int | None = None

    @property
    def lead_ms(self) -> int | None:
        return self._playout.lead_ms

    @lead_ms.setter
    def lead_ms(self, lead_ms: int | None) -> None:
        self._playout.lead_ms = lead_ms

    def perform(self, action: Action) -> None:
        """Play, pause, resume or flush at once; other actions are not for the ear."""
        match action:
            case Play(turn, frame):
                if not self._playout.play(turn, frame):
                    self._log_drop(turn)
            case Pause(turn):
                self._playout.pause(turn, self._wheel.now_ms())
                if self._playout.lead_ms:  # Otherwise what has left counts as heard.
                    self._recall(turn)
            case Resume(turn):
                self._playout.resume(turn)
            case Flush(turn):
                self._playout.flush(turn, self._wheel.now_ms())
                self._recall(turn)
            case _:
                return
        if self._beat(self._wheel.now_ms()):
            self._wheel.wake(self._beat)

    def stop(self) -> None:
        self._wheel.rest(self._beat)

    def _log_drop(self, turn: int) -> None:
        if turn != self._dropped_turn:
            logger.info("turn %d: sound dropped, it was flushed or is too long", turn)
            self._dropped_turn = turn

    def _beat(self, now_ms: int) -> bool:
        for packet in self._playout.due(now_ms):
            self._send(packet)
        for played in self._playout.progress(now_ms):
            self._report(played)
        return self._playout.active
