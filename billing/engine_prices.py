"""What engines cost whoever runs the server, by role, engine and version. Pure; exact.

A price is a few rates: per minute of sound, per million characters, per million tokens of each
kind. A request is priced by the amounts that its engine told:

    cost = Σ rate × amount        in millionths of the currency, exactly, and then rounded up

1. A rate other than zero needs its amount. Where that was not told, or nobody knows a price,
   the cost is unknown: None, and never 0.
2. Cached tokens are some of those that came in. They are priced apart where there is a rate
   for them, and like the others where there is none; what was not told was not cached.
3. A price by tokens does not know what tokens of a kind cost that it has no rate for.
4. Rounding is once a request, up: a sum of requests is at most one millionth for each above
   what it would be for all of them at once, and never below.

`PUBLIC` are list prices as vendors published them. Prices change: a list of one's own is asked
first (see `price_list`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Protocol

MICROS = 1_000_000
MILLION = 1_000_000
MINUTE_MS = 60_000
ANY = "*"
# How much of each kind of amount a rate is for.
RATED_BY = {
    "audio_ms": MINUTE_MS,
    "characters": MILLION,
    "tokens_in": MILLION,
    "tokens_cached": MILLION,
    "tokens_out": MILLION,
    "audio_tokens_in": MILLION,
    "audio_tokens_cached": MILLION,
    "audio_tokens_out": MILLION,
}
CACHED_OF = {"tokens_cached": "tokens_in", "audio_tokens_cached": "audio_tokens_in"}
TOKENS = frozenset(kind for kind in RATED_BY if "tokens" in kind)


class Used(Protocol):
    """A request to an engine, as far as its price goes. `amounts` are (kind, amount)."""

    @property
    def role(self) -> str: ...

    @property
    def engine(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def amounts(self) -> tuple[tuple[str, int], ...]: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """`micros` are millionths of the currency."""

    currency: str
    micros: int


@dataclass(frozen=True, slots=True)
class Costs:
    """The sum of some requests: what is known of it by currency, in millionths, and how many
    requests there were whose cost nobody knows. A currency in which nothing was spent is not
    there."""

    micros: Mapping[str, int]
    unknown: int = 0

    def plus(self, cost: Cost | None) -> Costs:
        if cost is None:
            return Costs(self.micros, self.unknown + 1)
        if not cost.micros:
            return self
        spent = self.micros.get(cost.currency, 0) + cost.micros
        return Costs({**self.micros, cost.currency: spent}, self.unknown)


NOTHING = Costs({})


@dataclass(frozen=True, slots=True)
class Price:
    """What one engine charges from the day `since`. `version` `*`: whichever model was asked.
    `rates`: by kind of amount, for as much of it as `RATED_BY` says."""

    role: str
    engine: str
    version: str
    currency: str
    since: date
    rates: Mapping[str, Decimal]

    def cost(self, amounts: Iterable[tuple[str, int]]) -> Cost | None:
        """None: these amounts do not say."""
        charged = self._charged(amounts)
        needed = {kind for kind, rate in self.rates.items() if rate and kind not in CACHED_OF}
        if not needed <= charged.keys() or any(amount < 0 for amount in charged.values()):
            return None
        if self.rates.keys() & TOKENS and any(charged.get(kind) for kind in TOKENS - self._kinds):
            return None
        exact = sum(
            (
                Fraction(rate) * charged.get(kind, 0) * MICROS / RATED_BY[kind]
                for kind, rate in self.rates.items()
            ),
            Fraction(0),
        )
        return Cost(self.currency, ceil(exact))

    @property
    def _kinds(self) -> frozenset[str]:
        return frozenset(self.rates)

    def _charged(self, amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Each amount once, as the kind that it is charged as."""
        charged = dict(amounts)
        for kind, whole in CACHED_OF.items():
            cached = min(charged.pop(kind, 0), charged.get(whole, 0))
            if kind in self.rates and cached:
                charged[whole] -= cached
                charged[kind] = cached
        return charged


_Name = tuple[str, str, str]


class EnginePrices:
    """Lists of prices, the first asked first: within one by the version's name and then by
    `*`, and of those of one name the latest that was in force on the day."""

    def __init__(self, *lists: Iterable[Price]) -> None:
        self._lists = [_by_name(prices) for prices in lists]

    def cost(self, used: Used, on: date) -> Cost | None:
        """What a request of this day (UTC) cost; None: nobody knows."""
        price = self.price(used, on)
        return None if price is None else price.cost(used.amounts)

    def price(self, used: Used, on: date) -> Price | None:
        for prices in self._lists:
            for version in (used.version, ANY):
                named = prices.get((used.role, used.engine, version), ())
                in_force = [price for price in named if price.since <= on]
                if in_force:
                    return max(in_force, key=lambda price: price.since)
        return None


