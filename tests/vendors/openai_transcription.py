"""The vendor's end of a realtime transcription session, as its published types have it.

Events of a client are checked against these types, and against what the vendor says of its
models: what streams and what waits for a commit, who takes which hints. What a client does wrong
is answered with the vendor's error event, and noted in the server's `faults`.

An utterance begins with the first sound after the session began or after a commit; that is when
the mood is asked for its trouble. A mood that refuses (LIMITED, BROKEN, LOCKED) refuses the
handshake; of a session that is open already, the utterance fails.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openai.types.realtime import (
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemInputAudioTranscriptionDeltaEvent,
    ConversationItemInputAudioTranscriptionFailedEvent,
    InputAudioBufferClearedEvent,
    InputAudioBufferCommittedEvent,
    RealtimeClientEvent,
    RealtimeConversationItemUserMessage,
    RealtimeErrorEvent,
    RealtimeTranscriptionSessionCreateRequest,
    SessionCreatedEvent,
    SessionUpdatedEvent,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from .hearing import BLOCK_MS, words_heard
from .trouble import Trouble
from .wire import Asked, Json, Left, Socket

if TYPE_CHECKING:
    from .openai_http import OpenAIServer

RATE_HZ = 24_000
COMMIT_MS_MIN = 100
_BLOCK_BYTES = BLOCK_MS * RATE_HZ * 2 // 1_000
APPEND_BYTES_MAX = 15 * 1024 * 1024
# Words come while the sound comes; from the others, only after a commit.
STREAMING = ("gpt-live-transcribe", "gpt-realtime-whisper")
COMMITTED = ("gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1")
KEYWORDED = ("gpt-transcribe", "gpt-live-transcribe")
REFUSES = {Trouble.LIMITED, Trouble.BROKEN, Trouble.LOCKED}
_CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
_IDS = itertools.count(1)


class Refused(Exception):
    """The client's event was wrong."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


@dataclass(slots=True)
class _Item:
    """One utterance, what befalls it, and the words of it that were told."""

    id: str
    trouble: Trouble
    told: list[str] = field(default_factory=list)
    # Whole blocks of its sound that were listened to.
    blocks: int = 0


