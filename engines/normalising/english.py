"""English: how numbers, money, dates and times are said. Pure."""

from __future__ import annotations

import re

from .english_words import MONTHS, NAMES_OF_MONTHS, month_day, special_word
from .numerals import english, english_digits, english_ordinal, english_year
from .spans import Piece
from .tongue import Around, Number, words_before

_UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer",
    "μm": "micrometer", "kg": "kilogram", "g": "gram", "mg": "milligram", "t": "ton",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "ft": "foot", "yd": "yard", "mi": "mile",
    "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter", "gal": "gallon",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "sec": "second",
    "secs": "second", "s": "second", "ms": "millisecond", "kHz": "kilohertz", "MHz": "megahertz",
    "GHz": "gigahertz", "Hz": "hertz", "W": "watt", "kW": "kilowatt", "MW": "megawatt",
    "kWh": "kilowatt hour", "V": "volt", "mAh": "milliamp hour", "KB": "kilobyte",
    "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "dB": "decibel",
    "kcal": "kilocalorie", "cal": "calorie", "mph": "mile per hour", "kph": "kilometer per hour",
    "km/h": "kilometer per hour", "m/s": "meter per second", "Mbps": "megabit per second",
    "Gbps": "gigabit per second", "MB/s": "megabyte per second", "km²": "square kilometer",
    "m²": "square meter", "km2": "square kilometer", "m2": "square meter", "cm²":
    "square centimeter", "m³": "cubic meter", "m3": "cubic meter", "sq ft": "square foot",
    "°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "%": "percent",
    "‰": "per mille", "ha": "hectare", "px": "pixel", "pts": "point", "pt": "point",
    "fps": "frame per second", "rpm": "revolution per minute",
}  # fmt: skip
_UNCHANGING = frozenset("percent hertz kilohertz megahertz gigahertz".split()) | {"per mille"}
_CURRENCIES = {
    "$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yen", ""),
    "₽": ("rouble", "kopeck"), "₴": ("hryvnia", "kopeck"), "₹": ("rupee", "paisa"),
    "¢": ("cent", ""), "usd": ("US dollar", "cent"), "eur": ("euro", "cent"),
    "gbp": ("pound", "penny"), "rub": ("rouble", "kopeck"), "jpy": ("yen", ""),
    "us$": ("US dollar", "cent"), "руб": ("rouble", "kopeck"),
}  # fmt: skip
_PLURALS = {"foot": "feet", "penny": "pence", "yen": "yen", "hryvnia": "hryvnias",
            "paisa": "paise"}  # fmt: skip
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
           "t": "trillion", "tn": "trillion"}  # fmt: skip
_SUFFIXED = re.compile(r"(\d{1,3}(?:,\d{3}){1,4}|\d{1,12})(st|nd|rd|th)(?!\w)", re.IGNORECASE)
_DECADE = re.compile(r"(\d{3}0)(?:'|’)?s(?!\w)")
_SHORT_DECADE = re.compile(r"([2-9]0)(?:'|’)?s(?!\w)")
_DAY_MONTH = re.compile(
    rf"(\d{{1,2}})(?:st|nd|rd|th)?( of)?([ \u00a0]{{1,2}})({NAMES_OF_MONTHS})(?!\w)(\.?)"
    r"(?:(,?[ \u00a0]{1,2})(\d{4})(?!\d))?"
)
_YEAR = re.compile(r"(1[1-9]\d\d|20\d\d)(?![\w%°$€£₽])(?![.,:/]\d)")
_YEARS = re.compile(r"(1[1-9]\d\d|20\d\d)([–-])(1[1-9]\d\d|20\d\d|\d\d)(?![\w%°$€£₽])")
_UNIT_FOLLOWS = re.compile(r"[ \u00a0](?:people|men|women|children|times|of|[a-z]{1,3}\b)?")
_BEFORE_A_YEAR = frozenset(
    """in since by until till before after during around from circa year summer winter spring
    autumn fall late early mid of january february march april may june july august september
    october november december jan feb mar apr jun jul aug sep sept oct nov dec between
    and""".split()
)
_COUNTED = re.compile(
    r"[ \u00a0](?:people|men|women|children|years|days|hours|minutes|times|miles|dollars|pages|"
    r"words|students|users|meters|metres|km|kg|%)"
)
_SCALED = re.compile(r"(k|K|M|B)(?![\w/²³])")


