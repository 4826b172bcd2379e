"""Sound and weights that several tests of engines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.audio import read_audio
from engines.speech import PcmFrame
from tests.human_speech import HumanSpeech

from .tiny_whisper import build


@pytest.fixture(scope="session")
def english(speech: HumanSpeech) -> list[PcmFrame]:
    """A few seconds of English."""
    return read_audio(speech("en_LJ001-0019.wav"), seconds_max=30.0)


@pytest.fixture(scope="session")
def whisper_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory that holds a random Whisper called "tiny"."""
    models_dir = tmp_path_factory.mktemp("models")
    build(models_dir / "tiny")
    return models_dir
