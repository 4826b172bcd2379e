"""Written text into words that can be spoken, with the way back to what was written. Pure.

`normalise` is the door; `Spoken` is what it gives, and `WayBack` leads its words back. English
and Russian are read out in full; in every other language only marks that are not words are taken
away.
"""

from __future__ import annotations

from .normalise import normalise
from .spans import Spoken, WayBack

__all__ = ["Spoken", "WayBack", "normalise"]
