"""Yandex SpeechKit v3 on this machine: recognition and synthesis on the vendor's own stubs.

It speaks the vendor's protocol and is as strict as the vendor: the first message, the kinds of
sound, keys and folders, 250 characters, five minutes, ten megabytes, five seconds of nothing.
What it "hears" is a text that it was given, whenever somebody speaks, laid over the sound in
which they spoke; what it says is a tone for each word. It runs in threads, so that nothing of
it is seen among the tasks of the test's own loop, and everything it was asked is kept.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from yandex.cloud.ai.stt.v3 import stt_pb2, stt_service_pb2_grpc
from yandex.cloud.ai.tts.v3 import tts_service_pb2_grpc

from engines.vendors import YandexOptions

from .relay import Relay
from .trouble import Mood, Trouble
from .yandex_ear import HEARD, Ear, Refusal, checked_options
from .yandex_mouth import asked_for, spoken

RETRY_S = 2.0
AUDIO_MS_MAX, AUDIO_BYTES_MAX = 300_000, 10_000_000
_PLACES = 64
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_REFUSALS = {
    Trouble.LIMITED: (grpc.StatusCode.RESOURCE_EXHAUSTED, "Requests per second quota exceeded"),
    Trouble.BROKEN: (grpc.StatusCode.UNAVAILABLE, "upstream connect error"),
    Trouble.LOCKED: (grpc.StatusCode.UNAUTHENTICATED, "Unknown api key '{key}'"),
}


@dataclass(slots=True)
class Session:
    """One stream of recognition. `eous`: how much sound had come at each `Eou`, in bytes.
    `outcome`: done, once all sound has been answered; left, where the client went away before;
    or the name of the status it ended with. `over` is set with it. `over_s`: when, on the
    monotonic clock."""

    metadata: dict[str, str]
    options: Any = None
    answered: bool = False
    sound: bytearray = field(default_factory=bytearray)
    messages: int = 0
    eous: list[int] = field(default_factory=list)
    outcome: str = ""
    over_s: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Spoken:
    """One request for speech, and how many chunks of sound it has been sent."""

    metadata: dict[str, str]
    text: str = ""
    voice: str = ""
    role: str = ""
    speed: float = 1.0
    rate_hz: int = 0
    chunks: int = 0
    answered: bool = False
    begun_s: float = 0.0
    outcome: str = ""
    over_s: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)


class YandexServer:
    """Give `options` to the engines. `hears`: what is heard, by language: the words as they are
    first recognised and as they are normalised. `refinement_s`: how long after a final its
    normalised text comes; None: never. `messages_max`: a session is closed after so many, with
    nothing wrong; None: it is not. `sessions` and `spoken`: everything asked, in order."""

    def __init__(self, *, api_key: str, iam_token: str, folder_id: str) -> None:
        self.api_key, self.iam_token, self.folder_id = api_key, iam_token, folder_id
        self.hears: Mapping[str, tuple[str, str]] = HEARD
        self.refinement_s: float | None = 0.0
        self.hearing, self.speaking = Mood(), Mood()
        self.idle_s = 5.0
        self.messages_max: int | None = None
        self.sessions: list[Session] = []
        self.spoken: list[Spoken] = []
        self._workers = futures.ThreadPoolExecutor(_PLACES)
        self._server = grpc.server(self._workers, options=_OPTIONS)
        stt_service_pb2_grpc.add_RecognizerServicer_to_server(self, self._server)
        tts_service_pb2_grpc.add_SynthesizerServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.ears, self.mouth = Relay(port), Relay(port)

    @property
    def options(self) -> YandexOptions:
        return YandexOptions(
            api_key=self.api_key, stt_endpoint=f"127.0.0.1:{self.ears.port}",
            tts_endpoint=f"127.0.0.1:{self.mouth.port}", tls=False,
        )  # fmt: skip

    def close(self) -> None:
        self.ears.close()
        self.mouth.close()
        self._server.stop(0).wait(10)
        self._workers.shutdown(wait=False)

    # Recognition.

    def RecognizeStreaming(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802
        session = Session(dict(context.invocation_metadata()))
        self.sessions.append(session)
        with self._served(session, context):
            self._admit(session.metadata)
            trouble = _Troubled(self.hearing, session, context, self.ears)
            trouble.begin()
            for answer, asked_s in self._heard(_Inbox(requests, context), session):
                if trouble.allows(answer.WhichOneof("Event") in ("partial", "final"), asked_s):
                    yield answer

    def _heard(self, inbox: _Inbox, session: Session) -> Iterator[tuple[Any, float]]:
        """The answers to one stream, and when the request that they answer came."""
        first, _ = inbox.next(self.idle_s)
        if first is None or first.WhichOneof("Event") != "session_options":
            raise Refusal(_INVALID, "the first message must be session_options")
        session.options = first.session_options
        language, rate_hz = checked_options(first.session_options)
        ear = Ear(self.hears.get(language, HEARD["en-US"]), rate_hz, self.refinement_s)
        yield ear.status(stt_pb2.WORKING), time.monotonic()
        while True:
            request, asked_s = inbox.next(self.idle_s)
            if request is None or session.messages == self.messages_max:
                break
            session.messages += 1
            match request.WhichOneof("Event"):
                case "chunk":
                    self._take(request.chunk.data, session, rate_hz)
                    answers: Iterable[Any] = ear.feed(request.chunk.data)
                case "silence_chunk":
                    answers = ear.feed(bytes(request.silence_chunk.duration_ms * rate_hz // 500))
                case "eou":
                    session.eous.append(len(session.sound))
                    answers = ear.end(session.over.wait)
                case other:
                    raise Refusal(_INVALID, f"unexpected message: {other}")
            session.answered = False
            for answer in answers:
                session.answered = answer.WhichOneof("Event") == "eou_update"
                yield answer, asked_s
        for answer in ear.end(session.over.wait, asked=False):
            yield answer, asked_s
        session.answered = True
        yield ear.status(stt_pb2.CLOSED), asked_s

    def _take(self, data: bytes, session: Session, rate_hz: int) -> None:
        if not data or len(data) % 2:
            raise Refusal(_INVALID, "a chunk holds whole 16-bit samples")
        session.sound += data
        if len(session.sound) > AUDIO_BYTES_MAX:
            raise Refusal(_INVALID, "audio should be less than 10MB")
        if len(session.sound) // 2 * 1_000 > AUDIO_MS_MAX * rate_hz:
            raise Refusal(_INVALID, "audio should be less than 5min")

    # Synthesis.

    def UtteranceSynthesis(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        said = Spoken(dict(context.invocation_metadata()), begun_s=time.monotonic())
        self.spoken.append(said)
        with self._served(said, context):
            self._admit(said.metadata)
            trouble = _Troubled(self.speaking, said, context, self.mouth)
            wanted = asked_for(request)
            said.text, said.voice, said.role = wanted.text, wanted.voice, wanted.role
            said.speed, said.rate_hz = wanted.speed, wanted.rate_hz
            trouble.begin()
            for answer in spoken(wanted):
                if not trouble.allows(True, said.begun_s):
                    continue
                said.chunks += 1
                yield answer
            said.answered = True

    # What both have in common.

    def _admit(self, metadata: Mapping[str, str]) -> None:
        given, folder = metadata.get("authorization", ""), metadata.get("x-folder-id", "")
        locked = grpc.StatusCode.UNAUTHENTICATED
        if given == f"Api-Key {self.api_key}":
            # The folder is the service account's own, and another must not be named.
            if folder not in ("", self.folder_id):
                raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "Permission denied")
        elif given == f"Bearer {self.iam_token}" and self.iam_token:
            if folder != self.folder_id:
                raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "Permission denied")
        elif not given:
            raise Refusal(locked, "The token is missing")
        else:
            raise Refusal(locked, f"Unknown api key '{given.partition(' ')[2]}'")

    @contextlib.contextmanager
    def _served(self, record: Session | Spoken, context: Any) -> Iterator[None]:
        """Keeps in the record how the call ends, however it ends."""

        def over() -> None:
            record.outcome = record.outcome or ("done" if record.answered else "left")
            record.over_s = time.monotonic()
            record.over.set()

        if not context.add_callback(over):
            over()
        try:
            yield
        except Refusal as refusal:
            if record.over.is_set():
                return
            record.outcome = refusal.code.name
            detail = refusal.detail.format(key=self.api_key)
            if refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                context.set_trailing_metadata(_retry_info(refusal.code, detail))
            context.abort(refusal.code, detail)
        except Gone:
            return
        else:
            if not record.over.is_set():
                record.outcome = "done"


class Gone(Exception):
    """The client is not there any more."""


class _Inbox:
    """The requests of a stream as they come; a thread reads them, so that waiting can end."""

    def __init__(self, requests: Iterator[Any], context: Any) -> None:
        self._arrived = threading.Condition()
        self._held: list[tuple[Any, float]] = []
        self._gone = False
        context.add_callback(self._leave)
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()

    def next(self, wait_s: float) -> tuple[Any, float]:
        """The next request and when it came; None once the client has half-closed. Raises
        `Refusal` after too long without any, and `Gone`."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._held or self._gone, wait_s):
                raise Refusal(
                    grpc.StatusCode.DEADLINE_EXCEEDED, "no messages were received in time"
                )
            if not self._held:
                raise Gone
            return self._held.pop(0)

    def _leave(self) -> None:
        with self._arrived:
            self._gone = True
            self._arrived.notify()

    def _read(self, requests: Iterator[Any]) -> None:
        with contextlib.suppress(Exception):  # What the library raises for a cancelled call.
            for request in requests:
                self._put(request)
            self._put(None)

    def _put(self, request: Any) -> None:
        with self._arrived:
            self._held.append((request, time.monotonic()))
            self._arrived.notify()


