"""The bench itself, small: a real server, real callers, every figure and every bill."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.calling import voice_server

ENGINE_PARTS = ("voices", "recognisers", "turn", "path")


@pytest.mark.parametrize("transport", ["ws", "json", "webrtc"])
async def test_two_calls(transport: str, tmp_path: Path) -> None:
    said = await voice_server(
        "bench", "--calls", "2", "--seconds", "2", "--transport", transport,
        "--interruptions", "0", "--output", tmp_path / "out", cwd=tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.out + said.err
    (row,) = json.loads((tmp_path / "out" / "bench.json").read_text())["measured"]
    assert (row["transport"], row["placed"], row["bills"]) == (transport, 2, 2)
    assert row["bills_wrong"] == row["lost"] == 0 and row["failures"] == []
    assert row["turns"] + row["early"] >= 2 and row["frames"] > 20
    assert row["cpu_s"] > 0
    # Less than the silence that was waited for would mean that it was not.
    assert row["early"] or row["p50_ms"] > -100
    assert ElementTree.parse(tmp_path / "out" / "bench.svg")
    assert "Added latency" in said.out and "measured earlier" in said.out


@pytest.mark.parametrize("transport", ["json", "webrtc"])
async def test_a_caller_who_interrupts(transport: str, tmp_path: Path) -> None:
    """How soon is the machine's affair; that the voice is obeyed and answered is the server's."""
    said = await voice_server(
        "bench", "--calls", "1", "--seconds", "0.1", "--transport", transport,
        "--interruptions", "1", "--output", tmp_path / "out", cwd=tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.out + said.err
    (row,) = json.loads((tmp_path / "out" / "bench.json").read_text())["reactions"]
    assert (row["transport"], row["interruptions"], row["obeyed"]) == (transport, 1, 1)
    assert row["unasked"] == row["lost"] == row["bills_wrong"] == 0 and row["failures"] == []
    assert row["placed"] == row["bills"] == 1
    assert row["stops"]["count"] == 1 and row["stops"]["p95_ms"] > 0
    assert row["answers"]["count"] + row["early"] == 1
    until = {"json": "response.done", "webrtc": "silence"}[transport]
    assert row["bars"]["stops"]["until"] == until and until in said.out
    picture = (tmp_path / "out" / "bench.svg").read_text()
    assert ElementTree.fromstring(picture) is not None and until in picture


async def test_engines_and_a_turn(tmp_path: Path) -> None:
    """All parts but calls in one go, with the engines that need no key."""
    out = tmp_path / "out"
    said = await voice_server(
        "bench", "voices", "recognisers", "turn", "path", "--engines", "espeak,sphinx,kokoro",
        "--clips", "1", "--questions", "1", "--output", out, "--set",
        f"models_dir={tmp_path}", cwd=tmp_path,
    )  # fmt: skip
    found = {part: json.loads((out / f"{part}.json").read_text()) for part in ENGINE_PARTS}
    (espeak,) = found["voices"]["voices"]
    assert espeak["name"] == "espeak" and espeak["first"]["p50_ms"] > 0
    assert found["voices"]["absent"][0]["name"] == "kokoro" and "absent: kokoro" in said.out
    (sphinx,) = found["recognisers"]["recognisers"]
    assert sphinx["clips"] == sphinx["live"] == 1 and sphinx["errors"]["words"] > 0
    assert found["recognisers"]["normaliser"] in said.out and "eSpeak NG" in said.out
    turn = found["turn"]["turn"]
    # On a busy machine a question may be heard as two; then that is said, and nothing is claimed.
    assert turn["told"]["count"] == 1 or turn["failures"], said.out
    assert turn["adds_up"] and turn["bills"] == 1 and turn["engines"]["dialogue"] == "tutor"
    assert said.code == (1 if turn["failures"] or sphinx["failures"] else 0), said.out + said.err
    for part in ("voices", "recognisers", "turn"):
        assert ElementTree.parse(out / f"{part}.svg")
    assert not (out / "bench.json").exists(), "calls were not asked for"


async def test_other_machines_are_not_loaded(tmp_path: Path) -> None:
    said = await voice_server("bench", "--url", "http://192.0.2.1:8000", cwd=tmp_path)
    assert said.code == 2 and "loopback" in said.err


@pytest.mark.parametrize(
    "arguments",
    [["--calls", "0"], ["--calls", "1,x"], ["--transport", "smoke"], ["--seconds", "0"],
     ["--seconds", "nan"], ["--calls", "999999"], ["--interruptions", "-1"],
     ["--audio", "/nowhere.wav", "--calls", "1"], ["smoke"], ["voices", "--engines", "smoke"],
     ["recognisers", "--clips", "0"], ["turn", "--questions", "0"],
     ["voices", "--language", "xx"], ["recognisers", "--speech", "/nowhere"]],
)  # fmt: skip
async def test_wrong_use_is_refused(arguments: list[str], tmp_path: Path) -> None:
    said = await voice_server("bench", *arguments, cwd=tmp_path)
    assert said.code == 2 and "Traceback" not in said.err
