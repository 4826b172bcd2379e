"""The circuit breaker: what opens a circuit, what closes it, and who is let through meanwhile."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engines.failover.health import Health, HealthRules, Outcome, State, Ticket

ROLE, ENGINE = "text_to_speech", "elsewhere"
RULES = HealthRules()


class Clinic:
    """One engine, asked and told about at a clock that moves on."""

    def __init__(self, rules: HealthRules = RULES) -> None:
        self.health, self.now_ms = Health(rules), 1_000

    def ask(self, *, although_open: bool = False) -> Ticket | None:
        return self.health.ask(ROLE, ENGINE, self.now_ms, although_open=although_open)

    def tell(self, ticket: Ticket | None, outcome: Outcome, **more: float | str) -> None:
        assert ticket is not None
        self.health.tell(ticket, outcome, self.now_ms, **more)  # type: ignore[arg-type]

    def once(self, outcome: Outcome, **more: float | str) -> None:
        self.tell(self.ask(), outcome, **more)

    def state(self) -> State:
        return self.health.of(ROLE, ENGINE, self.now_ms).state

    def opened(self) -> Clinic:
        for _ in range(RULES.failures_max):
            self.once(Outcome.FAILED, error="it is broken")
        assert self.state() is State.OPEN
        return self


def test_a_few_failures_running_open_the_circuit() -> None:
    clinic = Clinic()
    for _ in range(RULES.failures_max - 1):
        clinic.once(Outcome.FAILED)
    assert clinic.state() is State.CLOSED
    clinic.once(Outcome.FAILED)
    assert clinic.state() is State.OPEN
    assert clinic.ask() is None


def test_a_success_between_begins_the_count_anew() -> None:
    clinic = Clinic()
    for _ in range(3):
        clinic.once(Outcome.FAILED)
        clinic.once(Outcome.DONE)
        clinic.now_ms += RULES.window_ms
    assert clinic.state() is State.CLOSED


def test_half_of_many_failing_opens_the_circuit() -> None:
    clinic = Clinic()
    for _ in range(RULES.asked_min // 2):
        clinic.once(Outcome.DONE)
        clinic.once(Outcome.FAILED)
    assert clinic.state() is State.OPEN


def test_old_failures_are_forgotten() -> None:
    clinic = Clinic()
    for _ in range(RULES.asked_min):
        clinic.once(Outcome.FAILED)
        clinic.once(Outcome.DONE)
        clinic.now_ms += RULES.window_ms // 4
    assert clinic.state() is State.CLOSED


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.LEFT])
def test_what_is_no_fault_of_the_engine_never_opens_it(outcome: Outcome) -> None:
    clinic = Clinic()
    for _ in range(100):
        clinic.once(outcome, retry_after_s=60)
    assert clinic.state() is State.CLOSED
    assert clinic.health.of(ROLE, ENGINE, 0).last_error == ""


def test_losing_every_race_opens_the_circuit_and_losing_some_does_not() -> None:
    some, every = Clinic(), Clinic()
    for _ in range(RULES.asked_min):
        some.once(Outcome.DONE)
        some.once(Outcome.DONE)
        some.once(Outcome.LOST)
        every.once(Outcome.LOST)
    assert (some.state(), every.state()) == (State.CLOSED, State.OPEN)


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    clinic = Clinic().opened()
    clinic.now_ms += RULES.rest_ms
    assert clinic.state() is State.HALF_OPEN
    probe = clinic.ask()
    assert probe is not None
    assert probe.is_probe
    assert clinic.ask() is None
    clinic.tell(probe, Outcome.DONE)
    assert clinic.state() is State.CLOSED
    assert clinic.ask() is not None
    assert clinic.ask() is not None


def test_a_failing_probe_doubles_the_interval_up_to_a_cap() -> None:
    clinic, intervals = Clinic().opened(), []
    for _ in range(8):
        view = clinic.health.of(ROLE, ENGINE, clinic.now_ms)
        assert view.retry_ms is not None
        intervals.append(view.retry_ms - clinic.now_ms)
        clinic.now_ms = view.retry_ms
        clinic.once(Outcome.FAILED)
    assert intervals == [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000, 120_000]


@pytest.mark.parametrize("outcome", [Outcome.LEFT, Outcome.REFUSED])
def test_a_probe_that_says_nothing_makes_way_for_the_next(outcome: Outcome) -> None:
    clinic = Clinic().opened()
    clinic.now_ms += RULES.rest_ms
    clinic.once(outcome)
    assert clinic.state() is State.HALF_OPEN
    assert clinic.ask() is not None


def test_after_closing_the_interval_begins_small_again() -> None:
    clinic = Clinic().opened()
    clinic.now_ms += RULES.rest_ms
    clinic.once(Outcome.FAILED)
    clinic.now_ms += 2 * RULES.rest_ms
    clinic.once(Outcome.DONE)
    clinic.opened()
    assert clinic.health.of(ROLE, ENGINE, clinic.now_ms).retry_ms == clinic.now_ms + RULES.rest_ms


def test_what_was_asked_before_it_opened_tells_nothing_after() -> None:
    clinic = Clinic()
    old = clinic.ask()
    clinic.opened()
    clinic.tell(old, Outcome.DONE)
    assert clinic.state() is State.OPEN


def test_who_is_asked_although_it_is_open_may_close_it_and_does_not_lengthen_it() -> None:
    clinic = Clinic().opened()
    retry_ms = clinic.health.of(ROLE, ENGINE, clinic.now_ms).retry_ms
    clinic.tell(clinic.ask(although_open=True), Outcome.FAILED)
    assert clinic.health.of(ROLE, ENGINE, clinic.now_ms).retry_ms == retry_ms
    clinic.tell(clinic.ask(although_open=True), Outcome.DONE)
    assert clinic.state() is State.CLOSED


def test_an_engine_that_names_a_time_is_left_alone_until_then() -> None:
    clinic = Clinic()
    clinic.once(Outcome.FAILED, retry_after_s=30)
    assert clinic.state() is State.OPEN
    clinic.now_ms += 29_999
    assert clinic.ask() is None
    clinic.now_ms += 1
    assert clinic.ask() is not None


def test_the_time_that_it_names_is_that_of_a_circuit_that_opened() -> None:
    clinic = Clinic()
    clinic.once(Outcome.FAILED, retry_after_s=30)
    clinic.now_ms += 30_000
    clinic.once(Outcome.FAILED)
    clinic.now_ms += 2 * RULES.rest_ms - 1
    assert clinic.ask() is None, "a probe that fails doubles the interval here too"
    clinic.now_ms += 1
    assert clinic.ask() is not None


def test_a_short_time_does_not_shorten_the_interval() -> None:
    clinic = Clinic()
    first, second = clinic.ask(), clinic.ask()
    clinic.tell(first, Outcome.FAILED, retry_after_s=30)
    clinic.tell(second, Outcome.FAILED, retry_after_s=1)
    clinic.now_ms += 29_999
    assert clinic.ask() is None


def test_only_so_many_requests_are_remembered() -> None:
    clinic = Clinic()
    for _ in range(2_000):
        clinic.once(Outcome.DONE)
    (circuit,) = clinic.health._circuits.values()
    assert len(circuit.window) == 100 * RULES.asked_min


@pytest.mark.parametrize("wanted_s", [math.inf, 1e300, 999_999.0])
def test_no_engine_takes_itself_out_for_ever(wanted_s: float) -> None:
    clinic = Clinic()
    clinic.once(Outcome.FAILED, retry_after_s=wanted_s)
    clinic.now_ms += RULES.retry_after_ms_max
    assert clinic.state() is State.HALF_OPEN


@pytest.mark.parametrize("wanted_s", [math.nan, -5.0, 0.0, -math.inf])
def test_a_time_that_is_none_is_not_obeyed(wanted_s: float) -> None:
    clinic = Clinic()
    clinic.once(Outcome.FAILED, retry_after_s=wanted_s)
    assert clinic.state() is State.CLOSED


def test_roles_and_engines_do_not_share_their_health() -> None:
    clinic = Clinic().opened()
    assert clinic.health.ask("dialogue", ENGINE, clinic.now_ms) is not None
    assert clinic.health.ask(ROLE, "other", clinic.now_ms) is not None
    states = {(each.role, each.engine): each.state for each in clinic.health.view(clinic.now_ms)}
    assert states == {
        (ROLE, ENGINE): State.OPEN, ("dialogue", ENGINE): State.CLOSED,
        (ROLE, "other"): State.CLOSED,
    }  # fmt: skip


def test_the_view_says_since_when_and_why() -> None:
    clinic = Clinic()
    clinic.now_ms = 5_000
    clinic.opened()
    clinic.now_ms += 700
    seen = clinic.health.of(ROLE, ENGINE, clinic.now_ms)
    assert (seen.state, seen.since_ms) == (State.OPEN, 5_000)
    assert (seen.last_error, seen.last_error_ms) == ("it is broken", 5_000)
    assert seen.retry_ms == 10_000


def test_an_error_without_end_is_not_kept_whole() -> None:
    clinic = Clinic()
    clinic.once(Outcome.FAILED, error="x" * 10_000)
    assert len(clinic.health.of(ROLE, ENGINE, 0).last_error) == 300


class AnyDay(RuleBasedStateMachine):
    """Requests and what becomes of them, in any order, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.clinic = Clinic()
        self.asked: list[Ticket] = []
        self.bad = 0

    @rule(ms=st.integers(0, 200_000))
    def time_passes(self, ms: int) -> None:
        self.clinic.now_ms += ms

    @rule(although_open=st.booleans())
    def ask(self, although_open: bool) -> None:
        before = self.clinic.state()
        ticket = self.clinic.ask(although_open=although_open)
        if before is State.CLOSED or although_open:
            assert ticket is not None
        if before is State.OPEN and not although_open:
            assert ticket is None
        if ticket is not None:
            self.asked.append(ticket)
            assert ticket.is_probe <= (before is State.HALF_OPEN)

    @precondition(lambda self: self.asked)
    @rule(
        pick=st.integers(0, 10_000), outcome=st.sampled_from(Outcome),
        retry=st.none() | st.floats(allow_nan=True),
    )  # fmt: skip
    def tell(self, pick: int, outcome: Outcome, retry: float | None) -> None:
        ticket = self.asked.pop(pick % len(self.asked))
        before = self.clinic.state()
        self.clinic.health.tell(ticket, outcome, self.clinic.now_ms, retry_after_s=retry)
        after = self.clinic.state()
        if before is State.CLOSED and after is not State.CLOSED:
            assert outcome in (Outcome.FAILED, Outcome.LOST)
        if before is not State.CLOSED and after is State.CLOSED:
            assert outcome is Outcome.DONE
        self.clinic.health.tell(ticket, Outcome.FAILED, self.clinic.now_ms)
        assert self.clinic.state() is after, "told twice"

    @invariant()
    def at_most_one_probe_is_out(self) -> None:
        assert sum(ticket.is_probe for ticket in self.asked) <= 1 or self._an_old_one()

    def _an_old_one(self) -> bool:
        """A probe may still be out when a request made although it was open closed the circuit;
        it is a probe of the time before."""
        probes = [ticket for ticket in self.asked if ticket.is_probe]
        return len({ticket.times_opened for ticket in probes}) == len(probes)

    @invariant()
    def it_is_asked_again_in_the_end(self) -> None:
        view = self.clinic.health.of(ROLE, ENGINE, self.clinic.now_ms)
        if view.retry_ms is not None:
            assert view.retry_ms - self.clinic.now_ms <= RULES.retry_after_ms_max


TestAnyDay = AnyDay.TestCase
