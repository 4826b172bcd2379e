"""Our network is Silero's: the same numbers as the package's two models, batched or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engines.audio import read_audio
from engines.silero import difference, model_path, package_network
from engines.silero_network import WINDOW, Floats, SileroNetwork
from tests.human_speech import HumanSpeech

# One thread per product leaves sums in another order for another number of rows.
ROUNDING = 5e-6


@pytest.fixture(scope="module")
def network() -> SileroNetwork:
    return SileroNetwork(model_path())


def zeros(streams: int) -> Floats:
    return np.zeros((2, streams, 128), np.float32)


def windows_of(clip: Path) -> Floats:
    """A recording as windows (frames, 576), each with its 64 samples of context."""
    frames = read_audio(clip, seconds_max=60)
    pcm = np.frombuffer(b"".join(frame.samples for frame in frames), "<i2").astype(np.float32)
    sound = np.concatenate((np.zeros(64, np.float32), pcm / 32_768))
    return np.stack([sound[at : at + WINDOW] for at in range(0, len(pcm), 512)])


def test_it_agrees_with_the_package_in_onnxruntime(network: SileroNetwork) -> None:
    assert difference(network, package_network(), streams=40, steps=50) < 1e-4


def test_it_agrees_with_the_package_in_torch_on_speech(
    network: SileroNetwork, speech: HumanSpeech
) -> None:
    model = torch.jit.load(str(model_path().with_name("silero_vad.jit")))  # type: ignore[no-untyped-call]
    state, theirs = zeros(1), []
    ours = []
    for window in windows_of(speech("en_jfk.wav")):
        chances, state = network(window[None], state)
        ours.append(float(chances[0]))
        theirs.append(float(model(torch.from_numpy(window[64:]), 16_000)))
    assert np.abs(np.array(ours) - np.array(theirs)).max() < 1e-4
    assert max(ours) > 0.95


@pytest.mark.parametrize("streams", [2, 7, 40, 64, 65, 200])
def test_a_batch_is_its_streams_one_by_one(network: SileroNetwork, streams: int) -> None:
    random = np.random.default_rng(streams)
    windows = random.standard_normal((streams, WINDOW), np.float32) * np.float32(0.1)
    states = random.standard_normal((2, streams, 128), np.float32)
    chances, after = network(windows, states)
    for row in range(streams):
        chance, state = network(windows[row : row + 1], states[:, row : row + 1])
        assert abs(chance[0] - chances[row]) < ROUNDING
        assert np.abs(state[:, 0] - after[:, row]).max() < ROUNDING


def test_extreme_sound_gives_a_chance(network: SileroNetwork) -> None:
    for level in (0.0, 1.0, -1.0):
        state = zeros(1)
        for _ in range(20):
            chances, state = network(np.full((1, WINDOW), level, np.float32), state)
            assert 0 <= chances[0] <= 1
            assert np.isfinite(state).all()


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x3a\x05hello", bytes(1_000)])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises((ValueError, KeyError)):
        SileroNetwork(tmp_path / "model.onnx")
