"""Which engines are well: a circuit breaker for each engine in each role. Pure.

    closed ──failures──► open ──interval over──► half open ──the probe is done──► closed
                          ▲                          │
                          └──── the probe fails: the interval grows, up to a cap ◄──┘

An engine that fails a few times running, or too large a part of what it is asked, is left alone
for a while; then one request at a time is let through to see. Whoever asks takes a `Ticket` and
tells what became of it, always. Only failures open a circuit: a request that the engine refused,
or that its caller left, says nothing about the engine's health.

A request of the time before the circuit last opened says nothing any more when it is done, for
what it tells is old. A request that was made although the circuit was open, because there was
nobody else, closes it when it is done; when it fails, the interval does not grow, or the callers
of one bad minute would between them shut an engine out for long.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

ERROR_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class HealthRules:
    """When a circuit opens, and for how long.

    It opens after `failures_max` failures running, or when of at least `asked_min` requests in
    the last `window_ms` a part of `failed_share` failed or more. It stays open for `rest_ms`,
    twice as long after each probe that fails, at most `rest_ms_max`; an engine that named a time
    itself is left alone for so long, at most `retry_after_ms_max`.
    """

    failures_max: int = 3
    asked_min: int = 10
    failed_share: float = 0.5
    window_ms: int = 60_000
    rest_ms: int = 5_000
    rest_ms_max: int = 120_000
    retry_after_ms_max: int = 600_000


class State(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(enum.Enum):
    """What became of a request. LEFT: its caller no longer wanted it. REFUSED: the request was
    at fault. LOST: another engine, asked later, was sooner; that is as bad as a failure where
    it is the rule, and nothing to speak of where it is not."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    LEFT = "left"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request to an engine, until it is told what became of it. `times_opened`: how often
    the circuit had opened when the request was made."""

    role: str
    engine: str
    times_opened: int
    is_probe: bool
    number: int


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """How an engine is, for people. `since_ms`: when it came to be so. `retry_ms`: when an open
    circuit lets the next request through."""

    role: str
    engine: str
    state: State
    since_ms: int
    last_error: str = ""
    last_error_ms: int | None = None
    retry_ms: int | None = None


@dataclass(slots=True)
class _Circuit:
    rules: HealthRules
    since_ms: int
    running: int = 0
    # (when, whether it failed)
    window: deque[tuple[int, bool]] = field(default_factory=deque)
    # None: closed.
    retry_ms: int | None = None
    rest_ms: int = 0
    times_opened: int = 0
    probe: int | None = None
    last_error: str = ""
    last_error_ms: int | None = None

    def state(self, now_ms: int) -> State:
        if self.retry_ms is None:
            return State.CLOSED
        return State.HALF_OPEN if now_ms >= self.retry_ms else State.OPEN

    def admits(self, now_ms: int) -> bool:
        state = self.state(now_ms)
        return state is State.CLOSED or (state is State.HALF_OPEN and self.probe is None)

    def note(self, failed: bool, now_ms: int) -> None:
        """Remember this outcome, and open the circuit if it was one too many."""
        self.window.append((now_ms, failed))
        while self.window and self.window[0][0] <= now_ms - self.rules.window_ms:
            self.window.popleft()
        # As many as can matter, however many calls there are.
        while len(self.window) > 100 * self.rules.asked_min:
            self.window.popleft()

    def is_unwell(self) -> bool:
        failed = sum(failed for _, failed in self.window)
        share = self.rules.failed_share * len(self.window)
        many = len(self.window) >= self.rules.asked_min and failed > 0 and failed >= share
        return self.running >= self.rules.failures_max or many

    def open(self, now_ms: int, rest_ms: int) -> None:
        self.rest_ms = min(rest_ms, self.rules.rest_ms_max)
        self.retry_ms = now_ms + self.rest_ms
        self.times_opened += 1
        self.probe = None
        self.since_ms = now_ms

    def close(self, now_ms: int) -> None:
        self.retry_ms, self.rest_ms, self.running, self.probe = None, 0, 0, None
        self.window.clear()
        self.since_ms = now_ms


class Health:
    """The health of all engines; one for the whole server. Every clock may be any that does not
    go back, in milliseconds, as long as it is one."""

    def __init__(self, rules: HealthRules | None = None) -> None:
        self._rules = rules or HealthRules()
        self._circuits: dict[tuple[str, str], _Circuit] = {}
        self._tickets: set[Ticket] = set()
        self._number = 0

    # Questions.

    def admits(self, role: str, engine: str, now_ms: int) -> bool:
        """Whether `ask` would let a request through now."""
        circuit = self._circuits.get((role, engine))
        return circuit is None or circuit.admits(now_ms)

    def view(self, now_ms: int) -> Iterator[EngineHealth]:
        """Every engine that was ever asked, in the order in which they were."""
        for role, engine in self._circuits:
            yield self.of(role, engine, now_ms)

    def of(self, role: str, engine: str, now_ms: int) -> EngineHealth:
        """One engine's health; one that was never asked is well."""
        circuit = self._circuits.get((role, engine))
        if circuit is None:
            return EngineHealth(role, engine, State.CLOSED, now_ms)
        return EngineHealth(
            role, engine, circuit.state(now_ms), circuit.since_ms,
            circuit.last_error, circuit.last_error_ms, circuit.retry_ms,
        )  # fmt: skip

    # Requests.

    def ask(
        self, role: str, engine: str, now_ms: int, *, although_open: bool = False
    ) -> Ticket | None:
        """A ticket for a request that is made now; None: leave the engine alone. Through a half
        open circuit goes one request at a time, and any where there is nobody else to ask."""
        circuit = self._circuits.get((role, engine))
        if circuit is None:
            circuit = self._circuits[role, engine] = _Circuit(self._rules, now_ms)
        admitted = circuit.admits(now_ms)
        if not admitted and not although_open:
            return None
        self._number += 1
        is_probe = admitted and circuit.retry_ms is not None
        if is_probe:
            circuit.probe = self._number
        ticket = Ticket(role, engine, circuit.times_opened, is_probe, self._number)
        self._tickets.add(ticket)
        return ticket

    def tell(
        self, ticket: Ticket, outcome: Outcome, now_ms: int, *,
        error: str = "", retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        """What became of a request. Telling it twice changes nothing."""
        if ticket not in self._tickets:
            return
        self._tickets.remove(ticket)
        circuit = self._circuits[ticket.role, ticket.engine]
        is_probe = circuit.probe == ticket.number
        if is_probe:
            circuit.probe = None
        if outcome is Outcome.FAILED:
            circuit.last_error, circuit.last_error_ms = error[:ERROR_CHARS_MAX], now_ms
        current = ticket.times_opened == circuit.times_opened
        match outcome:
            case Outcome.FAILED | Outcome.LOST:
                self._failed(circuit, outcome, is_probe and current, now_ms)
            case Outcome.DONE if circuit.retry_ms is None:
                circuit.running = 0
                circuit.note(failed=False, now_ms=now_ms)
            case Outcome.DONE if current:
                circuit.close(now_ms)
        if outcome is Outcome.FAILED and retry_after_s is not None:
            self._rest(circuit, retry_after_s, now_ms)

    def _failed(
        self, circuit: _Circuit, outcome: Outcome, was_probe: bool, now_ms: int
    ) -> None:
        if was_probe:
            circuit.open(now_ms, 2 * circuit.rest_ms)
        elif circuit.retry_ms is None:
            circuit.running += outcome is Outcome.FAILED
            circuit.note(failed=True, now_ms=now_ms)
            if circuit.is_unwell():
                circuit.open(now_ms, self._rules.rest_ms)

    def _rest(self, circuit: _Circuit, retry_after_s: float, now_ms: int) -> None:
        """The engine said itself when it may be asked again."""
        # A vendor's number is from outside: not a number, or a year, is not obeyed.
        wanted = retry_after_s * 1_000
        wanted_ms = int(max(0, min(wanted, self._rules.retry_after_ms_max))) if wanted > 0 else 0
        if not wanted_ms:
            return
        if circuit.retry_ms is None:
            circuit.open(now_ms, self._rules.rest_ms)
        circuit.retry_ms = max(circuit.retry_ms or 0, now_ms + wanted_ms)
