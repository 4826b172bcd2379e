"""Finds what digits mean: quantities, money, dates, times, telephone numbers. Pure.

The rules are tried in their order, the most particular first, and look a bounded way ahead.
Where none knows better it is a plain number.
"""

from __future__ import annotations

import re

from .spans import Piece
from .tongue import Around, Number, Tongue, around

_S = "[ \u00a0\u202f]"
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(?=\d\d:)|(?![\w-]))")
_DOTTED_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2})(?![\w]|\.\d)")
_SLASHED_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])")
_YEAR_MARK = re.compile(f"{_S}?(?:г\\.|г(?!\\w)|года(?!\\w))")
_TIME = re.compile(
    r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?![\d:])"
    rf"(?:{_S}?(?:([ap])\.?{_S}?m(?:\.(?!{_S}(?-i:[A-ZА-Я])|\n|$)|\b)))?",
    re.IGNORECASE,
)
_HOUR = re.compile(
    rf"(\d{{1,2}}){_S}?([ap])\.?{_S}?m(?:\.(?!{_S}(?-i:[A-ZА-Я])|\n|$)|(?!\w))",
    re.IGNORECASE,
)
_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})(?![\d:])")
_PHONES = (
    re.compile(r"\+\d{1,3}(?:[ \u00a0-]?\(?\d{1,4}\)?){2,6}(?!\d)"),
    re.compile(r"[18][ \u00a0-]?\(?\d{3}\)?[ \u00a0-]\d{3}[ \u00a0-]\d{2}[ \u00a0-]?\d{2}(?!\d)"),
    re.compile(r"(?:1-)?(?:\(\d{3}\)[ \u00a0]?|\d{3}-)\d{3}-\d{4}(?![\d-])"),
    re.compile(r"\(?\d{3,4}\)?[ \u00a0-]\d{2,3}-\d{2}-\d{2}(?![\d-])"),
    re.compile(r"\d{3}-\d{2}-\d{2}(?![\d-])"),
    re.compile(r"\d{3}-\d{4}(?![\d-])"),
)
_PHONE_DIGITS_MIN = 7
_VERSION = re.compile(r"\d{1,5}(?:\.\d{1,5}){2,5}(?![\w.]?\w)")
_MIXED = re.compile(r"(\d{1,4})(?:[ \u00a0](\d{1,3})/(\d{1,4})|([½¼¾⅓⅔]))(?![\d/])")
_FRACTION = re.compile(r"(\d{1,3})/(\d{1,4})(?![\d/\w])")
_DASH = re.compile(rf"-|{_S}?[–—]{_S}?|\.\.\.?|…")
_NUMBERED_LINE = re.compile(r"\d{1,3}[.)](?=[ \t])")
_SUBTRACTION = re.compile(rf"[\d)²³]{_S}$")
_OPERAND = re.compile(rf"{_S}[\d(]")
_PER = re.compile(r"/(?=[^\W\d_]{1,20}(?!\w))")