_SYMBOLS = {
    "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "≠": "is not equal to",
    "≈": "is about", "≤": "is at most", "≥": "is at least", "<": "is less than",
    ">": "is greater than", "×": "times", "*": "times", "÷": "divided by", "·": "times",
    "/": "divided by", "±": "plus or minus", "√": "the square root of", "∞": "infinity",
    "№": "number", "§": "section", "°": "degrees", "²": "squared", "³": "cubed", "π": "pi",
    "#": "hash", "½": "one half", "¼": "one quarter", "¾": "three quarters", "→": "—",
    "$": "dollar", "€": "euro", "₽": "rouble", "£": "pound", "^": "to the power of", "_": " ",
    "⅓": "one third", "⅔": "two thirds",
}  # fmt: skip


class English:
    """A `Tongue`."""

    code = "en"
    number = re.compile(
        r"(\d{1,3}(?:[,\u00a0\u202f]\d{3}){1,4}(?![\d,]\d)|\d+)(?:\.(\d{1,12})(?!\.?\d))?"
    )
    units = re.compile(
        "[ \u00a0\u202f]?("
        + "|".join(re.escape(name).replace("\\ ", " ") for name in sorted(_UNITS, key=len,
                                                                         reverse=True))
        + r")(?:(?<![\w°%²³])|(?![\w/²³·]))((?<=[a-z])\.(?=[ \u00a0][a-z]))?"
    )  # fmt: skip
    currencies = re.compile(
        "[ \u00a0\u202f]?(US\\$|\\$|€|£|¥|₽|₴|₹|¢|"
        "(?:USD|EUR|GBP|RUB|JPY|руб)(?!\\w))(\\.(?=\\s?[a-z]))?"
    )
    scales = re.compile(
        "[ \u00a0]?((?<=[ \u00a0])(?:million|billion|trillion|thousand|hundred)|mn|bn|tn|"
        "[kKmMbBtT])"
        "(?!\\w)()"
    )
    symbols = _SYMBOLS
    minus, plus, point, to = "minus", "plus", "point", "to"
    at, dot, slash, number_sign, hashtag = "at", "dot", "slash", "number", "hashtag"
    either, per = "or", "per"
    alike: frozenset[str] = frozenset({"and/or"})

    def __init__(self, day_first: bool = False) -> None:
        self.day_first = day_first

    def spell_digits(self, digits: str) -> str:
        return english_digits(digits)

    def count(self, number: Number, near: Around) -> str:
        sign = f"{self.minus} " if number.negative else ""
        after = f" point {english_digits(number.fraction)}" if number.fraction else ""
        whole = english_digits(number.digits) if number.is_code else english(number.whole)
        return f"{sign}{whole}{after}"

    def measure(self, number: Number, unit: str, near: Around) -> tuple[str, str]:
        name = _UNITS[unit]
        return self.count(number, near), name if _is_one(number) else _plural(name)

    def scaled(self, number: Number, scale: str, near: Around) -> tuple[str, str]:
        return self.count(number, near), _SCALES.get(scale.lower(), scale)

    def money(self, number: Number, scale: str, currency: str, near: Around) -> tuple[str, str]:
        whole, part = _CURRENCIES[currency.lower()]
        if scale:
            amount, word = self.scaled(number, scale, near)
            return f"{amount} {word}", _plural(whole)
        if len(number.fraction) != 2 or not part or number.is_code:
            return self.count(number, near), whole if _is_one(number) else _plural(whole)
        cents, plain = int(number.fraction), Number(number.digits, "", number.negative)
        small = f"{english(cents)} {part if cents == 1 else _plural(part)}"
        if cents and not number.whole:
            first, _, rest = small.partition(" ")
            sign = f"{self.minus} " if number.negative else ""
            return sign + first, rest
        word = whole if number.whole == 1 else _plural(whole)
        return self.count(plain, near), f"{word} and {small}" if cents else word

    def range(self, first: Number, second: Number, near: Around) -> tuple[str, str, str]:
        return self.count(first, near), " to ", self.count(second, near)

    def ordinal(self, number: int, suffix: str, near: Around) -> str | None:
        return english_ordinal(number)

    def fraction(self, above: int, below: int, near: Around) -> str | None:
        if not 0 < above < 100 or not 2 <= below <= 1_000:
            return None
        part = {2: "half", 4: "quarter"}.get(below, english_ordinal(below))
        many = {2: "halves"}.get(below, f"{part}s")
        return f"{english(above)} {part if above == 1 else many}"

    def ratio(self, first: int, second: int) -> str:
        return f"{english(first)} to {english(second)}"

    def date(self, day: int, month: int, year: int | None, near: Around) -> str:
        words = f"{MONTHS[month - 1]} {english_ordinal(day)}"
        return words if year is None else f"{words}, {english_year(year)}"

    def time(self, hour: int, minute: int, second: int | None, half: str, near: Around) -> str:
        words = english(hour) if hour or half else "zero"
        if minute:
            words += f" oh {english(minute)}" if minute < 10 else f" {english(minute)}"
        elif second is not None:
            words += " oh oh"
        elif not half:
            words += " hundred" if hour > 12 or not hour else " o'clock"
        if second is not None:
            words += f" and {english(second)} second{'s' * (second != 1)}"
        return f"{words} {half[0]} m" if half else words

    def phone_group(self, digits: str) -> str:
        return english_digits(digits)

    # What only English has.

    def special_number(self, text: str, at: int) -> list[Piece] | None:
        for rule in (_day_month, _decade, _years, _year, _suffixed, _scaled):
            pieces = rule(text, at)
            if pieces:
                return pieces
        return None

    def special_word(self, text: str, at: int, end: int) -> list[Piece] | None:
        return month_day(text, at) or special_word(text, at, end)


