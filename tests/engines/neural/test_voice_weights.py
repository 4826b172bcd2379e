"""Voices arrive whole, are known by what is here, and what is missing is said in words."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.models import Pulling
from engines.neural import voice_weights
from engines.neural.voice_weights import (
    directory_of,
    is_known,
    kokoro_files,
    missing_kokoro,
    missing_piper,
    piper_voices,
    pull,
)
from engines.speech import EngineError
from engines.vendors import LocalVoiceOptions

from ..hub_for_tests import Hub, serving

STYLE = np.arange(510 * 256, dtype="<f4").tobytes()
LJ = "en/en_US/ljspeech/medium/"
IRINA = "ru/ru_RU/irina/medium/"
FILES = {
    "onnx/model.onnx": b"network" * 5_000,
    "onnx/model_quantized.onnx": b"not wanted",
    "voices/af_heart.bin": STYLE,
    "voices/am_echo.bin": STYLE[::-1],
    "README.md": b"not wanted",
    f"{LJ}en_US-ljspeech-medium.onnx": b"LJ" * 5_000,
    f"{LJ}en_US-ljspeech-medium.onnx.json": b'{"language": {"family": "en"}}',
    f"{LJ}MODEL_CARD": b"public domain",
    f"{IRINA}ru_RU-irina-medium.onnx": b"irina" * 5_000,
    f"{IRINA}ru_RU-irina-medium.onnx.json": b'{"language": {"family": "ru"}}',
    "de/de_DE/thorsten/low/de_DE-thorsten-low.onnx": b"thorsten",
    "de/de_DE/thorsten/low/de_DE-thorsten-low.onnx.json": b"{}",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(voice_weights, "KNOWN_SHA256", {})  # Those of the real files.
    with serving(FILES) as hub:
        yield hub


def test_kokoro_is_one_network_and_one_file_of_voices(hub: Hub, tmp_path: Path) -> None:
    told: list[Pulling] = []
    folder = pull("kokoro", tmp_path, told.append, endpoint=hub.endpoint)
    files = kokoro_files(folder)
    assert files == (tmp_path / "kokoro" / "model.onnx", tmp_path / "kokoro" / "voices-v1.0.bin")
    assert files[0].read_bytes() == FILES["onnx/model.onnx"]
    voices = np.load(files[1])
    assert sorted(voices) == ["af_heart", "am_echo"]
    assert voices["af_heart"].shape == (510, 1, 256)
    assert voices["af_heart"].tobytes() == STYLE
    assert "onnx/model_quantized.onnx" not in hub.sent
    assert told[-1].bytes_done == told[-1].bytes_total


def test_pulling_again_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    for name in ("kokoro", "piper"):
        pull(name, tmp_path, endpoint=hub.endpoint)
    before = dict(hub.sent)
    for name in ("kokoro", "piper"):
        pull(name, tmp_path, endpoint=hub.endpoint)
    assert hub.sent == before


def test_piper_alone_is_a_voice_for_each_language_of_the_tutor(hub: Hub, tmp_path: Path) -> None:
    folder = pull("piper", tmp_path, endpoint=hub.endpoint)
    found = piper_voices(folder)
    assert {voice.language for voice in found.values()} == {"en", "ru"}
    assert (folder / "en_US-ljspeech-medium.MODEL_CARD").read_bytes() == b"public domain"
    assert "thorsten" not in " ".join(hub.sent)


def test_a_voice_of_piper_is_fetched_by_name(hub: Hub, tmp_path: Path) -> None:
    folder = pull("piper:de_DE-thorsten-low", tmp_path, endpoint=hub.endpoint)
    assert [*piper_voices(folder)] == ["de_DE-thorsten-low"]
    assert piper_voices(folder)["de_DE-thorsten-low"].language == "de", "as its name says"
    with pytest.raises(EngineError, match="fr_FR-siwis-low"):
        pull("piper:fr_FR-siwis-low", tmp_path, endpoint=hub.endpoint)


def test_a_network_that_is_not_the_one_we_know_is_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"en_US-ljspeech-medium.onnx": "0" * 64}
    monkeypatch.setattr(voice_weights, "KNOWN_SHA256", known)
    with pytest.raises(EngineError, match="damaged"):
        pull("piper", tmp_path, endpoint=hub.endpoint)
    assert not piper_voices(tmp_path / "piper")


def test_a_network_that_comes_damaged_is_fetched_once_more(hub: Hub, tmp_path: Path) -> None:
    hub.damages = ["onnx/model.onnx"]
    folder = pull("kokoro", tmp_path, endpoint=hub.endpoint)
    assert (folder / "model.onnx").read_bytes() == FILES["onnx/model.onnx"]


def test_a_style_that_is_none_is_refused(tmp_path: Path) -> None:
    files = {**FILES, "voices/af_heart.bin": b"x" * 1_000}
    with serving(files) as hub, pytest.raises(EngineError, match="af_heart"):
        pull("kokoro", tmp_path, endpoint=hub.endpoint)
    assert kokoro_files(tmp_path / "kokoro") is None


def test_a_hub_without_kokoro_says_so(tmp_path: Path) -> None:
    with serving({"README.md": b""}) as hub, pytest.raises(EngineError, match="without"):
        pull("kokoro", tmp_path, endpoint=hub.endpoint)


def test_offline_is_said_clearly(tmp_path: Path) -> None:
    with serving(FILES) as hub:
        closed = hub.endpoint
    for name in ("kokoro", "piper"):
        with pytest.raises(EngineError, match="online"):
            pull(name, tmp_path, endpoint=closed)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("kokoro", True), ("piper", True), ("piper:en_GB-alba-medium", True),
        ("piper:pt_PT-tugão-medium", True), ("kokoro:x", False), ("piper:", False),
        ("piper:../../etc", False), ("piper:en_US-a/b-low", False), ("base", False),
    ],
)  # fmt: skip
def test_names(name: str, known: bool, tmp_path: Path) -> None:
    assert is_known(name) is known
    if not known:
        with pytest.raises(EngineError, match="kokoro, piper"):
            pull(name, tmp_path)
        assert not list(tmp_path.iterdir())


def test_weights_lie_in_the_models_or_where_a_path_says(tmp_path: Path) -> None:
    plain = LocalVoiceOptions(models_dir=tmp_path)
    assert directory_of(plain, "kokoro") == tmp_path / "kokoro"
    own = LocalVoiceOptions(models_dir=tmp_path, model="/weights/mine")
    assert directory_of(own, "kokoro") == Path("/weights/mine")
    assert directory_of(LocalVoiceOptions(tmp_path, "other"), "piper") == tmp_path / "other"


@pytest.mark.parametrize("engine", ["kokoro", "piper"])
def test_what_is_missing_is_said_with_the_command_that_brings_it(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"kokoro": missing_kokoro, "piper": missing_piper}[engine]
    options = LocalVoiceOptions(models_dir=tmp_path)
    assert f"voice-server models pull {engine}" in missing(options)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert f"make {engine}" in missing(options)


def test_a_voice_that_nobody_describes_is_not_here(tmp_path: Path) -> None:
    for name, described in (
        ("en_US-none-low", None), ("en_US-broken-low", "{"), ("en_US-list-low", "[1]"),
        ("en_US-huge-low", json.dumps({"x": "y" * 1_100_000})),
        ("en_US-good-low", json.dumps(good())),
    ):  # fmt: skip
        (tmp_path / f"{name}.onnx").write_bytes(b"x")
        if described is not None:
            (tmp_path / f"{name}.onnx.json").write_text(described)
    found = piper_voices(tmp_path)
    assert [*found] == ["en_US-good-low"]
    assert found["en_US-good-low"].title == "English: good"
    assert found["en_US-good-low"].speakers == ("anna", "boris")


def good() -> dict[str, Any]:
    return {
        "dataset": "good", "language": {"family": "en", "name_english": "English"},
        "speaker_id_map": {"anna": 0, "boris": 1},
    }  # fmt: skip
