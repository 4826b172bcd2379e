"""Cut a stream of words into pieces worth saying, each as early as it can be. Pure.

The first piece of a reply is the one the listener waits for, so it may end at a clause; later
pieces are whole sentences, which sound better. Abbreviations and decimals do not end one.
"""

from __future__ import annotations

import re

SENTENCE_CHARS_MAX = 240
FIRST_CLAUSE_CHARS_MIN = 24
_TAIL_CHARS = 12

_END = re.compile(r"[.!?…]+[\"'»”’)\]]*(?=\s)|\n+")
_CLAUSE = re.compile(r"[,;:—](?=\s)")
_NOT_AN_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|jr|sr|no)\.|\b(?:г|ул|им|т\.д|т\.п|т\.е|др|см|стр)\.|(?<!\w)\w\.)$",
    re.IGNORECASE,
)


class SentenceCutter:
    def __init__(self) -> None:
        self._held = ""
        self._first = True

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
        """What is left when the words have ended."""
        held, self._held = self._held.strip(), ""
        return [held] if held else []

    def _cut(self) -> int | None:
        """Where the next piece ends, if it is complete: at the earliest end there is."""
        ends = [self._sentence_end(), self._clause_end(), self._overlong()]
        return min((end for end in ends if end is not None), default=None)

    def _sentence_end(self) -> int | None:
        for match in _END.finditer(self._held):
            before = self._held[: match.end()].rstrip("\"'»”’)]")
            # Longer than any abbreviation, and short enough to be looked at again and again.
            if not _NOT_AN_END.search(before[-_TAIL_CHARS:]):
                return match.end()
        return None

    def _clause_end(self) -> int | None:
        ends = (match.end() for match in _CLAUSE.finditer(self._held) if self._first)
        return next((end for end in ends if end >= FIRST_CLAUSE_CHARS_MIN), None)

    def _overlong(self) -> int | None:
        if len(self._held) <= SENTENCE_CHARS_MAX:
            return None
        return self._held.rfind(" ", 0, SENTENCE_CHARS_MAX) + 1 or SENTENCE_CHARS_MAX
