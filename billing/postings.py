"""Money never appears or disappears; it moves. Pure double-entry bookkeeping.

    grant     world   ──► wallet
    hold      wallet  ──► held           before work begins or goes on
    settle    held    ──► revenue        when it ends, and the rest
              held    ──► wallet         goes back
    release   held    ──► wallet         the work never began
    refund    revenue ──► wallet         an entry of its own; nothing is ever edited
    adjust    world   ◄─► wallet         somebody of the staff puts something right

An account is a string that says whose it is:

    wallet:42           what user 42 can spend
    held:42:call_9f     what user 42 has set aside for one use
    revenue             what has been earned
    world:SOURCE        everything outside

Units are `minute` and ISO currencies, in integers; each unit of an entry sums to zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

REVENUE = "revenue"
AMOUNT_MAX = 2**62  # A BIGINT holds twice that, so one sum of two amounts cannot overflow.


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: this much of a unit comes to (or, negative, leaves) an account."""

    account: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One thing that happened to money, recorded once: `key` is its idempotency key.

    `about` names what it belongs to: a usage id, or the key of the entry it corrects.
    """

    key: str
    reason: str
    postings: tuple[Posting, ...]
    about: str = ""

    def __post_init__(self) -> None:
        assert self.key
        assert self.reason
        assert all(posting.amount for posting in self.postings), "an empty posting"
        sums: Counter[str] = Counter()
        for posting in self.postings:
            assert abs(posting.amount) <= AMOUNT_MAX, "an absurd amount"
            sums[posting.unit] += posting.amount
        assert not any(sums.values()), f"{self.key} makes or loses {dict(sums)}"


def wallet_of(user_id: int) -> str:
    return f"wallet:{user_id}"


def held_for(user_id: int, usage_id: str) -> str:
    return f"held:{user_id}:{usage_id}"


def owner_of(account: str) -> int | None:
    """The user whose funds these are; None for revenue and the world.

    Owned accounts keep a cached balance that may not fall below its floor. The others do
    not: every call would queue behind one hot row. Their balance is a sum.
    """
    kind, *rest = account.split(":", 2)
    return int(rest[0]) if kind in ("wallet", "held") else None


def move(source: str, target: str, funds: Mapping[str, int]) -> tuple[Posting, ...]:
    """The postings that take `funds` (none negative) from one account to another."""
    assert all(amount >= 0 for amount in funds.values())
    return tuple(
        posting
        for unit, amount in funds.items()
        if amount
        for posting in (Posting(source, unit, -amount), Posting(target, unit, amount))
    )


def grant(
    user_id: int, funds: Mapping[str, int], *, source: str, key: str, reason: str = "grant"
) -> LedgerEntry:
    return LedgerEntry(key, reason, move(f"world:{source}", wallet_of(user_id), funds))


def hold(user_id: int, usage_id: str, funds: Mapping[str, int], *, key: str) -> LedgerEntry:
    held = held_for(user_id, usage_id)
    return LedgerEntry(key, "hold", move(wallet_of(user_id), held, funds), usage_id)


def settle(
    user_id: int, usage_id: str, held: Mapping[str, int], spent: Mapping[str, int], *, key: str
) -> LedgerEntry:
    """`spent` of what is held is earned, the rest goes back. Nothing stays held."""
    assert spent.keys() <= held.keys(), "spends what was never held"
    rest = {unit: amount - spent.get(unit, 0) for unit, amount in held.items()}
    account = held_for(user_id, usage_id)
    earned = move(account, REVENUE, spent)
    return LedgerEntry(key, "usage", earned + move(account, wallet_of(user_id), rest), usage_id)


def release(user_id: int, usage_id: str, held: Mapping[str, int], *, key: str) -> LedgerEntry:
    account = held_for(user_id, usage_id)
    return LedgerEntry(key, "release", move(account, wallet_of(user_id), held), usage_id)


def refund(user_id: int, usage_id: str, funds: Mapping[str, int], *, key: str) -> LedgerEntry:
    return LedgerEntry(key, "refund", move(REVENUE, wallet_of(user_id), funds), usage_id)


def adjust(user_id: int, deltas: Mapping[str, int], *, key: str, about: str = "") -> LedgerEntry:
    """Give where a delta is positive, take where it is negative."""
    world, wallet = "world:adjustment", wallet_of(user_id)
    given = {unit: delta for unit, delta in deltas.items() if delta > 0}
    taken = {unit: -delta for unit, delta in deltas.items() if delta < 0}
    postings = move(world, wallet, given) + move(wallet, world, taken)
    return LedgerEntry(key, "adjust", postings, about)
