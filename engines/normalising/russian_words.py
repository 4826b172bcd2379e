"""Russian words that are not said as they are written: abbreviations, acronyms, Roman numerals.
Pure."""

from __future__ import annotations

import re

from . import nouns, roman
from .agreement import governed, ordinal_form
from .english_words import SPELLED
from .numerals import Case, Gender, russian_ordinal
from .spans import Piece
from .tongue import Around, around, words_before

MONTHS = (
    "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября",
    "октября", "ноября", "декабря",
)  # fmt: skip
# Fixed expressions, the longest first. What ends with "$" may end a sentence too.
_EXPRESSIONS = {
    r"и\s?т\.\s?д\.": "и так далее$", r"и\s?т\.\s?п\.": "и тому подобное$",
    r"и\s?др\.": "и другие$", r"и\s?пр\.": "и прочее$", r"т\.\s?е\.": "то есть",
    r"т\.\s?к\.": "так как", r"т\.\s?н\.": "так называемый", r"т\.\s?о\.": "таким образом",
    r"до\s?н\.\s?э\.": "до нашей эры$", r"н\.\s?э\.": "нашей эры$", r"в\s?т\.\s?ч\.": "в том числе",
    r"с\.\s?г\.": "сего года$", r"напр\.": "например", r"см\.": "смотри", r"ср\.": "сравни",
    r"тел\.": "телефон", r"им\.": "имени", r"проф\.": "профессор", r"акад\.": "академик",
    r"доц\.": "доцент", r"св\.": "святой", r"гр\.": "гражданин", r"тов\.": "товарищ",
    r"г-н": "господин", r"г-жа": "госпожа", r"гг\.": "годы$", r"вв\.": "века$", r"англ\.":
    "английский", r"рус\.": "русский", r"прим\.": "примечание", r"мин\.": "минут$",
    r"макс\.": "максимум", r"руб\.": "рублей$", r"коп\.": "копеек$", r"млн\.?": "миллионов",
    r"млрд\.?": "миллиардов", r"тыс\.": "тысяч", r"чел\.": "человек$", r"др\.": "другие$",
}  # fmt: skip
_EXPRESSION = re.compile(
    "|".join(f"({pattern})" for pattern in _EXPRESSIONS) + r"(?!\w)", re.IGNORECASE
)
_WORDS_OF = list(_EXPRESSIONS.values())
_STARTS = frozenset(re.split(r"\W", pattern)[0] for pattern in _EXPRESSIONS)
# Before a number.
_NUMBERED = {"рис": "рисунок", "гл": "глава", "стр": "страница", "с": "страница", "п": "пункт",
             "табл": "таблица", "ст": "статья", "т": "том", "д": "дом", "кв": "квартира",
             "к": "корпус", "оф": "офис", "эт": "этаж", "тел": "телефон", "разд": "раздел",
             "ч": "часть"}  # fmt: skip
