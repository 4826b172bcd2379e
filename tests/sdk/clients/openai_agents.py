"""`openai-agents` for Python: a RealtimeRunner and its sessions, told where the server is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from agents import function_tool
from agents.realtime import (
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
)
from agents.realtime.model_inputs import RealtimeModelSendRawMessage
from websockets.exceptions import InvalidStatus

from .acting import Diary, act, pieces, tell

Options = dict[str, Any]
QUESTION = "What is a verb?"


class Talk:
    """One session and all it has told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.diary = Diary[RealtimeSessionEvent]()
        self._items: list[Any] = []

    async def read(self) -> None:
        async for event in self.session:
            if event.type == "history_added":
                self._items = [*self._items, event.item]
            elif event.type == "history_updated":
                self._items = event.history
            self.diary.note(event)

    async def until(self, kind: str) -> RealtimeSessionEvent:
        return await self.diary.until(lambda event: event.type == kind)

    async def until_raw(self, kind: str) -> Any:
        """The next event of the server of this type, as it came."""
        noted: Any = await self.diary.until(lambda event: _raw_type(event) == kind)
        return noted.data.data

    async def speak(self, path: str, bytes_per_ms: int = 48) -> None:
        async for piece in pieces(path, bytes_per_ms):
            await self.session.send_audio(piece)

    def errors(self) -> list[str]:
        return [str(event.error) for event in self.diary.events if event.type == "error"]

    def sound_bytes(self) -> int:
        return sum(len(event.audio.data) for event in self.diary.events if event.type == "audio")

    def history(self) -> list[list[object]]:
        """Who said what, as the session remembers it."""
        found: list[list[object]] = []
        for item in self._items:
            if item.type == "message":
                said = [
                    getattr(c, "transcript", None) or getattr(c, "text", "") for c in item.content
                ]
                found.append([item.role, " ".join(filter(None, said))])
            else:
                found.append([item.name, item.arguments, item.output])
        return found

    def tell(self, **what: object) -> None:
        tell(errors=self.errors(), history=self.history(), sound_bytes=self.sound_bytes(), **what)


def _raw_type(event: RealtimeSessionEvent) -> object:
    if event.type != "raw_model_event" or event.data.type != "raw_server_event":
        return None
    return event.data.data.get("type")


@contextlib.asynccontextmanager
async def talking(options: Options, *tools: Any, **settings: Any) -> AsyncIterator[Talk]:
    agent = RealtimeAgent(name="Tutor", instructions="Teach grammar.", tools=list(tools))
    runner = RealtimeRunner(agent, config={"tracing_disabled": True})
    config: Any = {
        "url": options["url"], "api_key": options["key"], "initial_model_settings": settings,
    }  # fmt: skip
    async with await runner.run(model_config=config) as session:
        talk = Talk(session)
        reading = asyncio.create_task(talk.read())
        await talk.until_raw("session.updated")
        yield talk
        reading.cancel()


async def writes(options: Options) -> None:
    async with talking(options) as talk:
        await talk.session.send_message(QUESTION)
        await talk.until("agent_end")
        talk.tell()


async def speaks(options: Options) -> None:
    kind = options.get("format", "pcm16")
    async with talking(options, input_audio_format=kind, output_audio_format=kind) as talk:
        speaking = asyncio.create_task(
            talk.speak(options["sound"], options.get("bytes_per_ms", 48))
        )
        await talk.until("agent_end")
        await speaking
        talk.tell()


async def interrupts(options: Options) -> None:
    """Speaks over a reply."""
    async with talking(options) as talk:
        await talk.session.send_message("Please count.")
        await talk.until("audio")
        speaking = asyncio.create_task(talk.speak(options["sound"]))
        cut = await talk.until_raw("response.done")
        await talk.until("agent_end")
        await talk.until("agent_end")
        await speaking
        interrupted = [event for event in talk.diary.events if event.type == "audio_interrupted"]
        talk.tell(cut=cut["response"], interrupted=len(interrupted))


async def stops(options: Options) -> None:
    """Presses the button that says "stop talking", where the server interrupts nobody itself."""
    manners = {"type": "server_vad", "interrupt_response": False}
    async with talking(options, turn_detection=manners) as talk:
        await talk.session.send_message("Please count.")
        await talk.until("audio")
        await talk.session.interrupt()
        cut = await talk.until_raw("response.done")
        await talk.until("agent_end")
        talk.tell(cut=cut["response"])


async def pushes_to_talk(options: Options) -> None:
    async with talking(options, turn_detection=None) as talk:
        await talk.speak(options["sound"])
        await talk.session.send_audio(b"", commit=True)
        await talk.until_raw("conversation.item.input_audio_transcription.completed")
        ask = RealtimeModelSendRawMessage(message={"type": "response.create"})
        await talk.session.model.send_event(ask)
        await talk.until("agent_end")
        talk.tell()


async def calls_a_tool(options: Options) -> None:
    asked: list[object] = []

    @function_tool
    def look_up_weather(city: str, days: int) -> str:
        """Look up the weather forecast for a city."""
        asked.append([city, days])
        return f"Sunny in {city}."

    async with talking(options, look_up_weather) as talk:
        await talk.session.send_message("Please look up the weather forecast for the city.")
        await talk.until("tool_end")
        await talk.until_raw("response.created")
        await talk.until("agent_end")
        talk.tell(asked=asked)


async def talks_beside_others(options: Options) -> None:
    async with talking(options) as counting, talking(options) as other:
        await counting.session.send_message("Please count.")
        await counting.until("audio")
        await other.session.send_message(QUESTION)
        await other.until("agent_end")
        await counting.session.interrupt()
        await counting.until("agent_end")
        errors = counting.errors() + other.errors()
        tell(errors=errors, counted=counting.history()[1:], other=other.history()[1:])


async def is_refused(options: Options) -> None:
    try:
        async with talking(options):
            tell(refused=0)
    except InvalidStatus as refusal:
        tell(refused=refusal.response.status_code)


if __name__ == "__main__":
    act({
        each.__name__: each
        for each in (
            writes, speaks, interrupts, stops, pushes_to_talk, calls_a_tool, talks_beside_others,
            is_refused,
        )
    })  # fmt: skip
