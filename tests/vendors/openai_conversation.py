"""OpenAI's realtime conversations on this machine, as the vendor's published types have them.

    async with ConversationServer(hears="hello there") as server:
        options = OpenAIOptions(api_key=server.key, base_url=server.base_url)
        server.mood.trouble = Trouble.DROPPED

`hears` is what is heard in sound (`hearing`). `answers` makes a reply of what the conversation
holds, oldest first, as (role, text): text, and (tool, arguments) pairs for calls. A reply is
spoken by `speaks`, faster than it sounds. What a conversation holds in the end is told by
`sessions[n].told`, with of a reply that was cut only the words that were heard in full.

What a client does wrong is answered with the vendor's error event, and noted in `faults`. The
mood is asked for its trouble by each response; one that refuses (LIMITED, BROKEN, LOCKED) refuses
new sessions too. `words_lag`: replies tell their words after their sound, piece by piece.
`session_s`: a session is over then. `words_after_s`: how long the words of an
utterance take; None: they never come. `words_fail`: they cannot be had.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from openai.types.realtime import (
    RealtimeServerEvent,
    RealtimeSessionCreateRequest,
)
from pydantic import BaseModel
from websockets.exceptions import InvalidState

from .hearing import Hears, words_heard
from .openai_http import CHAR_MS, KEY, tone
from .openai_transcription import COMMITTED, KEYWORDED, REFUSES, Refused, _checked, _sound
from .trouble import Mood, Trouble
from .wire import PATIENCE_S, Asked, Exchange, Json, Left, Socket, WireServer

RATE_HZ = 24_000
COMMIT_MS_MIN = 100
CHUNK_MS = 100
ID_CHARS_MAX = 32
REASONING = ("gpt-realtime-2",)
AHEAD_S = 0.002  # A chunk of sound takes so long to make.
Answer = str | tuple[str, str]
Said = Sequence[tuple[str, str]]
Answers = Callable[[Said], Iterable[Answer]]
_TYPES: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(RealtimeServerEvent)[0])
}
_IDS = itertools.count(1)
_REFUSALS = {
    Trouble.LIMITED: (429, "rate_limit_exceeded"),
    Trouble.LOCKED: (401, "invalid_api_key"),
    Trouble.BROKEN: (503, "server_error"),
}


@dataclass(slots=True)
class Held:
    """An item of a conversation. `sound`: of an utterance, or of a reply."""

    body: Json
    role: str
    text: str = ""
    sound: bytes = b""
    cut_ms: int | None = None

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def sound_ms(self) -> int:
        return len(self.sound) * 1_000 // (RATE_HZ * 2)

    @property
    def told(self) -> tuple[str, str]:
        """What the model knows of it: of a cut reply the words that were said in full."""
        if self.cut_ms is None:
            return self.role, self.text
        chars = self.cut_ms // CHAR_MS
        heard = self.text[:chars]
        whole = chars >= len(self.text) or self.text[chars] == " "
        return self.role, heard.strip() if whole else heard.rpartition(" ")[0]


class ConversationServer(WireServer):
    """See above. Change any of its fields while it runs."""

    def __init__(
        self, *, mood: Mood | None = None, hears: Hears = None, answers: Answers | None = None,
        session_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.key, self.mood = KEY, mood or Mood()
        self.hears, self.speaks = hears, tone
        self.answers: Answers = answers or echo
        self.session_s = session_s
        self.words_after_s: float | None = 0.0
        self.words_fail = self.words_lag = False
        self.sessions: list[Conversation] = []
        self.retry_after_s = 1.0

    async def converse(
        self, asked: Asked, exchange: Exchange, accept: Callable[[], Socket]
    ) -> None:
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            await _refuse(exchange, 401, "invalid_api_key")
            return
        if not asked.path.endswith("/realtime") or not asked.query.get("model"):
            self.faults.append(f"nobody is at {asked.path} with {asked.query}")
            await _refuse(exchange, 404, "not_found")
            return
        trouble = self.mood.next() if self.mood.trouble in REFUSES else Trouble.NONE
        if trouble is not Trouble.NONE:
            status, code = _REFUSALS[trouble]
            await _refuse(exchange, status, code, retry_after=f"{self.retry_after_s:g}")
            return
        socket = accept()
        await socket.flush()
        session = Conversation(self, asked, socket)
        self.sessions.append(session)
        await session.run()

    def expire_all(self) -> None:
        """Every session is over now."""
        assert self._loop is not None
        for session in self.sessions:
            asyncio.run_coroutine_threadsafe(session.expire(0), self._loop).result(PATIENCE_S)


async def _refuse(exchange: Exchange, status: int, code: str, **headers: str) -> None:
    error = {"message": "no", "type": "invalid_request_error", "param": None, "code": code}
    await exchange.json(status, {"error": error}, **headers)


def echo(said: Said) -> list[Answer]:
    """Says back what was said last."""
    last = next((text for role, text in reversed(said) if role in ("user", "result")), "")
    return [f"You said: {last}."]


@dataclass(slots=True)
class Making:
    """A response in the making. `apart`: it is no part of the conversation."""

    id: str
    settings: Json
    apart: bool
    task: asyncio.Task[None] | None = None
    output: list[Held] = field(default_factory=list)
    audio_ms: int = 0
    words: int = 0


class Conversation:
    """One session with one client."""

    def __init__(self, server: ConversationServer, asked: Asked, socket: Socket) -> None:
        self._server, self.asked, self._socket = server, asked, socket
        self.session: Json = {"type": "realtime", "model": asked.query["model"]}
        self.items: list[Held] = []
        self.responses: list[Json] = []
        self._buffer = bytearray()
        self._making: dict[str, Making] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self._voiced = False

    @property
    def told(self) -> list[tuple[str, str]]:
        """What it holds, as (role, text); `call` and `result` for tools."""
        return [item.told for item in self.items]

    async def run(self) -> None:
        """Until the client leaves."""
        try:
            await self.tell("session.created", session=self.session)
            if self._server.session_s is not None:
                self._start(self.expire(self._server.session_s))
            while True:
                await self._obey(await self._socket.receive())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Any) -> asyncio.Task[None]:
        async def guarded() -> None:
            with contextlib.suppress(Left):
                await work

        task = asyncio.create_task(guarded())
        # One that is cancelled before it began has not begun this either.
        task.add_done_callback(lambda _: work.close())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def expire(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with contextlib.suppress(Left):
            told = "Your session hit the maximum duration of 60 minutes."
            await self._error(told, "session_expired")
            await self._socket.close(1001, "session_expired")

    async def tell(self, kind: str, **fields: Any) -> None:
        """Send an event, held to the vendor's own type for it."""
        event = _TYPES[kind].model_validate(
            {"type": kind, "event_id": f"event_{next(_IDS)}", **fields}
        )
        async with self._sending:
            try:
                await self._socket.send(event.model_dump_json(exclude_none=True))
            except InvalidState as error:  # The client has said goodbye.
                raise Left from error

    async def _error(self, message: str, code: str, event_id: object = None) -> None:
        error = {"type": "invalid_request_error", "message": message, "code": code}
        await self.tell("error", error={**error, "event_id": event_id})

    # What the client asks.

    async def _obey(self, message: str) -> None:
        event = json.loads(message)
        self.asked.events.append(event)
        try:
            _checked(event)
            await self._OBEY[event["type"]](self, event)
        except Refused as refused:
            if refused.code != "response_cancel_not_active":  # Which may cross its end.
                self._server.faults.append(f"{message[:200]}: {refused}")
            await self._error(str(refused), refused.code, event.get("event_id"))

    async def _update(self, event: Json) -> None:
        session = event["session"]
        if session.get("type") != "realtime":
            raise Refused("the type of a session is needed", "missing_required_parameter")
        audio = session.get("audio", {})
        for side in ("input", "output"):
            wanted = {"type": "audio/pcm", "rate": RATE_HZ}
            if audio.get(side, {}).get("format", wanted) != wanted:
                raise Refused("sound is PCM at 24 kHz")
        _check_transcription(audio.get("input", {}).get("transcription"))
        self._check_reasoning(session)
        output = audio.get("output", {})
        now = self.session.get("audio", {}).get("output", {})
        if self._voiced and output.get("voice", now.get("voice")) != now.get("voice"):
            raise Refused("the voice cannot be changed", "cannot_update_voice")
        if not 0.25 <= output.get("speed", 1.0) <= 1.5:
            raise Refused("a speed is 0.25 to 1.5")
        if output.get("speed", 1.0) != now.get("speed", 1.0) and self._active is not None:
            raise Refused("the speed changes between turns")
        self.session |= session
        RealtimeSessionCreateRequest.model_validate(self.session)
        await self.tell("session.updated", session=self.session)

    def _check_reasoning(self, settings: Json) -> None:
        if "reasoning" in settings and not str(self.session["model"]).startswith(REASONING):
            raise Refused("this model does not think", "unknown_parameter", "session.reasoning")

    async def _append(self, event: Json) -> None:
        self._buffer += _sound(event["audio"])

    async def _clear(self, _: Json) -> None:
        self._buffer.clear()
        await self.tell("input_audio_buffer.cleared")

    async def _commit(self, _: Json) -> None:
        sound = bytes(self._buffer)
        if len(sound) < RATE_HZ * 2 * COMMIT_MS_MIN // 1_000:
            raise Refused("the buffer is too small", "input_audio_buffer_commit_empty")
        self._buffer.clear()
        item_id, last = f"item_{next(_IDS)}", self.items[-1].id if self.items else None
        body = {"id": item_id, "type": "message", "role": "user", "status": "completed",
                "content": [{"type": "input_audio"}]}  # fmt: skip
        # The model hears it at once; how it is written down is another's work.
        words = words_heard(self._server.hears, sound, RATE_HZ, whole=True)
        held = Held(body, "user", " ".join(words), sound)
        self.items.append(held)
        await self.tell("input_audio_buffer.committed", item_id=item_id, previous_item_id=last)
        await self._added(held, last)
        self._start(self._transcribe(held))

    async def _added(self, held: Held, before: str | None) -> None:
        await self.tell("conversation.item.added", item=held.body, previous_item_id=before)
        await self.tell("conversation.item.done", item=held.body, previous_item_id=before)

    async def _transcribe(self, held: Held) -> None:
        heard = self.session.get("audio", {}).get("input", {}).get("transcription")
        if not heard or self._server.words_after_s is None:
            return
        place = {"item_id": held.id, "content_index": 0}
        prefix = "conversation.item.input_audio_transcription"
        await asyncio.sleep(self._server.words_after_s)
        if self._server.words_fail:
            error = {"type": "server_error", "code": "transcription_failed", "message": "no"}
            await self.tell(f"{prefix}.failed", **place, error=error)
            return
        for number, word in enumerate(held.text.split()):
            await self.tell(f"{prefix}.delta", **place, delta=f" {word}" if number else word)
        usage = {"type": "duration", "seconds": len(held.sound) / RATE_HZ / 2}
        await self.tell(f"{prefix}.completed", **place, transcript=held.text, usage=usage)

    # Items.

    def _find(self, item_id: str) -> Held:
        found = next((item for item in self.items if item.id == item_id), None)
        if found is None:
            raise Refused(f"there is no item {item_id}", "invalid_item_id")
        return found

    async def _create(self, event: Json) -> None:
        item = dict(event["item"])
        item.setdefault("id", f"item_{next(_IDS)}")
        if len(item["id"]) > ID_CHARS_MAX or any(held.id == item["id"] for held in self.items):
            raise Refused("ids are short, and each is used once")
        held, after = _held(item), event.get("previous_item_id")
        if held.role == "result" and not self._asked_for(item["call_id"]):
            raise Refused("nobody asked for that", "invalid_tool_call_id")
        if after == "root":
            place, before = 0, None
        elif after:
            place, before = self.items.index(self._find(after)) + 1, after
        else:
            place, before = len(self.items), self.items[-1].id if self.items else None
        self.items.insert(place, held)
        await self._added(held, before)

    def _asked_for(self, call_id: str) -> bool:
        calls = (item.body for item in self.items if item.role == "call")
        return any(call["call_id"] == call_id for call in calls)

    async def _delete(self, event: Json) -> None:
        self.items.remove(self._find(event["item_id"]))
        await self.tell("conversation.item.deleted", item_id=event["item_id"])

    async def _truncate(self, event: Json) -> None:
        held, end_ms = self._find(event["item_id"]), event["audio_end_ms"]
        if held.role != "assistant" or not held.sound:
            raise Refused("only what was said aloud can be cut", "invalid_item")
        if not 0 <= end_ms <= held.sound_ms:
            raise Refused(f"there are only {held.sound_ms} ms, not {end_ms}")
        held.cut_ms = end_ms
        await self.tell(
            "conversation.item.truncated",
            item_id=held.id, content_index=event["content_index"], audio_end_ms=end_ms,
        )  # fmt: skip

    # Responses.

    @property
    def _active(self) -> Making | None:
        return next((each for each in self._making.values() if not each.apart), None)

    async def _respond(self, event: Json) -> None:
        self._check_reasoning(event.get("response") or {})
        settings = {**self.session, **(event.get("response") or {})}
        apart = settings.get("conversation") == "none"
        if not apart and self._active is not None:
            raise Refused("one at a time", "conversation_already_has_active_response")
        making = Making(f"resp_{next(_IDS)}", settings, apart)
        self._making[making.id] = making
        self.responses.append(settings)
        making.task = self._start(self._make(making))

    async def _cancel(self, event: Json) -> None:
        wanted = event.get("response_id")
        making = self._making.get(wanted) if wanted else self._active
        if making is None or making.task is None:
            raise Refused("nothing is being said", "response_cancel_not_active")
        making.task.cancel()
        await asyncio.gather(making.task, return_exceptions=True)
        await self._done(making, "cancelled", {"reason": "client_cancelled"})

    async def _make(self, making: Making) -> None:
        trouble = self._server.mood.next()
        if trouble is Trouble.SLOW:
            await asyncio.sleep(self._server.mood.slow_s)
        metadata = making.settings.get("metadata")
        body: Json = {"id": making.id, "status": "in_progress", "output": []}
        body["metadata"] = metadata
        await self.tell("response.created", response=body)
        if trouble is Trouble.LOCKED:
            await self._error("Incorrect API key", "invalid_api_key")
            await self._socket.close(3000, "invalid_request_error.invalid_api_key")
        if trouble in REFUSES:
            wait = f"no; try again in {self._server.retry_after_s:g}s."
            error = {"type": "server_error", "code": _REFUSALS[trouble][1], "message": wait}
            await self._done(making, "failed", {"error": error})
            return
        given = making.settings.get("input") if making.apart else None
        said = self.told if given is None else [_held(item).told for item in given]
        making.words = sum(len(text.split()) for _, text in said)
        for number, answer in enumerate(self._server.answers(said)):
            if isinstance(answer, str):
                await self._say(making, number, answer, trouble)
            else:
                await self._call(making, number, *answer)
        await self._done(making, "completed", {})

    async def _begin_item(self, making: Making, number: int, held: Held) -> Json:
        last = self.items[-1].id if self.items else None
        making.output.append(held)
        if not making.apart:
            self.items.append(held)
        place = {"response_id": making.id, "output_index": number}
        await self.tell("response.output_item.added", **place, item=held.body)
        if not making.apart:
            await self.tell("conversation.item.added", item=held.body, previous_item_id=last)
        return {**place, "item_id": held.id}

    async def _end_item(self, making: Making, place: Json, held: Held) -> None:
        held.body["status"] = "completed"
        index = {name: place[name] for name in ("response_id", "output_index")}
        await self.tell("response.output_item.done", **index, item=held.body)
        if not making.apart:
            await self.tell("conversation.item.done", item=held.body)

    async def _say(self, making: Making, number: int, text: str, trouble: Trouble) -> None:
        body = {"id": f"item_{next(_IDS)}", "type": "message", "role": "assistant",
                "status": "in_progress", "content": []}  # fmt: skip
        held, aloud = Held(body, "assistant"), making.settings.get("output_modalities") != ["text"]
        place = await self._begin_item(making, number, held)
        place["content_index"] = 0
        part = {"type": "audio" if aloud else "text"}
        await self.tell("response.content_part.added", **place, part=part)
        async for piece in self._troubled(trouble, self._pieces(text, aloud)):
            await self._piece(making, held, place, aloud, piece)
        kind = "output_audio_transcript" if aloud else "output_text"
        told = {"transcript": text} if aloud else {"text": text}
        if aloud:
            await self.tell("response.output_audio.done", **place)
        await self.tell(f"response.{kind}.done", **place, **told)
        await self.tell("response.content_part.done", **place, part={**part, **told})
        await self._end_item(making, place, held)

    def _pieces(self, text: str, aloud: bool) -> list[str | bytes]:
        """Words, and their sound a little later."""
        words = [f" {word}" if n else word for n, word in enumerate(text.split())]
        if not aloud:
            return list(words)
        speed = self.session.get("audio", {}).get("output", {}).get("speed", 1.0)
        sound, size = self._server.speaks(text, speed), RATE_HZ * 2 * CHUNK_MS // 1_000
        chunks = [sound[start : start + size] for start in range(0, len(sound), size)]
        mixed: list[str | bytes] = []
        for word, chunk in itertools.zip_longest(words, chunks):
            pair = (chunk, word) if self._server.words_lag else (word, chunk)
            mixed += [each for each in pair if each is not None]
        return mixed

    async def _piece(
        self, making: Making, held: Held, place: Json, aloud: bool, piece: str | bytes
    ) -> None:
        if isinstance(piece, str):
            held.text += piece
            kind = "output_audio_transcript" if aloud else "output_text"
            await self.tell(f"response.{kind}.delta", **place, delta=piece)
            return
        held.sound += piece
        making.audio_ms += CHUNK_MS
        self._voiced = True
        await asyncio.sleep(AHEAD_S)
        await self.tell(
            "response.output_audio.delta", **place, delta=base64.b64encode(piece).decode()
        )

    async def _troubled(
        self, trouble: Trouble, pieces: list[str | bytes]
    ) -> AsyncIterator[str | bytes]:
        for number, piece in enumerate(pieces):
            if number == self._server.mood.after:
                match trouble:
                    case Trouble.STALLED:
                        await asyncio.Event().wait()
                    case Trouble.DROPPED:
                        self._socket.drop()
                    case Trouble.LATE:
                        await asyncio.sleep(self._server.mood.slow_s)
            yield piece

    async def _call(self, making: Making, number: int, name: str, arguments: str) -> None:
        call_id = f"call_{next(_IDS)}"
        body = {"id": f"item_{next(_IDS)}", "type": "function_call", "status": "in_progress",
                "call_id": call_id, "name": name, "arguments": ""}  # fmt: skip
        held = Held(body, "call", arguments)
        place = {**await self._begin_item(making, number, held), "call_id": call_id}
        half = len(arguments) // 2
        for delta in (arguments[:half], arguments[half:]):
            await self.tell("response.function_call_arguments.delta", **place, delta=delta)
        body["arguments"] = arguments
        await self.tell(
            "response.function_call_arguments.done", **place, arguments=arguments, name=name
        )
        await self._end_item(making, place, held)

    async def _done(self, making: Making, status: str, details: Json) -> None:
        if self._making.pop(making.id, None) is None:
            return
        for held in making.output:
            if held.body["status"] == "in_progress":
                held.body["status"] = "incomplete"
        body = {
            "id": making.id, "object": "realtime.response", "status": status,
            "status_details": {"type": status, **details},
            "metadata": making.settings.get("metadata"),
            "output": [held.body for held in making.output], "usage": _usage(making),
        }  # fmt: skip
        await self.tell("response.done", response=body)

    _OBEY: Mapping[str, Callable[[Conversation, Json], Awaitable[None]]] = {
        "session.update": _update,
        "input_audio_buffer.append": _append,
        "input_audio_buffer.clear": _clear,
        "input_audio_buffer.commit": _commit,
        "conversation.item.create": _create,
        "conversation.item.delete": _delete,
        "conversation.item.truncate": _truncate,
        "response.create": _respond,
        "response.cancel": _cancel,
    }


