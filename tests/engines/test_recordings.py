"""Recordings of strangers: measured by their sound, listened to, and harmless when they are bad."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import av
import av.audio
import numpy as np
import pytest

from engines.audio import read_audio
from engines.opus import BadAudio
from engines.recordings import Measured, Recordings
from engines.serving import WINDOW_BYTES
from engines.silero import SileroDetector
from engines.speech import EngineError, PcmFrame
from tests.calls.exchange import eventually

from .sounds import Samples, noise, sine, wave_file

PATIENCE_S = 90.0


@pytest.fixture
async def recordings() -> AsyncIterator[Recordings]:
    opened = Recordings(workers=1)
    yield opened
    await opened.close()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


async def measured(recordings: Recordings, data: bytes, seconds_max: float = 60.0) -> Measured:
    async with asyncio.timeout(PATIENCE_S):
        async with recordings.open(pieces(data), seconds_max=seconds_max) as recording:
            return recording.measured


async def heard(
    recordings: Recordings, data: bytes, seconds_max: float = 60.0
) -> list[tuple[PcmFrame, float]]:
    async with asyncio.timeout(PATIENCE_S):
        async with recordings.open(pieces(data), seconds_max=seconds_max) as recording:
            return [each async for each in recording.frames()]


def encoded(codec: str, container: str, samples: Samples, rate_hz: int) -> bytes:
    """A file of this codec, from 16-bit mono samples."""
    file = io.BytesIO()
    with av.open(file, mode="w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.audio.AudioStream)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


FILES = [
    ("libmp3lame", "mp3", 44_100, "mp3float"), ("aac", "mp4", 48_000, "aac"),
    ("flac", "flac", 44_100, "flac"), ("libopus", "ogg", 48_000, "opus"),
    ("libopus", "webm", 48_000, "opus"), ("pcm_s16le", "wav", 8_000, "pcm_s16le"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "container", "rate_hz", "name"), FILES)
async def test_every_kind_of_file_is_measured_and_heard(
    recordings: Recordings, codec: str, container: str, rate_hz: int, name: str
) -> None:
    file = encoded(codec, container, sine(440, rate_hz, 2.0), rate_hz)
    found = await measured(recordings, file)
    assert (found.codec.removeprefix("lib"), found.rate_hz, found.channels) == (name, rate_hz, 1)
    assert abs(found.duration_ms - 2_000) < 100
    frames = await heard(recordings, file)
    assert len(frames) == -(-found.duration_ms // 32)
    assert [frame for frame, _ in frames] == read_audio(file, seconds_max=60)


async def test_what_it_says_of_speech_is_what_the_detector_of_calls_says(
    recordings: Recordings, english: list[PcmFrame]
) -> None:
    sound = b"".join(frame.samples for frame in english)
    found = await heard(recordings, wave_file(np.frombuffer(sound, np.int16), 16_000))
    detector = SileroDetector()
    await detector.start()
    ears = detector.open()
    expected = [await ears.probability(frame) for frame in english]
    await detector.close()
    assert max(expected) > 0.9
    assert [chance for _, chance in found] == pytest.approx(expected, abs=0.01)


async def test_only_decoded_sound_is_believed(recordings: Recordings) -> None:
    """A head that says ten hours, or nothing, where there is a second."""
    honest = wave_file(sine(440, 16_000), 16_000)
    for claimed in (0xFFFFFFFF, 16_000 * 2 * 36_000, 1):
        lying = honest[:40] + struct.pack("<I", claimed) + honest[44:]
        if claimed == 1:
            with pytest.raises(BadAudio):
                await measured(recordings, lying)
        else:
            assert (await measured(recordings, lying)).duration_ms == 1_000


async def test_hours_of_silence_in_a_small_file_end_at_the_limit(recordings: Recordings) -> None:
    silence = encoded("flac", "flac", np.zeros(8_000 * 60 * 20, np.int16), 8_000)
    assert len(silence) < 300_000
    with pytest.raises(BadAudio, match="longer than 600 seconds"):
        await measured(recordings, silence, 600.0)
    assert (await measured(recordings, silence, 1_201.0)).duration_ms == 1_200_000


def truncated() -> bytes:
    return encoded("libmp3lame", "mp3", noise(44_100 * 2), 44_100)[:5_001]


async def test_a_file_that_breaks_off_is_heard_as_far_as_it_goes(recordings: Recordings) -> None:
    found = await measured(recordings, truncated())
    assert 100 < found.duration_ms < 1_900


BAD = {
    "nothing": b"",
    "text": b"This is a letter and no sound at all.\n" * 100,
    "a wave's head alone": wave_file(sine(440, 16_000), 16_000)[:44],
    "half a head": wave_file(sine(440, 16_000), 16_000)[:20],
    "an mp4's first box": struct.pack(">I4s", 24, b"ftyp") + b"isom" + bytes(12),
    "a playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "noise": np.random.default_rng(3).bytes(200_000),
}


async def test_what_is_no_sound_is_refused_and_the_worker_lives_on(
    recordings: Recordings,
) -> None:
    for name, data in BAD.items():
        with pytest.raises(BadAudio):
            await measured(recordings, data)
            pytest.fail(name)
    assert (await measured(recordings, wave_file(sine(440, 16_000), 16_000))).duration_ms == 1_000


def worker_of(recordings: Recordings) -> int:
    """The process behind it."""
    (child,) = recordings._pool._children
    return child._process.pid


async def test_a_worker_that_dies_fails_its_own_file_only(recordings: Recordings) -> None:
    file = wave_file(sine(440, 16_000, 30.0), 16_000)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(EngineError, match="stopped unexpectedly"):
            async with recordings.open(pieces(file), seconds_max=60) as recording:
                async for _ in recording.frames():
                    os.kill(worker_of(recordings), signal.SIGKILL)
    assert (await measured(recordings, file)).duration_ms == 30_000


async def test_a_listener_who_leaves_gives_the_worker_back(recordings: Recordings) -> None:
    file = wave_file(noise(16_000 * 120), 16_000)
    async with recordings.open(pieces(file), seconds_max=600) as recording:
        frames = recording.frames()
        await anext(frames)
        await frames.aclose()
        process = worker_of(recordings)
    assert (await measured(recordings, file, 600.0)).duration_ms == 120_000
    assert worker_of(recordings) == process


async def test_a_slow_listener_holds_up_the_decoder_and_not_memory(
    recordings: Recordings,
) -> None:
    """Ten minutes of sound, 19 MB when decoded: with one frame taken, nearly all of it is still
    to be made."""
    file = encoded("flac", "flac", np.zeros(16_000 * 600, np.int16), 16_000)
    async with recordings.open(pieces(file), seconds_max=3_600) as recording:
        frames = recording.frames()
        await anext(frames)
        said = recording._job._said
        await eventually(lambda: sum(size for *_, size in said) > WINDOW_BYTES, PATIENCE_S)
        assert sum(size for *_, size in said) < 4 * WINDOW_BYTES
        await frames.aclose()


async def test_a_decoder_may_not_take_all_memory(recordings: Recordings) -> None:
    await measured(recordings, wave_file(sine(440, 16_000), 16_000))
    limits = Path(f"/proc/{worker_of(recordings)}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert "unlimited" not in line
    assert int(line.split()[3]) < 16 << 30
