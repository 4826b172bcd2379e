"""The conversation as a vendor of speech-to-speech keeps it, held in step with a call's. Pure.

A vendor's conversation is a list of items. Some come of the talk itself: an utterance is an item
of sound whose words are known later, a reply one that may be cut where it was heard. The others
we put there. Before each reply the call says what its conversation is (`history`), and `agree`
gives the events that make the vendor's the same. Mostly there are none, or one for each thing
that is new. What differs in the midst is taken out and put there anew, as text.

    ours     Turn("Hello.", "Hi there.")   Note(system)   Turn("And", "")
    theirs   [sound] [sound, cut]          (create ►)     [sound, being answered]

What is kept as sound is told apart by its words, as the call heard them; sound that held no words
for the call says nothing to it, and stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..speech import Entry, FunctionCall, FunctionResult, Note, Turn
from .chat_messages import object_text, safe_name

Json = dict[str, object]
USER, ASSISTANT, SYSTEM, CALL, RESULT = "user", "assistant", "system", "call", "result"
ROOT = "root"
# Ids that a vendor takes are short; so are those of calls.
ID_CHARS_MAX = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something of the call's conversation. `name` and `call_id` of a call and of its result."""

    kind: str
    text: str
    name: str = ""
    call_id: str = ""

    def as_json(self, item_id: str) -> Json:
        match self.kind:
            case "call":
                return {
                    "id": item_id, "type": "function_call", "call_id": self.call_id,
                    "name": self.name, "arguments": self.text,
                }  # fmt: skip
            case "result":
                return {
                    "id": item_id, "type": "function_call_output", "call_id": self.call_id,
                    "output": self.text,
                }  # fmt: skip
        part = "output_text" if self.kind == ASSISTANT else "input_text"
        content = [{"type": part, "text": self.text}]
        return {"id": item_id, "type": "message", "role": self.kind, "content": content}


@dataclass(slots=True)
class Item:
    """An item of the vendor's. `turn`: of the talk, in which it was said; None: we put it there.
    `sound_ms`: how much sound a reply has. `cut`: it was truncated. `marks`: how many of its
    characters were said after how many milliseconds. `aside`: it is not of the call's
    conversation, and stays."""

    id: str
    kind: str
    text: str = ""
    name: str = ""
    call_id: str = ""
    turn: int | None = None
    sound_ms: int = 0
    read: bool = False
    cut: bool = False
    aside: bool = False
    marks: list[tuple[int, int]] = field(default_factory=list)

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.kind, self.text, self.name, self.call_id)


def wanted_of(history: Sequence[Entry]) -> list[Wanted]:
    """What a history holds, in order. What a tool answered that nobody asked is told in words:
    a vendor takes the result of no call that it does not know."""
    found, calls = list[Wanted](), dict[str, str]()
    for entry in history:
        match entry:
            case Turn(user, agent, _, asked):
                found += [_words(USER, user), _words(ASSISTANT, agent)]
                found += [_call(each, calls) for each in asked]
            case Note(role, text):
                found.append(_words(role if role in (SYSTEM, ASSISTANT) else USER, text))
            case FunctionCall():
                found.append(_call(entry, calls))
            case FunctionResult(call_id, output) if calls.pop(call_id, ""):
                found.append(Wanted(RESULT, output, call_id=_short(call_id)))
            case FunctionResult(_, output):
                found.append(_words(USER, f"(A tool has answered: {output})"))
    return [each for each in found if each.text or each.kind in (CALL, RESULT)]


def _words(kind: str, text: str) -> Wanted:
    return Wanted(kind, _plain(text))


def _call(call: FunctionCall, known: dict[str, str]) -> Wanted:
    known[call.call_id] = call.name
    arguments = object_text(call.arguments)
    return Wanted(CALL, arguments, safe_name(call.name), _short(call.call_id))


def _short(call_id: str) -> str:
    return call_id[-ID_CHARS_MAX:]


def _plain(text: str) -> str:
    return " ".join(text.split())


