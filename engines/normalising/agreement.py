"""In which form a Russian number stands, as far as the words around it show. Pure.

The word that is counted is already written in its form, and its ending shows more than the
preposition before the number: "с 5 друзьями" and "с 5 минут" differ only there. Nothing is
looked up in a dictionary; where the endings say nothing the number is in the nominative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .numerals import Case, Gender
from .tongue import Around

_GENITIVE = frozenset(
    """около до от из без для после более менее больше меньше свыше кроме против среди у вокруг
    порядка течение протяжении размере количестве возрасте расстоянии высоте глубине радиусе длине
    сумме стоимости весе скорости из-за ото изо вместо помимо внутри мимо накануне свыше половина
    выше ниже старше моложе дольше чаще реже дороже дешевле максимум достигает достигла""".split()
)
_DATIVE = frozenset("к ко благодаря согласно вопреки навстречу равно равна равен равны".split())
_INSTRUMENTAL = frozenset("между перед над".split())
_PREPOSITIONAL = frozenset("о об обо при".split())
_ACCUSATIVE = frozenset("через за в на во про спустя сквозь".split())
# Words that are counted by nobody, though they may follow a number.
_NOT_COUNTED = frozenset(
    """и или а но да не ни же ли бы что как так там тут вот это то он она они мы вы я ты их его её
    ее из от до по за на в во к ко с со у о об для без при над под перед между через после около
    чем если когда где куда ещё еще уже только лишь даже было был была были есть нет будет будут
    раз плюс минус процентов""".split()
)
_ADJECTIVE = re.compile(
    r".{2,}(?:ых|их|ые|ие|ым|им|ыми|ими|ая|яя|ой|ую|юю|ого|его|ому|ему|ый|ое|ее)$"
)
_DATIVE_PLURAL = re.compile(r".{2,}[аяиы]?[ая]м$")
_INSTRUMENTAL_PLURAL = re.compile(r".{2,}(?:[ая]ми|ьми)$")
_PREPOSITIONAL_PLURAL = re.compile(r".{2,}[ая]х$")
_GENITIVE_PLURAL = re.compile(r".{2,}(?:[оеё]в|[её]й|[бвгджзйклмнпрстфхцчшщь])$")
# What ends as these cases do and is a genitive plural, or a nominative.
_NOT_DATIVE = frozenset("дам драм реклам панорам ям мам храм экзам грам хам там".split())
_NOT_PREPOSITIONAL = frozenset("монах запах взмах размах страх прах мах".split())
# What is rather numbered than counted, with the endings of the singular.
_NUMBERED_M = re.compile(
    r"(класс|этаж|курс|век|том|квартал|раунд|тур|ряд|кабинет|номер|урок|сезон|выпуск|эпизод|пункт"
    r"|параграф|вагон|канал|разряд|съезд|этап)(|а|у|ом|ем|е)"
)
_NUMBERED_F = re.compile(
    r"(?!недель$)(?:глав|страниц|минут|секунд|сери|групп|част|недел|школ|палат|строк|стади|попытк|платформ"
    r"|категори|степен)(а|я|ь|ы|и|у|ю|е|ой|ей|ью)"
)
# These end as an instrumental does, and are none.
_NOT_INSTRUMENTAL = frozenset(
    """дом том атом альбом симптом диплом перелом гном слом лом ром ком сом аэродром ипподром
    синдром подъём приём объём заём водоём подъем прием объем заем водоем шлем крем тотем гарем
    излом пролом хром режим зажим нажим псевдоним синоним антоним пилигрим аноним слой бой герой
    строй настрой
    перебой пробой прибой сбой покой рой музей юбилей хоккей трофей клей ручей воробей соловей
    муравей лицей злодей улей репей пырей клён""".split()
)
_SOFT_MASCULINE = re.compile(
    r"(?:тель|арь|день|рубль|уровень|корабль|лагерь|камень|огонь|путь|зверь|гость|дождь|конь|ноль"
    r"|пароль|контроль|профиль|стиль|автомобиль|апрель|июнь|июль|[кбн]рь|корень|ремень|ливень"
    r"|медведь|голубь|портфель|отель|мотель|тоннель|шампунь|картофель|ноготь"
    r"|модуль|ансамбль|кабель|дирижабль|госпиталь|фестиваль|локоть|юань)$"
)
_MASCULINE_IN_A = frozenset("мужчина папа дядя дедушка юноша судья коллега мальчишка".split())
_FEMININE_IN_E = re.compile(
    r"(?:минуте|секунде|главе|странице|неделе|палате|школе|квартире|комнате|группе|строке|улице"
    r"|попытке|тысяче|больнице|платформе|встрече|игре|ступени|парте|полосе|части|смене|зоне)$"
)


@dataclass(frozen=True, slots=True)
class Form:
    """`ordinal`: it names the fifth, and does not count five."""

    case: Case = "n"
    gender: Gender = "m"
    ordinal: bool = False


def counted_word(around: Around) -> str:
    """What is counted, in small letters; empty where that is not written out in Russian."""
    first, second = (word.lower() for word in around.after)
    if not _is_russian(first) or first in _NOT_COUNTED:
        return ""
    if _ADJECTIVE.match(first) and _is_russian(second) and second not in _NOT_COUNTED:
        return second
    return first


def governed(around: Around) -> Case:
    """The case that the words before a number ask for."""
    before = around.before
    for back, word in enumerate(reversed(before)):
        if word in ("и", "или", "до") and back and word != "до":
            continue
        if word.isdecimal() and back:
            continue  # "между 5 и 10"
        if word == "чем":  # "More than five" is a nominative again.
            return "n"
        for case, words in _GOVERNORS:
            if word in words:
                return case
        if back == 0 and word in ("с", "со"):
            return "g"
        if word not in ("и", "или"):
            break
    return "n"


_GOVERNORS: tuple[tuple[Case, frozenset[str]], ...] = (
    ("g", _GENITIVE), ("d", _DATIVE), ("i", _INSTRUMENTAL), ("p", _PREPOSITIONAL),
    ("a", _ACCUSATIVE),
)  # fmt: skip


def form_of(number: int, around: Around) -> Form:
    """The form of a whole number before a word that is written out, or before nothing."""
    word, case = counted_word(around), governed(around)
    last, teens = number % 10, number % 100 // 10 == 1
    if not word:
        return Form("n" if case == "a" else case, "m")
    if _is_named_by(number, word, around):
        return replace(ordinal_form(around), ordinal=True)
    if last == 1 and not teens:
        return _form_of_one(word, case)
    if around.last in ("в", "на", "во") and _stands_alone(word):
        return Form("p", "f" if _FEMININE_IN_E.search(word) else "m", ordinal=True)
    shown = _case_of_plural(word)
    gender: Gender = "m"
    if 2 <= last <= 4 and not teens:
        gender = _gender_of_few(around, word)
        if shown is None and _GENITIVE_PLURAL.match(word):
            shown = "g"
    if shown is not None:
        return Form(shown, gender)
    return Form("n" if case == "a" else case, gender)


def _is_named_by(number: int, word: str, around: Around) -> bool:
    """What is numbered and stands in a form in which so many are not counted: "7 этаж",
    "5 класса", "21 век", though "2 класса" and "21 глава" may be either, and are counted."""
    last, teens = number % 10, number % 100 // 10 == 1
    one, few = last == 1 and not teens, 2 <= last <= 4 and not teens
    if masculine := _NUMBERED_M.fullmatch(word):
        if one:
            in_place = masculine[2] == "е" and around.last in ("в", "во", "на")
            return masculine[1] == "век" or in_place
        return not (few and masculine[2] == "а")
    if feminine := _NUMBERED_F.fullmatch(word):
        if one:
            return feminine[1] == "е" and around.last in ("в", "во", "на")
        return not (few and feminine[1] in ("ы", "и"))
    return False


def _stands_alone(word: str) -> bool:
    """A singular after a number: "на 2 этаже", "в 5 классе". No more than one is counted so."""
    return len(word) > 3 and word.endswith("е") and not word.endswith(("ые", "ие", "ое", "ее"))


def _case_of_plural(word: str) -> Case | None:
    if _INSTRUMENTAL_PLURAL.match(word):
        return "i"
    if _DATIVE_PLURAL.match(word) and word not in _NOT_DATIVE and not word.endswith("грамм"):
        return "d"
    if _PREPOSITIONAL_PLURAL.match(word) and word not in _NOT_PREPOSITIONAL:
        return "p"
    return None


def _gender_of_few(around: Around, word: str) -> Gender:
    """Two of what: the genitive singular of a feminine noun ends in ы or и."""
    first = around.after[0].lower()
    if first != word and first.endswith(("ые", "ие")):
        return "f"
    feminine = word.endswith(("ы", "и")) and not word.endswith(("мени", "пути", "ми"))
    return "f" if feminine else "m"


def _form_of_one(word: str, case: Case) -> Form:
    """One of what: a singular, whose ending shows its gender and case, or its preposition does."""
    if word in _NOT_INSTRUMENTAL:
        return Form("n", "m")
    for endings, form in _ADJECTIVES_OF_ONE:
        if word.endswith(endings) and len(word) > 4:
            return form
    if word.endswith("ью"):
        return Form("i", "f")
    if word.endswith("мя"):
        return Form("n", "n")
    if word.endswith(("а", "я")) and word not in _MASCULINE_IN_A:
        return Form("g", "m") if case == "g" else Form("n", "f")
    if word.endswith(("у", "ю")):
        return Form("d", "m") if case == "d" else Form("a", "f")
    if word.endswith(("ы", "и")):
        return Form(case if case in ("g", "d", "p") else "g", "f")
    if word.endswith(("ом", "ем", "ём")):
        return Form("i", "m")
    if word.endswith(("ой", "ей")):
        return Form("i", "f")
    if word.endswith(("о", "е", "ё")):
        if case in ("p", "a", "d") and word.endswith("е"):
            oblique: Case = "d" if case == "d" else "p"
            return Form(oblique, "f" if case == "d" or _FEMININE_IN_E.search(word) else "m")
        return Form("n", "n")
    if word.endswith("ь") and not _SOFT_MASCULINE.search(word):
        return Form("a" if case == "a" else "n", "f")
    return Form("n", "m")


_ADJECTIVES_OF_ONE: tuple[tuple[tuple[str, ...], Form], ...] = (
    (("ого", "его"), Form("g", "m")), (("ому", "ему"), Form("d", "m")),
    (("ую", "юю"), Form("a", "f")), (("ая", "яя"), Form("n", "f")), (("ое", "ее"), Form("n", "n")),
    (("ый", "ий"), Form("n", "m")), (("ым", "им"), Form("i", "m")),
)  # fmt: skip


def ordinal_form(around: Around) -> Form:
    """The form of an ordinal before a noun that is written out: "XIX веке", "II мировой"."""
    word, case = around.after[0].lower(), governed(around)
    for endings, form in _ADJECTIVES_OF_ONE:
        if word.endswith(endings) and len(word) > 4:
            return form
    if word.endswith("ой") and around.after[1] and len(word) > 4:
        return Form(case if case in ("d", "i", "p") else "g", "f")
    if _FEMININE_ORDERED.match(word):
        return Form(_case_of_feminine(word, case), "f")
    gender: Gender = "n" if _NEUTER_ORDERED.match(word) else "m"
    return Form(_case_of_masculine(word, gender, around.last), gender)


def _case_of_feminine(word: str, case: Case) -> Case:
    if word.endswith(("ы", "и")):
        return case if case in ("d", "p") else "g"
    if word.endswith("е"):
        return "d" if case == "d" else "p"
    if word.endswith(("у", "ю")) and not word.endswith("ью"):
        return "a"
    return "i" if word.endswith(("ой", "ей", "ью")) else "n"


def _case_of_masculine(word: str, gender: Gender, before: str) -> Case:
    if word.endswith(("а", "я")):
        return "g"
    if word.endswith(("у", "ю")):
        return "p" if word == "году" and before in ("в", "о") else "d"
    if word.endswith(("ом", "ем", "ём")):
        return "i"
    if gender == "n":
        return "p" if word.endswith(("те", "ии")) else "n"
    return "p" if word.endswith("е") else "n"


_FEMININE_ORDERED = re.compile(
    r"степен|глав|част|групп|войн|категори|очеред|парт|ступен|сери|фаз|половин|трет|лини|стади"
    r"|страниц|минут|секунд|недел|школ|палат|строк|попытк|платформ"
)
_NEUTER_ORDERED = re.compile(r"мест|тысячелети|полугоди|десятилети|столети|отделени|издани")


def _is_russian(word: str) -> bool:
    return bool(word) and all("а" <= char <= "я" or char in "ё\u0301" for char in word.lower())
