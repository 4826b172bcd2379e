"""The weights come out of the wheel or from the hub, and are the very file we know."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from engines import turn_weights
from engines.models import Pulling
from engines.speech import EngineError
from engines.turn_weights import TurnWeights, find, path_in, pull

from .hub_for_tests import serving

NETWORK = bytes(range(256)) * 4_000
PACKAGE = "turn-weights-for-tests"
WEIGHTS = TurnWeights(
    file="ears.onnx", size=len(NETWORK), sha256=hashlib.sha256(NETWORK).hexdigest(),
    package=PACKAGE, version="1.0", wheel_size=1_000_000, repository="x/y",
)  # fmt: skip


def wheel(folder: Path, network: bytes) -> Path:
    """A wheel as small as pip takes it."""
    name = PACKAGE.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/data/{WEIGHTS.file}", network)
        file.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n"
        )
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", f"{name}/data/{WEIGHTS.file},,\n{about}/METADATA,,\n")
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place from which pip takes packages; nothing lies there yet."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_the_wheel_gives_the_file(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, NETWORK)
    told: list[Pulling] = []
    path = pull(tmp_path / "models", told.append, weights=WEIGHTS, endpoint="http://127.0.0.1:1")
    assert path.read_bytes() == NETWORK
    assert find(tmp_path / "models", WEIGHTS) == path == path_in(tmp_path / "models", WEIGHTS)
    assert told[-1].bytes_done == told[-1].bytes_total
    assert list(path.parent.iterdir()) == [path]


def test_pulling_again_asks_nobody(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, NETWORK)
    path = pull(tmp_path, weights=WEIGHTS)
    next(shelf.iterdir()).unlink()
    assert pull(tmp_path, weights=WEIGHTS, endpoint="http://127.0.0.1:1") == path


def test_a_file_that_was_damaged_here_is_fetched_anew(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, NETWORK)
    path = pull(tmp_path, weights=WEIGHTS)
    path.write_bytes(NETWORK[:-1] + b"x")
    assert pull(tmp_path, weights=WEIGHTS).read_bytes() == NETWORK


@pytest.mark.parametrize("network", [None, NETWORK[:-1] + b"x", NETWORK[:-1]])
def test_without_the_right_wheel_the_hub_is_asked(
    shelf: Path, tmp_path: Path, network: bytes | None
) -> None:
    if network is not None:
        wheel(shelf, network)
    with serving({WEIGHTS.file: NETWORK}) as hub:
        path = pull(tmp_path / "models", weights=WEIGHTS, endpoint=hub.endpoint)
    assert path.read_bytes() == NETWORK and hub.sent[WEIGHTS.file] == len(NETWORK)


def test_a_wheel_that_is_none(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, NETWORK).write_bytes(b"not a wheel")
    with serving({WEIGHTS.file: NETWORK}) as hub:
        assert pull(tmp_path, weights=WEIGHTS, endpoint=hub.endpoint).read_bytes() == NETWORK


def test_a_machine_without_pip(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_weights, "_PIP_IN", "raise SystemExit('No module named pip')")
    with serving({WEIGHTS.file: NETWORK}) as hub:
        assert pull(tmp_path, weights=WEIGHTS, endpoint=hub.endpoint).read_bytes() == NETWORK


def test_a_foreign_file_is_never_kept(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, bytes(len(NETWORK)))
    with (
        serving({WEIGHTS.file: bytes(len(NETWORK))}) as hub,
        pytest.raises(EngineError, match="damaged twice") as error,
    ):
        pull(tmp_path, weights=WEIGHTS, endpoint=hub.endpoint)
    assert "does not carry the file we know" in str(error.value)
    assert find(tmp_path, WEIGHTS) is None and not list(path_in(tmp_path, WEIGHTS).parent.iterdir())


def test_nobody_has_it(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"could not be fetched.*No matching distribution"):
        pull(tmp_path, weights=WEIGHTS, endpoint="http://127.0.0.1:1")


def test_a_folder_that_cannot_be_written(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, NETWORK)
    (tmp_path / turn_weights.NAME).write_text("in the way")
    with pytest.raises(EngineError, match="could not be stored"):
        pull(tmp_path, weights=WEIGHTS)


def test_an_installed_package_is_read_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(wheel(tmp_path, NETWORK)) as file:
        file.extractall(tmp_path / "installed")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    found = find(tmp_path / "models", WEIGHTS)
    assert found is not None and found.read_bytes() == NETWORK
    assert PACKAGE.replace("-", "_") not in sys.modules
    assert find(tmp_path / "models", replace(WEIGHTS, file="other.onnx")) is None
    found.unlink()
    assert find(tmp_path / "models", WEIGHTS) is None