class Mirror:
    """What a vendor's conversation holds, as far as we were told or asked for it."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._made = 0

    def __contains__(self, item_id: str) -> bool:
        return any(item.id == item_id for item in self.items)

    def find(self, item_id: str) -> Item | None:
        return next((item for item in self.items if item.id == item_id), None)

    def of_turn(self, turn: int, kind: str) -> list[Item]:
        return [item for item in self.items if item.turn == turn and item.kind == kind]

    # The vendor says what it holds.

    def put(self, item: Item, after: str | None) -> None:
        """The vendor has this item, behind that one; where that is not known, at the end."""
        if item.id in self:
            return
        places = [place for place, each in enumerate(self.items) if each.id == after]
        self.items.insert(places[0] + 1 if places else len(self.items), item)

    def drop(self, item_id: str) -> None:
        self.items = [item for item in self.items if item.id != item_id]

    # We ask it to hold something else.

    def create(self, wanted: Wanted, after: str | None, *, aside: bool = False) -> Json:
        """Put this behind an item; None: first of all."""
        self._made += 1
        item_id = f"ours_{self._made}"
        made = Item(
            item_id, wanted.kind, wanted.text, wanted.name, wanted.call_id, read=True, aside=aside
        )  # fmt: skip
        place = 0 if after is None else [each.id for each in self.items].index(after) + 1
        self.items.insert(place, made)
        return {
            "type": "conversation.item.create", "event_id": f"create:{item_id}",
            "previous_item_id": after or ROOT, "item": wanted.as_json(item_id),
        }  # fmt: skip

    def delete(self, item: Item) -> Json:
        self.drop(item.id)
        return {
            "type": "conversation.item.delete", "event_id": f"delete:{item.id}",
            "item_id": item.id,
        }  # fmt: skip

    def cut(self, item: Item, heard_ms: int) -> Json:
        """No more of this reply was heard; where none of it was, it is taken out."""
        if heard_ms <= 0:
            return self.delete(item)
        item.cut = True
        return {
            "type": "conversation.item.truncate", "event_id": f"truncate:{item.id}",
            "item_id": item.id, "content_index": 0, "audio_end_ms": min(heard_ms, item.sound_ms),
        }  # fmt: skip

    def say_aside(self, text: str, turn: int) -> Json:
        """Something was said that the call does not count as part of its conversation."""
        last = self.items[-1].id if self.items else None
        told = self.create(_words(ASSISTANT, text), last, aside=True)
        self.items[-1].turn = turn
        return told

    def renew(self) -> list[Json]:
        """The events that make an empty conversation this one, as text. Sound of which no words
        are known is not in it."""
        told, old = list[Json](), [i for i in self.items if i.text or i.kind in (CALL, RESULT)]
        self.items = []
        for item in old:
            told.append(self.create(item.wanted, self.items[-1].id if self.items else None))
            self.items[-1].turn, self.items[-1].aside = item.turn, item.aside
        return told

    def assume(self, history: Sequence[Entry]) -> None:
        """Somebody else has the conversation: what a vendor's would be if it were asked to."""
        self.items = []
        for each in wanted_of(history):
            self.create(each, self.items[-1].id if self.items else None)

    def agree(self, history: Sequence[Entry], turn: int, said: str) -> list[Json]:
        """The events that make the vendor's conversation this one. What was said in `turn`, which
        is being answered, is there as sound, or on its way there, and stays, whatever its words
        are; `said` are those that are known by now."""
        asked = [item for item in self.items if item.turn == turn and item.kind == USER]
        before, wanted = self._before(asked), wanted_of(_without_end(history, said))
        first = _matched(before, wanted)
        rest, left = before[first.items :], wanted[first.wanted :]
        last = _matched(rest[::-1], left[::-1], backwards=True)
        told = [
            event
            for item, text in (*first.cuts, *last.cuts)
            for event in _shorten(self, item, text)
        ]
        stale, new = rest[: len(rest) - last.items], left[: len(left) - last.wanted]
        told += [self.delete(item) for item in stale]
        behind = [item for item in self.items[self._end_of(asked) :] if item not in asked]
        told += [self.delete(item) for item in behind if not item.aside]
        after = before[first.items - 1].id if first.items else None
        for each in new:
            told.append(self.create(each, after))
            after = self.items[[item.id for item in self.items].index(after) + 1 if after else 0].id
        return told

    def _before(self, asked: list[Item]) -> list[Item]:
        """What stands before that which is being answered, and says something to the call."""
        before = self.items[: self.items.index(asked[0])] if asked else self.items
        return [i for i in before if not i.aside and (i.text or i.kind in (CALL, RESULT))]

    def _end_of(self, asked: list[Item]) -> int:
        return self.items.index(asked[0]) if asked else len(self.items)


@dataclass(slots=True)
class _Match:
    """So many items are so many of what is wanted. `cuts`: replies that are remembered shorter
    than they are, and as what."""

    items: int = 0
    wanted: int = 0
    cuts: list[tuple[Item, str]] = field(default_factory=list)


def _matched(items: Sequence[Item], wanted: Sequence[Wanted], *, backwards: bool = False) -> _Match:
    """How far the two are the same from their beginning on; or both are given `backwards`."""
    match = _Match()
    for each in wanted:
        left = items[match.items :]
        if left and (count := _run(left, each, backwards=backwards)):
            if left[0].text != each.text and count == 1:
                match.cuts.append((left[0], each.text))
            match.items += count
            match.wanted += 1
        else:
            break
    return match


def _run(items: Sequence[Item], wanted: Wanted, *, backwards: bool) -> int:
    """How many of the first items say together what is wanted; 0: they do not."""
    if wanted.kind in (CALL, RESULT):
        return int(items[0].wanted == wanted)
    said = list[str]()
    for count, item in enumerate(items, start=1):
        if item.kind != wanted.kind:
            break
        said.insert(0 if backwards else len(said), _plain(item.text))
        text = " ".join(said)
        if text == wanted.text:
            return count
        # Of a reply no more is remembered than was heard, and the vendor can cut it there.
        if count == 1 and item.kind == ASSISTANT and item.sound_ms:
            return int(f"{text} ".startswith(f"{wanted.text} "))
    return 0


def _shorten(mirror: Mirror, item: Item, text: str) -> list[Json]:
    """A reply that the call remembers shorter than the vendor does is cut there."""
    heard_ms = max((ms for chars, ms in item.marks if chars <= len(text)), default=0)
    plain, item.text = _plain(item.text), text
    return [] if item.cut or plain == text else [mirror.cut(item, max(heard_ms, 1))]


def _without_end(history: Sequence[Entry], said: str) -> Sequence[Entry]:
    """All but the words that are there as sound. The call may know only the first of them."""
    last = history[-1]
    if not isinstance(last, Turn):
        return history
    return (*history[:-1], replace(last, user=without_end(last.user, said)))


def without_end(words: str, said: str) -> str:
    """The words without those at their end that are the first of `said`."""
    told, known = words.split(), said.split()
    for count in range(min(len(told), len(known)), 0, -1):
        if told[-count:] == known[:count]:
            return " ".join(told[:-count])
    return " ".join(told)
