"""Weights arrive whole or not at all, and say how far they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.models import KNOWN, NEEDED, Pulling, directory_of, missing_from, present, pull
from engines.speech import EngineError

from .hub_for_tests import Hub, serving

FILES = {
    "model.bin": bytes(range(256)) * 4_096,
    "config.json": b'{"alignment_heads": []}',
    "tokenizer.json": b'{"model": {}}',
    "README.md": b"not wanted",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(FILES) as hub:
        yield hub


def test_pulling_brings_what_is_needed_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    told: list[Pulling] = []
    folder = pull("tiny", tmp_path, told.append, endpoint=hub.endpoint)
    assert folder == tmp_path / "tiny"
    assert all((folder / name).read_bytes() == FILES[name] for name in NEEDED)
    assert not (folder / "README.md").exists()
    total = sum(len(FILES[name]) for name in NEEDED)
    assert [each.bytes_done for each in told] == sorted(each.bytes_done for each in told)
    assert told[-1].bytes_done == told[-1].bytes_total == total
    assert present(tmp_path) == ("tiny",)


def test_pulling_again_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    pull("tiny", tmp_path, endpoint=hub.endpoint)
    before = dict(hub.sent)
    pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert hub.sent == before


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    hub.breaks_after["model.bin"] = 100_000
    with pytest.raises(EngineError, match="could not be fetched"):
        pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert "model.bin" in missing_from(folder)
    hub.breaks_after.clear()
    hub.ranges.clear()
    told: list[Pulling] = []
    pull("tiny", tmp_path, told.append, endpoint=hub.endpoint)
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]
    name, wanted = hub.ranges[0]
    assert name == "model.bin" and int(wanted.removeprefix("bytes=").rstrip("-")) >= 100_000
    assert told[0].bytes_done >= 100_000


def test_a_hub_that_knows_no_ranges_is_heard_from_the_start(hub: Hub, tmp_path: Path) -> None:
    hub.breaks_after["model.bin"] = 100_000
    with pytest.raises(EngineError):
        pull("tiny", tmp_path, endpoint=hub.endpoint)
    hub.breaks_after.clear()
    hub.ignores_ranges = True
    folder = pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]


def test_damaged_weights_are_fetched_once_more(hub: Hub, tmp_path: Path) -> None:
    hub.damages = ["model.bin"]
    folder = pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]


def test_weights_damaged_again_are_refused_and_removed(hub: Hub, tmp_path: Path) -> None:
    hub.damages = ["model.bin", "model.bin"]
    with pytest.raises(EngineError, match="damaged"):
        pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert "model.bin" in missing_from(tmp_path / "tiny")


def test_weights_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    with (
        serving({"model.bin": b"x", "config.json": b"{}"}) as hub,
        pytest.raises(EngineError, match=r"tokenizer\.json"),
    ):
        pull("tiny", tmp_path, endpoint=hub.endpoint)
    assert present(tmp_path) == ()


def test_offline_is_said_clearly(tmp_path: Path) -> None:
    with serving(FILES) as hub:
        closed = hub.endpoint
    with pytest.raises(EngineError, match="online"):
        pull("tiny", tmp_path, endpoint=closed)


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"large-v3-turbo"):
        pull("../../etc", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_a_folder_of_models_and_a_path_is_itself(tmp_path: Path) -> None:
    assert directory_of("base", tmp_path) == tmp_path / "base"
    assert directory_of("/weights/mine", tmp_path) == Path("/weights/mine")
    assert all("/" not in name for name in KNOWN)


def test_an_empty_file_is_missing(tmp_path: Path) -> None:
    for name in NEEDED:
        (tmp_path / name).write_bytes(b"x")
    assert missing_from(tmp_path) == ()
    (tmp_path / "tokenizer.json").write_bytes(b"")
    assert missing_from(tmp_path) == ("tokenizer.json",)
    assert present(tmp_path / "nowhere") == ()
