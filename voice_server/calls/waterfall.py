"""Where the silence between the user's last sound and the reply's first went. Pure.

    last sound ── endpoint ── words ── token ── sentence ── audio ── heard
         endpointing  transcript  first    first      first    first
                                  token   sentence    audio    packet

A step that was taken while the one before it was still awaited took no time of its own, and one
that nobody saw took none either. Where a filler was heard first, the silence ended there, and the
parts say what was being waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Latency:
    """Where the silence between the user's last sound and the next went. The parts, in
    milliseconds, sum to the audible gap. `answer_ms`: how long the answer itself was waited
    for, which is longer where a filler was said; None: nothing of it was heard."""

    turn: int
    endpointing_ms: int
    transcript_ms: int
    first_token_ms: int
    first_sentence_ms: int
    first_audio_ms: int
    first_packet_ms: int
    answer_ms: int | None = None

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
    # When a filler was first heard.
    filled_ms: int | None = None

    def not_before(self, floor_free_ms: int) -> None:
        """Nobody waited for the reply while another was heard."""
        if self.endpoint_ms:
            self.speech_ended_ms = max(self.speech_ended_ms, floor_free_ms)
            self.endpoint_ms = max(self.endpoint_ms, floor_free_ms)
            self.words_ms = max(self.words_ms, floor_free_ms)

    def latency(self, turn: int, heard_ms: int | None) -> Latency:
        """The parts of the gap. `heard_ms`: when the reply itself was first heard; None: only a
        filler was."""
        sounds = [each for each in (self.filled_ms, heard_ms) if each is not None]
        assert sounds, "a gap ends with a sound"
        begins_ms = self.speech_ended_ms
        ends_ms = max(begins_ms, min(sounds))
        steps = [begins_ms]
        marks = (self.endpoint_ms, self.words_ms, self.token_ms, self.sentence_ms, self.audio_ms)
        for mark_ms in marks:
            if mark_ms is None:  # Not seen, or not taken when the reply came to its end.
                mark_ms = steps[-1] if heard_ms is not None else ends_ms
            steps.append(min(max(steps[-1], mark_ms), ends_ms))
        endpointing, transcript, token, sentence, audio, packet = (
            after - before for before, after in pairwise([*steps, ends_ms])
        )
        answer_ms = None if heard_ms is None else max(heard_ms, ends_ms) - begins_ms
        return Latency(
            turn, endpointing, transcript, token, sentence, audio, packet, answer_ms
        )
