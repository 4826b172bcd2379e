"""OpenAI's recogniser in realtime sessions, in health and in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from engines.openai.transcription import OpenAISpeechToText
from engines.speech import PCM_FRAME_MS, EngineError, EngineRefused, PcmFrame, Transcript
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble

from ..contract import SILENT, Talk, spoken
from ..openai_ears import (
    PATIENCE_S,
    SPEECH,
    WORDS,
    all_of,
    engine_of,
    finals,
    options,
    sound_sent,
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


# In health.


async def test_words_come_while_they_are_spoken(engine: OpenAISpeechToText) -> None:
    talk, heard = Talk(SPEECH), list[Transcript]()
    async with asyncio.timeout(PATIENCE_S):
        async for transcript in engine.transcribe(aiter(talk), language="en"):
            heard.append(transcript)
            if transcript.text == WORDS:
                talk.stop()
    texts = [each.text for each in heard]
    assert texts == ["hello", "hello there", "hello there my", "hello there my old", WORDS, WORDS]
    assert [each.final for each in heard] == [False] * 5 + [True]


async def test_the_session_is_as_the_model_wants_it(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    await all_of(engine, language="ru", expected=("глагол",))
    (asked,) = utterances(server)
    assert asked.query == {"intent": "transcription"}
    session = asked.events[0]["session"]
    assert session["audio"]["input"]["transcription"] == {
        "model": "gpt-live-transcribe", "languages": ["ru"], "keywords": ["глагол"],
    }  # fmt: skip
    kinds = [event["type"] for event in asked.events]
    assert kinds.count("input_audio_buffer.commit") == 1
    assert kinds[-1] == "input_audio_buffer.commit"


async def test_all_of_the_sound_arrives_at_24_khz(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    heard = list[int]()

    def measured(pcm: bytes) -> str:
        heard.append(len(pcm))
        return WORDS

    server.hears = measured
    await all_of(engine)
    milliseconds = len(SPEECH) * PCM_FRAME_MS
    assert abs(heard[-1] - milliseconds * 48) <= 2


async def test_ten_minutes_come_in_stretches_that_end_in_pauses(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    server.hears = lambda pcm: f"word{len(pcm)}" if len(pcm) > 48_000 else ""
    said = [*tone(9), *[SILENT] * 16, *tone(12), *[SILENT] * 16]
    pause = [SILENT] * ((600_000 - 4 * len(said) * PCM_FRAME_MS) // 4 // PCM_FRAME_MS)
    heard = await all_of(engine, [*said, *pause] * 4)
    ended = [each for each in heard if each.final]
    assert len(ended) == 4
    assert len(utterances(server)) == 1
    for each in ended:
        assert 20_000 <= each.end_ms - each.start_ms <= 28_000
    starts = [each.start_ms for each in ended]
    assert starts == [pytest.approx(n * 600_000 / 4, abs=400) for n in range(4)]


# Warm sessions.


async def test_nothing_is_opened_before_somebody_speaks(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    assert [each async for each in engine.transcribe(spoken([]), language="en")]
    assert await all_of(engine, [SILENT] * 50)
    assert server.opened == 0


async def test_a_session_is_ready_before_the_first_word(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    await engine.start()
    await server.until(lambda: any(asked.events for asked in server.to("/realtime")))
    warm = server.to("/realtime")[0]
    assert [event["type"] for event in warm.events] == ["session.update"]
    await server.until(lambda: engine.warm)
    await all_of(engine)
    assert utterances(server) == [warm]
    # It was configured already: nothing had to be changed.
    assert [event["type"] for event in warm.events].count("session.update") == 1
    # And the next one is being made ready.
    await server.until(lambda: engine.warm)


async def test_warm_sessions_are_few_and_closed_with_the_engine(server: OpenAIServer) -> None:
    async with engine_of(options(server)) as engine:
        await engine.start()
        await asyncio.gather(*[all_of(engine) for _ in range(8)])
        await server.until(lambda: engine.warm and server.open <= 2)
        assert engine.warm == 1
    await server.until(lambda: server.open == 0)


async def test_a_warm_session_that_died_is_not_used(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    await engine.start()
    await server.until(lambda: engine.warm)
    server.cut_all()
    await server.until(lambda: not server.open)
    assert finals(await all_of(engine)) == WORDS


async def test_a_streaming_model_gives_each_utterance_a_session_of_its_own(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    for _ in range(3):
        assert finals(await all_of(engine)) == WORDS
    assert len(utterances(server)) == 3
    await server.until(lambda: all(asked.over.is_set() for asked in utterances(server)))


async def test_a_session_is_used_again_where_each_item_stands_alone(server: OpenAIServer) -> None:
    async with engine_of(options(server, transcription_model="gpt-transcribe")) as engine:
        await engine.start()
        await server.until(lambda: engine.warm)
        for number, language in enumerate(("en", "en", "ru")):
            server.hears = f"this is number {number}"
            assert finals(await all_of(engine, language=language)) == f"this is number {number}"
    (asked,) = utterances(server)
    kinds = [event["type"] for event in asked.events if "append" not in event["type"]]
    assert kinds == [
        "session.update", "input_audio_buffer.commit", "input_audio_buffer.commit",
        "session.update", "input_audio_buffer.commit",
    ]  # fmt: skip


async def test_a_session_that_was_left_is_not_used_again(server: OpenAIServer) -> None:
    async with engine_of(options(server, transcription_model="gpt-transcribe")) as engine:
        async with contextlib.aclosing(
            engine.transcribe(aiter(talk := Talk(SPEECH)), language="en")
        ) as stream:
            task = asyncio.ensure_future(anext(stream))
            await server.until(lambda: utterances(server) and sound_sent(utterances(server)[0]))
            talk.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await server.until(lambda: utterances(server)[0].over.is_set())
        server.hears = "other words"
        assert finals(await all_of(engine)) == "other words"
        assert len(utterances(server)) == 2


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-transcribe"])
async def test_nobody_hears_the_words_of_another(server: OpenAIServer, model: str) -> None:
    server.hears = None
    sounds = [tone(2.0, hz=100.0 * n, amplitude=2_000 + 800 * n) for n in range(1, 7)]
    async with engine_of(options(server, transcription_model=model)) as engine:
        alone = [finals(await all_of(engine, sound)) for sound in sounds]
        assert len(set(alone)) == len(sounds)
        together = await asyncio.gather(*[all_of(engine, sound) for sound in sounds * 2])
    assert [finals(heard) for heard in together] == alone * 2


# In trouble.


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE])
async def test_words_that_come_late_come(
    engine: OpenAISpeechToText, server: OpenAIServer, trouble: Trouble
) -> None:
    server.mood = Mood(trouble, slow_s=0.3)
    assert finals(await all_of(engine)) == WORDS
    assert len(utterances(server)) == 1


@pytest.mark.parametrize("after", [0, 2, 99])
async def test_a_stall_is_an_error_in_good_time(server: OpenAIServer, after: int) -> None:
    server.mood = Mood(Trouble.STALLED, after=after)
    async with engine_of(options(server, patience_s=0.3)) as engine:
        with pytest.raises(EngineError, match="too long") as failed:
            await all_of(engine)
    assert not isinstance(failed.value, EngineRefused)
    await server.until(lambda: all(asked.over.is_set() for asked in server.requests))


@pytest.mark.parametrize("after", [0, 2, 99])
async def test_after_a_drop_all_of_the_sound_is_sent_again(
    engine: OpenAISpeechToText, server: OpenAIServer, after: int
) -> None:
    server.mood = Mood(Trouble.DROPPED, after=after, times=1)
    assert finals(await all_of(engine)) == WORDS
    first, second = utterances(server)
    assert second.events[0]["type"] == "session.update"
    milliseconds = len(SPEECH) * PCM_FRAME_MS
    assert sound_sent(second) == pytest.approx(milliseconds * 48 * 4 / 3, rel=0.02)
    assert first.over.is_set()


async def test_a_drop_in_mid_speech_loses_nothing_and_goes_on(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    """The connection drops while the user is speaking, who speaks on."""
    server.mood = Mood(Trouble.DROPPED, after=1, times=1)
    talk = Talk(SPEECH)
    heard = list[str]()
    async with asyncio.timeout(PATIENCE_S):
        async for transcript in engine.transcribe(aiter(talk), language="en"):
            heard.append(transcript.text)
            if transcript.text == WORDS:
                talk.stop()
    assert heard[-1] == WORDS
    assert len(utterances(server)) == 2


async def test_a_second_drop_is_an_error(engine: OpenAISpeechToText, server: OpenAIServer) -> None:
    server.mood = Mood(Trouble.DROPPED)
    with pytest.raises(EngineError, match="broke off"):
        await all_of(engine)
    assert len(utterances(server)) == 2


async def test_a_drop_of_each_stretch_is_survived(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    """What was answered is not asked again."""
    answered = asyncio.Event()

    async def in_two_parts() -> AsyncIterator[PcmFrame]:
        for frame in [*tone(21), *[SILENT] * 20]:
            yield frame
        await answered.wait()
        server.cut_all()
        for frame in SPEECH:
            yield frame

    server.mood = Mood(Trouble.DROPPED, after=99, times=1)
    ended = []
    async with asyncio.timeout(PATIENCE_S):
        async for transcript in engine.transcribe(in_two_parts(), language="en"):
            if transcript.final:
                ended.append(transcript.text)
                answered.set()
    assert ended == [WORDS, WORDS]
    first, again, second = utterances(server)
    assert sound_sent(first) == pytest.approx(sound_sent(again), rel=0.02)
    assert sound_sent(second) < sound_sent(again) / 2


@pytest.mark.parametrize(
    ("trouble", "words", "wait_s"),
    [
        (Trouble.LIMITED, "busy", 2.0), (Trouble.BROKEN, "fault", None),
        (Trouble.LOCKED, "key", None),
    ],
)  # fmt: skip
async def test_a_refused_handshake_says_why(
    engine: OpenAISpeechToText, server: OpenAIServer, trouble: Trouble, words: str,
    wait_s: float | None,
) -> None:  # fmt: skip
    server.mood = Mood(trouble)
    with pytest.raises(EngineError, match=words) as failed:
        await all_of(engine)
    assert failed.value.retry_after_s == wait_s
    assert not isinstance(failed.value, EngineRefused)
    assert not server.to("/transcriptions"), "it was no lack of sessions"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(Trouble.LIMITED, "busy"), (Trouble.BROKEN, "fault"), (Trouble.LOCKED, "key")],
)
async def test_a_warm_session_that_refuses_says_why(
    engine: OpenAISpeechToText, server: OpenAIServer, trouble: Trouble, words: str
) -> None:
    await engine.start()
    await server.until(lambda: engine.warm)
    server.mood = Mood(trouble)
    with pytest.raises(EngineError, match=words):
        await all_of(engine)
    assert len(utterances(server)) == 1


@pytest.mark.parametrize("trouble", Trouble)
async def test_it_works_again_when_the_vendor_does(server: OpenAIServer, trouble: Trouble) -> None:
    patience_s = 3.0 if trouble is Trouble.STALLED else PATIENCE_S
    async with engine_of(options(server, patience_s=patience_s)) as engine:
        server.mood = Mood(trouble, slow_s=0.05)
        with contextlib.suppress(EngineError):
            await all_of(engine)
        server.mood = Mood()
        assert finals(await all_of(engine)) == WORDS


async def test_leaving_closes_the_session_and_leaves_no_task(
    engine: OpenAISpeechToText, server: OpenAIServer
) -> None:
    await engine.start()
    await server.until(lambda: engine.warm)
    before = asyncio.all_tasks()
    talk = Talk(SPEECH)
    async with asyncio.timeout(PATIENCE_S):
        async with contextlib.aclosing(engine.transcribe(aiter(talk), language="en")) as stream:
            assert await anext(stream)
    assert asyncio.all_tasks() <= before
    sent = talk.sent
    await server.until(lambda: utterances(server)[0].over.is_set())
    assert talk.sent == sent


@pytest.mark.parametrize("trouble", [Trouble.LOCKED, Trouble.LIMITED, Trouble.BROKEN])
@pytest.mark.parametrize("realtime", [True, False])
async def test_no_key_is_told_or_logged(
    server: OpenAIServer, trouble: Trouble, realtime: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.realtime, server.mood = realtime, Mood(trouble)
    async with engine_of(options(server)) as engine:
        with pytest.raises(EngineError) as failed:
            await all_of(engine)
        assert server.key not in repr(engine) + repr(options(server))
    told = f"{failed.value!r} {failed.value.__cause__!r}"
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("engines")]
    assert ours
    assert server.key not in told + caplog.text
    assert str(server.port) not in told


async def test_no_key_is_logged_in_the_midst_of_a_session(
    engine: OpenAISpeechToText, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await engine.start()
    await server.until(lambda: engine.warm)
    server.mood = Mood(Trouble.LOCKED)
    with pytest.raises(EngineError, match="key"):
        await all_of(engine)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("engines")]
    assert any("Incorrect API key provided" in words for words in ours)
    assert server.key not in caplog.text
