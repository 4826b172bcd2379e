"""Three engines as one: recognition, dialogue and synthesis behind one `converse`.

Each turn's work is a handful of tasks; cancelling the turn cancels them, and that closes the
engines' generators. Engines are looked up by name when a turn needs them, so a change of
settings holds from the next turn on and a failing name fails that turn only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from .sentences import SentenceCutter
from .speech import (
    Cancel,
    Command,
    Configure,
    Emit,
    EndUtterance,
    EngineError,
    EngineFailed,
    Engines,
    EngineSettings,
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
    Transcribed,
    Transcript,
    Turn,
)

UNHEARD_FRAMES_MAX = 320  # Ten seconds; a recogniser further behind than this is of no use.
PIECES_AHEAD_MAX = 8
SPEED_MIN, SPEED_MAX = 0.25, 4.0

_Sound = asyncio.Queue[PcmFrame | None]
_Piece = tuple[str, float]
_Job = Callable[[], Awaitable[None]]


class Cascade:
    def __init__(self, engines: Engines, settings: EngineSettings) -> None:
        self._engines, self._settings = engines, settings
        self._expected: tuple[str, ...] = ()
        self._work: dict[int, set[asyncio.Task[None]]] = defaultdict(set)
        self._sound: dict[int, _Sound] = {}

    async def converse(self, commands: AsyncIterator[Command], emit: Emit) -> None:
        async with asyncio.TaskGroup() as group:
            try:
                async for command in commands:
                    self._obey(command, group, emit)
            finally:
                for turn in list(self._work):
                    self._cancel(turn)

    def _obey(self, command: Command, group: asyncio.TaskGroup, emit: Emit) -> None:
        match command:
            case Hear(turn, frame):
                if turn not in self._sound:
                    sound = self._sound[turn] = _Sound(UNHEARD_FRAMES_MAX)
                    self._start(group, turn, emit, partial(self._listen, turn, sound, emit))
                self._hear(group, turn, frame, emit)
            case EndUtterance(turn):
                if (ended := self._sound.pop(turn, None)) is not None:
                    self._hear_end(group, turn, ended, emit)
            case Respond(turn, history):
                # The settings of this moment: what is configured next is for later turns.
                job = partial(self._reply, turn, history, self._settings, emit)
                self._start(group, turn, emit, job)
            case Say(turn, text):
                self._start(group, turn, emit, partial(self._announce, turn, text, emit))
            case Cancel(turn, _):
                self._cancel(turn)
            case Configure(settings):
                self._settings = settings

    # Work and its end.

    def _start(self, group: asyncio.TaskGroup, turn: int, emit: Emit, job: _Job) -> None:
        task = group.create_task(self._guard(turn, job, emit))
        self._work[turn].add(task)
        task.add_done_callback(lambda done: self._forget(turn, done))

    def _forget(self, turn: int, task: asyncio.Task[None]) -> None:
        self._work[turn].discard(task)
        if not self._work[turn]:
            del self._work[turn]

    def _cancel(self, turn: int) -> None:
        self._sound.pop(turn, None)
        for task in list(self._work.get(turn, ())):
            task.cancel()

    async def _guard(self, turn: int, job: _Job, emit: Emit) -> None:
        try:
            await job()
        except* EngineError as group:
            self._sound.pop(turn, None)
            await emit(EngineFailed(turn, _first_reason(group)))

    # Recognition.

    def _hear(self, group: asyncio.TaskGroup, turn: int, frame: PcmFrame, emit: Emit) -> None:
        try:
            self._sound[turn].put_nowait(frame)
        except asyncio.QueueFull:
            self._fall_behind(group, turn, emit)

    def _hear_end(self, group: asyncio.TaskGroup, turn: int, sound: _Sound, emit: Emit) -> None:
        try:
            sound.put_nowait(None)
        except asyncio.QueueFull:
            self._fall_behind(group, turn, emit)

    def _fall_behind(self, group: asyncio.TaskGroup, turn: int, emit: Emit) -> None:
        self._cancel(turn)
        self._start(group, turn, emit, partial(_fail, "the recogniser fell behind"))

    async def _listen(self, turn: int, sound: _Sound, emit: Emit) -> None:
        settings, said = self._settings, list[str]()
        recogniser = self._engines.speech_to_text(settings.speech_to_text, settings.language)
        stream = recogniser.transcribe(
            _until_none(sound), language=settings.language, expected=self._expected
        )
        end_ms = 0
        async with contextlib.aclosing(stream) as transcripts:
            async for transcript in transcripts:
                words = " ".join(filter(None, [*said, transcript.text.strip()]))
                end_ms = transcript.end_ms
                if transcript.final:
                    said.append(transcript.text.strip())
                await emit(Transcribed(turn, Transcript(words, final=False, end_ms=end_ms)))
        text = " ".join(filter(None, said))
        await emit(Transcribed(turn, Transcript(text, final=True, end_ms=end_ms)))

    # Replies.

    async def _reply(
        self, turn: int, history: tuple[Turn, ...], settings: EngineSettings, emit: Emit
    ) -> None:
        """Think and speak at once: the next pieces are thought of while one is spoken."""
        pieces: asyncio.Queue[_Piece | None] = asyncio.Queue(PIECES_AHEAD_MAX)
        async with asyncio.TaskGroup() as group:
            thinking = group.create_task(self._think(turn, history, settings, pieces, emit))
            while (piece := await pieces.get()) is not None:
                await self._say(turn, *piece, settings, emit)
            hangs_up = await thinking
        await emit(ReplyDone(turn, hangs_up))

    async def _think(
        self, turn: int, history: tuple[Turn, ...], settings: EngineSettings,
        pieces: asyncio.Queue[_Piece | None], emit: Emit,
    ) -> bool:
        cutter, pace, hangs_up, begun = SentenceCutter(), 1.0, False, False
        self._expected = ()
        stream = self._engines.dialogue(settings.dialogue).respond(history, settings)
        async with contextlib.aclosing(stream) as outputs:
            async for output in outputs:
                match output:
                    case str(words):
                        if not begun:
                            begun = True
                            await emit(ReplyBegun(turn))
                        for piece in cutter.feed(words):
                            await pieces.put((piece, pace))
                    case Pace(speed):
                        pace = speed
                    case Expect(phrases):
                        self._expected = phrases
                    case HangUp():
                        hangs_up = True
        for piece in cutter.rest():
            await pieces.put((piece, pace))
        await pieces.put(None)
        return hangs_up

    async def _announce(self, turn: int, text: str, emit: Emit) -> None:
        await self._say(turn, text, 1.0, self._settings, emit)
        await emit(ReplyDone(turn))

    async def _say(
        self, turn: int, text: str, pace: float, settings: EngineSettings, emit: Emit
    ) -> None:
        await emit(ReplyText(turn, text))
        voice = self._engines.text_to_speech(settings.text_to_speech)
        speed = min(max(settings.speed * pace, SPEED_MIN), SPEED_MAX)
        speech = voice.synthesize(
            text, voice=settings.voice, language=settings.language, speed=speed
        )
        async with contextlib.aclosing(speech) as sounds:
            async for sound in sounds:
                if isinstance(sound, OpusFrame):
                    await emit(ReplyAudio(turn, sound))
                else:
                    await emit(ReplyWord(turn, sound))


async def _until_none(queue: _Sound) -> AsyncIterator[PcmFrame]:
    while (frame := await queue.get()) is not None:
        yield frame


async def _fail(reason: str) -> None:
    raise EngineError(reason)


def _first_reason(error: BaseExceptionGroup[EngineError]) -> str:
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)
