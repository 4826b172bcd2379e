"""One piece is told while the next is made: what is ahead, in which order, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from engines.cascade import Cascade
from engines.delivery import SOUNDS_AHEAD_MAX, Delivery, Piece
from engines.speech import (
    Cancel,
    Command,
    EngineError,
    EngineSettings,
    Event,
    OpusFrame,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Respond,
    Turn,
    WordTime,
)

from .contract import PATIENCE_S
from .test_cascade import Trio

SOUND = OpusFrame(b"x")


class Voice:
    """Makes a word and as many frames as `frames` for each piece; fails where that is said."""

    def __init__(self, *, frames: int = 1, fails: str = "") -> None:
        self.frames, self.fails = frames, fails
        self.begun, self.closed, self.made = list[str](), list[str](), 0

    async def synthesize(self, piece: Piece) -> AsyncGenerator[OpusFrame | WordTime, None]:
        self.begun.append(piece.text)
        try:
            yield WordTime(0, 1, 0)
            for _ in range(self.frames):
                self.made += 1
                yield SOUND
            if piece.text == self.fails:
                raise EngineError("the voice broke")
        finally:
            self.closed.append(piece.text)


class Ear:
    """Takes events; where it is told to, only when it is let."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lets = asyncio.Event()
        self.lets.set()

    async def emit(self, event: Event) -> None:
        self.events.append(event)
        await self.lets.wait()


async def settled() -> None:
    """Everybody has done what there is to do."""
    for _ in range(1_000):
        await asyncio.sleep(0)


def told(*texts: str, frames: int = 1) -> list[Event]:
    events: list[Event] = []
    for text in texts:
        sound = [ReplyAudio(1, SOUND)] * frames
        events += [ReplyText(1, text), ReplyWord(1, WordTime(0, 1, 0)), *sound]
    return events


async def put(delivery: Delivery, *texts: str) -> None:
    for text in texts:
        await delivery.put(Piece(text))
    await delivery.put(None)


async def test_the_next_piece_is_made_while_one_is_told_and_no_other() -> None:
    voice, ear = Voice(), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    ear.lets.clear()
    await put(delivery, "one", "two", "three")
    task = asyncio.create_task(delivery.run())
    await settled()
    assert ear.events == [ReplyText(1, "one")], "the listener is slow"
    assert voice.begun == ["one", "two"], "exactly one is ahead"
    ear.lets.set()
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert ear.events == told("one", "two", "three")


async def test_what_is_made_ahead_is_bounded() -> None:
    voice, ear = Voice(frames=10_000), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    ear.lets.clear()
    await put(delivery, "one", "two")
    task = asyncio.create_task(delivery.run())
    await settled()
    assert voice.begun == ["one", "two"] and voice.made <= 2 * SOUNDS_AHEAD_MAX
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(voice.closed) == ["one", "two"]


async def test_what_went_wrong_ahead_is_told_when_its_turn_comes() -> None:
    voice, ear = Voice(fails="two"), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    ear.lets.clear()
    await put(delivery, "one", "two", "three")
    task = asyncio.create_task(delivery.run())
    await settled()
    assert voice.closed == ["one", "two"] and not task.done()
    ear.lets.set()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await task
    assert caught.group_contains(EngineError, match="the voice broke")
    assert ear.events == told("one", "two"), "all that was made of it is told first"


async def test_a_filler_is_said_while_nothing_is_there_to_be_said() -> None:
    voice, ear = Voice(), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    task = asyncio.create_task(delivery.run())
    delivery.fill("wait")
    await settled()
    assert ear.events[0] == ReplyText(1, "wait", filler=True)
    await put(delivery, "one")
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert voice.begun == ["wait", "one"]
    assert ear.events[3:] == told("one")


async def test_a_filler_that_cannot_be_said_fails_no_reply() -> None:
    voice, ear = Voice(fails="One moment."), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    running = asyncio.create_task(delivery.run())
    await settled()
    delivery.fill("One moment.")
    await settled()
    await put(delivery, "Here it is.")
    await running
    assert ear.events[-3:] == told("Here it is.")


async def test_a_filler_is_said_between_pieces_as_well() -> None:
    voice, ear = Voice(), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    task = asyncio.create_task(delivery.run())
    await delivery.put(Piece("one"))
    await settled()
    delivery.fill("wait")
    await put(delivery, "two")
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert voice.begun == ["one", "wait", "two"]


async def test_nothing_is_filled_where_a_piece_is_on_its_way() -> None:
    voice, ear = Voice(), Ear()
    delivery = Delivery(1, voice.synthesize, ear.emit)
    await delivery.put(Piece("one"))
    delivery.fill("it is thought of")
    ear.lets.clear()
    task = asyncio.create_task(delivery.run())
    await settled()
    delivery.fill("it is told")
    await delivery.put(Piece("two"))
    await settled()
    delivery.fill("the next is made")
    ear.lets.set()
    await delivery.put(None)
    delivery.fill("it is over")
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert voice.begun == ["one", "two"]


class Slow(Trio):
    """A voice that never gets beyond its first frame, for each piece."""

    def __init__(self) -> None:
        super().__init__(["Here is the first. ", "And here comes the second. "])
        self.open = 0

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        self.spoken.append((text, voice, speed))
        self.open += 1
        try:
            yield SOUND
            await asyncio.Event().wait()
        finally:
            self.open -= 1


async def test_cancelling_a_turn_closes_the_piece_ahead_too() -> None:
    trio, commands, ended = Slow(), asyncio.Queue[Command](), asyncio.Event()

    async def emit(event: Event) -> None:
        if event == ReplyDone(2):
            ended.set()

    async def obey() -> AsyncIterator[Command]:
        while True:
            yield await commands.get()

    task = asyncio.create_task(Cascade(trio, EngineSettings()).converse(obey(), emit))
    commands.put_nowait(Respond(1, (Turn("", ""),)))
    async with asyncio.timeout(PATIENCE_S):
        while trio.open < 2:
            await asyncio.sleep(0)
        commands.put_nowait(Cancel(1, 0))
        while trio.open:
            await asyncio.sleep(0)
    assert [text for text, *_ in trio.spoken] == [text.strip() for text in trio.outputs]  # type: ignore[union-attr]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
