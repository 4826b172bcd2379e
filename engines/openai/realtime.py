"""A call on OpenAI's Realtime API: speech in, speech out, and the vendor's own conversation.

    commands ──► RealtimeCall ──► links: sound and events over WebSockets
    events ◄──── (decides) ◄───── what they tell
                     │  ▲
                     ▼  │ the cascade: what is said on the server's behalf, what was recorded,
                   aside  and the whole call where the vendor cannot be had

Whose turn it is, is decided by the call: the vendor's turn detection is off. Everything that
decides is in `RealtimeCall`; here are the tasks: one for each link, one for each reply that is
being told, one for the cascade and one for the clock. Whatever happens is decided at once and in
order, for nothing waits between a decision and its actions.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ..audio import Resampler
from ..opus import OpusEncoder
from ..speech import (
    PCM_RATE_HZ,
    Command,
    Emit,
    EngineError,
    EngineSettings,
    EngineUse,
    Event,
    ReplyAudio,
    ReplyDone,
    SpeechToSpeech,
    Transcribed,
)
from ..vendors import OpenAIOptions
from .client import (
    client_of,
    is_here,
    refusal,
    retry_after_s,
    wire_log,
    without_keys,
)
from .realtime_answer import Sound, text_in
from .realtime_call import NEVER_MS, RealtimeCall
from .realtime_lines import Action, Append, Ask, Close, Hush, Open, Send, Tell, Used
from .realtime_reply import RATE_HZ
from .realtime_requests import Terms

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.resources.realtime.realtime import AsyncRealtimeConnection
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

logger = logging.getLogger(__name__)

# What a request of a turn was.
TurnReport = Callable[[int, EngineUse], None]
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
PING_S = 20.0


def _unreported(_: int, __: EngineUse) -> None:
    """Nobody keeps a record."""


class OpenAIRealtime:
    """Makes the speech-to-speech engines of calls, which share one client."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._client: AsyncOpenAI | None = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def speech(
        self, settings: EngineSettings, aside: SpeechToSpeech, report: TurnReport = _unreported
    ) -> RealtimeSpeech:
        """The engine of one call. Raises `EngineError` where something is not configured."""
        self._client = self._client or client_of(self._options)
        return RealtimeSpeech(self._options, settings, aside, report, client=self._client)


class RealtimeSpeech:
    """A `SpeechToSpeech`, for one call. `aside` speaks what is to be said word for word, hears
    what was recorded, and takes over where the vendor cannot be had."""

    def __init__(
        self, options: OpenAIOptions, settings: EngineSettings, aside: SpeechToSpeech,
        report: TurnReport = _unreported, *, client: AsyncOpenAI,
    ) -> None:  # fmt: skip
        self._options, self._settings, self._client = options, settings, client
        self._aside, self._report = aside, report

    async def converse(self, commands: AsyncIterator[Command], emit: Emit) -> None:
        """Raises nothing of the vendor's: a call that has lost it goes on without."""
        async with asyncio.TaskGroup() as group:
            talk = _Talk(self._options, self._settings, self._client, group, emit, self._report)
            tasks = [
                group.create_task(self._aside.converse(talk.asked(), talk.answered)),
                group.create_task(talk.keep_time()),
            ]
            talk.begin()
            async for command in commands:
                talk.obey(command)
            talk.end()
            for task in tasks:
                task.cancel()


