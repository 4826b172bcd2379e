"""Russian nouns that numbers are said with, in all their forms. Pure.

Only the words that are themselves written short (km, $, ул.) need to be declined here; what is
written out already stands in its form.
"""

from __future__ import annotations

from dataclasses import dataclass

from .numerals import Case, Gender

_CASES = "ngdaip"
# The endings of a declension: six of the singular, six of the plural; "-" is no ending.
_MASCULINE = "- а у - ом е", "ы ов ам ы ами ах"
_MASCULINE_SOFT = "ь я ю ь ём е", "и ей ям и ями ях"
_MASCULINE_SOFT_UNSTRESSED = "ь я ю ь ем е", "и ей ям и ями ях"
_FEMININE = "а ы е у ой е", "ы - ам ы ами ах"
_FEMININE_K = "а и е у ой е", "и - ам и ами ах"
_FEMININE_SOFT = "ь и и ь ью и", "и ей ям и ями ях"
_FEMININE_YA = "я и е ю ей е", "и ь ям и ями ях"
_NEUTER = "о а у о ом е", "а - ам а ами ах"


@dataclass(frozen=True, slots=True)
class Noun:
    """`singular` and `plural` in the order nominative, genitive, dative, accusative,
    instrumental, prepositional. `adjective`: what stands before it, without its ending;
    `tail`: what stands after it and is not declined."""

    gender: Gender
    singular: tuple[str, ...]
    plural: tuple[str, ...]
    adjective: str = ""
    tail: str = ""

    def one(self, case: Case) -> str:
        """The singular."""
        word = self.singular[_CASES.index(case)]
        ending = _ADJECTIVE[self.gender][_CASES.index(case)] if self.adjective else ""
        return self._with(word, ending)

    def counted(self, number: int, case: Case) -> str:
        """The form after a whole number that stands in this case."""
        last, tens = number % 10, number % 100 // 10
        if last == 1 and tens != 1:
            return self.one(case)
        if case in ("n", "a"):
            if 2 <= last <= 4 and tens != 1:
                return self._with(self.singular[1], "ые" if self.gender == "f" else "ых")
            return self._with(self.plural[1], "ых")
        return self._with(self.plural[_CASES.index(case)], _ADJECTIVE_MANY[case])

    def of_part(self) -> str:
        """The form after a decimal: one and a half *of a metre*."""
        return self.one("g")

    def many(self) -> str:
        """The form after a million."""
        return self._with(self.plural[1], "ых")

    def _with(self, word: str, ending: str) -> str:
        if self.adjective.endswith("к"):  # Never an ы after a к.
            ending = ending.replace("ы", "и")
        before = f"{self.adjective}{ending} " if self.adjective else ""
        return f"{before}{word}{self.tail}"


_ADJECTIVE: dict[Gender, list[str]] = {
    "m": "ый ого ому ый ым ом".split(),
    "f": "ая ой ой ую ой ой".split(),
    "n": "ое ого ому ое ым ом".split(),
}
_ADJECTIVE_MANY: dict[Case, str] = {
    "n": "ые", "g": "ых", "d": "ым", "a": "ые", "i": "ыми", "p": "ых",
}  # fmt: skip


def noun(
    gender: Gender, stem: str, declension: tuple[str, str], of_many: str = "", *,
    adjective: str = "", tail: str = "",
) -> Noun:  # fmt: skip
    """`of_many`: the genitive plural where it is not as the others."""
    forms = [
        tuple(stem + ending.strip("-") for ending in endings.split()) for endings in declension
    ]
    singular, plural = forms
    if of_many:
        plural = (plural[0], of_many, *plural[2:])
    return Noun(gender, singular, plural, adjective, tail)


def _unchanging(word: str, gender: Gender = "n") -> Noun:
    return Noun(gender, (word,) * 6, (word,) * 6)


def _m(stem: str, of_many: str = "", tail: str = "", adjective: str = "") -> Noun:
    return noun("m", stem, _MASCULINE, of_many, tail=tail, adjective=adjective)


_HOUR = " в час"
_SECOND = " в секунду"
_GRAM = "грамм", "килограмм", "миллиграмм"

