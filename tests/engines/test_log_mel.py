"""The spectrogram is the one that Whisper's own front end draws."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from engines.log_mel import Floats, levelled, log_mel
from engines.turns import SAMPLES, features
from tests.human_speech import HumanSpeech

from .sounds import Samples, noise, samples_of, sine


@pytest.fixture(scope="module")
def whisper() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(chunk_length=8)  # type: ignore[no-untyped-call]


def drawn(whisper: WhisperFeatureExtractor, sound: Floats, *, levels: bool = True) -> Floats:
    """Eight seconds as transformers draw them."""
    found = whisper(
        sound, sampling_rate=16_000, padding="max_length", max_length=SAMPLES, truncation=True,
        do_normalize=levels, return_tensors="np",
    )  # fmt: skip
    picture: Floats = found.input_features[0]
    return picture


def apart(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).max())


def floats(samples: Samples) -> Floats:
    return np.asarray(samples, np.float32) / np.float32(32_768)


@pytest.mark.parametrize("name", ["en_jfk.wav", "en_LJ001-0013.wav", "ru_ruslan_01.wav"])
def test_speech(whisper: WhisperFeatureExtractor, speech: HumanSpeech, name: str) -> None:
    samples = samples_of(speech(name).read_bytes()[44:])[-SAMPLES:]
    sound = np.pad(floats(samples), (SAMPLES - len(samples), 0))
    assert apart(log_mel(levelled(sound)), drawn(whisper, sound)) < 1e-3
    assert apart(features(samples.tobytes()), drawn(whisper, sound)) < 1e-3


@pytest.mark.parametrize("hz", [100, 440, 1_000, 3_300, 7_900])
def test_a_tone_and_no_levelling(whisper: WhisperFeatureExtractor, hz: float) -> None:
    sound = floats(sine(hz, 16_000, 8.0))
    expected = drawn(whisper, sound, levels=False)
    assert apart(log_mel(sound), expected) < 1e-3


def test_silence_and_noise(whisper: WhisperFeatureExtractor) -> None:
    for samples in (np.zeros(SAMPLES, np.int16), noise(SAMPLES), noise(SAMPLES, amplitude=3)):
        sound = floats(samples)
        expected = drawn(whisper, sound)
        assert apart(log_mel(levelled(sound)), expected) < 1e-3


def test_loudness_does_not_matter_and_the_end_is_what_counts() -> None:
    sound = noise(SAMPLES + 5_000)
    same = features(sound[-SAMPLES:].tobytes())
    assert np.array_equal(features(sound.tobytes()), same)
    quieter = features(np.asarray(sound // 8, np.int16).tobytes())
    assert float(np.abs(quieter - same).mean()) < 0.01


@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_a_short_sound_stands_at_the_end(count: int) -> None:
    picture = features(noise(count).tobytes())
    assert picture.shape == (80, 800) and picture.dtype == np.float32
    assert np.isfinite(picture).all()
    if count > 1:
        assert picture[:, -3:].mean() > picture[:, :700].mean()
