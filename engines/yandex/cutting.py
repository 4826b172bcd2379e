"""Cut a text that is too long to be spoken in one go, where it hurts least. Pure.

A piece ends with a sentence, else with a clause, else with a word; only a word that is itself
too long is cut. Joined, the pieces are the text again, to the character.
"""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"[.!?…]+[\"'»”’)\]]*\s+|\n+")
_CLAUSE = re.compile(r"[,;:—–][\"'»”’)\]]*\s+|\s[—–]\s+")
_WORD = re.compile(r"\s+")
# An end before this part of a piece leaves it too short to sound well.
SHORTEST = 0.3


def cut(text: str, chars_max: int) -> list[str]:
    """Pieces of at most `chars_max` characters; none of an empty text."""
    assert chars_max > 0
    pieces, at = list[str](), 0
    while len(text) - at > chars_max:
        end = _end(text, at, at + chars_max)
        pieces.append(text[at:end])
        at = end
    return pieces + ([text[at:]] if at < len(text) else [])


def _end(text: str, start: int, limit: int) -> int:
    """Where the piece from `start` ends, at `limit` at the latest."""
    earliest = start + int((limit - start) * SHORTEST)
    for ending in (_SENTENCE, _CLAUSE, _WORD):
        # One more character shows whether the last word ends at the limit.
        ends = [found.end() for found in ending.finditer(text, start, limit + 1)]
        fitting = [end for end in ends if earliest < end <= limit]
        if fitting:
            return fitting[-1]
    return limit
