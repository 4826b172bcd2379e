"""The pieces of a reply on their way to the listener: while one is told, the next is made.

    put ─► pieces ─► making, at most one ahead ─► ReplyText, its words, its sound, in order

A voice on the network needs some hundred milliseconds before it begins; without the piece ahead
that would be a gap after every sentence. How much of it may be made ahead is bounded, and what
goes wrong with it is told when its turn comes, as if it had been made then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from .speech import (
    Emit,
    EngineError,
    OpusFrame,
    ReplyAudio,
    ReplyText,
    ReplyWord,
    SpeechOutput,
    WordTime,
)

# Thought of, and not begun to be made.
PIECES_MAX = 8
# Made of one piece, and not told: two seconds of sound, and the places of its words.
SOUNDS_AHEAD_MAX = 120


@dataclass(frozen=True, slots=True)
class Piece:
    """What is said in one go, at `pace` times the caller's own speed. `waited`: its listener has
    heard nothing for long."""

    text: str
    pace: float = 1.0
    filler: bool = False
    waited: bool = False


Synthesize = Callable[[Piece], AsyncGenerator[SpeechOutput, None]]


class _Making:
    """The sound of one piece, between the one who makes it and the one who tells it."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self._made = asyncio.Queue[SpeechOutput | EngineError | None](SOUNDS_AHEAD_MAX)

    async def make(self, synthesize: Synthesize) -> None:
        end: EngineError | None = None
        try:
            async with contextlib.aclosing(synthesize(self.piece)) as sounds:
                async for sound in sounds:
                    await self._made.put(sound)
        except EngineError as error:
            end = error
        await self._made.put(end)

    async def tell(self, turn: int, emit: Emit) -> None:
        """Raises the `EngineError` of its making. A filler that could not be made is left out:
        nobody asked for it, and the reply may come all the same."""
        await emit(ReplyText(turn, self.piece.text, self.piece.filler))
        while (made := await self._made.get()) is not None:
            match made:
                case OpusFrame():
                    await emit(ReplyAudio(turn, made))
                case WordTime():
                    await emit(ReplyWord(turn, made))
                case EngineError():
                    if self.piece.filler:
                        return
                    raise made


class Delivery:
    """One reply's pieces; `synthesize` makes the sound of one."""

    def __init__(self, turn: int, synthesize: Synthesize, emit: Emit) -> None:
        self._turn, self._synthesize, self._emit = turn, synthesize, emit
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue(PIECES_MAX)
        # Everything that was put has been told, as far as is known.
        self._idle = True

    async def put(self, piece: Piece | None) -> None:
        """Say this next; None: there is no more."""
        await self._pieces.put(piece)

    def fill(self, text: str) -> None:
        """Say this now, if the listener waits for a piece that has not been thought of yet."""
        if self._idle and self._pieces.empty():
            self._pieces.put_nowait(Piece(text, filler=True, waited=True))

    async def run(self) -> None:
        """Tell all of it. Raises `EngineError`, in a group."""
        async with asyncio.TaskGroup() as group:
            making = await self._begin_next(group)
            while making is not None:
                ahead = group.create_task(self._begin_next(group))
                await making.tell(self._turn, self._emit)
                self._idle = not ahead.done()
                making = await ahead

    async def _begin_next(self, group: asyncio.TaskGroup) -> _Making | None:
        piece = await self._pieces.get()
        if piece is None:
            return None
        self._idle, making = False, _Making(piece)
        group.create_task(making.make(self._synthesize))
        return making
