"""The OpenAI of the tests: it takes what the vendor's own client sends, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from .openai_http import RATE_HZ, OpenAIServer, tone
from .trouble import Mood, Trouble

LIVE = "gpt-live-transcribe"
SOUND = tone("hello there", 1.0)


def session(**changed: Any) -> Any:
    heard = {
        "format": {"type": "audio/pcm", "rate": RATE_HZ}, "transcription": {"model": LIVE},
        "turn_detection": None, **changed,
    }  # fmt: skip
    return {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": heard}},
    }


def append(sound: bytes) -> dict[str, str]:
    audio = base64.b64encode(sound).decode()
    return {"type": "input_audio_buffer.append", "audio": audio}


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(hears="hello there") as server:
        yield server


@pytest.fixture
async def client(server: OpenAIServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=server.key, base_url=server.base_url, max_retries=0) as client:
        yield client


async def told(client: AsyncOpenAI, *events: Any) -> Any:
    """The answer to the last of these events."""
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.recv()
        for event in events:
            text = event if isinstance(event, str) else json.dumps(event)
            await connection.send_raw(text)
            answer = await connection.recv()
        return answer


async def test_a_session_goes_as_the_vendor_describes_it(
    client: AsyncOpenAI, server: OpenAIServer
) -> None:
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        for event in (session(), append(SOUND), {"type": "input_audio_buffer.commit"}):
            await connection.send_raw(json.dumps(event))
        seen: list[Any] = []
        while not seen or not seen[-1].type.endswith("completed"):
            seen.append(await connection.recv())
    kinds = [event.type.removeprefix("conversation.item.") for event in seen]
    assert kinds == [
        "session.created", "session.updated", "input_audio_transcription.delta",
        "input_audio_buffer.committed", "added", "done", "input_audio_transcription.delta",
        "input_audio_transcription.completed",
    ]  # fmt: skip
    assert len({event.item_id for event in seen if hasattr(event, "item_id")}) == 1
    assert seen[-1].transcript == "hello there"


@pytest.mark.parametrize(
    "events",
    [
        ([session(turn_detection={"type": "server_vad"})]),
        ([session(format={"type": "audio/pcm", "rate": 16_000})]),
        ([session(transcription={"model": "whisper-1", "keywords": ["a"]})]),
        ([session(transcription={"model": LIVE, "volume": 11})]),
        ([{"type": "session.update", "session": {"type": "realtime"}}]),
        ([{"type": "response.create"}]),
        ([{"type": "no.such.event"}]),
        (["[]"]),
        ([session(), {"type": "input_audio_buffer.append", "audio": "not base64"}]),
        ([session(), append(b"\0\0\0")]),
        ([session(), {"type": "input_audio_buffer.append"}]),
        ([session(), {"type": "input_audio_buffer.commit"}]),
    ],
)  # fmt: skip
async def test_what_the_vendor_would_refuse_is_refused_and_noted(
    client: AsyncOpenAI, server: OpenAIServer, events: list[Any]
) -> None:
    assert (await told(client, *events)).type == "error"
    assert server.faults
    server.faults.clear()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/audio/speech", {"model": "m", "input": "x", "voice": "marin", "format": "pcm"}),
        ("/audio/speech", {"model": "m", "voice": "marin", "response_format": "pcm"}),
        ("/chat/completions", {"model": "m", "messages": [{"role": "nobody"}], "stream": True}),
        ("/chat/completions", {"model": "m", "messages": [], "stream": True, "max": 1}),
    ],
)
async def test_requests_are_held_to_the_vendors_types(
    client: AsyncOpenAI, server: OpenAIServer, path: str, body: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.post(path, cast_to=object, body=body)
    assert server.faults
    server.faults.clear()


async def test_leaving_the_server_fails_on_faults() -> None:
    with pytest.raises(AssertionError, match="Unknown parameters"):
        async with OpenAIServer() as server:
            client = AsyncOpenAI(api_key=server.key, base_url=server.base_url, max_retries=0)
            async with client:
                with pytest.raises(openai.BadRequestError):
                    await client.post("/audio/speech", cast_to=object, body={"tune": 1})


async def test_another_key_is_not_let_in(server: OpenAIServer) -> None:
    async with AsyncOpenAI(api_key="sk-other", base_url=server.base_url, max_retries=0) as other:
        with pytest.raises(openai.AuthenticationError):
            await other.get("/models", cast_to=object)


async def test_chat_streams_words_calls_and_usage(
    client: AsyncOpenAI, server: OpenAIServer
) -> None:
    server.answers = lambda body: ["One", " two", ("look", '{"at": 1}')]
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "One two"
    (call,) = [call for delta in deltas for call in delta.tool_calls or ()]
    assert call.function is not None
    assert (call.function.name, call.function.arguments) == ("look", '{"at": 1}')
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble.LIMITED, openai.RateLimitError), (Trouble.BROKEN, openai.InternalServerError),
        (Trouble.LOCKED, openai.AuthenticationError),
    ],
)  # fmt: skip
async def test_a_mood_passes_after_so_many_requests(
    client: AsyncOpenAI, server: OpenAIServer, trouble: Trouble, error: type[Exception]
) -> None:
    server.mood = Mood(trouble, times=2)
    for _ in range(2):
        with pytest.raises(error):
            await client.post("/chat/completions", cast_to=object, body={})
    assert (await told(client, session())).type == "session.updated"