_BEFORE_NUMBER = re.compile(r"\.[ \u00a0]?(?=\d)")
_BEFORE_NAME = re.compile(r"\.[ \u00a0]?(?=[«\"]?[А-ЯЁ]|\d+-)")
_CENTURY = re.compile(r"[ \u00a0](?:в\.|вв\.|век(?:ами|ах|ам|ов|ом|е|а|у|и)?(?!\w))")
_CENTURY_CASES: dict[str, Case] = {
    "век": "n", "века": "g", "веку": "d", "веком": "i", "веке": "p", "веков": "g", "веках": "p",
    "веками": "i", "векам": "d", "веки": "n",
}  # fmt: skip
_RULERS = re.compile(
    r"(Никола|Васили|Пи|Юли|Пётр|Петр|Александр|Павл|Павел|Иван|Карл|Людовик|Генрих|Георг|Фридрих|"
    r"Вильгельм|Филипп|Фёдор|Наполеон|Рамсес|Иоанн|Бенедикт|Франциск|Эдуард|Яков|Ричард)"
    r"(а|я|й|у|ю|ом|ем|ём|е|и)?$"
)
_QUEENS = re.compile(r"(Екатерин|Елизавет|Анн|Мари|Маргарит|Изабелл|Виктори|Кристин)(\w{1,2})$")
_KING_CASES: dict[str, Case] = {
    "а": "g", "я": "g", "й": "n", "у": "d", "ю": "d", "ом": "i", "ем": "i", "ём": "i", "е": "p",
    "и": "p",
}
_QUEEN_CASES: dict[str, Case] = {
    "а": "n", "я": "n", "ы": "g", "и": "g", "е": "d", "у": "a", "ю": "a", "ой": "i", "ей": "i",
}
_LAST_WORD = re.compile(r"([А-ЯЁа-яё]{2,20})[ \u00a0]$")
_LETTERS = {
    pair[0]: pair[2:].replace("_", " ")
    for pair in (
        "А:а Б:бэ В:вэ Г:гэ Д:дэ Е:е Ё:ё Ж:жэ З:зэ И:и Й:и_краткое К:ка Л:эл М:эм Н:эн О:о П:пэ "
        "Р:эр С:эс Т:тэ У:у Ф:эф Х:ха Ц:цэ Ч:че Ш:ша Щ:ща Ъ:твёрдый_знак Ы:ы Ь:мягкий_знак Э:э "
        "Ю:ю Я:я"
    ).split()
}
_LATIN = {
    pair[0]: pair[2:]
    for pair in (
        "A:эй B:би C:си D:ди E:и F:эф G:джи H:эйч I:ай J:джей K:кей L:эл M:эм N:эн O:оу P:пи "
        "Q:кью R:ар S:эс T:ти U:ю V:ви W:даблъю X:экс Y:уай Z:зет"
    ).split()
}
_SPELLED = frozenset(
    """СССР РФ ГДР ООН ЕС МГУ МВД ФСБ МЧС ЦБ ВВП НДС ЖКХ ЕГЭ ОГЭ ДНК РНК ЭВМ ПК ИП ООО ОАО ЗАО АО
    ТЦ ДТП ИИ КПД ЧП ЛДПР КПРФ АЭС ТЭЦ ИТ ИФ МГТУ НГУ РЖД АТС ЕАЭС""".split()
)
# Said otherwise than by the names of their letters.
_SAID = {"СПбГУ": "эс пэ бэ гэ у", "ФРГ": "фэ эр гэ", "США": "сэ шэ а", "ГИБДД": "ги бэ дэ дэ"}
_VOWELS = frozenset("АЕЁИОУЫЭЮЯAEIOUY")


def special_word(text: str, at: int, end: int) -> list[Piece] | None:
    word = text[at:end]
    for rule in (_expression, _numbered, _place, _ordered, _acronym):
        pieces = rule(text, at, end, word)
        if pieces:
            return pieces
    return None


