"""Finds, in what somebody said, the words that a value of a given name may be made of. Pure.

Words are taken once: where one property took "Paris" the next does not find it there. The name
of a property tells what to look for: a city stands after "in", an origin after "from", and a
query is most of the sentence.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Sequence

from .utterance import (
    GENERIC,
    STOP_WORDS,
    Number,
    Token,
    Utterance,
    stem,
    stems_of,
    words_of_name,
)

_NEAR_WORDS = 2
_QUOTED = re.compile(r"[\"“«]([^\"”»]{1,400})[\"”»]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_TIME_CORE = frozenset(
    """today tomorrow yesterday tonight now monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december noon midnight
    morning afternoon evening weekend week month year am pm o'clock hour hours minute minutes day
    days сегодня завтра вчера послезавтра понедельник вторник среду среда четверг пятницу пятница
    субботу суббота воскресенье января февраля марта апреля мая июня июля августа сентября октября
    ноября декабря полдень полночь утром днем вечером ночью утра дня вечера ночи неделю неделе
    неделя месяц году год час часа часов минут минуты выходные""".split()
)
_TIME_JOINTS = frozenset("at on in the next this last of за на в во через следующий".split())
# Words that end a run: whatever comes after them is something else.
_ENDS = STOP_WORDS | _TIME_CORE | frozenset("please tomorrow while because during".split())
_TRUE = frozenset("yes on true yeah enable enabled да включи включить вкл".split())
_FALSE = frozenset("no off false not without disable don't нет не без выключи выкл".split())


class Kind(enum.Enum):
    """What a text is of, by the name of its property; those told most easily come first."""

    EMAIL = frozenset("email mail e-mail почта".split())
    FROM = frozenset("from origin source departure откуда".split())
    TO = frozenset("destination target arrival to куда".split())
    TIME = frozenset("date day time when hour month year week дата день время когда".split())
    NUMBERED = frozenset("id number code zip postal postcode phone номер код телефон".split())
    PLACE = frozenset(
        """city town place location country state region area address where airport street venue
        город место страна адрес""".split()
    )
    PERSON = frozenset(
        "person recipient contact who friend customer author artist name имя кому".split()
    )
    TEXT = frozenset(
        """query question text message content body prompt input search term keyword topic subject
        q title note description comment sentence expression reason summary task word phrase
        вопрос текст сообщение запрос тема""".split()
    )
    OTHER = frozenset[str]()


_PREPOSITIONS: dict[Kind, tuple[str, ...]] = {
    Kind.FROM: ("from", "из", "от", "с", "со"),
    Kind.TO: ("to", "into", "в", "во", "до", "на", "к"),
    Kind.PLACE: ("in", "at", "near", "around", "to", "for", "from", "of", "about", "в", "во",
                 "из", "до", "около", "для", "на", "по"),
    Kind.PERSON: ("to", "with", "for", "named", "called", "by", "from", "name", "к", "для", "с",
                  "от", "зовут", "имя"),
    Kind.TEXT: ("about", "for", "that", "saying", "says", "of", "called", "titled", "named", "о",
                "об", "про", "что"),
    Kind.OTHER: ("named", "called", "for", "in", "with", "of", "to", "by", "about", "для", "в",
                 "по", "с"),
}  # fmt: skip
# A text that nobody marked begins here or not at all.
_MARKS = frozenset("about that saying says called titled named о об про что".split())
_SEEKS = frozenset("search look find ask google".split())


def kind_of(name: str) -> Kind:
    words = words_of_name(name)
    for kind in Kind:
        if kind.value.intersection(words):
            return kind
    return Kind.OTHER


class Spoken:
    """An utterance, and which of its words have been taken. `about`: the stems that are no
    values, because they say which tool is meant."""

    def __init__(self, said: Utterance, about: frozenset[str]) -> None:
        self._said, self._about = said, about
        self._taken: set[int] = set()
        self._numbers = said.numbers()
        self._timed = tuple(self._times())

    def mark(self) -> frozenset[int]:
        return frozenset(self._taken)

    def reset(self, mark: frozenset[int]) -> None:
        self._taken = set(mark)

    # One kind of value each. None, or an empty text: nobody said one.

    def choice(self, choices: Sequence[str]) -> int | None:
        """Which of the choices was said first; of two at one place the longer."""
        best: tuple[int, int, int] | None = None
        for index, choice in enumerate(choices):
            stems = tuple(map(stem, words_of_name(choice))) or stems_of(choice)
            at = self._said.place_of(stems)
            if at is None or self._taken.intersection(range(at, at + len(stems))):
                continue
            if best is None or (at, -len(stems)) < best[:2]:
                best = (at, -len(stems), index)
        if best is None:
            return None
        self._taken.update(range(best[0], best[0] - best[1]))
        return best[2]

    def number(
        self, name: str, is_valid: Callable[[object], bool], loose: bool
    ) -> int | float | None:
        """The number beside the property's name; if `loose`, else the first that is no date."""
        names = {stem(word) for word in words_of_name(name)}
        free = [
            number for number in self._numbers
            if is_valid(number.value)
            and not self._taken.intersection(range(number.first, number.end))
        ]  # fmt: skip
        number = next((each for each in free if names & self._stems_near(each)), None)
        if number is None and loose:
            timed = {at for span in self._timed for at in span}
            number = next((each for each in free if each.first not in timed), None)
        if number is None:
            return None
        self._taken.update(range(number.first, number.end))
        return number.value

    def _stems_near(self, number: Number) -> set[str]:
        around = range(number.first - _NEAR_WORDS, number.end + _NEAR_WORDS)
        return {stem(self._tokens[at].word) for at in around if 0 <= at < len(self._tokens)}

    def truth(self, name: str) -> bool | None:
        """Yes where the property is named, no where it is named with a no."""
        words = [token.word for token in self._tokens]
        names = {stem(word) for word in words_of_name(name)} - {"is", "be"}
        places = [at for at, word in enumerate(words) if stem(word) in names]
        for at in places:
            near = words[max(0, at - _NEAR_WORDS) : at + _NEAR_WORDS]
            return not _FALSE.intersection(near)
        if names & _SWITCHES and (_TRUE | _FALSE).intersection(words):
            return not _FALSE.intersection(words)
        return None

    def text(self, name: str, chars_max: int) -> str:
        """The words that a text of this name was given by."""
        kind = kind_of(name)
        for span in self._spans(name, kind):
            free = [at for at in span if at not in self._taken]
            if free and len(free) == len(span):
                self._taken.update(span)
                return self._said.said(span[0], span[-1] + 1)[:chars_max].strip()
        return ""

    def what_is_left(self, name: str) -> str:
        """For a text that must be there: the best of what nobody took."""
        if kind_of(name) is Kind.TEXT:
            return self._said.text.strip()
        run: list[int] = []
        for at, token in enumerate(self._tokens):
            if self._is_value(at, token):
                run.append(at)
            elif run:
                break
        self._taken.update(run)
        if run:
            return self._said.said(run[0], run[-1] + 1)
        return self._said.text.strip() if kind_of(name) is Kind.OTHER else ""

    # Where they stand.

    @property
    def _tokens(self) -> tuple[Token, ...]:
        return self._said.tokens

    def _spans(self, name: str, kind: Kind) -> Iterator[range]:
        match kind:
            case Kind.EMAIL:
                yield from self._alone(lambda token: bool(_EMAIL.fullmatch(token.text)))
            case Kind.TIME:
                yield from self._timed
            case Kind.NUMBERED:
                yield from self._alone(lambda token: any(c.isdigit() for c in token.text))
            case Kind.TEXT:
                yield from self._quoted()
                yield from self._marked()
            case Kind.FROM | Kind.TO:
                yield from self._after(_PREPOSITIONS[kind])
            case Kind.PLACE | Kind.PERSON:
                yield from self._after(_PREPOSITIONS[kind])
                yield from self._names()
            case Kind.OTHER:
                yield from self._quoted()
                yield from self._after(words_of_name(name))
                yield from self._after(_PREPOSITIONS[kind])
                yield from self._names()

    def _after(self, words: Sequence[str]) -> Iterator[range]:
        """What stands after one of these words; "the" and the like are passed over."""
        for at, token in enumerate(self._tokens):
            if token.word in words and not token.ends_clause and at not in self._taken:
                first = at + 1
                while first < len(self._tokens) and self._tokens[first].word in _ARTICLES:
                    first += 1
                run = self._said.run_from(first, _ENDS, self._taken)
                if run and stem(self._tokens[first].word) not in self._about:
                    yield run

    def _names(self) -> Iterator[range]:
        """Runs of words with capital letters, the first word of a sentence last."""
        begins = [0, *(at + 1 for at, t in enumerate(self._tokens) if t.ends_clause)]
        later = list[range]()
        at = 0
        while at < len(self._tokens):
            token = self._tokens[at]
            if token.is_name and self._is_value(at, token):
                run = self._said.run_from(at, _ENDS, self._taken)
                if run:
                    if at in begins:
                        later.append(run)
                    else:
                        yield run
                    at = run[-1]
            at += 1
        yield from later

    def _times(self) -> Iterator[range]:
        """Runs of words about time, from the first that is to the last."""
        numbers = {at for n in self._numbers for at in range(n.first, n.end)}
        run: list[int] = []
        for at in range(len(self._tokens) + 1):
            token = self._tokens[at] if at < len(self._tokens) else None
            if token and (_is_time(token) or token.word in _TIME_JOINTS or at in numbers
                          or token.word[:1].isdigit()):  # fmt: skip
                run.append(at)
                continue
            while run and self._tokens[run[0]].word in _TIME_JOINTS:
                run.pop(0)
            while run and self._tokens[run[-1]].word in _TIME_JOINTS:
                run.pop()
            written = any(re.search(r"\d[:/-]\d", self._tokens[each].text) for each in run)
            if written or any(_is_time(self._tokens[each]) for each in run):
                yield range(run[0], run[-1] + 1)
            run = []

    def _alone(self, fits: Callable[[Token], bool]) -> Iterator[range]:
        return (range(at, at + 1) for at, token in enumerate(self._tokens) if fits(token))

    def _quoted(self) -> Iterator[range]:
        for found in _QUOTED.finditer(self._said.text):
            inside = [at for at, token in enumerate(self._tokens)
                      if found.start() < token.start and token.end < found.end()]  # fmt: skip
            if inside:
                yield range(inside[0], inside[-1] + 1)

    def _marked(self) -> Iterator[range]:
        """All that follows a word such as "about" or "saying"."""
        for at, token in enumerate(self._tokens[:-1]):
            sought = token.word == "for" and at and self._tokens[at - 1].word in _SEEKS
            if token.word in _MARKS or sought:
                yield range(at + 1, len(self._tokens))

    def _is_value(self, at: int, token: Token) -> bool:
        is_plain = token.word in STOP_WORDS or token.word in GENERIC or token.word in _TIME_CORE
        return not is_plain and at not in self._taken and stem(token.word) not in self._about


def _is_time(token: Token) -> bool:
    is_hour = token.word[:1].isdigit() and token.word.endswith(("am", "pm"))
    return token.word in _TIME_CORE or token.text == "May" or is_hour


_ARTICLES = frozenset("the a an my our your this that is".split())
_SWITCHES = frozenset(stem(w) for w in "on enabled active state power status turned".split())
