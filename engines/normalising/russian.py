"""Russian: how numbers, money, dates and times are said, each in the form its place asks for.
Pure."""

from __future__ import annotations

import re

from . import nouns
from .agreement import form_of, governed
from .numerals import (
    Case,
    Gender,
    russian,
    russian_decimal,
    russian_digits,
    russian_ordinal,
)
from .russian_words import MONTHS, ends_sentence, special_word
from .spans import Piece
from .tongue import Around, Number, around, words_before

_SPACE = "[ \u00a0\u202f]"
_DAY_MONTH = re.compile(
    rf"(\d{{1,2}})(?:(?:-?го)?|{_SPACE}?[–—-]{_SPACE}?(\d{{1,2}}))({_SPACE}{{1,2}})"
    rf"({'|'.join(MONTHS)})(?!\w)(?:({_SPACE}{{1,2}})(\d{{4}})(?!\d))?",
    re.IGNORECASE,
)
_YEAR = re.compile(
    rf"(\d{{3,4}})(?:({_SPACE}?[–—-]{_SPACE}?)(\d{{3,4}}))?({_SPACE}{{0,2}})"
    r"(год(?:ами|ах|ам|ов|ом|ы|а|у|е)?|гг\.?|г\.?)(?!\w)",
    re.IGNORECASE,
)
_BARE_YEAR = re.compile(r"(1[0-9]\d\d|20\d\d)(?![\w%°])(?![.,:/–-]\d)")
# After a bare year one of these shows that nothing is counted.
_AFTER_YEAR = re.compile(rf"{_SPACE}?(?:$|[.,;:!?)»\n]|(?:и|или|но|а|был[аио]?|по|до)(?!\w))")
_SUFFIXED = re.compile(r"(\d{1,9})-([а-яё]{1,3})(?!\w)(?!-)", re.IGNORECASE)
_COMPOUND = re.compile(r"(\d{1,4})-([а-яё]{4,30})(?!\w)", re.IGNORECASE)
_YEAR_CASES: dict[str, Case] = {
    "год": "n", "года": "g", "году": "p", "годом": "i", "годе": "p",
    "годы": "n", "годов": "g", "годам": "d", "годами": "i", "годах": "p",
}  # fmt: skip
_YEAR_OF: dict[Case, str] = {
    "n": "год", "g": "года", "d": "году", "a": "год", "i": "годом", "p": "году",
}  # fmt: skip
_YEARS_OF: dict[Case, str] = {
    "n": "годы", "g": "годов", "d": "годам", "a": "годы", "i": "годами", "p": "годах",
}  # fmt: skip
_NAMING_A_DAY = frozenset("сегодня завтра вчера послезавтра позавчера это был будет дата".split())
_SUFFIX_FORMS: tuple[tuple[Case, Gender, bool], ...] = (
    ("n", "m", False), ("n", "f", False), ("n", "n", False), ("g", "m", False),
    ("d", "m", False), ("p", "m", False), ("i", "m", False), ("a", "f", False),
    ("g", "f", False), ("n", "m", True), ("g", "m", True), ("d", "m", True), ("i", "m", True),
)  # fmt: skip


_SYMBOLS = {
    "&": "и", "@": "собака", "%": "процент", "+": "плюс", "=": "равно", "≠": "не равно",
    "≈": "примерно равно", "≤": "меньше или равно", "≥": "больше или равно", "<": "меньше",
    ">": "больше", "×": "умножить на", "*": "умножить на", "÷": "разделить на",
    "·": "умножить на",
    "/": "разделить на", "±": "плюс-минус", "√": "корень из", "∞": "бесконечность",
    "№": "номер", "§": "параграф", "°": "градус", "²": "в квадрате", "³": "в кубе",
    "π": "пи", "#": "решётка", "½": "половина", "¼": "четверть", "¾": "три четверти",
    "→": "—", "$": "доллар", "€": "евро", "₽": "рубль", "^": "в степени", "_": " ",
    "⅓": "одна треть", "⅔": "две трети",
}  # fmt: skip


