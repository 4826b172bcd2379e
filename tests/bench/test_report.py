"""The table, the bars and the picture."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from xml.etree import ElementTree

from rich.console import Console

from voice_server.bench.figures import Figures
from voice_server.bench.peers import PEERS
from voice_server.bench.picture import svg
from voice_server.bench.report import BARS, as_json, is_met, remarks, show

GOOD = Figures(
    transport="ws", calls=40, seconds=10.0, turns=120, lost=0, early=0,
    p50_ms=12.0, p95_ms=34.5, p99_ms=56.0, gaps=0, gap_ms_max=41.0, late=0, frames=10_000,
    cpu_s=0.5, children_cpu_s=0.0, waited=0.01, memory_mb=1.5, placed=40, bills=40, bills_wrong=0,
    caller_lag_ms=2, caller_load=0.4, failures=(),
)  # fmt: skip


def shown(*rows: Figures) -> str:
    console = Console(file=io.StringIO(), width=250)
    show(console, rows)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_bar_is_met_by_a_clean_run_only() -> None:
    bar = BARS[0]
    assert is_met(bar, GOOD)
    for worse in (
        replace(GOOD, p95_ms=100.0), replace(GOOD, gaps=1), replace(GOOD, lost=1),
        replace(GOOD, bills=39), replace(GOOD, bills_wrong=1), replace(GOOD, turns=0),
        replace(GOOD, failures=("the line was cut",)), replace(GOOD, p95_ms=math.nan),
    ):  # fmt: skip
        assert not is_met(bar, worse)


def test_the_table_stands_beside_the_peers() -> None:
    text = shown(GOOD)
    assert "34.5" in text and "40/40" in text and "met at 40" in text
    assert "Pipecat" in text and "LiveKit" in text and "measured earlier" in text
    assert "WebRTC" not in text, "peers of other transports say nothing here"


def test_a_bar_that_was_not_tried_is_not_claimed() -> None:
    assert "met" not in shown(replace(GOOD, calls=10)).replace("measured", "")


def test_slow_callers_are_not_blamed_on_the_server() -> None:
    assert remarks(GOOD) == []
    assert "callers were late" in remarks(replace(GOOD, caller_lag_ms=21))[0]
    assert "other programs" in remarks(replace(GOOD, waited=0.2))[0]
    assert "39 bills for 40 calls" in remarks(replace(GOOD, bills=39))[0]
    assert "boom" in remarks(replace(GOOD, failures=("boom",)))[0]


def test_json_holds_no_nan() -> None:
    written = json.dumps(as_json([replace(GOOD, p95_ms=math.nan)]), allow_nan=False)
    assert json.loads(written)["measured"][0]["p95_ms"] is None
    assert len(json.loads(written)["peers"]["figures"]) == len(PEERS)


def test_the_picture_is_well_formed_and_shows_every_point() -> None:
    rows = [replace(GOOD, calls=n, p95_ms=float(n)) for n in (1, 10, 40)]
    root = ElementTree.fromstring(svg(rows))
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    peers = [peer for peer in PEERS if peer.transport == "ws"]
    assert len(circles) == len(rows) + len(peers)
    ours = [float(e.attrib["cy"]) for e in circles[:3]]
    assert ours == sorted(ours, reverse=True), "higher latency is higher up"
    assert ElementTree.fromstring(svg([replace(GOOD, p95_ms=math.nan)])) is not None
    assert ElementTree.fromstring(svg([])) is not None
