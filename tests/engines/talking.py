"""A call as an engine sees it, for tests of speech-to-speech engines: commands go in, and what is
told is kept, by turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from engines.cascade import Cascade
from engines.openai.realtime import OpenAIRealtime
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import (
    OPUS_FRAME_MS,
    Command,
    Dialogue,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    EngineUse,
    Entry,
    Event,
    Hear,
    PcmFrame,
    ReplyAudio,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Report,
    Respond,
    SpeechToText,
    TextToSpeech,
    Transcribed,
    Transcript,
    Turn,
    unreported,
)
from engines.vendors import OpenAIOptions

PATIENCE_S = 60.0
CASCADE_SAYS = "The cascade answers."


class Nothing:
    """Hears no words."""

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        async for _ in audio:
            pass
        yield Transcript("", final=True)


class Scripted:
    """The engines of the cascade, and what each heard and was asked."""

    def __init__(self) -> None:
        self.hears, self.asked = "What is a verb?", list[tuple[Entry, ...]]()

    def speech_to_text(self, name: str, language: str, report: Report = unreported) -> SpeechToText:
        return ScriptedSpeechToText(self.hears) if self.hears else Nothing()

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        engines = self

        class Asked(ScriptedDialogue):
            def respond(self, history, settings):  # type: ignore[no-untyped-def]
                engines.asked.append(tuple(history))
                return super().respond(history, settings)

        return Asked(CASCADE_SAYS)

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
        return ScriptedTextToSpeech()


class Talk:
    """One call with an engine. `told`: all that it told, in order."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.uses: list[EngineUse] = []
        self.engines = Scripted()
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._news = asyncio.Event()

    async def commands(self) -> AsyncIterator[Command]:
        while True:
            yield await self._commands.get()

    async def emit(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()

    def report(self, turn: int, use: EngineUse) -> None:
        assert turn > 0
        self.uses.append(use)
        self._news.set()

    # What the call does.

    def do(self, *commands: Command) -> None:
        for command in commands:
            self._commands.put_nowait(command)

    def says(self, turn: int, frames: Sequence[PcmFrame], *before: Entry) -> None:
        """The user says this, and is to be answered, after what was said before."""
        self.do(*[Hear(turn, frame) for frame in frames], EndUtterance(turn))
        self.do(Respond(turn, (*before, Turn("", ""))))

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not met():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):  # The vendor's news are not ours.
                        await self._news.wait()

    async def over(self, turn: int) -> None:
        """Until the turn's reply is made, or lost."""
        await self.until(lambda: self.done(turn) or self.failed(turn))

    # What was told.

    def of(self, turn: int) -> list[Event]:
        return [event for event in self.told if event.turn == turn]

    def done(self, turn: int) -> ReplyDone | None:
        return next((e for e in self.of(turn) if isinstance(e, ReplyDone)), None)

    def failed(self, turn: int) -> EngineFailed | None:
        return next((e for e in self.of(turn) if isinstance(e, EngineFailed)), None)

    def text(self, turn: int) -> str:
        return " ".join(e.text for e in self.of(turn) if isinstance(e, ReplyText))

    def finals(self, turn: int) -> list[str]:
        return [e.transcript.text for e in self.of(turn)
                if isinstance(e, Transcribed) and e.transcript.final]  # fmt: skip

    def sound_ms(self, turn: int) -> int:
        return OPUS_FRAME_MS * sum(isinstance(e, ReplyAudio) for e in self.of(turn))

    def calls(self, turn: int) -> list[tuple[str, str, str]]:
        """(call_id, name, arguments) of each tool that was asked for."""
        made: dict[str, tuple[str, str, str]] = {}
        for event in self.of(turn):
            if isinstance(event, ReplyCall):
                piece = event.piece
                before = made.get(piece.call_id, (piece.call_id, piece.name, ""))
                made[piece.call_id] = (*before[:2], before[2] + piece.arguments)
        return list(made.values())


@contextlib.asynccontextmanager
async def talking(
    options: OpenAIOptions, settings: EngineSettings | None = None
) -> AsyncIterator[Talk]:
    """A call on the vendor's sessions, with a scripted cascade behind them. Nothing is left."""
    settings = settings or EngineSettings()
    talk, engine = Talk(), OpenAIRealtime(options)
    before = asyncio.all_tasks()
    speech = engine.speech(settings, Cascade(talk.engines, settings), talk.report)
    task = asyncio.create_task(speech.converse(talk.commands(), talk.emit))
    try:
        yield talk
        assert not task.done(), "the engine has left the call"
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        await engine.close()
    assert isinstance(ended, asyncio.CancelledError), ended
    await talk.until(lambda: asyncio.all_tasks() <= before)
