"""What a client is told of the agent's replies: responses, their one item, their one part. Pure.

    created ─► item added ─► part added ─► deltas ─► … done ─► response.done
                                                                    │
                       output_audio_buffer: started ───────────► stopped or cleared

A response is done when the whole reply has been *made*, which is long before it has been
heard; `output_audio_buffer` events, for clients whose sound we pace, tell of the hearing.

Rule 1: after `response.done` nothing of that response follows but `output_audio_buffer.*` and
        the truncation of its item.
Rule 2: what was begun is finished in the reverse order, whatever the reason of the end.
Rule 3: the transcript of a reply that was cut is what was heard of it.

Usage counts tokens as the protocol does for sound (ten a second in, twenty a second out) and
estimates them for text (four characters each): the engines here know no tokens of their own.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.speech import OPUS_FRAME_MS

from .checks import Fields, wrong_value
from .items import Item, Items
from .server_events import Events, JsonObject, ServerEvent, message
from .session import (
    SessionConfig,
    audio_format,
    modality,
    output_tokens,
    voice,
)
from .tools import kept_fields

# Replies of which a client may still be told something: heard, cut, measured.
REPLIES_MAX = 64
REPLY_CHARS_MAX = 256 * 1024
# A client's clock and ours differ by a frame or two.
TRUNCATE_SLACK_MS = 100
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
    # The call may have dropped this request, because nothing was said that could be answered.
    doubtful: bool = False


def ask_from(given: Fields | None, config: SessionConfig, event_id: str) -> Ask:
    """What a client's `response.create` asks for. Raises `Refusal`."""
    if given is None:
        return Ask(event_id, modality=config.output_modality, voice=config.voice)
    sound = given.child("audio")
    sound_out = sound.child("output") if sound else None
    if sound_out:
        audio_format(sound_out, config.output_format)
    kept_fields(given, {})
    return Ask(
        event_id,
        metadata=given.metadata("metadata"),
        instructions=given.text("instructions", ""),
        modality=modality(given, config.output_modality),
        max_output_tokens=output_tokens(given, config.max_output_tokens),
        voice=voice(sound_out, config.voice) if sound_out else config.voice,
    )


@dataclass(slots=True)
class Reply:
    turn: int
    id: str
    ask: Ask
    body: JsonObject
    item: Item | None = None
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


