"""What is spoken, and which of the written characters each of its words came from. Pure.

A text is taken apart from left to right. A stretch is either kept to the character or replaced
by words, and then all of these words came from all of that stretch. What is left out belongs
to no word.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

# Words, and where the written stretch that they replace ends. A rule gives several, in order.
Piece = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of what is spoken came from `written_start` to `written_end`;
    one by one where they are `kept`."""

    start: int
    end: int
    written_start: int
    written_end: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """The text to be spoken. Its `spans` follow each other without a gap, and never run back."""

    text: str
    spans: tuple[Span, ...] = ()
    _starts: tuple[int, ...] = field(default=(), repr=False)

    def original(self, char_start: int, char_end: int) -> tuple[int, int]:
        """Where in the written text the characters `char_start` to `char_end` of the spoken one
        came from. Offsets beyond the text mean its ends."""
        if not self.spans:
            return 0, 0
        char_start = min(max(char_start, 0), len(self.text))
        char_end = min(max(char_end, char_start), len(self.text))
        first = self.spans[self._index(char_start)]
        last = self.spans[self._index(max(char_end - 1, char_start))]
        start, end = first.written_start, last.written_end
        if first.kept:
            start += char_start - first.start
        if last.kept:
            end = last.written_start + char_end - last.start
        return start, max(start, end)

    def _index(self, char: int) -> int:
        return max(bisect.bisect_right(self._starts, char) - 1, 0)


class WayBack:
    """Leads the words of a `Spoken` back, in the order they are spoken: what several words came
    from is given once, for the first of them."""

    def __init__(self, spoken: Spoken, written: str) -> None:
        self._spoken, self._written = spoken, written
        self._given = 0

    def original(self, char_start: int, char_end: int) -> tuple[int, int] | None:
        """Where the word was written, without the spaces around it; None when that was given."""
        start, end = self._spoken.original(char_start, char_end)
        piece = self._written[max(start, self._given) : end]
        # The comma after a number, behind the last of its words, is no word of its own.
        if not piece.strip() or (start < self._given and not any(map(str.isalnum, piece))):
            return None
        end -= len(piece) - len(piece.rstrip())
        start = end - len(piece.strip())
        self._given = end
        return start, end


class Writer:
    """Puts a `Spoken` together. Stretches are given in order; what is passed over is left out."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._spans: list[Span] = []
        self._length = 0

    @property
    def last(self) -> str:
        """The last character so far; a space before the first."""
        return self._parts[-1][-1] if self._parts else " "

    def keep(self, start: int, end: int) -> None:
        """The written characters from `start` to before `end`, as they are."""
        if end <= start:
            return
        before = self._spans[-1] if self._spans else None
        if before and not before.kept and _glued(self.last, self._text[start]):
            self._add(" ", start, start, kept=False)
        self._add(self._text[start:end], start, end, kept=True)

    def say(self, words: str, start: int, end: int) -> None:
        """These words for the written characters from `start` to before `end`. They are set off
        from the words around them."""
        if words == self._text[start:end]:
            self.keep(start, end)
            return
        if words and _glued(self.last, words[0]):
            words = f" {words}"
        if words == " " and self.last.isspace():
            return
        if words:
            self._add(words, start, end, kept=False)

    def say_all(self, pieces: Iterable[Piece], start: int) -> int:
        """Pieces one after the other; where the last one ends."""
        for words, end in pieces:
            self.say(words, start, end)
            start = end
        return start

    def done(self) -> Spoken:
        starts = tuple(span.start for span in self._spans)
        return Spoken("".join(self._parts), tuple(self._spans), starts)

    def _add(self, words: str, start: int, end: int, *, kept: bool) -> None:
        before = self._spans[-1] if self._spans else None
        at, self._length = self._length, self._length + len(words)
        self._parts.append(words)
        if kept and before and before.kept and before.written_end == start:
            self._spans[-1] = Span(before.start, self._length, before.written_start, end, True)
        else:
            self._spans.append(Span(at, self._length, start, end, kept))


def _glued(left: str, right: str) -> bool:
    return left.isalnum() and right.isalnum()
