"""The shell of a call: it answers, survives its engines, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from engines.cascade import Cascade
from engines.delivery import SOUNDS_AHEAD_MAX
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText
from engines.speech import (
    Dialogue,
    DialogueOutput,
    EndOfTurn,
    EndUtterance,
    EngineError,
    EngineSettings,
    Entry,
    Hear,
    OpusFrame,
    PcmFrame,
    Report,
    Respond,
    SpeechToText,
    TextToSpeech,
    Transcript,
    Turn,
    WordTime,
    unreported,
)
from voice_server.calls.events import (
    Action,
    Closed,
    Connected,
    Failed,
    HungUp,
    Input,
    PartialText,
    Play,
    Played,
    ReplyFinished,
    ReplySaid,
    Typed,
)
from voice_server.calls.rules import ENGLISH, Endpointing, Judging, Rules
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

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText:
        return self.ears

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        return ScriptedDialogue()

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
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


def session(
    link: PaperLink, engines: Engines, *, end_of_turn: EndOfTurn | None = None,
    on_action: Callable[[Action], None] = lambda _: None, **rules: object,
) -> Session:  # fmt: skip
    loop = asyncio.get_running_loop()
    return Session(
        link, Cascade(engines, EngineSettings()), LoudnessVad(), Rules(**rules),  # type: ignore[arg-type]
        clock_ms=lambda: int(loop.time() * 1000), end_of_turn=end_of_turn, on_action=on_action,
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


async def test_somebody_may_watch_all_that_is_done_but_the_sound_that_is_heard() -> None:
    link, seen = PaperLink(), list[Action]()
    link.speak()
    async with asyncio.timeout(PATIENCE_S):
        await session(link, Engines(Mouth()), on_action=seen.append).run()
    assert [action for action in seen if action in link.done] == link.done
    kinds = {type(action) for action in seen}
    assert {EndUtterance, Respond, Play, ReplyFinished, Closed} <= kinds and Hear not in kinds


async def test_of_a_call_that_is_cancelled_the_end_is_seen_too() -> None:
    link, seen = PaperLink(plays=False), list[Action]()
    link.queue.put_nowait(Connected())
    link.queue.put_nowait(Typed("hello"))
    task = asyncio.create_task(session(link, Engines(Mouth(9)), on_action=seen.append).run())
    async with asyncio.timeout(PATIENCE_S):
        await until(lambda: any(isinstance(action, Play) for action in seen))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [finished] = [action for action in seen if isinstance(action, ReplyFinished)]
    assert finished.status == "cancelled" and isinstance(seen[-1], Closed)


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
    # And of this piece, and the next, some sound is ready.
    assert made * 20 <= AHEAD_MS_MAX + 100 + 2 * SOUNDS_AHEAD_MAX * 20
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


class Thinker:
    """A dialogue that says nothing before it is let; it counts how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.lets = 0, asyncio.Event()

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        self.asked += 1
        await self.lets.wait()
        yield "A doing word."


class Thinking(Engines):
    def __init__(self, mind: Thinker, ears: SpeechToText | None = None) -> None:
        super().__init__(Mouth(), ears)
        self.mind = mind

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        return self.mind


async def test_who_waits_is_told_to_and_then_answered() -> None:
    link, mind = PaperLink(), Thinker()
    link.queue.put_nowait(Connected())
    link.queue.put_nowait(Typed("What is a verb?"))
    patient = replace(ENGLISH, fillers=("One moment, please.",) * 10_000)
    call = session(link, Thinking(mind), filler_ms=20, notices=patient)
    async with asyncio.timeout(PATIENCE_S):
        task = asyncio.create_task(call.run())
        await until(lambda: any(isinstance(action, ReplySaid) for action in link.done))
        mind.lets.set()
        closed = await task
    texts = [action.text for action in link.done if isinstance(action, ReplySaid)]
    assert texts[0] == "One moment, please." and texts[-1] == "A doing word."
    assert closed.turns[-1] == Turn("What is a verb?", "A doing word.")


class Sure:
    """Hears all of the question at once, and is sure of it in the end."""

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        yield Transcript("what is a verb", final=False)
        async for _ in audio:
            pass
        yield Transcript("What is a verb?", final=True)


