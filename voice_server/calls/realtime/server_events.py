"""Server events of the OpenAI Realtime dialect: how they look. Pure.

A server event is a JSON-ready dictionary with a fresh `event_id`. Fields that may be absent are
left out and never null, because clients with strict schemas take null for a wrong type. Null is
sent only where the protocol itself says something with it: `previous_item_id` (nothing comes
before), the `transcript` of sound that has not been transcribed, and settings that are off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..events import Input, Recorded
from .checks import Refusal

ServerEvent = dict[str, object]
JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Received:
    """What one client event asks for: inputs for the call, sound to append (bytes in the
    session's input format), and server events that answer it at once, in this order.

    `recorded` has sound of its own, in the same format, whose frames the link puts into it."""

    inputs: tuple[Input, ...] = ()
    audio: bytes | None = None
    recorded: tuple[Recorded, bytes] | None = None
    events: tuple[ServerEvent, ...] = ()


class Events:
    """Makes server events. `new_id(prefix)` gives a new id such as `event_4f…`."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self.new_id = new_id

    def make(self, kind: str, **fields: object) -> ServerEvent:
        return {"type": kind, "event_id": self.new_id("event"), **fields}

    def error(self, refusal: Refusal, event_id: str = "") -> ServerEvent:
        """The answer to a client event that could not be obeyed; the call goes on."""
        error: JsonObject = {
            "type": "invalid_request_error", "code": refusal.code, "message": refusal.message,
        }  # fmt: skip
        if refusal.param:
            error["param"] = refusal.param
        if event_id:
            error["event_id"] = event_id
        return self.make("error", error=error)

    def server_error(self, message: str) -> ServerEvent:
        """Something on our side failed outside of any response; the call goes on."""
        error = {"type": "server_error", "code": "engine_failed", "message": message}
        return self.make("error", error=error)

    def item(self, kind: str, body: JsonObject, previous_id: str | None) -> ServerEvent:
        """`conversation.item.added` or `.done`; null says that nothing comes before."""
        return self.make(kind, previous_item_id=previous_id, item=body)


def message(
    item_id: str, role: str, content: list[JsonObject], *, status: str = "completed"
) -> JsonObject:
    """A message item as it is told to clients."""
    return {
        "id": item_id, "object": "realtime.item", "type": "message", "status": status,
        "role": role, "content": content,
    }  # fmt: skip


def function_call(item_id: str, call_id: str, name: str) -> JsonObject:
    """The item of a tool that is being called; its arguments are still to come."""
    return {
        "id": item_id, "object": "realtime.item", "type": "function_call",
        "status": "in_progress", "call_id": call_id, "name": name, "arguments": "",
    }  # fmt: skip


def without_empty(fields: Mapping[str, object]) -> JsonObject:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in ("", None)}