def _usage(making: Making) -> Json:
    """A token a word, and of sound one for each 50 ms that was made."""
    said = sum(len(held.text.split()) for held in making.output)
    heard = making.audio_ms // 50
    return {
        "total_tokens": making.words + said + heard,
        "input_tokens": making.words, "output_tokens": said + heard,
        "input_token_details": {
            "text_tokens": making.words, "audio_tokens": 0, "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0},
        },
        "output_token_details": {"text_tokens": said, "audio_tokens": heard},
    }  # fmt: skip


def _check_transcription(heard: Json | None) -> None:
    """Conversations are written down by models that hear what is committed."""
    model = (heard or {}).get("model", "gpt-transcribe")
    if model not in COMMITTED:
        raise Refused(f"{model} is for transcription sessions", "model_not_found")
    if {"keywords", "languages"} & (heard or {}).keys() and model not in KEYWORDED:
        raise Refused(f"{model} takes one language", "unknown_parameter")
    if {"language"} & (heard or {}).keys() and model in KEYWORDED:
        raise Refused(f"{model} takes languages", "unknown_parameter")


_PARTS = {"user": ("input_text", "input_audio"), "system": ("input_text",),
          "assistant": ("output_text",)}  # fmt: skip


def _held(item: Json) -> Held:
    """A client's item. Raises `Refused`."""
    match item["type"]:
        case "function_call":
            return Held(item, "call", item["arguments"])
        case "function_call_output":
            return Held(item, "result", item["output"])
    role, content = item["role"], item["content"]
    if not content or any(part.get("type") not in _PARTS[role] for part in content):
        raise Refused(f"a {role} says {_PARTS[role]}")
    item.setdefault("status", "completed")
    return Held(item, role, " ".join(part.get("text") or "" for part in content))
