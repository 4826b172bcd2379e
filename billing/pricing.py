"""What a stretch of use costs. Pure; integers only.

Minutes are whole, rounded up, and never fewer than one. Money is in minor units of its
currency (kopecks, cents). Granted minutes are spent first, then money. A tariff is written
beside every bill as it was on the day (`snapshot`), so that a price list may change and a
bill may not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MINUTE = "minute"
MINUTE_MS = 60_000
SECOND_MS = 1_000


class InsufficientFunds(Exception):
    """The wallet cannot pay for what is asked."""


def billed_minutes(duration_ms: int) -> int:
    """max(1, ceil(duration / minute)): who was connected for an instant pays one minute."""
    assert duration_ms >= 0
    return max(1, -(-duration_ms // MINUTE_MS))


def duration_seconds(duration_ms: int) -> int:
    """Whole seconds, rounded up, so that max(1, ceil(seconds / 60)) is `billed_minutes`."""
    assert duration_ms >= 0
    return -(-duration_ms // SECOND_MS)


@dataclass(frozen=True, slots=True)
class PerMinute:
    """Granted minutes first, then money: `rate` minor units of `currency` a minute.

    At a rate of nothing the minutes are free and granted ones are not touched.
    Raises ValueError for a currency or a rate that cannot be.
    """

    currency: str
    rate: int
    name: str = "per_minute"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise ValueError(f"{self.currency!r} is not an ISO 4217 currency")
        if type(self.rate) is not int or self.rate < 0:
            raise ValueError(f"{self.rate!r} is not a rate in minor units")

    def affordable(self, funds: Mapping[str, int], minutes_max: int) -> int:
        """How many minutes, up to `minutes_max`, these funds pay for."""
        if not self.rate:
            return minutes_max
        paid = funds.get(self.currency, 0) // self.rate
        return min(minutes_max, funds.get(MINUTE, 0) + paid)

    def spend(self, funds: Mapping[str, int], minutes: int) -> dict[str, int]:
        """What these minutes take from the funds, by unit. Raises `InsufficientFunds`."""
        assert minutes >= 0
        if self.affordable(funds, minutes) < minutes:
            raise InsufficientFunds(f"{minutes} minutes cannot be paid")
        granted = min(minutes, funds.get(MINUTE, 0)) if self.rate else 0
        spent = {MINUTE: granted, self.currency: (minutes - granted) * self.rate}
        return {unit: amount for unit, amount in spent.items() if amount}

    def charge(self, minutes: int) -> int:
        """The price by the list, however it is paid, in minor units."""
        return minutes * self.rate

    def snapshot(self) -> dict[str, str | int]:
        """The tariff as it is now, ready for JSON."""
        return {
            "type": "per_minute",
            "name": self.name,
            "currency": self.currency,
            "rate": self.rate,
        }

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, object]) -> PerMinute:
        """The tariff a snapshot was taken of. Raises ValueError for anything else."""
        match snapshot:
            case {"type": "per_minute", "currency": str(currency), "rate": int(rate)}:
                return cls(currency, rate, str(snapshot.get("name", "per_minute")))
            case _:
                raise ValueError(f"not the snapshot of a tariff: {dict(snapshot)}")
