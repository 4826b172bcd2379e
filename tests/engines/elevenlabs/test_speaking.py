"""The voice against the vendor's HTTP, which `tests.vendors.elevenlabs` speaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from engines.elevenlabs import speaking as elevenlabs
from engines.elevenlabs.speaking import ElevenLabsTextToSpeech
from engines.opus import OpusDecoder
from engines.speech import OPUS_FRAME_MS, EngineError, EngineRefused, OpusFrame, WordTime
from engines.vendors import ElevenLabsOptions
from tests.vendors.elevenlabs import CHARACTER_MS, CHARACTERS_PER_CHUNK, VOICES, ElevenLabsServer
from tests.vendors.trouble import Trouble

from ..sounds import loudness

PATIENCE_S = 60.0
TEXT = "A verb is a doing word, and «it» tells us what somebody does."
RACHEL = "21m00Tcm4TlvDq8ikWAM"
Sounds = list[OpusFrame | WordTime]


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as server:
        yield server


@pytest.fixture
async def voice(server: ElevenLabsServer) -> AsyncIterator[ElevenLabsTextToSpeech]:
    async with started(options_of(server)) as engine:
        yield engine


def options_of(server: ElevenLabsServer) -> ElevenLabsOptions:
    return ElevenLabsOptions(api_key=server.key, base_url=server.origin)


@contextlib.asynccontextmanager
async def started(options: ElevenLabsOptions) -> AsyncIterator[ElevenLabsTextToSpeech]:
    engine = ElevenLabsTextToSpeech(options)
    await engine.start()
    yield engine
    await engine.close()


async def said(
    engine: ElevenLabsTextToSpeech, text: str = TEXT, *, voice: str = "", language: str = "en",
    speed: float = 1.0,
) -> Sounds:  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        speech = engine.synthesize(text, voice=voice, language=language, speed=speed)
        return [each async for each in speech]


def words(sounds: Sounds, text: str) -> list[tuple[str, int]]:
    found = [each for each in sounds if isinstance(each, WordTime)]
    assert not any(word.estimated for word in found)
    return [(text[word.char_start : word.char_end], word.start_ms) for word in found]


# Sound and words.


async def test_all_of_the_sound_comes(voice: ElevenLabsTextToSpeech) -> None:
    frames = [each for each in await said(voice) if isinstance(each, OpusFrame)]
    assert 0 <= len(frames) * OPUS_FRAME_MS - len(TEXT) * CHARACTER_MS < OPUS_FRAME_MS
    decoder = OpusDecoder(24_000)
    assert loudness(b"".join(decoder.decode(frame.packet) for frame in frames)) > -25


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(("text", "language"), [(TEXT, "en"), ("Что такое «глагол»? Да…", "ru")])
async def test_every_word_has_its_moment(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer, text: str, language: str,
    repeats: bool,
) -> None:  # fmt: skip
    server.repeats = repeats
    found = words(await said(voice, text, language=language), text)
    expected = [word.strip("«»,.?…") for word in text.split()]
    assert [word for word, _ in found] == expected
    assert all(at == text.index(word) * CHARACTER_MS for word, at in found if text.count(word) == 1)


async def test_a_word_is_told_before_its_sound(voice: ElevenLabsTextToSpeech) -> None:
    sound_ms = 0
    for each in await said(voice):
        if isinstance(each, OpusFrame):
            sound_ms += OPUS_FRAME_MS
        else:
            assert each.start_ms >= sound_ms - OPUS_FRAME_MS


async def test_the_first_sound_does_not_wait_for_the_last(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    server.mood.trouble, server.mood.after = Trouble.STALLED, 1
    frames = CHARACTERS_PER_CHUNK * CHARACTER_MS // OPUS_FRAME_MS
    stream = voice.synthesize(TEXT, voice="", language="en")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        while frames:
            frames -= isinstance(await anext(stream), OpusFrame)


async def test_nothing_to_say_is_not_asked_for(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    for text in ("", " … ", "\x00"):
        assert await said(voice, text) == []
    assert server.spoken() == []


# The request.


async def test_the_request_is_the_vendors(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    await said(voice, "Да.", language="ru")
    (asked,) = server.spoken()
    assert asked.path == f"/v1/text-to-speech/{RACHEL}/stream/with-timestamps"
    assert asked.query == {"output_format": "pcm_24000"}
    assert asked.json() == {
        "text": "Да.", "model_id": "eleven_flash_v2_5", "language_code": "ru"}  # fmt: skip


@pytest.mark.parametrize(("asked", "found"), [
    ("Oxana", "aTTiK3YzK3dXETpuDE2h"), ("george", "JBFqnCBsd6RMkjVDRZzb"), (RACHEL, RACHEL),
])  # fmt: skip
async def test_a_voice_is_known_by_its_name_and_its_id(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer, asked: str, found: str
) -> None:
    await said(voice, voice=asked)
    assert f"/{found}/" in server.spoken()[0].path


async def test_an_unknown_voice_is_refused(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    with pytest.raises(EngineRefused, match="no voice 'nobody'"):
        await said(voice, voice="nobody")
    with pytest.raises(EngineRefused, match="no voice"):
        await said(voice, voice="../../v1/user")
    assert server.spoken() == []
    with pytest.raises(EngineRefused, match="does not have this voice"):
        await said(voice, voice="x" * 20)


@pytest.mark.parametrize(("speed", "told"), [(1.1, 1.1), (4.0, 1.2), (0.25, 0.7)])
async def test_the_speed_is_told_as_far_as_the_vendor_goes(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer, speed: float, told: float
) -> None:
    assert await said(voice, speed=speed)
    assert server.spoken()[0].json()["voice_settings"] == {"speed": told}


async def test_models_are_asked_for_what_they_know(server: ElevenLabsServer) -> None:
    options = replace(options_of(server), model="eleven_multilingual_v2")
    async with started(options) as engine:
        await said(engine, language="ru")
        assert "language_code" not in server.spoken()[0].json()
    async with started(replace(options, model="eleven_flash_v2")) as engine:
        with pytest.raises(EngineRefused, match="English only"):
            await said(engine, language="ru")
    async with started(options_of(server)) as engine:
        with pytest.raises(EngineRefused, match="'sw'"):
            await said(engine, language="sw")
        with pytest.raises(EngineRefused, match="5000"):
            await said(engine, "a" * 5_001)
    assert len(server.spoken()) == 1


async def test_a_model_that_the_vendor_has_not_is_refused(server: ElevenLabsServer) -> None:
    async with started(replace(options_of(server), model="eleven_of_the_tests")) as engine:
        with pytest.raises(EngineRefused, match="refused"):
            await said(engine)
    server.faults.clear()


async def test_the_voices_are_the_accounts(voice: ElevenLabsTextToSpeech) -> None:
    russian = voice.voices("ru")
    assert [each.title for each in russian] == ["Rachel", "Oxana", "George"]
    assert {each.name for each in russian} == set(VOICES)
    assert {each.language for each in russian} == {"ru"}


async def test_without_the_list_voices_are_known_by_id(server: ElevenLabsServer) -> None:
    engine = ElevenLabsTextToSpeech(options_of(server))
    assert [each.name for each in engine.voices("en")] == [RACHEL]
    assert await said(engine)
    await engine.close()


async def test_without_a_key_nothing_is_asked(server: ElevenLabsServer) -> None:
    engine = ElevenLabsTextToSpeech(ElevenLabsOptions(base_url=server.origin))
    with pytest.raises(EngineError, match="ELEVENLABS_API_KEY"):
        await engine.start()
    with pytest.raises(EngineError, match="ELEVENLABS_API_KEY"):
        await said(engine)
    assert server.requests == []


# Connections.


async def test_connections_are_used_again_and_leave_nothing(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    await said(voice)
    assert server.opened == 1
    tasks, files = asyncio.all_tasks(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        await said(voice)
    assert server.opened == 1
    assert asyncio.all_tasks() <= tasks
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


async def test_leaving_closes_the_stream(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    server.mood.trouble, server.mood.after = Trouble.STALLED, 1
    before = asyncio.all_tasks()
    stream = voice.synthesize(TEXT, voice="", language="en")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        await anext(stream)
        assert server.open == 1
    assert asyncio.all_tasks() <= before
    await server.until(lambda: server.open == 0)


# Troubles.


@pytest.mark.parametrize(("trouble", "told", "retry_after_s"), [
    (Trouble.LIMITED, "too busy", 2.0), (Trouble.BROKEN, "has a fault", None),
    (Trouble.LOCKED, "accept our key", None), (Trouble.DROPPED, "broke off", None),
])  # fmt: skip
async def test_a_failing_vendor_is_an_engine_error(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer, trouble: Trouble, told: str,
    retry_after_s: float | None,
) -> None:  # fmt: skip
    server.mood.trouble, server.mood.after, server.mood.times = trouble, 1, 1
    with pytest.raises(EngineError, match=told) as caught:
        await said(voice)
    assert not isinstance(caught.value, EngineRefused)
    assert caught.value.retry_after_s == retry_after_s
    assert await said(voice), "the vendor is well again, and so are we"


async def test_an_account_that_is_used_up_is_told_from_a_wrong_key(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer
) -> None:
    server.used_up = True
    with pytest.raises(EngineError, match="used up") as caught:
        await said(voice)
    assert not isinstance(caught.value, EngineRefused)


async def test_a_vendor_that_falls_silent_is_given_up(server: ElevenLabsServer) -> None:
    server.mood.trouble, server.mood.after = Trouble.STALLED, 1
    async with started(replace(options_of(server), patience_s=0.2)) as engine:
        with pytest.raises(EngineError, match="took too long"):
            await said(engine)
    await server.until(lambda: server.open == 0)


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE])
async def test_a_slow_vendor_is_waited_for(
    voice: ElevenLabsTextToSpeech, server: ElevenLabsServer, trouble: Trouble
) -> None:
    server.mood.trouble, server.mood.slow_s = trouble, 0.3
    assert await said(voice)


async def test_a_vendor_that_never_ends_is_given_up(
    voice: ElevenLabsTextToSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs, "_SOUND_S_SPARE", 0.0)
    monkeypatch.setattr(elevenlabs, "_SOUND_S_PER_CHAR", 0.01)
    with pytest.raises(EngineError, match="without end"):
        await said(voice)


async def test_nobody_there_is_an_engine_error(free_port: int) -> None:
    options = ElevenLabsOptions(api_key="sk_x", base_url=f"http://127.0.0.1:{free_port}")
    async with started(options) as engine:  # It starts nevertheless.
        with pytest.raises(EngineError, match="cannot be reached"):
            await said(engine)


@pytest.mark.parametrize("line", [
    b"not JSON", b"[]", b'{"detail": "no"}', b'{"audio_base64": "?!"}', b'{"audio_base64": 7}',
])  # fmt: skip
async def test_an_answer_that_is_no_speech_is_an_engine_error(line: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))
        writer.close()

    nonsense = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with nonsense:
        port = nonsense.sockets[0].getsockname()[1]
        options = ElevenLabsOptions(api_key="sk_x", base_url=f"http://127.0.0.1:{port}")
        engine = ElevenLabsTextToSpeech(options)
        with pytest.raises(EngineError, match="something else than speech"):
            await said(engine)
        await engine.close()


async def test_our_key_is_told_to_nobody(
    server: ElevenLabsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.mood.trouble = Trouble.LOCKED
    async with started(options_of(server)) as engine:
        with pytest.raises(EngineError) as caught:
            await said(engine)
        told = (caplog.text, str(caught.value), repr(caught.value), repr(engine),
                repr(options_of(server)))  # fmt: skip
    assert "invalid_api_key" in caplog.text
    assert not any(server.key in each for each in told)


def test_the_servers_own_loop_will_do() -> None:
    async def run() -> Sounds:
        async with ElevenLabsServer() as server, started(options_of(server)) as engine:
            return await said(engine)

    assert uvloop.run(run())
