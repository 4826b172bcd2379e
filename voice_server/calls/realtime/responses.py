"""One response: what was asked for, what there is of it, and how it is told. Pure.

Usage counts tokens as the protocol does for sound (ten a second in, twenty a second out) and
estimates them for text (four characters each): the engines here know no tokens of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .checks import Fields
from .items import Item
from .server_events import JsonObject
from .session import (
    SessionConfig,
    audio_format,
    modality,
    output_tokens,
    voice,
)
from .tools import kept_fields

IN_TOKEN_MS, OUT_TOKEN_MS, TOKEN_CHARS = 100, 50, 4


@dataclass(frozen=True, slots=True)
class Ask:
    """One `response.create`, or what stands for it when the call answers by itself."""

    event_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    instructions: str = ""
    modality: str = "audio"
    max_output_tokens: int = 0
    voice: str = ""
    aside: bool = False
    # How much text it brings along, to be answered instead of the conversation.
    chars_in: int = 0
    # The session's fields about tools and the like, with the changes for this response.
    kept: Mapping[str, object] = field(default_factory=dict)


def ask_of(config: SessionConfig, event_id: str = "") -> Ask:
    """The response that a session gives when nothing is said about it."""
    return Ask(
        event_id, modality=config.output_modality, voice=config.voice,
        max_output_tokens=config.max_output_tokens, kept=config.kept,
    )  # fmt: skip


def ask_from(given: Fields | None, config: SessionConfig, event_id: str) -> Ask:
    """What a client's `response.create` asks for. Raises `Refusal`."""
    usual = ask_of(config, event_id)
    if given is None:
        return usual
    sound = given.child("audio")
    sound_out = sound.child("output") if sound else None
    if sound_out:
        audio_format(sound_out, config.output_format)
    return replace(
        usual,
        metadata=given.metadata("metadata"),
        instructions=given.text("instructions", ""),
        modality=modality(given, usual.modality),
        max_output_tokens=output_tokens(given, usual.max_output_tokens),
        voice=voice(sound_out, usual.voice) if sound_out else usual.voice,
        aside=given.choice("conversation", "auto", ("auto", "none")) == "none",
        kept=kept_fields(given, config.kept),
    )


@dataclass(slots=True)
class Call:
    """A tool that a reply asks for, and the item that says so."""

    item: Item
    output_index: int
    name: str
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    turn: int
    id: str
    ask: Ask
    body: JsonObject
    item: Item | None = None
    item_index: int = 0
    calls: dict[str, Call] = field(default_factory=dict)
    words: str = ""
    # How much sound was handed to the link, and how much went into events.
    played_ms: int = 0
    told_ms: float = 0.0
    input_tokens: tuple[int, int] = (0, 0)  # Text, sound.
    sounding: bool = False
    # `done`: the client has got its `response.done`. `over`: the listener has heard the end.
    done: bool = False
    over: bool = False
    # Somebody was told where this reply was cut.
    truncated: bool = False

    @property
    def speaks(self) -> bool:
        return self.ask.modality == "audio"

    @property
    def audio_ms(self) -> int:
        return max(self.played_ms, int(self.told_ms))

    @property
    def outputs(self) -> int:
        """How many items it has begun."""
        return len(self.calls) + (self.item is not None)

    @property
    def output(self) -> list[JsonObject]:
        """Its items, in the order in which they began."""
        bodies = [call.item.body for call in self.calls.values()]
        if self.item:
            bodies.insert(self.item_index, self.item.body)
        return bodies


def place_of(reply: Reply) -> dict[str, object]:
    assert reply.item is not None
    return {
        "response_id": reply.id, "item_id": reply.item.id,
        "output_index": reply.item_index, "content_index": 0,
    }  # fmt: skip


def place_of_call(reply: Reply, call: Call) -> dict[str, object]:
    return {
        "response_id": reply.id, "item_id": call.item.id, "output_index": call.output_index,
        "call_id": call.item.body["call_id"],
    }  # fmt: skip


def part_of(reply: Reply, words: str) -> JsonObject:
    if reply.speaks:
        return {"type": "audio", "transcript": words}
    return {"type": "text", "text": words}


def content_of(reply: Reply, words: str) -> list[JsonObject]:
    if reply.speaks:
        return [{"type": "output_audio", "transcript": words}]
    return [{"type": "output_text", "text": words}]


CUT: JsonObject = {
    "status": "incomplete",
    "status_details": {"type": "incomplete", "reason": "max_output_tokens"},
}


def status_of(status: str, reason: str) -> JsonObject:
    """The status of a response and why, as the protocol says it."""
    if status == "completed":
        return {"status": status}
    if status == "failed":
        error = {"type": "server_error", "code": "engine_failed", "message": reason}
        return {"status": status, "status_details": {"type": status, "error": error}}
    why = "turn_detected" if reason == "turn_detected" else "client_cancelled"
    return {"status": "cancelled", "status_details": {"type": "cancelled", "reason": why}}


def usage_of(reply: Reply) -> JsonObject:
    text_in, sound_in = reply.input_tokens
    chars_out = len(reply.words) + sum(len(call.arguments) for call in reply.calls.values())
    text_out, sound_out = -(-chars_out // TOKEN_CHARS), reply.audio_ms // OUT_TOKEN_MS
    return {
        "total_tokens": text_in + sound_in + text_out + sound_out,
        "input_tokens": text_in + sound_in,
        "output_tokens": text_out + sound_out,
        "input_token_details": {
            "text_tokens": text_in, "audio_tokens": sound_in, "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": sound_out},
    }  # fmt: skip