class Replies:
    """Turns the call's actions about its replies into server events.

    `paced`: the server decides when sound is heard, so it is told when a reply begins and
    ceases to sound (WebRTC), and when a finished one was cut.
    """

    def __init__(self, events: Events, items: Items, *, buffer_events: bool) -> None:
        self.paced = buffer_events
        self._buffer_events = buffer_events
        self._events, self._items = events, items
        self._conversation_id = events.new_id("conv")
        self._replies: dict[int, Reply] = {}
        self._latest: Reply | None = None

    @property
    def active(self) -> Reply | None:
        """The response that is in progress."""
        return self._latest if self._latest and not self._latest.done else None

    @property
    def sounding(self) -> Reply | None:
        """The reply whose sound has begun, and of whose end nothing was told yet."""
        return self._latest if self._latest and self._latest.sounding else None

    @property
    def unheard(self) -> Reply | None:
        """The reply that is done, but has not been heard to its end."""
        latest = self._latest
        return latest if latest and latest.done and not latest.over else None

    def of(self, turn: int) -> Reply | None:
        return self._replies.get(turn)

    # A response begins.

    def begin(
        self, turn: int, ask: Ask, config: SessionConfig, *, chars_in: int, speech_ms: int
    ) -> list[ServerEvent]:
        told = self.close() if self.active else []
        reply = Reply(turn, self._events.new_id("resp"), ask, {})
        reply.input_tokens = (-(-chars_in // TOKEN_CHARS), speech_ms // IN_TOKEN_MS)
        reply.body = self._resource(reply, config)
        self._replies[turn] = self._latest = reply
        while len(self._replies) > REPLIES_MAX:
            del self._replies[next(iter(self._replies))]
        created = {**reply.body, "status": "in_progress", "output": []}
        return [*told, self._events.make("response.created", response=created)]

    def _resource(self, reply: Reply, config: SessionConfig) -> JsonObject:
        """The fields of a response that stay the same from its beginning to its end."""
        body: JsonObject = {
            "object": "realtime.response",
            "id": reply.id,
            "conversation_id": self._conversation_id,
            "output_modalities": [reply.ask.modality],
            "max_output_tokens": reply.ask.max_output_tokens or "inf",
        }
        if reply.speaks:
            sound_out = {"format": config.output_format.as_json(), "voice": reply.ask.voice}
            body["audio"] = {"output": sound_out}
        return body | ({"metadata": dict(reply.ask.metadata)} if reply.ask.metadata else {})

    def _open_item(self, reply: Reply) -> list[ServerEvent]:
        if reply.item:
            return []
        item_id = self._events.new_id("item")
        body = message(item_id, "assistant", [], status="in_progress")
        reply.item = Item(body, turn=reply.turn)
        previous_id = self._items.append(reply.item)
        make = self._events.make
        return [
            make("response.output_item.added", response_id=reply.id, output_index=0, item=body),
            self._events.item("conversation.item.added", body, previous_id),
            make("response.content_part.added", **_place(reply), part=_part(reply, "")),
        ]

    # It grows.

    def say(self, turn: int, text: str) -> list[ServerEvent]:
        reply = self._growing(turn)
        if reply is None or len(reply.words) + len(text) > REPLY_CHARS_MAX:
            return []
        told = self._open_item(reply)
        delta = f" {text}" if reply.words else text
        reply.words += delta
        kind = "output_audio_transcript" if reply.speaks else "output_text"
        return [*told, self._events.make(f"response.{kind}.delta", **_place(reply), delta=delta)]

    def play(self, turn: int) -> list[ServerEvent]:
        """20 ms of sound were handed to the link."""
        reply = self._growing(turn)
        if reply is None or not reply.speaks:
            return []
        told = [] if reply.item else self._open_item(reply)
        reply.played_ms += OPUS_FRAME_MS
        if self._buffer_events and not reply.sounding:
            reply.sounding = True
            told.append(self._buffer("started", reply))
        return told

    def audio(self, turn: int, sound: bytes, duration_ms: float) -> list[ServerEvent]:
        """Sound for a client that takes it in events."""
        reply = self._growing(turn)
        if reply is None or not reply.speaks or not sound:
            return []
        told = [] if reply.item else self._open_item(reply)
        reply.told_ms += duration_ms
        delta = base64.b64encode(sound).decode("ascii")
        told.append(
            self._events.make("response.output_audio.delta", **_place(reply), delta=delta)
        )
        return told

    def _growing(self, turn: int) -> Reply | None:
        active = self.active
        return active if active and active.turn == turn else None

    # It ends.

    def made(self, turn: int) -> list[ServerEvent]:
        reply = self._growing(turn)
        return self._finish(reply, {"status": "completed"}) if reply else []

    def finished(
        self, turn: int, status: str, reason: str, heard: str, heard_ms: int
    ) -> list[ServerEvent]:
        """The reply is over for the listener too."""
        reply = self.of(turn)
        if reply is None:
            return []
        reply.over = True
        if not reply.done:
            told = self._finish(reply, _status(status, reason), heard)
        else:
            told = [] if status == "completed" else self._cut(reply, heard, heard_ms)
        if reply.sounding:
            reply.sounding = False
            told.append(self._buffer("stopped" if status == "completed" else "cleared", reply))
        return told

    def close(self) -> list[ServerEvent]:
        """End whatever is in progress, because nothing more will come of it."""
        active = self.active
        if active is None:
            return []
        return self.finished(active.turn, "cancelled", "client_cancelled", "", 0)

    def _finish(
        self, reply: Reply, status: JsonObject, heard: str | None = None
    ) -> list[ServerEvent]:
        completed = status["status"] == "completed"
        # Text is read when it is sent; only sound can be cut off before it was heard.
        words = reply.words if completed or heard is None or not reply.speaks else heard
        told: list[ServerEvent] = []
        if reply.item:
            told += self._finish_item(reply, words, "completed" if completed else "incomplete")
        reply.done = True
        output = [reply.item.body] if reply.item else []
        body = {**reply.body, **status, "output": output, "usage": _usage(reply)}
        return [*told, self._events.make("response.done", response=body)]

    def _finish_item(self, reply: Reply, words: str, status: str) -> list[ServerEvent]:
        assert reply.item is not None
        make, place, item = self._events.make, _place(reply), reply.item
        self._items.update(item, status=status, content=_content(reply, words))
        if reply.speaks:
            told = [
                make("response.output_audio.done", **place),
                make("response.output_audio_transcript.done", **place, transcript=words),
            ]
        else:
            told = [make("response.output_text.done", **place, text=words)]
        told += [
            make("response.content_part.done", **place, part=_part(reply, words)),
            make(
                "response.output_item.done",
                response_id=reply.id, output_index=0, item=item.body,
            ),
        ]  # fmt: skip
        if item.id in self._items:
            previous_id = self._items.before(item.id)
            told.append(self._events.item("conversation.item.done", item.body, previous_id))
        return told

    # It was not heard to its end.

    def _cut(self, reply: Reply, heard: str, heard_ms: int) -> list[ServerEvent]:
        """A response that is done was cut: the server knows first, if it paces the sound."""
        item = reply.item
        if item is None or not reply.speaks:
            return []
        self._items.update(item, content=_content(reply, heard))
        if reply.truncated or not self.paced or item.id not in self._items:
            return []
        return [self._truncated(item, heard_ms)]

    def truncate(self, item: Item, heard_ms: int) -> list[ServerEvent]:
        """The client says how much of a reply was heard. Raises `Refusal`.

        The words are cut in proportion, for what is kept must not hold any that were not heard.
        """
        reply = self.of(item.turn) if item.turn is not None else None
        if reply is None or reply.item is not item or not reply.speaks:
            raise wrong_value("item_id", "only what an assistant has said aloud can be truncated")
        limit_ms = reply.audio_ms
        if limit_ms and heard_ms > limit_ms + TRUNCATE_SLACK_MS:
            raise wrong_value("audio_end_ms", f"only {limit_ms} ms of audio are there to be cut")
        reply.truncated = True
        if reply.done:
            words = reply.words.split()
            count = len(words) * min(heard_ms, limit_ms) // max(limit_ms, 1)
            self._items.update(item, content=_content(reply, " ".join(words[:count])))
        return [self._truncated(item, heard_ms)]

    def _truncated(self, item: Item, heard_ms: int) -> ServerEvent:
        return self._events.make(
            "conversation.item.truncated",
            item_id=item.id, content_index=0, audio_end_ms=heard_ms,
        )  # fmt: skip

    def _buffer(self, what: str, reply: Reply) -> ServerEvent:
        return self._events.make(f"output_audio_buffer.{what}", response_id=reply.id)


def _place(reply: Reply) -> dict[str, object]:
    assert reply.item is not None
    return {
        "response_id": reply.id, "item_id": reply.item.id,
        "output_index": 0, "content_index": 0,
    }  # fmt: skip


def _part(reply: Reply, words: str) -> JsonObject:
    if reply.speaks:
        return {"type": "audio", "transcript": words}
    return {"type": "text", "text": words}


def _content(reply: Reply, words: str) -> list[JsonObject]:
    if reply.speaks:
        return [{"type": "output_audio", "transcript": words}]
    return [{"type": "output_text", "text": words}]


def _status(status: str, reason: str) -> JsonObject:
    """The status of a response and why, as the protocol says it."""
    if status == "completed":
        return {"status": status}
    if status == "failed":
        error = {"type": "server_error", "code": "engine_failed", "message": reason}
        return {"status": status, "status_details": {"type": status, "error": error}}
    why = "turn_detected" if reason == "turn_detected" else "client_cancelled"
    return {"status": "cancelled", "status_details": {"type": "cancelled", "reason": why}}


def _usage(reply: Reply) -> JsonObject:
    text_in, sound_in = reply.input_tokens
    text_out, sound_out = -(-len(reply.words) // TOKEN_CHARS), reply.audio_ms // OUT_TOKEN_MS
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
