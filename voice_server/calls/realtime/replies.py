"""What a client is told of the agent's replies: responses, their items, their parts. Pure.

    created ─► item added ─► part added ─► deltas ─► … done ─► response.done
                   │                                                │
                   └► function call added ─► deltas ─► … done ─►────┤
                                                                    │
                       output_audio_buffer: started ───────────► stopped or cleared

A response says at most one message and asks for any number of tools. Its items stand in its
output in the order in which they began.

A response is done when the whole reply has been *made*, which is long before it has been
heard; `output_audio_buffer` events, for clients whose sound we pace, tell of the hearing.

Rule 1: after `response.done` nothing of that response follows but `output_audio_buffer.*` and
        the truncation of its item.
Rule 2: what was begun is finished in the reverse order, whatever the reason of the end.
Rule 3: the transcript of a reply that was cut is what was heard of it.
Rule 4: one response at a time belongs to the conversation. Those that do not (`aside`) may go on
        beside it, and their items are told as theirs and not as the conversation's.
"""

from __future__ import annotations

import base64

from engines.speech import OPUS_FRAME_MS, CallPiece

from .checks import wrong_value
from .items import Item, Items
from .responses import (
    CUT,
    IN_TOKEN_MS,
    TOKEN_CHARS,
    Ask,
    Call,
    Reply,
    content_of,
    part_of,
    place_of,
    place_of_call,
    status_of,
    usage_of,
)
from .server_events import Events, JsonObject, ServerEvent, function_call, message
from .session import SessionConfig

