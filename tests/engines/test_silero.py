"""Many calls share one detector: the same answers as alone, in order, and none lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

from engines import silero
from engines.audio import read_audio
from engines.silero import SileroDetector, SileroStream, model_path
from engines.silero_network import Floats, SileroNetwork
from engines.speech import EngineError, PcmFrame
from tests.engines.contract import PATIENCE_S
from tests.engines.sounds import noise
from tests.human_speech import HumanSpeech

FRAME = PcmFrame(noise(512).tobytes())


@pytest.fixture
async def detector() -> AsyncIterator[SileroDetector]:
    one = SileroDetector()
    await one.start()
    yield one
    await one.close()


async def chances(stream: SileroStream, frames: list[PcmFrame]) -> list[float]:
    return [await stream.probability(frame) for frame in frames]


class Gate:
    """A network that waits in its thread until it is let through, and may fail."""

    def __init__(self, path: Path) -> None:
        self.network = SileroNetwork(path)
        self.entered, self.open = threading.Event(), threading.Event()
        self.batches: list[int] = []
        self.failing = False

    def __call__(self, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        self.batches.append(len(windows))
        self.entered.set()
        assert self.open.wait(20)
        if self.failing:
            raise RuntimeError("the processor caught fire")
        return self.network(windows, states)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    one = Gate(model_path())
    monkeypatch.setattr(silero, "_load", lambda threads: one)
    yield one
    one.open.set()


def segments(found: list[float]) -> list[tuple[int, int]]:
    """Stretches of frames above the package's own thresholds, in milliseconds."""
    spoken, speaking, start = [], False, 0
    for number, chance in enumerate([*found, 0.0]):
        if not speaking and chance >= 0.5:
            speaking, start = True, number
        elif speaking and chance < 0.35:
            speaking = False
            spoken.append((start * 32, number * 32))
    return spoken


