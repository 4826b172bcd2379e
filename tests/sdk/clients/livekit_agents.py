"""`livekit-plugins-openai`: sessions of its RealtimeModel, told where the server is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectionError, function_tool, llm
from livekit.agents.types import APIConnectOptions
from livekit.plugins.openai.realtime import RealtimeModel
from openai.types.realtime import AudioTranscription

from .acting import Diary, act, pieces, tell

Options = dict[str, Any]
QUESTION = "What is a verb?"
RATE_HZ = 24_000


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a session told its listeners."""

    kind: str
    what: Any


class Talk:
    """One session and all it has told."""

    KINDS = (
        "generation_created", "input_speech_started", "input_speech_stopped",
        "input_audio_transcription_completed", "error",
    )  # fmt: skip

    def __init__(self, session: llm.RealtimeSession) -> None:
        self.session, self.diary = session, Diary[Noted]()
        for kind in self.KINDS:
            session.on(kind, lambda what, kind=kind: self.diary.note(Noted(kind, what)))

    async def until(self, kind: str) -> Any:
        return (await self.diary.until(lambda noted: noted.kind == kind)).what

    async def write(self, text: str) -> None:
        """Add what the user has written to the conversation."""
        context = self.session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await self.session.update_chat_ctx(context)

    async def speak(self, path: str) -> None:
        async for piece in pieces(path):
            self.session.push_audio(rtc.AudioFrame(piece, RATE_HZ, 1, len(piece) // 2))

    def heard(self) -> list[str]:
        kind = "input_audio_transcription_completed"
        return [each.what.transcript for each in self.diary.events if each.kind == kind]

    def errors(self) -> list[str]:
        return [repr(each.what.error) for each in self.diary.events if each.kind == "error"]

    def history(self) -> list[list[object]]:
        items = self.session.chat_ctx.items
        return [[item.role, item.text_content] for item in items if item.type == "message"]

    def tell(self, **what: object) -> None:
        tell(errors=self.errors(), heard=self.heard(), history=self.history(), **what)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a generation said, or asked for."""

    id: str
    text: str
    sound_ms: float
    calls: list[Any]


async def whole(generation: Any) -> Reply:
    """Read a generation to its end."""
    message_id, text, sound_ms = "", "", 0.0
    async for message in generation.message_stream:
        message_id = message.message_id

        async def read(message: Any = message) -> str:
            return "".join([str(piece) async for piece in message.text_stream])

        reading = asyncio.create_task(read())
        async for frame in message.audio_stream:
            sound_ms += frame.duration * 1_000
        text += await reading
    return Reply(message_id, text, sound_ms, [call async for call in generation.function_stream])


@contextlib.asynccontextmanager
async def talking(options: Options, **settings: Any) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(
            base_url=options["url"], api_key=options["key"], http_session=http,
            input_audio_transcription=AudioTranscription(model="whisper-1"),
            conn_options=APIConnectOptions(max_retry=0), **settings,
        )  # fmt: skip
        session = model.session()
        talk = Talk(session)
        await session.update_instructions("Teach grammar.")
        try:
            yield talk
        finally:
            await session.aclose()
            await model.aclose()


async def writes(options: Options) -> None:
    async with talking(options) as talk:
        await talk.write(QUESTION)
        generation = await talk.session.generate_reply(instructions="Be brief.")
        reply = await whole(generation)
        talk.tell(reply=reply.text, sound_ms=reply.sound_ms, asked_for=generation.user_initiated)


async def speaks(options: Options) -> None:
    async with talking(options) as talk:
        speaking = asyncio.create_task(talk.speak(options["sound"]))
        generation = await talk.until("generation_created")
        reply = await whole(generation)
        await speaking
        talk.tell(reply=reply.text, sound_ms=reply.sound_ms, asked_for=generation.user_initiated)


async def interrupts(options: Options) -> None:
    """Speaks over a reply, and cuts it to what was played."""
    async with talking(options) as talk:
        await talk.write("Please count.")
        counting = asyncio.create_task(whole(await talk.session.generate_reply()))
        await talk.until("generation_created")
        speaking = asyncio.create_task(talk.speak(options["sound"]))
        await talk.until("input_speech_started")
        cut = await counting
        talk.session.truncate(message_id=cut.id, modalities=["audio"], audio_end_ms=500)
        reply = await whole(await talk.until("generation_created"))
        await speaking
        talk.tell(cut=cut.text, reply=reply.text)


async def stops(options: Options) -> None:
    async with talking(options) as talk:
        await talk.write("Please count.")
        counting = await talk.session.generate_reply()
        talk.session.interrupt()
        cut = await whole(counting)
        await talk.write(QUESTION)
        reply = await whole(await talk.session.generate_reply())
        talk.tell(cut=cut.text, reply=reply.text)


async def pushes_to_talk(options: Options) -> None:
    async with talking(options, turn_detection=None) as talk:
        talk.session.clear_audio()
        await talk.speak(options["sound"])
        talk.session.commit_audio()
        reply = await whole(await talk.session.generate_reply())
        await talk.until("input_audio_transcription_completed")
        talk.tell(reply=reply.text)


async def calls_a_tool(options: Options) -> None:
    @function_tool
    async def look_up_weather(city: str, days: int) -> str:
        """Look up the weather forecast for a city."""
        return f"Sunny in {city}."

    async with talking(options) as talk:
        await talk.session.update_tools([look_up_weather])
        await talk.write("Please look up the weather forecast for the city.")
        (call,) = (await whole(await talk.session.generate_reply())).calls
        context = talk.session.chat_ctx.copy()
        output = llm.FunctionCallOutput(
            call_id=call.call_id, name=call.name, output="Sunny.", is_error=False
        )
        context.items.append(output)
        await talk.session.update_chat_ctx(context)
        reply = await whole(await talk.session.generate_reply())
        talk.tell(asked=[call.name, call.arguments], reply=reply.text)


async def changes_the_conversation(options: Options) -> None:
    """Puts messages in, one of them first, changes one and takes one out."""
    async with talking(options) as talk:
        await talk.write("First.")
        await talk.write("Second.")
        context = talk.session.chat_ctx.copy()
        context.items.insert(0, llm.ChatMessage(role="user", content=["Before all."]))
        await talk.session.update_chat_ctx(context)
        before = talk.history()
        context = talk.session.chat_ctx.copy()
        del context.items[1]
        await talk.session.update_chat_ctx(context)
        talk.tell(before=before)


async def talks_beside_others(options: Options) -> None:
    async with talking(options) as counting, talking(options) as other:
        await counting.write("Please count.")
        generation = await counting.session.generate_reply()
        await other.write(QUESTION)
        reply = await whole(await other.session.generate_reply())
        counting.session.interrupt()
        counted = await whole(generation)
        errors = counting.errors() + other.errors()
        tell(errors=errors, reply=reply.text, counted=counted.text)


async def is_refused(options: Options) -> None:
    try:
        async with talking(options) as talk:
            await talk.until("error")
    except APIConnectionError as refusal:
        assert isinstance(refusal.__cause__, aiohttp.WSServerHandshakeError)
        tell(refused=refusal.__cause__.status)


if __name__ == "__main__":
    act({
        each.__name__: each
        for each in (
            writes, speaks, interrupts, stops, pushes_to_talk, calls_a_tool,
            changes_the_conversation, talks_beside_others, is_refused,
        )
    })  # fmt: skip
