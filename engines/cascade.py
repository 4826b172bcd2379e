"""Three engines as one: recognition, dialogue and synthesis behind one `converse`.

Each turn's work is a handful of tasks; cancelling the turn cancels them, and that closes the
engines' generators. Engines are looked up by name when a turn needs them, so a change of
settings holds from the next turn on and a failing name fails that turn only.

A reply may be thought of before it is asked for (`forethought`), and each of its pieces is made
while the one before it is heard (`delivery`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from .delivery import Delivery, Piece
from .forethought import Forethought
from .sentences import SentenceCutter
from .speech import (
    CallPiece,
    Cancel,
    Command,
    Configure,
    Cut,
    DialogueOutput,
    Emit,
    EndUtterance,
    EngineError,
    EngineFailed,
    Engines,
    EngineSettings,
    EngineUse,
    Entry,
    Expect,
    Fill,
    HangUp,
    Hear,
    Hurried,
    Pace,
    PcmFrame,
    Prepare,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    SpeechOutput,
    Spent,
    TextToSpeech,
    Transcribe,
    Transcribed,
    Transcript,
)

UNHEARD_FRAMES_MAX = 320  # Ten seconds; a recogniser further behind than this is of no use.
# So long after the end of the sound nobody waits for its words any more, and a recogniser that has
# not come to an end never will.
LISTENS_ON_S = 30.0
SPEED_MIN, SPEED_MAX = 0.25, 4.0
TOKEN_CHARS = 4

_Sound = asyncio.Queue[PcmFrame | None]
_Job = Callable[[], Awaitable[None]]


def unrecorded(_: int, __: EngineUse) -> None:
    """Nobody keeps a record of turns."""


@dataclass(slots=True)
class Thought:
    """One reply while it is being thought of."""

    turn: int
    history: tuple[Entry, ...]
    settings: EngineSettings
    # It was thought of before it was asked for.
    begun: Forethought | None = None
    pace: float = 1.0
    hangs_up: bool = False
    # It was longer than `output_tokens_max` allows.
    cut: bool = False
    chars: int = 0

    def allow(self, words: str) -> str:
        """As much of these words as the reply may still hold. Tokens are estimated, for most
        dialogue engines count in tokens that only they know."""
        room = self.settings.output_tokens_max * TOKEN_CHARS - self.chars
        self.chars += len(words)
        if not self.settings.output_tokens_max or len(words) <= room:
            return words
        self.cut = True
        return words[: max(room, 0)]

    def done(self) -> ReplyDone:
        return ReplyDone(self.turn, self.hangs_up, self.cut)


class Cascade:
    """`report` is told of each request to an engine when it is over, with the turn it was for,
    whatever became of that."""

    def __init__(
        self, engines: Engines, settings: EngineSettings,
        report: Callable[[int, EngineUse], None] = unrecorded,
    ) -> None:  # fmt: skip
        self._engines, self._settings, self._report = engines, settings, report
        self._expected: tuple[str, ...] = ()
        self._work: dict[int, set[asyncio.Task[None]]] = defaultdict(set)
        self._sound: dict[int, _Sound] = {}
        self._forethought: Forethought | None = None
        # Turns whose reply was asked for, and replies that are being spoken.
        self._answering: set[int] = set()
        self._deliveries: dict[int, Delivery] = {}
        # By turn, whoever makes sound of its pieces just now.
        self._voices: dict[int, set[Hurried]] = {}

    async def converse(self, commands: AsyncIterator[Command], emit: Emit) -> None:
        async with asyncio.TaskGroup() as group:
            try:
                async for command in commands:
                    self._obey(command, group, emit)
            finally:
                self._drop_forethought()
                for turn in list(self._work):
                    self._cancel(turn)

    def _obey(self, command: Command, group: asyncio.TaskGroup, emit: Emit) -> None:
        match command:
            case Hear(turn, frame):
                if turn not in self._sound:
                    sound = self._sound[turn] = _Sound(UNHEARD_FRAMES_MAX)
                    self._start(group, turn, emit, partial(self._listen_live, turn, sound, emit))
                self._hear(group, turn, frame, emit)
            case EndUtterance(turn):
                if (ended := self._sound.pop(turn, None)) is not None:
                    self._hear_end(group, turn, ended, emit)
            case Transcribe(turn, frames):
                self._start(group, turn, emit, partial(self._listen, turn, _all_of(frames), emit))
            case Prepare():
                self._prepare(group, command)
            case Respond(turn, history, own):
                self._answering.add(turn)
                # The settings of this moment: what is configured next is for later turns.
                thought = Thought(turn, history, own or self._settings)
                self._adopt(thought)
                reply = partial(self._write, thought, emit)
                if thought.settings.speaks:
                    delivery = self._delivery(turn, thought.settings, emit)
                    self._deliveries[turn] = delivery
                    reply = partial(self._speak, thought, delivery, emit)
                self._start(group, turn, emit, reply)
            case Fill(turn, text):
                if turn in self._deliveries:
                    self._deliveries[turn].fill(text)
                for voice in self._voices.get(turn, ()):
                    voice.hurry()
            case Say(turn, text, filler, waited):
                self._drop_forethought()
                said = Piece(text, filler=filler, waited=filler or waited)
                self._start(group, turn, emit, partial(self._announce, turn, said, emit))
            case Cancel(turn, _):
                self._cancel(turn)
            case Configure(settings):
                self._settings = settings

    # Work and its end.

    def _start(self, group: asyncio.TaskGroup, turn: int, emit: Emit, job: _Job) -> None:
        self._own(turn, group.create_task(self._guard(turn, job, emit)))

    def _own(self, turn: int, task: asyncio.Task[None]) -> None:
        """The task is cancelled with the turn."""
        self._work[turn].add(task)
        task.add_done_callback(lambda done: self._forget(turn, done))

    def _forget(self, turn: int, task: asyncio.Task[None]) -> None:
        self._work[turn].discard(task)
        if not self._work[turn]:
            del self._work[turn]
            self._answering.discard(turn)
            self._deliveries.pop(turn, None)
            self._voices.pop(turn, None)

    def _cancel(self, turn: int) -> None:
        self._sound.pop(turn, None)
        if self._forethought is not None and self._forethought.turn == turn:
            self._drop_forethought()
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

    async def _listen_live(self, turn: int, sound: _Sound, emit: Emit) -> None:
        try:
            async with asyncio.timeout(None) as limit:
                await self._listen(turn, _until_none(sound, limit), emit)
        except TimeoutError:
            if turn not in self._answering:
                raise EngineError("the recogniser came to no end") from None
        except EngineError:
            # Words that were answered without their final are waited for by nobody; the answer
            # has nothing to do with what became of them.
            if turn not in self._answering:
                raise

    async def _listen(self, turn: int, sound: AsyncIterator[PcmFrame], emit: Emit) -> None:
        settings, said = self._settings, list[str]()
        recogniser = self._engines.speech_to_text(
            settings.speech_to_text, settings.language, partial(self._report, turn)
        )
        stream = recogniser.transcribe(
            sound, language=settings.language, expected=self._expected
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

    def _prepare(self, group: asyncio.TaskGroup, command: Prepare) -> None:
        """Begin to think, in secret; an empty history only ends what was begun."""
        self._drop_forethought()
        turn, history = command.turn, command.history
        settings = command.settings or self._settings
        if history:
            begin = partial(self._ask, turn, history, settings)
            self._forethought = Forethought(turn, history, settings, begin)
            self._forethought.task = group.create_task(self._forethought.think())

    def _adopt(self, thought: Thought) -> None:
        """What was thought of in secret is the reply's, if it fits, and is dropped if not."""
        found = self._forethought
        if found and found.answers(thought.turn, thought.history, thought.settings):
            assert found.task is not None, "it thinks from its beginning on"
            thought.begun, self._forethought = found, None
            self._own(thought.turn, found.task)
        self._drop_forethought()

    def _drop_forethought(self) -> None:
        if self._forethought is not None:
            self._forethought.forget()
            self._forethought = None

    async def _speak(self, thought: Thought, delivery: Delivery, emit: Emit) -> None:
        """Think and speak at once: the next pieces are thought of while one is spoken."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._think_aloud(thought, delivery, emit))
            await delivery.run()
        await emit(thought.done())

    async def _think_aloud(self, thought: Thought, delivery: Delivery, emit: Emit) -> None:
        cutter = SentenceCutter()
        async with contextlib.aclosing(self._think(thought, emit)) as thinking:
            async for words in thinking:
                for piece in cutter.rest() if words is None else cutter.feed(words):
                    await delivery.put(Piece(piece, thought.pace))
        for piece in cutter.rest():
            await delivery.put(Piece(piece, thought.pace))
        await delivery.put(None)

    async def _write(self, thought: Thought, emit: Emit) -> None:
        """A reply that is only read goes out as it is thought of, to the character."""
        async with contextlib.aclosing(self._think(thought, emit)) as thinking:
            async for words in thinking:
                if words is not None:
                    await emit(ReplyText(thought.turn, words))
        await emit(thought.done())

    async def _think(self, thought: Thought, emit: Emit) -> AsyncGenerator[str | None, None]:
        """The words of the reply as they come, and None where they pause because a tool is
        asked for; what else the dialogue says is seen to here."""
        begun, self._expected = False, ()
        asked = partial(self._ask, thought.turn, thought.history, thought.settings)
        stream = thought.begun.outputs() if thought.begun else asked()
        async with contextlib.aclosing(stream) as outputs:
            async for output in outputs:
                if isinstance(output, str | CallPiece) and not begun:
                    begun = True
                    await emit(ReplyBegun(thought.turn))
                match output:
                    case str(words):
                        if allowed := thought.allow(words):
                            yield allowed
                    case CallPiece():
                        yield None
                        await emit(ReplyCall(thought.turn, output))
                    case Pace(speed):
                        thought.pace = speed
                    case Expect(phrases):
                        self._expected = phrases
                    case HangUp():
                        thought.hangs_up = True
                    case Cut():
                        thought.cut = True
                    case Spent():
                        pass  # Whoever keeps the accounts has read it on its way.
                if thought.cut:
                    return

    def _ask(
        self, turn: int, history: tuple[Entry, ...], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        dialogue = self._engines.dialogue(settings.dialogue, partial(self._report, turn))
        return dialogue.respond(history, settings)

    async def _announce(self, turn: int, said: Piece, emit: Emit) -> None:
        if self._settings.speaks:
            delivery = self._delivery(turn, self._settings, emit)
            await delivery.put(said)
            await delivery.put(None)
            await delivery.run()
        else:
            await emit(ReplyText(turn, said.text, said.filler))
        await emit(ReplyDone(turn))

    def _delivery(self, turn: int, settings: EngineSettings, emit: Emit) -> Delivery:
        return Delivery(turn, partial(self._synthesize, turn, settings), emit)

    async def _synthesize(
        self, turn: int, settings: EngineSettings, piece: Piece
    ) -> AsyncGenerator[SpeechOutput, None]:
        voice = self._engines.text_to_speech(settings.text_to_speech, partial(self._report, turn))
        speed = min(max(settings.speed * piece.pace, SPEED_MIN), SPEED_MAX)
        speech = voice.synthesize(
            piece.text, voice=settings.voice, language=settings.language, speed=speed
        )
        with self._hurried(turn, voice, piece):
            async with contextlib.aclosing(speech) as sounds:
                async for sound in sounds:
                    yield sound

    @contextlib.contextmanager
    def _hurried(self, turn: int, voice: TextToSpeech, piece: Piece) -> Iterator[None]:
        """Have the voice hurry if this piece is waited for, or as soon as it is."""
        if not isinstance(voice, Hurried):
            yield
            return
        if piece.waited:
            voice.hurry()
        voices = self._voices.setdefault(turn, set())
        voices.add(voice)
        try:
            yield
        finally:
            voices.discard(voice)


async def _until_none(queue: _Sound, limit: asyncio.Timeout) -> AsyncIterator[PcmFrame]:
    """The sound to its end; from there on, the limit counts."""
    while (frame := await queue.get()) is not None:
        yield frame
    limit.reschedule(asyncio.get_running_loop().time() + LISTENS_ON_S)


async def _all_of(frames: tuple[PcmFrame, ...]) -> AsyncIterator[PcmFrame]:
    for frame in frames:
        yield frame


async def _fail(reason: str) -> None:
    raise EngineError(reason)


def _first_reason(error: BaseExceptionGroup[EngineError]) -> str:
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)
