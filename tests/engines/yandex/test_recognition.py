"""The recogniser against the vendor's protocol, which `tests.vendors.yandex` speaks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from engines.speech import PCM_FRAME_MS, EngineError, EngineRefused, PcmFrame, Transcript
from engines.vendors import YandexOptions
from engines.yandex.recognition import YandexSpeechToText
from engines.yandex.results import SessionRules
from tests.vendors.trouble import Trouble
from tests.vendors.yandex import RETRY_S, Session, YandexServer, serving_yandex

from ..utterances import bytes_of, silence, speech, spoken, spoken_until

PATIENCE_S = 60.0
UTTERANCE = [*silence(320), *speech(1_600), *silence(320)]


@pytest.fixture
def server() -> Iterator[YandexServer]:
    with serving_yandex() as server:
        yield server


@pytest.fixture
async def engine(server: YandexServer) -> AsyncIterator[YandexSpeechToText]:
    async with started(server.options) as engine:
        yield engine


@contextlib.asynccontextmanager
async def started(
    options: YandexOptions, rules: SessionRules | None = None
) -> AsyncIterator[YandexSpeechToText]:
    engine = YandexSpeechToText(options, rules=rules)
    await engine.start()
    yield engine
    await engine.close()


async def heard(
    engine: YandexSpeechToText, frames: list[PcmFrame], language: str = "en"
) -> list[Transcript]:
    async with asyncio.timeout(PATIENCE_S):
        return [each async for each in engine.transcribe(spoken(frames), language=language)]


async def over(session: Session) -> str:
    """How the vendor saw the session end."""
    assert await asyncio.to_thread(session.over.wait, PATIENCE_S)
    return session.outcome


def finals(transcripts: list[Transcript]) -> list[str]:
    return [each.text for each in transcripts if each.final]


# Words.


@pytest.mark.parametrize(("language", "raw", "normalised"), [
    ("en", "what is a verb", "What is a verb?"), ("ru", "что такое глагол", "Что такое глагол?"),
])  # fmt: skip
async def test_words_come_while_they_are_spoken(
    engine: YandexSpeechToText, language: str, raw: str, normalised: str
) -> None:
    *partials, final = await heard(engine, UTTERANCE, language)
    texts = [partial.text for partial in partials]
    assert texts == sorted(texts, key=len)
    assert texts[-1] == raw
    assert not any(partial.final for partial in partials)
    assert final.final
    assert final.text == normalised
    assert [word.text for word in final.words] == normalised.split()
    # Somebody spoke from 320 to 1,920 ms.
    assert final.words[0].start_ms == final.start_ms == 320
    assert final.words[-1].end_ms == final.end_ms == 1_920


async def test_partials_do_not_wait_for_the_end(engine: YandexSpeechToText) -> None:
    enough = asyncio.Event()
    stream = engine.transcribe(spoken_until(speech(960), enough), language="en")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        first = await anext(stream)
        assert not first.final
        enough.set()
        assert [each.final async for each in stream][-1]


async def test_numbers_keep_the_times_of_their_words(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    server.hears = {"ru-RU": ("мне двадцать пять лет", "Мне 25 лет.")}
    final = (await heard(engine, UTTERANCE, "ru"))[-1]
    assert final.text == "Мне 25 лет."
    assert [word.text for word in final.words] == ["Мне", "25", "лет."]
    assert final.words[1].start_ms == final.words[0].end_ms
    assert final.words[1].end_ms == final.words[2].start_ms


async def test_a_final_does_without_a_refinement_that_does_not_come(server: YandexServer) -> None:
    server.refinement_s = None
    async with started(replace(server.options, refinement_ms=20)) as engine:
        assert finals(await heard(engine, UTTERANCE)) == ["what is a verb"]


async def test_a_late_refinement_is_not_said_again(server: YandexServer) -> None:
    """It comes while the stream still goes on: the words were given away before."""
    server.refinement_s = 0.3
    rules = SessionRules(pause_ms=128, stretch_ms=640)
    frames = [*speech(960), *silence(320)] * 2
    async with started(replace(server.options, refinement_ms=1), rules) as engine:
        transcripts = await heard(engine, frames)
        assert finals(transcripts) == ["what is a verb"] * 2


async def test_silence_and_nothing_are_no_words(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    assert await heard(engine, silence(2_000)) == []
    assert await heard(engine, []) == []
    assert len(server.sessions) == 1, "nothing to hear is nothing to pay for"


# The request.


async def test_the_vendor_is_told_where_the_utterance_ends(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    await heard(engine, UTTERANCE)
    (session,) = server.sessions
    assert bytes(session.sound) == bytes_of(UTTERANCE)
    assert session.eous == [len(session.sound)]
    assert await over(session) == "done"


@pytest.mark.parametrize(("language", "asked"), [
    ("ru", "ru-RU"), ("en", "en-US"), ("en-GB", "en-US"), ("kk", "kk-KZ"), ("", "auto"),
])  # fmt: skip
async def test_the_language_is_named_in_the_vendors_way(
    engine: YandexSpeechToText, server: YandexServer, language: str, asked: str
) -> None:
    await heard(engine, UTTERANCE, language)
    model = server.sessions[0].options.recognition_model
    assert list(model.language_restriction.language_code) == [asked]
    assert model.model == "general"


async def test_a_language_that_the_vendor_has_not_is_refused(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    with pytest.raises(EngineRefused, match="'ja'"):
        await heard(engine, UTTERANCE, "ja")
    assert server.sessions == []


async def test_a_request_that_the_vendor_does_not_take_is_refused(server: YandexServer) -> None:
    async with started(replace(server.options, stt_model="sergeant")) as engine:
        with pytest.raises(EngineRefused, match="refused"):
            await heard(engine, UTTERANCE)


async def test_a_token_comes_with_its_folder_and_a_key_without() -> None:
    with serving_yandex(iam_token="t1.of-the-tests") as server:
        token = replace(
            server.options, api_key="", iam_token=server.iam_token, folder_id=server.folder_id
        )
        for options in (token, replace(server.options, folder_id="b1g-another")):
            async with started(options) as engine:
                assert finals(await heard(engine, UTTERANCE)) == ["What is a verb?"]
        with_token, with_key = (session.metadata for session in server.sessions)
    assert with_token["authorization"] == "Bearer t1.of-the-tests"
    assert with_token["x-folder-id"] == server.folder_id
    assert with_key["authorization"] == f"Api-Key {server.api_key}"
    assert "x-folder-id" not in with_key
    assert with_token["x-client-request-id"] != with_key["x-client-request-id"]


async def test_without_a_key_nothing_is_asked(server: YandexServer) -> None:
    engine = YandexSpeechToText(replace(server.options, api_key=""))
    with pytest.raises(EngineError, match="VOICE_SERVER_YANDEX_API_KEY"):
        await engine.start()
    with pytest.raises(EngineError, match="VOICE_SERVER_YANDEX_API_KEY"):
        await heard(engine, UTTERANCE)
    assert server.sessions == []


# Long speech.


async def test_long_speech_goes_on_in_a_new_session(server: YandexServer) -> None:
    """Nothing of it is lost or heard twice, and its words stay in their places."""
    rules = SessionRules(pause_ms=128, stretch_ms=1_000, stretch_ms_max=3_000, session_ms=2_500)
    pause = silence(384)
    frames = [each for seed in range(6) for each in (*pause, *speech(1_280, seed + 1))]
    async with started(server.options, rules) as engine:
        transcripts = await heard(engine, frames)
        assert bytes_of(frames) == b"".join(bytes(each.sound) for each in server.sessions)
        assert len(server.sessions) == 3
        assert [len(session.eous) for session in server.sessions] == [2, 2, 2]
        assert [await over(session) for session in server.sessions] == ["done"] * 3
    said = [each for each in transcripts if each.final]
    assert [each.text for each in said] == ["What is a verb?"] * 6
    assert [each.start_ms for each in said] == [384 + n * 1_664 for n in range(6)]
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(said))
    # They were cut in the pauses: what comes before a cut is silent, but for the end of it all.
    before = [bytes(each.sound[at - 1_024 : at]) for each in server.sessions for at in each.eous]
    assert [any(sound) for sound in before] == [False] * 5 + [True]


async def test_ten_minutes_keep_the_vendors_limits(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    frames = [*speech(9_600), *silence(400)] * 60
    said = [each for each in await heard(engine, frames) if each.final]
    assert bytes_of(frames) == b"".join(bytes(each.sound) for each in server.sessions)
    assert len(server.sessions) >= 2
    assert max(len(session.sound) for session in server.sessions) < 300 * 32_000
    assert all(each.end_ms - each.start_ms <= 30_000 for each in said)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(said))
    assert said[-1].end_ms > 590_000


async def test_a_microphone_that_falls_silent_ends_the_session_and_not_the_stream(
    server: YandexServer,
) -> None:
    """The vendor gives up after five seconds without sound, so we end the session before."""
    server.idle_s = PATIENCE_S

    async def halting() -> AsyncIterator[PcmFrame]:
        for frame in speech(640):
            yield frame
        while not server.sessions:
            await asyncio.sleep(0.01)
        await over(server.sessions[0])
        for frame in speech(640):
            yield frame

    async with started(server.options, SessionRules(idle_ms=100)) as engine:
        async with asyncio.timeout(PATIENCE_S):
            transcripts = [x async for x in engine.transcribe(halting(), language="en")]
        assert finals(transcripts) == ["What is a verb?"] * 2
        assert [each.start_ms for each in transcripts if each.final] == [0, 640]
        assert [await over(session) for session in server.sessions] == ["done", "done"]


async def test_a_vendor_that_gives_up_in_a_pause_is_an_error(server: YandexServer) -> None:
    server.idle_s = 0.05
    async with started(server.options, SessionRules(idle_ms=60_000)) as engine:
        stream = engine.transcribe(spoken_until(speech(640), asyncio.Event()), language="en")
        with pytest.raises(EngineError, match="took too long"):
            async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
                async for _ in stream:
                    pass


# Leaving.


async def test_leaving_is_told_to_the_vendor(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    before = asyncio.all_tasks()
    stream = engine.transcribe(spoken_until(speech(960), asyncio.Event()), language="en")
    async with asyncio.timeout(PATIENCE_S):
        async with contextlib.aclosing(stream):
            await anext(stream)
        assert asyncio.all_tasks() <= before
        assert await over(server.sessions[0]) == "left"


async def test_streams_share_one_connection_and_leave_nothing(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    await heard(engine, UTTERANCE)
    tasks, files = asyncio.all_tasks(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        await asyncio.gather(*(heard(engine, UTTERANCE) for _ in range(5)))
        assert asyncio.all_tasks() <= tasks
    assert len(list(Path("/proc/self/fd").iterdir())) <= files
    assert server.ears.connections == 1


async def test_a_closed_engine_works_again(
    engine: YandexSpeechToText, server: YandexServer
) -> None:
    await heard(engine, UTTERANCE)
    await engine.close()
    assert finals(await heard(engine, UTTERANCE)) == ["What is a verb?"]


# Troubles.


REFUSALS = [
    (Trouble.LIMITED, "too busy", RETRY_S), (Trouble.BROKEN, "cannot be reached", None),
    (Trouble.LOCKED, "accept our key", None), (Trouble.DROPPED, "broke off", None),
]  # fmt: skip


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(("trouble", "told", "retry_after_s"), REFUSALS)
async def test_a_failing_vendor_is_an_engine_error(
    engine: YandexSpeechToText, server: YandexServer, trouble: Trouble, told: str,
    retry_after_s: float | None, after: int,
) -> None:  # fmt: skip
    server.hearing.trouble, server.hearing.after, server.hearing.times = trouble, after, 1
    stream, got = engine.transcribe(spoken(UTTERANCE), language="en"), list[Transcript]()
    with pytest.raises(EngineError, match=told) as caught:
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
            async for each in stream:
                got.append(each)
    assert not isinstance(caught.value, EngineRefused)
    assert caught.value.retry_after_s == retry_after_s
    assert finals(got) == []
    # The vendor is well again, and so are we. A connection that was cut takes a moment.
    for _ in range(100):
        with contextlib.suppress(EngineError):
            assert finals(await heard(engine, UTTERANCE)) == ["What is a verb?"]
            return
        await asyncio.sleep(0.1)
    pytest.fail("the engine does not recover")


async def test_a_vendor_that_falls_silent_is_given_up(server: YandexServer) -> None:
    server.hearing.trouble, server.hearing.after = Trouble.STALLED, 2
    async with started(replace(server.options, patience_s=0.2)) as engine:
        with pytest.raises(EngineError, match="took too long"):
            await heard(engine, UTTERANCE)
        assert await over(server.sessions[0]) == "left"


async def test_a_vendor_that_closes_in_the_midst_has_failed(server: YandexServer) -> None:
    """Its status says that all is well; but it has not heard us out."""
    server.messages_max = 4
    enough = asyncio.Event()
    async with started(server.options) as engine:
        stream = engine.transcribe(spoken_until(speech(1_600), enough), language="en")
        with pytest.raises(EngineError, match="broke off"):
            async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
                async for _ in stream:
                    pass


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE])
async def test_a_slow_vendor_is_waited_for(
    engine: YandexSpeechToText, server: YandexServer, trouble: Trouble
) -> None:
    server.hearing.trouble, server.hearing.slow_s = trouble, 0.3
    assert finals(await heard(engine, UTTERANCE)) == ["What is a verb?"]


async def test_nobody_there_is_an_engine_error(server: YandexServer, free_port: int) -> None:
    options = replace(server.options, stt_endpoint=f"127.0.0.1:{free_port}")
    async with started(options) as engine:
        with pytest.raises(EngineError, match="cannot be reached"):
            await heard(engine, UTTERANCE)


async def test_our_keys_are_told_to_nobody(
    server: YandexServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.hearing.trouble = Trouble.LOCKED
    async with started(server.options) as engine:
        with pytest.raises(EngineError) as caught:
            await heard(engine, UTTERANCE)
    assert "UNAUTHENTICATED" in caplog.text, "the vendor's own words are in the log"
    told = (caplog.text, str(caught.value), repr(caught.value), repr(server.options), repr(engine))
    assert not any(server.api_key in each for each in told)


def test_the_servers_own_loop_will_do(server: YandexServer) -> None:
    async def run() -> list[str]:
        async with started(server.options) as engine:
            return finals(await heard(engine, UTTERANCE))

    assert uvloop.run(run()) == ["What is a verb?"]


def test_a_frame_is_as_long_as_the_tests_think() -> None:
    assert len(UTTERANCE) * PCM_FRAME_MS == 2_240
    assert os.sep == "/", "leaks are looked for under /proc"
