"""What each turn of a call was like, gathered from what the call did. Pure.

It sees the actions of the conversation and hears of every request to an engine, and makes of
them what is written down of a turn. A turn is told when its reply is over and nothing more has
been heard of it for a while, or with the rest when the call ends:

    actions, uses ──► open turns ──settled──► TurnFacts
                                 ──rest─────►

No word of anybody is kept. Requests are counted and priced for as long as the call lasts, also
those of turns that are told already; only the rows have a bound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from billing.engine_prices import NOTHING, Costs, EnginePrices
from billing.turn_facts import (
    ERROR_CHARS_MAX,
    FAILED,
    LATENCY,
    NAME_CHARS_MAX,
    ROLES,
    UNANSWERED,
    USES_MAX,
    PricedUse,
    TurnFacts,
    clean,
    sound_amounts,
)
from engines.speech import EngineUse

from . import events as ev

# Rows of one call; an hour of a turn a second would be more.
TURNS_MAX = 2_000
# The uses of one turn, as JSON.
USES_CHARS_MAX = 16_000
# An engine that was left may tell so a little later.
SETTLES_S = 15.0
# Words may wait for their answer until the reply that they spoke over has been heard.
UNANSWERED_S = 600.0


@dataclass(slots=True)
class _Turn:
    started_at: datetime
    touched_at: datetime
    # A reply is being made or heard.
    replying: bool = False
    latency: ev.Latency | None = None
    outcome: str = UNANSWERED
    reason: str = ""
    answered: dict[str, str] = field(default_factory=dict)
    # By role, who failed and was not stood in for yet.
    failed: dict[str, list[str]] = field(default_factory=dict)
    failovers: int = 0
    requests: int = 0
    costs: Costs = NOTHING
    uses: list[dict[str, object]] = field(default_factory=list)
    uses_chars: int = 0

    def settled(self, now: datetime) -> bool:
        settles_s = UNANSWERED_S if self.outcome == UNANSWERED else SETTLES_S
        return not self.replying and now - self.touched_at >= timedelta(seconds=settles_s)

    @property
    def worth_telling(self) -> bool:
        return bool(self.requests or self.outcome != UNANSWERED)

    def add(self, use: PricedUse) -> None:
        self.requests += 1
        self.costs = self.costs.plus(use.cost)
        if use.outcome == FAILED:
            self.failed.setdefault(use.role, []).append(use.engine)
        elif use.answered and use.role in ROLES:
            self.answered[use.role] = use.name
            failed = self.failed.pop(use.role, [])
            self.failovers += sum(engine != use.engine for engine in failed)
        told = use.as_json()
        chars = len(json.dumps(told))
        if len(self.uses) < USES_MAX and self.uses_chars + chars <= USES_CHARS_MAX:
            self.uses.append(told)
            self.uses_chars += chars

    def facts(self, usage_id: str, number: int) -> TurnFacts:
        latency = self.latency
        parts = {} if latency is None else {name: getattr(latency, name) for name in LATENCY}
        answered = self.answered
        return TurnFacts(
            usage_id=usage_id, turn=number, started_at=self.started_at, outcome=self.outcome,
            reason=self.reason, speech_to_text=answered.get("speech_to_text"),
            dialogue=answered.get("dialogue"), text_to_speech=answered.get("text_to_speech"),
            speech_to_speech=answered.get("speech_to_speech"), failovers=self.failovers,
            requests=self.requests, cost_micros=dict(self.costs.micros),
            unpriced=self.costs.unknown, uses=tuple(self.uses), **parts,
        )  # fmt: skip


class TurnLog:
    """The turns of one use. Moments are UTC."""

    def __init__(self, usage_id: str, prices: EnginePrices) -> None:
        self._usage_id, self._prices = usage_id, prices
        self._open: dict[int, _Turn] = {}
        self._told: set[int] = set()
        # What all requests of the call cost.
        self.costs = NOTHING

    # What happens.

    def act(self, action: ev.Action, now: datetime) -> None:
        """The conversation did this."""
        match action:
            case ev.SpeechStarted(turn) | ev.FinalText(turn) | ev.SpeechDiscarded(turn):
                self._touch(turn, now)
            case ev.ReplyStarted(turn):
                if found := self._touch(turn, now):
                    found.replying = True
            case ev.Latency(turn):
                if found := self._touch(turn, now):
                    found.latency = action
            case ev.ReplyFinished(turn, status, reason):
                if found := self._touch(turn, now):
                    found.replying, found.outcome = False, status
                    found.reason = clean(reason, ERROR_CHARS_MAX)
            case ev.Failed(turn, reason):
                if found := self._touch(turn, now):
                    found.outcome = FAILED
                    found.reason = clean(reason, ERROR_CHARS_MAX)

    def used(self, turn: int, use: EngineUse, now: datetime) -> None:
        """An engine was asked something for this turn, and that is over."""
        priced = self._priced(use, now)
        self.costs = self.costs.plus(priced.cost)
        asked_at = now - timedelta(milliseconds=max(0, use.took_ms))
        if found := self._touch(turn, now, began=asked_at):
            found.add(priced)

    # What is told.

    def settled(self, now: datetime) -> list[TurnFacts]:
        """Turns that are over, each once, in the order in which they began."""
        return self._tell([number for number, turn in self._open.items() if turn.settled(now)])

    def rest(self) -> list[TurnFacts]:
        """All other turns, for the call is over."""
        return self._tell(list(self._open))

    def _tell(self, numbers: list[int]) -> list[TurnFacts]:
        self._told.update(numbers)
        turns = {number: self._open.pop(number) for number in numbers}
        return [
            turn.facts(self._usage_id, number)
            for number, turn in turns.items()
            if turn.worth_telling
        ]

    def _touch(self, number: int, now: datetime, *, began: datetime | None = None) -> _Turn | None:
        """The turn, begun now if it is new; None: there is no row for it any more."""
        turn = self._open.get(number)
        if turn is None:
            if number in self._told or len(self._told) + len(self._open) >= TURNS_MAX:
                return None
            turn = self._open[number] = _Turn(began or now, now)
        turn.touched_at = now
        return turn

    def _priced(self, use: EngineUse, now: datetime) -> PricedUse:
        """The use within bounds, and what it cost at the prices of today. Whether a vendor
        charges for what failed, nobody here can tell."""
        use = replace(use, amounts=sound_amounts(use.amounts))
        cost = self._prices.cost(use, now.date())
        if use.outcome == FAILED and cost is not None and cost.micros:
            cost = None
        return PricedUse(
            role=clean(use.role, NAME_CHARS_MAX), engine=clean(use.engine, NAME_CHARS_MAX),
            version=clean(use.version, NAME_CHARS_MAX), outcome=clean(use.outcome, NAME_CHARS_MAX),
            took_ms=use.took_ms, first_ms=use.first_ms, error=clean(use.error, ERROR_CHARS_MAX),
            amounts=use.amounts, cost=cost,
        )  # fmt: skip
