"""The items of a conversation as clients see them, in their order. Pure.

The list is bounded: when it grows beyond `ITEMS_MAX` items or `ITEMS_BYTES_MAX` bytes, the
oldest items are forgotten, and asking for one of them is answered like asking for an unknown id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from engines.speech import Entry, FunctionCall, FunctionResult, Note

from ..events import CalledIn, Replied, Source, Spoken
from .checks import NAME_CHARS_MAX, Fields, Refusal, wrong_value
from .server_events import JsonObject, message

ITEMS_MAX = 1_000
ITEMS_BYTES_MAX = 2 * 1024 * 1024
PARTS_MAX = 64
# A minute at 24 kHz in 16 bits, written as base64.
RECORDED_MS_MAX = 60_000
RECORDED_CHARS_MAX = RECORDED_MS_MAX * 48 * 4 // 3 + 4
ROOT = "root"

# Which content parts a message of each role may hold, and where a part's words are. `text` is
# how older clients still write what an assistant said.
_PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "system": {"input_text": ("input_text", "text")},
    "user": {
        "input_text": ("input_text", "text"),
        "input_audio": ("input_audio", "transcript"),
    },
    "assistant": {
        "output_text": ("output_text", "text"),
        "text": ("output_text", "text"),
        "output_audio": ("output_audio", "transcript"),
    },
}


@dataclass(slots=True)
class Item:
    """One item. `body` is what clients are told; it is replaced and never changed in place.

    `turn` is set for what came of the talk itself: in which turn it was said. `spoken` are the
    words of an utterance, once they are known, even where the client is not told them.
    """

    body: JsonObject
    turn: int | None = None
    spoken: str | None = None
    size: int = field(init=False, default=0)

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def source(self) -> Source:
        """Under which name the call keeps it."""
        if self.turn is None:
            return self.id
        if self.body["type"] == "function_call":
            return CalledIn(self.turn, str(self.body["call_id"]))
        if self.body["role"] == "assistant":
            return Replied(self.turn)
        return Spoken(self.turn, self.spoken)

    @property
    def entry(self) -> Entry:
        """What a dialogue engine is told of it."""
        body = self.body
        match body["type"]:
            case "function_call":
                call_id = str(body.get("call_id", body["id"]))
                return FunctionCall(call_id, str(body["name"]), str(body["arguments"]))
            case "function_call_output":
                return FunctionResult(str(body["call_id"]), str(body["output"]))
            case _:
                return Note(str(body["role"]), self.spoken or words_of(body))


class Items:
    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._bytes = 0

    def __contains__(self, item: Item) -> bool:
        """This very item: a client may give the id of one it deleted to another."""
        return self._items.get(item.id) is item

    def __len__(self) -> int:
        return len(self._order)

    @property
    def last_id(self) -> str | None:
        return self._order[-1] if self._order else None

    def append(self, item: Item) -> str | None:
        """Put the item last; returns the id of the one before it."""
        return self.insert(item, self.last_id)

    def insert(self, item: Item, after: str | None) -> str | None:
        """Put the item after another, or first for None; returns the other's id."""
        place = 0 if after is None else self._order.index(after) + 1
        self._order.insert(place, item.id)
        self._items[item.id] = item
        item.size = len(orjson.dumps(item.body))
        self._bytes += item.size
        while len(self._order) > ITEMS_MAX or self._bytes > ITEMS_BYTES_MAX:
            self._forget(self._order[0])
        return after

    def before(self, item_id: str) -> str | None:
        """The id of the item before this one."""
        place = self._order.index(item_id)
        return self._order[place - 1] if place else None

    def find(self, item_id: str, doing: str) -> Item:
        """The item. `doing`: delete, retrieve or truncate, for the code of the `Refusal`."""
        if (item := self._items.get(item_id)) is None:
            raise Refusal(
                f"Error {doing[:-1]}ing item: the item with id '{item_id}' does not exist.",
                code=f"item_{doing}_invalid_item_id", param="item_id",
            )  # fmt: skip
        return item

    def delete(self, item_id: str) -> None:
        self.find(item_id, "delete")
        self._forget(item_id)

    def update(self, item: Item, **fields: object) -> None:
        """Change what clients are told of an item; what was told before stays as it was."""
        item.body = {**item.body, **fields}
        if item in self:
            size = len(orjson.dumps(item.body))
            self._bytes += size - item.size
            item.size = size

    def _forget(self, item_id: str) -> None:
        self._order.remove(item_id)
        self._bytes -= self._items.pop(item_id).size

    def place(self, previous_id: str) -> str | None:
        """After which item a client's item goes: "" means last, "root" first."""
        if not previous_id:
            return self.last_id
        if previous_id == ROOT:
            return None
        if previous_id not in self._items:
            raise Refusal(
                f"Error creating item: the previous item with id '{previous_id}' does not exist.",
                code="item_create_invalid_previous_item_id", param="previous_item_id",
            )  # fmt: skip
        return previous_id

    def new(self, given: Fields, new_id: Callable[[str], str]) -> Item:
        """A client's item, checked and cleaned, under the client's id where it has one."""
        item_id = given.id("id") or new_id("item")
        if item_id in self._items or item_id == ROOT:
            raise Refusal(
                f"Error creating item: an item with id '{item_id}' already exists.",
                code="item_create_duplicate_item_id", param=given.at("id"),
            )  # fmt: skip
        return item_from(given, item_id)

    def context(self, given: list[Fields]) -> tuple[Entry, ...]:
        """What a response is to answer instead of the conversation: items, or references to
        items that are there. Raises `Refusal`."""
        return tuple(self._context_entry(each) for each in given)

    def _context_entry(self, given: Fields) -> Entry:
        if given.values.get("type") == "item_reference":
            return self.find(given.need_id("id"), "retrieve").entry
        return item_from(given, given.id("id") or "item").entry