def _expression(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    if word.lower() not in _STARTS:
        return None
    found = _EXPRESSION.match(text, at)
    if found is None or found.end() < end or found.lastindex is None:
        return None
    said = _WORDS_OF[found.lastindex - 1]
    if said.endswith("$"):
        stop = "." if found[0].endswith(".") and ends_sentence(text, found.end()) else ""
        said = said[:-1] + stop
    return [(said, found.end())]


def _numbered(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    found = _BEFORE_NUMBER.match(text, end)
    if found is None or word.lower() not in _NUMBERED:
        return None
    return [(_NUMBERED[word.lower()], end + 1), (" ", found.end())]


def _place(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """ул. Ленина, г. Москва: in the case that the word before asks for."""
    short = word.lower()
    longer = re.compile(r"-(?:т|р|н)(?!\w)").match(text, end)
    if longer:
        short, end = short + longer[0], longer.end()
    if short not in nouns.PLACES:
        return None
    noun, before = nouns.PLACES[short], words_before(text, at)
    found = _BEFORE_NAME.match(text, end)
    if found is None:
        return None
    if before and before[-1] in ("на", "в", "во") and short in nouns.PLACED:
        form = noun.one("p")
    else:
        case = governed(Around(before[-1:], ("", "")))
        form = noun.one(case)
    return [(form, end + 1), (" ", found.end())] if found.end() > end + 1 else [(form, end + 1)]


def _ordered(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """XIX век, Пётр I, II квартал, глава IV."""
    number = roman.value_of(word)
    if number is None or number > 100:
        return None
    before = _LAST_WORD.search(text, max(0, at - 24), at)
    if before is not None and (form := _ruler(before[1])) is not None:
        return [(russian_ordinal(number, *form), end)]
    century = _CENTURY.match(text, end)
    if century is not None:
        return _of_century(text, at, end, number, century)
    near = around(text, at, end)
    if _ORDERED.match(near.after[0].lower()):
        wanted = ordinal_form(near)
        return [(russian_ordinal(number, wanted.case, wanted.gender), end)]
    if before is not None and (gender := _HEADED.get(before[1].lower())) is not None:
        return [(russian_ordinal(number, "n", gender), end)]
    return None


def _of_century(
    text: str, at: int, end: int, number: int, century: re.Match[str]
) -> list[Piece]:
    written = century[0].strip()
    near = around(text, at, century.end())
    if not written.endswith("."):
        return [(russian_ordinal(number, _CENTURY_CASES[written]), end)]
    case: Case = "p" if near.last in ("в", "о") else "d" if near.last == "к" else (
        "g" if near.before else "n")  # fmt: skip
    forms = ("век века веку век веком веке" if written == "в." else
             "века веков векам века веками веках").split()  # fmt: skip
    said = forms["ngdaip".index(case)]
    if ends_sentence(text, century.end()):
        said += "."
    return [(russian_ordinal(number, case), end), (f" {said}", century.end())]


_ORDERED = re.compile(
    r"(квартал|мест|степен|тысячелети|том|част|глав|этап|съезд|групп|категори|класс|тур|раунд|"
    r"миров|курс|разряд|созыв|половин|интернационал|международн|всеросс|олимпийск|национальн|"
    r"отечествен|крестов|вселенск|полугоди)"
)
_HEADED: dict[str, Gender] = {
    "глава": "f", "часть": "f", "том": "m", "раздел": "m", "акт": "m", "группа": "f",
    "категория": "f", "степень": "f", "тип": "m", "класс": "m", "фаза": "f",
}


def _ruler(name: str) -> tuple[Case, Gender] | None:
    if king := _RULERS.match(name):
        return _KING_CASES.get(king[2] or "", "n"), "m"
    if (queen := _QUEENS.match(name)) and queen[2] in _QUEEN_CASES:
        return _QUEEN_CASES[queen[2]], "f"
    return None


def _acronym(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """Spelled where it is known to be, or where it has no vowel to be said with."""
    if not 2 <= len(word) <= 6 or not (word.isupper() or word in _SAID):
        return None
    if word in _SAID:
        return [(_SAID[word], end)]
    known = word in _SPELLED or word in SPELLED
    letters = _LATIN if word[0] in _LATIN else _LETTERS
    if not all(char in letters for char in word):
        return None
    if not known and _VOWELS & set(word):
        return None
    if not known and _is_shouted(text, at, end):
        return None
    return [(" ".join(letters[char] for char in word), end)]


def _is_shouted(text: str, at: int, end: int) -> bool:
    """It stands among other words in capitals."""
    around_it = text[max(0, at - 24) : at] + text[end : end + 24]
    words = [
        word for word in re.findall(r"[^\W\d_]+", around_it)
        if len(word) > 3 and word not in _SPELLED and word not in _SAID
    ]  # fmt: skip
    return bool(words) and all(word.isupper() for word in words)


def ends_sentence(text: str, at: int) -> bool:
    """Whether the stop before `at` may end a sentence: nothing follows it, or a capital."""
    found = _FOLLOWING.match(text, at)
    return found is not None and (not found[1] or (found[1].isupper() and found.end() > at + 1))


_FOLLOWING = re.compile(r"[\s\"»”)]{0,3}(.?)", re.DOTALL)