# Replies of which a client may still be told something: heard, cut, measured.
REPLIES_MAX = 64
REPLY_CHARS_MAX = 256 * 1024
# A client's clock and ours differ by a frame or two.
TRUNCATE_SLACK_MS = 100


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
        # The latest of the conversation, and the latest that took the floor.
        self._latest: Reply | None = None
        self._on_floor: Reply | None = None

    @property
    def active(self) -> Reply | None:
        """The response of the conversation that is in progress."""
        return self._latest if self._latest and not self._latest.done else None

    @property
    def speaking(self) -> bool:
        """Whether a reply sounds here, or is still to sound. One that was given to a client's
        own buffer in full sounds there."""
        reply = self._on_floor
        return reply is not None and not (reply.over or (reply.done and not self.paced))

    @property
    def unheard(self) -> Reply | None:
        """The reply that is done, but has not been heard to its end."""
        reply = self._on_floor
        return reply if reply and reply.done and not reply.over else None

    def of(self, turn: int) -> Reply | None:
        return self._replies.get(turn)

    def named(self, response_id: str) -> Reply | None:
        """The response in progress that has this id."""
        return next((r for r in self._replies.values() if r.id == response_id and not r.done), None)

    # A response begins.

    def begin(
        self, turn: int, ask: Ask, config: SessionConfig, *, chars_in: int, speech_ms: int
    ) -> list[ServerEvent]:
        told = [] if ask.aside or not self.active else self._end(self.active)
        reply = Reply(turn, self._events.new_id("resp"), ask, {})
        reply.input_tokens = (-(-chars_in // TOKEN_CHARS), speech_ms // IN_TOKEN_MS)
        reply.body = self._resource(reply, config)
        self._replies[turn] = reply
        if not ask.aside:
            self._latest = reply
        if reply.speaks or not ask.aside:
            self._on_floor = reply
        if len(self._replies) > REPLIES_MAX:
            del self._replies[next(each.turn for each in self._replies.values() if each.done)]
        created = {**reply.body, "status": "in_progress", "output": []}
        return [*told, self._events.make("response.created", response=created)]

    def _resource(self, reply: Reply, config: SessionConfig) -> JsonObject:
        """The fields of a response that stay the same from its beginning to its end."""
        body: JsonObject = {
            "object": "realtime.response",
            "id": reply.id,
            "output_modalities": [reply.ask.modality],
            "max_output_tokens": reply.ask.max_output_tokens or "inf",
        }
        if not reply.ask.aside:
            body["conversation_id"] = self._conversation_id
        if reply.speaks:
            sound_out = {"format": config.output_format.as_json(), "voice": reply.ask.voice}
            body["audio"] = {"output": sound_out}
        return body | ({"metadata": dict(reply.ask.metadata)} if reply.ask.metadata else {})

    def _open_item(self, reply: Reply) -> list[ServerEvent]:
        if reply.item:
            return []
        body = message(self._events.new_id("item"), "assistant", [], status="in_progress")
        reply.item_index, reply.item = reply.outputs, Item(body, turn=reply.turn)
        told = self._added(reply, reply.item, reply.item_index)
        make, part = self._events.make, part_of(reply, "")
        return [*told, make("response.content_part.added", **place_of(reply), part=part)]

    def _added(self, reply: Reply, item: Item, output_index: int) -> list[ServerEvent]:
        told = [
            self._events.make(
                "response.output_item.added",
                response_id=reply.id, output_index=output_index, item=item.body,
            )
        ]  # fmt: skip
        if not reply.ask.aside:
            previous_id = self._items.append(item)
            told.append(self._events.item("conversation.item.added", item.body, previous_id))
        return told

    # It grows.

    def say(self, turn: int, text: str) -> list[ServerEvent]:
        reply = self._growing(turn)
        if reply is None or len(reply.words) + len(text) > REPLY_CHARS_MAX:
            return []
        told = self._open_item(reply)
        # What is spoken comes in pieces; what is read comes with its spaces.
        delta = f" {text}" if reply.words and reply.speaks else text
        reply.words += delta
        kind = "output_audio_transcript" if reply.speaks else "output_text"
        return [*told, self._events.make(f"response.{kind}.delta", **place_of(reply), delta=delta)]

    def call(self, turn: int, piece: CallPiece) -> list[ServerEvent]:
        """The next piece of a tool's arguments."""
        reply = self._growing(turn)
        if reply is None:
            return []
        told: list[ServerEvent] = []
        call = reply.calls.get(piece.call_id)
        if call is None:
            body = function_call(self._events.new_id("item"), piece.call_id, piece.name)
            call = Call(Item(body, turn=turn), reply.outputs, piece.name)
            reply.calls[piece.call_id] = call
            told = self._added(reply, call.item, call.output_index)
        if piece.arguments:
            call.arguments += piece.arguments
            told.append(
                self._events.make(
                    "response.function_call_arguments.delta",
                    **place_of_call(reply, call), delta=piece.arguments,
                )
            )  # fmt: skip
        return told

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
            self._events.make("response.output_audio.delta", **place_of(reply), delta=delta)
        )
        return told

    def _growing(self, turn: int) -> Reply | None:
        reply = self.of(turn)
        return reply if reply and not reply.done else None

    # It ends.

    def made(self, turn: int, *, cut: bool = False) -> list[ServerEvent]:
        """All of it is there. `cut`: all that the client allows."""
        reply = self._growing(turn)
        if reply is None:
            return []
        return self._finish(reply, CUT if cut else {"status": "completed"})

    def finished(
        self, turn: int, status: str, reason: str, heard: str, heard_ms: int
    ) -> list[ServerEvent]:
        """The reply is over for the listener too."""
        reply = self.of(turn)
        if reply is None:
            return []
        reply.over = True
        if not reply.done:
            told = self._finish(reply, status_of(status, reason), heard)
        else:
            told = [] if status == "completed" else self._cut(reply, heard, heard_ms)
        if reply.sounding:
            reply.sounding = False
            told.append(self._buffer("stopped" if status == "completed" else "cleared", reply))
        return told

    def close(self) -> list[ServerEvent]:
        """End whatever is in progress, because nothing more will come of it."""
        told: list[ServerEvent] = []
        for reply in [each for each in self._replies.values() if not each.done]:
            told += self._end(reply)
        return told

    def _end(self, reply: Reply) -> list[ServerEvent]:
        return self.finished(reply.turn, "cancelled", "client_cancelled", "", 0)

    def _finish(
        self, reply: Reply, status: JsonObject, heard: str | None = None
    ) -> list[ServerEvent]:
        completed = status["status"] == "completed"
        item_status = "completed" if completed else "incomplete"
        # Text is read when it is sent; only sound can be cut off before it was heard.
        words = reply.words if completed or heard is None or not reply.speaks else heard
        told: list[ServerEvent] = []
        if reply.item:
            told += self._finish_item(reply, words, item_status)
        for call in reply.calls.values():
            told += self._finish_call(reply, call, item_status)
        reply.done = True
        body = {**reply.body, **status, "output": reply.output, "usage": usage_of(reply)}
        return [*told, self._events.make("response.done", response=body)]

    def _finish_call(self, reply: Reply, call: Call, status: str) -> list[ServerEvent]:
        """A call that was cut short must not be carried out: its arguments are never done."""
        self._items.update(call.item, status=status, arguments=call.arguments)
        done = self._events.make(
            "response.function_call_arguments.done",
            **place_of_call(reply, call), name=call.name, arguments=call.arguments,
        )  # fmt: skip
        told = [done] if status == "completed" else []
        return told + self._done(reply, call.item, call.output_index)

    def _done(self, reply: Reply, item: Item, output_index: int) -> list[ServerEvent]:
        told = [
            self._events.make(
                "response.output_item.done",
                response_id=reply.id, output_index=output_index, item=item.body,
            )
        ]  # fmt: skip
        if item in self._items:
            previous_id = self._items.before(item.id)
            told.append(self._events.item("conversation.item.done", item.body, previous_id))
        return told

    def _finish_item(self, reply: Reply, words: str, status: str) -> list[ServerEvent]:
        assert reply.item is not None
        make, place, item = self._events.make, place_of(reply), reply.item
        self._items.update(item, status=status, content=content_of(reply, words))
        if reply.speaks:
            told = [
                make("response.output_audio.done", **place),
                make("response.output_audio_transcript.done", **place, transcript=words),
            ]
        else:
            told = [make("response.output_text.done", **place, text=words)]
        told.append(make("response.content_part.done", **place, part=part_of(reply, words)))
        return told + self._done(reply, item, reply.item_index)

    # It was not heard to its end.

    def _cut(self, reply: Reply, heard: str, heard_ms: int) -> list[ServerEvent]:
        """A response that is done was cut: the server knows first, if it paces the sound."""
        item = reply.item
        if item is None or not reply.speaks:
            return []
        self._items.update(item, content=content_of(reply, heard))
        if reply.truncated or not self.paced or item not in self._items:
            return []
        return [self._truncated(item, heard_ms)]

    def truncate(self, item: Item, heard_ms: int) -> list[ServerEvent]:
        """The client says how much of a reply was heard. Raises `Refusal`.

        The words are cut in proportion until the call says which were heard (`cut`).
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
            self._items.update(item, content=content_of(reply, " ".join(words[:count])))
        return [self._truncated(item, heard_ms)]

    def cut(self, turn: int, heard: str) -> None:
        """What the call remembers of a reply that was cut; the cut itself was told before."""
        reply = self.of(turn)
        if reply and reply.item and reply.done and reply.speaks:
            self._items.update(reply.item, content=content_of(reply, heard))

    def _truncated(self, item: Item, heard_ms: int) -> ServerEvent:
        return self._events.make(
            "conversation.item.truncated",
            item_id=item.id, content_index=0, audio_end_ms=heard_ms,
        )  # fmt: skip

    def _buffer(self, what: str, reply: Reply) -> ServerEvent:
        return self._events.make(f"output_audio_buffer.{what}", response_id=reply.id)
