"""How far a text was spoken, and where another voice goes on. Pure.

Words are told when their sound is about to come and not before: a voice that breaks off has then
told of no word that was not begun. The next voice begins with the first word whose sound was not
given in full; a word's sound is known to be whole when that of the next word has begun. Where
times were only reckoned, one word more is said again, for a word said twice is a smaller loss
than a word never said.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..speech import OPUS_FRAME_MS, WordTime

# A slow voice's pace, so that what is reckoned to be said was said.
CHAR_MS = 85
_WORD = re.compile(r"\S*\w\S*")


def is_speakable(text: str) -> bool:
    return any(char.isalnum() for char in text)


class Spoken:
    """`start`: where in the text the present voice began. `sound_ms`: all that was given."""

    def __init__(self, text: str, speed: float = 1.0) -> None:
        self._text, self._char_ms = text, CHAR_MS / max(speed, 0.01)
        self.start, self.sound_ms = 0, 0
        # When the present voice began, its words that were told, and those still to be.
        self._base_ms = 0
        self._told: list[WordTime] = []
        self._held: list[WordTime] = []

    @property
    def left(self) -> str:
        """What the present voice is to say."""
        return self._text[self.start :]

    def place(self, word: WordTime) -> None:
        """The present voice says where a word of what it was given lies. Nonsense is dropped."""
        if not 0 <= word.char_start < word.char_end <= len(self.left):
            return
        latest = (self._held or self._told or [WordTime(0, 0, self._base_ms)])[-1].start_ms
        self._held.append(
            replace(
                word,
                char_start=word.char_start + self.start,
                char_end=word.char_end + self.start,
                start_ms=max(word.start_ms + self._base_ms, latest),
            )
        )

    def give(self) -> list[WordTime]:
        """A frame is given: the words to be told before it."""
        self.sound_ms += OPUS_FRAME_MS
        due = [word for word in self._held if word.start_ms < self.sound_ms]
        self._held = self._held[len(due) :]
        self._told += due
        return due

    def rest(self) -> list[WordTime]:
        """The voice has ended: words still to be told."""
        held, self._held = self._held, []
        return [replace(word, start_ms=min(word.start_ms, self.sound_ms)) for word in held]

    def break_off(self) -> list[WordTime]:
        """The voice has broken off; the next goes on at the new `start`. What its words' times
        probably were, if it told of none itself."""
        late = []
        if self.sound_ms > self._base_ms:
            if not self._told and not self._held:
                late = self._reckoned()
            self._move(late or [*self._told, *self._held])
        self._told, self._held, self._base_ms = [], [], self.sound_ms
        return [word for word in late if word.start_ms < self.sound_ms]

    def _move(self, words: list[WordTime]) -> None:
        begun = sum(word.start_ms < self.sound_ms for word in words)
        if not begun:
            return
        # The one whose sound had begun last may not be whole, unless the next one's was due.
        first = begun - 1
        last = words[first]
        if not is_speakable(self._text[last.char_end :]) and self._lasted(last):
            self.start = len(self._text)
            return
        if first + 1 < len(words) and words[first + 1].start_ms <= self.sound_ms:
            first += 1
        if words[min(first, len(words) - 1)].estimated:
            first = max(first - 1, 0)
        self.start = words[first].char_start

    def _lasted(self, word: WordTime) -> bool:
        """Whether a slow voice would have come to the word's end."""
        chars = word.char_end - word.char_start + 1
        return self.sound_ms - word.start_ms >= chars * self._char_ms

    def _reckoned(self) -> list[WordTime]:
        words, at_ms = list[WordTime](), float(self._base_ms)
        for match in _WORD.finditer(self.left):
            begin, end = match.start() + self.start, match.end() + self.start
            words.append(WordTime(begin, end, int(at_ms), estimated=True))
            at_ms += (end - begin + 1) * self._char_ms
        return words
