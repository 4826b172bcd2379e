"""Three engines as one: what each is asked, and what becomes of a turn that is abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from engines.cascade import Cascade
from engines.speech import (
    Cancel,
    Command,
    Configure,
    Dialogue,
    DialogueOutput,
    EndUtterance,
    EngineError,
    EngineFailed,
    EngineSettings,
    Entry,
    Event,
    Expect,
    HangUp,
    Hear,
    OpusFrame,
    Pace,
    PcmFrame,
    ReplyAudio,
    ReplyBegun,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Respond,
    Say,
    SpeechToText,
    TextToSpeech,
    Transcribed,
    Transcript,
    Turn,
    WordTime,
)

from .contract import PATIENCE_S

FRAME = PcmFrame(b"\0" * 1024)


class Trio:
    """All three engines, writing down what they are asked."""

    def __init__(self, outputs: Sequence[DialogueOutput] = ("Hello there. ",)) -> None:
        self.outputs, self.spoken = outputs, list[tuple[str, str, float]]()
        self.expected: tuple[str, ...] = ()
        self.stuck, self.closed = asyncio.Event(), False
        self.languages: list[str] = []

    def speech_to_text(self, name: str, language: str) -> SpeechToText:
        if name == "missing":
            raise EngineError("no recogniser named missing")
        return self

    def dialogue(self, name: str) -> Dialogue:
        return self

    def text_to_speech(self, name: str) -> TextToSpeech:
        return self

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        self.expected = tuple(expected)
        self.languages.append(language)
        count = 0
        async for _ in audio:
            count += 1
        yield Transcript("one", final=True)
        yield Transcript("two", final=False)
        yield Transcript(f"two {count}", final=True)

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        for output in self.outputs:
            yield output

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        self.spoken.append((text, voice, speed))
        try:
            if "stuck" in text:
                await self.stuck.wait()
            yield WordTime(0, 1, 0)
            yield OpusFrame(text.encode())
        finally:
            self.closed = True


async def converse(
    trio: Trio, *commands: Command, until: int, settings: EngineSettings | None = None
) -> list[Event]:
    """Give the commands, and collect events until there are so many."""
    events, enough = list[Event](), asyncio.Event()

    async def emit(event: Event) -> None:
        events.append(event)
        if len(events) >= until:
            enough.set()

    async def obey() -> AsyncIterator[Command]:
        for command in commands:
            yield command
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    task = asyncio.create_task(Cascade(trio, settings or EngineSettings()).converse(obey(), emit))
    async with asyncio.timeout(PATIENCE_S):
        await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
    return events


async def test_one_final_for_an_utterance_whatever_the_recogniser_does() -> None:
    events = await converse(Trio(), Hear(1, FRAME), Hear(1, FRAME), EndUtterance(1), until=4)
    texts = [(e.transcript.text, e.transcript.final) for e in events if isinstance(e, Transcribed)]
    assert texts == [("one", False), ("one two", False), ("one two 2", False), ("one two 2", True)]


async def test_a_reply_is_cut_spoken_and_ended() -> None:
    trio = Trio(["One. ", "Two."])
    events = await converse(trio, Respond(3, (Turn("hi", ""),)), until=8)
    assert events == [
        ReplyBegun(3),
        ReplyText(3, "One."), ReplyWord(3, WordTime(0, 1, 0)), ReplyAudio(3, OpusFrame(b"One.")),
        ReplyText(3, "Two."), ReplyWord(3, WordTime(0, 1, 0)), ReplyAudio(3, OpusFrame(b"Two.")),
        ReplyDone(3),
    ]  # fmt: skip


async def test_pace_expectation_and_goodbye() -> None:
    trio = Trio([Pace(0.5), Expect(("yes", "no")), "Really? ", HangUp()])
    settings = EngineSettings(voice="anna", speed=1.5)
    events = await converse(
        trio, Respond(1, (Turn("", ""),)), Hear(2, FRAME), EndUtterance(2), until=8,
        settings=settings,
    )  # fmt: skip
    assert ReplyDone(1, hangs_up=True) in events
    assert trio.spoken == [("Really?", "anna", 0.75)]
    assert trio.expected == ("yes", "no")


async def test_a_reply_keeps_the_settings_it_was_asked_with() -> None:
    """A response may have settings of its own: they are set, it is asked for, and they are
    set back, all before the reply's task has had its first turn."""
    trio = Trio(["Hello. "])
    cascade = Cascade(trio, EngineSettings(voice="usual"))
    done = asyncio.Event()

    async def commands() -> AsyncIterator[Command]:
        yield Configure(EngineSettings(voice="own"))
        yield Respond(1, (Turn("hi", ""),))
        yield Configure(EngineSettings(voice="usual"))
        await done.wait()

    async def emit(event: Event) -> None:
        if isinstance(event, ReplyDone):
            done.set()

    async with asyncio.timeout(PATIENCE_S):
        await cascade.converse(commands(), emit)
    assert [voice for _, voice, _ in trio.spoken] == ["own"]


async def test_a_notice_needs_no_dialogue() -> None:
    trio = Trio([])
    events = await converse(trio, Say(4, "One minute left."), until=4)
    assert events[0] == ReplyText(4, "One minute left.") and events[-1] == ReplyDone(4)


async def test_cancelling_closes_the_engines() -> None:
    trio = Trio(["This is stuck. "])
    started, commands = asyncio.Event(), asyncio.Queue[Command]()
    events = list[Event]()

    async def emit(event: Event) -> None:
        events.append(event)
        if event in (ReplyText(1, "This is stuck."), ReplyDone(2)):
            started.set()

    async def obey() -> AsyncIterator[Command]:
        while True:
            yield await commands.get()

    task = asyncio.create_task(Cascade(trio, EngineSettings()).converse(obey(), emit))
    commands.put_nowait(Respond(1, (Turn("", ""),)))
    await started.wait()
    started.clear()
    while not trio.spoken:
        await asyncio.sleep(0)
    commands.put_nowait(Cancel(1, 0))
    while not trio.closed:
        await asyncio.sleep(0)
    commands.put_nowait(Say(2, "Next."))
    await started.wait()
    assert ReplyDone(1) not in events
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_utterance_after_a_cancelled_one_of_the_same_turn() -> None:
    events = await converse(
        Trio(), Hear(1, FRAME), Cancel(1, 0), Hear(2, FRAME), EndUtterance(2), until=4
    )
    assert {event.turn for event in events} == {2}


async def test_a_missing_engine_fails_the_turn_and_the_next_settings_hold() -> None:
    settings = EngineSettings(speech_to_text="missing")
    events = await converse(
        Trio(), Hear(1, FRAME), EndUtterance(1), Configure(EngineSettings(language="ru")),
        Hear(2, FRAME), EndUtterance(2), until=5, settings=settings,
    )  # fmt: skip
    assert events[0] == EngineFailed(1, "no recogniser named missing")
    assert {event.turn for event in events[1:]} == {2}


async def test_an_error_in_the_middle_of_thinking() -> None:
    class Broken(Trio):
        async def respond(
            self, history: Sequence[Entry], settings: EngineSettings
        ) -> AsyncGenerator[DialogueOutput, None]:
            yield "Well, "
            raise EngineError("the line broke")

    events = await converse(Broken(), Respond(1, (Turn("", ""),)), until=2)
    assert events == [ReplyBegun(1), EngineFailed(1, "the line broke")]
