"""A client that believes nothing: every server event is held against the published types and
against what went before it."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

from engines.speech import EngineSettings
from voice_server.calls import events as ev
from voice_server.calls.realtime.dialect import Dialect, Received, ServerEvent
from voice_server.calls.rules import Rules

UNION: TypeAdapter[object] = TypeAdapter(RealtimeServerEvent)
MODELS: dict[str, type[BaseModel]] = {
    typing.get_args(model.model_fields["type"].annotation)[0]: model
    for model in typing.get_args(typing.get_args(RealtimeServerEvent)[0])
}
# The API sends these beside what the types name.
EXTRA_FIELDS = {"session": {"id", "object", "voice_server"}}
# Where null says something: nothing before it, not transcribed yet, turned off.
NULLS = {"previous_item_id", "transcript", "turn_detection", "noise_reduction", "transcription"}
# What belongs to the client is told back as it came.
OPAQUE = {"parameters", "metadata"}
OF_RESPONSE_AFTER_DONE = ("output_audio_buffer.", "voice_server.")


def check(event: ServerEvent) -> None:
    """The event is JSON, has the published shape, and holds no null where absent is meant."""
    kind = event["type"]
    assert isinstance(event["event_id"], str)
    assert isinstance(kind, str)
    text = orjson.dumps(event)
    _check_nulls(event)
    if kind.startswith("voice_server."):
        return
    parsed = MODELS[kind].model_validate_json(text, strict=True)
    _check_extras(parsed, "")
    UNION.validate_python(orjson.loads(text))


def _check_nulls(value: object, name: str = "") -> None:
    assert value is not None or name in NULLS, f"{name} is null"
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in OPAQUE:
                _check_nulls(inner, key)
    elif isinstance(value, list):
        for inner in value:
            _check_nulls(inner, name)


def _check_extras(parsed: object, name: str) -> None:
    if isinstance(parsed, list):
        for inner in parsed:
            _check_extras(inner, name)
    if not isinstance(parsed, BaseModel):
        return
    unknown = set(parsed.model_extra or {}) - EXTRA_FIELDS.get(name, set())
    assert not unknown, f"{type(parsed).__name__} knows no {unknown}"
    for name in type(parsed).model_fields:
        _check_extras(getattr(parsed, name), name)


@dataclass
class Told:
    """What a client knows of a response in progress."""

    aside: bool
    open_parts: set[str] = field(default_factory=set)
    open_items: set[str] = field(default_factory=set)
    deltas: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


class Laws:
    """What must hold between the events of one call."""

    def __init__(self) -> None:
        self.event_ids: set[str] = set()
        self.items: set[str] = set()
        self.deleted: set[str] = set()
        self.speaking: str | None = None
        self.stopped: set[str] = set()
        self.transcribed: set[str] = set()
        self.open: dict[str, Told] = {}
        self.done: set[str] = set()
        self.items_aside: set[str] = set()
        self.sounding: str | None = None

    def take(self, event: ServerEvent) -> None:
        check(event)
        event_id, kind = str(event["event_id"]), str(event["type"])
        assert event_id not in self.event_ids, "an event id was used twice"
        self.event_ids.add(event_id)
        self._of_response(event, kind)
        method = getattr(self, f"_{kind.replace('.', '_')}", None)
        if method:
            method(event)

    def _of_response(self, event: ServerEvent, kind: str) -> None:
        response_id = event.get("response_id")
        if response_id in self.done:
            assert kind.startswith(OF_RESPONSE_AFTER_DONE), f"{kind} after response.done"
        elif response_id is not None:
            assert response_id in self.open, f"{kind} of an unknown response"
        if kind.endswith(".delta") and response_id:
            told, item_id = self.open[str(response_id)], event["item_id"]
            call = kind == "response.function_call_arguments.delta"
            assert call or item_id in told.open_parts, "a delta outside of its part"
            assert item_id in told.open_items, "a delta outside of its item"

    def _response_created(self, event: ServerEvent) -> None:
        response = event["response"]
        assert isinstance(response, dict)
        aside = "conversation_id" not in response
        belonging = [told for told in self.open.values() if not told.aside]
        assert aside or not belonging, "two responses of the conversation at once"
        assert response["id"] not in self.done | set(self.open)
        self.open[response["id"]] = Told(aside)

    def _response_done(self, event: ServerEvent) -> None:
        response = event["response"]
        assert isinstance(response, dict)
        told = self.open.pop(response["id"])
        assert not told.open_parts, "the response is done and its part is not"
        assert not told.open_items, "the response is done and its item is not"
        self.done.add(response["id"])

    def _response_output_item_added(self, event: ServerEvent) -> None:
        told, item_id = self.open[str(event["response_id"])], _id(event["item"])
        assert event["output_index"] == len(told.arguments), "items are counted from 0"
        told.open_items.add(item_id)
        told.arguments[item_id] = ""
        if told.aside:
            self.items_aside.add(item_id)

    def _response_output_item_done(self, event: ServerEvent) -> None:
        told, item = self.open[str(event["response_id"])], event["item"]
        assert isinstance(item, dict)
        told.open_items.remove(item["id"])
        if item["type"] == "function_call":
            assert item["arguments"] == told.arguments[item["id"]], "arguments nobody was told"

    def _response_content_part_added(self, event: ServerEvent) -> None:
        told, item_id = self.open[str(event["response_id"])], str(event["item_id"])
        assert item_id in (self.items_aside if told.aside else self.items | self.deleted)
        told.open_parts.add(item_id)

    def _response_content_part_done(self, event: ServerEvent) -> None:
        self.open[str(event["response_id"])].open_parts.remove(str(event["item_id"]))

    def _response_function_call_arguments_delta(self, event: ServerEvent) -> None:
        told = self.open[str(event["response_id"])]
        told.arguments[str(event["item_id"])] += str(event["delta"])

    def _response_output_audio_transcript_delta(self, event: ServerEvent) -> None:
        self.open[str(event["response_id"])].deltas += str(event["delta"])

    def _response_output_audio_transcript_done(self, event: ServerEvent) -> None:
        told, spoken = self.open[str(event["response_id"])], str(event["transcript"]).split()
        assert told.deltas.split()[: len(spoken)] == spoken, "words that were never said"

    def _conversation_item_added(self, event: ServerEvent) -> None:
        item_id, previous = _id(event["item"]), event["previous_item_id"]
        assert item_id not in self.items, "an item was added twice"
        assert item_id not in self.items_aside, "what was said aside is not of the conversation"
        assert previous is None or previous in self.items
        self.items.add(item_id)
        self.transcribed.discard(item_id)  # The id of one that was deleted, taken again.

    def _conversation_item_done(self, event: ServerEvent) -> None:
        assert _id(event["item"]) in self.items

    def _conversation_item_deleted(self, event: ServerEvent) -> None:
        self.items.remove(str(event["item_id"]))
        self.deleted.add(str(event["item_id"]))

    def _conversation_item_truncated(self, event: ServerEvent) -> None:
        assert event["item_id"] in self.items

    def _input_audio_buffer_speech_started(self, event: ServerEvent) -> None:
        assert self.speaking is None, "speech starts inside of speech"
        self.speaking = str(event["item_id"])
        assert self.speaking not in self.items | self.stopped

    def _input_audio_buffer_speech_stopped(self, event: ServerEvent) -> None:
        assert event["item_id"] == self.speaking
        self.stopped.add(str(event["item_id"]))
        self.speaking = None

    def _input_audio_buffer_committed(self, event: ServerEvent) -> None:
        assert event["item_id"] not in self.items

    def _transcribed(self, event: ServerEvent) -> None:
        item_id = str(event["item_id"])
        assert item_id in self.items | self.deleted
        assert item_id not in self.transcribed, "words came twice"
        self.transcribed.add(item_id)

    _conversation_item_input_audio_transcription_completed = _transcribed
    _conversation_item_input_audio_transcription_failed = _transcribed

    def _output_audio_buffer_started(self, event: ServerEvent) -> None:
        assert self.sounding is None
        self.sounding = str(event["response_id"])
        assert self.open[self.sounding].open_parts, "sound before its content part"

    def _output_audio_buffer_stopped(self, event: ServerEvent) -> None:
        assert event["response_id"] == self.sounding
        assert self.sounding in self.done, "stopped before response.done"
        self.sounding = None

    def _output_audio_buffer_cleared(self, event: ServerEvent) -> None:
        assert event["response_id"] == self.sounding
        self.sounding = None


def _id(value: object) -> str:
    assert isinstance(value, dict)
    return str(value["id"])


class Listener:
    """A dialect, and a client that checks and keeps all that it is told."""

    def __init__(
        self,
        *,
        webrtc: bool = False,
        rules: Rules | None = None,
        settings: EngineSettings | None = None,
        transcription_only: bool = False,
    ) -> None:
        numbers = itertools.count(1)
        self.rules, self.settings = rules or Rules(), settings or EngineSettings()
        self.dialect = Dialect(
            call_id="call_1", model="tutor", settings=self.settings, rules=self.rules,
            new_id=lambda prefix: f"{prefix}_{next(numbers)}", webrtc=webrtc,
            transcription_only=transcription_only,
        )  # fmt: skip
        self.laws = Laws()
        self.told: list[ServerEvent] = []
        self._take(self.dialect.begin())

    def _take(self, events: Iterable[ServerEvent]) -> list[ServerEvent]:
        kept = []
        for event in events:
            self.laws.take(event)
            kept.append(orjson.loads(orjson.dumps(event)))
        self.told += kept
        return kept

    def send(self, event: object) -> Received:
        """Send one client event; text goes as it is, anything else as JSON."""
        text = event if isinstance(event, str | bytes) else orjson.dumps(event)
        received = self.dialect.receive(text)
        self._take(received.events)
        return received

    def update(self, **session: object) -> Received:
        return self.send({"type": "session.update", "session": {"type": "realtime", **session}})

    def say(self, text: str, **item: object) -> Received:
        content = [{"type": "input_text", "text": text}]
        body = {"type": "message", "role": "user", "content": content, **item}
        return self.send({"type": "conversation.item.create", "item": body})

    def act(self, *actions: ev.Action) -> list[ServerEvent]:
        """What these actions of the call are told as."""
        return [event for action in actions for event in self._take(self.dialect.translate(action))]

    def sound(self, turn: int, pcm: bytes) -> list[ServerEvent]:
        return self._take(self.dialect.audio(turn, pcm))

    def close(self, bill: Mapping[str, object] | None = None) -> list[ServerEvent]:
        return self._take(self.dialect.closing(bill, "hung_up"))

    @property
    def kinds(self) -> list[str]:
        return [str(event["type"]) for event in self.told]

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.told.clear()

    def last(self, kind: str) -> ServerEvent:
        return [event for event in self.told if event["type"] == kind][-1]

    def error(self) -> Mapping[str, object]:
        error = self.told[-1]["error"]
        assert isinstance(error, dict)
        return error
