"""One reply that was asked for: what was asked, what came of it, and what it told. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..speech import (
    CallPiece,
    EngineError,
    EngineSettings,
    Entry,
    Event,
    ReplyBegun,
    ReplyCall,
    ReplyText,
    Turn,
)
from .chat_messages import safe_name
from .realtime_items import without_end
from .realtime_reply import SOUND_MS_MAX, InStep, Piece

Told = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sound:
    """20 ms of a reply, s16le mono at 24 kHz."""

    turn: int
    pcm: bytes


@dataclass(slots=True)
class Answer:
    """`ask` names it to the vendor. `own`: its settings are for it alone. `sent_ms`: when the
    vendor was asked; None: not yet. `over`: nobody wants it any more; then `heard_ms` of it was
    heard. `by_aside`: another engine gives it, which was told so when `asked_aside`."""

    turn: int
    ask: str
    history: tuple[Entry, ...]
    settings: EngineSettings
    own: bool
    apart: bool
    asked_ms: int
    sent_ms: int | None = None
    news_ms: int = 0
    first_ms: int | None = None
    response_id: str = ""
    over: bool = False
    heard_ms: int = 0
    by_aside: bool = False
    asked_aside: bool = False
    spoke: bool = False
    step: InStep = field(default_factory=InStep)
    # By item: the tool's call, and how much of its arguments was told.
    _calls: dict[str, CallPiece] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Something of it was told."""
        return self.first_ms is not None

    def send(self, ask: str, now_ms: int) -> None:
        self.ask, self.sent_ms, self.news_ms, self.response_id = ask, now_ms, now_ms, ""

    def unsend(self) -> None:
        """Whoever was asked is gone, and has said nothing."""
        self.sent_ms, self.response_id = None, ""

    def answering(self, words: str) -> tuple[Entry, ...]:
        """Its history for an engine that answers words, when these are the words of its turn."""
        *before, last = self.history
        assert isinstance(last, Turn), "the last entry is what is to be answered"
        if self.apart:
            return self.history
        said = f"{without_end(last.user, words)} {words}".strip()
        return (*before, replace(last, user=said))

    # What the vendor tells of it.

    def receive(self, kind: str, event: Told, now_ms: int) -> list[Event | Sound]:
        """The vendor's next event for it. Raises `EngineError` for what cannot be."""
        self.news_ms = now_ms
        return self._begin(self._made(kind, event), now_ms)

    def end(self, now_ms: int) -> list[Event | Sound]:
        """The vendor has told all of it."""
        return self._begin(self._pieces(self.step.end()), now_ms)

    def _begin(self, made: list[Event | Sound], now_ms: int) -> list[Event | Sound]:
        if made and not self.begun:
            self.first_ms = now_ms
            return [ReplyBegun(self.turn), *made]
        return made

    def _made(self, kind: str, event: Told) -> list[Event | Sound]:
        match kind:
            case "response.output_item.added":
                return self._item(event.get("item"))
            case "response.output_text.delta" if not self.settings.speaks:
                return [ReplyText(self.turn, text_in(event, "delta"))]
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                return self._pieces(self.step.say(text_in(event, "delta")))
            case "response.output_audio.delta":
                if self.step.sound_ms > SOUND_MS_MAX:
                    raise EngineError("the reply is too long")
                return self._pieces(self.step.hear(sound_in(event)))
            case "response.function_call_arguments.delta":
                return self._argue(text_in(event, "item_id"), text_in(event, "delta"))
            case "response.function_call_arguments.done":
                return self._argued(text_in(event, "item_id"), text_in(event, "arguments"))
        return []

    def _pieces(self, pieces: list[Piece]) -> list[Event | Sound]:
        return [
            ReplyText(self.turn, each) if isinstance(each, str) else Sound(self.turn, each)
            for each in pieces
        ]

    def _item(self, item: object) -> list[Event | Sound]:
        if not isinstance(item, Mapping) or item.get("type") != "function_call":
            return []
        if self._calls and not self.settings.parallel_tools:
            return []  # It is taken out of the vendor's conversation before the next reply.
        names = {safe_name(tool.name): tool.name for tool in self.settings.tools}
        name = text_in(item, "name")
        call = CallPiece(text_in(item, "call_id"), names.get(name, name), "")
        self._calls[text_in(item, "id")] = call
        return [ReplyCall(self.turn, call)]

    def _argue(self, item_id: str, more: str) -> list[Event | Sound]:
        call = self._calls.get(item_id)
        if call is None:
            return []
        self._calls[item_id] = replace(call, arguments=call.arguments + more)
        return [ReplyCall(self.turn, replace(call, arguments=more))]

    def _argued(self, item_id: str, arguments: str) -> list[Event | Sound]:
        """All of them: some servers send no pieces."""
        call = self._calls.get(item_id)
        if call is None or not arguments.startswith(call.arguments):
            return []
        rest = arguments[len(call.arguments) :]
        return self._argue(item_id, rest) if rest else []


def text_in(event: object, name: str) -> str:
    found = event.get(name) if isinstance(event, Mapping) else None
    return found if isinstance(found, str) else ""


def sound_in(event: Told) -> bytes:
    try:
        return base64.b64decode(text_in(event, "delta"), validate=True)
    except binascii.Error:
        raise EngineError("the vendor sent something else than sound") from None