@pytest.mark.parametrize("clip", ["en_jfk.wav", "ru_ruslan_01.wav"])
async def test_speech_is_found_where_the_package_finds_it(
    detector: SileroDetector, speech: HumanSpeech, clip: str
) -> None:
    frames = read_audio(speech(clip), seconds_max=60)
    ours = segments(await chances(detector.open(), frames))
    pcm = np.frombuffer(b"".join(frame.samples for frame in frames), "<i2")
    theirs = get_speech_timestamps(
        torch.from_numpy(pcm.astype(np.float32) / 32_768),
        load_silero_vad(onnx=True),
        min_speech_duration_ms=0,
        min_silence_duration_ms=0,
        speech_pad_ms=0,
    )
    assert theirs
    expected = [(part["start"] // 16, part["end"] // 16) for part in theirs]
    assert [part for part in ours if part[1] - part[0] > 32] == [
        part for part in expected if part[1] - part[0] > 32
    ]


@pytest.mark.parametrize("amplitude", [0, 30, 3_000])
async def test_silence_and_noise_are_no_speech(detector: SileroDetector, amplitude: int) -> None:
    frames = [PcmFrame(noise(512, amplitude, seed).tobytes()) for seed in range(60)]
    assert max((await chances(detector.open(), frames))[5:]) < 0.35


async def test_many_streams_hear_what_each_hears_alone(
    detector: SileroDetector, speech: HumanSpeech
) -> None:
    frames = read_audio(speech("en_jfk.wav"), seconds_max=60)[:60]
    # Each stream hears another part, so that a mistaken row shows.
    parts = [frames[at:] + frames[:at] for at in range(0, 40, 2)]
    alone = []
    for part in parts:
        stream = detector.open()
        alone.append(await chances(stream, part))
        stream.close()
    streams = [detector.open() for _ in parts]
    together = await asyncio.gather(*map(chances, streams, parts))
    assert np.abs(np.array(together) - np.array(alone)).max() < 1e-4


async def test_frames_that_arrive_during_a_batch_make_the_next_one(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    streams = [detector.open() for _ in range(10)]
    first = asyncio.ensure_future(streams[0].probability(FRAME))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    rest = [asyncio.ensure_future(stream.probability(FRAME)) for stream in streams]
    await asyncio.sleep(0.02)  # Past the time a batch is gathered for.
    assert gate.batches == [1]
    gate.open.set()
    answers = await asyncio.gather(first, *rest)
    assert gate.batches == [1, 10]
    assert len({round(answer, 4) for answer in answers[2:]}) == 1
    await detector.close()


async def test_frames_of_one_stream_keep_their_order(
    detector: SileroDetector, speech: HumanSpeech
) -> None:
    frames = read_audio(speech("en_jfk.wav"), seconds_max=60)[:50]
    one, other = detector.open(), detector.open()
    expected = await chances(one, frames)
    asked = await asyncio.gather(*(other.probability(frame) for frame in frames))
    assert np.abs(np.array(asked) - np.array(expected)).max() < 1e-4


async def test_a_place_is_used_again_without_its_memory(
    detector: SileroDetector, speech: HumanSpeech
) -> None:
    frames = read_audio(speech("en_jfk.wav"), seconds_max=60)[:40]
    first = detector.open()
    expected = await chances(first, frames)
    first.close()
    again = detector.open()
    assert again.row == first.row
    assert await chances(again, frames) == expected


async def test_closing_a_stream_in_the_middle_of_a_batch(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    leaving, staying = detector.open(), detector.open()
    asked = [asyncio.ensure_future(each.probability(FRAME)) for each in (leaving, staying)]
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    queued = asyncio.ensure_future(leaving.probability(FRAME))
    await asyncio.sleep(0)
    leaving.close()
    leaving.close()
    newcomer = detector.open()
    assert newcomer.row == leaving.row
    fresh = asyncio.ensure_future(newcomer.probability(FRAME))
    gate.open.set()
    for lost in (asked[0], queued):
        with pytest.raises(EngineError, match="the stream has been closed"):
            await lost
    assert await fresh == pytest.approx(await asked[1], abs=1e-5), "no memory of the other"
    with pytest.raises(EngineError):
        await leaving.probability(FRAME)
    await detector.close()


async def test_a_batch_that_nobody_waits_for_any_more_stops_nothing(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    staying, leaving = detector.open(), detector.open()
    first = asyncio.ensure_future(staying.probability(FRAME))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    second = asyncio.ensure_future(leaving.probability(FRAME))
    while not detector._overdue:
        await asyncio.sleep(0)
    leaving.close()
    gate.open.set()
    assert 0 <= await first <= 1
    with pytest.raises(EngineError):
        await second
    async with asyncio.timeout(PATIENCE_S):
        assert 0 <= await staying.probability(FRAME) <= 1
    await detector.close()


async def test_a_cancelled_caller_harms_nobody(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    one, other = detector.open(), detector.open()
    asked = [asyncio.ensure_future(each.probability(FRAME)) for each in (one, other)]
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    asked[0].cancel()
    gate.open.set()
    assert 0 <= await asked[1] <= 1
    assert 0 <= await one.probability(FRAME) <= 1
    await detector.close()


async def test_a_failure_in_the_thread_reaches_every_caller_once(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    gate.failing = True
    gate.open.set()
    streams = [detector.open() for _ in range(3)]
    failed = await asyncio.gather(
        *(stream.probability(FRAME) for stream in streams), return_exceptions=True
    )
    assert [type(each) for each in failed] == [EngineError] * 3
    gate.failing = False
    assert 0 <= await streams[0].probability(FRAME) <= 1
    await detector.close()


async def test_closing_the_detector(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    one, other = detector.open(), detector.open()
    in_work = asyncio.ensure_future(one.probability(FRAME))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    waiting = asyncio.ensure_future(other.probability(FRAME))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(detector.close())
    await asyncio.sleep(0)
    gate.open.set()
    await closing
    assert 0 <= await in_work <= 1
    with pytest.raises(EngineError, match="closed"):
        await waiting
    with pytest.raises(EngineError, match="closed"):
        await one.probability(FRAME)
    with pytest.raises(EngineError, match="not running"):
        detector.open()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("silero")]


async def test_a_stream_cannot_pile_up_frames(gate: Gate) -> None:
    detector = SileroDetector()
    await detector.start()
    stream = detector.open()
    asked = [asyncio.ensure_future(stream.probability(FRAME)) for _ in range(100)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert len([each for each in answers if isinstance(each, float)]) == silero.WAITING_MAX
    assert all("fell behind" in str(each) for each in answers[silero.WAITING_MAX :])
    await detector.close()


@pytest.mark.parametrize("size", [0, 1_022, 1_023, 1_025, 2_048])
async def test_a_frame_of_another_size_is_refused(detector: SileroDetector, size: int) -> None:
    with pytest.raises(EngineError, match="512 samples"):
        await detector.open().probability(PcmFrame(bytes(size)))


def test_a_network_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(SileroNetwork):
        def __call__(self, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
            chances, after = super().__call__(windows, states)
            return chances, after + np.float32(2e-4)

    assert isinstance(silero._load(1), SileroNetwork)
    monkeypatch.setattr(silero, "SileroNetwork", Off)
    assert not isinstance(silero._load(1), SileroNetwork)


async def test_a_missing_package_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="not installed"):
        await SileroDetector().start()


def test_detection_does_not_load_torch() -> None:
    code = (
        "import asyncio, sys, engines.silero as s; d = s.SileroDetector(); "
        "asyncio.run(d.start()); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
