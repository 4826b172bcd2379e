"""What was said and done in a call, as the dialogue engine is told it. Pure.

Turns come from the talk itself: what the user said, and of the reply the words that were heard.
Between them stands what the client put there: notes, calls of tools and their results.

A dialogue engine gets a history that is easy to answer. What a user wrote or said without being
answered is folded into the next turn, and what an assistant is said to have answered becomes a
turn; so all that stands between turns is system notes, calls and results, and the last entry is
always the turn to be answered.

The memory is bounded in entries and in characters; the oldest are forgotten first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engines.speech import Entry, FunctionCall, FunctionResult, Note, Turn

from .events import FIRST, CalledIn, Replied, Source, Spoken
from .reply import PastTurn, Reply
from .words import without

ENTRIES_MAX = 256
CHARS_MAX = 1_000_000
TOKEN_CHARS = 4


@dataclass(frozen=True, slots=True)
class Kept:
    """What a client put into the conversation."""

    item_id: str
    entry: Entry


class Memory:
    def __init__(self) -> None:
        self._entries: list[PastTurn | Kept] = []

    # It grows.

    def remember(self, turn: PastTurn) -> None:
        self._entries.append(turn)
        self._bound()

    def add(self, kept: Kept, after: Source | None = None) -> bool:
        """Whether what it should stand behind is known; if not, nothing was added."""
        if after == FIRST:
            self._entries.insert(0, kept)
        elif after is None:
            self._entries.append(kept)
        elif (place := self._place(after)) is not None:
            self._entries.insert(place + 1, kept)
        else:
            return False
        self._bound()
        return True

    def _bound(self) -> None:
        del self._entries[:-ENTRIES_MAX]
        chars = sum(chars_of(_as_entry(each)) for each in self._entries)
        while chars > CHARS_MAX:
            chars -= chars_of(_as_entry(self._entries.pop(0)))

    # It is changed.

    def amend(self, kept: Kept) -> None:
        """Put this in the place of what has its id; nothing, where that was taken out."""
        place = self._place(kept.item_id)
        if place is not None:
            self._entries[place] = kept
            self._bound()

    def turn(self, number: int) -> PastTurn | None:
        """What was replied in a turn, and to what."""
        place = self._place(Replied(number))
        each = None if place is None else self._entries[place]
        return each if isinstance(each, PastTurn) else None

    def forget(self, source: Source) -> bool:
        """Whether there was such a thing."""
        place = self._place(source)
        if place is None:
            return False
        each = self._entries[place]
        if isinstance(each, Kept):
            del self._entries[place]
            return True
        match source:
            case Spoken(_, text):
                each.user = without(each.user, text or "")
            case Replied():
                each.reply = Reply(made=each.reply.made, cut=each.reply.cut, calls=each.reply.calls)
            case CalledIn(_, call_id):
                each.reply.calls.pop(call_id, None)
        left = each.as_turn()
        if not (left.user or left.agent or left.calls or each.late):
            del self._entries[place]
        return True

    def _place(self, source: Source) -> int | None:
        """Where it is kept; the last such place, for the words of a turn may stand apart from
        the reply to them, and come first."""
        places = [place for place, each in enumerate(self._entries) if _holds(each, source)]
        places = [each for each in places if _says(self._entries[each], source)] or places
        return places[-1] if places else None

    # It is told.

    def history(
        self, asking: str, going_on: Iterable[Entry] = (), *, tokens_max: int = 0,
        share_kept: float = 1.0,
    ) -> tuple[Entry, ...]:  # fmt: skip
        """All that came before, what is going on now, and the turn in which the user asks this.
        Beyond `tokens_max` the oldest are left out, until `share_kept` of that many tokens are
        left."""
        entries = [*map(_as_entry, self._entries), *going_on]
        folded = fold(entries, asking, set(self._unanswered()))
        return _shortened(folded, tokens_max, share_kept)

    def turns(self) -> list[Turn]:
        """Only what was said."""
        *before, last = fold(map(_as_entry, self._entries), "", set(self._unanswered()))
        said = [each for each in before if isinstance(each, Turn)]
        return [*said, last] if isinstance(last, Turn) and last.user else said

    def _unanswered(self) -> Iterable[int]:
        """The places of turns that nobody tried to answer."""
        for place, each in enumerate(self._entries):
            if isinstance(each, PastTurn) and not each.answered:
                yield place


def fold(
    entries: Iterable[Entry], asking: str, unanswered: Iterable[int] = ()
) -> tuple[Entry, ...]:
    """A history whose last entry is the turn to be answered. `unanswered`: the places of turns
    that hold only words of the user."""
    folded, waiting, skipped = list[Entry](), list[str](), set(unanswered)
    for place, entry in enumerate(entries):
        match entry:
            case Turn(user) if place in skipped:
                waiting.append(user)
            case Turn("", "", _, ()):
                pass  # Its words have not come, and no more of it than that is known.
            case Turn(user, agent, interrupted, calls):
                folded.append(Turn(_joined([*waiting, user]), agent, interrupted, calls))
                waiting.clear()
            case Note(_, ""):
                pass
            case Note("user", text):
                waiting.append(text)
            case FunctionCall() if any(waiting):
                # What the client says was called for these words stands behind them.
                folded.append(Turn(_joined(waiting), "", calls=(entry,)))
                waiting.clear()
            case Note("assistant", text):
                folded.append(Turn(_joined(waiting), text))
                waiting.clear()
            case _:
                folded.append(entry)
    return (*folded, Turn(_joined([*waiting, asking]), ""))


def _shortened(
    entries: tuple[Entry, ...], tokens_max: int, share_kept: float
) -> tuple[Entry, ...]:
    """The history without its oldest entries; the last one always stays, and so do the words
    of the system."""
    chars = sum(map(chars_of, entries))
    if not tokens_max or chars <= tokens_max * TOKEN_CHARS:
        return entries
    kept, room = list(entries), int(tokens_max * share_kept) * TOKEN_CHARS
    for entry in entries[:-1]:
        if chars <= room:
            break
        if not (isinstance(entry, Note) and entry.role == "system"):
            kept.remove(entry)
            chars -= chars_of(entry)
    return tuple(kept)


def _holds(each: PastTurn | Kept, source: Source) -> bool:
    match each, source:
        case Kept(item_id), str():
            return item_id == source
        case PastTurn(), Spoken(turn):
            return turn == each.number or turn in each.earlier
        case PastTurn(), Replied(turn) | CalledIn(turn):
            return turn == each.number
    return False


def _says(each: PastTurn | Kept, source: Source) -> bool:
    """Whether it holds the very words that are meant."""
    if not (isinstance(each, PastTurn) and isinstance(source, Spoken) and source.text):
        return False
    return without(each.user, source.text) != each.user


def _as_entry(each: PastTurn | Kept) -> Entry:
    return each.entry if isinstance(each, Kept) else each.as_turn()


def chars_of(entry: Entry) -> int:
    """How much text it holds."""
    match entry:
        case Turn(user, agent, _, calls):
            return len(user) + len(agent) + sum(map(chars_of, calls))
        case Note(_, text):
            return len(text)
        case FunctionCall(_, name, arguments):
            return len(name) + len(arguments)
        case FunctionResult(_, output):
            return len(output)


def _joined(words: Iterable[str]) -> str:
    return " ".join(filter(None, words))
