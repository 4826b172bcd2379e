"""Text without what a voice would read out wrongly: marks of emphasis, and characters that have
no sound. Every character that stays keeps its place. Pure."""

from __future__ import annotations

import re

# Marks of emphasis, which would be read out; a lone one between words may mean something.
_MARKUP = re.compile(r"(?<!\w)[*_`~]+(?=\w)|(?<=\w)[*_`~]+(?!\w)|[*_`~#=]{2,}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text with what would be read out wrongly made blank, every character in its place."""
    return _MARKUP.sub(lambda found: " " * len(found[0]), _CONTROL.sub(" ", text))
