"""Smart Turn answers as its authors' procedure does, off the loop, for many calls at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from transformers import WhisperFeatureExtractor

from engines import turns
from engines.audio import read_audio
from engines.silero import SileroDetector
from engines.speech import EngineError, PcmFrame
from engines.turns import SAMPLES, WAITING_MAX, SmartTurn
from tests.engines.contract import PATIENCE_S
from tests.human_speech import HumanSpeech

from .sounds import noise, samples_of

# Read aloud by people, one sentence or clause a clip.
READ = ("en_LJ", "en_austen", "en_libri", "en_jfk")
PAUSE_FRAMES = 6


@pytest.fixture
async def ear(smart_turn: Path) -> AsyncIterator[SmartTurn]:
    ear = SmartTurn(smart_turn)
    yield ear
    await ear.close()


def by_the_book(weights: Path, samples: bytes) -> float:
    """The published procedure: the last eight seconds, zeros before them, Whisper's features,
    levelled, and the network."""
    sound = samples_of(samples)[-SAMPLES:].astype(np.float32) / 32_768
    sound = np.pad(sound, (SAMPLES - len(sound), 0))
    whisper = WhisperFeatureExtractor(chunk_length=8)  # type: ignore[no-untyped-call]
    seen = whisper(
        sound, sampling_rate=16_000, padding="max_length", max_length=SAMPLES, truncation=True,
        do_normalize=True, return_tensors="np",
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    (chances,) = session.run(None, {"input_features": seen.input_features.astype(np.float32)})
    return float(chances[0, 0])


@pytest.mark.parametrize("seconds", [1.0, 3.0, 20.0])
async def test_it_answers_as_the_published_procedure_does(
    ear: SmartTurn, smart_turn: Path, speech: HumanSpeech, seconds: float
) -> None:
    said = speech("en_jfk.wav").read_bytes()[44:][: int(seconds * 32_000)]
    expected = by_the_book(smart_turn, said)
    assert await ear.probability(said) == pytest.approx(expected, abs=0.02)


async def test_a_sentence_cut_short_sounds_less_finished(
    ear: SmartTurn, speech: HumanSpeech
) -> None:
    """What callers do: Silero finds the pause, the network hears up to there."""
    clips = [clip.path for clip in speech.clips("en") if clip.path.name.startswith(READ)]
    clips = clips or [clip.path for clip in speech.clips("en")]
    whole: list[float] = []
    cut: list[float] = []
    detector = SileroDetector()
    await detector.start()
    for path in clips:
        frames = read_audio(path, seconds_max=30.0)
        if heard := await up_to_the_last_pause(detector, frames):
            whole.append(await ear.probability(heard))
        for share in (0.3, 0.5, 0.7):
            beginning = frames[: int(len(frames) * share)]
            if heard := await up_to_the_last_pause(detector, beginning):
                cut.append(await ear.probability(heard))
    await detector.close()
    assert len(whole) >= len(clips) // 2 and len(cut) >= len(clips)
    assert all(0 <= chance <= 1 for chance in whole + cut)
    if speech.human:  # eSpeak NG has no melody that could be judged.
        assert np.mean(whole) > 0.65 and np.mean(np.array(whole) > 0.5) > 0.65
        assert np.mean(whole) > np.mean(cut) + 0.15


async def up_to_the_last_pause(detector: SileroDetector, frames: list[PcmFrame]) -> bytes:
    """The sound until the last pause has lasted a fifth of a second; empty without speech."""
    stream, quiet, ends = detector.open(), 0, 0
    hiss = noise(512 * 20, amplitude=9).tobytes()
    after = [PcmFrame(hiss[i : i + 1_024]) for i in range(0, len(hiss), 1_024)]
    for index, frame in enumerate([*frames, *after]):
        chance = await stream.probability(frame)
        quiet = 0 if chance >= 0.5 else quiet + (chance < 0.35)
        if quiet == PAUSE_FRAMES and chance < 0.35 and index >= PAUSE_FRAMES:
            ends = index + 1
    stream.close()
    return b"".join(frame.samples for frame in [*frames, *after][:ends])


async def test_calls_that_ask_together_get_their_own_answers(
    ear: SmartTurn, speech: HumanSpeech
) -> None:
    said = speech("en_jfk.wav").read_bytes()[44:]
    sounds = [said[: n * 16_000] for n in range(3, 3 + WAITING_MAX)]
    alone = [await ear.probability(sound) for sound in sounds]
    assert await asyncio.gather(*map(ear.probability, sounds)) == alone
    assert len(set(alone)) > 1


class Gate:
    """Keeps the thread busy until it is opened; counts what it was asked."""

    def __init__(self) -> None:
        self.entered, self.open, self.asked = threading.Event(), threading.Event(), 0

    def run(self, _: None, given: dict[str, Any]) -> list[Any]:
        self.asked += 1
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        return [np.array([[0.25]], np.float32)]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(turns, "_load", lambda weights: gate)
    yield gate
    gate.open.set()


async def test_the_loop_goes_on_while_it_listens(gate: Gate) -> None:
    ear = SmartTurn(Path("x"))
    answer = asyncio.ensure_future(ear.probability(bytes(32_000)))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    assert not answer.done()
    gate.open.set()
    assert await answer == 0.25
    await ear.close()


async def test_no_more_wait_than_can_be_answered_in_time(gate: Gate) -> None:
    ear = SmartTurn(Path("x"))
    waiting = [asyncio.ensure_future(ear.probability(b"")) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(EngineError, match="fell behind"):
        await ear.probability(b"")
    gate.open.set()
    assert await asyncio.gather(*waiting) == [0.25] * WAITING_MAX
    assert await ear.probability(b"") == 0.25
    await ear.close()


async def test_a_question_that_nobody_asks_any_more_is_dropped(gate: Gate) -> None:
    ear = SmartTurn(Path("x"))
    first = asyncio.ensure_future(ear.probability(b""))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    second = asyncio.ensure_future(ear.probability(b""))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    gate.open.set()
    assert await first == 0.25 and await ear.probability(b"") == 0.25
    assert gate.asked == 2
    await ear.close()


async def test_closing_waits_for_the_thread_and_fails_the_rest(gate: Gate) -> None:
    ear = SmartTurn(Path("x"))
    first = asyncio.ensure_future(ear.probability(b""))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    second = asyncio.ensure_future(ear.probability(b""))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(ear.close())
    with pytest.raises(EngineError, match="closed"):
        await second
    gate.open.set()
    await closing
    assert await first == 0.25
    with pytest.raises(EngineError, match="closed"):
        await ear.probability(b"")
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("smart-turn")]


async def test_a_file_that_is_no_network_is_an_engine_error(tmp_path: Path) -> None:
    weights = tmp_path / "x.onnx"
    weights.write_bytes(b"nothing of the kind")
    for path in (weights, tmp_path / "missing.onnx"):
        ear = SmartTurn(path)
        for _ in range(2):
            with pytest.raises(EngineError, match="failed"):
                await ear.probability(bytes(2_000))
        await ear.close()


async def test_half_a_sample_is_refused(ear: SmartTurn) -> None:
    with pytest.raises(EngineError, match="16-bit"):
        await ear.probability(b"\0" * 3)