def _by_name(prices: Iterable[Price]) -> dict[_Name, list[Price]]:
    found: dict[_Name, list[Price]] = {}
    for price in prices:
        found.setdefault((price.role, price.engine, price.version), []).append(price)
    return found


# The public lists.


def _public(
    role: str, engine: str, version: str, since: str, currency: str = "USD", **rates: str
) -> Price:
    exact = {kind: Decimal(rate) for kind, rate in rates.items()}
    return Price(role, engine, version, currency, date.fromisoformat(since), exact)


def _chat(version: str, since: str, tokens_in: str, tokens_cached: str, tokens_out: str) -> Price:
    return _public(
        "dialogue", "openai", version, since,
        tokens_in=tokens_in, tokens_cached=tokens_cached, tokens_out=tokens_out,
    )  # fmt: skip


def _realtime(
    version: str, since: str, text: tuple[str, ...], audio: tuple[str, ...],
    role: str = "speech_to_speech",
) -> Price:  # fmt: skip
    """Of text and of audio: in, cached, out."""
    kinds = ("tokens_in", "tokens_cached", "tokens_out")
    rates = dict(zip(kinds, text, strict=True))
    rates |= {f"audio_{kind}": rate for kind, rate in zip(kinds, audio, strict=True)}
    return _public(role, "openai", version, since, **rates)


# What runs on this machine is asked for nothing.
_OWN = {
    "speech_to_text": ("scripted", "sphinx", "whisper"),
    "dialogue": ("scripted", "tutor"),
    "text_to_speech": ("espeak", "kokoro", "piper", "scripted"),
}
LOCAL = tuple(
    _public(role, engine, ANY, "1970-01-01", audio_ms="0")
    for role, engines in _OWN.items()
    for engine in engines
)
_TALK = (("4", "0.40", "24"), ("32", "0.40", "64"))
_TALK_MINI = (("0.60", "0.06", "2.40"), ("10", "0.30", "20"))
# OpenAI's, as published on its pages of models; the newest since they were read, in November
# 2026. The rates by the minute of the gpt-4o models are its own estimates of what their tokens
# come to.
OPENAI = (
    _public("speech_to_text", "openai", "gpt-transcribe", "2026-11-01", audio_ms="0.0045"),
    _public("speech_to_text", "openai", "gpt-live-transcribe", "2026-11-01", audio_ms="0.017"),
    _public("speech_to_text", "openai", "gpt-realtime-whisper", "2026-11-01", audio_ms="0.017"),
    _chat("gpt-6-luna", "2026-11-01", "0.10", "0.01", "0.50"),
    _realtime("gpt-realtime-2.1", "2026-11-01", *_TALK),
    _realtime("gpt-realtime-2.1-mini", "2026-11-01", *_TALK_MINI),
    # The same models where they only read.
    _realtime("gpt-realtime-2.1", "2026-11-01", *_TALK, role="text_to_speech"),
    _realtime("gpt-realtime-2.1-mini", "2026-11-01", *_TALK_MINI, role="text_to_speech"),
    _public("speech_to_text", "openai", "whisper-1", "2023-03-01", audio_ms="0.006"),
    _public("speech_to_text", "openai", "gpt-4o-transcribe", "2025-03-20", audio_ms="0.006"),
    _public("speech_to_text", "openai", "gpt-4o-mini-transcribe", "2025-03-20", audio_ms="0.003"),
    _public("text_to_speech", "openai", "tts-1", "2023-11-06", characters="15"),
    _public("text_to_speech", "openai", "tts-1-hd", "2023-11-06", characters="30"),
    _public("text_to_speech", "openai", "gpt-4o-mini-tts", "2025-03-20", audio_ms="0.015"),
    _chat("gpt-4.1", "2025-04-14", "2", "0.50", "8"),
    _chat("gpt-4.1-mini", "2025-04-14", "0.40", "0.10", "1.60"),
    _chat("gpt-4.1-nano", "2025-04-14", "0.10", "0.025", "0.40"),
    _chat("gpt-4o", "2024-10-02", "2.50", "1.25", "10"),
    _chat("gpt-4o-mini", "2024-10-02", "0.15", "0.075", "0.60"),
    _realtime("gpt-realtime", "2025-08-28", ("4", "0.40", "16"), ("32", "0.40", "64")),
    _realtime("gpt-realtime-mini", "2025-10-06", *_TALK_MINI),
)
PUBLIC = (*LOCAL, *OPENAI)
