"""The ways in which a vendor can let a call down; every vendor server of the tests knows them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Trouble(enum.Enum):
    NONE = "none"
    # Every answer begins late, and comes in the end.
    SLOW = "slow"
    # The answer stops coming, and the connection stays.
    STALLED = "stalled"
    # The connection is cut in the midst of the answer.
    DROPPED = "dropped"
    # Too many requests: 429, RESOURCE_EXHAUSTED.
    LIMITED = "limited"
    # The vendor is broken: 500, 503, UNAVAILABLE.
    BROKEN = "broken"
    # The key is not accepted: 401, UNAUTHENTICATED.
    LOCKED = "locked"
    # The results come, long after they were due.
    LATE = "late"


@dataclass(slots=True)
class Mood:
    """How a vendor server behaves from now on; set its fields while it runs.

    `after`: how many pieces of an answer (audio chunks, partials, tokens) come before the
    trouble begins. `slow_s`: what SLOW and LATE wait. `times`: how many requests are troubled
    before the vendor is well again; None: all.
    """

    trouble: Trouble = Trouble.NONE
    after: int = 0
    slow_s: float = 1.0
    times: int | None = None

    def next(self) -> Trouble:
        """The trouble of the request that begins now."""
        if self.trouble is Trouble.NONE or self.times == 0:
            return Trouble.NONE
        if self.times is not None:
            self.times -= 1
        return self.trouble
