"""What somebody said, taken apart: words and their stems, numbers, and the words after a word.

It is meant for short spoken requests, in English and Russian, with punctuation and capital
letters or, as weak recognisers write, without. Pure.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

CHARS_MAX = 400  # Half a minute of speech.
RUN_WORDS_MAX = 4

_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]*\w"  # an address
    r"|https?://[^\s\"'<>]*\w"
    r"|-?\d+(?:[.,:/-]\d+)*(?:(?:st|nd|rd|th|am|pm)\b)?"
    r"|[^\W_]+(?:['’.-][^\W_]+)*"
)
_DIGITS = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_CLAUSE_ENDS = ".,;:!?…()\"«»“”\n"
_CAMEL = re.compile(r"(?<=[a-zа-я0-9])(?=[A-ZА-Я])|[\W_]+")

STOP_WORDS = frozenset(
    """a an the this that these those some any it its i i'm me my mine we us our you your he him his
    she her they them their there here is are am was were be been being do does did done have has
    had will would shall should can could may might must let let's what what's which who whose when
    where why how if then than so too very just only also and or but not no yes ok okay please
    right now like of in on at to for from by with about into over under up down out off as again
    want need hello hi hey thanks thank well oh um uh one ones thing things really much many more
    most other another ask asks asked user users caller callers person people call calls called
    tool function use uses used using return returns returned given based know say says mean means
    а и или но не ни да нет ну вот же ли бы в во на с со к ко у о об от до из за по под над при для
    про без через это этот эта эти тот та те то я мне меня мы нас нам ты тебя тебе вы вас вам он она
    оно они его ее их ему ей им мой моя мое мои твой ваш наш свой что какой какая какое какие как
    кто где когда куда откуда почему зачем сколько ли есть быть был была было будет пожалуйста
    сейчас хочу хотел хотела нужно надо можно можешь можете если чтобы такое такой там тут здесь
    очень еще уже только просто давай привет спасибо вызов вызови пользователь""".split()
)
# Verbs that say nothing about which tool is meant.
GENERIC = frozenset(
    """get gets fetch find show tell give take make look lookup check see go run execute do handle
    retrieve obtain provide current currently latest new info information data details value item
    узнать узнай узнает получить получи показать покажи сказать скажи дать дай найти найди посмотри
    проверить проверь сделать сделай текущий текущая текущую""".split()
)
# Verbs that several tools may share: they decide only together with something else.
ACTIONS = frozenset(
    """add send set book order play start stop cancel create delete remove open close turn switch
    search calculate compute convert translate remind schedule update change move transfer buy pay
    reserve read write save list submit register record roll pick choose count
    добавить добавь отправить отправь поставить поставь заказать закажи включить включи выключить
    выключи создать создай удалить удали открыть открой закрыть закрой искать поищи перевести
    переведи напомнить напомни забронируй забронировать купить купи прочитай запиши посчитай
    """.split()
)
_ONES = {
    **{w: n for n, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split())},
    **{w: n for n, w in enumerate(
        "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать "
        "тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать "
        "девятнадцать".split())},
    "одна": 1, "одну": 1, "две": 2,
}  # fmt: skip
_TENS = {
    **{w: 10 * n for n, w in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)},
    **{w: 10 * n for n, w in enumerate(
        "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят "
        "девяносто".split(), start=2)},
    **{w: 100 * n for n, w in enumerate(
        "сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот".split(),
        start=1)},
}  # fmt: skip
_SCALES = {
    "thousand": 1_000, "million": 1_000_000, "тысяча": 1_000, "тысячи": 1_000,
    "тысяч": 1_000, "тысячу": 1_000, "миллион": 1_000_000, "миллиона": 1_000_000,
}  # fmt: skip
_RUSSIAN_ENDINGS = sorted(
    """иями ями ами иях ого его ому ему ыми ими ешь ете ите ать ять ить еть ться ся ов ев ей ой ий
    ый ая яя ое ее ые ие ам ям ах ях ом ем ую юю ет ит ают яют а я о е у ю ы и ь й""".split(),
    key=len, reverse=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A word as it was said, and in small letters. `ends_clause`: punctuation follows it."""

    text: str
    word: str
    start: int
    end: int
    ends_clause: bool

    @property
    def is_name(self) -> bool:
        return self.text[:1].isupper()


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was said, in the tokens from `first` to before `end`."""

    value: int | float
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """`stems`: those of the tokens, in their order."""

    text: str
    tokens: tuple[Token, ...]
    stems: tuple[str, ...]

    def said(self, first: int, end: int) -> str:
        """The words from `first` to before `end`, as they were said."""
        return self.text[self.tokens[first].start : self.tokens[end - 1].end]

    def telling_stems(self) -> set[str]:
        return {s for s, t in zip(self.stems, self.tokens, strict=True) if t.word not in STOP_WORDS}

    def place_of(self, phrase: Sequence[str]) -> int | None:
        """Where these stems are said, one after the other."""
        wanted = tuple(phrase)
        for at in range(len(self.stems) - len(wanted) + 1):
            if wanted and self.stems[at : at + len(wanted)] == wanted:
                return at
        return None

    def numbers(self) -> tuple[Number, ...]:
        found, at = list[Number](), 0
        while at < len(self.tokens):
            number = _number_at(self.tokens, at)
            at = number.end if number else at + 1
            if number:
                found.append(number)
        return tuple(found)

    def run_from(self, first: int, stops: frozenset[str], taken: set[int]) -> range:
        """The tokens from `first` that go together: a name, or the few words up to one that
        begins something else. Empty where nothing of the kind stands there."""
        tokens, end = self.tokens, first
        named = first < len(tokens) and tokens[first].is_name
        while end < len(tokens) and end - first < RUN_WORDS_MAX and end not in taken:
            token = tokens[end]
            if token.word in stops or (named and not token.is_name):
                break
            end += 1
            if token.ends_clause:
                break
        return range(first, end)


def utterance(text: str) -> Utterance:
    text = text[:CHARS_MAX]
    tokens = []
    for found in _TOKEN.finditer(text):
        word = found.group().casefold().replace("ё", "е").replace("’", "'")
        ends = text[found.end() : found.end() + 1] in _CLAUSE_ENDS
        tokens.append(Token(found.group(), word, found.start(), found.end(), ends))
    return Utterance(text, tuple(tokens), tuple(stem(token.word) for token in tokens))


def words_of_name(name: str) -> tuple[str, ...]:
    """The words of `getWeather`, `get_weather` or "Get weather", in small letters."""
    return tuple(word.casefold() for word in _CAMEL.split(name) if word)


def stems_of(text: str) -> tuple[str, ...]:
    return utterance(text).stems


@functools.lru_cache(4_096)
def stem(word: str) -> str:
    """What is left of a word without its commonest endings. Light: it only has to be the same
    for the forms of one word, and seldom the same for two."""
    if "а" <= word[-1:] <= "я":
        for ending in _RUSSIAN_ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                return word[: -len(ending)]
        return word
    word = word.removesuffix("'s")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending, size in (("ing", 6), ("ed", 5)):
        if word.endswith(ending) and len(word) >= size:
            word = word[: -len(ending)]
            break
    if len(word) > 3:
        word = word.removesuffix("e")
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 3 else word


def _number_at(tokens: Sequence[Token], at: int) -> Number | None:
    text = tokens[at].text
    if _DIGITS.fullmatch(text):
        return Number(float(text) if "." in text else int(text), at, at + 1)
    total, part, end = 0, 0, at
    while end < len(tokens):
        word = tokens[end].word
        value = _value_of(word)
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        elif value is not None and _may_follow(part, value):
            part += value
        elif word != "and" or not _goes_on(tokens, end, part or total):
            break
        end += 1
        if tokens[end - 1].ends_clause:
            break
    return Number(total + part, at, end) if end > at else None


def _value_of(word: str) -> int | None:
    """Of "twenty-five" too."""
    values = [_ONES.get(part, _TENS.get(part)) for part in word.split("-")]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _may_follow(part: int, value: int) -> bool:
    """Five may follow twenty, and twenty a hundred; three may not follow five."""
    place = 1
    while part and part % (place * 10) == 0:
        place *= 10
    return not part or value < place


def _goes_on(tokens: Sequence[Token], at: int, number: int) -> bool:
    """Two hundred *and* five is one number; two *and* five are two."""
    follows = at + 1 < len(tokens) and _value_of(tokens[at + 1].word) is not None
    return follows and number > 0 and number % 100 == 0