async def test_what_was_thought_of_in_the_pause_is_the_answer() -> None:
    link, mind = PaperLink(), Thinker()
    link.queue.put_nowait(Connected())
    call = session(link, Thinking(mind, Sure()), prepare_ms=32, frame_gap_ms_max=10**7)
    async with asyncio.timeout(PATIENCE_S):
        task = asyncio.create_task(call.run())
        says(link, pause=1)
        await until(lambda: any(isinstance(action, PartialText) for action in link.done))
        await asyncio.sleep(0.04)  # So long must words be the same.
        link.queue.put_nowait(QUIET)
        await until(lambda: mind.asked == 1)
        mind.lets.set()
        for _ in range(40):  # A pause at the end of a question that has no mark is a long one.
            link.queue.put_nowait(QUIET)
        closed = await task
    assert mind.asked == 1 and closed.turns[-1] == Turn("What is a verb?", "A doing word.")


# Pauses are judged. Frames may stop without that ending anything, so only judgement can.

JUDGED: dict[str, Any] = {"endpointing": Endpointing(judging=Judging()), "frame_gap_ms_max": 10**7}


class Ear:
    """Gives these answers in their order: a chance, or an error. Then it never answers again."""

    def __init__(self, *answers: float | EngineError) -> None:
        self.answers, self.sounds = list(answers), list[bytes]()
        self.abandoned = 0

    async def probability(self, samples: bytes) -> float:
        self.sounds.append(samples)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, EngineError):
                raise answer
            return answer
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        raise AssertionError("an event that nobody sets was set")


@contextlib.asynccontextmanager
async def talking(call: Session) -> AsyncIterator[None]:
    """The call is on inside, and over after it."""
    async with asyncio.timeout(PATIENCE_S):
        task = asyncio.create_task(call.run())
        yield
        call.post(HungUp())
        await task
    assert others() == []


def says(link: PaperLink, *, pause: int) -> None:
    for frame in [LOUD] * 20 + [QUIET] * pause:
        link.queue.put_nowait(frame)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


async def test_a_turn_ends_when_it_sounds_like_its_end() -> None:
    link, ear = PaperLink(), Ear(0.2, 0.9)
    call = session(link, Engines(Mouth()), end_of_turn=ear, **JUDGED)
    link.queue.put_nowait(Connected())
    async with talking(call):
        says(link, pause=6)
        await until(lambda: len(ear.sounds) == 1)
        says(link, pause=6)
        await until(lambda: call.closed is not None)
    assert call.closed is not None and call.closed.turns[-1].user == "What is a verb?"
    assert ear.sounds[0] == LOUD.samples * 20 + QUIET.samples * 6
    assert ear.sounds[1] == ear.sounds[0] * 2


@pytest.mark.parametrize("answers", [None, [], [EngineError("broken")] * 9])
async def test_without_an_answer_pauses_end_turns(
    answers: list[EngineError] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody to ask, one that hangs, one that fails: said once, and the call goes on."""
    ear = None if answers is None else Ear(*answers)
    link = PaperLink(replies=9)
    call = session(link, Engines(Mouth()), end_of_turn=ear, **JUDGED)
    link.queue.put_nowait(Connected())
    async with talking(call):
        for turn in (1, 2):
            says(link, pause=22)
            await until(lambda: sum(isinstance(a, ReplyFinished) for a in link.done) == turn)  # noqa: B023
            await until(lambda: ear is None or len(ear.sounds) == turn)  # noqa: B023
    said = [record for record in caplog.records if "goes by the length of pauses" in record.message]
    assert len(said) == (1 if answers else 0)


async def test_a_new_pause_makes_the_question_before_it_idle() -> None:
    link, ear = PaperLink(), Ear()
    link.queue.put_nowait(Connected())
    async with talking(session(link, Engines(Mouth()), end_of_turn=ear, **JUDGED)):
        says(link, pause=6)
        await until(lambda: len(ear.sounds) == 1)
        says(link, pause=6)
        await until(lambda: len(ear.sounds) == 2)
        assert ear.abandoned == 1
    assert ear.abandoned == 2


async def test_a_bug_in_the_ear_closes_the_call_and_is_seen() -> None:
    class Broken(Ear):
        async def probability(self, samples: bytes) -> float:
            raise ZeroDivisionError("a bug")

    link = PaperLink()
    link.speak()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await session(link, Engines(Mouth()), end_of_turn=Broken(), **JUDGED).run()
    assert caught.group_contains(ZeroDivisionError) and others() == []
