"""Written text into words that can be spoken. Pure.

One pass from left to right: at each place the rules for what stands there are asked in turn,
and what none of them knows is kept to the character. No rule looks further than a bounded way
ahead or back, so the time taken grows with the length of the text and with nothing else.
"""

from __future__ import annotations

import functools
import re

from . import figures, marks
from .english import English
from .russian import Russian
from .spans import Piece, Spoken, Writer
from .tongue import Tongue

_TONGUES: dict[str, Tongue] = {"en": English(), "ru": Russian()}
_DAY_FIRST_ENGLISH: Tongue = English(day_first=True)
# English is written with the month first only here.
_MONTH_FIRST = frozenset({"en", "en-us", "en-ca", "en-ph"})

_WORD = re.compile(r"[^\W\d_²³¹½¼¾⅓⅔]+(?:['’\u0301\u0300][^\W\d_²³¹]*)*")
_WORD_CHARS_MAX = 40
# What no rule begins with; passed over without a question.
_PLAIN = re.compile("(?:[ \t\u00a0.,;:?…»”“\"’')]|!(?!\\[))+")
# What follows the first word of an address.
_IN_ADDRESSES = frozenset(".@:-_+%0123456789")
_SIGNS = "+-−–"
# A voice and the estimate of its words ask for the same text, one after the other.
_KEPT, _KEPT_CHARS_MAX = 16, 1_000


def normalise(text: str, language: str) -> Spoken:
    """`text` as it is spoken in a language (ISO 639-1, with or without a region). Never raises,
    and takes time by the length of the text."""
    return (_kept if len(text) <= _KEPT_CHARS_MAX else _read)(text, language)


def _read(text: str, language: str) -> Spoken:
    code = language.lower().replace("_", "-")
    tongue = _TONGUES.get(code.partition("-")[0])
    if code.startswith("en-") and code not in _MONTH_FIRST:
        tongue = _DAY_FIRST_ENGLISH
    return _Reading(text, tongue).read()


_kept = functools.lru_cache(_KEPT)(_read)


class _Reading:
    def __init__(self, text: str, tongue: Tongue | None) -> None:
        self._text, self._tongue = text, tongue
        self._out = Writer(text)
        # Where a link's address begins, after its text, and where it ends.
        self._links: dict[int, int] = {}
        # The line being read was marked as a heading or as a point of a list.
        self._line_is_marked = False

    def read(self) -> Spoken:
        at = 0
        while at < len(self._text):
            at = self._step(at)
        self._end_line(len(self._text))
        return self._out.done()

    def _step(self, at: int) -> int:
        """Say what stands at `at`; where the next thing stands."""
        text = self._text
        if at in self._links:
            return self._links.pop(at)
        if (at == 0 or text[at - 1] == "\n") and (end := marks.line_mark(text, at)) is not None:
            self._line_is_marked = True
            return end
        if plain := _PLAIN.match(text, at):
            self._out.keep(at, plain.end())
            return plain.end()
        char = text[at]
        if char == "\n":
            self._end_line(at)
            self._out.keep(at, at + 1)
            return at + 1
        if char.isalpha():
            return self._word(at)
        if self._tongue is not None and char.isdecimal():
            return self._figure(at, self._tongue)
        return self._mark(at)

    def _end_line(self, at: int) -> None:
        """A heading ends like a sentence, though it is not written so."""
        if self._line_is_marked and self._out.last.isalnum():
            self._out.say(".", at, at)
        self._line_is_marked = False

    def _word(self, at: int) -> int:
        found = _WORD.match(self._text, at)
        end = found.end() if found else at + 1
        if self._tongue is not None and end - at <= _WORD_CHARS_MAX:
            pieces = None
            if self._text[end : end + 1] in _IN_ADDRESSES:
                pieces = marks.address(self._text, at, self._tongue)
            if pieces is None and not self._follows_a_letter(at):
                pieces = self._tongue.special_word(self._text, at, end)
            if pieces:
                return self._say(pieces, at)
        self._out.keep(at, end)
        return end

    def _follows_a_letter(self, at: int) -> bool:
        return at > 0 and self._text[at - 1] in "_'’"

    def _figure(self, at: int, tongue: Tongue) -> int:
        pieces = marks.address(self._text, at, tongue) or figures.figure(self._text, at, tongue)
        if pieces:
            return self._say(pieces, at)
        self._out.keep(at, at + 1)
        return at + 1

    def _mark(self, at: int) -> int:
        text = self._text
        if (found := marks.link(text, at)) is not None:
            begin, end, after = found
            self._links[end] = after
            return begin
        if (dropped := marks.tag(text, at) or marks.emoji(text, at)) is not None:
            if self._out.last.isspace() and text[dropped : dropped + 1] == " ":
                return dropped + 1
            self._out.say(" ", at, dropped)
            return dropped
        if (dropped := marks.emphasis(text, at)) is not None:
            return dropped
        if self._tongue is not None and (pieces := self._sign(at, self._tongue)):
            return self._say(pieces, at)
        self._out.keep(at, at + 1)
        return at + 1

    def _sign(self, at: int, tongue: Tongue) -> list[Piece] | None:
        text, char = self._text, self._text[at]
        if char == "(" and (phone := figures.phone(text, at, tongue)):
            return phone
        if char in _SIGNS and (pieces := figures.signed(text, at, tongue)):
            return pieces
        if char in "-–" and (pieces := figures.between(text, at, tongue)):
            return pieces
        if pieces := figures.money(text, at, tongue):
            return pieces
        if char == "−":
            return [(f" {tongue.minus} ", at + 1)]
        if char in "#№" and text[at + 1 : at + 3].strip()[:1].isdigit():
            return [(tongue.number_sign, at + 1)]
        return marks.handle(text, at, tongue) or marks.symbol(text, at, tongue)

    def _say(self, pieces: list[Piece], at: int) -> int:
        return self._out.say_all(pieces, at)
