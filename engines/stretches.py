"""Where somebody speaks in a recording, and what was said there, in the recording's own time.

A recording is cut in its pauses into stretches that a recogniser can take in one go. Each
stretch knows where it lies, so the words that are heard in it lie right in the recording too,
however much silence there is between. The longer a stretch has become, the shorter a pause may
end it; one without any pause is cut where speech is least likely. Pure.

    ──────▁▁▂▇▇▆▇▂▂▆▇▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▆▇▇▇▆▂▁▁▁▁▁
          └ stretch, padded ┘         └ stretch ┘
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .speech import PCM_FRAME_MS, PcmFrame, Transcript, Word

# Shorter than this it was a click, whatever the detector thinks of it.
SPEECH_MS_MIN = 96
# How much less sure the detector may become before speech counts as over.
HYSTERESIS = 0.15


@dataclass(frozen=True, slots=True)
class CutRules:
    """`threshold`: how likely speech must be to begin. A pause of `pause_ms` ends a stretch; of
    `breath_ms` is enough once it is `long_ms` long; it never grows beyond `stretch_ms_max`."""

    threshold: float = 0.5
    padding_ms: int = 224
    pause_ms: int = 704
    breath_ms: int = 256
    long_ms: int = 12_000
    stretch_ms_max: int = 24_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound from `start_ms` on in which somebody speaks from `voiced_ms` to `voiced_end_ms`.
    `speech`: how likely it is that this is speech, on average, 0 to 1."""

    frames: tuple[PcmFrame, ...]
    start_ms: int
    voiced_ms: int
    voiced_end_ms: int
    speech: float


@dataclass(frozen=True, slots=True)
class Passage:
    """What was said in a part of a recording, in its own time. `estimated`: the recogniser gave
    no times for words, and these only spread the letters over the time in which they were said.
    """

    text: str
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    estimated: bool
    speech: float


class SpeechCutter:
    """Takes a recording frame by frame and gives its stretches, each as soon as it is whole.
    Holds no more sound than one stretch."""

    def __init__(self, rules: CutRules | None = None) -> None:
        self._rules = rules or CutRules()
        self._padding = self._rules.padding_ms // PCM_FRAME_MS
        self._held: list[PcmFrame] = []
        self._chances: list[float] = []
        self._start = 0  # The number of the first frame held.
        self._voiced: int | None = None  # The first and last voiced frame among those held.
        self._voiced_end = 0

    def feed(self, frame: PcmFrame, chance: float) -> list[Stretch]:
        """The next frame, and how likely it is speech; the stretch that it completes, if any."""
        rules = self._rules
        self._held.append(frame)
        self._chances.append(chance)
        now = len(self._held) - 1
        if self._voiced is None:
            if chance >= rules.threshold:
                self._voiced = self._voiced_end = now
            else:
                self._drop(max(0, now + 1 - self._padding))
            return []
        if chance >= rules.threshold - HYSTERESIS:
            self._voiced_end = now
        length_ms, quiet_ms = (now + 1) * PCM_FRAME_MS, (now - self._voiced_end) * PCM_FRAME_MS
        pause_ms = rules.pause_ms if length_ms < rules.long_ms else rules.breath_ms
        if quiet_ms >= pause_ms:
            return self._end(min(self._voiced_end + 1 + self._padding, now + 1))
        if length_ms >= rules.stretch_ms_max:
            return self._end(self._least_likely())
        return []

    def finish(self) -> list[Stretch]:
        """The recording is over; its last stretch, if somebody was speaking."""
        if self._voiced is None:
            return []
        return self._end(min(self._voiced_end + 1 + self._padding, len(self._held)))

    def _end(self, cut: int) -> list[Stretch]:
        """Close the stretch before frame `cut` of those held; the rest begins what follows."""
        assert self._voiced is not None
        first, last = self._voiced, min(self._voiced_end, cut - 1)
        found = []
        if (last + 1 - first) * PCM_FRAME_MS >= SPEECH_MS_MIN:
            chances = self._chances[first : last + 1]
            found.append(
                Stretch(
                    tuple(self._held[:cut]),
                    self._start * PCM_FRAME_MS,
                    (self._start + first) * PCM_FRAME_MS,
                    (self._start + last + 1) * PCM_FRAME_MS,
                    sum(chances) / len(chances),
                )
            )
        goes_on, voiced_end = self._voiced_end >= cut, self._voiced_end
        self._drop(cut)
        self._voiced, self._voiced_end = (0, voiced_end - cut) if goes_on else (None, 0)
        if not goes_on:
            self._drop(max(0, len(self._held) - self._padding))
        return found

    def _least_likely(self) -> int:
        """Where to cut somebody who does not pause: in the last half, the later the better."""
        half = len(self._held) // 2
        return min(range(len(self._held) - 1, half, -1), key=lambda at: self._chances[at])

    def _drop(self, count: int) -> None:
        del self._held[:count]
        del self._chances[:count]
        self._start += count


def passage(transcript: Transcript, stretch: Stretch, duration_ms: int) -> Passage | None:
    """A final transcript of a stretch, moved to its place in a recording of `duration_ms`; None
    when nothing was said."""
    text = " ".join(transcript.text.split())
    if not text:
        return None
    words = tuple(_placed(transcript.words, stretch.start_ms, duration_ms))
    if words:
        start_ms, end_ms = words[0].start_ms, words[-1].end_ms
    else:
        # Its own times count where it has any; they include silence that is none of its words.
        start_ms, end_ms = stretch.voiced_ms, min(stretch.voiced_end_ms, duration_ms)
        if transcript.end_ms > transcript.start_ms:
            start_ms = min(max(start_ms, stretch.start_ms + transcript.start_ms), end_ms)
            end_ms = max(min(end_ms, stretch.start_ms + transcript.end_ms), start_ms)
    estimated = not words
    if estimated:
        words = spread(text, start_ms, end_ms)
    return Passage(text, start_ms, end_ms, words, estimated, stretch.speech)


def spread(text: str, start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """The words of a text laid over a time by their letters: an estimate, and no more."""
    words = text.split()
    letters = sum(map(len, words))
    found, before = [], 0
    for word in words:
        after = before + len(word)
        begins, ends = (
            start_ms + (end_ms - start_ms) * at // letters for at in (before, after)
        )
        found.append(Word(word, begins, ends))
        before = after
    return tuple(found)


def _placed(words: Sequence[Word], offset_ms: int, duration_ms: int) -> Iterator[Word]:
    """The words in the recording's time, in order and inside it."""
    earliest_ms = 0
    for word in words:
        start_ms = min(max(word.start_ms + offset_ms, earliest_ms), duration_ms)
        end_ms = min(max(word.end_ms + offset_ms, start_ms), duration_ms)
        earliest_ms = start_ms
        yield Word(word.text, start_ms, end_ms)
