"""How many words of a text were heard wrongly. Pure.

The word error rate is the least number of words to be substituted, inserted or deleted, by the
number of words that were said. It depends on what counts as the same word, so a figure names
the normaliser it was made with: it writes numbers out, opens contractions, forgets capitals,
punctuation, hesitations and what is in brackets, and does not touch spelling. Raise its version
when its words change, because figures of two versions cannot be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engines import languages
from engines.normalising import normalise

NORMALISER = "voice-server words 1"

_NOT_SAID = re.compile(r"\[[^\[\]]{0,60}\]|<[^<>]{0,60}>|\{[^{}]{0,60}\}|♪")
_DOTTED = re.compile(r"(?<!\w)(?:[^\W\d_]\.){2,6}")
_CAPITALS = re.compile(r"(?<!\w)(?![IVXLC]+(?!\w))[A-ZА-ЯЁ]{2,8}(?!\w)")
_ACCENTS = re.compile("[\u0300\u0301]")
_APOSTROPHES = re.compile("[’ʼ`´]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_ENGLISH_WHOLE = {
    "won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not",
    "ain't": "is not", "let's": "let us", "y'all": "you all", "gonna": "going to",
    "wanna": "want to", "gotta": "got to", "i'm": "i am", "ma'am": "madam", "o'clock": "o'clock",
    "mr": "mister", "mrs": "missus", "dr": "doctor", "okay": "ok", "alright": "all right",
}  # fmt: skip
_ENGLISH_ENDINGS = {"n't": "not", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}
# After these an 's is "is"; after any other word it is somebody's.
_IS = frozenset("it that what he she there here who where how when this".split())
_HESITATIONS = frozenset("uh um uhm hmm hm mm mhm er erm эм ээ эээ э ммм мм хм угу".split())
_HUNDREDS = frozenset("hundred thousand million billion trillion".split())
_NUMBERS = frozenset(
    """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety first second third fourth fifth sixth seventh eighth ninth tenth""".split()
)


@dataclass(frozen=True, slots=True)
class Errors:
    """What was heard wrongly of so many words; they add up."""

    words: int = 0
    substituted: int = 0
    inserted: int = 0
    deleted: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.words + other.words, self.substituted + other.substituted,
            self.inserted + other.inserted, self.deleted + other.deleted,
        )  # fmt: skip

    @property
    def rate(self) -> float:
        """0 is perfect; more than 1 is possible, for words may be made up. Of no words: 0, or
        infinite when some were heard."""
        wrong = self.substituted + self.inserted + self.deleted
        if self.words:
            return wrong / self.words
        return float("inf") if wrong else 0.0


def words_of(text: str, language: str) -> list[str]:
    """The words of a text as the normaliser knows them."""
    language = languages.code_of(language) or ""
    text = _APOSTROPHES.sub("'", _NOT_SAID.sub(" ", text))
    # Whether "USA" is written with stops, in capitals or not is not what was heard.
    text = _DOTTED.sub(lambda found: found[0].replace(".", "").lower() + " ", text)
    text = _CAPITALS.sub(lambda found: found[0].lower(), text)
    text = _ACCENTS.sub("", normalise(text, language).text.lower().replace("ё", "е"))
    words: list[str] = []
    for found in _WORD.finditer(text):
        words += _opened(found[0]) if language == "en" else [found[0].replace("'", "")]
    words = [word for word in words if word not in _HESITATIONS]
    return _without_and(words) if language == "en" else words


def _opened(word: str) -> list[str]:
    """A contraction in full; of a possessive only the apostrophe goes."""
    if word in _ENGLISH_WHOLE:
        return _ENGLISH_WHOLE[word].replace("'", "").split()
    for ending, full in _ENGLISH_ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return [word.removesuffix(ending), full]
    if word.endswith("'s") and word[:-2] in _IS:
        return [word[:-2], "is"]
    return [word.replace("'", "")]


def _without_and(words: Sequence[str]) -> list[str]:
    """A hundred and five is a hundred five."""
    kept = []
    for at, word in enumerate(words):
        before, after = words[at - 1 : at], words[at + 1 : at + 2]
        if word == "and" and _HUNDREDS & set(before) and _NUMBERS & set(after):
            continue
        kept.append(word)
    return kept


def errors(said: str, heard: str, language: str) -> Errors:
    """What was heard wrongly of what was said."""
    return compare(words_of(said, language), words_of(heard, language))


def compare(said: Sequence[str], heard: Sequence[str]) -> Errors:
    """The fewest changes that make one of the other. Takes time by the product of both."""
    # Of each way through: how many are wrong, substituted, inserted and deleted.
    row = [(at, 0, at, 0) for at in range(len(heard) + 1)]
    for word in said:
        above, row = row, [_plus(row[0], deleted=1)]
        for at, other in enumerate(heard):
            row.append(
                above[at] if word == other
                else min(_plus(above[at], substituted=1), _plus(above[at + 1], deleted=1),
                         _plus(row[at], inserted=1))
            )  # fmt: skip
    _, substituted, inserted, deleted = row[-1]
    return Errors(len(said), substituted, inserted, deleted)


def _plus(
    way: tuple[int, int, int, int], substituted: int = 0, inserted: int = 0, deleted: int = 0
) -> tuple[int, int, int, int]:
    return way[0] + 1, way[1] + substituted, way[2] + inserted, way[3] + deleted
