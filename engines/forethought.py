"""A reply that is thought of before anybody has asked for it, and that nobody may ever ask for.

While the user pauses the words so far are answered in secret. When the pause was the end, and the
words were these, what has been thought of by then is the beginning of the reply; otherwise it is
dropped, and nobody hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from .speech import DialogueOutput, EngineError, EngineSettings, Entry, Turn

# A dialogue that is this far ahead waits.
OUTPUTS_MAX = 1_024
_MARKS = ".,;:!?…。，、！？；：\"'«»„“”‘’()[]—–-"


class Forethought:
    """`begin` asks the dialogue; it may raise `EngineError`. Who makes one runs `think` as a
    task, and gives it as `task`."""

    def __init__(
        self, turn: int, history: Sequence[Entry], settings: EngineSettings,
        begin: Callable[[], AsyncGenerator[DialogueOutput, None]],
    ) -> None:  # fmt: skip
        self.turn, self._history, self._settings = turn, history, settings
        self._begin = begin
        self._outputs: asyncio.Queue[DialogueOutput | EngineError | None] = asyncio.Queue(
            OUTPUTS_MAX
        )
        self._failed = False
        self.task: asyncio.Task[None] | None = None

    async def think(self) -> None:
        end: EngineError | None = None
        try:
            async with contextlib.aclosing(self._begin()) as outputs:
                async for output in outputs:
                    await self._outputs.put(output)
        except EngineError as error:
            self._failed, end = True, error
        await self._outputs.put(end)

    def answers(self, turn: int, history: Sequence[Entry], settings: EngineSettings) -> bool:
        """Whether it is what a reply to this would say. One that failed is no answer: to be
        asked again may help."""
        asked = turn, settings, _essence(history)
        return not self._failed and asked == (self.turn, self._settings, _essence(self._history))

    async def outputs(self) -> AsyncGenerator[DialogueOutput, None]:
        """What was thought of, and what still is. Raises `EngineError`."""
        try:
            while (output := await self._outputs.get()) is not None:
                if isinstance(output, EngineError):
                    raise output
                yield output
        finally:
            self.forget()

    def forget(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _essence(history: Sequence[Entry]) -> tuple[Entry, ...]:
    """The history without what tells nothing in its last words, which a recogniser may write in
    one way and then in another: capitals, marks around words, spaces."""
    *before, last = history
    if isinstance(last, Turn):
        words = (word.strip(_MARKS) for word in last.user.casefold().split())
        last = replace(last, user=" ".join(filter(None, words)))
    return (*before, last)
