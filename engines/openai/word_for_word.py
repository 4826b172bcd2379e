"""Is a text being read, or answered? The words of a voice are held against the text as they come.

A model that can talk may do anything with a sentence that it was told to read: greet, answer,
refuse, translate. So its words are laid along the text, as the fewest differences have it; a
word that was added counts twice one that is missing or another.

    first words    held back until three agree, or all where there are fewer; never two differences
    further on     no more than three differences among the last eight words
    at the end     hardly a word is left, hardly one is other, and one at most was added

Numbers and abbreviations are read in words: so the text is there twice, as it is written and as
it is spoken, and the nearer one counts. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Sequence

from ..tutor.matching import alike

FIRST_WORDS = 3
WINDOW_WORDS = 8
# Differences, of which a word that is other or missing is one.
FIRST_MAX, WINDOW_MAX = 1.5, 3.0
END_SHARE_MAX = 0.25
_ADDED, _MISSING, _OTHER, _NEAR = 2.0, 1.0, 1.0, 0.5
# A number may be many words: what they add is little.
_ADDED_TO_NUMBER = 0.5
# No reading is so many words ahead of the text, or behind it.
_BAND = 40
_FAR = 1e9
# Scripts that put no space between words: each letter is compared for itself.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_END_OF_WORD = re.compile(rf"[\s{_UNSPACED}](?=[^\s{_UNSPACED}]*$)")
_CONTRACTIONS = tuple(
    (re.compile(pattern), whole)
    for pattern, whole in (
        (r"\bwon't\b", "will not"), (r"\bcan't\b|\bcannot\b", "can not"), (r"n't\b", " not"),
        (r"'re\b", " are"), (r"'m\b", " am"), (r"'ll\b", " will"), (r"'ve\b", " have"),
        (r"'d\b", " would"), (r"'s\b", " is"),
    )
)  # fmt: skip


def words_in(text: str) -> list[str]:
    """The words as they are compared: without case, accents and marks, contractions written out."""
    letters = unicodedata.normalize("NFKD", text.replace("’", "'"))
    plain = "".join(char for char in letters if not unicodedata.combining(char)).casefold()
    if "'" in plain or "cannot" in plain:
        for pattern, whole in _CONTRACTIONS:
            plain = pattern.sub(whole, plain)
    return _WORD.findall(plain)


class _Line:
    """One way to write the text, and the differences so far: `row[j]` of them where the words
    that were said are the first `j` of the text."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.row = [each * _MISSING for each in range(len(words) + 1)]
        self.place = 0

    @property
    def differences(self) -> float:
        """However much of the text is still to come."""
        return self.row[self.place]

    @property
    def whole(self) -> float:
        """If nothing more comes."""
        return self.row[-1]

    def say(self, word: str) -> None:
        low = max(0, self.place - _BAND)
        high = min(len(self.words), self.place + _BAND)
        before, row = self.row, [_FAR] * len(self.row)
        for at in range(low, high + 1):
            row[at] = before[at] + _ADDED
            if at:
                meant = self.words[at - 1]
                number = any(map(str.isdigit, meant))
                added = before[at] + (_ADDED_TO_NUMBER if number else _ADDED)
                row[at] = min(before[at - 1] + _differ(word, meant), added, row[at - 1] + _MISSING)
        self.row = row
        self.place = min(range(low, high + 1), key=row.__getitem__)
        if high < len(self.words):
            row[-1] = row[high] + (len(self.words) - high) * _MISSING


def _differ(said: str, meant: str) -> float:
    if said == meant or any(map(str.isdigit, said + meant)):
        return 0.0
    near = said.startswith(meant) or meant.startswith(said) or alike(said, meant)
    return _NEAR if near else _OTHER


class WordForWord:
    """`text` as it is written; `spoken`: the same with its numbers in words. Say what the voice
    says as it says it."""

    def __init__(self, text: str, spoken: str) -> None:
        ways = {tuple(words_in(text)): None, tuple(words_in(spoken)): None}
        self._lines = [_Line(words) for words in ways if words]
        self._tail, self._heard = "", 0
        self._past: deque[float] = deque([0.0], maxlen=WINDOW_WORDS + 1)
        self._agreed = False
        # Why this is no reading of the text; empty: as far as is known it is one.
        self.fault = ""

    @property
    def is_empty(self) -> bool:
        """There is no word in the text."""
        return not self._lines

    @property
    def agrees(self) -> bool:
        """What is said is the text, as far as can be told by its first words."""
        return self._agreed and not self.fault

    @property
    def differences(self) -> float:
        """Of all that was said and of all that was not, once it has ended."""
        return min(line.whole for line in self._lines)

    def say(self, more: str) -> None:
        """The next words of the voice, or pieces of them."""
        self._tail += more
        if end := _END_OF_WORD.search(self._tail):
            whole, self._tail = self._tail[: end.end()], self._tail[end.end() :]
            for word in words_in(whole):
                self._next(word)
        if not self._agreed and not self.fault:
            self._agreed = self._are_all()

    def end(self) -> None:
        """The voice has nothing more to say."""
        for word in words_in(self._tail):
            self._next(word)
        self._tail = ""
        if self.fault:
            return
        if not self._heard:
            self.fault = "it does not tell its words"
            return
        least = min(self._lines, key=lambda line: line.whole)
        allowed = _ADDED if least.place == len(least.words) else FIRST_MAX
        if len(least.words) < FIRST_WORDS:
            allowed = _NEAR
        if least.whole > max(allowed, END_SHARE_MAX * len(least.words)):
            self.fault = "it left words out, or said others"
        self._agreed = not self.fault

    def _next(self, word: str) -> None:
        for line in self._lines:
            line.say(word)
        self._heard += 1
        now = min(line.differences for line in self._lines)
        if self._heard <= FIRST_WORDS:
            too_many = now > FIRST_MAX
        else:
            too_many = now - self._past[0] > WINDOW_MAX
        self._past.append(now)
        if too_many:
            self.fault = "its words are not those of the text"
        self._agreed = self._agreed or self._heard >= FIRST_WORDS

    def _are_all(self) -> bool:
        """Whether the text is said already, though its last word may seem to go on."""
        rest = words_in(self._tail)
        return any(
            line.differences < _OTHER and list(line.words[line.place :]) == rest
            for line in self._lines
        )
