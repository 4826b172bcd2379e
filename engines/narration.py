"""A text of any length, spoken piece by piece: by sentences, each in its own language.

A voice is never held up by a listener. It speaks one piece to the end, however slowly that is
taken, and begins the next one only when little is left of what was spoken: so a slow listener
costs some seconds of sound in memory, and a call that wants the same voice waits for one
sentence at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import Protocol

from . import languages
from .sentences import SentenceCutter
from .speech import EngineError, OpusFrame, TextToSpeech

# The next piece is spoken once no more than this is waiting to be taken: five seconds.
FRAMES_WAITING_MAX = 250
PORTION_CHARS = 256
# A language tag with something more, as local voices are named: "en-us", "ru+f2".
_OURS = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]+)*(?:\+\w+)?", re.ASCII)


class _Listed(Protocol):
    @property
    def name(self) -> str: ...


class NothingToSay(EngineError):
    """The text holds nothing that can be spoken."""


class NoSuchVoice(EngineError):
    """A voice that is named as ours are, and is none of ours."""


def chosen_voice(engine: TextToSpeech, named: str) -> str:
    """The engine's voice of this name; empty, which is the default of whatever language is
    spoken, for a name of another house's voice. Raises `NoSuchVoice`."""
    knows: Callable[[str], bool] | None = getattr(engine, "knows", None)
    if not named:
        return ""
    if knows is None:  # It may say which voices it has.
        return named if _is_listed(engine, named) else ""
    if knows(named):
        return named
    if _OURS.fullmatch(named) and (len(named) == 2 or not named.isalpha()):
        raise NoSuchVoice(f"there is no voice {named[:40]!r}")
    return ""


def _is_listed(engine: TextToSpeech, voice: str, language: str = "") -> bool:
    """Whether the engine says that it has this voice, and for this language."""
    voices: Callable[[str], Iterable[_Listed]] | None = getattr(engine, "voices", None)
    return voices is not None and any(voice == each.name for each in voices(language))


def pieces(text: str) -> Iterator[str]:
    """A text cut into what is spoken in one go."""
    cutter = SentenceCutter(live=False)
    # The cutter looks at all it holds for every cut: little at a time is much less to look at.
    for start in range(0, len(text), PORTION_CHARS):
        yield from cutter.feed(text[start : start + PORTION_CHARS])
    yield from cutter.rest()


async def narrated(
    engine: TextToSpeech, text: str, *, voice: str, language: str, speed: float
) -> AsyncGenerator[OpusFrame, None]:
    """The sound of the text. Each piece is spoken in the language of its letters where the
    `voice` has it, as every one does with no `voice`, and else in `language`. Raises
    `NothingToSay` and `EngineError`."""
    speaking, spoke = _Speaking(), False

    async def speak() -> None:
        for piece in pieces(text):
            await asyncio.sleep(0)  # A piece may make no sound, and thousands of them no pause.
            await speaking.wait_for_room()
            spoken = _spoken(engine, languages.of_text(piece))
            if voice and not _is_listed(engine, voice, spoken):
                spoken = ""
            sounds = engine.synthesize(
                piece, voice=voice, language=spoken or language, speed=speed
            )
            async with contextlib.aclosing(sounds):
                async for sound in sounds:
                    if isinstance(sound, OpusFrame):
                        speaking.put(sound)

    task = asyncio.create_task(speak())
    task.add_done_callback(speaking.end)
    try:
        while (frame := await speaking.take()) is not None:
            spoke = True
            yield frame
        await task
        if not spoke:
            raise NothingToSay("there is nothing in this text that can be spoken")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _spoken(engine: TextToSpeech, language: str) -> str:
    """The language, where the engine says that it has a voice for it; else nothing."""
    default_voice: Callable[[str], str] | None = getattr(engine, "default_voice", None)
    if not language or default_voice is None:
        return language
    try:
        default_voice(language)
    except EngineError:
        return ""
    return language


class _Speaking:
    """Frames between the one who speaks and the one who listens."""

    def __init__(self) -> None:
        self._frames: deque[OpusFrame] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, frame: OpusFrame) -> None:
        self._frames.append(frame)
        self._changed.set()

    def end(self, _: object) -> None:
        self._ended = True
        self._changed.set()

    async def wait_for_room(self) -> None:
        while len(self._frames) > FRAMES_WAITING_MAX:
            self._changed.clear()
            await self._changed.wait()

    async def take(self) -> OpusFrame | None:
        """The next frame; None when there are no more."""
        while not self._frames and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._changed.set()
        return frame
