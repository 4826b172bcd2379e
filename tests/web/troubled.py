"""Whole calls to servers whose vendors are in trouble: real speech, and all that its speaker hears.

A lane is a server that is configured by nothing but settings, with the vendors' servers of the
tests behind it. Its calls are made one after another, each in a trouble of its own; lanes run side
by side. What a call was like is only written down here, as a `Told`, and judged by the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from billing.audit import audit
from engines.failover.health import Health
from engines.speech import PCM_RATE_HZ
from tests.calls.exchange import PATIENCE_S, eventually
from tests.vendors.elevenlabs import ElevenLabsServer
from tests.vendors.openai_conversation import ConversationServer
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble
from tests.vendors.yandex import YandexServer, serving_yandex
from voice_server.calls.rules import ENGLISH
from voice_server.client.caller import Caller, Sound, Wishes
from voice_server.client.clips import framed, read_clip, silence
from voice_server.client.http import Server
from voice_server.client.microphone import FRAME_MS, now_us
from voice_server.client.webrtc import WebRtcCaller
from voice_server.client.websocket import WebSocketCaller, Wire
from voice_server.config import Config

from .ear import Ear, HeldUp, Stretch
from .served import Served, served

ANSWER = "It is quite old. Many people walk over it."
# Still being said when a recogniser is given up that was asked before.
LONG_ANSWER = f"{ANSWER} They have done so for more than a hundred years, in every weather."
APOLOGIES = (ENGLISH.apology, ENGLISH.deaf)
# As loud as this somebody speaks: root mean square of 16-bit samples.
VOICE = 240.0
# After its last word a turn is over when nothing else has begun for so long; and after so long
# although nobody said that this word was the last.
QUIET_US, SILENT_US = 400_000, 2_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One call. `after`: how many pieces of the answer come before the trouble begins."""

    trouble: Trouble
    after: int = 0
    slow_s: float = 1.0
    webrtc: bool = False

    def __str__(self) -> str:
        when = f" after {self.after}" if self.after else ""
        return f"{self.trouble.value}{when}{' over WebRTC' if self.webrtc else ''}"


@dataclass(frozen=True, slots=True)
class Lane:
    """Who is in trouble: `engine` in its `role`; and which engines the server is given."""

    role: str
    engine: str
    speech_to_text: str
    dialogue: str
    text_to_speech: str
    speech_to_speech: str = ""

    def __str__(self) -> str:
        beside = "" if self.has_others else " alone"
        return f"{self.role} {self.engine}{beside}"

    @property
    def has_others(self) -> bool:
        """Whether somebody stands by; behind voices and conversations there always is one."""
        names = {"speech_to_text": self.speech_to_text, "dialogue": self.dialogue}
        return "," in names.get(self.role, ",")


@dataclass(slots=True)
class Turn:
    """What the caller hears after it has spoken, and is told. `held_up_ms` of the silence from
    `quietest` on this process did not run at all."""

    ended_us: int
    replies: list[tuple[str, str]] = field(default_factory=list)
    quietest: Stretch = field(default_factory=lambda: Stretch(0, 0))
    held_up_ms: int = 0
    sound_ms: int = 0
    over_us: int = 0

    @property
    def silence_ms(self) -> int:
        return (self.quietest.ends_us - self.quietest.begins_us) // 1_000

    @property
    def said(self) -> list[str]:
        """What was said to its end, without the words that only fill the time."""
        said = [_without_fillers(text) for status, text in self.replies if status == "completed"]
        return [text for text in said if text]


@dataclass(slots=True)
class Told:
    """All that is known of a call. `audit`: what does not agree in the books. `secrets`: what
    nobody but the server may know."""

    turns: list[Turn] = field(default_factory=list)
    call: dict[str, Any] = field(default_factory=dict)
    bill: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    wallet: list[dict[str, Any]] = field(default_factory=list)
    audit: list[object] = field(default_factory=list)
    errors: list[object] = field(default_factory=list)
    secrets: tuple[str, ...] = ()
    lasted_s: float = 0.0
    # What kept the call from being finished.
    failure: str = ""


def _without_fillers(text: str) -> str:
    for filler in ENGLISH.fillers:
        text = text.replace(filler, "")
    return text.strip()


