"""Prices are whole, monotonous, and granted minutes go first."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import (
    MINUTE,
    InsufficientFunds,
    PerMinute,
    billed_minutes,
    duration_seconds,
)

AMOUNTS = st.integers(0, 10**12)
TARIFFS = st.builds(PerMinute, st.sampled_from(["RUB", "USD"]), st.integers(0, 10**6))


@pytest.mark.parametrize(
    ("duration_ms", "minutes"),
    [(0, 1), (1, 1), (59_999, 1), (60_000, 1), (60_001, 2), (120_000, 2), (1_800_000, 30)],
)
def test_minutes_are_rounded_up_and_never_none(duration_ms: int, minutes: int) -> None:
    assert billed_minutes(duration_ms) == minutes


@given(st.integers(0, 10**9))
def test_the_seconds_on_a_bill_explain_its_minutes(duration_ms: int) -> None:
    seconds = duration_seconds(duration_ms)
    assert billed_minutes(duration_ms) == max(1, math.ceil(seconds / 60))
    assert 0 <= seconds * 1_000 - duration_ms < 1_000


def test_granted_minutes_are_spent_before_money() -> None:
    tariff = PerMinute("RUB", 500)
    assert tariff.spend({MINUTE: 10, "RUB": 5_000}, 13) == {MINUTE: 10, "RUB": 1_500}
    assert tariff.spend({MINUTE: 10, "RUB": 5_000}, 4) == {MINUTE: 4}
    assert tariff.spend({"RUB": 5_000}, 4) == {"RUB": 2_000}


def test_a_free_minute_takes_nothing_from_anybody() -> None:
    tariff = PerMinute("RUB", 0)
    assert tariff.affordable({}, 60) == 60
    assert tariff.spend({MINUTE: 10}, 60) == {}


@given(TARIFFS, AMOUNTS, AMOUNTS, st.integers(0, 10**4))
def test_what_is_affordable_can_be_spent_and_not_a_minute_more(
    tariff: PerMinute, granted: int, money: int, minutes_max: int
) -> None:
    funds = {MINUTE: granted, tariff.currency: money}
    minutes = tariff.affordable(funds, minutes_max)
    spent = tariff.spend(funds, minutes)
    assert all(0 < amount <= funds[unit] for unit, amount in spent.items())
    if tariff.rate:
        assert spent.get(MINUTE, 0) + spent.get(tariff.currency, 0) // tariff.rate == minutes
    if minutes < minutes_max:
        with pytest.raises(InsufficientFunds):
            tariff.spend(funds, minutes + 1)


@given(TARIFFS)
def test_a_snapshot_survives_json(tariff: PerMinute) -> None:
    assert PerMinute.from_snapshot(json.loads(json.dumps(tariff.snapshot()))) == tariff


@pytest.mark.parametrize(
    "snapshot", [{}, {"type": "per_second"}, {"type": "per_minute", "rate": 1}]
)
def test_what_is_no_snapshot_is_refused(snapshot: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        PerMinute.from_snapshot(snapshot)


@pytest.mark.parametrize(
    ("currency", "rate"), [("rub", 1), ("RUBLE", 1), ("RUB", -1), ("RUB", True)]
)
def test_a_tariff_that_cannot_be_is_refused(currency: str, rate: int) -> None:
    with pytest.raises(ValueError, match="is not"):
        PerMinute(currency, rate)