class _Talk:
    """The tasks of one call."""

    def __init__(
        self, options: OpenAIOptions, settings: EngineSettings, client: AsyncOpenAI,
        group: asyncio.TaskGroup, emit: Emit, report: TurnReport,
    ) -> None:  # fmt: skip
        self._options, self._client, self._group = options, client, group
        self._emit, self._report = emit, report
        self._call = RealtimeCall(_terms(options), settings)
        self._links: dict[int, _Link] = {}
        self._mouths: dict[int, _Mouth] = {}
        self._words = _Mouth(group, emit)
        self._asked: asyncio.Queue[Command] = asyncio.Queue()
        self._earlier = asyncio.Event()
        self._wakes_ms = NEVER_MS

    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1_000)

    # What happens.

    def begin(self) -> None:
        self._do(self._call.begin(self._now_ms()))

    def obey(self, command: Command) -> None:
        self._do(self._call.command(command, self._now_ms()))

    def end(self) -> None:
        for link in self._links.values():
            link.close()
        for mouth in (*self._mouths.values(), self._words):
            mouth.close()

    async def asked(self) -> AsyncIterator[Command]:
        """What the cascade is to do."""
        while True:
            yield await self._asked.get()

    async def answered(self, event: Event) -> None:
        """The cascade answers; who listens to it decides how fast it may speak."""
        actions = self._call.aside(event, self._now_ms())
        passed = Tell(event) in actions
        self._do([each for each in actions if each != Tell(event)])
        if passed:
            await self._emit(event)

    def opened(self, link: int) -> None:
        self._do(self._call.opened(link, self._now_ms()))

    def received(self, link: int, event: dict[str, Any]) -> None:
        self._do(self._call.received(link, event, self._now_ms()))

    def lost(self, link: int, error: EngineError) -> None:
        if self._links.pop(link, None) is None:
            return  # It was closed.
        logger.info("link %d: %s", link, error)
        after_ms = int((error.retry_after_s or 0) * 1_000)
        self._do(self._call.lost(link, str(error), self._now_ms(), after_ms))

    async def keep_time(self) -> None:
        while True:
            self._wakes_ms = self._call.deadline_ms()
            self._earlier.clear()
            wait_s = max(0, self._wakes_ms - self._now_ms()) / 1_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s if self._wakes_ms < NEVER_MS else None):
                    await self._earlier.wait()
            if self._now_ms() >= self._call.deadline_ms():
                self._do(self._call.tick(self._now_ms()))

    # What is to be done.

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._perform(action)
        if self._call.deadline_ms() < self._wakes_ms:
            self._earlier.set()

    def _perform(self, action: Action) -> None:
        match action:
            case Send(link, event):
                self._to(link, event)
            case Append(link, frame):
                self._to(link, frame.samples)
            case Open(link):
                self._links[link] = _Link(link, self, self._client, self._options)
                self._links[link].task = self._group.create_task(self._links[link].run())
            case Close(link):
                if gone := self._links.pop(link, None):
                    gone.close()
            case Tell(Transcribed() as event):
                self._words.tell(event)
            case Tell(event):
                self._mouth(event.turn).tell(event)
                if isinstance(event, ReplyDone):
                    self._forget_mouths()
            case Sound(turn):
                self._mouth(turn).tell(action)
            case Hush(turn):
                if mouth := self._mouths.pop(turn, None):
                    mouth.close()
            case Ask(command):
                self._asked.put_nowait(command)
            case Used(turn, use):
                self._report(turn, use)

    def _to(self, link: int, message: dict[str, object] | bytes) -> None:
        if found := self._links.get(link):
            found.send(message)

    def _mouth(self, turn: int) -> _Mouth:
        if turn not in self._mouths:
            self._mouths[turn] = _Mouth(self._group, self._emit)
        return self._mouths[turn]

    def _forget_mouths(self) -> None:
        for turn in [turn for turn, mouth in self._mouths.items() if mouth.silent]:
            self._mouths.pop(turn).close()


class _Mouth:
    """Tells events in order, as fast as they are taken; makes packets of sound."""

    def __init__(self, group: asyncio.TaskGroup, emit: Emit) -> None:
        self._emit, self._queue = emit, asyncio.Queue[Event | Sound]()
        self._encoder: OpusEncoder | None = None
        self._telling = False
        self._task = group.create_task(self._run())

    @property
    def silent(self) -> bool:
        """It has told all that it was given."""
        return self._queue.empty() and not self._telling

    def tell(self, event: Event | Sound) -> None:
        self._queue.put_nowait(event)

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            event = await self._queue.get()
            self._telling = True
            if not isinstance(event, Sound):
                await self._emit(event)
            else:
                self._encoder = self._encoder or OpusEncoder(RATE_HZ)
                for frame in self._encoder.encode(event.pcm):
                    await self._emit(ReplyAudio(event.turn, frame))
            self._telling = False


