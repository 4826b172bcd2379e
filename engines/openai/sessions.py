"""Realtime sessions over WebSockets, to write down or to read: one at work, and some kept warm.

The SDK opens the connection and knows where; what goes over it is ours, for after a reconnect
of its own the SDK would go on with a session that is not configured and has not heard what was
said. Warm sessions are open and configured before anybody speaks; one task opens, renews and
drops them, and none is opened before somebody spoke or the engine was started.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson
from openai import OpenAIError
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    WebSocketException,
)
from websockets.protocol import State

from ..audio import Resampler
from ..speech import PCM_RATE_HZ, EngineError
from ..vendors import OpenAIOptions
from .client import is_here, refusal, retry_after_s, wire_log
from .hearing import Append, Event, Request

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.resources.realtime.realtime import AsyncRealtimeConnection
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

logger = logging.getLogger(__name__)

RATE_HZ = 24_000
MESSAGE_BYTES_MAX = 1024 * 1024
# The vendor takes 15 MiB in one piece; a minute is less than three.
APPEND_BYTES_MAX = 60 * PCM_RATE_HZ * 2
# The vendor ends a session after an hour; balancers end a silent one much sooner.
AGE_S_MAX = 600.0
WARM, WARM_MAX = 1, 4
RETRY_S_FIRST, RETRY_S_MAX = 2.0, 60.0
# What comes is taken from the wire at once, for sound is made much faster than it is heard, and
# a vendor hangs up on those who let it wait.
MESSAGES_MAX = 4_096
# What a server says that has no such sessions.
_ABSENT = {400, 404, 405, 426, 501}
_sleep = asyncio.sleep


class Dropped(Exception):
    """The connection is gone."""


class NoSession(EngineError):
    """There are no realtime sessions here, or none for this model. `lasting`: nor will there
    be soon."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class Session:
    """One connection. `used`: it has heard somebody, or spoken. `items`: what it has written
    down. `voice`: in which it speaks; one that has spoken keeps it."""

    def __init__(self, connection: AsyncRealtimeConnection, opened_s: float) -> None:
        self._connection, self.opened_s = connection, opened_s
        self._resampler = Resampler(PCM_RATE_HZ, RATE_HZ)
        self._session: Mapping[str, object] = {}
        self.used = False
        self.items: set[str] = set()
        self.voice: object = ""

    @property
    def is_open(self) -> bool:
        # The SDK does not tell; its connection does.
        return bool(self._connection._connection.state is State.OPEN)

    async def configure(self, session: Mapping[str, object]) -> bool:
        """Whether anything had to be changed. Raises `Dropped`."""
        if session == self._session:
            return False
        self._session = session
        await self.send({"type": "session.update", "session": session})
        return True

    async def do(self, request: Request) -> None:
        """Raises `Dropped`."""
        self.used = True
        if isinstance(request, Append):
            for start in range(0, len(request.sound), APPEND_BYTES_MAX):
                part = request.sound[start : start + APPEND_BYTES_MAX]
                await self._append(self._resampler.feed(part))
        else:
            await self._append(self._resampler.flush())
            await self.send({"type": "input_audio_buffer.commit"})

    async def receive(self) -> Event:
        """The next event. Raises `Dropped`."""
        try:
            event = orjson.loads(await self._connection.recv_bytes())
        except (ConnectionClosed, orjson.JSONDecodeError) as error:
            raise Dropped(str(error)) from None
        if not isinstance(event, dict):
            raise Dropped("an event is an object")
        return event

    async def close(self) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            await self._connection.close()

    async def _append(self, sound: bytes) -> None:
        if sound:
            audio = base64.b64encode(sound).decode()
            await self.send({"type": "input_audio_buffer.append", "audio": audio})

    async def send(self, event: Mapping[str, object]) -> None:
        """Raises `Dropped`."""
        try:
            await self._connection.send_raw(orjson.dumps(event).decode())
        except (ConnectionClosed, OSError) as error:
            raise Dropped(str(error)) from None


async def open_session(
    client: AsyncOpenAI, options: OpenAIOptions, session: Mapping[str, object], model: str = ""
) -> Session:
    """A session that is configured: to write down, or with a `model` that speaks. Raises
    `NoSession` and other `EngineError`."""
    asked: dict[str, Any] = {"model": model} if model else {}
    if not model:
        asked["extra_query"] = {"intent": "transcription"}
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(options.connect_s):
            manager = client.realtime.connect(
                **asked, websocket_connection_options=_connection_options(options)
            )
            opened = Session(await manager.enter(), loop.time())
            try:
                await opened.configure(session)
                await _configured(opened)
            except BaseException:
                await opened.close()
                raise
            return opened
    except InvalidStatus as error:
        raise _no_session(error) from None
    except (WebSocketException, OpenAIError, Dropped) as error:
        logger.info("a realtime session ended at once: %s", type(error).__name__)
        raise EngineError("OpenAI cannot be reached, or broke off") from None
    except TimeoutError:
        raise EngineError("OpenAI took too long") from None
    except OSError as error:
        raise NoSession(
            f"OpenAI cannot be reached ({type(error).__name__})", lasting=False
        ) from None


