"""Three engines as one: what each is asked, and what becomes of a turn that is abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

import pytest

from engines.cascade import LISTENS_ON_S, Cascade
from engines.speech import (
    CallPiece,
    Cancel,
    Command,
    Configure,
    Cut,
    Dialogue,
    DialogueOutput,
    EndUtterance,
    EngineError,
    EngineFailed,
    EngineSettings,
    EngineUse,
    Entry,
    Event,
    Expect,
    Fill,
    HangUp,
    Hear,
    OpusFrame,
    Pace,
    PcmFrame,
    Prepare,
    ReplyAudio,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Report,
    Respond,
    Say,
    SpeechToText,
    Spent,
    TextToSpeech,
    Transcribed,
    Transcript,
    Turn,
    WordTime,
    unreported,
)

from .contract import PATIENCE_S
from .virtual_time import run

FRAME = PcmFrame(b"\0" * 1024)


class Trio:
    """All three engines, writing down what they are asked."""

    def __init__(self, outputs: Sequence[DialogueOutput] = ("Hello there. ",)) -> None:
        self.outputs, self.spoken = outputs, list[tuple[str, str, float]]()
        self.expected: tuple[str, ...] = ()
        self.stuck, self.closed = asyncio.Event(), False
        self.languages: list[str] = []
        self.asked: list[tuple[Sequence[Entry], EngineSettings]] = []
        # Whether the dialogue was listened to until it had nothing more to say.
        self.said_all = False

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText:
        if name == "missing":
            raise EngineError("no recogniser named missing")
        return self

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        return self

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
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
        self.asked.append((history, settings))
        for output in self.outputs:
            yield output
        self.said_all = True

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
    trio: Trio, *commands: Command, until: int | type[Event],
    settings: EngineSettings | None = None,
) -> list[Event]:  # fmt: skip
    """Give the commands, and collect events until there are so many, or until one of a type."""
    events, enough = list[Event](), asyncio.Event()

    async def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, until) if isinstance(until, type) else len(events) >= until:
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


class LosesWords(Trio):
    """Its recogniser fails, when it is let, after all was said."""

    def __init__(self) -> None:
        super().__init__(["Here is one. "])
        self.fails = asyncio.Event()

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        async for _ in audio:
            pass
        yield Transcript("one", final=False)
        await self.fails.wait()
        raise EngineError("it took too long")


async def test_a_recogniser_that_fails_after_its_words_were_answered_fails_no_reply() -> None:
    trio = LosesWords()
    heard: list[Command] = [Hear(1, FRAME), EndUtterance(1)]
    asks = Respond(1, (Turn("one", ""),))
    trio.fails.set()
    events = await converse(trio, *heard, until=EngineFailed)
    assert events[-1] == EngineFailed(1, "it took too long")
    trio.fails.clear()

    async def synthesize(
        text: str, **wishes: object
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        trio.fails.set()
        for _ in range(100):  # Whoever listens fails meanwhile.
            await asyncio.sleep(0)
        yield OpusFrame(text.encode())

    trio.synthesize = synthesize  # type: ignore[method-assign]
    events = await converse(trio, *heard, asks, until=ReplyDone)
    assert ReplyAudio(1, OpusFrame(b"Here is one.")) in events
    assert not [each for each in events if isinstance(each, EngineFailed)]


class ComesToNoEnd(Trio):
    """A recogniser that hears all, and then is silent."""

    left = False

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        try:
            async for _ in audio:
                yield Transcript("one", final=False)
            await asyncio.Event().wait()
        finally:
            self.left = True


@pytest.mark.parametrize("answered", [False, True])
def test_a_recogniser_that_comes_to_no_end_is_left(answered: bool) -> None:
    async def test() -> None:
        trio, events = ComesToNoEnd(), list[Event]()

        async def emit(event: Event) -> None:
            events.append(event)

        async def obey() -> AsyncIterator[Command]:
            yield Hear(1, FRAME)
            await asyncio.sleep(2 * LISTENS_ON_S)
            assert not trio.left, "who is still spoken to listens for as long as it takes"
            yield EndUtterance(1)
            if answered:
                yield Respond(1, (Turn("one", ""),))
            await asyncio.sleep(LISTENS_ON_S + 1)

        await Cascade(trio, EngineSettings()).converse(obey(), emit)
        assert trio.left
        failed = [event for event in events if isinstance(event, EngineFailed)]
        assert bool(failed) is not answered

    run(test)


async def test_a_reply_is_cut_spoken_and_ended() -> None:
    trio = Trio(["Here is one. ", "And two."])
    events = await converse(trio, Respond(3, (Turn("hi", ""),)), until=8)
    word = ReplyWord(3, WordTime(0, 1, 0))
    assert events == [
        ReplyBegun(3),
        ReplyText(3, "Here is one."), word, ReplyAudio(3, OpusFrame(b"Here is one.")),
        ReplyText(3, "And two."), word, ReplyAudio(3, OpusFrame(b"And two.")),
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


class Hurrying(Trio):
    """A voice that can be told that it is waited for."""

    hurried = 0

    def hurry(self) -> None:
        self.hurried += 1
        self.stuck.set()


@pytest.mark.parametrize(
    ("said", "hurried"),
    [(Say(1, "Goodbye."), 0), (Say(1, "So.", filler=True), 1), (Say(1, "So.", waited=True), 1)],
)
async def test_what_was_waited_for_is_said_by_whoever_begins_soon(said: Say, hurried: int) -> None:
    trio = Hurrying([])
    await converse(trio, said, until=ReplyDone)
    assert trio.hurried == hurried


async def test_a_voice_is_hurried_when_its_listener_has_waited_for_long() -> None:
    trio = Hurrying(["This is stuck. "])
    asked = asyncio.Event()

    async def commands() -> AsyncIterator[Command]:
        yield Respond(1, (Turn("", ""),))
        while not trio.spoken:
            await asyncio.sleep(0)
        yield Fill(1, "One moment.")
        await asked.wait()

    async def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, ReplyDone):
            asked.set()

    events = list[Event]()
    async with asyncio.timeout(PATIENCE_S):
        await Cascade(trio, EngineSettings()).converse(commands(), emit)
    assert trio.hurried == 1
    assert [each.text for each in events if isinstance(each, ReplyText)] == ["This is stuck."]


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


# A reply that is only read.

WRITES = EngineSettings(speaks=False)
ASK = Respond(1, (Turn("hi", ""),))


async def test_what_is_only_read_goes_out_as_it_was_thought() -> None:
    trio = Trio(["One", ",  two.\n", "\n* three", "", HangUp()])
    events = await converse(trio, ASK, until=5, settings=WRITES)
    assert events == [
        ReplyBegun(1), ReplyText(1, "One"), ReplyText(1, ",  two.\n"), ReplyText(1, "\n* three"),
        ReplyDone(1, hangs_up=True),
    ]  # fmt: skip
    assert trio.spoken == []


async def test_a_notice_is_written_where_replies_are() -> None:
    trio = Trio([])
    events = await converse(trio, Say(4, "One minute. Left."), until=2, settings=WRITES)
    assert events == [ReplyText(4, "One minute. Left."), ReplyDone(4)]
    assert trio.spoken == []


# Settings of its own.


async def test_a_reply_may_have_settings_of_its_own() -> None:
    trio, own = Trio(["Hi. "]), EngineSettings(voice="own", speed=0.5, instructions="Be brief.")
    usual = EngineSettings(voice="usual")
    alone = Respond(1, (Turn("hi", ""),), own)
    await converse(trio, alone, Respond(2, (Turn("ho", ""),)), until=8, settings=usual)
    assert [settings for _, settings in trio.asked] == [own, usual]
    assert trio.spoken == [("Hi.", "own", 0.5), ("Hi.", "usual", 1.0)]


async def test_one_reply_may_be_written_where_others_are_spoken() -> None:
    events = await converse(Trio(["Hi. "]), Respond(1, (Turn("hi", ""),), WRITES), until=3)
    assert events == [ReplyBegun(1), ReplyText(1, "Hi. "), ReplyDone(1)]


# Calls of tools.

PIECES = [CallPiece("a", "look", ""), CallPiece("a", "look", "{}"), CallPiece("b", "find", "{}")]


async def test_calls_are_passed_on_beside_the_words() -> None:
    events = await converse(Trio(["Wait. ", *PIECES]), ASK, until=ReplyDone)
    calls = [each.piece for each in events if isinstance(each, ReplyCall)]
    assert calls == PIECES
    assert events[0] == ReplyBegun(1)
    assert events[-1] == ReplyDone(1)
    assert ReplyText(1, "Wait.") in events


async def test_a_reply_of_calls_alone_begins_with_the_first() -> None:
    events = await converse(Trio([Expect(("x",)), *PIECES]), ASK, until=5)
    assert events == [ReplyBegun(1), *(ReplyCall(1, each) for each in PIECES), ReplyDone(1)]


# No more than is allowed.


@pytest.mark.parametrize(
    ("outputs", "told", "cut"),
    [
        (["12345678"], "12345678", False), (["123456789"], "12345678", True),
        (["1234", "5678"], "12345678", False), (["1234", "56789", "x"], "12345678", True),
        (["12345678", "9"], "12345678", True),
    ],
)  # fmt: skip
async def test_a_reply_is_cut_at_what_the_client_allows(
    outputs: list[str], told: str, cut: bool
) -> None:
    trio, settings = Trio(outputs), replace(WRITES, output_tokens_max=2)
    respond = Respond(1, (Turn("hi", ""),), settings)
    events = await converse(trio, respond, until=ReplyDone)
    events = [each for each in events if not isinstance(each, ReplyBegun)]
    texts = [each.text for each in events if isinstance(each, ReplyText)]
    assert "".join(texts) == told
    assert events[-1] == ReplyDone(1, cut=cut)
    assert trio.said_all is not cut, "nobody pays for what is not told"


async def test_what_is_spoken_is_cut_as_well() -> None:
    settings = EngineSettings(output_tokens_max=4)
    trio = Trio(["Here is one. Two. Three."])
    events = await converse(trio, ASK, until=ReplyDone, settings=settings)
    assert [text for text, _, _ in trio.spoken] == ["Here is one.", "Two"]
    assert events[-1] == ReplyDone(1, cut=True)


async def test_an_engine_may_say_that_it_was_cut() -> None:
    events = await converse(Trio(["One", Cut(), "two"]), ASK, until=3, settings=WRITES)
    assert events == [ReplyBegun(1), ReplyText(1, "One"), ReplyDone(1, cut=True)]


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


# What the engines did.


class Told(Trio):
    """Engines that tell what they were asked, as soon as they are; the rest is the Trio's."""

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText:
        report(use("speech_to_text"))
        return self

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        report(use("dialogue"))
        return self

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
        report(use("text_to_speech"))
        return self


