"""The table, the bars and the picture."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

from rich.console import Console

from voice_server.bench.figures import Figures
from voice_server.bench.interruptions import Reactions, Spread
from voice_server.bench.peers import PEERS
from voice_server.bench.picture import svg
from voice_server.bench.report import BARS, answers, as_json, is_met, remarks, show, yields

GOOD = Figures(
    transport="ws", calls=40, seconds=10.0, turns=120, lost=0, early=0,
    p50_ms=12.0, p95_ms=34.5, p99_ms=56.0, gaps=0, gap_ms_max=41.0, late=0, frames=10_000,
    cpu_s=0.5, children_cpu_s=0.0, waited=0.01, memory_mb=1.5, placed=40, bills=40, bills_wrong=0,
    caller_lag_ms=2, caller_load=0.4, failures=(),
)  # fmt: skip


PROMPT = Reactions(
    transport="json", calls=4, interruptions=32, obeyed=32, unasked=0,
    stops=Spread(32, 171.0, 201.5, 222.0), answers=Spread(31, 61.0, 99.5, 151.0), lost=0, early=1,
    placed=4, bills=4, bills_wrong=0, waited=0.01, caller_lag_ms=2, failures=(),
)  # fmt: skip


def shown(*rows: Figures, reactions: Sequence[Reactions] = ()) -> str:
    console = Console(file=io.StringIO(), width=250)
    show(console, rows, reactions)
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


def test_a_reply_yields_when_every_voice_is_obeyed_in_time() -> None:
    assert yields(PROMPT)
    for worse in (
        replace(PROMPT, stops=Spread(32, 171.0, 250.0, 250.0)), replace(PROMPT, obeyed=31),
        replace(PROMPT, unasked=1), replace(PROMPT, bills=3), replace(PROMPT, lost=1),
        replace(PROMPT, stops=Spread(0, math.nan, math.nan, math.nan)),
        replace(PROMPT, interruptions=0, obeyed=0), replace(PROMPT, failures=("cut",)),
    ):  # fmt: skip
        assert not yields(worse)
    # Silence takes a while longer to come than the news of it.
    slow = Spread(32, 300.0, 399.0, 450.0)
    assert not yields(replace(PROMPT, stops=slow))
    assert yields(replace(PROMPT, transport="webrtc", stops=slow))


def test_an_answer_is_prompt_within_150_ms_of_the_silence() -> None:
    assert answers(replace(PROMPT, answers=Spread(32, 90.0, 150.0, 500.0)))
    assert not answers(replace(PROMPT, answers=Spread(32, 90.0, 150.5, 500.0)))
    assert not answers(replace(PROMPT, answers=Spread(0, math.nan, math.nan, math.nan)))
    assert not answers(replace(PROMPT, lost=1))


def test_the_reactions_stand_beside_their_bars() -> None:
    text = shown(GOOD, reactions=[PROMPT, replace(PROMPT, transport="webrtc", obeyed=30)])
    lines = [line.split("│")[1:-1] for line in text.splitlines() if "voice begins" in line]
    json_row, webrtc_row = ([cell.strip() for cell in line] for line in lines)
    assert json_row == [
        "WebSocket JSON", "voice begins", "response.done", "4", "32", "0", "0",
        "171.0", "201.5", "222.0", "< 250", "met",
    ]  # fmt: skip
    assert webrtc_row[2] == "silence" and webrtc_row[5] == "2"
    assert webrtc_row[-2:] == ["< 400", "missed"]
    assert "99.5" in text and "≤ 150" in text
    assert "Speaking over" not in shown(GOOD)


def test_the_reactions_are_written_with_their_bars() -> None:
    mute = replace(PROMPT, waited=math.nan, answers=Spread(0, math.nan, math.nan, math.nan))
    written = json.dumps(as_json([GOOD], [PROMPT, mute]), allow_nan=False)
    first, second = json.loads(written)["reactions"]
    assert first["stops"] == {"count": 32, "p50_ms": 171.0, "p95_ms": 201.5, "max_ms": 222.0}
    assert first["bars"]["stops"] == {
        "until": "response.done", "p95_ms_below": 250.0, "met": True,
    }  # fmt: skip
    assert first["bars"]["answers"] == {"p95_ms_max": 150.0, "met": True}
    assert second["waited"] is None and second["answers"]["p95_ms"] is None
    assert not second["bars"]["answers"]["met"]


def test_slow_interrupters_are_not_blamed_on_the_server() -> None:
    assert remarks(replace(PROMPT, early=0)) == []
    assert "callers were late" in remarks(replace(PROMPT, caller_lag_ms=21, early=0))[0]
    assert "1 replies began within a clip" in remarks(PROMPT)[0]


def test_the_picture_shows_reactions_below_the_curve() -> None:
    plain, whole = ElementTree.fromstring(svg([GOOD])), svg([GOOD], [PROMPT, PROMPT])
    root = ElementTree.fromstring(whole)
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    before = [e for e in plain.iter() if e.tag.endswith("circle")]
    assert len(circles) == len(before) + 8, "p50 and p95 of each figure"
    assert float(root.attrib["viewBox"].split()[3]) > float(plain.attrib["viewBox"].split()[3])
    below = [float(e.attrib["cy"]) for e in circles[len(before) :]]
    assert min(below) > float(plain.attrib["viewBox"].split()[3])
    assert "voice begins to response.done" in whole
    nothing = replace(PROMPT, stops=Spread(0, math.nan, math.nan, math.nan))
    assert "nan" not in svg([GOOD], [nothing])
