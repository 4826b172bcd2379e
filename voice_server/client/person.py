"""A person on the line: waits for the greeting, says its piece, listens to the answer, hangs
up, and stays until the bill has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .caller import Caller, CallFailed, Sound
from .dialog import Dialog
from .listening import Listener
from .microphone import Clip, now_us

_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits for what, in milliseconds."""

    talks_over: bool = False
    hold_ms: int = 0
    # A server that has not begun to greet by then is waiting for us.
    greeting_ms: int = 1_500
    # The longest greeting one listens to, and the longest answer.
    greeted_ms: int = 60_000
    answer_ms: int = 90_000
    # After the clip the server needs a pause to know that we have ended ...
    endpoint_ms: int = 700
    # ... and when it has not noticed any speech by then, there was none in the clip.
    nothing_ms: int = 4_000
    # After a request to hang up, the server settles and closes.
    closing_ms: int = 10_000


class Person:
    """Holds one call; afterwards `dialog` is what was said and `listener` what was heard."""

    def __init__(
        self,
        caller: Caller,
        clip: Clip,
        patience: Patience,
        *,
        watch: Callable[[Dialog], None] = lambda _: None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.dialog, self.listener = Dialog(), Listener()
        self._caller, self._clip, self._patience = caller, clip, patience
        self._watch, self._clock = watch, clock
        self._leaving = asyncio.Event()

    @property
    def answered(self) -> bool:
        return self.dialog.answers_begun > 0 and self.listener.heard_ms > 0

    def leave(self) -> None:
        """Hang up now, whatever is being said."""
        self._leaving.set()

    async def converse(self) -> None:
        """The whole call. Raises `CallFailed` when the line is cut."""
        async with asyncio.TaskGroup() as group:
            acting = group.create_task(self._act(), name="acting")
            await self._listen()
            # The line is closed: nobody is left to speak to.
            acting.cancel()

    async def _listen(self) -> None:
        async for happening in self._caller.happenings():
            self.dialog.happened(happening)
            if isinstance(happening, Sound):
                self.listener.hear(happening)
            elif happening.event.get("type") == "output_audio_buffer.cleared":
                self.listener.drop(happening.at_us)
            self._watch(self.dialog)

    async def _act(self) -> None:
        speaking = asyncio.create_task(self._speak(), name="speaking")
        leaving = asyncio.create_task(self._leaving.wait(), name="leaving")
        try:
            await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaking.cancel()
            leaving.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)
        await self._caller.hang_up()
        await asyncio.sleep(self._patience.closing_ms / 1_000)
        raise CallFailed("the server did not close the call it was asked to close")

    async def _speak(self) -> None:
        if not self._patience.talks_over:
            # Who answers a telephone speaks first; the protocol wants to be asked.
            await self._caller.tell({"type": "response.create"})
            await self._until(self._is_greeted, self._patience.greeted_ms)
        utterance = self._caller.microphone.say(self._clip)
        await utterance.over.wait()
        await asyncio.sleep(self._patience.endpoint_ms / 1_000)
        await self._until(self._is_answered, self._patience.answer_ms)
        await asyncio.sleep(self._patience.hold_ms / 1_000)

    async def _until(self, reached: Callable[[int], bool], patience_ms: int) -> None:
        """Wait until `reached(waited_ms)`, but no longer than the patience lasts."""
        began_us = self._clock()
        while (waited_ms := (self._clock() - began_us) // 1_000) < patience_ms:
            if reached(waited_ms):
                return
            await asyncio.sleep(_STEP_S)

    def _is_greeted(self, waited_ms: int) -> bool:
        begun = self.dialog.replies_begun > 0 or waited_ms >= self._patience.greeting_ms
        return begun and self.dialog.is_quiet(self._clock())

    def _is_answered(self, waited_ms: int) -> bool:
        due = self.dialog.answers_begun > 0 or waited_ms >= self._patience.nothing_ms
        return due and self.dialog.is_quiet(self._clock())