class TranscriptionSession:
    """One session with one client."""

    def __init__(self, server: OpenAIServer, asked: Asked, socket: Socket) -> None:
        self._server, self._asked, self._socket = server, asked, socket
        self._session = RealtimeTranscriptionSessionCreateRequest(type="transcription")
        self._sound = bytearray()
        self._item: _Item | None = None
        self._previous: str | None = None
        self._finishing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the client leaves."""
        try:
            await self._tell(SessionCreatedEvent, type="session.created", session=self._session)
            while True:
                await self._hear(await self._socket.receive())
        finally:
            for task in self._finishing:
                task.cancel()
            await asyncio.gather(*self._finishing, return_exceptions=True)

    async def _hear(self, message: str) -> None:
        event = json.loads(message)
        self._asked.events.append(event)
        try:
            checked = _checked(event)
            match event["type"]:
                case "session.update":
                    await self._update(checked.session, event["session"])
                case "input_audio_buffer.append":
                    await self._append(event["audio"])
                case "input_audio_buffer.commit":
                    await self._commit()
                case "input_audio_buffer.clear":
                    self._sound.clear()
                    self._item = None
                    await self._tell(
                        InputAudioBufferClearedEvent, type="input_audio_buffer.cleared"
                    )
                case other:
                    raise Refused(f"a transcription session knows no {other}", "unknown_event")
        except Refused as refused:
            self._server.faults.append(f"{message[:80]}: {refused}")
            of = event.get("event_id") if isinstance(event, dict) else None
            await self._error(
                "invalid_request_error", str(refused), refused.code, param=refused.param,
                event_id=of,
            )  # fmt: skip

    async def _update(self, session: object, told: Json) -> None:
        if not isinstance(session, RealtimeTranscriptionSessionCreateRequest):
            raise Refused("this is a transcription session", param="session.type")
        _check_session(told)
        model = told["audio"]["input"]["transcription"].get("model", "")
        if model not in self._server.transcription_models:
            # As a client may ask for what is not there, this is no fault of its.
            await self._error("invalid_request_error", f"no model {model}", "model_not_found")
            return
        self._session = session
        await self._tell(SessionUpdatedEvent, type="session.updated", session=session)

    @property
    def _model(self) -> str:
        audio = self._session.audio
        if audio is None or audio.input is None or audio.input.transcription is None:
            raise Refused("no transcription is configured")
        return audio.input.transcription.model or ""

    async def _append(self, audio: str) -> None:
        streams = self._model in STREAMING
        self._sound += _sound(audio)
        if self._item is None:
            self._item = _Item(f"item_{next(_IDS)}", self._server.mood.next())
            await self._begin(self._item.trouble)
        blocks, self._item.blocks = self._item.blocks, len(self._sound) // _BLOCK_BYTES
        if streams and self._item.blocks > blocks and self._item.trouble is not Trouble.SLOW:
            words = words_heard(self._server.hears, bytes(self._sound), RATE_HZ, whole=False)
            for word in words[len(self._item.told) :]:
                await self._delta(self._item, word)

    async def _begin(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.LOCKED:
                said = f"Incorrect API key provided: {self._server.key}"
                await self._error("invalid_request_error", said, "invalid_api_key")
                await self._socket.close(3000, "invalid_request_error.invalid_api_key")
            case Trouble.BROKEN:
                await self._error("server_error", "The server had an error", None)
                await self._socket.close(1011, "server_error")

    async def _delta(self, item: _Item, word: str) -> None:
        """The next word. A trouble that begins in the midst of an answer begins here."""
        if len(item.told) >= self._server.mood.after:
            if item.trouble is Trouble.STALLED:
                return
            if item.trouble is Trouble.DROPPED:
                self._socket.drop()
        await self._tell(
            ConversationItemInputAudioTranscriptionDeltaEvent,
            type="conversation.item.input_audio_transcription.delta", item_id=item.id,
            content_index=0, delta=f" {word}" if item.told else word,
        )  # fmt: skip
        item.told.append(word)

    async def _commit(self) -> None:
        sound, item = bytes(self._sound), self._item
        if item is None or len(sound) < RATE_HZ * 2 * COMMIT_MS_MIN // 1_000:
            raise Refused("the buffer is too small", "input_audio_buffer_commit_empty")
        self._sound.clear()
        self._item = None
        await self._tell(
            InputAudioBufferCommittedEvent, type="input_audio_buffer.committed",
            item_id=item.id, previous_item_id=self._previous,
        )  # fmt: skip
        message = RealtimeConversationItemUserMessage.model_validate({
            "id": item.id, "type": "message", "role": "user", "status": "completed",
            "content": [{"type": "input_audio"}],
        })  # fmt: skip
        for made, kind in (
            (ConversationItemAdded, "conversation.item.added"),
            (ConversationItemDone, "conversation.item.done"),
        ):
            await self._tell(made, type=kind, item=message, previous_item_id=self._previous)
        self._previous = item.id
        finishing = asyncio.create_task(self._finish(item, sound))
        self._finishing.add(finishing)
        finishing.add_done_callback(self._finishing.discard)

    async def _finish(self, item: _Item, sound: bytes) -> None:
        """The rest of the words, and that these were all. Runs beside the next utterance."""
        with contextlib.suppress(Left):
            if item.trouble is Trouble.LIMITED:
                await self._fail(item)
            else:
                await self._complete(item, sound)

    async def _fail(self, item: _Item) -> None:
        error = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow"}
        await self._tell(
            ConversationItemInputAudioTranscriptionFailedEvent, error=error,
            type="conversation.item.input_audio_transcription.failed", item_id=item.id,
            content_index=0,
        )  # fmt: skip

    async def _complete(self, item: _Item, sound: bytes) -> None:
        words = words_heard(self._server.hears, sound, RATE_HZ, whole=True)
        if item.trouble is Trouble.SLOW:
            await asyncio.sleep(self._server.mood.slow_s)
        for word in words[len(item.told) :]:
            await self._delta(item, word)
        if item.trouble is Trouble.LATE:
            await asyncio.sleep(self._server.mood.slow_s)
        if item.trouble is Trouble.STALLED:
            return
        if item.trouble is Trouble.DROPPED:
            self._socket.drop()
        usage = {"type": "duration", "seconds": len(sound) / RATE_HZ / 2}
        await self._tell(
            ConversationItemInputAudioTranscriptionCompletedEvent,
            type="conversation.item.input_audio_transcription.completed", item_id=item.id,
            content_index=0, transcript=" ".join(words), usage=usage,
        )  # fmt: skip

    async def _error(self, kind: str, message: str, code: str | None, **more: str | None) -> None:
        told = {"type": kind, "message": message, "code": code, **more}
        await self._tell(RealtimeErrorEvent, type="error", error=told)

    async def _tell(self, made: type[BaseModel], **fields: Any) -> None:
        event = made.model_validate({"event_id": f"event_{next(_IDS)}", **fields})
        await self._socket.send(event.model_dump_json(exclude_none=True))


def _checked(event: Any) -> Any:
    """The event in the vendor's own type."""
    if not isinstance(event, dict) or "type" not in event:
        raise Refused("an event is an object with a type", "invalid_event")
    try:
        checked = _CLIENT_EVENT.validate_python(event)
    except ValidationError as error:
        raise Refused(f"not one of the vendor's events: {error}", "invalid_event") from None
    if unknown := _unknown(checked):
        raise Refused(f"unknown parameter: {unknown[0]}", "unknown_parameter", unknown[0])
    return checked


def _unknown(model: BaseModel, path: str = "") -> list[str]:
    """The fields that the vendor's types do not have."""
    found = [f"{path}{name}" for name in model.model_extra or {}]
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += _unknown(value, f"{path}{name}.")
    return found


def _check_session(told: Json) -> None:
    heard = told.get("audio", {}).get("input", {})
    if heard.get("format") != {"type": "audio/pcm", "rate": RATE_HZ}:
        raise Refused("sound is PCM at 24 kHz", param="session.audio.input.format")
    if "turn_detection" not in heard:
        raise Refused("it must be said who ends a turn")
    hints = heard.get("transcription") or {}
    model = str(hints.get("model", ""))
    if heard["turn_detection"] is not None:
        raise Refused("turn detection is not supported for this transcription model")
    if model == "gpt-realtime-whisper" and hints.get("prompt"):
        raise Refused("a prompt is not supported", param="session.audio.input.transcription.prompt")
    for name in ("keywords", "languages"):
        if name in hints and model not in KEYWORDED:
            raise Refused(f"{name} are not supported by {model}")


def _sound(audio: str) -> bytes:
    try:
        sound = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"audio is base64: {error}", param="audio") from None
    if len(sound) % 2:
        raise Refused("half a sample", param="audio")
    if not 0 < len(sound) <= APPEND_BYTES_MAX:
        raise Refused("a piece of sound is 1 byte to 15 MiB", param="audio")
    return sound
