"""The OpenAI Realtime dialect: what a client and a call have to tell each other. Pure.

    client event ─► receive ─► inputs for the call, sound, answers
    action of the call ─► translate ─► server events

One `Dialect` serves one call, over a WebSocket or a data channel. It knows the session's
configuration, the items of the conversation and the responses, and nothing of sockets or time.

What a link owes it:
1. `begin()` is sent first, `closing()` last.
2. Every action goes through `translate`, in order, and what it returns is sent at once; `Play`
   too, for it tells when a reply begins to sound.
3. A client that takes sound in events (`binary_output` is false, and there is no track) gets
   that of each `Play` through `audio`, before the next action is translated: once the reply has
   been made its response is done, and nothing may follow it.
4. `input_format`, `output_format` and `binary_output` are read again after each `receive`.
5. `Connected` reaches the call before any input that `receive` returns.

No client event raises: what cannot be obeyed is answered by an `error` event that names the
client's `event_id`, and the call goes on.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from engines.speech import EngineSettings, Entry, Note

from .. import events as ev
from ..memory import chars_of
from ..rules import Rules, notices_in
from .checks import Fields, Refusal, check_small, parse, refusal_of, wrong_value
from .extras import Extras, plainly
from .hearing import Hearing
from .items import RECORDED_MS_MAX, Items, take_sound, words_of
from .replies import Replies
from .responses import Ask, ask_from, ask_of
from .server_events import Events, JsonObject, Received, ServerEvent
from .session import AudioFormat, first_config, voice_meant
from .tools import as_settings

__all__ = ["Dialect", "Received", "ServerEvent"]

AUDIO_BYTES_MAX = 15 * 1024 * 1024
# Base64 writes three bytes as four characters; the rest of the event is small.
EVENT_CHARS_MAX = AUDIO_BYTES_MAX * 4 // 3 + 4_096
COMMIT_MS_MIN = 100
ASKS_MAX = 16
CONTEXT_ITEMS_MAX = 256
BUFFER_MS_MAX = 1 << 53


class Dialect:
    """`new_id(prefix)` gives ids such as `item_4f…`. `webrtc`: sound travels on a track, and
    the client is told when the server's output begins and ceases to sound. `describe` says in
    public words which engines the settings mean."""

    def __init__(
        self, *, call_id: str, model: str, settings: EngineSettings, rules: Rules,
        new_id: Callable[[str], str], webrtc: bool, transcription_only: bool = False,
        describe: Callable[[EngineSettings], Mapping[str, object]] | None = None,
    ) -> None:
        self._call_id, self._session_id = call_id, new_id("sess")
        self._webrtc = webrtc
        self._base_settings, self._base_rules = settings, rules
        self._config = first_config(
            model=model, settings=settings, rules=rules, transcription_only=transcription_only
        )
        self._rules, self._settings = self._config.rules(rules), settings
        self._events = Events(new_id)
        self._items = Items()
        self._hearing = Hearing(
            self._events, self._items, told=True, manual=self._config.turn_detection is None
        )
        self._replies = Replies(self._events, self._items, buffer_events=webrtc)
        self._extras = Extras(self._events, self._replies, describe or plainly)
        # Requests the call has not answered yet, by their tags, and the event ids to name if it
        # refuses.
        self._asks: dict[int, Ask] = {}
        self._tag = 0
        self._commits: deque[str] = deque(maxlen=ASKS_MAX)
        self._cancels: deque[str] = deque(maxlen=ASKS_MAX)
        self._appends, self._buffer_ms = False, 0.0
        # The response that was in progress when its client truncated it.
        self._cut_off = ""
        self._chars_in = 0
        # Whose reply is the server's own: it answers nobody, and keeps nobody from asking.
        self._notice_turn = -1

    # What a link needs to know.

    @property
    def input_format(self) -> AudioFormat:
        """The sound the client sends, in `append` and in binary frames."""
        return self._config.input_format

    @property
    def output_format(self) -> AudioFormat:
        """The sound the client wants to get."""
        return self._config.output_format

    @property
    def binary_output(self) -> bool:
        """Sound goes to the client as binary frames and not in events."""
        return self._config.binary

    @property
    def rules(self) -> Rules:
        return self._rules

    @property
    def settings(self) -> EngineSettings:
        return self._settings

    @property
    def session(self) -> JsonObject:
        """The whole configuration in effect, as the client is told of it."""
        return self._config.as_json(self._session_id)

    # From us to the client.

    def begin(self) -> list[ServerEvent]:
        """The first event of all."""
        told = [self._events.make("session.created", session=self.session)]
        if self._config.extension.events:
            told.append(self._extras.engines(self._settings))
        return told

    def translate(self, action: ev.Action) -> list[ServerEvent]:
        """What the client is told of an action; empty for most."""
        match action:
            case ev.Play(turn):
                self._hearing.inherited.settle()
                return self._replies.play(turn)
            case ev.SpeechStarted() | ev.SpeechStopped() | ev.SpeechDiscarded():
                return self._tell_speech(action)
            case ev.PartialText(turn, text):
                return self._hearing.partial(turn, text)
            case ev.FinalText(turn, text, utterance):
                self._chars_in += len(utterance)
                return self._hearing.final(turn, text, utterance)
            case ev.RecordingHeard(item_id, text, failure):
                self._chars_in += len(text)
                return self._hearing.recording_heard(item_id, text, failure)
            case ev.ReplyStarted():
                return self._tell_reply_started(action)
            case ev.ReplySaid(turn, text):
                return self._replies.say(turn, text)
            case ev.Called(turn, piece):
                return self._replies.call(turn, piece)
            case ev.ReplyMade(turn, cut):
                return self._replies.made(turn, cut=cut)
            case ev.ReplyFinished():
                return self._tell_reply_finished(action)
            case ev.ReplyCut(turn, heard):
                self._replies.cut(turn, heard)
            case ev.Refused(code, tag):
                return self._tell_refused(code, tag)
            case ev.IdleTimedOut(turn, start_ms, end_ms):
                return self._hearing.idle(turn, start_ms, end_ms)
            case ev.Failed(turn, reason):
                return self._tell_failed(turn, reason)
            case _ if self._config.extension.events:
                return self._extras.tell(action)
        return []

    def audio(self, turn: int, sound: bytes) -> list[ServerEvent]:
        """Sound of a reply, in `output_format`, for a client that takes it in events."""
        return self._replies.audio(turn, sound, self.output_format.duration_ms(len(sound)))

    def output_cleared(self, turn: int) -> list[ServerEvent]:
        """A client that holds binary sound of this turn must drop what it has not played."""
        reply = self._replies.of(turn)
        if reply is None:
            return []
        return [self._events.make("output_audio_buffer.cleared", response_id=reply.id)]

    def error(self, code: str, message: str) -> ServerEvent:
        """Something the client sent beside events, such as a binary frame, was of no use."""
        return self._events.error(Refusal(message, code=code))

    def closing(
        self, summary_bill: Mapping[str, object] | None, reason: str
    ) -> list[ServerEvent]:
        """The last events: what was in progress ends, and the bill, if it was asked for."""
        told = self._replies.close()
        if self._config.extension.events:
            told.append(self._extras.bill(self._call_id, reason, summary_bill or {}))
        return told

    def _tell_speech(
        self, action: ev.SpeechStarted | ev.SpeechStopped | ev.SpeechDiscarded
    ) -> list[ServerEvent]:
        match action:
            case ev.SpeechStarted(turn, start_ms):
                return self._hearing.started(turn, start_ms)
            case ev.SpeechStopped(turn, end_ms):
                if self._commits:
                    self._commits.popleft()
                return self._hearing.stopped(turn, end_ms)
            case ev.SpeechDiscarded(turn):
                return self._hearing.discarded(turn)

    def _tell_reply_started(self, started: ev.ReplyStarted) -> list[ServerEvent]:
        turn, config = started.turn, self._config
        # What the call does counts: the client may have changed its mind since it was decided.
        modality = "audio" if started.speaks else "text"
        ask = replace(self._asks.pop(started.tag, ask_of(config)), modality=modality)
        if started.notice:
            self._notice_turn = turn
        if started.notice or ask.aside:
            return self._replies.begin(turn, ask, config, chars_in=ask.chars_in, speech_ms=0)
        chars_in, self._chars_in = self._chars_in + ask.chars_in, 0
        speech_ms, self._hearing.speech_ms = self._hearing.speech_ms, 0
        self._hearing.inherited.asked(turn)
        return self._replies.begin(turn, ask, config, chars_in=chars_in, speech_ms=speech_ms)

    def _tell_reply_finished(self, action: ev.ReplyFinished) -> list[ServerEvent]:
        reply = self._replies.of(action.turn)
        if action.reason != "turn_detected" and not (reply and reply.ask.aside):
            self._hearing.inherited.settle()
        if action.reason == "client_cancelled" and self._cancels:
            self._cancels.popleft()
        return self._replies.finished(
            action.turn, action.status, action.reason, action.heard, action.heard_ms
        )

    def _tell_refused(self, code: str, tag: int) -> list[ServerEvent]:
        event_id = ""
        if code == "commit_empty" and self._commits:
            event_id = self._commits.popleft()
        elif tag in self._asks:
            event_id = self._asks.pop(tag).event_id
        elif code == "response_not_active" and self._cancels:
            event_id = self._cancels.popleft()
        return [self._events.error(refusal_of(code), event_id)]

    def _tell_failed(self, turn: int, reason: str) -> list[ServerEvent]:
        """A failure inside a response is told by its `response.done`, which follows, and one
        of hearing by the utterance it is about; an `error` event is for what has no other
        place, because some clients take it for the end of the call."""
        told, active = self._hearing.failed(turn, reason), self._replies.active
        if not told and (active is None or active.turn != turn):
            told.append(self._events.server_error(reason))
        return told

    # From the client to us.

    def receive(self, text: str | bytes) -> Received:
        """One client event. Never raises on what a client sends."""
        event_id = ""
        try:
            event = parse(text, bytes_max=EVENT_CHARS_MAX)
            event_id = _event_id(event)
            kind = event.need("type")
            if kind == "input_audio_buffer.append":
                return self._append(event)
            recorded = None
            if kind == "conversation.item.create":
                event, recorded = take_sound(event)
            check_small(event, len(text) - len(recorded or ""))
            if recorded is not None:
                return self._create_recorded(event, recorded)
            obey = self._OBEY.get(kind) if isinstance(kind, str) else None
            if obey is None:
                raise wrong_value("type", f"supported values are: {', '.join(CLIENT_EVENTS)}")
            return obey(self, event, event_id)
        except Refusal as refusal:
            return Received(events=(self._events.error(refusal, event_id),))

    def preset(self, session: object) -> Received:
        """A session that was configured before it began, by whoever opened the door. The
        events are empty, or hold the one error that says why nothing was changed."""
        try:
            patch = Fields(session, "session")
            check_small(patch, 0)
            return Received(inputs=self._configure(patch))
        except Refusal as refusal:
            return Received(events=(self._events.error(refusal),))

    def _update(self, event: Fields, event_id: str) -> Received:
        event.need("session")
        before, heard_of = self._settings, self._config.extension.events
        inputs = self._configure(Fields(event.values["session"], "session"))
        told = [self._events.make("session.updated", session=self.session)]
        if self._config.extension.events and (not heard_of or self._settings != before):
            told.append(self._extras.engines(self._settings))
        return Received(inputs, events=tuple(told))

    def _configure(self, patch: Fields) -> tuple[ev.Input, ...]:
        """Take the changes in whole or not at all; returns what the call must know of them."""
        self._config = config = self._config.updated(patch)
        settings = config.settings(self._base_settings)
        rules = config.rules(self._base_rules)
        rules = replace(rules, notices=notices_in(settings.language))
        inputs: list[ev.Input] = []
        if rules != self._rules:
            inputs.append(ev.RulesChanged(rules))
        if settings != self._settings:
            inputs.append(ev.SettingsChanged(settings))
        self._rules, self._settings = rules, settings
        self._hearing.told = config.transcription is not None
        self._hearing.manual = config.turn_detection is None
        self._replies.paced = self._webrtc or self.binary_output
        return tuple(inputs)

    # Sound.

    def _append(self, event: Fields) -> Received:
        encoded = event.need("audio")
        if not isinstance(encoded, str):
            raise wrong_value("audio", "expected base64-encoded sound in a string")
        sound = self._decoded(encoded, "audio")
        if len(sound) > AUDIO_BYTES_MAX:
            raise wrong_value("audio", f"at most {AUDIO_BYTES_MAX} bytes at once")
        added_ms = self.input_format.duration_ms(len(sound))
        self._appends, self._buffer_ms = True, min(self._buffer_ms + added_ms, BUFFER_MS_MAX)
        return Received(audio=sound or None)

    def _decoded(self, encoded: str, param: str) -> bytes:
        """Sound in the session's input format. Raises `Refusal`."""
        try:
            sound = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError as error:
            raise wrong_value(param, "expected base64-encoded sound") from error
        if len(sound) % 2 and self.input_format.type == "audio/pcm":
            raise wrong_value(param, "expected 16-bit samples, but got an odd number of bytes")
        return sound

    def _commit(self, _: Fields, event_id: str) -> Received:
        if self._appends and self._buffer_ms < COMMIT_MS_MIN:
            raise refusal_of("commit_empty")
        self._buffer_ms = 0.0
        self._commits.append(event_id)
        return Received((ev.Committed(),))

    def _clear(self, _: Fields, event_id: str) -> Received:
        self._buffer_ms = 0.0
        cleared = self._events.make("input_audio_buffer.cleared")
        return Received((ev.Cleared(),), events=(cleared,))

    def _clear_output(self, _: Fields, event_id: str) -> Received:
        """Fall silent. Harmless when nothing sounds, because clients send it to be sure."""
        if not self._replies.speaking or self._cancels:
            return Received()
        self._cancels.append(event_id)
        return Received((ev.Stopped(),))

    # Items.

    def _create_recorded(self, event: Fields, encoded: str) -> Received:
        """An item whose words are still to be recognised."""
        sound = self._decoded(encoded, "item.content.audio")
        duration_ms = self.input_format.duration_ms(len(sound))
        if self.input_format.type == "audio/opus" or not 0 < duration_ms <= RECORDED_MS_MAX:
            wanted = f"PCM or G.711, {RECORDED_MS_MAX // 1_000} seconds at most"
            raise wrong_value("item.content.audio", wanted)
        made = self._create_item(event, "")
        (added,) = made.inputs
        assert isinstance(added, ev.Added) and isinstance(added.entry, Note)
        self._hearing.recorded(self._items.find(added.item_id, "retrieve"), duration_ms)
        awaited = ev.Recorded(added.item_id, (), added.entry.text, added.after)
        return Received(recorded=(awaited, sound), events=made.events)

    def _create_item(self, event: Fields, event_id: str) -> Received:
        event.need("item")
        item = self._items.new(Fields(event.values["item"], "item"), self._events.new_id)
        previous_id = self._items.place(event.id("previous_item_id"))
        after = self._after(previous_id)
        self._items.insert(item, previous_id)
        told = (
            self._events.item("conversation.item.added", item.body, previous_id),
            self._events.item("conversation.item.done", item.body, previous_id),
        )
        self._chars_in += len(words_of(item.body))
        return Received((ev.Added(item.id, item.entry, after),), events=told)

    def _after(self, previous_id: str | None) -> ev.Source | None:
        """Behind which item of the call's memory an item goes; None: behind all of them."""
        if previous_id == self._items.last_id:
            return None
        return self._items.find(previous_id, "retrieve").source if previous_id else ev.FIRST

    def _delete_item(self, event: Fields, event_id: str) -> Received:
        item = self._items.find(event.need_id("item_id"), "delete")
        self._items.delete(item.id)
        deleted = self._events.make("conversation.item.deleted", item_id=item.id)
        return Received((ev.Forgotten(item.source),), events=(deleted,))

    def _retrieve_item(self, event: Fields, event_id: str) -> Received:
        item = self._items.find(event.need_id("item_id"), "retrieve")
        retrieved = self._events.make("conversation.item.retrieved", item=item.body)
        return Received(events=(retrieved,))

    def _truncate_item(self, event: Fields, event_id: str) -> Received:
        item = self._items.find(event.need_id("item_id"), "truncate")
        event.need_integer("content_index", 0, 0)
        heard_ms = event.need_integer("audio_end_ms", 0, BUFFER_MS_MAX)
        told = tuple(self._replies.truncate(item, heard_ms))
        assert item.turn is not None, "only replies can be truncated"
        active = self._replies.active
        if active and active.turn == item.turn and active.audio_ms:
            self._cut_off = active.id
        return Received((ev.Truncated(item.turn, heard_ms),), events=told)

    # Responses.

    def _create_response(self, event: Fields, event_id: str) -> Received:
        if self._config.kind == "transcription":
            raise Refusal("A transcription session has no responses.", code="invalid_session_type")
        given = event.child("response")
        ask = ask_from(given, self._config, event_id)
        context = self._context(given) if given else None
        ask = replace(ask, chars_in=sum(map(chars_of, context or ())))
        active, beside = self._replies.active, ask.aside and ask.modality == "text"
        if active and active.turn != self._notice_turn and not (self._cancels or beside):
            raise refusal_of("response_active")
        if len(self._asks) == ASKS_MAX:
            raise refusal_of("asks_full")
        asked = self._asking(ask, context)
        self._asks[asked.tag] = ask
        return Received((*(() if beside else self._before_asking()), asked))

    def _context(self, given: Fields) -> tuple[Entry, ...] | None:
        """What is to be answered instead of the conversation, where a client names it."""
        if given.values.get("input") is None:
            return None
        return self._items.context(list(given.objects("input", length_max=CONTEXT_ITEMS_MAX)))

    def _before_asking(self) -> tuple[ev.Input, ...]:
        """A response that is done may sound on in a client that keeps its own buffer. By asking
        for the next one it says that it will play them one after the other."""
        unheard = self._replies.unheard
        if unheard is None or self._replies.paced:
            return ()
        return (ev.Played(unheard.turn, BUFFER_MS_MAX),)

    def _asking(self, ask: Ask, context: tuple[Entry, ...] | None) -> ev.Asked:
        """The request, with the settings that only this response has."""
        usual, self._tag = self._settings, self._tag + 1
        own = replace(
            as_settings(ask.kept, usual),
            instructions=ask.instructions or usual.instructions,
            voice=voice_meant(ask.voice),
            speaks=ask.modality == "audio",
            output_tokens_max=ask.max_output_tokens,
        )
        settings = own if ask.aside or own != usual else None
        return ev.Asked(self._tag, settings, context, ask.aside)

    def _cancel_response(self, event: Fields, event_id: str) -> Received:
        wanted, active = event.id("response_id"), self._replies.active
        cut_off, self._cut_off = self._cut_off, ""
        if cut_off and wanted in ("", cut_off) and (active is None or active.id == cut_off):
            return Received()  # Its truncation has ended it; clients send both to be sure.
        reply = self._replies.named(wanted) if wanted else active
        if reply is None and (wanted or not self._asks):
            raise refusal_of("response_not_active", "response_id" if wanted else "")
        self._cancels.append(event_id)
        return Received((ev.Stopped(reply.turn if reply and reply.ask.aside else None),))

    _OBEY: Mapping[str, Callable[[Dialect, Fields, str], Received]] = {
        "session.update": _update,
        "input_audio_buffer.commit": _commit,
        "input_audio_buffer.clear": _clear,
        "output_audio_buffer.clear": _clear_output,
        "conversation.item.create": _create_item,
        "conversation.item.delete": _delete_item,
        "conversation.item.retrieve": _retrieve_item,
        "conversation.item.truncate": _truncate_item,
        "response.create": _create_response,
        "response.cancel": _cancel_response,
    }


CLIENT_EVENTS = ("input_audio_buffer.append", *Dialect._OBEY)


def _event_id(event: Fields) -> str:
    """The client's own name for its event, to be given back with an error."""
    value = event.values.get("event_id")
    return value[:512] if isinstance(value, str) else ""