def _plural(name: str) -> str:
    """Of the first word of a unit "per" something, and else of the last one."""
    head, per, rest = name.partition(" per ")
    if name in _UNCHANGING:
        return name
    if head.startswith("degree"):
        return head.replace("degree", "degrees", 1) + per + rest
    before, space, last = head.rpartition(" ")
    return f"{before}{space}{_PLURALS.get(last, f'{last}s')}{per}{rest}"


def _is_one(number: Number) -> bool:
    return number.digits == "1" and not number.fraction


def _day_month(text: str, at: int) -> list[Piece] | None:
    """21 November, 21st of Nov. 2026."""
    found = _DAY_MONTH.match(text, at)
    if found is None or not 1 <= int(found[1]) <= 31:
        return None
    month = next(name for name in MONTHS if name.startswith(found[4][:3]))
    article = "" if "the" in words_before(text, at)[-1:] else "the "
    day_end = found.start(3)
    pieces = [(f"{article}{english_ordinal(int(found[1]))} of", day_end), (" ", found.end(3)),
              (month, found.end(5))]  # fmt: skip
    if found[7]:
        pieces += [(", ", found.end(6)), (english_year(int(found[7])), found.end(7))]
    return pieces


def _decade(text: str, at: int) -> list[Piece] | None:
    found = _DECADE.match(text, at) or _SHORT_DECADE.match(text, at)
    if found is None:
        return None
    words = english_year(int(found[1])) if len(found[1]) == 4 else english(int(found[1]))
    many = f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"
    return [(many, found.end())]


def _years(text: str, at: int) -> list[Piece] | None:
    found = _YEARS.match(text, at)
    if found is None:
        return None
    second = found[3] if len(found[3]) == 4 else found[1][:2] + found[3]
    if int(second) <= int(found[1]):
        return None
    last = english_year(int(second)) if len(found[3]) == 4 else english(int(found[3]))
    return [(english_year(int(found[1])), found.end(1)), (" to ", found.end(2)),
            (last, found.end(3))]  # fmt: skip


def _year(text: str, at: int) -> list[Piece] | None:
    """A number that follows "in" and the like, and counts nothing."""
    found = _YEAR.match(text, at)
    if found is None or _COUNTED.match(text, found.end()):
        return None
    before = words_before(text, at)
    joined = bool(before) and before[-1] == "and" and not (
        len(before) > 1 and _YEAR.fullmatch(before[-2]))  # fmt: skip
    in_brackets = text[at - 1 : at] == "(" and text[found.end() : found.end() + 1] == ")"
    if not in_brackets and (not before or joined or before[-1] not in _BEFORE_A_YEAR):
        return None
    return [(english_year(int(found[1])), found.end())]


def _suffixed(text: str, at: int) -> list[Piece] | None:
    found = _SUFFIXED.match(text, at)
    if found is None:
        return None
    return [(english_ordinal(int(found[1].replace(",", ""))), found.end())]


def _scaled(text: str, at: int) -> list[Piece] | None:
    """10k, 5M: thousands and millions."""
    number = English.number.match(text, at)
    found = _SCALED.match(text, number.end()) if number else None
    if number is None or found is None or len(number[1]) > 4:
        return None
    digits = re.sub(r"\D", "", number[1])
    words = English().count(Number(digits, number[2] or ""), Around((), ("", "")))
    return [(f"{words} {_SCALES[found[1].lower()]}", found.end())]
