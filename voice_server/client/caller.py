"""One call, seen from the caller's side, whatever road it takes.

    async with WebSocketCaller(server, wishes) as caller:       # or WebRtcCaller
        caller.microphone.say(clip)
        async for happening in caller.happenings():             # ends when the call is over
            match happening:
                case Told(event, at_us): ...                    # what the server says
                case Sound(audio, at_us): ...                   # what the agent's voice is

Hanging up is a request: the server settles the bill, tells it, and closes the line, so read
on until the happenings end. `caller.bill` is then what the server charged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from .microphone import Microphone

ServerEvent = dict[str, object]
BILL = "voice_server.bill"


class CallFailed(Exception):
    """The call could not be placed or was lost; the message is for the person who called."""


class Unreachable(CallFailed):
    """Nobody answers at the address."""


class MediaFailed(CallFailed):
    """The server answered, but no sound could be exchanged."""


class Refused(CallFailed):
    """The server would not take the call. `retry_after_s` is 0 where waiting is of no use."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s

    def __str__(self) -> str:
        said = (super().__str__() or self.code or "no reason given").rstrip(".")
        return f"the server refused ({self.status}): {said}. {self.remedy}"

    @property
    def remedy(self) -> str:
        wait = f"Try again in {self.retry_after_s} s." if self.retry_after_s else "Try again later."
        return {
            401: "Give a valid key with --key, or set VOICE_SERVER_API_KEY.",
            402: "Add minutes or money: voice-server grant --minutes 10.",
            403: "Another page or key may be needed.",
            429: f"Too many calls at once. {wait}",
            503: f"The server is full or going down. {wait}",
        }.get(self.status, "See the server's log.")


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the server."""

    event: ServerEvent
    at_us: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of the agent's voice as it arrived: one Opus packet of 20 ms, or PCM
    (signed 16-bit, mono, 24 kHz) of `duration_ms`."""

    audio: bytes
    at_us: int
    duration_ms: int
    opus: bool


Happening = Told | Sound


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asks of its call. Empty and zero mean: as the server sees fit."""

    language: str = ""
    voice: str = ""
    recogniser: str = ""
    model: str = ""
    silence_ms: int = 0
    # Our extension: latency, highlighting, the bill.
    extensions: bool = True

    def session(self, *, audio_format: Mapping[str, object] | None) -> ServerEvent:
        """The session object of the protocol; formats only where the client chooses them."""
        heard: dict[str, object] = {}
        spoken: dict[str, object] = {}
        if audio_format:
            heard["format"], spoken["format"] = dict(audio_format), dict(audio_format)
        transcription = {"language": self.language, "model": self.recogniser}
        if given := {name: value for name, value in transcription.items() if value}:
            heard["transcription"] = given
        if self.silence_ms:
            heard["turn_detection"] = {
                "type": "server_vad", "silence_duration_ms": self.silence_ms,
            }  # fmt: skip
        if self.voice:
            spoken["voice"] = self.voice
        session: ServerEvent = {"type": "realtime"}
        if audio := {n: v for n, v in (("input", heard), ("output", spoken)) if v}:
            session["audio"] = audio
        if self.extensions:
            session["voice_server"] = {"events": True}
        return session


class Caller(Protocol):
    """A live call; leaving the context closes it, politely or not."""

    microphone: Microphone
    # Empty until the server has told it.
    call_id: str
    # The bill's fields as the server sent them; None until it came.
    bill: ServerEvent | None

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    def happenings(self) -> AsyncIterator[Happening]: ...

    async def tell(self, event: ServerEvent) -> None: ...

    async def hang_up(self) -> None: ...
