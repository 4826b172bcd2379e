"""One reply of a speech-to-speech vendor, its words and its sound put in step. Pure.

The vendor sends both as they are made and does not say which words a stretch of sound holds. The
call wants pieces of text, each before its sound, so that it can tell how much was heard. So the
words are cut into sentences, and the sound is given to each for as long as it probably lasts: at
the pause that is nearest to where it should end, by the pace of the sentences before it. Who
listens is not made to wait: the first piece is whatever words there are when sound comes.

What it returns is in order: a piece of text, then frames of its sound.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

from ..sentences import SentenceCutter
from ..speech import OPUS_FRAME_MS

RATE_HZ = 24_000
FRAME_BYTES = RATE_HZ * 2 * OPUS_FRAME_MS // 1_000
# How long a character takes to say, before the voice has shown its own pace.
CHAR_MS = 65.0
# Quieter than this is a pause (of 32,767).
QUIET = 400
PAUSE_MS = 100
# A piece ends at a pause within these shares of its length, or else at the latter.
EARLIEST, LATEST = 0.6, 1.3
PACE_LEARNT = 0.5
# Sound that comes before its words waits for them for so long; where the first word has begun to
# come, until it is whole, if that is not much longer. Most often it is the only one.
WORDLESS_MS_MAX, ONE_WORD_MS_MIN, ONE_WORD_MS_MAX = 400, 200, 1_200
_ENDS = tuple(".!?…")
# Ten minutes: no reply is so long, and what is kept of one is bounded.
SOUND_MS_MAX = 600_000

Piece = str | bytes


@dataclass(slots=True)
class InStep:
    """Feed it what comes; it gives text (str) and frames of 20 ms at 24 kHz (bytes)."""

    speed: float = 1.0
    sound_ms: int = 0
    # After how many milliseconds of sound how many characters had been said.
    marks: list[tuple[int, int]] = field(default_factory=list)
    _cutter: SentenceCutter = field(default_factory=SentenceCutter)
    _words: str = ""
    _waiting: deque[str] = field(default_factory=deque)
    _held: bytes = b""
    _char_ms: float = CHAR_MS
    _piece: str | None = None
    _piece_ms: int = 0
    _quiet_ms: int = 0
    _chars: int = 0

    def say(self, words: str) -> list[Piece]:
        """The next words."""
        self._feed(words)
        return self._sound() if self._held else []

    def _feed(self, words: str) -> None:
        self._words += words
        for piece in self._cutter.feed(words):
            self._waiting.append(piece)
            self._words = self._words[self._words.find(piece) + len(piece) :]

    def hear(self, pcm: bytes) -> list[Piece]:
        """The next sound, any length of it."""
        self._held += pcm
        return self._sound()

    def end(self) -> list[Piece]:
        """There is no more of either."""
        self._waiting += self._cutter.rest()
        made = self._begin() if self._piece is None else []
        if rest := self._held:
            self._held = rest.ljust(-(-len(rest) // FRAME_BYTES) * FRAME_BYTES, b"\0")
            made += self._frames()
        while self._waiting:
            made += self._begin()
        self._mark()
        return made

    def _sound(self) -> list[Piece]:
        if self._piece is None and not self._words_come():
            wait_ms = ONE_WORD_MS_MAX if self._words.strip() else WORDLESS_MS_MAX
            if self._held_ms < wait_ms:
                return []
            return self._frames()
        made = self._begin() if self._piece is None else []
        return made + self._frames()

    @property
    def _held_ms(self) -> int:
        return len(self._held) * 1_000 // (RATE_HZ * 2)

    def _words_come(self) -> bool:
        """Whether there are words to begin with, if need be the first of a sentence."""
        begun, _, rest = self._words.rpartition(" ")
        if self._held_ms >= ONE_WORD_MS_MIN and self._words.strip()[-1:] in _ENDS:
            begun, rest = self._words, ""
        if begun.strip() and not self._waiting:
            self._waiting.append(begun.strip())
            self._cutter, self._words = SentenceCutter(), ""
            self._feed(rest)
        return bool(self._waiting)

    def _frames(self) -> list[Piece]:
        made = list[Piece]()
        while len(self._held) >= FRAME_BYTES:
            frame, self._held = self._held[:FRAME_BYTES], self._held[FRAME_BYTES:]
            if self._ends():
                made += self._begin()
            quiet = max(map(abs, array("h", frame))) < QUIET
            self._quiet_ms = self._quiet_ms + OPUS_FRAME_MS if quiet else 0
            self._piece_ms += OPUS_FRAME_MS
            self.sound_ms += OPUS_FRAME_MS
            made.append(frame)
        return made

    def _ends(self) -> bool:
        """Whether the piece that is being said has probably been said."""
        if self._piece is None:
            return False
        lasts_ms = len(self._piece) * self._char_ms / self.speed
        if not self._waiting:
            # The next sentence is not whole: its first words will do, if it is time for them.
            return self._piece_ms >= lasts_ms and self._words_come()
        if self._quiet_ms >= PAUSE_MS and self._piece_ms >= EARLIEST * lasts_ms:
            learnt = self._piece_ms * self.speed / max(len(self._piece), 1)
            self._char_ms += (learnt - self._char_ms) * PACE_LEARNT
            return True
        pauses = self._piece[-1:] in ".!?…,;:—"
        return self._piece_ms >= (LATEST if pauses else 1.0) * lasts_ms

    def _begin(self) -> list[Piece]:
        if not self._waiting:
            return []
        self._mark()
        self._piece, self._piece_ms, self._quiet_ms = self._waiting.popleft(), 0, 0
        return [self._piece]

    def _mark(self) -> None:
        """The piece that was being said is over."""
        if self._piece is not None:
            self._chars += len(self._piece) + (1 if self._chars else 0)
            self.marks.append((self._chars, self.sound_ms))
