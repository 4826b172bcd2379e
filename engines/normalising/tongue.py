"""What a language must be able to say, for the rules that find what there is to say. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from .spans import Piece

_BEFORE_CHARS = 64
_WORDS = re.compile(r"[^\W_]+|[^\w\s]")
# Marks that may stand between a preposition and its number.
_PASSED_OVER = frozenset("*_~`«\"“„([")
_NEXT = re.compile(r"[ \u00a0\u202f*_`«\"“]{1,4}([^\W\d_]{1,32})(?![^\W_])(?!\.[^\W\d_])")
# The largest number that is said as one; longer ones are read digit by digit.
DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: its whole part, and the digits after the point, if any."""

    digits: str
    fraction: str = ""
    negative: bool = False

    @property
    def whole(self) -> int:
        return int(self.digits)

    @property
    def is_code(self) -> bool:
        """It is no quantity: it begins with a nought, or is too long to be said as one."""
        zeros = len(self.digits) > 1 and self.digits[0] == "0"
        return zeros or len(self.digits) > DIGITS_MAX or len(self.fraction) > DIGITS_MAX


@dataclass(frozen=True, slots=True)
class Around:
    """The words before a place, the nearest last, in small letters, up to a stop; and the next
    two words after it, as written, empty where something else stands there."""

    before: tuple[str, ...]
    after: tuple[str, str]

    @property
    def last(self) -> str:
        return self.before[-1] if self.before else ""


class Tongue(Protocol):
    """A language. The tables hold what is written; `None` from a method: this is nothing."""

    # Patterns. `number`: the whole part with its marks, and the fraction; the others: the name,
    # and the stop of an abbreviation, after a space or without one.
    number: re.Pattern[str]
    units: re.Pattern[str]
    currencies: re.Pattern[str]
    scales: re.Pattern[str]
    # What signs are called; of `alike` the sign between two words is not said.
    symbols: dict[str, str]
    alike: frozenset[str]
    code: str
    day_first: bool
    minus: str
    plus: str
    point: str
    to: str
    at: str
    dot: str
    slash: str
    number_sign: str
    hashtag: str
    either: str
    per: str

    def spell_digits(self, digits: str) -> str: ...

    def count(self, number: Number, near: Around) -> str: ...

    def measure(self, number: Number, unit: str, near: Around) -> tuple[str, str]:
        """The number and the unit, in each other's form."""
        ...

    def money(
        self, number: Number, scale: str, currency: str, near: Around
    ) -> tuple[str, str]: ...

    def scaled(self, number: Number, scale: str, near: Around) -> tuple[str, str]:
        """The number and the million or thousand of it."""
        ...

    def range(self, first: Number, second: Number, near: Around) -> tuple[str, str, str]:
        """The first number, the word between them, and the second."""
        ...

    def ordinal(self, number: int, suffix: str, near: Around) -> str | None: ...

    def fraction(self, above: int, below: int, near: Around) -> str | None: ...

    def date(self, day: int, month: int, year: int | None, near: Around) -> str: ...

    def time(self, hour: int, minute: int, second: int | None, half: str, near: Around) -> str:
        """`half`: am, pm or empty."""
        ...

    def ratio(self, first: int, second: int) -> str: ...

    def phone_group(self, digits: str) -> str: ...

    def special_number(self, text: str, at: int) -> list[Piece] | None:
        """What only this language writes with digits first: years, decades, days of a month."""
        ...

    def special_word(self, text: str, at: int, end: int) -> list[Piece] | None:
        """What the word from `at` to `end` means beside itself, with what belongs to it."""
        ...


def words_before(text: str, at: int) -> tuple[str, ...]:
    near = _WORDS.findall(text, max(0, at - _BEFORE_CHARS), at)
    words: list[str] = []
    for word in reversed(near):
        if word in _PASSED_OVER:
            continue
        if not word[0].isalnum() or len(words) == 4:
            break
        words.append(word.lower())
    return tuple(reversed(words))


def words_after(text: str, end: int) -> tuple[str, str]:
    first = _NEXT.match(text, end)
    if first is None:
        return "", ""
    second = _NEXT.match(text, first.end())
    return first[1], second[1] if second else ""


def around(text: str, at: int, end: int) -> Around:
    return Around(words_before(text, at), words_after(text, end))
