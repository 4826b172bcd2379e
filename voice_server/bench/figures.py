"""The figures of a run and how they come from what was seen. Pure arithmetic.

Added latency is what the server adds to the silence it must hear before it may answer:
first sound of the reply, minus the moment the last frame with speech was sent, minus that
silence. A gap is more than 60 ms between two arrivals within one reply. A frame is late when
a listener who began to play at the first frame, with 60 ms in hand, has run out of sound
before it comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

GAP_US_MAX = 60_000
CUSHION_US = 60_000
_COUNTS = (
    "frames", "gaps", "late", "lost", "early", "placed", "bills", "bills_wrong",
    "interruptions", "obeyed", "unasked",
)  # fmt: skip


@dataclass(slots=True)
class ReplyWatch:
    """Watches the sound of one reply come in; `add` in order of arrival."""

    frames: int = 0
    gaps: int = 0
    late: int = 0
    gap_us_max: int = 0
    first_us: int = 0
    last_us: int = 0
    _due_us: int = 0

    def add(self, at_us: int, duration_ms: int) -> None:
        if not self.frames:
            self.first_us = self._due_us = at_us
        else:
            gap_us = at_us - self.last_us
            self.gap_us_max = max(self.gap_us_max, gap_us)
            self.gaps += gap_us > GAP_US_MAX
            if at_us > self._due_us + CUSHION_US:
                self.late += 1
                # The listener waited, and goes on from here.
                self._due_us = at_us
        self.frames += 1
        self.last_us = at_us
        self._due_us += duration_ms * 1_000


@dataclass(slots=True)
class Tally:
    """What the callers of one process saw; tallies of several processes add up."""

    added_us: list[int] = field(default_factory=list)
    # The same gap as the server measured it, whole, in milliseconds.
    server_gap_ms: list[int] = field(default_factory=list)
    # From the beginning of a voice over a reply to the reply's end, of the obeyed.
    stopped_us: list[int] = field(default_factory=list)
    interruptions: int = 0
    obeyed: int = 0
    unasked: int = 0
    frames: int = 0
    gaps: int = 0
    gap_us_max: int = 0
    late: int = 0
    lost: int = 0
    early: int = 0
    placed: int = 0
    bills: int = 0
    bills_wrong: int = 0
    failures: list[str] = field(default_factory=list)
    lag_counts: list[int] = field(default_factory=list)
    caller_cpu_s: float = 0.0

    def turn(self, watch: ReplyWatch, speech_ended_us: int, silence_ms: int) -> None:
        self.added_us.append(watch.first_us - speech_ended_us - silence_ms * 1_000)
        self.frames += watch.frames
        self.gaps += watch.gaps
        self.late += watch.late
        self.gap_us_max = max(self.gap_us_max, watch.gap_us_max)

    def add(self, other: Tally) -> None:
        for name in ("added_us", "server_gap_ms", "stopped_us", "failures"):
            getattr(self, name).extend(getattr(other, name))
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.caller_cpu_s += other.caller_cpu_s
        self.gap_us_max = max(self.gap_us_max, other.gap_us_max)
        longer = max(self.lag_counts, other.lag_counts, key=len)
        shorter = min(self.lag_counts, other.lag_counts, key=len)
        padded = [*shorter, *[0] * (len(longer) - len(shorter))]
        self.lag_counts = [a + b for a, b in zip(longer, padded, strict=True)]


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the table."""

    transport: str
    calls: int
    seconds: float
    turns: int
    lost: int
    early: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    gaps: int
    gap_ms_max: float
    late: int
    frames: int
    cpu_s: float
    children_cpu_s: float
    # Share of the time in which the server was ready to run and others had its core.
    waited: float
    memory_mb: float
    placed: int
    bills: int
    bills_wrong: int
    caller_lag_ms: int
    caller_load: float
    failures: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing was lost and every call has its one right bill."""
        return not (self.lost or self.failures or self.bills_wrong) and self.bills == self.placed

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def bill_is_right(bill: dict[str, object]) -> bool:
    """Minutes follow from the duration, and not less than one."""
    seconds, minutes = bill.get("duration_sec"), bill.get("billed_minutes")
    if not isinstance(seconds, int | float) or not isinstance(minutes, int):
        return False
    return minutes == max(1, math.ceil(seconds / 60))