class Russian:
    """A `Tongue`."""

    code, day_first = "ru", True
    number = re.compile(
        r"(\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,4}(?!\d)|\d+)(?:[.,](\d{1,12})(?![.,]?\d))?"
    )
    units = re.compile(
        "[ \u00a0\u202f]?("
        + "|".join(re.escape(name).replace("\\ ", "[ \u00a0]") for name in nouns.unit_names())
        + r")(?:(?<![\w°%²³])|(?![\w/²³·]))(\.?)",
        re.IGNORECASE,
    )
    currencies = re.compile(
        "[ \u00a0\u202f]?(₽|us\\$|\\$|€|£|¥|₴|₸|¢|"
        "(?:руб|р|коп|rub|usd|eur|gbp|jpy|uah|kzt|cny)(?!\\w))"
        r"(\.?)",
        re.IGNORECASE,
    )
    scales = re.compile("[ \u00a0\u202f]?(тыс|млн|млрд|трлн)(?!\\w)(\\.?)", re.IGNORECASE)
    symbols = _SYMBOLS
    minus, plus, point, to = "минус", "плюс", "точка", "—"
    at, dot, slash, number_sign, hashtag = "собака", "точка", "слэш", "номер", "хештег"
    either, per = "или", "в"
    alike: frozenset[str] = frozenset({"и/или"})

    # Quantities.

    def spell_digits(self, digits: str) -> str:
        return russian_digits(digits)

    def count(self, number: Number, near: Around) -> str:
        sign = f"{self.minus} " if number.negative else ""
        if number.is_code:
            digits = russian_digits(number.digits)
            return sign + digits + (f" запятая {russian_digits(number.fraction)}" if number.fraction
                                    else "")  # fmt: skip
        if number.fraction:
            return sign + self._decimal(number, governed(near), "m")
        form = form_of(number.whole, near)
        if form.ordinal and number.whole < 1_000:
            return sign + russian_ordinal(number.whole, form.case, form.gender)
        return sign + russian(number.whole, form.case, form.gender)

    def _decimal(self, number: Number, case: Case, gender: Gender) -> str:
        if (number.whole, number.fraction.rstrip("0")) == (1, "5"):
            if case in ("n", "a"):
                return "полторы" if gender == "f" else "полтора"
            return "полутора"
        return russian_decimal(number.whole, number.fraction, _nominative(case))

    def _counted(self, number: Number, noun: nouns.Noun, near: Around) -> tuple[str, str]:
        case = governed(near)
        sign = f"{self.minus} " if number.negative else ""
        if number.is_code:
            return sign + russian_digits(number.digits), noun.many()
        if number.fraction.rstrip("0"):
            return sign + self._decimal(number, case, noun.gender), noun.of_part()
        if noun.gender != "f" or number.whole % 10 != 1:
            case = _nominative(case)
        words = russian(number.whole, case, noun.gender)
        return sign + words, noun.counted(number.whole, case)

    def measure(self, number: Number, unit: str, near: Around) -> tuple[str, str]:
        return self._counted(number, nouns.unit(unit), near)

    def money(self, number: Number, scale: str, currency: str, near: Around) -> tuple[str, str]:
        name = currency.lower().rstrip(".")
        whole, part = nouns.CURRENCIES[nouns.CURRENCY_NAMES.get(name, name)]
        if scale:
            amount, thousands = self._counted(number, nouns.UNITS[scale.lower().rstrip(".")], near)
            return f"{amount} {thousands}", whole.many()
        if part is None or len(number.fraction) != 2 or number.is_code:
            return self._counted(number, whole, near)
        amount, word = self._counted(Number(number.digits, "", number.negative), whole, near)
        if cents := int(number.fraction):
            small = self._counted(Number(str(cents)), part, near)
            return amount, f"{word} {' '.join(small)}"
        return amount, word

    def scaled(self, number: Number, scale: str, near: Around) -> tuple[str, str]:
        return self._counted(number, nouns.UNITS[scale.lower().rstrip(".")], near)

    def range(self, first: Number, second: Number, near: Around) -> tuple[str, str, str]:
        one, two = self.count(first, near), self.count(second, near)
        small = not (first.fraction or second.fraction) and " " not in one + two
        return one, "-" if small else " — ", two

    # Order and parts.

    def ordinal(self, number: int, suffix: str, near: Around) -> str | None:
        """The form that ends as the suffix says: 5-й, 5-го, 90-е."""
        suffix = suffix.lower()
        if suffix == "ю" and not near.after[0].endswith("ми"):
            return russian_ordinal(number, "a", "f")
        if suffix in ("х", "ти", "и", "мя", "ми", "ю", "ух", "ёх", "ех") and number < 1_000:
            found = _cardinal_ending(number, suffix)
            if found:
                return found
        forms = list(_SUFFIX_FORMS)
        if near.last in ("в", "во", "на", "о", "об", "при"):
            forms.insert(0, ("p", "m", False))
            if suffix == "й":
                forms.insert(0, ("p", "f", False))
        if suffix in ("е", "х") and number % 10 == 0:
            forms.insert(0, ("n" if suffix == "е" else "p", "m", True))
        for case, gender, plural in forms:
            words = russian_ordinal(number, case, gender, plural)
            if words.endswith(suffix):
                return words
        return None

    def fraction(self, above: int, below: int, near: Around) -> str | None:
        if not 0 < above < 100 or not 2 <= below <= 1_000:
            return None
        case = _nominative(governed(near))
        number = russian(above, case, "f")
        one = above % 10 == 1 and above % 100 != 11
        if one:
            return f"{number} {russian_ordinal(below, case, 'f')}"
        part: Case = "g" if case == "n" else case
        return f"{number} {russian_ordinal(below, part, 'm', plural=True)}"

    def ratio(self, first: int, second: int) -> str:
        return f"{russian(first)} к {russian(second, 'd')}"

    # The calendar and the clock.

    def date(self, day: int, month: int, year: int | None, near: Around) -> str:
        words = f"{russian_ordinal(day, _case_of_day(near), 'n')} {MONTHS_OF[month]}"
        return words if year is None else f"{words} {russian_ordinal(year, 'g')} года"

    def time(self, hour: int, minute: int, second: int | None, half: str, near: Around) -> str:
        case = _nominative(governed(near))
        words = russian(hour, case)
        if minute == 0 and second is None:
            return f"{words} {nouns.UNITS['ч'].counted(hour, case)}"
        if minute < 10:
            words += f" ноль {russian(minute) if minute else 'ноль'}"
        else:
            words += f" {russian(minute, case)}"
        if second is not None:
            seconds = nouns.UNITS["сек"]
            words += f" {russian(second, case, 'f')} {seconds.counted(second, case)}"
        return words

    def phone_group(self, digits: str) -> str:
        zeros = len(digits) - len(digits.lstrip("0"))
        if len(digits) > 3 or zeros == len(digits):
            return russian_digits(digits)
        return " ".join(filter(None, [russian_digits("0" * zeros), russian(int(digits))]))

    # What only Russian has.

    def special_number(self, text: str, at: int) -> list[Piece] | None:
        for rule in (_day_month, self._year, self._suffixed, self._compound, self._bare_year):
            pieces = rule(text, at)
            if pieces:
                return pieces
        return None

    def special_word(self, text: str, at: int, end: int) -> list[Piece] | None:
        return special_word(text, at, end)

    def _year(self, text: str, at: int) -> list[Piece] | None:
        """1999 год, в 1999 году, 1941–1945 гг."""
        found = _YEAR.match(text, at)
        if found is None:
            return None
        year, word = int(found[1]), found[5].lower().rstrip(".")
        is_short = word in ("г", "гг")
        if not (1_000 <= year <= 2_999 or (year >= 100 and word in ("год", "году", "г"))):
            return None
        near = around(text, at, found.end())
        if is_short:
            case = _case_of_year(near)
            said = (_YEARS_OF if word == "гг" or found[3] else _YEAR_OF)[case]
            if found[5].endswith(".") and ends_sentence(text, found.end()):
                said += "."
        else:
            case, said = _YEAR_CASES[word], found[5]
            case = "d" if word == "году" and near.last in ("к", "ко") else case
        pieces = [(russian_ordinal(year, case), found.end(1))]
        if found[3]:
            pieces += [(" — ", found.end(2)), (russian_ordinal(int(found[3]), case), found.end(3))]
        return [*pieces, (" ", found.end(4)), (said, found.end(5))]

    def _bare_year(self, text: str, at: int) -> list[Piece] | None:
        """в 1999, с 1990 по 1995: where nothing is counted."""
        found = _BARE_YEAR.match(text, at)
        if found is None or not _AFTER_YEAR.match(text, found.end()):
            return None
        before = words_before(text, at)
        if not before or before[-1] not in _YEAR_GOVERNORS:
            in_month = before and before[-1] in _MONTHS_ALL
            return [(russian_ordinal(int(found[1]), "g"), found.end())] if in_month else None
        return [(russian_ordinal(int(found[1]), _YEAR_GOVERNORS[before[-1]]), found.end())]

    def _suffixed(self, text: str, at: int) -> list[Piece] | None:
        found = _SUFFIXED.match(text, at)
        if found is None:
            return None
        words = self.ordinal(int(found[1]), found[2], around(text, at, found.end()))
        return [(words, found.end())] if words else None

    def _compound(self, text: str, at: int) -> list[Piece] | None:
        """20-летний, 5-комнатная: one word, the number in the genitive."""
        found = _COMPOUND.match(text, at)
        if found is None or int(found[1]) == 0:
            return None
        number = int(found[1])
        special = {1: "одно", 90: "девяносто", 100: "сто", 1_000: "тысяче"}.get(number)
        words = special or russian(number, "g").replace(" ", "")
        return [(words + found[2].lower(), found.end())]


