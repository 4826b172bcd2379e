"""A recording written down: stretch by stretch, with every word at its place in the recording.

Any recogniser of calls will do. It hears one stretch at a time, without the silence between, so
that hours of nothing cost nothing and the times are those of the recording.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from .languages import code_of
from .recordings import FRAMES_AT_ONCE, Measured, Recording
from .speech import EngineError, PcmFrame, SpeechToText, Transcript
from .stretches import CutRules, Passage, SpeechCutter, Stretch, passage


class Dictation:
    """Writes one recording down. `language` is ISO 639-1; an empty one is found out from the
    first words where the recogniser can, and is `default_language` where it cannot. With
    `translates` the words come in English. `expected`: phrases that are likely."""

    def __init__(
        self, engine: SpeechToText, recording: Recording, *, language: str = "",
        default_language: str = "en", expected: Sequence[str] = (), rules: CutRules | None = None,
        translates: bool = False,
    ) -> None:  # fmt: skip
        self._engine, self._recording = engine, recording
        self.language, self._default_language = language, default_language
        self._expected, self._rules = tuple(expected), rules
        self._translates = translates
        if translates and not can_translate(engine):
            raise EngineError("this recogniser cannot translate")

    @property
    def measured(self) -> Measured:
        return self._recording.measured

    async def passages(self) -> AsyncGenerator[Passage, None]:
        """What is said, in order, each passage as soon as it is known. Raises `EngineError`."""
        duration_ms = self._recording.measured.duration_ms
        async with contextlib.aclosing(self._stretches()) as stretches:
            async for stretch in stretches:
                async with contextlib.aclosing(await self._hear(stretch)) as transcripts:
                    async for transcript in transcripts:
                        found = passage(transcript, stretch, duration_ms)
                        if transcript.final and found is not None:
                            yield found
        self.language = self.language or self._default_language

    async def _stretches(self) -> AsyncGenerator[Stretch, None]:
        cutter = SpeechCutter(self._rules)
        async with contextlib.aclosing(self._recording.frames()) as frames:
            async for frame, chance in frames:
                for stretch in cutter.feed(frame, chance):
                    yield stretch
        for stretch in cutter.finish():
            yield stretch

    async def _hear(self, stretch: Stretch) -> AsyncGenerator[Transcript, None]:
        if not self.language:
            self.language = await self._detected(stretch) or self._default_language
        hears = self._engine.transcribe
        if self._translates:
            hears = self._engine.translate  # type: ignore[attr-defined]
        return hears(_spoken(stretch.frames), language=self.language, expected=self._expected)

    async def _detected(self, stretch: Stretch) -> str:
        detect: Callable[[Sequence[PcmFrame]], Awaitable[str]] | None = getattr(
            self._engine, "detect_language", None
        )
        return "" if detect is None else code_of(await detect(stretch.frames)) or ""


def can_translate(engine: SpeechToText) -> bool:
    return hasattr(engine, "translate")


async def _spoken(frames: Sequence[PcmFrame]) -> AsyncIterator[PcmFrame]:
    """The frames as a stream that lets others have their turn."""
    for number, frame in enumerate(frames):
        if number % FRAMES_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield frame
