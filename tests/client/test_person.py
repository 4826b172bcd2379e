"""A person waits for the greeting, speaks, listens to the end, hangs up, and gets the bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import pytest

from tests.calls.exchange import PATIENCE_S, eventually
from voice_server.client.caller import CallFailed, Happening, ServerEvent, Sound, Told
from voice_server.client.microphone import Clip, Microphone, Utterance, now_us
from voice_server.client.person import Patience, Person

# Who waits for what will never come should not wait long; and who is answered should not give up.
QUICK = Patience(greeting_ms=100, endpoint_ms=50, nothing_ms=200, closing_ms=200)
LONG_MS = 600_000
PATIENT = Patience(
    greeting_ms=LONG_MS, greeted_ms=LONG_MS, answer_ms=LONG_MS, endpoint_ms=50, nothing_ms=LONG_MS,
    closing_ms=LONG_MS,
)  # fmt: skip


class Listened(Microphone):
    """A microphone that remembers what it was told to say."""

    def __init__(self) -> None:
        super().__init__(b"quiet")
        self.utterances: list[Utterance] = []

    def say(self, clip: Clip) -> Utterance:
        self.utterances.append(super().say(clip))
        return self.utterances[-1]


class Line:
    """A `Caller` whose server is the test: `tell` and `sound` are what it sends."""

    def __init__(self, *, closes: bool = True) -> None:
        self.listened = Listened()
        self.microphone: Microphone = self.listened
        self.call_id = "call_1"
        self.bill: ServerEvent | None = None
        self.hung_up = asyncio.Event()
        self._closes = closes
        self._queue: asyncio.Queue[Happening | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def happenings(self) -> AsyncIterator[Happening]:
        while (happening := await self._queue.get()) is not None:
            yield happening

    async def tell(self, event: ServerEvent) -> None:
        pass

    async def hang_up(self) -> None:
        self.hung_up.set()
        if self._closes:
            self.close()

    def close(self) -> None:
        self._queue.put_nowait(None)

    def say(self, kind: str, **fields: object) -> None:
        self._queue.put_nowait(Told({"type": kind, **fields}, now_us()))

    def reply(self) -> None:
        self.say("response.created", response={"id": "r"})
        self._queue.put_nowait(Sound(bytes(960), now_us(), 20, opus=False))
        self.say("response.done", response={"id": "r", "status": "completed"})

    async def speak(self) -> None:
        """Keep the microphone going, as a transport does."""
        while not self.hung_up.is_set():
            await self.microphone.frame()


async def hold(line: Line, script: AsyncIterator[None], patience: Patience = QUICK) -> Person:
    person = Person(line, Clip([b"a", b"b"], 2), patience)

    async def play() -> None:
        async for _ in script:
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(play())
        speaking = group.create_task(line.speak())
        await person.converse()
        speaking.cancel()
    return person


async def clip_said(line: Line) -> None:
    await eventually(lambda: bool(line.listened.utterances))
    await line.listened.utterances[0].over.wait()


async def test_greeting_question_answer() -> None:
    line = Line()
    order: list[str] = []

    async def script() -> AsyncIterator[None]:
        line.say("response.created", response={"id": "g"})
        yield
        assert not line.listened.utterances, "one does not interrupt a greeting"
        order.append("greeted")
        line.say("response.done", response={"id": "g", "status": "completed"})
        await clip_said(line)
        order.append("asked")
        line.say("input_audio_buffer.speech_started")
        line.say("input_audio_buffer.speech_stopped")
        yield
        assert not line.hung_up.is_set()
        line.reply()
        yield

    person = await hold(line, script(), PATIENT)
    assert order == ["greeted", "asked"] and person.answered and line.hung_up.is_set()
    assert person.listener.heard_ms == 20


async def test_speaks_first_where_nobody_greets_and_gives_up_on_noise() -> None:
    async def script() -> AsyncIterator[None]:
        await clip_said(line)
        yield

    line = Line()
    person = await hold(line, script())
    assert line.hung_up.is_set() and not person.answered


async def test_leaving_hangs_up_at_once() -> None:
    line = Line()
    person = Person(line, Clip([b"a"], 1), PATIENT)
    person.leave()
    async with asyncio.timeout(PATIENCE_S):
        await person.converse()
    assert line.hung_up.is_set()


async def test_a_server_that_ends_the_call_is_no_error() -> None:
    line = Line()
    line.close()
    await Person(line, Clip([b"a"], 1), Patience()).converse()
    assert not line.hung_up.is_set()


async def test_a_server_that_does_not_hang_up_is_an_error() -> None:
    line = Line(closes=False)
    person = Person(line, Clip([b"a"], 1), QUICK)
    person.leave()
    with pytest.raises(ExceptionGroup) as failed:
        await person.converse()
    assert failed.group_contains(CallFailed)
