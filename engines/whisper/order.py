"""Which pieces of sound a shared Whisper looks at next, and which of them in one go.

Every stream has at most one look waiting, so a stream that asks often waits as long as any
other. What a caller waits for (a final) goes before what is only shown (a partial), until a
partial has waited too long. Looks of one kind (the same language, task and care) can share a
batch; where batches do not pay, each goes alone. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

# How much longer than a final a partial waits.
PARTIAL_PATIENCE_MS = 1_500
BATCH_MAX = 16


@dataclass(frozen=True, slots=True)
class Ticket:
    """A look that waits. `kind`: only looks of the same kind can be one batch."""

    final: bool
    kind: Hashable
    asked_ms: int

    @property
    def due_ms(self) -> int:
        return self.asked_ms + (0 if self.final else PARTIAL_PATIENCE_MS)


def next_batch(waiting: Sequence[Ticket], batch_max: int) -> list[int]:
    """The places in `waiting` of those that go next, together."""
    order = sorted(range(len(waiting)), key=lambda place: waiting[place].due_ms)
    if not order:
        return []
    kind = waiting[order[0]].kind
    return [place for place in order if waiting[place].kind == kind][:batch_max]


def batch_that_pays(took_s: Callable[[int], float]) -> int:
    """The largest batch, a power of two, that a machine should make; `took_s` is measured with
    batches of a size. A batch of n gives all their answers when it ends, and one after the other
    gives the middle one after (n + 1) / 2 looks: so it must be done by then."""
    alone, best = took_s(1), 1
    while best < BATCH_MAX and took_s(best * 2) < alone * (best * 2 + 1) / 2:
        best *= 2
    return best
