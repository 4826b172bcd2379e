"""Which words of a growing guess may be shown already: those two guesses in a row agree on.

A streaming recogniser guesses the whole utterance again and again, and rewrites earlier words
while it learns more (two updates of three do). A reader should not see words flicker, so a
word is confirmed only when the guess that comes next says the same ("LocalAgreement-2"), and
a confirmed word never changes.

    guess 1   I   sent   a lever
    guess 2   I   sent   a letter to      confirmed: I sent a      tail: letter to
    guess 3   I   send   a letter to her  confirmed: … letter to   tail: her

Words are lined up by their times and not by their number, because a rewritten beginning may
have more or fewer words than the one confirmed, and a trimmed buffer has lost its first words.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from .speech import Word

# A guess may move a word this far between two looks; nearer than that it is the same word.
SLACK_MS = 120
# How many words at the seam may be heard twice.
SEAM_WORDS = 4


def key(word: str) -> str:
    """What must be equal for two guesses to agree: letters and digits, not dress."""
    kept = "".join(c for c in word.casefold() if c.isalnum())
    return kept or word.strip().casefold()


def text_of(words: Sequence[Word]) -> str:
    return " ".join(word.text.strip() for word in words if word.text.strip())


class LocalAgreement:
    """Feed it guesses of one stretch of sound, oldest first. Times share one zero."""

    def __init__(self) -> None:
        self._confirmed: list[Word] = []
        self._tail: list[Word] = []

    @property
    def confirmed(self) -> tuple[Word, ...]:
        """The words that will not change; every later value begins with this one."""
        return tuple(self._confirmed)

    @property
    def tail(self) -> tuple[Word, ...]:
        """The rest of the newest guess: unconfirmed, and likely to change."""
        return tuple(self._tail)

    @property
    def confirmed_ms(self) -> int:
        """Where the last confirmed word ends; 0 before there is one."""
        return max((word.end_ms for word in self._confirmed), default=0)

    def feed(self, guess: Sequence[Word]) -> tuple[Word, ...]:
        """Take the newest guess; return the words it confirms, often none."""
        fresh = self._after_confirmed(guess)
        agreed = 0
        for before, now in zip(self._tail, fresh, strict=False):
            if key(before.text) != key(now.text):
                break
            agreed += 1
        self._confirmed += fresh[:agreed]
        self._tail = fresh[agreed:]
        return tuple(fresh[:agreed])

    def finish(self, guess: Sequence[Word] | None = None) -> tuple[Word, ...]:
        """All the words, at the end of the sound: nobody will contradict the last guess.

        Without a `guess` the newest one counts."""
        if guess is not None:
            self._tail = self._after_confirmed(guess)
        self._confirmed += self._tail
        self._tail = []
        return self.confirmed

    def _after_confirmed(self, guess: Sequence[Word]) -> list[Word]:
        """The words of the guess that are not already confirmed."""
        if not self._confirmed:
            return list(guess)
        edge = self.confirmed_ms
        # A word belongs to the confirmed part when its middle lies there.
        fresh = [w for w in guess if (w.start_ms + w.end_ms) // 2 >= edge - SLACK_MS]
        return fresh[self._heard_twice(fresh, edge) :]

    def _heard_twice(self, fresh: Sequence[Word], edge: int) -> int:
        """How many words at the front only repeat the confirmed end.

        Only where the guess really reaches back over the edge: someone who says
        "no, no" later has said it twice."""
        if not fresh or fresh[0].start_ms >= edge:
            return 0
        for count in range(min(SEAM_WORDS, len(fresh), len(self._confirmed)), 0, -1):
            end = [key(word.text) for word in self._confirmed[-count:]]
            if end == [key(word.text) for word in fresh[:count]]:
                return count
        return 0