def figure(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """What the digits that begin at `at` mean, with all that belongs to them."""
    if at and text[at - 1].isalpha():
        return _code(text, at, tongue)
    for rule in _RULES:
        pieces = rule(text, at, tongue)
        if pieces:
            return pieces
    return None


def signed(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """A number with its sign; a plus may begin a telephone number."""
    char, before = text[at], text[at - 1 : at]
    if char != "+" and (paid := money(text, at + 1, tongue)):
        return [(f"{tongue.minus} {paid[0][0]}", paid[0][1]), *paid[1:]]
    if not text[at + 1 : at + 2].isdecimal():
        return None
    if char == "+":
        return phone(text, at, tongue)
    if char == "–" and (before.isdigit() or not (not before or before.isspace())):
        return None
    if before and not before.isspace() and before not in "([{«\"“$€£=+*/×<>≤≥,:":
        return None
    if re.search(rf"[\d)]{_S}$", text[max(0, at - 2) : at]) and text[at + 1 : at + 2] != " ":
        return [(f"{tongue.minus} ", at + 1)]
    return _measured(text, at, tongue, negative=True) or _minus_number(text, at, tongue)


def money(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """The sign of a currency, and the number after it: $5, -€1.50, $5 million."""
    found = tongue.currencies.match(text, at)
    if found is None or not text[found.end(1) : found.end(1) + 2].strip()[:1].isdigit():
        return None
    start = found.end(1) + (text[found.end(1)] in " \u00a0")
    read = _number(text, start, tongue)
    if read is None:
        return None
    number, end = read
    dash = _DASH.match(text, end)
    second = _number(text, dash.end(), tongue) if dash else None
    if dash and second is None:  # $5–$7
        again = tongue.currencies.match(text, dash.end())
        second = _number(text, again.end(1), tongue) if again else None
    scale = tongue.scales.match(text, second[1] if second else end)
    scale_name = scale[1] if scale else ""
    near = around(text, at, scale.end() if scale else end)
    if dash and second:
        last, word = tongue.money(second[0], scale_name, found[1], near)
        joint = tongue.range(number, second[0], near)
        finish = scale.end() if scale else second[1]
        return [(joint[0], end), (joint[1], dash.end()), (f"{last} {word}", finish)]
    words = " ".join(tongue.money(number, scale_name, found[1], near))
    end = scale.end() if scale else end
    return [(words, end), *_per(text, end, tongue)]


def between(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """A hyphen between two numbers with spaces is a minus, where something is worked out."""
    if text[at] == "-" and _SUBTRACTION.search(text, max(0, at - 2), at) and (
        _OPERAND.match(text, at + 1)
    ):  # fmt: skip
        return [(tongue.minus, at + 1)]
    return None


# The rules, in their order.


def _numbered_line(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """1. First; 2) second: with the stop, so that the voice pauses."""
    begins = at == 0 or not text[max(0, text.rfind("\n", max(0, at - 8), at) + 1) : at].strip(" \t")
    found = _NUMBERED_LINE.match(text, at)
    if found is None or not begins or (at and text.rfind("\n", max(0, at - 8), at) < 0):
        return None
    number = Number(re.sub(r"\D", "", found[0]))
    return [(f"{tongue.count(number, Around((), ('', '')))}.", found.end())]


def _iso_date(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _ISO_DATE.match(text, at)
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups())
    return _date(text, at, found.end(), (day, month, year), tongue)


def _dotted_date(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _DOTTED_DATE.match(text, at)
    return _date(text, at, found.end(), _day_first(found), tongue) if found else None


def _slashed_date(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _SLASHED_DATE.match(text, at)
    if found is None:
        return None
    day, month, year = _day_first(found)
    if (tongue.code == "en" and not tongue.day_first and day <= 12) or month > 12:
        day, month = month, day
    return _date(text, at, found.end(), (day, month, year), tongue)


def _day_first(found: re.Match[str]) -> tuple[int, int, int]:
    day, month, year = (int(part) for part in found.groups())
    return day, month, year if len(found[3]) == 4 else year + (2_000 if year < 70 else 1_900)


def _date(
    text: str, at: int, end: int, date: tuple[int, int, int], tongue: Tongue
) -> list[Piece] | None:
    day, month, year = date
    if not (1 <= day <= 31 and 1 <= month <= 12 and year >= 1):
        return None
    if mark := _YEAR_MARK.match(text, end) if tongue.code == "ru" else None:
        end = mark.end()
    words = tongue.date(day, month, year, around(text, at, end))
    at_time = text[end - 1] == "T" and end - at == 11
    return [(f"{words}, " if at_time else words, end)]


def phone(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """A telephone number, in the groups that it is written in."""
    if at and text[at - 1].isdigit():
        return None
    for pattern in _PHONES:
        found = pattern.match(text, at)
        if found and sum(map(str.isdigit, found[0])) >= _PHONE_DIGITS_MIN:
            break
    else:
        return None
    pieces: list[Piece] = []
    for group in re.finditer(r"\+?\d+", found[0]):
        words = tongue.phone_group(group[0].lstrip("+"))
        if group[0][0] == "+":
            words = f"{tongue.plus} {words}"
        end = at + group.end() if group.end() < len(found[0]) else found.end()
        pieces += [(", ", at + group.start())] if pieces else []
        pieces.append((words, end))
    pieces[-1] = (pieces[-1][0], found.end())
    return pieces


def _time(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _TIME.match(text, at)
    if found is None or int(found[1]) > 24 or (found[4] and int(found[1]) > 12):
        hour = _HOUR.match(text, at) if tongue.code == "en" else None
        if hour is None or not 1 <= int(hour[1]) <= 12:
            return None
        near = around(text, at, hour.end())
        return [(tongue.time(int(hour[1]), 0, None, f"{hour[2].lower()}m", near), hour.end())]
    second = int(found[3]) if found[3] else None
    half = f"{found[4].lower()}m" if found[4] else ""
    words = tongue.time(int(found[1]), int(found[2]), second, half, around(text, at, found.end()))
    pieces = [(words, found.end())]
    dash = _DASH.match(text, found.end())
    if dash and (rest := _TIME.match(text, dash.end())) and int(rest[1]) <= 24:
        near = around(text, at, rest.end())
        half = f"{rest[4].lower()}m" if rest[4] else ""
        words = tongue.time(int(rest[1]), int(rest[2]), None, half, near)
        pieces += [(f" {tongue.to} ", dash.end()), (words, rest.end())]
    return pieces


def _ratio(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _RATIO.match(text, at)
    return [(tongue.ratio(int(found[1]), int(found[2])), found.end())] if found else None


def _version(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    found = _VERSION.match(text, at)
    if found is None:
        return None
    parts = [tongue.count(Number(part), Around((), ("", ""))) for part in found[0].split(".")]
    return [(f" {tongue.point} ".join(parts), found.end())]


def _mixed(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """1 1/2, 1½, 3/4."""
    found = _MIXED.match(text, at)
    near = around(text, at, found.end() if found else at)
    joint = "and" if tongue.code == "en" else "и"
    if found and found[4]:
        whole = tongue.count(Number(found[1]), Around(near.before, ("", "")))
        return [(f"{whole} {joint} {tongue.symbols[found[4]]}", found.end())]
    if found and int(found[2]) < int(found[3]):
        part = tongue.fraction(int(found[2]), int(found[3]), near)
        if part:
            whole = tongue.count(Number(found[1]), Around(near.before, ("", "")))
            return [(whole, found.end(1)), (f" {joint} {part}", found.end())]
    found = _FRACTION.match(text, at)
    if found is None:
        return None
    above, below = int(found[1]), int(found[2])
    if above < below and (part := tongue.fraction(above, below, near)):
        return [(part, found.end())]
    if (above, below) == (24, 7):
        nothing = Around((), ("", ""))
        words = f"{tongue.count(Number('24'), nothing)} {tongue.count(Number('7'), nothing)}"
        return [(words, found.end())]
    return None


def _range(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """5–7, 10-15 km, 5-7 %."""
    first = _number(text, at, tongue)
    dash = _DASH.match(text, first[1]) if first else None
    second = _number(text, dash.end(), tongue) if dash else None
    if first is None or dash is None or second is None or (at and text[at - 1] in "-–/"):
        return None
    number, end = second
    if text[end : end + 2].lstrip("-–/")[:1].isdigit() and text[end] in "-–/":
        return None
    if (unit := _unit_at(text, end, tongue)) is not None:
        near = around(text, at, unit.end())
        _, word = _with_unit(number, unit, near, tongue)
        one, joint, two = tongue.range(first[0], number, Around(near.before, ("", "")))
        lead = " " if unit[0][0] in " \u00a0\u202f" else ""
        stop = _stop(text, unit)
        return [(one, first[1]), (joint, dash.end()), (two, end), (f"{lead}{word}{stop}",
                                                                   unit.end())]  # fmt: skip
    one, joint, two = tongue.range(first[0], number, around(text, at, end))
    return [(one, first[1]), (joint, dash.end()), (two, end)]


def _measured(
    text: str, at: int, tongue: Tongue, *, negative: bool = False
) -> list[Piece] | None:
    """A number with what it counts: money, a scale, a percentage, a unit."""
    read = _number(text, at + negative, tongue)
    if read is None:
        return None
    number, end = Number(read[0].digits, read[0].fraction, negative), read[1]
    if scaled := _scaled(text, at, end, number, tongue):
        return scaled
    unit = _unit_at(text, end, tongue)
    if unit is None:
        return None
    words, name = _with_unit(number, unit, around(text, at, unit.end()), tongue)
    lead = " " if unit[0][0] in " \u00a0\u202f" else ""
    done = unit.end()
    return [(words, end), (f"{lead}{name}{_stop(text, unit)}", done), *_per(text, done, tongue)]


def _scaled(
    text: str, at: int, end: int, number: Number, tongue: Tongue
) -> list[Piece] | None:
    """1,5 млн руб., 5 million $."""
    scale = tongue.scales.match(text, end)
    if scale is None:
        return None
    currency = tongue.currencies.match(text, scale.end())
    if currency is None:
        if tongue.code == "en":
            return None
        near = around(text, at, scale.end())
        words, name = tongue.scaled(number, scale[1], near)
        return [(words, end), (f" {name}{_stop(text, scale)}", scale.end())]
    near = around(text, at, currency.end())
    amount, word = tongue.money(number, scale[1], currency[1], near)
    counted, _, thousands = amount.rpartition(" ")
    stop = _stop(text, currency)
    return [(counted, end), (f" {thousands}", scale.end()), (f" {word}{stop}", currency.end())]


def _ordinary(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    read = _number(text, at, tongue)
    if read is None:
        return None
    number, end = read
    return [(tongue.count(number, around(text, at, end)), end)]


def _minus_number(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    read = _number(text, at + 1, tongue)
    if read is None:
        return None
    number = Number(read[0].digits, read[0].fraction, negative=True)
    return [(tongue.count(number, around(text, at, read[1])), read[1])]


def _special(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    return tongue.special_number(text, at)


def _code(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """Digits in the midst of letters: B2B, A4, mp3."""
    read = _number(text, at, tongue)
    if read is None:
        return None
    return [(tongue.count(read[0], Around((), ("", ""))), read[1])]


_RULES = (
    _numbered_line, _iso_date, _dotted_date, _slashed_date, phone, _time, _ratio, _version,
    _mixed, _special, _measured, _range, _ordinary,
)  # fmt: skip


# Pieces of them.


def _number(text: str, at: int, tongue: Tongue) -> tuple[Number, int] | None:
    found = tongue.number.match(text, at)
    if found is None:
        return None
    return Number(re.sub(r"\D", "", found[1]), found[2] or ""), found.end()


def _unit_at(text: str, end: int, tongue: Tongue) -> re.Match[str] | None:
    found = tongue.currencies.match(text, end) or tongue.units.match(text, end)
    return found if found and found.end() > end else None


def _with_unit(
    number: Number, unit: re.Match[str], near: Around, tongue: Tongue
) -> tuple[str, str]:
    if unit.re is tongue.currencies:
        return tongue.money(number, "", unit[1], near)
    return tongue.measure(number, unit[1], near)


_FOLLOWING = re.compile(r"[\s\"»”)]{0,3}(.?)", re.DOTALL)


def _stop(text: str, unit: re.Match[str]) -> str:
    """The stop after a unit that ends the sentence too."""
    if not unit[2]:
        return ""
    after = _FOLLOWING.match(text, unit.end())
    ends = after is not None and (not after[1] or after[1].isupper())
    return "." if ends else ""


def _per(text: str, end: int, tongue: Tongue) -> list[Piece]:
    """$5/month."""
    found = _PER.match(text, end)
    return [(f" {tongue.per} ", found.end())] if found else []