def _connection_options(options: OpenAIOptions) -> WebSocketConnectionOptions:
    told: dict[str, Any] = {
        "max_size": MESSAGE_BYTES_MAX, "max_queue": MESSAGES_MAX, "compression": None,
        "open_timeout": options.connect_s,
        # Whoever waits for words notices a dead connection by its silence.
        "ping_interval": None,
        "logger": wire_log,
        # A farewell is said and not waited for.
        "close_timeout": 0.0,
        "proxy": None if is_here(options) else True,
    }  # fmt: skip
    return cast("WebSocketConnectionOptions", told)


async def _configured(session: Session) -> None:
    while True:
        event = await session.receive()
        if event.get("type") == "session.updated":
            return
        if event.get("type") == "error":
            told = event.get("error")
            error = told if isinstance(told, dict) else {}
            code, kind = str(error.get("code") or ""), str(error.get("type") or "")
            if kind == "invalid_request_error" and code != "invalid_api_key":
                logger.info("no realtime session: %s", code)
                raise NoSession("OpenAI has no such session", lasting=True)
            raise refusal(0, code or kind)


def _no_session(error: InvalidStatus) -> EngineError:
    status = error.response.status_code
    logger.info("no realtime session: the vendor says %d", status)
    if status in _ABSENT:
        return NoSession("OpenAI has no realtime sessions here", lasting=True)
    headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
    return refusal(status, "", retry_after_s=retry_after_s(headers))


# Waits for what must be waited for before a session may be used again; whether it came.
Rest = Callable[[Session], Awaitable[bool]]


class WarmSessions:
    """Sessions that are open before they are needed: `WARM` of them, and up to `warm_max` once
    sessions came back. `connect` opens a new one."""

    def __init__(
        self, connect: Callable[[], Awaitable[Session]], *, warm_max: int = WARM_MAX
    ) -> None:
        self._connect, self._warm_max = connect, warm_max
        self._idle: list[Session] = []
        self._resting: list[tuple[Session, Rest]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def warm(self) -> int:
        return len(self._idle)

    def keep(self) -> None:
        """From now on have some open."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    def take(self, fits: Callable[[Session], bool] = lambda _: True) -> Session | None:
        """A session that is open and `fits`, the youngest; None where there is none."""
        self.keep()
        self._changed.set()
        for session in reversed(self._idle):
            if self._is_fit(session) and fits(session):
                self._idle.remove(session)
                return session
        return None

    def give(self, session: Session, rest: Rest | None = None) -> bool:
        """Take back a session in which nothing of anybody is left, or will be after a `rest`;
        False: it is not wanted."""
        if self.warm + len(self._resting) >= self._warm_max or not self._is_fit(session):
            return False
        if rest is None:
            self._idle.append(session)
        else:
            self._resting.append((session, rest))
            self._changed.set()
        return True

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        left = [*self._idle, *(session for session, _ in self._resting)]
        self._idle, self._resting = [], []
        for session in left:
            await session.close()

    @staticmethod
    def _is_fit(session: Session) -> bool:
        age_s = asyncio.get_running_loop().time() - session.opened_s
        return session.is_open and age_s <= AGE_S_MAX

    async def _keep(self) -> None:
        retry_s = RETRY_S_FIRST
        while True:
            self._changed.clear()
            await self._let_rest()
            await self._drop_unfit()
            wait_s = AGE_S_MAX / 10
            if len(self._idle) < WARM:
                try:
                    self._idle.append(await self._connect())
                    retry_s = RETRY_S_FIRST
                except EngineError as error:
                    logger.debug("no warm session: %s", error)
                    wait_s, retry_s = retry_s, min(retry_s * 2, RETRY_S_MAX)
                    # Others ask as well; but not each of them makes us ask again.
                    await _sleep(wait_s)
                    continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _let_rest(self) -> None:
        while self._resting:
            session, rest = self._resting[0]
            quiet = await rest(session)
            del self._resting[0]
            if quiet:
                self._idle.append(session)
            else:
                await session.close()

    async def _drop_unfit(self) -> None:
        for session in list(self._idle):
            if not self._is_fit(session):
                self._idle.remove(session)
                await session.close()
