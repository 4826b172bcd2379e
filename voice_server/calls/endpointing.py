"""When does an utterance begin and end? Pure; time is counted in frames.

Silence is counted in frames while frames arrive, so jitter cannot end a sentence.
"""

from __future__ import annotations

import enum

from engines.speech import PCM_FRAME_MS

from .rules import Endpointing


class Edge(enum.Enum):
    ONSET = "onset"
    ENDPOINT = "endpoint"


class Endpointer:
    """A hysteresis over speech probabilities.

    Between the two thresholds the previous verdict stands, so a probability that hovers
    does not chop one utterance into many.
    """

    def __init__(self, rules: Endpointing) -> None:
        self.rules = rules
        self.speaking = False
        # How long the utterance has lasted, and how long it has been silent at its end.
        self.utterance_ms = 0
        self.silence_ms = 0
        self._speech_ms = 0

    def hear(self, probability: float, *, onset_ms: int, pause_ms: int) -> Edge | None:
        if self.speaking:
            return self._hear_speaking(probability, pause_ms)
        return self._hear_quiet(probability, onset_ms)

    def begin(self) -> None:
        """An utterance begins here, whatever the sound says."""
        self.reset()
        self.speaking = True

    def reset(self) -> None:
        self.speaking = False
        self.utterance_ms = self.silence_ms = self._speech_ms = 0

    def _hear_quiet(self, probability: float, onset_ms: int) -> Edge | None:
        if probability >= self.rules.speech_above:
            self._speech_ms += PCM_FRAME_MS
        elif probability < self.rules.silence_below:
            # One soft consonant must not cost the whole run, so drain, do not drop.
            self._speech_ms = max(0, self._speech_ms - PCM_FRAME_MS)
        if self._speech_ms < onset_ms:
            return None
        spoken_ms = self._speech_ms
        self.begin()
        self.utterance_ms = spoken_ms
        return Edge.ONSET

    def _hear_speaking(self, probability: float, pause_ms: int) -> Edge | None:
        self.utterance_ms += PCM_FRAME_MS
        if probability >= self.rules.speech_above:
            self.silence_ms = 0
        elif probability < self.rules.silence_below:
            self.silence_ms += PCM_FRAME_MS
        paused = not self.rules.manual and self.silence_ms >= pause_ms
        overlong = self.utterance_ms >= self.rules.utterance_ms_max
        if not (paused or overlong):
            return None
        self.speaking = False
        return Edge.ENDPOINT
