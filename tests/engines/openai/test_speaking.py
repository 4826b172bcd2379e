"""OpenAI's voices against a server that speaks its protocol, in health and in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from engines.openai.speaking import RATE_HZ, VOICES, OpenAITextToSpeech
from engines.opus import OpusDecoder
from engines.speech import EngineError, EngineRefused, OpusFrame
from engines.vendors import OpenAIOptions
from tests.vendors.openai_http import OpenAIServer, tone
from tests.vendors.trouble import Mood, Trouble

from ..sounds import samples_of

PATIENCE_S = 60.0
TEXT = "A verb is a doing word."


def options(server: OpenAIServer, **changed: Any) -> OpenAIOptions:
    told = OpenAIOptions(server.key, server.base_url, patience_s=PATIENCE_S, connect_s=PATIENCE_S)
    return dataclasses.replace(told, **changed)


@contextlib.asynccontextmanager
async def voice_of(told: OpenAIOptions) -> AsyncIterator[OpenAITextToSpeech]:
    voice = OpenAITextToSpeech(told)
    try:
        yield voice
    finally:
        await voice.close()


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def voice(server: OpenAIServer) -> AsyncIterator[OpenAITextToSpeech]:
    async with voice_of(options(server)) as voice:
        yield voice


async def packets(
    voice: OpenAITextToSpeech, text: str = TEXT, named: str = "", speed: float = 1.0
) -> list[bytes]:
    stream = voice.synthesize(text, voice=named, language="en", speed=speed)
    async with asyncio.timeout(PATIENCE_S):
        return [each.packet async for each in stream if isinstance(each, OpusFrame)]


# In health.


async def test_all_of_the_sound_is_there_and_no_more(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    # Half a packet too many, in pieces that end anywhere.
    server.speaks = lambda text, speed: tone(text, speed)[: 481 * 60 * 2]
    made = await packets(voice)
    assert len(made) == -(-481 * 60 // 480)
    decoder = OpusDecoder(RATE_HZ)
    heard = samples_of(b"".join(map(decoder.decode, made))).astype(float)
    said = samples_of(tone(TEXT, 1.0)).astype(float)[: len(heard)]
    # The encoder lags behind by some milliseconds, and is not exact.
    best = max(float(np.corrcoef(heard[lag : len(said)], said[: len(said) - lag])[0, 1])
               for lag in range(0, 360))  # fmt: skip
    assert best > 0.97


async def test_the_first_packet_leaves_before_the_sound_is_all_there(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.mood = Mood(Trouble.STALLED, after=1)
    async with asyncio.timeout(PATIENCE_S):
        stream = voice.synthesize(TEXT, voice="", language="en")
        async with contextlib.aclosing(stream):
            first = [await anext(stream) for _ in range(5)]
    assert len(first) == 5, "all of the 100 ms that were sent"


async def test_what_is_asked_of_the_vendor(voice: OpenAITextToSpeech, server: OpenAIServer) -> None:
    await packets(voice)
    await packets(voice, named="cedar", speed=1.5)
    plain, other = (asked.json() for asked in server.to("/speech"))
    assert plain == {
        "model": "gpt-4o-mini-tts", "input": TEXT, "voice": "marin", "response_format": "pcm",
    }  # fmt: skip
    assert (other["voice"], other["speed"]) == ("cedar", 1.5)


async def test_faster_is_shorter(voice: OpenAITextToSpeech) -> None:
    usual, fast = await packets(voice), await packets(voice, speed=2.0)
    assert len(fast) == pytest.approx(len(usual) / 2, abs=1)


async def test_one_connection_serves_one_text_after_the_other(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    for _ in range(5):
        assert await packets(voice)
    assert server.opened == 1


async def test_texts_spoken_at_once_do_not_mix(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    texts = ["a", "bb b", "A verb.", "cc c c", "A noun is a thing."]
    alone = [await packets(voice, text) for text in texts]
    assert await asyncio.gather(*[packets(voice, text) for text in texts]) == alone


async def test_nothing_to_say_asks_nobody(voice: OpenAITextToSpeech, server: OpenAIServer) -> None:
    for text in ("", " … ", "?!"):
        assert await packets(voice, text) == []
    assert server.opened == 0


async def test_half_a_character_is_no_error(voice: OpenAITextToSpeech) -> None:
    assert await packets(voice, "one \ud83d two")


async def test_voices_are_listed_with_the_default_first(server: OpenAIServer) -> None:
    async with voice_of(options(server, speech_voice="sage")) as voice:
        listed = voice.voices("ru")
    assert listed[0].name == "sage"
    assert {each.name for each in listed} == {name for name, _ in VOICES}
    assert {each.language for each in listed} == {"ru"}


# What is refused.


@pytest.mark.parametrize("speed", [0.0, 0.2, 4.1, -1.0, float("nan"), float("inf")])
async def test_a_speed_that_nobody_speaks_is_refused(
    voice: OpenAITextToSpeech, server: OpenAIServer, speed: float
) -> None:
    with pytest.raises(EngineRefused, match="speed"):
        await packets(voice, speed=speed)
    assert not server.requests


async def test_a_text_that_is_too_long_is_refused(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    with pytest.raises(EngineRefused, match="4096"):
        await packets(voice, "a" * 4_097)
    assert not server.requests


@pytest.mark.parametrize("name", ["../../etc", "nobody" * 99, "a b", "en-us+f2", "voice_/x"])
async def test_a_voice_the_vendor_cannot_have_is_refused(name: str) -> None:
    async with voice_of(OpenAIOptions("sk-none")) as voice:
        with pytest.raises(EngineRefused, match="no voice"):
            await packets(voice, named=name)


async def test_a_voice_another_server_does_not_have_is_refused(voice: OpenAITextToSpeech) -> None:
    with pytest.raises(EngineRefused):
        await packets(voice, named="af_bella")


async def test_a_voice_of_ones_own_is_named_by_its_id(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    assert await packets(voice, named="voice_1234")
    assert server.to("/speech")[0].json()["voice"] == {"id": "voice_1234"}


async def test_it_must_be_configured() -> None:
    voice = OpenAITextToSpeech(OpenAIOptions())
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        await voice.start()


# In trouble.


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE])
@pytest.mark.parametrize("after", [0, 3])
async def test_sound_that_comes_late_comes(
    voice: OpenAITextToSpeech, server: OpenAIServer, trouble: Trouble, after: int
) -> None:
    whole = await packets(voice)
    server.mood = Mood(trouble, after=after, slow_s=0.2)
    assert await packets(voice) == whole


@pytest.mark.parametrize(
    ("trouble", "words", "wait_s"),
    [
        (Trouble.STALLED, "too long", None), (Trouble.DROPPED, "broke off", None),
        (Trouble.LIMITED, "busy", 2.0), (Trouble.BROKEN, "fault", None),
        (Trouble.LOCKED, "key", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 3])
async def test_trouble_is_an_engine_error_after_what_came(
    server: OpenAIServer, trouble: Trouble, words: str, wait_s: float | None, after: int
) -> None:
    server.mood = Mood(trouble, after=after)
    patience_s = 0.3 if trouble is Trouble.STALLED else PATIENCE_S
    made = 0
    async with voice_of(options(server, patience_s=patience_s)) as voice:
        with pytest.raises(EngineError, match=words) as failed:
            async for _ in voice.synthesize(TEXT, voice="", language="en"):
                made += 1
        server.mood = Mood()
        assert failed.value.retry_after_s == wait_s
        assert not isinstance(failed.value, EngineRefused)
        assert made <= after * 5
        await server.until(lambda: all(asked.over.is_set() for asked in server.requests))
    # What had begun is not begun again behind the caller's back.
    assert len(server.to("/speech")) == 1


async def test_a_connection_that_died_is_made_anew(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    whole = await packets(voice)
    for _ in range(3):
        server.cut_all()
        assert await packets(voice) == whole


async def test_a_request_that_was_cut_off_is_sent_once_more_and_no_more(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.cuts = 1
    assert await packets(voice)
    assert len(server.requests) == 2
    server.cuts = 2
    with pytest.raises(EngineError, match="broke off"):
        await packets(voice)
    assert len(server.requests) == 4


async def test_leaving_ends_the_vendors_work(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.mood = Mood(Trouble.STALLED, after=2)
    before = asyncio.all_tasks()
    stream = voice.synthesize("word " * 300, voice="", language="en")
    async with asyncio.timeout(PATIENCE_S):
        async with contextlib.aclosing(stream):
            await anext(stream)
        assert asyncio.all_tasks() <= before
        await server.until(lambda: not server.open)


async def test_cancelling_ends_the_vendors_work_while_it_is_waited_for(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.mood = Mood(Trouble.STALLED)
    task = asyncio.create_task(packets(voice))
    await server.until(lambda: server.to("/speech"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.open)


async def test_a_voice_that_rambles_is_cut_off(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.speaks = lambda text, speed: bytes(RATE_HZ * 2 * 60)
    made = await packets(voice, "Hi")
    assert 12_000 / 20 <= len(made) <= 13_000 / 20


async def test_an_answer_that_is_no_sound_is_an_error(
    voice: OpenAITextToSpeech, server: OpenAIServer
) -> None:
    server.sound_type = "application/json"
    with pytest.raises(EngineError, match="something else"):
        await packets(voice)


@pytest.mark.parametrize("trouble", [Trouble.LOCKED, Trouble.LIMITED, Trouble.DROPPED])
async def test_no_key_is_told_or_logged(
    voice: OpenAITextToSpeech, server: OpenAIServer, trouble: Trouble,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    server.mood = Mood(trouble)
    with pytest.raises(EngineError) as failed:
        await packets(voice)
    told = f"{failed.value!r} {failed.value.__cause__!r}"
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("engines")]
    assert ours
    assert server.key not in told + caplog.text + repr(options(server))
    assert str(server.port) not in told