def use(role: str) -> EngineUse:
    return EngineUse(role, "x", "1", "done", 10)


async def test_what_each_engine_did_is_told_with_its_turn() -> None:
    uses, ended = list[tuple[int, str]](), asyncio.Event()
    cascade = Cascade(
        Told(), EngineSettings(), report=lambda turn, use: uses.append((turn, use.role))
    )

    async def emit(event: Event) -> None:
        if event == ReplyDone(3):
            ended.set()

    async def obey() -> AsyncIterator[Command]:
        for command in (
            Hear(1, FRAME), EndUtterance(1), Prepare(1, (Turn("hi", ""),)),
            Respond(2, (Turn("hi", ""),)), Say(3, "Goodbye."),
        ):  # fmt: skip
            yield command
            await asyncio.sleep(0)
        await ended.wait()

    async with asyncio.timeout(PATIENCE_S):
        await cascade.converse(obey(), emit)
    assert sorted(uses) == [
        (1, "dialogue"), (1, "speech_to_text"), (2, "dialogue"), (2, "text_to_speech"),
        (3, "text_to_speech"),
    ]  # fmt: skip


async def test_what_a_dialogue_spent_is_nothing_for_the_caller() -> None:
    events = await converse(Trio(["Hi. ", Spent((("tokens_in", 3),))]), ASK, until=3,
                            settings=WRITES)  # fmt: skip
    assert events == [ReplyBegun(1), ReplyText(1, "Hi. "), ReplyDone(1)]