_MONTHS_ALL = frozenset(
    """январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре января
    февраля марта апреля мая июня июля августа сентября октября ноября декабря январь февраль март
    апрель май июнь июль август сентябрь октябрь ноябрь декабрь весной летом осенью зимой""".split()
)
MONTHS_OF = ["", *MONTHS]
_YEAR_GOVERNORS: dict[str, Case] = {
    "в": "p", "к": "d", "с": "g", "до": "g", "после": "g", "от": "g", "по": "a", "около": "g",
}


def _nominative(case: Case) -> Case:
    """An accusative is a nominative, but for a feminine one."""
    return "n" if case == "a" else case


def _case_of_year(near: Around) -> Case:
    match near.last:
        case "в" | "о":
            return "p"
        case "к":
            return "d"
        case "" | "на" | "за" | "по" | "через":
            return "n"
    return "g"


def _case_of_day(near: Around) -> Case:
    """A date in a sentence says when, which is a genitive; named as such it is a nominative."""
    case = governed(near)
    if case in ("g", "d", "i", "p"):
        return case
    if near.last in _NAMING_A_DAY or near.last in ("по", "на", "за", "в"):
        return "n"
    return "g"


def _day_month(text: str, at: int) -> list[Piece] | None:
    """21 ноября, 1–9 мая, 21 ноября 2026; "года" after it is left to stand."""
    found = _DAY_MONTH.match(text, at)
    if found is None or not 1 <= int(found[1]) <= 31 or int(found[2] or 1) not in range(1, 32):
        return None
    case = _case_of_day(around(text, at, found.end()))
    pieces = [(russian_ordinal(int(found[1]), case, "n"), found.end(1))]
    if found[2]:
        pieces += [(" — ", found.start(2)), (russian_ordinal(int(found[2]), case, "n"),
                                             found.end(2))]  # fmt: skip
    pieces += [(" ", found.end(3)), (found[4], found.end(4))]
    if found[6]:
        year = russian_ordinal(int(found[6]), "g")
        short = re.compile(rf"{_SPACE}?г(?:ода|\.)?(?!\w)").match(text, found.end())
        pieces += [(" ", found.end(5)), (year, found.end(6))]
        if short is None:
            pieces[-1] = (f"{year} года", found.end(6))
        else:
            ends = short[0].endswith(".") and ends_sentence(text, short.end())
            pieces.append((" года." if ends else " года", short.end()))
    return pieces


def _cardinal_ending(number: int, suffix: str) -> str:
    """5-ти, 3-х, 2-мя: a cardinal that shows its case."""
    last, teens = number % 10, number % 100 // 10 == 1
    few = 2 <= last <= 4 and not teens
    if suffix in ("х", "ух", "ёх", "ех") and few:
        return russian(number, "g")
    if suffix in ("мя", "ми") and few:
        return russian(number, "i")
    if suffix in ("ти", "и") and not few and last != 1:
        return russian(number, "g")
    if suffix == "ю" and not few and last != 1:
        return russian(number, "i")
    return ""
