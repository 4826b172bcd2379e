"""Where the silence between the user's last sound and the reply's first went. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Latency:
    """Where the silence between the user's last sound and the reply's first went. The
    parts, in milliseconds, sum to the audible gap."""

    turn: int
    endpointing_ms: int
    transcript_ms: int
    first_token_ms: int
    first_sentence_ms: int
    first_audio_ms: int
    first_packet_ms: int

    @property
    def gap_ms(self) -> int:
        return (
            self.endpointing_ms
            + self.transcript_ms
            + self.first_token_ms
            + self.first_sentence_ms
            + self.first_audio_ms
            + self.first_packet_ms
        )


@dataclass(slots=True)
class Marks:
    """When the steps from the user's last sound to the reply's first were taken."""

    speech_ended_ms: int = 0
    endpoint_ms: int = 0
    words_ms: int = 0
    token_ms: int | None = None
    sentence_ms: int | None = None
    audio_ms: int | None = None

    def latency(self, turn: int, packet_ms: int) -> Latency:
        """The parts of the gap; a step that was not seen took no time of its own."""
        steps = [self.speech_ended_ms, self.endpoint_ms, self.words_ms]
        for mark_ms in (self.token_ms, self.sentence_ms, self.audio_ms, packet_ms):
            steps.append(max(steps[-1], steps[-1] if mark_ms is None else mark_ms))
        parts = [after - before for before, after in pairwise(steps)]
        return Latency(turn, *parts)
