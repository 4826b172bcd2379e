"""The voice against the vendor's protocol, which `tests.vendors.yandex` speaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import uvloop

from engines.opus import OpusDecoder
from engines.speech import OPUS_FRAME_MS, EngineError, EngineRefused, OpusFrame
from engines.yandex import speaking as yandex_speech
from engines.yandex.speaking import VOICES, YandexTextToSpeech, pieces_of
from tests.vendors import yandex_mouth
from tests.vendors.trouble import Trouble
from tests.vendors.yandex import RETRY_S, Spoken, YandexServer, serving_yandex

from ..sounds import loudness

PATIENCE_S = 60.0
LONG = "Это глагол, а это существительное; одно делает, другое есть. " * 20


@pytest.fixture
def server() -> Iterator[YandexServer]:
    with serving_yandex() as server:
        yield server


@pytest.fixture
async def voice(server: YandexServer) -> AsyncIterator[YandexTextToSpeech]:
    engine = YandexTextToSpeech(server.options)
    await engine.start()
    yield engine
    await engine.close()


async def said(
    engine: YandexTextToSpeech, text: str, *, voice: str = "", language: str = "ru",
    speed: float = 1.0,
) -> list[OpusFrame]:  # fmt: skip
    speech = engine.synthesize(text, voice=voice, language=language, speed=speed)
    async with asyncio.timeout(PATIENCE_S):
        return [each async for each in speech if isinstance(each, OpusFrame)]


async def over(request: Spoken) -> str:
    assert await asyncio.to_thread(request.over.wait, PATIENCE_S)
    return request.outcome


# Sound.


async def test_all_of_the_sound_comes(voice: YandexTextToSpeech) -> None:
    frames = await said(voice, "Это глагол.")
    # Eleven letters and a space, 70 ms each without the space, and what fills the last packet.
    assert 10 * 70 <= len(frames) * OPUS_FRAME_MS < 10 * 70 + OPUS_FRAME_MS
    decoder = OpusDecoder(24_000)
    assert loudness(b"".join(decoder.decode(frame.packet) for frame in frames)) > -25


async def test_the_first_sound_does_not_wait_for_the_last(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    server.speaking.trouble, server.speaking.after = Trouble.STALLED, 1
    stream = voice.synthesize(LONG[:200], voice="", language="ru")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        early = [await anext(stream) for _ in range(10)]
    assert all(isinstance(each, OpusFrame) for each in early)
    assert await over(server.spoken[0]) == "left"
    assert server.spoken[0].chunks == 1


async def test_a_long_text_is_asked_for_piece_by_piece(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    frames = await said(voice, LONG)
    texts = [request.text for request in server.spoken]
    assert " ".join(texts) == LONG.strip()
    assert all(len(text) <= 250 for text in texts)
    assert all(text.endswith((".", ",", ";")) for text in texts)
    assert [await over(request) for request in server.spoken] == ["done"] * len(texts)
    letters = len("".join(LONG.split()))
    assert abs(len(frames) * OPUS_FRAME_MS - letters * 70) < 1_000


async def test_the_next_piece_is_asked_for_while_the_former_sounds(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    """One piece ahead, and no more: what will perhaps not be heard should not be paid for."""
    stream = voice.synthesize(LONG, voice="", language="ru")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        await anext(stream)
        while len(server.spoken) < 2:
            await asyncio.sleep(0.01)
    assert [await over(request) for request in server.spoken][1:] in (["left"], ["done"])
    assert len(server.spoken) == 2


async def test_nothing_to_say_is_not_asked_for(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    for text in ("", "  ", " … !", "\x00"):
        assert await said(voice, text) == []
    assert server.spoken == []


async def test_words_places_are_not_made_up(voice: YandexTextToSpeech) -> None:
    stream = voice.synthesize("Это глагол.", voice="", language="ru")
    assert all(isinstance(each, OpusFrame) for each in [each async for each in stream])


# The request.


@pytest.mark.parametrize(("voice_asked", "language", "name", "role"), [
    ("", "ru", "marina", ""), ("", "en", "john", ""), ("", "en-US", "john", ""),
    ("", "de", "lea", ""), ("alena:good", "ru", "alena", "good"), ("alena", "en", "alena", ""),
])  # fmt: skip
async def test_the_voice_is_named_in_the_vendors_way(
    voice: YandexTextToSpeech, server: YandexServer, voice_asked: str, language: str,
    name: str, role: str,
) -> None:  # fmt: skip
    await said(voice, "Да.", voice=voice_asked, language=language)
    assert (server.spoken[0].voice, server.spoken[0].role) == (name, role)
    assert server.spoken[0].rate_hz == 24_000


async def test_the_configured_voice_comes_first(server: YandexServer) -> None:
    """It may be one that no list knows, with a role or without."""
    options = replace(server.options, voices=(("ru", "kirill:strict"), ("en", "our-own")))
    engine = YandexTextToSpeech(options)
    await said(engine, "Да.")
    assert (server.spoken[0].voice, server.spoken[0].role) == ("kirill", "strict")
    assert engine.voices("ru")[0].name == "kirill"
    with pytest.raises(EngineRefused, match="refused"):  # By the vendor, and not by us.
        await said(engine, "Yes.", language="en")
    await engine.close()


@pytest.mark.parametrize(("asked", "language"), [
    ("alloy", "ru"), ("../etc", "ru"), ("alena:evil", "ru"), ("", "ja"), ("x" * 999, "en"),
])  # fmt: skip
async def test_a_voice_that_the_vendor_has_not_is_refused(
    voice: YandexTextToSpeech, server: YandexServer, asked: str, language: str
) -> None:
    with pytest.raises(EngineRefused) as caught:
        await said(voice, "Да.", voice=asked, language=language)
    assert len(str(caught.value)) < 120
    assert server.spoken == []


def test_the_voices_of_a_language_are_listed(voice: YandexTextToSpeech) -> None:
    assert [each.name for each in voice.voices("en")] == ["john"]
    russian = voice.voices("ru")
    assert russian[0].name == "marina"
    assert len(russian) > 10
    assert {each.gender for each in russian} == {"male", "female"}
    assert voice.voices("ja") == []
    assert set(voice.voices()) == set(VOICES)


def test_our_list_of_voices_is_the_vendors() -> None:
    ours = {voice.name: set(voice.roles) for voice in VOICES}
    for name, roles in yandex_mouth.VOICES.items():
        assert ours[name] == set(roles)


@pytest.mark.parametrize(("speed", "told"), [(1.0, 1.0), (1.5, 1.5), (4.0, 3.0), (0.25, 0.25)])
async def test_the_speed_is_told(
    voice: YandexTextToSpeech, server: YandexServer, speed: float, told: float
) -> None:
    await said(voice, "Это глагол.", speed=speed)
    assert server.spoken[0].speed == told


async def test_slow_speech_comes_in_shorter_pieces(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    """The vendor makes no more than 24 seconds of sound at a time, and refuses what is longer."""
    assert await said(voice, LONG, speed=0.5)
    assert max(len(request.text) for request in server.spoken) < 160


async def test_markup_is_not_obeyed(voice: YandexTextToSpeech, server: YandexServer) -> None:
    await said(voice, "**Раз** [[v a]] <[small]> a+b, 2+2, a*b {x}\ud800")
    assert server.spoken[0].text.split() == "Раз v a small a b, 2+2, a*b {x}?".split()


def test_pieces_hold_something_to_say() -> None:
    (piece,) = pieces_of("…! " * 200 + "Да.", 1.0)
    assert piece.endswith("Да.")
    assert pieces_of("…! " * 200, 1.0) == pieces_of("", 1.0) == []


async def test_a_text_without_end_is_refused(voice: YandexTextToSpeech) -> None:
    with pytest.raises(EngineRefused, match="5000"):
        await said(voice, "а" * 5_001)


# Leaving.


async def test_leaving_is_told_to_the_vendor(
    voice: YandexTextToSpeech, server: YandexServer
) -> None:
    server.speaking.trouble, server.speaking.after = Trouble.STALLED, 2
    before = asyncio.all_tasks()
    stream = voice.synthesize(LONG, voice="", language="ru")
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
        await anext(stream)
        while len(server.spoken) < 2:
            await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= before
    assert [await over(request) for request in server.spoken] == ["left", "left"]


# Troubles.


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(("trouble", "told", "retry_after_s"), [
    (Trouble.LIMITED, "too busy", RETRY_S), (Trouble.BROKEN, "cannot be reached", None),
    (Trouble.LOCKED, "accept our key", None), (Trouble.DROPPED, "broke off", None),
])  # fmt: skip
async def test_a_failing_vendor_is_an_engine_error(
    voice: YandexTextToSpeech, server: YandexServer, trouble: Trouble, told: str,
    retry_after_s: float | None, after: int,
) -> None:  # fmt: skip
    server.speaking.trouble, server.speaking.after, server.speaking.times = trouble, after, 1
    stream, frames = voice.synthesize(LONG[:200], voice="", language="ru"), 0
    with pytest.raises(EngineError, match=told) as caught:
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
            async for _ in stream:
                frames += 1
    assert not isinstance(caught.value, EngineRefused)
    assert caught.value.retry_after_s == retry_after_s
    assert frames * OPUS_FRAME_MS <= after * yandex_mouth.CHUNK_MS
    for _ in range(100):  # A connection that was cut takes a moment.
        with contextlib.suppress(EngineError):
            assert await said(voice, "Да.")
            return
        await asyncio.sleep(0.1)
    pytest.fail("the engine does not recover")


async def test_a_vendor_that_falls_silent_is_given_up(server: YandexServer) -> None:
    server.speaking.trouble, server.speaking.after = Trouble.STALLED, 1
    engine = YandexTextToSpeech(replace(server.options, patience_s=0.2))
    with pytest.raises(EngineError, match="took too long"):
        await said(engine, LONG[:200])
    assert await over(server.spoken[0]) == "left"
    await engine.close()


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE])
async def test_a_slow_vendor_is_waited_for(
    voice: YandexTextToSpeech, server: YandexServer, trouble: Trouble
) -> None:
    server.speaking.trouble, server.speaking.slow_s = trouble, 0.3
    assert await said(voice, "Это глагол.")


async def test_a_vendor_that_never_ends_is_given_up(
    voice: YandexTextToSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yandex_speech, "PIECE_BYTES_MAX", 48_000)
    with pytest.raises(EngineError, match="without end"):
        await said(voice, LONG[:200])


async def test_nobody_there_is_an_engine_error(server: YandexServer, free_port: int) -> None:
    engine = YandexTextToSpeech(replace(server.options, tts_endpoint=f"127.0.0.1:{free_port}"))
    with pytest.raises(EngineError, match="cannot be reached"):
        await said(engine, "Да.")
    await engine.close()


async def test_our_keys_are_told_to_nobody(
    voice: YandexTextToSpeech, server: YandexServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.speaking.trouble = Trouble.LOCKED
    with pytest.raises(EngineError) as caught:
        await said(voice, "Да.")
    assert "UNAUTHENTICATED" in caplog.text
    told = (caplog.text, str(caught.value), repr(caught.value), repr(server.options), repr(voice))
    assert not any(server.api_key in each for each in told)


def test_the_servers_own_loop_will_do(server: YandexServer) -> None:
    async def run() -> list[OpusFrame]:
        engine = YandexTextToSpeech(server.options)
        try:
            return await said(engine, "Да.")
        finally:
            await engine.close()

    assert uvloop.run(run())
