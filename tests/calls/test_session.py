"""The shell of a call: it answers, survives its engines, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from engines.cascade import Cascade
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText
from engines.speech import (
    Dialogue,
    EngineError,
    EngineSettings,
    OpusFrame,
    PcmFrame,
    SpeechToText,
    TextToSpeech,
    Transcript,
    WordTime,
)
from voice_server.calls.events import (
    Action,
    Closed,
    Connected,
    Failed,
    HungUp,
    Input,
    Play,
    Played,
    ReplyFinished,
    Typed,
)
from voice_server.calls.rules import Rules
from voice_server.calls.session import AHEAD_MS_MAX, Session, Summary

from .exchange import PATIENCE_S

LOUD, QUIET = PcmFrame(b"\x40" * 1024), PcmFrame(b"\0" * 1024)


class LoudnessVad:
    async def probability(self, frame: PcmFrame) -> float:
        return 0.95 if frame.samples[0] else 0.02


class Mouth:
    """Two frames for each piece of text, or as many as asked for."""

    def __init__(self, frames: int = 2) -> None:
        self.frames, self.made, self.closed = frames, 0, False

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        try:
            for _ in range(self.frames):
                self.made += 1
                yield OpusFrame(b"x")
        finally:
            self.closed = True


class BrokenMouth(Mouth):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        raise self.error
        yield OpusFrame(b"")


class Engines:
    def __init__(self, mouth: TextToSpeech, ears: SpeechToText | None = None) -> None:
        self.mouth, self.ears = mouth, ears or ScriptedSpeechToText()

    def speech_to_text(self, name: str, language: str) -> SpeechToText:
        return self.ears

    def dialogue(self, name: str) -> Dialogue:
        return ScriptedDialogue()

    def text_to_speech(self, name: str) -> TextToSpeech:
        return self.mouth


class PaperLink:
    """Plays every frame at once and hangs up after `replies` replies."""

    def __init__(self, replies: int = 1, *, plays: bool = True) -> None:
        self.queue: asyncio.Queue[Input | PcmFrame | None] = asyncio.Queue()
        self.done: list[Action] = []
        self.replies, self.plays, self._sound = replies, plays, dict[int, int]()

    async def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        while (event := await self.queue.get()) is not None:
            yield event

    def perform(self, action: Action) -> None:
        self.done.append(action)
        match action:
            case Play(turn, _) if self.plays:
                self._sound[turn] = self._sound.get(turn, 0) + 20
                self.queue.put_nowait(Played(turn, self._sound[turn]))
            case ReplyFinished():
                self.replies -= 1
                if self.replies == 0:
                    self.queue.put_nowait(HungUp())

    async def close(self, summary: Summary) -> None:
        raise AssertionError("the switchboard closes links, not the session")

    def speak(self) -> None:
        self.queue.put_nowait(Connected())
        for frame in [LOUD] * 20 + [QUIET] * 22:
            self.queue.put_nowait(frame)


def session(link: PaperLink, engines: Engines, **rules: int) -> Session:
    loop = asyncio.get_running_loop()
    return Session(
        link, Cascade(engines, EngineSettings()), LoudnessVad(), Rules(**rules),  # type: ignore[arg-type]
        clock_ms=lambda: int(loop.time() * 1000),
    )  # fmt: skip


def others() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_utterance_is_answered_and_the_call_is_closed() -> None:
    link = PaperLink()
    link.speak()
    call = session(link, Engines(Mouth()))
    async with asyncio.timeout(PATIENCE_S):
        closed = await call.run()
    assert others() == []
    assert closed.reason == "hung_up" and call.connected
    assert closed.turns[-1].user == "What is a verb?"
    assert sum(isinstance(action, Play) for action in link.done) == 4  # Two sentences.
    assert isinstance(link.done[-1], Closed)


async def test_engine_failure_does_not_end_the_call() -> None:
    link = PaperLink(replies=2)  # The reply, and the apology that fails as well.
    link.speak()
    call = session(link, Engines(BrokenMouth(EngineError("503"))))
    async with asyncio.timeout(PATIENCE_S):
        closed = await call.run()
    assert closed.reason == "hung_up"
    assert [action.reason for action in link.done if isinstance(action, Failed)] == ["503", "503"]


async def test_cancelling_a_call_leaves_no_task_and_still_owes_the_bill() -> None:
    link = PaperLink(plays=False)
    link.queue.put_nowait(Connected())
    link.queue.put_nowait(Typed("hello"))
    mouth = Mouth(frames=10**6)
    call = session(link, Engines(mouth))
    task = asyncio.create_task(call.run())
    while not mouth.made:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.closed is not None and call.closed.reason == "abandoned"
    assert mouth.closed and others() == []


async def test_a_bug_in_an_engine_closes_the_call_and_is_seen() -> None:
    link = PaperLink()
    link.speak()
    call = session(link, Engines(BrokenMouth(ZeroDivisionError("a bug"))))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await call.run()
    assert caught.group_contains(ZeroDivisionError)
    assert call.closed is not None and others() == []


async def test_a_caller_that_goes_away() -> None:
    link = PaperLink()
    link.queue.put_nowait(Connected())
    link.queue.put_nowait(None)
    async with asyncio.timeout(PATIENCE_S):
        closed = await session(link, Engines(Mouth())).run()
    assert closed.reason == "link_lost"


async def test_an_engine_does_not_run_far_ahead_of_the_listener() -> None:
    link = PaperLink(plays=False)
    link.queue.put_nowait(Connected())
    link.queue.put_nowait(Typed("hello"))
    mouth = Mouth(frames=10**6)
    call = session(link, Engines(mouth))
    task = asyncio.create_task(call.run())
    while mouth.made * 20 <= AHEAD_MS_MAX:
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    made = mouth.made
    assert made * 20 <= AHEAD_MS_MAX + 40
    link.queue.put_nowait(Played(1, 1_000))  # One second was heard: one more may be made.
    for _ in range(400):
        await asyncio.sleep(0)
    assert made + 40 <= mouth.made <= made + 60
    call.post(HungUp())
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert others() == []


async def test_deadlines_wake_the_call() -> None:
    link = PaperLink()
    link.queue.put_nowait(Connected())
    async with asyncio.timeout(PATIENCE_S):
        closed = await session(link, Engines(Mouth()), idle_ms_max=30).run()
    assert closed.reason == "idle" and 30 <= closed.duration_ms < PATIENCE_S * 1_000


async def test_a_recogniser_that_falls_behind_fails_its_turn_only() -> None:
    class Deaf:
        async def transcribe(
            self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
        ) -> AsyncGenerator[Transcript, None]:
            await asyncio.Event().wait()
            yield Transcript("", True)

    link = PaperLink(replies=1)  # The apology.
    link.queue.put_nowait(Connected())
    for _ in range(500):
        link.queue.put_nowait(LOUD)
    async with asyncio.timeout(PATIENCE_S):
        closed = await session(link, Engines(Mouth(), Deaf())).run()
    failed = [action.reason for action in link.done if isinstance(action, Failed)]
    assert "the recogniser fell behind" in failed and closed.reason == "hung_up"