class _Troubled:
    """One call's share of the server's mood."""

    def __init__(self, mood: Mood, record: Session | Spoken, context: Any, relay: Relay) -> None:
        self._trouble, self._mood = mood.next(), mood
        self._record, self._context, self._relay = record, context, relay
        self._pieces = 0
        self._waited = False

    def begin(self) -> None:
        if self._trouble in _REFUSALS and not self._mood.after:
            raise Refusal(*_REFUSALS[self._trouble])

    def allows(self, piece: bool, asked_s: float) -> bool:
        """Whether the next answer may go out; waits, refuses or cuts as the mood has it."""
        begun = self._pieces >= self._mood.after
        self._pieces += piece
        match self._trouble:
            case Trouble.SLOW if piece and not self._waited:
                self._waited = True
                self._wait(self._mood.slow_s)
            case Trouble.LATE if piece and begun:
                self._wait(asked_s + self._mood.slow_s - time.monotonic())
            case Trouble.STALLED if begun:
                self._wait(None)
            case Trouble.DROPPED if piece and begun:
                self._record.outcome = "dropped"
                self._relay.cut()
                self._wait(None)
            case refused if refused in _REFUSALS and piece and begun:
                raise Refusal(*_REFUSALS[refused])
        return not self._record.over.is_set()

    def _wait(self, seconds: float | None) -> None:
        if self._record.over.wait(seconds if seconds is None else max(0.0, seconds)):
            raise Gone


def _retry_info(code: grpc.StatusCode, detail: str) -> tuple[tuple[str, bytes]]:
    """The status in full, as the vendor's gateway sends it beside the short one."""
    retry = any_pb2.Any()
    seconds, nanos = divmod(round(RETRY_S * 1e9), 10**9)
    delay = duration_pb2.Duration(seconds=seconds, nanos=nanos)
    retry.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=detail, details=[retry])
    return (("grpc-status-details-bin", status.SerializeToString()),)


_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # The vendor's gateway lets clients ask whether it is still there.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@contextlib.contextmanager
def serving_yandex(
    *, api_key: str = "AQVN-of-the-tests", iam_token: str = "", folder_id: str = "b1g-of-the-tests"
) -> Iterator[YandexServer]:
    """A server that runs until the block ends."""
    server = YandexServer(api_key=api_key, iam_token=iam_token, folder_id=folder_id)
    try:
        yield server
    finally:
        server.close()