def item_from(given: Fields, item_id: str) -> Item:
    """A client's item, checked and cleaned. Raises `Refusal`."""
    match given.choice("type", "message", _KINDS):
        case "message":
            return Item(_message(given, item_id))
        case "function_call":
            return Item(_function_call(given, item_id))
        case _:
            return Item(_function_call_output(given, item_id))


_KINDS = ("message", "function_call", "function_call_output")


def _message(given: Fields, item_id: str) -> JsonObject:
    given.need("role")
    role = given.choice("role", "", _PARTS)
    given.need("content")
    parts = [_part(part, role) for part in given.objects("content", length_max=PARTS_MAX)]
    return message(item_id, role, parts)


def _part(part: Fields, role: str) -> JsonObject:
    options = _PARTS[role]
    kind = part.choice("type", next(iter(options)), options)
    named, field_name = options[kind]
    if named == "input_audio" and not part.has(field_name):
        raise wrong_value(part.at("audio"), "expected base64-encoded sound")
    return {"type": named, field_name: part.need_text(field_name)}


def _function_call(given: Fields, item_id: str) -> JsonObject:
    body: JsonObject = {
        "id": item_id, "object": "realtime.item", "type": "function_call",
        "status": "completed",
        "name": given.need_text("name", bytes_max=NAME_CHARS_MAX),
        "arguments": given.need_text("arguments"),
    }  # fmt: skip
    if call_id := given.id("call_id"):
        body["call_id"] = call_id
    return body


def _function_call_output(given: Fields, item_id: str) -> JsonObject:
    return {
        "id": item_id, "object": "realtime.item", "type": "function_call_output",
        "status": "completed", "call_id": given.need_id("call_id"),
        "output": given.need_text("output"),
    }  # fmt: skip


def take_sound(event: Fields) -> tuple[Fields, str | None]:
    """A client's event that makes an item, without what was recorded for it, so that the rest
    can be held to be small; and that recording, base64. Raises `Refusal`."""
    item = event.child("item")
    spoken = item and item.values.get("type") == "message" and item.values.get("role") == "user"
    parts = list(item.objects("content", length_max=PARTS_MAX)) if item and spoken else []
    sounds = [part.need_text("audio", bytes_max=RECORDED_CHARS_MAX) for part in parts
              if part.values.get("type") == "input_audio" and part.has("audio")]  # fmt: skip
    if item is None or not sounds:
        return event, None
    if len(sounds) > 1:
        raise wrong_value("item.content", "one recording is heard at a time")
    rest = [
        {**part.values, "audio": None, "transcript": ""} if part.has("audio") else part.values
        for part in parts
    ]
    return Fields({**event.values, "item": {**item.values, "content": rest}}), sounds[0]


def words_of(body: JsonObject) -> str:
    """All the words of a message item, its parts joined by a line break."""
    content = body.get("content")
    parts = content if isinstance(content, list) else []
    words = [part.get("text") or part.get("transcript") or "" for part in parts]
    return "\n".join(filter(None, words)).strip()