UNITS: dict[str, Noun] = {
    "км": _m("километр"), "м": _m("метр"), "дм": _m("дециметр"), "см": _m("сантиметр"),
    "мм": _m("миллиметр"), "мкм": _m("микрометр"), "нм": _m("нанометр"),
    "г": _m(_GRAM[0]), "кг": _m(_GRAM[1]), "мг": _m(_GRAM[2]),
    "т": noun("f", "тонн", _FEMININE), "ц": _m("центнер"),
    "л": _m("литр"), "мл": _m("миллилитр"), "га": _m("гектар"),
    "ч": _m("час"), "мин": noun("f", "минут", _FEMININE), "сек": noun("f", "секунд", _FEMININE),
    "мс": noun("f", "миллисекунд", _FEMININE), "сут": Noun(
        "f", ("сутки", "суток", "суткам", "сутки", "сутками", "сутках"),
        ("сутки", "суток", "суткам", "сутки", "сутками", "сутках")),
    "км/ч": _m("километр", tail=_HOUR), "м/с": _m("метр", tail=_SECOND),
    "км/с": _m("километр", tail=_SECOND), "м/мин": _m("метр", tail=" в минуту"),
    "м²": _m("метр", adjective="квадратн"), "км²": _m("километр", adjective="квадратн"),
    "см²": _m("сантиметр", adjective="квадратн"), "м³": _m("метр", adjective="кубическ"),
    "°": _m("градус"), "°c": _m("градус", tail=" Цельсия"), "°f": _m("градус", tail=" Фаренгейта"),
    "%": _m("процент"), "‰": _unchanging("промилле"),
    "гц": _m("герц", "герц"), "кгц": _m("килогерц", "килогерц"),
    "мгц": _m("мегагерц", "мегагерц"), "ггц": _m("гигагерц", "гигагерц"),
    "вт": _m("ватт", "ватт"), "квт": _m("киловатт", "киловатт"),
    "мвт": _m("мегаватт", "мегаватт"), "квт·ч": _m("киловатт-час"),
    "в": _m("вольт", "вольт"), "мач": _m("миллиампер-час"),
    "байт": _m("байт", "байт"), "кб": _m("килобайт", "килобайт"), "мб": _m("мегабайт", "мегабайт"),
    "гб": _m("гигабайт", "гигабайт"), "тб": _m("терабайт", "терабайт"),
    "мбит/с": _m("мегабит", "мегабит", tail=_SECOND),
    "гбит/с": _m("гигабит", "гигабит", tail=_SECOND),
    "ккал": noun("f", "килокалори", ("я и и ю ей и", "и й ям и ями ях")),
    "л.с": noun("f", "сил", _FEMININE, adjective="лошадин"),
    "чел": Noun("m", ("человек", "человека", "человеку", "человека", "человеком", "человеке"),
                ("люди", "человек", "людям", "человек", "людьми", "людях")),
    "шт": noun("f", "штук", _FEMININE_K), "экз": _m("экземпляр"), "стр": noun(
        "f", "страниц", ("а ы е у ей е", "ы - ам ы ами ах")),
    "год": Noun("m", ("год", "года", "году", "год", "годом", "году"),
                ("годы", "лет", "годам", "годы", "годами", "годах")),
    "мес": noun("m", "месяц", ("- а у - ем е", "ы ев ам ы ами ах")),
    "тыс": noun("f", "тысяч", ("а и е у ей е", "и - ам и ами ах")),
    "млн": _m("миллион"), "млрд": _m("миллиард"), "трлн": _m("триллион"),
}  # fmt: skip
# Written otherwise, meaning the same.
_SAME = {
    "км2": "км²", "м2": "м²", "см2": "см²", "м3": "м³", "кв. м": "м²", "кв.м": "м²",
    "кв. км": "км²", "куб. м": "м³", "куб.м": "м³", "°с": "°c", "км": "км", "km": "км", "m": "м",
    "cm": "см", "mm": "мм", "kg": "кг", "g": "г", "km/h": "км/ч", "m/s": "м/с", "hz": "гц",
    "khz": "кгц", "mhz": "мгц", "ghz": "ггц", "mb": "мб", "gb": "гб", "tb": "тб", "kb": "кб",
    "ms": "мс", "мин": "мин", "квтч": "квт·ч", "л. с": "л.с", "час": "ч", "mbit/s": "мбит/с",
    "mbps": "мбит/с", "ml": "мл", "min": "мин", "kw": "квт", "w": "вт", "млн": "млн",
}  # fmt: skip

_KOPECK = noun("f", "копе", ("йка йки йке йку йкой йке", "йки ек йкам йки йками йках"))
_CENT = _m("цент")
_ROUBLE = noun("m", "рубл", _MASCULINE_SOFT)
_POUND = _m("фунт")
_PENCE = _m("пенс")
CURRENCIES: dict[str, tuple[Noun, Noun | None]] = {
    "₽": (_ROUBLE, _KOPECK), "$": (_m("доллар"), _CENT), "€": (_unchanging("евро"), _CENT),
    "£": (_POUND, _PENCE), "¥": (noun("f", "иен", _FEMININE), None),
    "₴": (noun("f", "грив", ("на ны не ну ной не", "ны ен нам ны нами нах")), _KOPECK),
    "₸": (_unchanging("тенге"), None), "коп": (_KOPECK, None), "¢": (_CENT, None),
    "юань": (noun("m", "юан", _MASCULINE_SOFT_UNSTRESSED), None),
}  # fmt: skip
CURRENCY_NAMES = {
    "руб": "₽", "р": "₽", "rub": "₽", "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "uah": "₴",
    "kzt": "₸", "cny": "юань", "us$": "$",
}  # fmt: skip

# Places that are written short before their name.
PLACES: dict[str, Noun] = {
    "ул": noun("f", "улиц", ("а ы е у ей е", "ы - ам ы ами ах")),
    "пл": noun("f", "площад", _FEMININE_SOFT), "пр": _m("проспект"), "просп": _m("проспект"),
    "пр-т": _m("проспект"),
    "пер": noun("m", "переул", ("ок ка ку ок ком ке", "ки ков кам ки ками ках")),
    "наб": noun("f", "набережн", ("ая ой ой ую ой ой", "ые ых ым ые ыми ых")),
    "б-р": _m("бульвар"), "ш": _unchanging("шоссе"),
    "г": _m("город"), "д": noun("m", "дом", _MASCULINE), "кв": noun("f", "квартир", _FEMININE),
    "обл": noun("f", "област", _FEMININE_SOFT), "р-н": _m("район"),
    "пос": noun("m", "посёл", ("ок ка ку ок ком ке", "ки ков кам ки ками ках")),
}  # fmt: skip
# In these the street and the town stand in the prepositional: "на улице", "в городе".
PLACED = frozenset("ул пл пр просп пр-т пер наб б-р ш г обл р-н пос".split())


def unit(written: str) -> Noun:
    """Raises `KeyError` for what is none."""
    name = written.lower().replace("\u00a0", " ").rstrip(".")
    return UNITS[_SAME.get(name, name)]


def unit_names() -> list[str]:
    return sorted({*UNITS, *_SAME} - {"год", "в"}, key=len, reverse=True)
