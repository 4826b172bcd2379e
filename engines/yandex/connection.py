"""What both of Yandex SpeechKit's engines have in common: the connection, the key, the errors.

The vendor's package is used for its gRPC stubs only: its own classes take whole files, block,
and need a module that Python no longer has. All calls share one connection to each of the
vendor's services, which is opened before it is needed and kept open, so that a turn never waits
for a handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ..speech import EngineError, EngineRefused
from ..vendors import YandexOptions

logger = logging.getLogger(__name__)

NOT_CONFIGURED = (
    "Yandex SpeechKit needs a key: set VOICE_SERVER_YANDEX_API_KEY, or "
    "VOICE_SERVER_YANDEX_IAM_TOKEN and VOICE_SERVER_YANDEX_FOLDER_ID"
)
_LOGGED_CHARS_MAX = 300
_RETRY_S_MAX = 3_600.0
_LEAVING_S_MAX, _ENDING_S_MAX = 0.5, 0.5
_STATUS_TASK = "_AioCall."
_NEVER = 2**31 - 1

_Code = grpc.StatusCode
_PLAIN = {
    _Code.UNAUTHENTICATED: "Yandex SpeechKit does not accept our key",
    _Code.PERMISSION_DENIED: "our key may not use Yandex SpeechKit: its account lacks the role",
    _Code.RESOURCE_EXHAUSTED: "Yandex SpeechKit is too busy, or our quota is used up",
    _Code.UNAVAILABLE: "Yandex SpeechKit cannot be reached, or broke off",
    _Code.DEADLINE_EXCEEDED: "Yandex SpeechKit took too long",
    _Code.CANCELLED: "Yandex SpeechKit broke off",
    _Code.INVALID_ARGUMENT: "Yandex SpeechKit refused the request",
    _Code.OUT_OF_RANGE: "Yandex SpeechKit refused the request",
    _Code.NOT_FOUND: "Yandex SpeechKit does not have what was asked for",
}
_AT_FAULT = {_Code.INVALID_ARGUMENT, _Code.OUT_OF_RANGE, _Code.NOT_FOUND}


class Connection:
    """One warm channel to one of the vendor's services. Belongs to the loop that made it."""

    def __init__(self, options: YandexOptions, endpoint: str) -> None:
        self._options, self._endpoint = options, endpoint
        self._channel: Any = None

    @property
    def channel(self) -> Any:
        """Raises `EngineError` where no key is configured."""
        if not (self._options.api_key or self._options.iam_token):
            raise EngineError(NOT_CONFIGURED)
        if self._channel is None:
            settings = _settings(self._options)
            if self._options.tls:
                self._channel = grpc.aio.secure_channel(
                    self._endpoint, grpc.ssl_channel_credentials(), options=settings
                )
            else:
                self._channel = grpc.aio.insecure_channel(self._endpoint, options=settings)
        return self._channel

    def warm(self) -> None:
        """Begin to connect; nobody waits for it. Raises `EngineError` as `channel` does."""
        self.channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def begin(self, method: Any, *request: Any) -> Any:
        """Begin a call of one of the service's methods. `leave` it in any case."""
        call = method(*request, metadata=self._metadata())
        alive = _alive.setdefault(asyncio.get_running_loop(), set())
        alive.add(call)
        call.add_done_callback(alive.discard)
        return call

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Who asks, and a name for the request by which the vendor can find it."""
        request = ("x-client-request-id", str(uuid.uuid4()))
        if self._options.api_key:
            # The key's account has its folder; naming another is an error.
            return (("authorization", f"Api-Key {self._options.api_key}"), request)
        given = (("authorization", f"Bearer {self._options.iam_token}"), request)
        if self._options.folder_id:
            return (*given, ("x-folder-id", self._options.folder_id))
        return given


# The calls that have not ended, by the loop they run in.
_alive: WeakKeyDictionary[asyncio.AbstractEventLoop, set[Any]] = WeakKeyDictionary()


async def leave(*calls: Any) -> None:
    """Have nothing left of these calls: the vendor is told at once to stop, and the tasks in
    which gRPC waits for the end of them have ended."""
    left = [call for call in calls if call.cancel()]
    if not left:
        return
    # gRPC has no word for waiting for those tasks, and one looks like the other; but there is
    # one for each call, so those too many are of calls that were left.
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _LEAVING_S_MAX
    waiting = {task for task in asyncio.all_tasks() if _waits_for_a_status(task)}
    while len(waiting) > len(_alive.get(loop, ())) and loop.time() < until_s:
        _, waiting = await asyncio.wait(
            waiting, timeout=until_s - loop.time(), return_when=asyncio.FIRST_COMPLETED
        )


def _waits_for_a_status(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "").startswith(_STATUS_TASK)


class Ending:
    """What the vendor ended a call with. Where it does so while we are writing, gRPC's own error
    may say no more than that the writing failed (grpc/grpc#36066): a limit would look like a
    fault, and when to ask again would be lost. So the status is noted when it comes."""

    def __init__(self, call: Any) -> None:
        self._status: Any = None
        self._known = asyncio.Event()
        call.add_done_callback(self._note)

    async def error(self, told: Any) -> Any:
        """The error that a call really ended with, given the one that gRPC tells; None where
        nothing was wrong, and the vendor just did not want to hear more."""
        if _says_nothing(told.code(), told.details()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ENDING_S_MAX):
                    await self._known.wait()
            told = self._status or told
        return None if told.code() is _Code.OK else told

    def _note(self, call: Any) -> None:
        code, details, metadata = (
            _known_now(each) for each in (call.code(), call.details(), call.trailing_metadata())
        )
        if not _says_nothing(code, details):
            self._status = grpc.aio.AioRpcError(
                code, grpc.aio.Metadata(), metadata or grpc.aio.Metadata(), details
            )
            self._known.set()


def _says_nothing(code: Any, details: str | None) -> bool:
    return code is _Code.INTERNAL and details == "Internal error from Core"


def _known_now(coroutine: Any) -> Any:
    """What a coroutine returns that does not have to wait."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        return returned.value
    raise AssertionError("a call that is done knows its status")


@contextlib.contextmanager
def said_plainly(options: YandexOptions, doing: str) -> Iterator[None]:
    """Errors of gRPC and of waiting become what a caller may be told."""
    try:
        yield
    except EngineError as error:
        logger.warning("Yandex %s: %s", doing, error)
        raise
    except grpc.RpcError as error:
        detail = hidden(error.details() or "", options)
        logger.warning("Yandex %s: %s: %s", doing, error.code().name, detail)
        raise plain_error(error) from None
    except TimeoutError:
        logger.warning("Yandex %s: silent for %g s", doing, options.patience_s)
        raise EngineError(_PLAIN[_Code.DEADLINE_EXCEEDED]) from None


def plain_error(error: Any) -> EngineError:
    """What may be told of a call's failure, and whose fault it was."""
    code = error.code()
    kind = EngineRefused if code in _AT_FAULT else EngineError
    plain = kind(_PLAIN.get(code, "Yandex SpeechKit has a fault"))
    plain.retry_after_s = _retry_after_s(error.trailing_metadata() or ())
    return plain


def hidden(detail: str, options: YandexOptions) -> str:
    """A vendor's words as they may be logged: without our keys, and not too many."""
    for secret in (options.api_key, options.iam_token):
        if secret:
            detail = detail.replace(secret, "…")
    return detail[:_LOGGED_CHARS_MAX]


def _retry_after_s(metadata: Any) -> float | None:
    """When the vendor wants to be asked again, where it says so."""
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            with contextlib.suppress(DecodeError):
                for detail in status_pb2.Status.FromString(value).details:
                    retry = error_details_pb2.RetryInfo()
                    if detail.Unpack(retry):
                        seconds: float = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
                        return min(max(seconds, 0.0), _RETRY_S_MAX)
    return None


def _settings(options: YandexOptions) -> tuple[tuple[str, int], ...]:
    return (
        # Asked while nobody speaks too: a connection that was lost unnoticed would cost the next
        # turn its patience.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.client_idle_timeout_ms", _NEVER),
        # How long connecting may take, in spite of the name.
        ("grpc.min_reconnect_backoff_ms", round(options.connect_s * 1_000)),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A server of one's own on this machine is never reached through a proxy.
        ("grpc.enable_http_proxy", int(options.tls)),
    )
