"""How long may this pause last? Pure.

By its length alone, one pause is like another: some end a turn, some only look for a word. Where
the rules ask for judgement (`semantic_vad`), the sound of the turn is given to whoever can hear
the difference as soon as a pause is long enough to be one:

    speech ─► 192 ms of silence ─► JudgeTurn ─► TurnJudged: likely over     ─► ends here and now
                     ▲                                      goes on         ─► waits, up to seconds
                     └────────── speech: what was asked or answered is void
                                                no answer (yet)             ─► the usual pauses

So without a model, or with one that fails or is slow, turns end as they do without judgement.
"""

from __future__ import annotations

from collections import deque

from engines.speech import PCM_FRAME_MS, PcmFrame

from .endpointing import Endpointer
from .events import JudgeTurn, TurnJudged
from .reply import OpenTurn

SOUND_MS_MAX = 8_000


class Patience:
    """Keeps the sound of the turn that is being heard, and what was made of its latest pause."""

    def __init__(self, endpointer: Endpointer) -> None:
        self._endpointer = endpointer
        self._sound: deque[PcmFrame] = deque(maxlen=SOUND_MS_MAX // PCM_FRAME_MS)
        self._turn = -1
        # Pauses that were asked about, counted; only the latest can still be answered.
        self._pause = 0
        self._asked = self._goes_on = False

    def keep(self, turn: int, frame: PcmFrame) -> None:
        """This sound belongs to the turn."""
        if turn != self._turn or self._endpointer.rules.judging is None:
            self._sound.clear()
        self._turn = turn
        if self._endpointer.rules.judging is not None:
            self._sound.append(frame)

    def pause_ms(self, *, unfinished: bool, has_floor: bool) -> int:
        """How long silence must last to end the utterance. `unfinished`: its words say so.
        `has_floor`: nobody is kept waiting but the speaker; a reply that was paused for what
        may be a cough is not held up for seconds."""
        rules = self._endpointer.rules
        if rules.judging is not None and self._goes_on and has_floor:
            return rules.judging.patience_ms
        return rules.pause_unfinished_ms if unfinished else rules.pause_ms

    def question(self, turn: OpenTurn) -> JudgeTurn | None:
        """What to ask after a frame of the turn's utterance: once in each pause."""
        if not self._pausing:
            self._asked = self._goes_on = False
        elif not self._asked and not turn.deaf:
            self._asked = True
            self._pause += 1
            return JudgeTurn(turn.number, self._pause, tuple(self._sound))
        return None

    def ends(self, judged: TurnJudged, turn: OpenTurn) -> bool:
        """Whether the utterance of the turn ends here and now."""
        judging = self._endpointer.rules.judging
        asked = self._asked and (judged.turn, judged.pause) == (turn.number, self._pause)
        if judging is None or not asked or not self._pausing:
            return False
        self._goes_on = judged.probability < judging.ended_above
        return not self._goes_on

    @property
    def expects_more(self) -> bool:
        """Whether this pause was judged to be none at the end of a turn."""
        return self._goes_on

    @property
    def _pausing(self) -> bool:
        judging, ear = self._endpointer.rules.judging, self._endpointer
        return judging is not None and ear.speaking and ear.silence_ms >= judging.after_ms
