"""A reply that one dialogue began and another goes on with: where they meet. Pure.

The first gives whole words only, as long as somebody could go on for it, so that it never breaks
off within one. The second is told what was said and is asked to go on; where it says the last
words again, or the whole reply from its beginning, they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..speech import Entry, Note, Turn

# A word longer than this is not waited for, nor one of a script that does not part its words.
WORD_CHARS_MAX = 32
_PARTS_WORDS_BELOW = "\u2e80"
# Who says more than this again is not noticed.
WORDS_AGAIN_MAX = 400
_BEGUN_WORD = re.compile(r"[\w'’-]+\Z")
_WORD = re.compile(r"\S+(?=\s)")
_LETTERS = re.compile(r"\W+")

GO_ON = (
    "(Your answer broke off there, by a technical fault. Go on with the very next word, in the "
    "same language and manner. Repeat nothing of it and do not speak of the fault. If it was "
    "whole, say nothing.)"
)


def going_on(history: Sequence[Entry], said: str) -> tuple[Entry, ...]:
    """The history that asks for the rest of the reply of which this much was said."""
    if not said.strip():
        return tuple(history)
    last = history[-1] if history else None
    if isinstance(last, Turn):
        return (*history[:-1], replace(last, agent=said.strip()), Turn(GO_ON, ""))
    return (*history, Note("assistant", said.strip()), Turn(GO_ON, ""))


class WholeWords:
    """Holds a word back until it is whole."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, words: str) -> str:
        words = self._held + words
        begun = _BEGUN_WORD.search(words)
        self._held = begun.group() if begun is not None else ""
        if len(self._held) > WORD_CHARS_MAX or any(c >= _PARTS_WORDS_BELOW for c in self._held):
            self._held = ""
        return words[: len(words) - len(self._held)]

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held


class Seam:
    """The beginning of what is said after `said`, without what is said again."""

    def __init__(self, said: str) -> None:
        self._said, self._held = said, ""
        self._before = [_bare(word) for word in said.split()][-WORDS_AGAIN_MAX:]
        self._open = bool(self._before)

    def feed(self, words: str) -> str:
        """What of the words is new; nothing while that is not clear."""
        if not self._open:
            return words
        self._held += words
        whole = list(_WORD.finditer(self._held))
        again = [_bare(match.group()) for match in whole]
        if self._may_be_more(again):
            return ""
        count = self._said_again(again)
        return self._join(self._held[whole[count - 1].end() if count else 0 :])

    def rest(self) -> str:
        """What was held back when the words have ended."""
        if not self._open:
            return ""
        words = self._held.split()
        count = self._said_again([_bare(word) for word in words])
        return self._join(" ".join(words[count:]))

    def _may_be_more(self, again: list[str]) -> bool:
        """Whether all of these are the beginning of an end of what was said before."""
        count = len(again)
        ends = range(len(self._before) - count)
        return any(self._before[at : at + count] == again for at in ends)

    def _said_again(self, again: list[str]) -> int:
        """How many of these words are the last words that were said before."""
        counts = range(min(len(again), len(self._before)), 0, -1)
        return next((n for n in counts if self._before[-n:] == again[:n]), 0)

    def _join(self, words: str) -> str:
        self._open, self._held = False, ""
        if self._said[-1:].isspace():
            return words.lstrip()
        parts = words[:1].isalnum() and words[:1] < _PARTS_WORDS_BELOW
        return f" {words}" if parts else words


def _bare(word: str) -> str:
    return _LETTERS.sub("", word).casefold() or word
