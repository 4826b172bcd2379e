"""Cut a stream of words into pieces worth saying, each as early as it can be. Pure.

The first piece of a reply is the one the listener waits for, so it may end at a clause or, where
no mark comes for long, between two words that can be parted. Later pieces are made while an
earlier one sounds: they are whole sentences, which sound better.

    first    Yes. I think so, | because the word that follows it …
    later    is a noun. And that is why. | It has an ending …

A piece that is over before the next can be there sounds chopped, so very short ones wait for
company. What looks like an end and is none: decimals, abbreviations, initials, the number of an
item in a list, and whatever is followed by a small letter.

How the words arrive does not matter: the same text is cut at the same places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SENTENCE_CHARS_MAX = 240
# How long a piece must at least be, in letters.
FIRST_CHARS_MIN = 8
FIRST_CLAUSE_CHARS_MIN = 16
LATER_CHARS_MIN = 20
# An overlong sentence is cut at a clause, if that leaves so much.
OVERLONG_CLAUSE_CHARS_MIN = 80
# Where the first piece may be cut without any mark, once so many words have begun.
FIRST_WORDS = range(5, 9)
FIRST_WORDS_BEGUN = 10
# One of these sounds as long as so many letters.
_IDEOGRAPH_CHARS = 3
_TAIL_CHARS = 12

_MARK = re.compile(
    r"(?P<line>\n+)"
    r"|(?P<stop>[.!?…]+[\"'»”’)\]]*)(?=\s+(?P<after>\S))"
    r"|(?P<wide_stop>[。！？]+[」』”’）】]*)(?=[^。！？」』”’）】])"
    r"|(?P<clause>[,;:—](?=\s)|[，、；：])"
)
_NOT_AN_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|jr|sr|approx|dept|mt)\."
    r"|\b(?:г|ул|им|др|т\.д|т\.п|т\.е|см|руб|коп|тыс|млн|млрд|проф|акад|обл)\."
    # An initial, or a letter of an abbreviation; but these two are words.
    r"|(?<!\w)(?![IiЯя])[^\W\d_]\.)$",
    re.IGNORECASE,
)
# What a number is of.
_OF_A_NUMBER = re.compile(r"\b(?:no|nos|fig|vol|pp|ch|стр|гл|рис|табл|кв|корп)\.$", re.IGNORECASE)
_ITEM = re.compile(r"[\s*#(-]*\d{1,3}\.")
_WORD = re.compile(r"\S+")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
# A piece may well begin with one of these, and must not end with one of those.
_LINKS = frozenset(
    "and because but if or so that when where which while who "
    "а если и или когда который которая которое которые но потому что чтобы где".split()
)
_LEANS = _LINKS | frozenset(
    "a an as at by for from had has have her his i in into is its my of on our the their this to "
    "was were with you your are he she it we they not very more most "
    "без в весь для до из к мой на не о об от по про с свой со так твой то у я это очень".split()
)


class SentenceCutter:
    """`live`: somebody waits for the first piece, and hears every gap. Otherwise pieces are
    sentences, however short."""

    def __init__(self, *, live: bool = True) -> None:
        self._held = ""
        self._first = self._live = live

    def feed(self, words: str) -> list[str]:
        """Take more words; return the pieces they complete, stripped and never empty."""
        self._held += words
        pieces = []
        while (cut := self._cut()) is not None:
            piece, self._held = self._held[:cut].strip(), self._held[cut:]
            if piece:
                pieces.append(piece)
                self._first = False
        return pieces

    def rest(self) -> list[str]:
        """What is left when the words have ended, for now or for ever."""
        held, self._held = self._held.strip(), ""
        self._first = self._first and not held
        return [held] if held else []

    def _cut(self) -> int | None:
        """Where the next piece ends, if it is complete."""
        end = next(self._ends(), None)
        if self._first and (between := self._between_words(end)) is not None:
            end = between
        overlong = self._overlong() if len(self._held) > SENTENCE_CHARS_MAX else None
        return min((each for each in (end, overlong) if each is not None), default=None)

    def _ends(self) -> Iterator[int]:
        """The ends of sentences and, of the first piece, of clauses that are long enough."""
        begun = 0
        for mark in _MARK.finditer(self._held):
            long = _length(self._held[: mark.end()].strip())
            if mark["line"]:
                yield mark.end()
            elif mark["clause"]:
                if self._first and long >= FIRST_CLAUSE_CHARS_MIN:
                    yield mark.end()
            elif mark["wide_stop"] or self._is_an_end(begun, mark):
                begun = mark.end()
                if long >= self._chars_min:
                    yield mark.end()

    @property
    def _chars_min(self) -> int:
        if not self._live:
            return 1
        return FIRST_CHARS_MIN if self._first else LATER_CHARS_MIN

    def _is_an_end(self, begun: int, mark: re.Match[str]) -> bool:
        """Whether a sentence that began at `begun` ends with this full stop, or its like."""
        if mark["after"].islower() or _ITEM.fullmatch(self._held, begun, mark.end()):
            return False
        before = self._held[: mark.end()].rstrip("\"'»”’)]")
        # Longer than any abbreviation, and short enough to be looked at again and again.
        tail = before[-_TAIL_CHARS:]
        if mark["after"].isdigit() and _OF_A_NUMBER.search(tail):
            return False
        return not _NOT_AN_END.search(tail)

    def _between_words(self, end: int | None) -> int | None:
        """Where the first piece ends when no mark comes for long; None when one does."""
        words = list(_WORD.finditer(self._held, 0, SENTENCE_CHARS_MAX))[:FIRST_WORDS_BEGUN]
        if len(words) < FIRST_WORDS_BEGUN or (end is not None and end <= words[-2].end()):
            return None
        texts = [word[0] for word in words]
        apart = [count for count in FIRST_WORDS if _may_part(texts[count - 1], texts[count])]
        linked = [count for count in apart if texts[count].casefold() in _LINKS]
        return words[(linked or apart)[-1] - 1].end() if apart else None

    def _overlong(self) -> int:
        room = self._held[:SENTENCE_CHARS_MAX]
        clauses = [mark.end() for mark in _MARK.finditer(room) if mark["clause"]]
        if clauses and clauses[-1] >= OVERLONG_CLAUSE_CHARS_MIN:
            return clauses[-1]
        gaps = (gap for gap in range(len(room) - 1, 0, -1) if self._is_gap(gap))
        return next(gaps, SENTENCE_CHARS_MAX - 1) + 1

    def _is_gap(self, place: int) -> bool:
        """Whether words, and not the digits of a number, stand around this space."""
        held = self._held
        between = held[place - 1].isdigit() and held[place + 1].isdigit()
        return held[place].isspace() and not between


def _length(piece: str) -> int:
    """How long it sounds, in letters."""
    return len(piece) + (_IDEOGRAPH_CHARS - 1) * len(_IDEOGRAPH.findall(piece))


def _may_part(before: str, after: str) -> bool:
    """Whether a voice may stop for a moment between these words. It may not within a number or
    a name, behind an abbreviation, or behind a word that leans on the next."""
    if before[-1].isdigit() or before[-1] in ".,;:—-(«“" or before.casefold() in _LEANS:
        return False
    return not (before[0].isupper() and after[0].isupper())
