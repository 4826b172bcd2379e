"""A telephone exchange for tests of the links: real sockets, real sessions, scripted engines.

Only what stands above a link is missing: no admission, no books. The caller speaks in tones,
and the detector takes loud for speech.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from websockets.asyncio import client

from engines.cascade import Cascade
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import (
    Dialogue,
    EngineSettings,
    PcmFrame,
    Report,
    SpeechToText,
    TextToSpeech,
    unreported,
)
from voice_server.calls.pacing import Wheel
from voice_server.calls.realtime.dialect import Dialect
from voice_server.calls.rules import Rules
from voice_server.calls.session import Link, Session, Summary

LOUD = 1_000
# Only reached when a promise is broken; a busy machine is no reason to break one.
PATIENCE_S = 60.0

# A WebSocket as clients open it, but for their haste: ten seconds are soon over where a server
# shares its loop, or the machine, with many.
connect = functools.partial(
    client.connect, open_timeout=PATIENCE_S, close_timeout=PATIENCE_S, ping_timeout=PATIENCE_S
)


class LoudIsSpeech:
    """A detector for callers that speak in tones."""

    async def probability(self, frame: PcmFrame) -> float:
        samples = struct.unpack(f"<{len(frame.samples) // 2}h", frame.samples)
        return 0.95 if max(map(abs, samples)) > LOUD else 0.02


class ScriptedEngines:
    """The scripted engines, whatever is asked for. `reply` is what the dialogue answers."""

    def __init__(self, reply: str = "A verb is a doing word.") -> None:
        self._reply = reply

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText:
        return ScriptedSpeechToText()

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        return ScriptedDialogue(self._reply)

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
        return ScriptedTextToSpeech()


class Exchange:
    """Runs the sessions of links, as the switchboard does, and remembers how they ended."""

    def __init__(self, *, reply: str = "A verb is a doing word.", rules: Rules | None = None):
        self.rules = rules or Rules()
        self.wheel = Wheel(asyncio.get_running_loop())
        self.engines = ScriptedEngines(reply)
        self.sessions: list[Session] = []
        self.summaries: list[Summary] = []
        self._ids = itertools.count(1)

    def dialect(self, *, webrtc: bool) -> Dialect:
        return Dialect(
            call_id=f"call_{next(self._ids)}", model="scripted", settings=EngineSettings(),
            rules=self.rules, new_id=lambda prefix: f"{prefix}_{next(self._ids)}", webrtc=webrtc,
        )  # fmt: skip

    async def talk(self, link: Link) -> None:
        """One call over this link, from its first input to its last words."""
        loop = asyncio.get_running_loop()
        session = Session(
            link, Cascade(self.engines, EngineSettings()), LoudIsSpeech(), self.rules,
            clock_ms=lambda: int(loop.time() * 1_000),
        )  # fmt: skip
        self.sessions.append(session)
        closed = await session.run()
        summary = Summary(f"call_{len(self.sessions)}", closed.reason, closed.duration_ms, None)
        self.summaries.append(summary)
        await link.close(summary)

    async def ended(self, count: int = 1) -> list[Summary]:
        """Wait until so many calls have ended."""
        await eventually(lambda: len(self.summaries) >= count)
        return self.summaries


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    config: Callable[[Starlette], uvicorn.Config],
    connections: set[object] | None = None,
) -> AsyncIterator[int]:
    """A real server on the loopback, in this loop; gives its port. `connections` is kept filled
    with those that are open."""
    settings = config(app)  # type: ignore[arg-type]
    settings.host, settings.port = "127.0.0.1", 0
    server = uvicorn.Server(settings)
    if connections is not None:
        server.server_state.connections = connections  # type: ignore[assignment]
    task = asyncio.create_task(server.serve(), name="uvicorn under test")
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            await task
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def eventually(
    holds: Callable[[], bool | Awaitable[bool]], patience_s: float = PATIENCE_S
) -> None:
    """Wait for something that happens on another task, and fail when it does not."""
    async with asyncio.timeout(patience_s):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """No task that began inside outlives the block."""
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not {t for t in asyncio.all_tasks() - before if not t.done()})


def tone(duration_ms: int, rate_hz: int = 24_000, level: int = 8_000) -> bytes:
    """Mono s16le, loud enough to be taken for speech."""
    count = rate_hz * duration_ms // 1_000
    wave = (int(level * math.sin(math.tau * 440 * i / rate_hz)) for i in range(count))
    return struct.pack(f"<{count}h", *wave)


def silence(duration_ms: int, rate_hz: int = 24_000) -> bytes:
    return bytes(rate_hz * duration_ms // 1_000 * 2)


def loudness(pcm: bytes) -> float:
    """Root mean square of s16le samples."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return math.sqrt(sum(s * s for s in samples) / max(1, len(samples)))
