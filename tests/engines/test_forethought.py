"""A reply that is thought of before it is asked for: adopted, or dropped without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

import pytest

from engines.cascade import Cascade
from engines.forethought import OUTPUTS_MAX
from engines.speech import (
    CallPiece,
    Cancel,
    Command,
    Configure,
    DialogueOutput,
    EngineError,
    EngineSettings,
    Entry,
    Event,
    Expect,
    Hear,
    Note,
    Prepare,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Turn,
)

from .contract import PATIENCE_S
from .test_cascade import FRAME, Trio

WRITES = EngineSettings(speaks=False)
BEFORE = Turn("Hello.", "Hi!")


class Mind(Trio):
    """Answers with what it was asked; waits before its last word until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.lets, self.open, self.fails = asyncio.Event(), 0, 0
        self.flood = 0
        self.given = 0

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        self.asked.append((history, settings))
        self.open += 1
        try:
            if self.fails:
                self.fails -= 1
                raise EngineError("it is too busy")
            yield Expect(("yes",))
            yield f"answer {len(self.asked)}"
            yield CallPiece("a", "look", "{}")
            for _ in range(self.flood):
                self.given += 1
                yield "more "
            await self.lets.wait()
            yield ", and that is all."
        finally:
            self.open -= 1


class Call:
    """A cascade that obeys, and what it says."""

    def __init__(self, mind: Mind, settings: EngineSettings = WRITES) -> None:
        self.mind, self.events = mind, list[Event]()
        self.cascade = Cascade(mind, settings)
        self._commands = asyncio.Queue[Command]()
        self._task = asyncio.create_task(self.cascade.converse(self._obey(), self._emit))

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    async def _obey(self) -> AsyncIterator[Command]:
        while True:
            yield await self._commands.get()

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert self.mind.open == 0
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []

    async def does(self, *commands: Command) -> None:
        """Obeyed, and everybody has done what there is to do."""
        for command in commands:
            self._commands.put_nowait(command)
        for _ in range(100):
            await asyncio.sleep(0)

    async def ends(self) -> list[Event]:
        self.mind.lets.set()
        async with asyncio.timeout(PATIENCE_S):
            while not any(isinstance(event, ReplyDone) for event in self.events):
                await asyncio.sleep(0)
        return self.events


def ask(user: str, *before: Entry) -> tuple[Entry, ...]:
    return (*before, Turn(user, ""))


def reply(number: int, turn: int = 1) -> list[Event]:
    return [
        ReplyBegun(turn), ReplyText(turn, f"answer {number}"),
        ReplyCall(turn, CallPiece("a", "look", "{}")), ReplyText(turn, ", and that is all."),
        ReplyDone(turn),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        ("What is a verb", "What is a verb"), ("what is a verb", "What is a verb?"),
        ("Well what, is it", "well, what is  it?!"), ("это глагол", "Это — глагол."),
        ("i paid 3.50", "I paid 3.50."), ("«да»", "Да"),
    ],
)  # fmt: skip
async def test_the_same_words_are_answered_with_what_was_thought_of(
    guess: str, words: str
) -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask(guess, BEFORE)))
        assert call.events == [] and call.mind.open == 1, "it thinks in secret"
        assert not call.cascade._expected
        await call.does(Respond(1, ask(words, BEFORE)))
        assert call.events == reply(1)[:3], "what was thought of is told, and no more yet"
        assert await call.ends() == reply(1), "and what still comes"
        assert len(call.mind.asked) == 1
        assert call.cascade._expected == ("yes",)


@pytest.mark.parametrize(
    "respond",
    [
        Respond(1, ask("What is a noun?", BEFORE)), Respond(1, ask("What is a verb?")),
        Respond(1, ask("What is a verb?", BEFORE, Note("system", "Be brief."))),
        Respond(2, ask("What is a verb?", BEFORE)),
        Respond(1, ask("What is a verb?", BEFORE), replace(WRITES, instructions="Be brief.")),
        Respond(1, ask("What is a verb 3.5?", BEFORE)),
        Respond(1, (BEFORE, Note("user", "What is a verb?"))),
    ],
)
async def test_anything_else_is_answered_afresh(respond: Respond) -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask("What is a verb?", BEFORE)))
        await call.does(respond)
        assert call.mind.open == 1, "what was thought of is dropped"
        assert await call.ends() == reply(2, respond.turn)
        history, _ = call.mind.asked[-1]
        assert tuple(history) == respond.history


async def test_three_and_a_half_is_not_thirty_five() -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask("3.5")))
        await call.does(Respond(1, ask("35")))
        assert await call.ends() == reply(2)


async def test_other_settings_meanwhile_are_other_settings() -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask("a")), Configure(replace(WRITES, language="ru")))
        await call.does(Respond(1, ask("a")))
        assert await call.ends() == reply(2)


@pytest.mark.parametrize(
    "command", [Say(2, "One minute left."), Cancel(1, 0), Prepare(1, ()), Prepare(1, ask("b"))]
)
async def test_what_closes_it(command: Command) -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask("a")))
        await call.does(command)
        assert call.mind.open == (1 if command == Prepare(1, ask("b")) else 0)
        assert not [event for event in call.events if event.turn == 1]
        call.events.clear()
        await call.does(Respond(1, ask("a")))
        assert await call.ends() == reply(len(call.mind.asked))
        assert len(call.mind.asked) > 1


async def test_cancelling_another_turn_does_not() -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(2, ask("a")), Hear(1, FRAME), Cancel(1, 0))
        await call.does(Respond(2, ask("a")))
        assert await call.ends() == reply(1, 2)


async def test_one_that_was_adopted_is_cancelled_with_its_turn() -> None:
    async with Call(Mind()) as call:
        await call.does(Prepare(1, ask("a")), Respond(1, ask("a")), Cancel(1, 0))
        assert call.mind.open == 0
        await call.does(Prepare(2, ask("a")))
        await call.does(Respond(2, ask("a")))
        await call.does(Cancel(2, 0))
        assert call.mind.open == 0 and ReplyDone(2) not in call.events


async def test_one_that_failed_is_not_spoken_of() -> None:
    async with Call(Mind()) as call:
        call.mind.fails = 1
        await call.does(Prepare(1, ask("a")))
        assert call.events == []
        await call.does(Respond(1, ask("a")))
        assert await call.ends() == reply(2)


async def test_it_does_not_think_for_ever() -> None:
    async with Call(Mind()) as call:
        call.mind.flood = 10 * OUTPUTS_MAX
        await call.does(Prepare(1, ask("a")))
        assert 0 < call.mind.given <= OUTPUTS_MAX
        await call.does(Prepare(1, ()))


async def test_one_that_is_adopted_is_cut_like_any() -> None:
    async with Call(Mind(), replace(WRITES, output_tokens_max=2)) as call:
        await call.does(Prepare(1, ask("a")))
        await call.does(Respond(1, ask("a")))
        call.mind.lets.set()
        await call.does()
        assert call.events[-1] == ReplyDone(1, cut=True) and call.mind.open == 0
