"""OpenAI's recogniser where there are no realtime sessions: sound as files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engines.openai.transcription import OpenAISpeechToText
from engines.speech import PCM_FRAME_MS, EngineError
from engines.vendors import OpenAIOptions
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble

from ..contract import SILENT
from ..openai_ears import (
    PATIENCE_S,
    SPEECH,
    WORDS,
    all_of,
    engine_of,
    finals,
    options,
    tone,
    utterances,
)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(hears=WORDS) as server:
        yield server


@pytest.fixture
async def engine(server: OpenAIServer) -> AsyncIterator[OpenAISpeechToText]:
    async with engine_of(options(server)) as engine:
        yield engine


async def test_without_sessions_the_sound_goes_as_files(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    server.realtime = False
    heard = await all_of(engine, expected=("friend",))
    assert finals(heard) == WORDS
    assert not heard[0].final, "its stream was read as it came"
    assert heard[-1].end_ms == len(SPEECH) * PCM_FRAME_MS
    # That there are none is remembered.
    asked = len(server.to("/realtime"))
    assert finals(await all_of(engine)) == WORDS
    assert len(server.to("/realtime")) == asked
    assert len(server.to("/transcriptions")) == 2


async def test_a_model_without_sessions_goes_as_files(server: OpenAIServer) -> None:
    async with engine_of(options(server, transcription_model="of-files-only")) as engine:
        assert finals(await all_of(engine)) == WORDS
    assert not utterances(server)


async def test_words_of_files_have_places_where_the_model_knows_them(server: OpenAIServer) -> None:
    server.realtime = False
    async with engine_of(options(server, file_model="whisper-1")) as engine:
        (final,) = await all_of(engine, [*[SILENT] * 50, *SPEECH], expected=("friend",))
    assert [word.text for word in final.words] == WORDS.split()
    assert final.words[0].start_ms >= 40 * PCM_FRAME_MS
    assert b'name="prompt"' in server.to("/transcriptions")[0].body


async def test_a_server_that_does_not_stream_is_asked_plainly(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    server.realtime = server.streams_files = False
    for _ in range(2):
        (final,) = await all_of(engine)
        assert final.text == WORDS
    streamed = [b'name="stream"' in asked.body for asked in server.to("/transcriptions")]
    assert streamed == [True, False, False], "that it does not is remembered"


async def test_long_speech_goes_as_several_files(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    server.realtime = False
    heard = await all_of(engine, [*tone(21), *[SILENT] * 20, *tone(5)])
    assert finals(heard) == f"{WORDS} {WORDS}"


async def test_when_the_new_session_is_refused_the_rest_goes_as_files(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    await engine.start()
    await server.until(lambda: engine.warm)
    server.realtime = False
    server.mood = Mood(Trouble.DROPPED, after=2, times=1)
    assert finals(await all_of(engine)) == WORDS
    assert len(server.to("/transcriptions")) == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Trouble.STALLED, "too long"), (Trouble.DROPPED, "broke off"), (Trouble.LIMITED, "busy"),
        (Trouble.BROKEN, "fault"), (Trouble.LOCKED, "key"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("file_model", ["gpt-transcribe", "whisper-1"])
async def test_files_in_trouble(
    server: OpenAIServer, trouble: Trouble, words: str, after: int, file_model: str
) -> None:
    server.realtime = False
    server.mood = Mood(trouble, after=after)
    patience_s = 0.3 if trouble is Trouble.STALLED else PATIENCE_S
    told = options(server, patience_s=patience_s, file_model=file_model)
    async with engine_of(told) as engine:
        with pytest.raises(EngineError, match=words):
            await all_of(engine)
    await server.until(lambda: all(asked.over.is_set() for asked in server.requests))


async def test_a_vendor_that_cannot_be_reached_is_an_error(free_port: int) -> None:
    told = OpenAIOptions("sk-secret-key", f"http://127.0.0.1:{free_port}/v1")
    async with engine_of(told) as engine:
        await engine.start()
        with pytest.raises(EngineError, match="cannot be reached"):
            await all_of(engine)


async def test_it_must_be_configured() -> None:
    engine = OpenAISpeechToText(OpenAIOptions())
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        await engine.start()
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        await all_of(engine)
    await engine.close()


async def test_the_language_of_a_sound_is_told(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    server.language = "ru"
    assert await engine.detect_language(SPEECH) == "ru"
