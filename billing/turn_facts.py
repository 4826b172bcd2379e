"""What is known of one turn of a call when it is over. Pure; no words of anybody are in it.

Everything has a bound: names and errors are cut, strange characters are left out, and of very
many requests only the first are kept one by one. What they cost is counted for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .engine_prices import Cost

USES_MAX = 64
NAME_CHARS_MAX, ERROR_CHARS_MAX = 80, 200
# An engine and the model that was asked, with a colon between them.
ENGINE_CHARS_MAX = 2 * NAME_CHARS_MAX + 1
# Above this a counter was not read but imagined; JavaScript would not read it either.
AMOUNT_MAX = 2**53 - 1
AMOUNTS_MAX = 16

ROLES = ("speech_to_text", "dialogue", "text_to_speech", "speech_to_speech")
LATENCY_PARTS = (
    "endpointing_ms", "transcript_ms", "first_token_ms", "first_sentence_ms", "first_audio_ms",
    "first_packet_ms",
)  # fmt: skip
LATENCY = (*LATENCY_PARTS, "gap_ms", "answer_ms")
# How a reply ended; of a turn that nobody replied to, that.
COMPLETED, CANCELLED, FAILED, UNANSWERED = "completed", "cancelled", "failed", "unanswered"


@dataclass(frozen=True, slots=True)
class PricedUse:
    """One request to one engine, and its cost; None: unknown. The other fields are those that
    the engine's own report of it has."""

    role: str
    engine: str
    version: str
    outcome: str
    took_ms: int
    first_ms: int | None
    error: str
    amounts: tuple[tuple[str, int], ...]
    cost: Cost | None

    @property
    def answered(self) -> bool:
        """Whether somebody had something of it: it was done, or was left in the middle."""
        return self.outcome == "done" or (self.outcome == "left" and self.first_ms is not None)

    @property
    def name(self) -> str:
        """The engine, and the model that was asked where it has one."""
        return f"{self.engine}:{self.version}" if self.version else self.engine

    def as_json(self) -> dict[str, object]:
        cost = self.cost
        return {
            "role": self.role,
            "engine": self.engine,
            "version": self.version,
            "outcome": self.outcome,
            "took_ms": self.took_ms,
            "first_ms": self.first_ms,
            "error": self.error,
            "amounts": dict(self.amounts),
            "cost": None if cost is None else {"currency": cost.currency, "micros": cost.micros},
        }


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """A turn of a call, as it is written down.

    The six parts of the latency sum to `gap_ms`, the silence between the user's last sound and
    the next; None where nothing was heard. `answer_ms`: how long the answer itself was waited
    for, where a filler was said before it.

    `outcome`: completed, cancelled, failed or unanswered; `reason`: why it was not completed.
    By role, the engine that answered (the last one to do so); None: none did. `failovers`:
    requests that failed and were done by another engine then. `requests`: how many there were.
    `cost_micros`: what is known of their cost, by currency; `unpriced`: of how many requests it
    is not known. `uses`: the first of them, each as `PricedUse.as_json` gives it.
    """

    usage_id: str
    turn: int
    started_at: datetime
    outcome: str
    reason: str = ""
    endpointing_ms: int | None = None
    transcript_ms: int | None = None
    first_token_ms: int | None = None
    first_sentence_ms: int | None = None
    first_audio_ms: int | None = None
    first_packet_ms: int | None = None
    gap_ms: int | None = None
    answer_ms: int | None = None
    speech_to_text: str | None = None
    dialogue: str | None = None
    text_to_speech: str | None = None
    speech_to_speech: str | None = None
    failovers: int = 0
    requests: int = 0
    cost_micros: Mapping[str, int] = field(default_factory=dict)
    unpriced: int = 0
    uses: Sequence[Mapping[str, object]] = ()

    def as_json(self, *, costs: bool) -> dict[str, object]:
        """For whoever may see the call. `costs`: this is who runs the server, and may see what
        the call costs, and what that follows from."""
        hidden = set() if costs else {"amounts", "cost"}
        parts = {name: getattr(self, name) for name in LATENCY}
        told: dict[str, object] = {
            "turn": self.turn,
            "started_at": self.started_at.isoformat(),
            "outcome": self.outcome,
            "reason": self.reason,
            "latency": None if self.gap_ms is None else parts,
            "engines": {role: name for role in ROLES if (name := getattr(self, role))},
            "failovers": self.failovers,
            "requests": self.requests,
            "uses": [{k: v for k, v in use.items() if k not in hidden} for use in self.uses],
        }
        if costs:
            told["cost"] = {"micros": dict(self.cost_micros), "unknown": self.unpriced}
        return told


def clean(text: str, chars_max: int) -> str:
    """What any database and any page can show: printable, on one line, not too long."""
    shown = "".join(char if char.isprintable() else " " for char in text[:chars_max])
    return shown.strip()


def sound_amounts(amounts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Those that can have been counted."""
    counted = [
        (clean(kind, NAME_CHARS_MAX), amount)
        for kind, amount in amounts
        if isinstance(amount, int) and 0 <= amount <= AMOUNT_MAX
    ]
    return tuple(counted[:AMOUNTS_MAX])
