"""What engines cost: exact, never less for more, never negative, and unknown rather than 0."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine_prices import (
    ANY,
    CACHED_OF,
    NOTHING,
    OPENAI,
    PUBLIC,
    RATED_BY,
    TOKENS,
    Cost,
    Costs,
    EnginePrices,
    Price,
)

TODAY = date(2026, 11, 21)
PRICES = EnginePrices(PUBLIC)
RATES = st.decimals(0, 1_000, places=6).filter(lambda rate: rate.is_finite())
AMOUNTS = st.integers(0, 10**9)


@dataclass(frozen=True)
class Use:
    role: str
    engine: str
    version: str
    amounts: tuple[tuple[str, int], ...] = ()


def cost(role: str, engine: str, version: str, **amounts: int) -> Cost | None:
    return PRICES.cost(Use(role, engine, version, tuple(amounts.items())), TODAY)


def price(
    rates: dict[str, Decimal], *, version: str = ANY, since: date = date(2026, 1, 1)
) -> Price:
    return Price("dialogue", "vendor", version, "USD", since, rates)


@st.composite
def priced(draw: st.DrawFn) -> tuple[Price, dict[str, int]]:
    """A price, and an amount of everything that it has a rate for."""
    kinds = draw(st.sets(st.sampled_from(sorted(set(RATED_BY) - set(CACHED_OF))), min_size=1))
    kinds |= draw(st.sets(st.sampled_from(sorted(CACHED_OF)))) if kinds & TOKENS else set()
    rates = {kind: draw(RATES) for kind in sorted(kinds)}
    return price(rates), {kind: draw(AMOUNTS) for kind in sorted(kinds - set(CACHED_OF))}


# The public lists, in figures that anybody can check.


@pytest.mark.parametrize(
    ("version", "micros"),
    [
        ("whisper-1", 6_000), ("gpt-4o-transcribe", 6_000), ("gpt-4o-mini-transcribe", 3_000),
        ("gpt-transcribe", 4_500), ("gpt-live-transcribe", 17_000),
    ],
)  # fmt: skip
def test_a_minute_is_heard(version: str, micros: int) -> None:
    assert cost("speech_to_text", "openai", version, audio_ms=60_000) == Cost("USD", micros)
    assert cost("speech_to_text", "openai", version, audio_ms=30_000) == Cost("USD", micros // 2)


@pytest.mark.parametrize(("version", "micros"), [("tts-1", 15_000), ("tts-1-hd", 30_000)])
def test_a_thousand_characters_are_spoken(version: str, micros: int) -> None:
    said = {"characters": 1_000, "audio_ms": 60_000}
    assert cost("text_to_speech", "openai", version, **said) == Cost("USD", micros)


def test_a_reply_is_thought_of() -> None:
    asked = {"tokens_in": 1_000, "tokens_cached": 600, "tokens_out": 100}
    # 400 × 0.40 + 600 × 0.10 + 100 × 1.60, and so on.
    assert cost("dialogue", "openai", "gpt-4.1-mini", **asked) == Cost("USD", 380)
    assert cost("dialogue", "openai", "gpt-4.1", **asked) == Cost("USD", 1_900)
    assert cost("dialogue", "openai", "gpt-4o-mini", **asked) == Cost("USD", 165)
    assert cost("dialogue", "openai", "gpt-6-luna", **asked) == Cost("USD", 96)


def test_a_reply_is_thought_and_spoken_at_once() -> None:
    told = {
        "tokens_in": 1_000, "tokens_cached": 500, "tokens_out": 100, "audio_tokens_in": 2_000,
        "audio_tokens_cached": 1_000, "audio_tokens_out": 400,
    }  # fmt: skip
    # Text: 500 × 4 + 500 × 0.40 + 100 × 16. Sound: 1,000 × 32 + 1,000 × 0.40 + 400 × 64.
    assert cost("speech_to_speech", "openai", "gpt-realtime", **told) == Cost("USD", 61_800)
    assert cost("speech_to_speech", "openai", "gpt-realtime-2.1", **told) == Cost("USD", 62_600)


def test_a_text_is_read_by_a_model_that_talks() -> None:
    told = {"tokens_in": 200, "tokens_out": 60, "audio_tokens_in": 0, "audio_tokens_out": 300}
    # 200 × 0.60 + 60 × 2.40 + 300 × 20; and nobody knows of one that told no tokens.
    role, engine, version = "text_to_speech", "openai", "gpt-realtime-2.1-mini"
    assert cost(role, engine, version, **told) == Cost("USD", 6_264)
    assert cost(role, engine, version, characters=100, audio_ms=5_000) is None


@pytest.mark.parametrize(
    ("role", "engine"),
    [("speech_to_text", "sphinx"), ("dialogue", "tutor"), ("text_to_speech", "espeak")],
)
def test_what_runs_here_costs_nothing_however_much(role: str, engine: str) -> None:
    assert cost(role, engine, "") == Cost("USD", 0)
    assert cost(role, engine, "base", audio_ms=10**9, tokens_out=5) == Cost("USD", 0)


@pytest.mark.parametrize("of", OPENAI, ids=lambda price: price.version)
def test_every_vendors_price_is_for_something(of: Price) -> None:
    assert of.since <= TODAY and of.currency == "USD"
    assert all(rate > 0 for rate in of.rates.values())
    assert of.cost([]) is None
    assert PRICES.price(Use(of.role, of.engine, of.version), TODAY) == of


# Unknown, and never 0.


@pytest.mark.parametrize(
    "use",
    [
        Use("dialogue", "openai", "llama3.2", (("tokens_in", 1), ("tokens_out", 1))),
        Use("dialogue", "elsewhere", "gpt-4.1-mini", (("tokens_in", 1), ("tokens_out", 1))),
        Use("text_to_speech", "yandex", "general", (("characters", 9),)),
        Use("text_to_speech", "openai", "whisper-1", (("audio_ms", 9),)),
        Use("speech_to_text", "openai", "whisper-1"),
        Use("dialogue", "openai", "gpt-4.1-mini", (("tokens_in", 9),)),
        Use("dialogue", "openai", "gpt-4.1-mini", (("tokens_cached", 9), ("tokens_out", 9))),
        Use("dialogue", "openai", "gpt-4.1-mini", (("tokens_in", -1), ("tokens_out", 9))),
        Use(
            "dialogue", "openai", "gpt-4.1-mini",
            (("tokens_in", 9), ("tokens_out", 9), ("audio_tokens_out", 9)),
        ),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_unknown(use: Use) -> None:
    assert PRICES.cost(use, TODAY) is None


def test_nothing_of_a_kind_without_a_rate_is_no_riddle() -> None:
    told = {"tokens_in": 10, "tokens_out": 10, "audio_tokens_in": 0, "audio_tokens_out": 0}
    assert cost("dialogue", "openai", "gpt-4.1", **told) == Cost("USD", 100)


def test_tokens_that_were_cached_cost_like_the_others_where_no_list_says_less() -> None:
    alike = price({"tokens_in": Decimal(2), "tokens_out": Decimal(8)})
    assert alike.cost([("tokens_in", 100), ("tokens_cached", 60), ("tokens_out", 0)]) == Cost(
        "USD", 200
    )


def test_more_cached_tokens_than_there_were_are_not_believed() -> None:
    told = {"tokens_in": 100, "tokens_cached": 10**9, "tokens_out": 0}
    assert cost("dialogue", "openai", "gpt-4.1", **told) == Cost("USD", 50)


# Which price it is.


def test_one_s_own_list_goes_before_the_public_one_and_the_name_before_any() -> None:
    def at(rate: str, version: str, since: date = date(2026, 1, 1)) -> Price:
        rates = {"tokens_out": Decimal(rate)}
        return Price("dialogue", "openai", version, "EUR", since, rates)

    prices = EnginePrices([at("3", ANY), at("2", "mine"), at("1", "mine", TODAY)], PUBLIC)

    def paid(version: str, on: date = TODAY) -> Cost | None:
        return prices.cost(Use("dialogue", "openai", version, (("tokens_out", 10),)), on)

    assert paid("gpt-4.1-mini") == Cost("EUR", 30)
    assert paid("mine") == Cost("EUR", 10)
    assert paid("mine", date(2026, 11, 20)) == Cost("EUR", 20)
    public = (("tokens_in", 0), ("tokens_out", 10))
    before = Use("dialogue", "openai", "gpt-4.1-mini", public)
    assert prices.cost(before, date(2025, 12, 31)) == Cost("USD", 16)
    assert prices.cost(before, date(2025, 1, 1)) is None


# Properties.


@given(priced())
def test_the_cost_is_exact_and_rounded_up_once(found: tuple[Price, dict[str, int]]) -> None:
    of, amounts = found
    exact = sum(
        Fraction(of.rates[kind]) * amount * 1_000_000 / RATED_BY[kind]
        for kind, amount in amounts.items()
    )
    paid = of.cost(amounts.items())
    assert paid is not None
    assert exact <= paid.micros < exact + 1


@given(priced(), st.data())
def test_more_never_costs_less(found: tuple[Price, dict[str, int]], data: st.DataObject) -> None:
    of, amounts = found
    more = {kind: amount + data.draw(AMOUNTS) for kind, amount in amounts.items()}
    less_paid, more_paid = of.cost(amounts.items()), of.cost(more.items())
    assert less_paid is not None and more_paid is not None
    assert 0 <= less_paid.micros <= more_paid.micros


@given(priced(), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_a_whole_costs_what_its_parts_do(
    found: tuple[Price, dict[str, int]], shares: list[int]
) -> None:
    of, amounts = found
    parts = [{kind: amount * share for kind, amount in amounts.items()} for share in shares]
    whole = of.cost((kind, amount * sum(shares)) for kind, amount in amounts.items())
    costs = NOTHING
    for part in parts:
        costs = costs.plus(of.cost(part.items()))
    assert whole is not None
    assert whole.micros <= costs.micros.get("USD", 0) <= whole.micros + len(shares)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_was_cached_never_makes_it_dearer(whole: int, cached: int, out: int) -> None:
    told = {"tokens_in": whole, "tokens_out": out}
    plain = cost("dialogue", "openai", "gpt-4.1-mini", **told)
    spared = cost("dialogue", "openai", "gpt-4.1-mini", tokens_cached=cached, **told)
    assert plain is not None and spared is not None
    assert 0 <= spared.micros <= plain.micros


@given(
    st.lists(st.none() | st.builds(Cost, st.sampled_from(["USD", "RUB"]), st.integers(0, 10**12)))
)
def test_sums_keep_currencies_apart_and_count_what_is_unknown(costs: list[Cost | None]) -> None:
    total = NOTHING
    for each in costs:
        total = total.plus(each)
    assert total.unknown == costs.count(None)
    for currency in ("USD", "RUB"):
        spent = sum(each.micros for each in costs if each and each.currency == currency)
        assert total.micros.get(currency, 0) == spent
    assert 0 not in total.micros.values()


def test_nothing_is_spent_where_nothing_costs() -> None:
    assert NOTHING.plus(Cost("USD", 0)) == Costs({})
