"""Text to speech, asked for by the published client of a real server with its real voice."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.calls.exchange import eventually
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble
from voice_server.config import Config
from voice_server.web.errors import Refusal
from voice_server.web.speech import MEDIA_TYPES, asked_of

from .files import PATIENCE_S, SPEAKING, client_of, judged, server_with_client, wave_of
from .outside import Outside, outside
from .served import Served, scripted, served

TEXT = "The quick brown fox jumps over the lazy dog. It does so every day."
LONG = ("This sentence is said again and again, until somebody has heard enough. " * 60)[:4_096]


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[tuple[Outside, AsyncOpenAI]]:
    async with server_with_client(tmp_path, free_port, **SPEAKING) as both:
        yield both


async def spoken(client: AsyncOpenAI, **wishes: Any) -> bytes:
    given = {"input": TEXT, "model": "tts-1", "voice": "alloy", **wishes}
    async with client.audio.speech.with_streaming_response.create(**given) as response:
        return await response.read()


async def test_every_format_is_speech(server: tuple[Outside, AsyncOpenAI]) -> None:
    _, client = server
    lengths = {}
    for audio_format, media_type in MEDIA_TYPES.items():
        wish = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "nova", "instructions": "Slow."}
        async with client.audio.speech.with_streaming_response.create(
            **wish, response_format=audio_format  # type: ignore[arg-type]
        ) as response:
            assert response.headers["content-type"] == media_type
            assert "content-length" not in response.headers
            file = await response.read()
        if audio_format == "pcm":
            file = wave_of(file, 24_000)
        seconds, level, voiced = await judged(file)
        assert 3.0 < seconds < 8.0, audio_format
        assert -32.0 < level < -12.0, audio_format
        assert voiced > 0.5, audio_format
        lengths[audio_format] = seconds
    assert max(lengths.values()) - min(lengths.values()) < 0.2


async def test_russian_is_spoken_in_russian(server: tuple[Outside, AsyncOpenAI]) -> None:
    _, client = server
    words = "Здравствуйте! Сегодня мы будем учить глаголы."
    russian = await spoken(client, input=words, response_format="wav")
    seconds, _, voiced = await judged(russian)
    assert 2.0 < seconds < 6.0
    assert voiced > 0.5
    # An English voice would read the letters out one by one.
    spelled = await spoken(client, input=words, voice="en-us", response_format="wav")
    assert len(spelled) > 2 * len(russian)


async def test_voices_speeds_and_the_other_spellings_of_a_voice(
    server: tuple[Outside, AsyncOpenAI],
) -> None:
    _, client = server
    usual = await spoken(client, response_format="pcm")
    fast = await spoken(client, response_format="pcm", speed=2.0)
    assert 1.6 < len(usual) / len(fast) < 2.4
    female = await spoken(client, response_format="pcm", voice="en-us+f2")
    assert female != usual
    same = await spoken(client, response_format="pcm", voice={"id": "voice_1234"})
    assert abs(len(same) - len(usual)) < 24_000
    whole = await client.audio.speech.create(input="Hello.", model="espeak", voice="en-us")
    assert len(whole.content) > 2_000


async def test_events_carry_the_same_sound_and_the_usage(
    server: tuple[Outside, AsyncOpenAI],
) -> None:
    _, client = server
    async with client.audio.speech.with_streaming_response.create(
        input=TEXT, model="gpt-4o-mini-tts", voice="alloy", response_format="wav",
        stream_format="sse",
    ) as response:  # fmt: skip
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert len(events) > 5
    assert events[-1]["type"] == "speech.audio.done"
    usage = events[-1]["usage"]
    assert usage["input_tokens"] == -(-len(TEXT) // 4)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    seconds, _, voiced = await judged(sound)
    assert voiced > 0.5
    assert abs(usage["output_tokens"] * 0.05 - seconds) < 0.1


async def test_the_first_sound_comes_long_before_the_last(
    server: tuple[Outside, AsyncOpenAI],
) -> None:
    """A listener who takes the first piece and no more: the rest waits, and is not all made."""
    outside_server, client = server
    before = outside_server.holdings()
    async with asyncio.timeout(PATIENCE_S):
        async with client.audio.speech.with_streaming_response.create(
            input=LONG, model="tts-1", voice="alloy", response_format="wav"
        ) as response:
            pieces, size = response.iter_bytes(4_096), 0
            while size < 50_000:
                size += len(await anext(pieces))
            # Ten megabytes would be on their way to somebody who takes nothing.
            assert outside_server.holdings().memory_kb - before.memory_kb < 30_000
            # And a short text is spoken meanwhile, by the same single voice.
            assert len(await spoken(client, input="Hello.")) > 1_000
            async for piece in pieces:
                size += len(piece)
    assert size > 5_000_000


async def test_a_listener_who_leaves_frees_the_place(tmp_path: Path) -> None:
    config = scripted(tmp_path, text_to_speech="espeak", speeches_max=1)
    async with served(config) as server, client_of(server.port) as client:
        for _ in range(3):
            async with client.audio.speech.with_streaming_response.create(
                input=LONG, model="tts-1", voice="alloy", response_format="mp3"
            ) as response:
                async for _ in response.iter_bytes(1_024):
                    break
                assert server.house.speeches.taken == 1
                with pytest.raises(openai.InternalServerError) as busy:
                    await client.audio.speech.create(input="Hi.", model="tts-1", voice="alloy")
                assert busy.value.status_code == 503
                assert busy.value.code == "busy"
                assert int(busy.value.response.headers["retry-after"]) > 0
            await eventually(lambda: server.house.speeches.taken == 0, PATIENCE_S)
            await eventually(lambda: not narrations(server), PATIENCE_S)


def narrations(server: Served) -> list[asyncio.Task[Any]]:
    """Tasks that speak or feed an encoder."""
    names = {"speak", "_feed", "_pump", "_gone"}
    tasks = asyncio.all_tasks()
    return [task for task in tasks if getattr(task.get_coro(), "__name__", "") in names]


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"input": ""}, 400, "input"),
    ({"input": " \n\t"}, 400, "input"),
    ({"input": "!!! ... ???"}, 400, "input"),
    ({"input": "x" * 4_097}, 400, "input"),
    ({"input": ["a"]}, 400, "input"),
    ({"speed": 0.2}, 400, "speed"),
    ({"speed": 4.1}, 400, "speed"),
    ({"speed": "fast"}, 400, "speed"),
    ({"speed": True}, 400, "speed"),
    ({"response_format": "midi"}, 400, "response_format"),
    ({"stream_format": "telegram"}, 400, "stream_format"),
    ({"instructions": "x" * 4_097}, 400, "instructions"),
    ({"voice": "en-nobody"}, 400, "voice"),
    ({"voice": 7}, 400, "voice"),
    ({"voice": {"id": 7}}, 400, "id"),
    ({"model": "sphinx"}, 404, "model"),
    ({"model": "tutor"}, 404, "model"),
    ({"model": "scripted"}, 404, "model"),
    ({"model": "x" * 200}, 400, "model"),
    ({"language": "klingon"}, 400, "language"),
]


async def test_what_cannot_be_spoken_is_refused_in_openais_words(
    server: tuple[Outside, AsyncOpenAI],
) -> None:
    outside_server, client = server
    for wishes, status, param in REFUSED:
        extra = {"input": TEXT, "model": "tts-1", "voice": "alloy", **wishes}
        with pytest.raises(openai.APIStatusError) as refused:
            await client.audio.speech.create(
                input="x", model="x", voice="x", extra_body=extra, timeout=PATIENCE_S
            )
        assert (refused.value.status_code, refused.value.param) == (status, param), wishes
        assert refused.value.type == "invalid_request_error"
        assert refused.value.code
    # What no client would send.
    for body, kind, status in [
        (b'{"input": "a", "speed": NaN}', "application/json", 400),
        (b'{"input": "a", "speed": 1e999}', "application/json", 400),
        (b"[]", "application/json", 400), (b"", "application/json", 400),
        (b"{" * 10_000, "application/json", 400), (b"\xff\xfe", "application/json", 400),
        (b"input=a", "application/x-www-form-urlencoded", 415), (b"{}", "text/plain", 415),
        (b'{"input": "' + b"x" * 200_000 + b'"}', "application/json", 413),
    ]:  # fmt: skip
        answer = await outside_server.client.post(
            "/v1/audio/speech", content=body, headers={"Content-Type": kind}
        )
        assert answer.status_code == status, body[:40]
        assert answer.json()["error"]["message"]


ABSURD = [
    "<speak><break time='10h'/>Hello</speak>", "a" * 4_096, "\u202e\u0000\x07 bell",
    "\U0001f98a fox \U0001f98a", "\u03a9\u2248\u00e7\u221a\u222b", "1" * 500,
    "Zalgo" + "\u0335\u0317" * 300, "-v en --stdin", "\ud800 half a pair",
    "hello\r\n\r\nGET / HTTP/1.1",
]  # fmt: skip


async def test_absurd_texts_are_spoken_or_refused(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, _ = server
    for text in ABSURD:
        # In ASCII, for only there half a surrogate pair can be sent at all.
        answer = await outside_server.client.post(
            "/v1/audio/speech", content=json.dumps({"input": text, "response_format": "opus"}),
            headers={"Content-Type": "application/json"}, timeout=PATIENCE_S,
        )  # fmt: skip
        assert answer.status_code in {200, 400}, (text[:40], answer.text[:200])
        assert answer.status_code == 400 or answer.content.startswith(b"OggS")


async def test_a_key_is_wanted_where_there_is_one(tmp_path: Path, free_port: int) -> None:
    async with outside(tmp_path, free_port, api_key="right") as server:
        for key, wanted in (("wrong", 401), ("right", 200)):
            async with client_of(free_port, key) as client:
                try:
                    await client.audio.speech.create(input="Hi.", model="tts-1", voice="alloy")
                    status = 200
                except openai.AuthenticationError as refused:
                    status = refused.status_code
                    assert refused.code == "invalid_key"
            assert status == wanted
        server.client.headers["Authorization"] = "Bearer right"


def test_what_is_asked_for_has_defaults() -> None:
    asked = asked_of({"input": "Hello."})
    assert (asked.audio_format, asked.speed, asked.voice, asked.events) == ("mp3", 1.0, "", False)
    assert asked_of({"input": "a", "speed": 2}).speed == 2.0
    assert asked_of({"input": "a", "language": "Russian"}).language == "ru"
    with pytest.raises(Refusal):
        asked_of({})


def asks(vendor: OpenAIServer, folder: Path, voices: str) -> Config:
    return scripted(
        folder, text_to_speech=voices, openai_api_key=vendor.key,
        openai_base_url=vendor.base_url, openai_speech_model="gpt-4o-mini-tts",
    )  # fmt: skip


async def test_a_vendors_voices_can_be_chosen(tmp_path: Path) -> None:
    async with OpenAIServer() as vendor:
        async with (
            served(asks(vendor, tmp_path, "openai")) as server,
            client_of(server.port) as client,
        ):
            assert await spoken(client, voice="cedar")
            assert await spoken(client, voice="nobody")
        asked = [json.loads(each.body)["voice"] for each in vendor.requests]
    assert asked == ["cedar", "cedar", "marin", "marin"]  # Two sentences each.


@pytest.mark.parametrize("voices", ["openai,scripted", "openai"])
async def test_a_voice_that_is_configured_stands_by_and_no_other(
    tmp_path: Path, voices: str
) -> None:
    async with (
        OpenAIServer(mood=Mood(Trouble.LOCKED)) as vendor,
        served(asks(vendor, tmp_path, voices)) as server,
        client_of(server.port) as client,
    ):
        if "scripted" in voices:
            assert await spoken(client)
            return
        with pytest.raises(openai.APIStatusError) as refused:
            await spoken(client)
        assert refused.value.status_code == 422
