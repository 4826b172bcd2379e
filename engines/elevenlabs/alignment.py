"""From the moments of characters to those of words, in a text that the voice was given. Pure.

ElevenLabs says of every piece of sound which characters are spoken in it and when, in the time
of the whole answer. Mostly the pieces' characters are the text, one after the other; some models
say a stretch of it again, and more fully, in the next piece. So each piece is first found in the
text, and a word is told once, with the moment at which it was first said to begin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from ..speech import WordTime

# From the first letter or digit to the last, between spaces.
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")
# How far times may run back before they count as begun anew; rounding is less.
_ANEW_MS = 100


class Alignment:
    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = {found.start(): found.end() for found in _WORD.finditer(text)}
        self._at = 0  # Where the next characters are expected.
        self._told_to = 0  # Words that begin before this place have been told.
        self._latest_ms = self._anew_ms = self._end_ms = 0

    def feed(
        self, characters: Sequence[str], starts_s: Sequence[float], sound_ms: int
    ) -> Iterator[WordTime]:
        """The words that begin among these characters. `sound_ms`: how much sound came before
        that in which they are spoken."""
        said = "".join(characters)
        place = self._find(said)
        starts_ms = [_ms(start_s) for start_s in starts_s]
        if starts_ms and starts_ms[0] + self._anew_ms + _ANEW_MS < self._end_ms:
            # These times begin with their own sound, unless it is only said again.
            self._anew_ms = sound_ms if place >= self._at else self._anew_ms
        at = place
        for character, start_ms in zip(characters, starts_ms, strict=False):
            if at in self._ends and at >= self._told_to and self._text.startswith(character, at):
                self._latest_ms = max(self._latest_ms, start_ms + self._anew_ms)
                yield WordTime(at, self._ends[at], self._latest_ms)
                self._told_to = at + 1
            at += len(character)
        if starts_ms:
            self._end_ms = max(self._end_ms, starts_ms[-1] + self._anew_ms)
        self._at = max(self._at, min(at, len(self._text)))

    def _find(self, said: str) -> int:
        """Where in the text these characters are: next, or again, or where they fit best."""
        if self._text.startswith(said, self._at):
            return self._at
        again = self._text.rfind(said, 0, self._at + len(said)) if said.strip() else -1
        if again >= 0:
            return again
        ahead = self._text.find(said, self._at)
        return ahead if ahead >= 0 else self._at


def _ms(seconds: float) -> int:
    """Whole milliseconds; a vendor that says nonsense says zero."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return 0
    return round(min(max(seconds, 0.0), 36_000.0) * 1_000)
