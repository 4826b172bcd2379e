"""Money moves; it is never made or lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.postings import (
    LedgerEntry,
    Posting,
    adjust,
    grant,
    hold,
    owner_of,
    refund,
    release,
    settle,
)

FUNDS = st.dictionaries(st.sampled_from(["minute", "RUB", "USD"]), st.integers(0, 10**15))


def totals(*entries: LedgerEntry) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for posting in (posting for entry in entries for posting in entry.postings):
        sums[posting.account, posting.unit] += posting.amount
    return sums


def test_an_entry_that_makes_money_cannot_be_built() -> None:
    with pytest.raises(AssertionError, match="makes or loses"):
        LedgerEntry("k", "grant", (Posting("wallet:1", "RUB", 1),))


def test_units_do_not_balance_each_other() -> None:
    with pytest.raises(AssertionError, match="makes or loses"):
        LedgerEntry("k", "x", (Posting("a", "RUB", 1), Posting("b", "USD", -1)))


def test_an_empty_posting_and_an_absurd_amount_cannot_be_built() -> None:
    with pytest.raises(AssertionError, match="empty"):
        LedgerEntry("k", "x", (Posting("a", "RUB", 0),))
    with pytest.raises(AssertionError, match="absurd"):
        grant(1, {"RUB": 2**63}, source="x", key="k")


@given(FUNDS, st.data())
def test_a_use_leaves_nothing_held_and_gives_the_rest_back(
    funds: dict[str, int], data: st.DataObject
) -> None:
    spent = {unit: data.draw(st.integers(0, amount)) for unit, amount in funds.items()}
    book = totals(
        grant(1, funds, source="demo", key="g"),
        hold(1, "u", funds, key="h"),
        settle(1, "u", funds, spent, key="s"),
    )
    for unit, amount in funds.items():
        assert book["held:1:u", unit] == 0
        assert book["revenue", unit] == spent[unit]
        assert book["wallet:1", unit] == amount - spent[unit]


@given(FUNDS)
def test_a_release_undoes_a_hold_and_a_refund_a_settlement(funds: dict[str, int]) -> None:
    back = totals(hold(1, "u", funds, key="h"), release(1, "u", funds, key="r"))
    assert not any(back.values())
    paid_back = totals(
        hold(1, "u", funds, key="h"),
        settle(1, "u", funds, funds, key="s"),
        refund(1, "u", funds, key="f"),
    )
    assert not any(paid_back.values())


def test_more_than_was_held_cannot_be_spent() -> None:
    with pytest.raises(AssertionError):
        settle(1, "u", {"RUB": 5}, {"RUB": 6}, key="s")
    with pytest.raises(AssertionError):
        settle(1, "u", {}, {"RUB": 1}, key="s")


def test_an_adjustment_gives_and_takes() -> None:
    book = totals(adjust(7, {"minute": 3, "RUB": -40}, key="k", about="call:x:settle"))
    assert book["wallet:7", "minute"] == 3
    assert book["wallet:7", "RUB"] == -40


def test_wallets_and_held_funds_are_somebodys() -> None:
    assert owner_of("wallet:42") == 42
    assert owner_of("held:42:call_9f:x") == 42
    assert owner_of("revenue") is None
    assert owner_of("world:demo") is None
