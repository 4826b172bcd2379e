"""Roman numerals. Pure."""

from __future__ import annotations

import re

_ROMAN = re.compile(r"(?=[MDCLXVI])M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1_000}
_CHARS_MAX = 12


def value_of(word: str) -> int | None:
    """The number that capital letters write, up to 3,999."""
    if not 0 < len(word) <= _CHARS_MAX or not _ROMAN.fullmatch(word):
        return None
    values = [_VALUES[char] for char in word]
    return sum(
        -value if value < after else value
        for value, after in zip(values, [*values[1:], 0], strict=True)
    )