class _Link:
    """One connection: what is sent goes out in order, what comes is told."""

    def __init__(
        self, number: int, talk: _Talk, client: AsyncOpenAI, options: OpenAIOptions
    ) -> None:
        self.number, self._talk = number, talk
        self._client, self._options = client, options
        self._outgoing: asyncio.Queue[dict[str, object] | bytes] = asyncio.Queue()
        self._resampler = Resampler(PCM_RATE_HZ, RATE_HZ)
        self.task: asyncio.Task[None] | None = None

    def send(self, message: dict[str, object] | bytes) -> None:
        """An event, or sound of the microphone."""
        self._outgoing.put_nowait(message)

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()

    async def run(self) -> None:
        try:
            connection = await self._connected()
        except EngineError as error:
            self._talk.lost(self.number, error)
            return
        try:
            sending = asyncio.create_task(self._send(connection))
            try:
                self._talk.opened(self.number)
                ended = await self._read(connection)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                with contextlib.suppress(ConnectionClosed, OSError):
                    await connection.close()
        finally:
            # However often we are cancelled. The SDK does not give it away.
            connection._connection.transport.abort()
        self._talk.lost(self.number, ended)

    async def _connected(self) -> AsyncRealtimeConnection:
        """Raises `EngineError`."""
        manager = self._client.realtime.connect(
            model=self._options.realtime_model,
            websocket_connection_options=_connection_options(self._options),
        )
        try:
            async with asyncio.timeout(self._options.connect_s):
                return await manager.enter()
        except InvalidStatus as error:
            headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
            status = error.response.status_code
            raise refusal(status, "", retry_after_s=retry_after_s(headers)) from None
        except TimeoutError:
            raise EngineError("OpenAI took too long") from None
        except (InvalidHandshake, ConnectionClosed, OSError):
            raise EngineError("OpenAI cannot be reached, or broke off") from None

    async def _read(self, connection: AsyncRealtimeConnection) -> EngineError:
        """Until there is no more to read; says why."""
        while True:
            try:
                event = orjson.loads(await connection.recv_bytes())
            except (ConnectionClosed, OSError):
                return EngineError("OpenAI broke off")
            except orjson.JSONDecodeError:
                return EngineError("OpenAI answered with something else than an event")
            if not isinstance(event, dict):
                return EngineError("OpenAI answered with something else than an event")
            if event.get("type") == "error":
                self._log(event.get("error"))
            self._talk.received(self.number, event)

    def _log(self, error: object) -> None:
        words = f"{text_in(error, 'code')} {text_in(error, 'message')}"
        logger.warning("link %d: %s", self.number, without_keys(words, self._options))

    async def _send(self, connection: AsyncRealtimeConnection) -> None:
        """Whoever reads learns that the connection is gone."""
        with contextlib.suppress(ConnectionClosed, OSError):
            while True:
                message = await self._outgoing.get()
                for event in self._events(message):
                    await connection.send_raw(orjson.dumps(event).decode())

    def _events(self, message: dict[str, object] | bytes) -> list[dict[str, object]]:
        if isinstance(message, bytes):
            return _append(self._resampler.feed(message))
        match message["type"]:
            case "input_audio_buffer.commit":
                return [*_append(self._resampler.flush()), message]
            case "input_audio_buffer.clear":
                self._resampler.flush()
        return [message]


def _terms(options: OpenAIOptions) -> Terms:
    return Terms(
        options.realtime_model, options.file_model, options.realtime_voice,
        session_ms_max=int(options.realtime_minutes_max * 60_000),
        connect_ms=int(options.connect_s * 1_000), patience_ms=int(options.patience_s * 1_000),
        effort=options.realtime_effort,
    )  # fmt: skip


def _append(sound: bytes) -> list[dict[str, object]]:
    audio = base64.b64encode(sound).decode()
    return [{"type": "input_audio_buffer.append", "audio": audio}] if sound else []


def _connection_options(options: OpenAIOptions) -> WebSocketConnectionOptions:
    told: dict[str, Any] = {
        "max_size": MESSAGE_BYTES_MAX, "compression": None, "open_timeout": options.connect_s,
        # A connection that died while nobody spoke is replaced before somebody does.
        "ping_interval": PING_S, "ping_timeout": PING_S,
        # A farewell is said and not waited for.
        "close_timeout": 0.0,
        "logger": wire_log,
        "proxy": None if is_here(options) else True,
    }  # fmt: skip
    return cast("WebSocketConnectionOptions", told)