async def test_the_words_before_a_tool_is_asked_for_are_said_at_once() -> None:
    class Waits(Trio):
        async def respond(
            self, history: Sequence[Entry], settings: EngineSettings
        ) -> AsyncGenerator[DialogueOutput, None]:
            yield "Wait."
            yield PIECES[0]
            await self.stuck.wait()

    events = await converse(Waits(), ASK, until=ReplyAudio)
    assert ReplyText(1, "Wait.") in events


async def test_a_filler_is_said_with_the_voice_of_the_reply() -> None:
    class Slow(Trio):
        async def respond(
            self, history: Sequence[Entry], settings: EngineSettings
        ) -> AsyncGenerator[DialogueOutput, None]:
            while not self.spoken:
                await asyncio.sleep(0)
            yield "Here it is."

    trio = Slow()
    own = EngineSettings(voice="own")
    respond = Respond(1, (Turn("hi", ""),), own)
    events = await converse(trio, respond, Fill(1, "One moment."), until=ReplyDone)
    assert [(text, voice) for text, voice, _ in trio.spoken] == [
        ("One moment.", "own"), ("Here it is.", "own"),
    ]  # fmt: skip
    texts = [event for event in events if isinstance(event, ReplyText)]
    assert texts == [ReplyText(1, "One moment.", filler=True), ReplyText(1, "Here it is.")]


async def test_nobody_is_filled_who_only_reads_or_asked_for_nothing() -> None:
    trio = Trio(["Hi. "])
    respond = Respond(1, (Turn("hi", ""),), WRITES)
    events = await converse(trio, Fill(1, "x"), respond, Fill(1, "x"), Fill(2, "x"), until=3)
    assert events == [ReplyBegun(1), ReplyText(1, "Hi. "), ReplyDone(1)] and not trio.spoken
