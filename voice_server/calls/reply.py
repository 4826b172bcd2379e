"""What one reply says, how long it sounds, and how much of it was heard. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from engines.speech import (
    OPUS_FRAME_MS,
    CallPiece,
    Entry,
    FunctionCall,
    Note,
    Turn,
    WordTime,
)

from .events import Asked, CalledIn, Replied, Source, Spoken
from .waterfall import Marks
from .words import without

TEXT_CHARS_MAX = 250_000
CALLS_MAX = 32
ARGUMENTS_CHARS_MAX = 64 * 1024
_WORD = re.compile(r"\S+")


@dataclass(slots=True)
class Piece:
    """A stretch of text and the sound made of it so far. `filler`: it is said while the reply
    is awaited, and is no part of it."""

    text: str
    filler: bool = False
    words: list[WordTime] = field(default_factory=list)
    sound_ms: int = 0

    def heard_chars(self, heard_ms: int, *, whole: bool) -> int:
        """How many characters were fully said after `heard_ms` of this piece's sound.

        `whole`: all of the piece's sound has been made. Without word times the words are
        taken to be equally long.
        """
        if whole and heard_ms >= self.sound_ms:
            return len(self.text)
        if self.words:
            ended = [
                word for word, after in pairwise(self.words)
                # A voice that goes on for another says again what was not said in full.
                if after.start_ms <= heard_ms and after.char_start > word.char_start
            ]  # fmt: skip
            return ended[-1].char_end if ended else 0
        if not self.sound_ms:
            return 0
        ends = self._word_ends()
        count = len(ends) * heard_ms // self.sound_ms
        return ends[min(count, len(ends)) - 1] if count else 0

    def begun_chars(self, heard_ms: int) -> int:
        """How many characters have begun to be said after `heard_ms`."""
        if self.words:
            begun = [word for word in self.words if word.start_ms <= heard_ms]
            return begun[-1].char_end if begun else 0
        if not self.sound_ms:
            return 0
        ends = self._word_ends()
        count = -(-len(ends) * min(heard_ms, self.sound_ms) // self.sound_ms)
        return ends[count - 1] if count else 0

    def _word_ends(self) -> list[int]:
        return [match.end() for match in _WORD.finditer(self.text)]


@dataclass(slots=True)
class Reply:
    pieces: list[Piece] = field(default_factory=list)
    sound_ms: int = 0
    played_ms: int = 0
    # When all the sound that is there will have been heard, moved on by every pause.
    sound_ends_ms: int = 0
    made: bool = False
    # It is longer than the client allows; nobody knows whether its calls are whole.
    cut: bool = False
    hangs_up: bool = False
    told_chars: int = 0
    # False: it is only read, and what was read was heard.
    speaks: bool = True
    calls: dict[str, CallPiece] = field(default_factory=dict)
    chars: int = 0

    def add_text(self, text: str, *, filler: bool = False) -> bool:
        """Whether there is room for the next piece."""
        self.chars += len(text)
        if self.chars <= TEXT_CHARS_MAX:
            self.pieces.append(Piece(text, filler))
        return self.chars <= TEXT_CHARS_MAX

    def add_call(self, piece: CallPiece) -> bool:
        """Whether there is room for this piece of a function call."""
        begun = self.calls.get(piece.call_id)
        if begun is None and len(self.calls) == CALLS_MAX:
            return False
        arguments = (begun.arguments if begun else "") + piece.arguments
        if len(arguments) > ARGUMENTS_CHARS_MAX:
            return False
        name = begun.name if begun else piece.name
        self.calls[piece.call_id] = CallPiece(piece.call_id, name, arguments)
        return True

    @property
    def asked_for(self) -> tuple[FunctionCall, ...]:
        """The tools this reply asked for; a call that was cut short was none."""
        if not self.made or self.cut:
            return ()
        return tuple(FunctionCall(c.call_id, c.name, c.arguments) for c in self.calls.values())

    def add_sound(self, now_ms: int) -> None:
        if not self.pieces:
            self.pieces.append(Piece(""))
        self.pieces[-1].sound_ms += OPUS_FRAME_MS
        self.sound_ms += OPUS_FRAME_MS
        self.sound_ends_ms = max(self.sound_ends_ms, now_ms) + OPUS_FRAME_MS

    def add_word(self, word: WordTime) -> None:
        if self.pieces:
            self.pieces[-1].words.append(word)

    def play(self, played_ms: int) -> None:
        self.played_ms = min(max(played_ms, self.played_ms), self.sound_ms)

    def truncate(self, heard_ms: int) -> None:
        """The listener says that only this much was heard; never more than was made."""
        self.played_ms = min(max(heard_ms, 0), self.sound_ms)

    @property
    def text(self) -> str:
        """All that is told of it, fillers too."""
        return (" " if self.speaks else "").join(piece.text for piece in self.pieces)

    @property
    def answer(self) -> str:
        pieces = (piece.text for piece in self.pieces if not piece.filler)
        return (" " if self.speaks else "").join(pieces)

    @property
    def answer_at_ms(self) -> int | None:
        """Where in its sound the answer begins, behind a filler; None: it has not begun."""
        at_ms = 0
        for piece in self.pieces:
            if piece.sound_ms and not piece.filler:
                return at_ms
            at_ms += piece.sound_ms
        return None

    @property
    def finished(self) -> bool:
        return self.made and self.played_ms >= self.sound_ms

    def heard(self, *, fillers: bool = True) -> str:
        """The words that reached the listener in full."""
        if not self.speaks:
            return self.text if fillers else self.answer
        heard, left_ms = list[str](), self.played_ms
        for index, piece in enumerate(self.pieces):
            whole = self.made or index < len(self.pieces) - 1
            chars = piece.heard_chars(left_ms, whole=whole)
            if fillers or not piece.filler:
                heard.append(piece.text[:chars])
            if chars < len(piece.text) or left_ms < piece.sound_ms:
                break  # A piece without text can be cut as well.
            left_ms -= piece.sound_ms
        return " ".join(filter(None, heard)).strip()

    def begun_chars(self) -> int:
        """How many characters of `text` have begun to be heard."""
        if self.finished:  # Its last words may have no sound of their own.
            return len(self.text)
        chars, left_ms = 0, self.played_ms
        for piece in self.pieces:
            if left_ms < piece.sound_ms or piece is self.pieces[-1]:
                begun = piece.begun_chars(left_ms)
                return chars + begun if begun else max(chars - 1, 0)
            chars += len(piece.text) + 1
            left_ms -= piece.sound_ms
        return chars


@dataclass(slots=True)
class OpenTurn:
    """The turn that has the floor, or wants it."""

    number: int
    said: list[str] = field(default_factory=list)
    partial: str = ""
    # Utterances that ended and whose words are still on their way.
    awaited: int = 0
    # When the partial became what it is.
    partial_ms: int = 0
    reply: Reply = field(default_factory=Reply)
    # A reply was asked for, and its end has not been told yet.
    replying: bool = False
    # It only says something on the server's behalf, and is not part of the talk.
    notice: bool = False
    # This notice only says that the answer to the challenger is on its way.
    filler: bool = False
    # Why the recogniser cannot hear the utterance that is being spoken; empty: it can.
    deaf: str = ""
    # The client wants this reply as soon as the words are known.
    asked: Asked | None = None
    # A reply was begun, whatever became of it.
    answered: bool = False
    # It is answered because something was heard, and nobody asked for that.
    unasked: bool = False
    # Neither what it says nor what it answers is part of the talk.
    aside: bool = False
    # Turns whose words go on in this one.
    earlier: tuple[int, ...] = ()
    # Utterances whose words the client does not want, although they have not come yet.
    unwanted: int = 0
    # What the client took out of the reply before it was over.
    forgotten: set[Source] = field(default_factory=set)
    marks: Marks = field(default_factory=Marks)
    timed: bool = False
    # Since when somebody waits in silence for the reply; 0: nobody does yet.
    waits_since_ms: int = 0
    # How many fillers were asked for, and when the last one was.
    fillers: int = 0
    filled_at_ms: int = 0

    @property
    def user(self) -> str:
        return " ".join(filter(None, [*self.said, self.partial]))

    @property
    def late(self) -> bool:
        """It was answered before its words were known."""
        return self.answered and self.awaited > 0

    @property
    def was_noise(self) -> bool:
        """What was heard held no words, and nothing has been answered to it yet."""
        said = self.user or self.awaited or self.reply.pieces or self.reply.calls
        return self.unasked and not said

    def hear(self, text: str) -> None:
        """These are the words of the next utterance."""
        self.partial = ""
        if self.unwanted:
            self.unwanted -= 1
        elif text:
            self.said.append(text)

    def forget(self, source: Source) -> None:
        """The client took out something that this turn says."""
        match source:
            case Spoken(turn, text) if turn == self.number or turn in self.earlier:
                if text is None:
                    self.unwanted = min(self.unwanted + 1, self.awaited)
                else:
                    self.said = [without(" ".join(self.said), text)]
            case Replied(turn) | CalledIn(turn) if turn == self.number and self.replying:
                self.forgotten.add(source)

    def past(self) -> PastTurn:
        return PastTurn(
            self.number, self.user, self.reply, self.answered, self.earlier, self.late
        )

    def going_on(self) -> Entry:
        """All there is of it by now, whether or not it has been heard."""
        if not self.replying:
            return Note("user", self.user)
        return Turn(self.user, self.reply.answer, not self.reply.made, self.reply.asked_for)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A reply to these words of a turn is being thought of, in case they were the last."""

    turn: int
    words: str


@dataclass(slots=True)
class PastTurn:
    """A turn that is over. `answered`: a reply to it was begun. `late`: words of the user are
    still to come."""

    number: int
    user: str
    reply: Reply
    answered: bool = True
    earlier: tuple[int, ...] = ()
    late: bool = False

    def as_turn(self) -> Turn:
        reply = self.reply
        interrupted = not reply.finished and not all(piece.filler for piece in reply.pieces)
        return Turn(self.user, reply.heard(fillers=False), interrupted, reply.asked_for)