class Vendors:
    """The vendors' servers of a lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.answer = ANSWER
        self.openai: OpenAIServer | ConversationServer = (
            ConversationServer(hears="how old is it", answers=lambda _: [self.answer])
            if lane.speech_to_speech
            else OpenAIServer(hears="how old is it")
        )
        self.chat = OpenAIServer(answers=lambda _: [f"{word} " for word in self.answer.split()])
        self.elevenlabs = ElevenLabsServer()
        self.yandex: YandexServer

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[dict[str, object]]:
        """Gives the settings that lead to them."""
        with serving_yandex() as self.yandex:
            async with self.openai, self.chat, self.elevenlabs:
                options = self.yandex.options
                yield {
                    "OPENAI_API_KEY": self.openai.key, "OPENAI_BASE_URL": self.openai.base_url,
                    "chat_api_key": self.chat.key, "chat_base_url": self.chat.base_url,
                    "ELEVENLABS_API_KEY": self.elevenlabs.key,
                    "ELEVENLABS_BASE_URL": self.elevenlabs.origin,
                    "yandex_api_key": options.api_key, "yandex_tls": False,
                    "yandex_stt_endpoint": options.stt_endpoint,
                    "yandex_tts_endpoint": options.tts_endpoint,
                }  # fmt: skip

    @property
    def keys(self) -> tuple[str, ...]:
        return self.openai.key, self.elevenlabs.key, self.yandex.api_key

    @property
    def mood(self) -> Mood:
        """The mood of who is in trouble."""
        moods: dict[tuple[str, str], Callable[[], Mood]] = {
            ("dialogue", "openai"): lambda: self.chat.mood,
            ("speech_to_text", "yandex"): lambda: self.yandex.hearing,
            ("text_to_speech", "yandex"): lambda: self.yandex.speaking,
            ("text_to_speech", "elevenlabs"): lambda: self.elevenlabs.mood,
        }
        return moods.get((self.lane.role, self.lane.engine), lambda: self.openai.mood)()


async def run_lane(
    lane: Lane, cases: Sequence[Case], recording: Path, folder: Path, opening: asyncio.Lock,
    told: dict[str, Told],
) -> None:  # fmt: skip
    """All calls of a lane; what is known of each is in `told`, by the name of its case. Servers
    of one process open one after another, in which `opening` keeps them."""
    vendors = Vendors(lane)
    async with contextlib.AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(vendors.serving())
        config = Config.model_validate({
            "data_dir": folder, "lease_seconds": 30.0, "drain_seconds": 0.2,
            "speech_to_text": lane.speech_to_text, "dialogue": lane.dialogue,
            "text_to_speech": lane.text_to_speech, "speech_to_speech": lane.speech_to_speech,
            **addresses,
        })  # fmt: skip
        async with opening:
            server = await stack.enter_async_context(served(config))
        for case in cases:
            found = told[str(case)] = Told()
            try:
                await _call(server, vendors, case, recording, found)
            except Exception as error:  # The test of this call tells.
                found.failure = f"{type(error).__name__}: {error}"
            finally:
                _well(vendors.mood)


def _well(mood: Mood) -> None:
    mood.trouble, mood.after = Trouble.NONE, 0


async def _call(
    server: Served, vendors: Vendors, case: Case, recording: Path, told: Told
) -> None:
    # What one call has met must not speak for the vendor in the next.
    server.house.engines._health = Health()
    told.secrets = vendors.keys
    told.wallet.append((await server.client.get("/v1/wallet")).json())
    async with Server(f"http://127.0.0.1:{server.port}") as address, HeldUp() as held_up:
        began_s = time.monotonic()
        async with _caller(address, case) as caller:
            person = Person(caller, recording, Wire.OPUS, held_up)
            listening = asyncio.create_task(person.listen())
            try:
                await person.until(lambda: "session.updated" in person.kinds or case.webrtc)
                mood = vendors.mood
                mood.slow_s, mood.after, mood.trouble = case.slow_s, case.after, case.trouble
                hears_late = vendors.lane.role == "speech_to_text" and case.trouble is Trouble.LATE
                vendors.answer = LONG_ANSWER if hears_late else ANSWER
                await person.speaks(told)
                _well(mood)
                vendors.answer = ANSWER
                await person.speaks(told)
                await caller.hang_up()
                async with asyncio.timeout(PATIENCE_S):
                    await listening
                told.lasted_s = time.monotonic() - began_s
                told.bill, told.errors = dict(caller.bill or {}), person.errors
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        told.call = await server.closed(caller.call_id)
        told.records = list(await address.turns(caller.call_id))
    told.wallet.append((await server.client.get("/v1/wallet")).json())
    told.audit = list(await server.house.database.read(audit))


def _caller(address: Server, case: Case) -> WebSocketCaller | WebRtcCaller:
    quiet = silence(Wire.OPUS)
    if case.webrtc:
        assert isinstance(quiet, bytes)
        return WebRtcCaller(address, Wishes(), silence=quiet)
    return WebSocketCaller(address, Wishes(), wire=Wire.OPUS, silence=quiet)


class Person:
    """Speaks, listens, and remembers what was said when."""

    def __init__(self, caller: Caller, recording: Path, wire: Wire, held_up: HeldUp) -> None:
        self._caller, self._held_up = caller, held_up
        self._clip = framed(_voice_of(recording), wire)
        self.ear = Ear()
        self.kinds: list[str] = []
        self.errors: list[object] = []
        self._replies: list[tuple[str, str]] = []
        # Responses that are being made, and those that are told to be sounding.
        self._open: set[str] = set()
        self._sounding: set[str] = set()
        # By response: its words, and how many of their characters have begun to be heard.
        self._texts: dict[str, str] = {}
        self._heard: dict[str, int] = {}
        self._news_us = 0

    async def listen(self) -> None:
        """Until the line is closed."""
        async for happening in self._caller.happenings():
            if isinstance(happening, Sound):
                self.ear.hear(happening)
                continue
            self._told(happening.event, happening.at_us)

    def _told(self, event: dict[str, Any], at_us: int) -> None:
        kind = str(event.get("type"))
        self.kinds.append(kind)
        match kind:
            case "response.created" | "response.done":
                self._news_us = at_us
                self._respond(event["response"], over=kind == "response.done")
            case "output_audio_buffer.started":
                self._sounding.add(event["response_id"])
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                self._news_us = at_us
                self._sounding.discard(event["response_id"])
                if kind.endswith("cleared"):
                    self.ear.drop(at_us)
            case "voice_server.reply_heard":
                self._heard[event["response_id"]] = event["chars"]
            case "error":
                self.errors.append(event)

    def _respond(self, response: Any, *, over: bool) -> None:
        if not over:
            self._open.add(response["id"])
            return
        self._open.discard(response["id"])
        parts = [part for item in response["output"] for part in item.get("content", ())]
        text = " ".join(str(part.get("transcript") or "") for part in parts)
        self._replies.append((response["status"], text))
        if response["status"] == "completed":
            self._texts[response["id"]] = text

    async def speaks(self, told: Told) -> None:
        """Say it, and hear what comes of it to its end."""
        utterance = self._caller.microphone.say(self._clip)
        self._replies.clear()
        await self.until(lambda: utterance.speech_ended_us > 0)
        turn = Turn(utterance.speech_ended_us)
        told.turns.append(turn)
        turn.replies = self._replies
        try:
            await self.until(lambda: self._is_over(turn))
        finally:
            turn.replies = list(self._replies)
            turn.over_us = self.ear.ends_us
            turn.sound_ms = self.ear.sound_ms(turn.ended_us)
            self._judge(turn)

    def _judge(self, turn: Turn) -> None:
        """Find the longest of its silences, but for the time in which nothing ran here."""
        for each in self.ear.silences(turn.ended_us):
            held_up_ms = self._held_up.between(each.begins_us, each.ends_us)
            lasted_ms = (each.ends_us - each.begins_us) // 1_000
            if lasted_ms - held_up_ms > turn.silence_ms - turn.held_up_ms:
                turn.quietest, turn.held_up_ms = each, held_up_ms

    def _is_over(self, turn: Turn) -> bool:
        """An answer or an apology was said, nothing else is, and all of it was heard."""
        quiet_us = now_us() - max(self.ear.ends_us, self._news_us)
        going_on = not turn.said or self._open or self._sounding
        return not going_on and quiet_us >= (SILENT_US if self._to_come else QUIET_US)

    @property
    def _to_come(self) -> list[str]:
        """Replies whose last word has not been said."""
        return [
            text for name, text in self._texts.items()
            if self._heard.get(name, 0) <= text.strip().rfind(" ") + 1
        ]  # fmt: skip

    async def until(self, met: Callable[[], object]) -> None:
        await eventually(lambda: bool(met()))


def _voice_of(recording: Path) -> bytes:
    """The recording up to where its voice ends."""
    samples = np.frombuffer(read_clip(recording), np.int16)
    size = PCM_RATE_HZ * FRAME_MS // 1_000
    blocks = samples[: len(samples) // size * size].reshape(-1, size).astype(float)
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) > VOICE)
    return samples[: (int(loud[-1]) + 1) * size].tobytes()
