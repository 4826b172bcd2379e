"""The sound since the last final, as a stream's Whisper keeps it: when to look again, what to
look at, what to forget, and where to end.

    ──confirmed words──│───kept sound───────────────►
    start_ms         sound_ms                    end_ms
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..agreement import LocalAgreement
from ..speech import Transcript, Word
from .voicing import Voicing

BYTES_PER_MS = 32
HOP_MS = 1_000
# Shorter sound than this is not worth a partial.
FIRST_MS = 600
TRIM_MS = 12_000
# A stretch ends at the first pause after this long, and in any case after that long: Whisper's
# own window is 30 s.
STRETCH_MS, STRETCH_MS_MAX = 20_000, 28_000
PAUSE_MS, CUT_WITHIN_MS, CUT_STEP_MS = 400, 2_000, 50
# A peak below this, of 32,767, is silence however one turns it.
QUIET = 100
PROMPT_CHARS = 200
# So much voice after the last word that was heard: the model stopped too early.
LEFT_OUT_MS, SLACK_MS = 1_000, 200


@dataclass(frozen=True, slots=True)
class Asking:
    """What a stream wants to know: `task` is transcribe or translate, `language` ISO 639-1,
    `hotwords` the words that are likely."""

    task: str
    language: str
    hotwords: str = ""


@dataclass(frozen=True, slots=True)
class Hearing:
    """One look at one piece of sound. Times of its words count from the stream's start. `left`
    is set when nobody waits for it any more."""

    asking: Asking
    sound: bytes
    start_ms: int
    prompt: str
    final: bool
    voicing: Voicing
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def length_ms(self) -> int:
        return len(self.sound) // BYTES_PER_MS

    def voiced_ms(self, from_ms: int, until_ms: int) -> int:
        """For how long there is a voice between these moments of this sound."""
        start_ms = self.start_ms + max(0, from_ms)
        return self.voicing.voiced_ms(start_ms, self.start_ms + min(until_ms, self.length_ms))


class Stretch:
    """`hear` its sound; make a `hearing` when one is due; `take` what it found."""

    def __init__(
        self, asking: Asking, voicing: Voicing, start_ms: int = 0, prompt: str = ""
    ) -> None:
        self.asking, self._voicing, self._prompt = asking, voicing, prompt
        self._start_ms = start_ms
        self._sound = bytearray()
        self._sound_ms = start_ms  # Where the kept sound begins.
        self._looked_ms = start_ms
        self._loudest = 0
        self._agreement = LocalAgreement()

    @property
    def _end_ms(self) -> int:
        return self._sound_ms + len(self._sound) // BYTES_PER_MS

    @property
    def follows(self) -> bool:
        """Whether a final has already been given before this stretch."""
        return self._start_ms > 0

    def hear(self, samples: bytes) -> None:
        loudness = peak(samples)
        self._voicing.hear(samples, silent=loudness < QUIET)
        self._keep(samples, loudness)

    def _keep(self, samples: bytes, loudness: int) -> None:
        self._sound += samples
        self._loudest = max(self._loudest, loudness)

    def is_due(self) -> bool:
        """Whether another look is worth it."""
        wait_ms = HOP_MS if self._looked_ms > self._start_ms else FIRST_MS
        return self._end_ms - self._looked_ms >= wait_ms and not self.is_silent()

    def is_silent(self) -> bool:
        return self._loudest < QUIET

    def hearing(self, *, final: bool) -> Hearing:
        self._looked_ms = self._end_ms
        said = "".join(word.text for word in self._agreement.confirmed)
        prompt = (self._prompt + said)[-PROMPT_CHARS:] if self._is_trimmed else self._prompt
        return Hearing(
            self.asking, bytes(self._sound), self._sound_ms, prompt, final, self._voicing
        )

    def left_out(self, hearing: Hearing, words: Sequence[Word]) -> Hearing | None:
        """The rest of a final hearing that ended while somebody still spoke; None: it did not."""
        if not words:
            return None
        end_ms = max(word.end_ms for word in words) - hearing.start_ms
        if hearing.voiced_ms(end_ms + SLACK_MS, hearing.length_ms) < LEFT_OUT_MS:
            return None
        said = "".join(word.text for word in words)
        return Hearing(
            self.asking, hearing.sound[end_ms * BYTES_PER_MS :], hearing.start_ms + end_ms,
            (hearing.prompt + said)[-PROMPT_CHARS:], True, self._voicing,
        )  # fmt: skip

    @property
    def _is_trimmed(self) -> bool:
        return self._sound_ms > self._start_ms

    def take(self, guess: Sequence[Word]) -> bool:
        """Learn from a look; whether it confirmed anything. Long sound loses what is sure."""
        confirmed = bool(self._agreement.feed(guess))
        sure_ms = min(self._agreement.confirmed_ms, self._end_ms)
        if self._end_ms - self._sound_ms > TRIM_MS and sure_ms > self._sound_ms:
            del self._sound[: (sure_ms - self._sound_ms) * BYTES_PER_MS]
            self._sound_ms = sure_ms
        return confirmed

    def must_end(self) -> bool:
        length_ms = self._end_ms - self._start_ms
        if length_ms < STRETCH_MS:
            return False
        pause = self._sound[-PAUSE_MS * BYTES_PER_MS :]
        return length_ms >= STRETCH_MS_MAX or peak(pause) < max(QUIET, self._loudest // 20)

    def cut(self) -> Stretch:
        """End here, or a little before where that is quieter; the rest begins the next."""
        keep = _quietest(self._sound)
        rest = self._sound[keep:]
        del self._sound[keep:]
        said = "".join(word.text for word in self._agreement.confirmed)[-PROMPT_CHARS:]
        following = Stretch(self.asking, self._voicing, self._end_ms, said)
        following._keep(bytes(rest), peak(rest))
        return following

    def partial(self) -> Transcript:
        return self._transcript(self._agreement.confirmed, final=False)

    def final(self, guess: Sequence[Word]) -> Transcript:
        return self._transcript(self._agreement.finish(guess), final=True)

    def _transcript(self, words: Sequence[Word], *, final: bool) -> Transcript:
        # Whisper's words bring their own spaces, where the language has any.
        text = "".join(word.text for word in words).strip()
        plain = tuple(Word(word.text.strip(), word.start_ms, word.end_ms) for word in words)
        return Transcript(text, final, self._start_ms, self._end_ms, plain)


def peak(sound: bytes | bytearray) -> int:
    """The loudest sample, 0 to 32,768; of no sound 0."""
    samples = np.frombuffer(bytes(sound), "<i2")
    return int(np.abs(samples.astype(np.int32)).max()) if samples.size else 0


def _quietest(sound: bytearray) -> int:
    """Where to cut so that no word is torn: behind the quietest moment near the end."""
    step = CUT_STEP_MS * BYTES_PER_MS
    last = len(sound) - len(sound) % 2
    first = max(step, last - CUT_WITHIN_MS * BYTES_PER_MS)
    return min(range(last, first - 1, -step), key=lambda at: peak(sound[at - step : at]))
