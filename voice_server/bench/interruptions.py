"""A voice over a reply, and what became of both. Pure arithmetic on what the caller saw.

The voice begins when the first frame in which it can be heard leaves the caller, which is
20 ms of sound old by then. The reply ends in one of two ways: a client that plays from a
buffer of its own is told `response.done` and empties it, and one that plays what arrives hears
silence: then the end of the last packet with any sound in it counts, and no event.

What follows the interruption is an answer, and its first sound says how long the server took
beyond the silence it must hear before it may answer. Here nothing is aligned to the detector's
windows, so parts of frames and windows count as the server's delay.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .figures import Tally, percentile

# Sound and events travel separately; what arrives so long before the news of the answer
# belongs to the reply before it.
APART_US = 200_000


class Verdict(enum.Enum):
    """What the server made of a voice over a reply."""

    OBEYED = "obeyed"
    IGNORED = "ignored"  # The reply went on.
    UNASKED = "unasked"  # The reply ended before anybody spoke.


@dataclass(slots=True)
class Interruption:
    """From asking for a long reply to the answer that follows. Moments are microseconds; 0
    while they have not come. `by_silence`: the caller plays what arrives."""

    by_silence: bool
    reply_id: str = ""
    sounded_us: int = 0
    voice_us: int = 0
    speech_ended_us: int = 0
    done_us: int = 0
    status: str = ""
    answer_id: str = ""
    answer_created_us: int = 0
    answer_done: bool = False
    # When each piece with sound in it came, and when it ended for who plays what arrives.
    sounds: list[tuple[int, int]] = field(default_factory=list)

    def told(self, kind: str, response: Mapping[str, object], at_us: int) -> None:
        """`response.created` or `response.done` came."""
        name, created = str(response.get("id")), kind == "response.created"
        if created and not self.reply_id:
            self.reply_id = name
        elif created and self.done_us and not self.answer_id:
            self.answer_id, self.answer_created_us = name, at_us
        elif not created and name == self.reply_id:
            self.done_us, self.status = at_us, str(response.get("status"))
        elif not created and name == self.answer_id:
            self.answer_done = True

    def heard(self, at_us: int, duration_ms: int) -> None:
        """A piece of sound that is not silence came."""
        if self.reply_id:
            self.sounded_us = self.sounded_us or at_us
            self.sounds.append((at_us, at_us + duration_ms * 1_000))

    @property
    def stopped_us(self) -> int:
        """When the reply had ended for this caller."""
        if not self.by_silence:
            return self.done_us
        return max((end for came, end in self.sounds if not self._is_answer(came)), default=0)

    @property
    def answered_us(self) -> int:
        """When the answer's first sound came."""
        return next((came for came, _ in self.sounds if self._is_answer(came)), 0)

    def _is_answer(self, came_us: int) -> bool:
        apart_us = APART_US if self.by_silence else 0
        return bool(self.answer_id) and came_us >= self.answer_created_us - apart_us

    @property
    def verdict(self) -> Verdict:
        if self.status != "cancelled":
            return Verdict.IGNORED
        stopped_us = min(self.done_us, self.stopped_us)
        return Verdict.UNASKED if stopped_us < self.voice_us else Verdict.OBEYED


def count(tally: Tally, interruption: Interruption, silence_ms: int) -> None:
    """Add to the tally what came of it."""
    tally.interruptions += 1
    match interruption.verdict:
        case Verdict.OBEYED:
            tally.obeyed += 1
            tally.stopped_us.append(interruption.stopped_us - interruption.voice_us)
        case Verdict.UNASKED:
            tally.unasked += 1
            return
        case Verdict.IGNORED:
            return
    answered_us, ended_us = interruption.answered_us, interruption.speech_ended_us
    if not answered_us:
        tally.lost += 1
    elif answered_us < ended_us:
        tally.early += 1
    else:
        tally.added_us.append(answered_us - ended_us - silence_ms * 1_000)


@dataclass(frozen=True, slots=True)
class Spread:
    """How so many milliseconds are spread; NaN of nothing."""

    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float

    @classmethod
    def of(cls, values_us: list[int]) -> Spread:
        found_ms = [us / 1_000 for us in values_us]
        p50_ms, p95_ms = percentile(found_ms, 0.50), percentile(found_ms, 0.95)
        return cls(len(found_ms), p50_ms, p95_ms, percentile(found_ms, 1.0))

    def as_json(self) -> dict[str, object]:
        return {n: v if math.isfinite(v) else None for n, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Reactions:
    """How a server takes interruptions on one transport, and how soon it then answers.

    `stops`: the voice's beginning to the reply's end, of the `obeyed` among `interruptions`;
    `unasked` replies ended before anybody spoke. `answers`: speech's end to the answer's first
    sound, beyond the silence that ends an utterance; `lost` are those that never came, `early`
    those that came within the speech.
    """

    transport: str
    calls: int
    interruptions: int
    obeyed: int
    unasked: int
    stops: Spread
    answers: Spread
    lost: int
    early: int
    placed: int
    bills: int
    bills_wrong: int
    # Share of the time in which the server was ready to run and others had its core.
    waited: float
    caller_lag_ms: int
    failures: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Every voice was obeyed and answered, no reply ended by itself, and the bills are
        right."""
        whole = self.obeyed == self.interruptions > 0 and not (self.lost or self.failures)
        return whole and self.bills == self.placed and not self.bills_wrong

    def as_json(self) -> dict[str, object]:
        waited = None if math.isnan(self.waited) else self.waited
        spreads = {"stops": self.stops.as_json(), "answers": self.answers.as_json()}
        return {**asdict(self), **spreads, "waited": waited}
