"""Numbers in words, through num2words, in the forms that a sentence asks for. Pure.

num2words declines Russian numerals well, except that it lets the gender of what is counted
through to the millions, and takes the counted for living beings; both are kept from it here.
"""

from __future__ import annotations

import functools
from typing import Literal

from num2words import num2words

Case = Literal["n", "g", "d", "a", "i", "p"]
Gender = Literal["m", "f", "n"]

_ENGLISH_DIGITS = "zero one two three four five six seven eight nine".split()
_RUSSIAN_DIGITS = "ноль один два три четыре пять шесть семь восемь девять".split()
_YEAR_MIN, _YEAR_MAX = 1_000, 2_999


# English.


@functools.lru_cache(1_024)
def english(number: int) -> str:
    return str(num2words(number, lang="en")).replace(",", "")


@functools.lru_cache(1_024)
def english_ordinal(number: int) -> str:
    return str(num2words(number, lang="en", to="ordinal")).replace(",", "")


def english_digits(digits: str) -> str:
    return " ".join(_ENGLISH_DIGITS[int(digit)] for digit in digits)


def english_year(year: int) -> str:
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        return english(year)
    return str(num2words(year, lang="en", to="year")).replace("oh-", "oh ")


# Russian.


@functools.lru_cache(4_096)
def russian(number: int, case: Case = "n", gender: Gender = "m") -> str:
    high, low = number // 1_000 * 1_000, number % 1_000
    words = []
    if high:
        thousands = _russian(high, case, "m")
        # "A thousand", and not "one thousand", is what one says.
        words.append(thousands.split(" ", 1)[1] if high == 1_000 else thousands)
    if low or not high:
        words.append(_russian(low, case, gender))
    return " ".join(words)


def _russian(number: int, case: Case, gender: Gender) -> str:
    words = str(num2words(number, lang="ru", case=case, gender=gender, animate=False))
    return words.replace("нол", "нул") if number == 0 and case not in ("n", "a") else words


@functools.lru_cache(4_096)
def russian_ordinal(
    number: int, case: Case = "n", gender: Gender = "m", plural: bool = False
) -> str:
    form = {"case": case, "gender": gender, "plural": plural, "animate": False}
    return str(num2words(number, lang="ru", to="ordinal", **form))


def russian_digits(digits: str) -> str:
    return " ".join(_RUSSIAN_DIGITS[int(digit)] for digit in digits)


_PLACES = "десят сот тысячн десятитысячн стотысячн миллионн".split()
_PART_ONE: dict[Case, str] = {"n": "ая", "g": "ой", "d": "ой", "a": "ую", "i": "ой", "p": "ой"}
_PART_MANY: dict[Case, str] = {"n": "ых", "g": "ых", "d": "ым", "a": "ых", "i": "ыми", "p": "ых"}


def russian_decimal(whole: int, fraction: str, case: Case = "n") -> str:
    """One and a half as one whole and five tenths; beyond millionths digit by digit."""
    if len(fraction) > len(_PLACES):
        return f"{russian(whole, case)} запятая {russian_digits(fraction)}"
    wholes = "целая целой целой целую целой целой".split()["ngdaip".index(case)]
    if not _is_one(whole):
        wholes = "целых целых целым целых целыми целых".split()["ngdaip".index(case)]
    parts = int(fraction)
    ending = (_PART_ONE if _is_one(parts) else _PART_MANY)[case]
    name = _PLACES[len(fraction) - 1] + ending
    return f"{russian(whole, case, 'f')} {wholes} {russian(parts, case, 'f')} {name}"


def _is_one(number: int) -> bool:
    return number % 10 == 1 and number % 100 != 11
