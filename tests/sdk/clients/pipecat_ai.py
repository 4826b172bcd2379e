"""`pipecat-ai`: its OpenAIRealtimeLLMService in a small pipeline, told where the server is.

sound ─► user's half ─► the service ─► Ear ─► assistant's half of the context
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from .acting import Diary, act, pieces, tell

Options = dict[str, Any]
QUESTION = "What is a verb?"
RATE_HZ = 24_000


class Ear(FrameProcessor):
    """Where a loudspeaker would be: notes what the service pushes on."""

    def __init__(self, diary: Diary[Frame]) -> None:
        super().__init__()
        self._diary = diary

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM:
            self._diary.note(frame)
        await self.push_frame(frame, direction)


class Watch(BaseObserver):
    """Notes what travels up from the service: transcripts and errors."""

    def __init__(self, diary: Diary[Frame]) -> None:
        super().__init__()
        self._diary, self._seen = diary, set[int]()

    async def on_push_frame(self, data: FramePushed) -> None:
        frame = data.frame
        if isinstance(frame, TranscriptionFrame | ErrorFrame) and frame.id not in self._seen:
            self._seen.add(frame.id)
            self._diary.note(frame)


class Talk:
    """One pipeline that runs, its context, and all that came out of the service."""

    def __init__(self, options: Options, written: str, *, tools: Any, manual: bool) -> None:
        hears = AudioInput(transcription=InputAudioTranscription(model="whisper-1"))
        if manual:
            hears.turn_detection = False
        wanted = SessionProperties(
            instructions="Teach grammar.", audio=AudioConfiguration(input=hears)
        )
        settings = OpenAIRealtimeLLMService.Settings(
            model="gpt-realtime", session_properties=wanted
        )
        service = OpenAIRealtimeLLMService(
            api_key=options["key"], base_url=options["url"], settings=settings
        )
        self.context = LLMContext([{"role": "user", "content": written}], tools)
        halves = LLMContextAggregatorPair(self.context)
        self.diary = Diary[Frame]()
        pipeline = Pipeline([halves.user(), service, Ear(self.diary), halves.assistant()])
        self.worker = PipelineWorker(
            pipeline, params=PipelineParams(audio_in_sample_rate=RATE_HZ),
            observers=[Watch(self.diary)], cancel_on_idle_timeout=False, enable_rtvi=False,
        )  # fmt: skip

    async def give(self, *frames: Frame) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def speak(self, path: str) -> None:
        async for piece in pieces(path):
            await self.give(InputAudioRawFrame(piece, RATE_HZ, 1))

    async def until(self, *kinds: type[Frame]) -> Frame:
        return await self.diary.until(lambda frame: isinstance(frame, kinds))

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.diary.events if isinstance(frame, kind)]

    def errors(self) -> list[str]:
        return [frame.error for frame in self.of(ErrorFrame)]

    def history(self) -> list[list[object]]:
        messages = self.context.get_messages()
        return [[each["role"], each["content"]] for each in messages if "content" in each]

    def tell(self, **what: object) -> None:
        tell(
            errors=self.errors(),
            heard=[frame.text for frame in self.of(TranscriptionFrame)],
            sound_bytes=sum(len(frame.audio) for frame in self.of(TTSAudioRawFrame)),
            history=self.history(), **what,
        )  # fmt: skip


@contextlib.asynccontextmanager
async def talking(
    options: Options, written: str, *, tools: Any = None, manual: bool = False
) -> AsyncIterator[Talk]:
    """A pipeline that begins by answering what is written in its context."""
    talk = Talk(options, written, tools=tools or [], manual=manual)
    started = asyncio.Event()
    note_start: Callable[..., Any] = talk.worker.event_handler("on_pipeline_started")

    @note_start
    async def _(worker: PipelineWorker, frame: Frame) -> None:
        started.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(talk.worker)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(60):
        await started.wait()
    await talk.give(LLMRunFrame())
    yield talk
    await talk.give(EndFrame())
    await running


async def writes(options: Options) -> None:
    async with talking(options, QUESTION) as talk:
        await talk.until(LLMFullResponseEndFrame)
    talk.tell()


async def speaks(options: Options) -> None:
    async with talking(options, "Hello.") as talk:
        await talk.until(LLMFullResponseEndFrame)
        speaking = asyncio.create_task(talk.speak(options["sound"]))
        await talk.until(TranscriptionFrame)
        await talk.until(LLMFullResponseEndFrame)
        await speaking
    talk.tell()


async def interrupts(options: Options) -> None:
    """Speaks over a reply."""
    async with talking(options, "Please count.") as talk:
        await talk.until(TTSAudioRawFrame)
        speaking = asyncio.create_task(talk.speak(options["sound"]))
        await talk.until(InterruptionFrame)
        await talk.until(TranscriptionFrame)
        await talk.until(TTSAudioRawFrame)
        await talk.until(LLMFullResponseEndFrame)
        await speaking
    talk.tell()


async def stops(options: Options) -> None:
    """Is interrupted by the pipeline, where the server listens for no turns."""
    async with talking(options, "Please count.", manual=True) as talk:
        await talk.until(TTSAudioRawFrame)
        await talk.give(InterruptionFrame())
        await talk.until(LLMFullResponseEndFrame)  # The service's own,
        await talk.until(LLMFullResponseEndFrame)  # and the server's.
    talk.tell()


async def pushes_to_talk(options: Options) -> None:
    async with talking(options, "Hello.", manual=True) as talk:
        await talk.until(LLMFullResponseEndFrame)
        await talk.give(UserStartedSpeakingFrame())
        await talk.speak(options["sound"])
        await talk.give(UserStoppedSpeakingFrame())
        await talk.until(TranscriptionFrame)
        await talk.until(LLMFullResponseEndFrame)
    talk.tell()


async def calls_a_tool(options: Options) -> None:
    asked: list[object] = []

    async def look_up(call: FunctionCallParams) -> None:
        asked.append([call.arguments["city"], call.arguments["days"]])
        await call.result_callback(f"Sunny in {call.arguments['city']}.")

    tool = FunctionSchema(
        name="look_up_weather", description="Look up the weather forecast for a city.",
        properties={"city": {"type": "string"}, "days": {"type": "integer"}},
        required=["city", "days"], handler=look_up,
    )  # fmt: skip
    written = "Please look up the weather forecast for the city."
    async with talking(options, written, tools=[tool]) as talk:
        await talk.until(TTSAudioRawFrame)
        await talk.until(LLMFullResponseEndFrame)
    talk.tell(asked=asked)


async def talks_beside_others(options: Options) -> None:
    async with (
        talking(options, "Please count.") as counting,
        talking(options, QUESTION) as other,
    ):
        await counting.until(TTSAudioRawFrame)
        await other.until(LLMFullResponseEndFrame)
    other.tell(others=counting.history()[1:], others_errors=counting.errors())


async def is_refused(options: Options) -> None:
    async with talking(options, QUESTION) as talk:
        first = await talk.until(ErrorFrame, LLMFullResponseEndFrame)
    tell(refused="401" in getattr(first, "error", ""))


if __name__ == "__main__":
    logger.remove()
    act({
        each.__name__: each
        for each in (
            writes, speaks, interrupts, stops, pushes_to_talk, calls_a_tool, talks_beside_others,
            is_refused,
        )
    })  # fmt: skip
