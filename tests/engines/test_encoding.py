"""Speech in every format: read by somebody else's reader, made while it is spoken."""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncGenerator, AsyncIterator

import av
import numpy as np
import pytest

from engines.encoding import FORMATS, Encoders
from engines.opus import OpusEncoder
from engines.speech import EngineError, OpusFrame
from tests.calls.exchange import eventually, nothing_left

from .sounds import Samples, fitted, sine

PATIENCE_S = 60.0
SOUND = OpusEncoder(24_000, bitrate=64_000).encode(sine(440, 24_000, 2.0).tobytes())


@pytest.fixture
async def encoders() -> AsyncIterator[Encoders]:
    made = Encoders(streams_max=4)
    yield made
    await made.close()


async def spoken(frames: list[OpusFrame]) -> AsyncGenerator[OpusFrame, None]:
    for frame in frames:
        await asyncio.sleep(0)
        yield frame


def decoded(file: bytes, audio_format: str) -> tuple[Samples, int]:
    """The sound of a file and its rate, as PyAV has them."""
    if audio_format == "pcm":
        return np.frombuffer(file, "<i2"), 24_000
    with av.open(io.BytesIO(file), mode="r") as opened:
        resampler = av.AudioResampler(format="s16", layout="mono")
        frames = [each for frame in opened.decode(audio=0) for each in resampler.resample(frame)]
        rate_hz = opened.streams.audio[0].rate
        assert rate_hz is not None
        return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate_hz


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_the_sound_is_the_same_in_every_format(
    encoders: Encoders, audio_format: str
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        pieces = [each async for each in encoders.encoded(spoken(SOUND), audio_format)]
    assert len(pieces) > 3 and all(pieces)
    sound, rate_hz = decoded(b"".join(pieces), audio_format)
    assert rate_hz == (48_000 if audio_format == "opus" else 24_000)
    # A lossy codec adds its own frame or two at the ends.
    assert abs(len(sound) / rate_hz - 2.0) < 0.1
    middle = sound[rate_hz // 2 : rate_hz * 3 // 2]
    amplitude, rest_db = fitted(middle, 440, rate_hz)
    assert 14_000 < amplitude < 18_000
    assert rest_db > 20


async def test_a_wave_is_read_by_the_standard_library(encoders: Encoders) -> None:
    pieces = [each async for each in encoders.encoded(spoken(SOUND), "wav")]
    with wave.open(io.BytesIO(b"".join(pieces))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert len(file.readframes(10**9)) == 2 * 2 * 24_000


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_the_first_sound_leaves_before_the_last_is_made(
    encoders: Encoders, audio_format: str
) -> None:
    last = asyncio.Event()

    async def frames() -> AsyncGenerator[OpusFrame, None]:
        for frame in SOUND[:50]:
            yield frame
        await last.wait()
        for frame in SOUND[50:]:
            yield frame

    async with asyncio.timeout(PATIENCE_S):
        pieces = encoders.encoded(frames(), audio_format)
        first = await anext(pieces)
        assert first and not last.is_set()
        last.set()
        rest = [each async for each in pieces]
    sound, rate_hz = decoded(b"".join([first, *rest]), audio_format)
    assert abs(len(sound) / rate_hz - 2.0) < 0.1


@pytest.mark.parametrize("audio_format", ["opus", "mp3"])
async def test_what_fails_before_the_first_frame_gives_nothing(
    encoders: Encoders, audio_format: str
) -> None:
    async def frames() -> AsyncGenerator[OpusFrame, None]:
        raise EngineError("no voice")
        yield SOUND[0]

    with pytest.raises(EngineError, match="no voice"):
        await anext(encoders.encoded(frames(), audio_format))


@pytest.mark.parametrize("audio_format", ["opus", "mp3"])
async def test_what_fails_in_the_middle_is_told(encoders: Encoders, audio_format: str) -> None:
    async def frames() -> AsyncGenerator[OpusFrame, None]:
        for frame in SOUND[:30]:
            yield frame
        raise EngineError("the voice broke")

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(EngineError, match="the voice broke"):
            async for _ in encoders.encoded(frames(), audio_format):
                pass


@pytest.mark.parametrize("audio_format", ["opus", "mp3"])
async def test_a_listener_who_leaves_closes_the_voice(
    encoders: Encoders, audio_format: str
) -> None:
    closed = asyncio.Event()

    async def frames() -> AsyncGenerator[OpusFrame, None]:
        try:
            while True:
                for frame in SOUND:
                    await asyncio.sleep(0)
                    yield frame
        finally:
            closed.set()

    # Another stream first, so that the worker has begun and its own tasks are not counted.
    assert [each async for each in encoders.encoded(spoken(SOUND), audio_format)]
    async with asyncio.timeout(PATIENCE_S), nothing_left():
        async with contextlib.aclosing(encoders.encoded(frames(), audio_format)) as pieces:
            for _ in range(5):
                await anext(pieces)
        assert closed.is_set()


async def test_a_reader_who_stops_reading_stops_the_making(encoders: Encoders) -> None:
    """Bounded: whoever takes nothing soon gets nothing made, and others get theirs."""
    made = 0

    async def frames() -> AsyncGenerator[OpusFrame, None]:
        nonlocal made
        while True:
            for frame in SOUND:
                made += 1
                yield frame

    async with asyncio.timeout(PATIENCE_S):
        pieces = encoders.encoded(frames(), "wav")
        await anext(pieces)
        before = -1

        def is_still() -> bool:
            nonlocal before
            same, before = made == before, made
            return same

        for _ in range(20):
            await eventually(is_still, PATIENCE_S)
        others = [each async for each in encoders.encoded(spoken(SOUND), "mp3")]
        assert len(b"".join(others)) > 10_000
        assert made < 20_000  # Frames of 20 ms: a few minutes, and not for ever.
        await pieces.aclose()
