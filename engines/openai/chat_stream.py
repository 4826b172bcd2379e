"""A streamed chat completion, chunk by chunk, as a dialogue's outputs. Pure.

Servers that speak this API differ most in how they stream calls of tools. Its maker gives every
call an index and, once, an id and a name; others send a whole call in one chunk, no ids, no
indexes, index 0 for every call, the id or the name in every chunk, or arguments that are not
text. What is here takes all of them, and takes nothing on trust: chunks are JSON from outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from ..speech import CallPiece, Cut, DialogueOutput, EngineError, Spent
from .chat_messages import is_object

CALLS_MAX = 32
CHARS_MAX = 400_000  # Of text and arguments in one reply: far beyond what can be spoken.
# More than any model takes; a server that says more is not believed.
TOKENS_MAX = 100_000_000
_ID_CHARS_MAX = 64
_THOUGHT, _THOUGHT_END = "<think>", "</think>"


@dataclass(slots=True)
class _Call:
    call_id: str
    name: str
    # What the server calls it; "" and None where it does not.
    server_id: str
    index: object
    arguments: str = ""


class ChatStream:
    """Feed it the chunks in order, then `finish`. Both raise `EngineError`.

    `new_id` makes an id for a call; it is asked where the server gives none, or one of `taken`.
    `names`: the tools' own names by those the server was told. `calls_max`: how many are wanted.
    """

    def __init__(
        self, new_id: Callable[[], str], *, taken: Collection[str] = (),
        names: Mapping[str, str] | None = None, calls_max: int = CALLS_MAX,
    ) -> None:  # fmt: skip
        self._new_id, self._taken = new_id, set(taken)
        self._names, self._calls_max = names or {}, min(calls_max, CALLS_MAX)
        self._calls: list[_Call] = []
        # The call that is going on; None when the newest is one too many.
        self._open: _Call | None = None
        self._spoken = _Spoken()
        self._chars = 0
        self._said = False
        self._why_ended = ""
        self._spent: dict[str, int] = {}

    def feed(self, chunk: object) -> Iterator[DialogueOutput]:
        """What a chunk adds to the reply; often nothing."""
        self._spent = _amounts(_field(chunk, "usage")) or self._spent
        for choice in _dicts(_field(chunk, "choices"))[:1]:
            self._why_ended = _text(choice.get("finish_reason")) or self._why_ended
            delta = choice.get("delta") or choice.get("message")
            for name in ("content", "refusal"):
                if words := self._spoken.feed(self._bounded(_words(_field(delta, name)))):
                    self._said = self._said or not words.isspace()
                    yield words
            for call in _dicts(_field(delta, "tool_calls")):
                yield from self._add(call, call.get("function"))
            if old := _field(delta, "function_call"):
                yield from self._add({}, old)

    def finish(self) -> Iterator[DialogueOutput]:
        """What is left to say when the chunks have ended; first what all of it cost, where the
        server says so."""
        if self._spent:
            yield Spent(tuple(self._spent.items()))
        if rest := self._spoken.rest():
            self._said = self._said or not rest.isspace()
            yield rest
        if self._why_ended == "length":
            yield Cut()
            return
        for call in self._calls:
            if not call.arguments.strip():
                yield CallPiece(call.call_id, call.name, "{}")
            elif not self._why_ended and not is_object(call.arguments):
                raise EngineError("the chat server broke off")
        if not self._said and not self._calls:
            declined = self._why_ended == "content_filter"
            raise EngineError(
                "the chat model declined to answer" if declined else "the chat model said nothing"
            )

    # Calls.

    def _add(self, told: Mapping[str, object], function: object) -> Iterator[CallPiece]:
        server_id, index = _text(told.get("id"))[:_ID_CHARS_MAX], told.get("index")
        name = _text(_field(function, "name"))
        arguments = self._bounded(_arguments(_field(function, "arguments")))
        call = self._meant(server_id, index, name, arguments)
        if call is None:
            if not name:  # More of a call that never began, or of one too many.
                return
            if len(self._calls) >= self._calls_max:
                self._open = None
                return
            call = _Call(self._own_id(server_id), self._names.get(name, name), server_id, index)
            self._calls.append(call)
            yield CallPiece(call.call_id, call.name, "")
        self._open = call
        call.server_id = call.server_id or server_id
        if arguments:
            call.arguments += arguments
            yield CallPiece(call.call_id, call.name, arguments)

    def _meant(self, server_id: str, index: object, name: str, arguments: str) -> _Call | None:
        """The call that this is more of; None when it is another."""
        if server_id:
            same = [call for call in self._calls if call.server_id in ("", server_id)]
            found = next((call for call in reversed(same) if call.server_id == server_id), None)
            if found is None:  # An id that comes late.
                found = next((c for c in same if index is not None and c.index == index), None)
        elif index is not None:
            found = next((call for call in reversed(self._calls) if call.index == index), None)
        else:
            found = self._open
        return None if found and self._is_another(found, name, arguments) else found

    def _is_another(self, call: _Call, name: str, arguments: str) -> bool:
        """A name begins a call, unless it only says again whose arguments these are."""
        if not name:
            return False
        whole = bool(arguments) and is_object(call.arguments)
        return whole or self._names.get(name, name) != call.name

    def _own_id(self, server_id: str) -> str:
        call_id = server_id
        while not call_id or call_id in self._taken:
            call_id = self._new_id()
        self._taken.add(call_id)
        return call_id

    def _bounded(self, words: str) -> str:
        self._chars += len(words)
        if self._chars > CHARS_MAX:
            raise EngineError("the chat model did not come to an end")
        return words


class _Spoken:
    """Words without the thoughts that some servers leave in front of them, in tags."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking: bool | None = None  # None: it is not clear yet.

    def feed(self, words: str) -> str:
        if self._thinking is False or not words:
            return words
        self._held += words
        start = self._held.lstrip()
        if self._thinking is None:
            if start.startswith(_THOUGHT):
                self._thinking = True
            elif start and not _THOUGHT.startswith(start):
                self._thinking = False
        if self._thinking:
            _, ended, after = self._held.partition(_THOUGHT_END)
            self._held = after.lstrip() if ended else self._held[-len(_THOUGHT_END) :]
            self._thinking = not ended
        return "" if self._thinking is not False else self.rest()

    def rest(self) -> str:
        """What is still held back; a thought without an end stays one."""
        held, self._held = self._held, ""
        return "" if self._thinking else held


# JSON from outside.


def _amounts(usage: object) -> dict[str, int]:
    """Tokens, as `EngineUse` names them; some servers tell them with every chunk."""
    told = {
        "tokens_in": _field(usage, "prompt_tokens"),
        "tokens_cached": _field(_field(usage, "prompt_tokens_details"), "cached_tokens"),
        "tokens_out": _field(usage, "completion_tokens"),
    }
    return {
        unit: amount for unit, amount in told.items()
        if isinstance(amount, int) and 0 <= amount <= TOKENS_MAX and not isinstance(amount, bool)
    }  # fmt: skip


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _dicts(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(value: object) -> str:
    """Content is text, or a list of parts that hold it."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in _dicts(value))
    return _text(value)


def _arguments(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else _text(value)
