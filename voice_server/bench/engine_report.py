"""The figures of engines, turns and wrappers as tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .engine_figures import (
    BARE,
    DRESSED,
    PARTS,
    WHOLE,
    Absent,
    PathFigures,
    RecogniserFigures,
    TurnFigures,
    VoiceFigures,
)
from .interruptions import Spread
from .path import ADDED_US_MAX
from .words import NORMALISER

_CALLS = 100


def show_voices(console: Console, rows: Sequence[VoiceFigures], absent: Sequence[Absent]) -> None:
    table = _table(
        "Voices, warm: from the text to the first 20 ms of sound",
        ("voice", "version"),
        ("language", "sentences", "p50 ms", "p95", "s per s", "CPU-s", "first ×", "whole ×",
         "µs/packet", "dressed", "whole"),
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.name, row.version or "–", row.language, str(row.sentences),
            _ms(row.first.p50_ms), _ms(row.first.p95_ms), _number(row.real_time_factor, 3),
            _number(row.cpu_factor, 3), _number(row.first_ratio, 2), _number(row.took_ratio, 2),
            *[_number(row.cpu_us.get(way, math.nan), 0) for way in (BARE, DRESSED, WHOLE)],
        )  # fmt: skip
    table.caption = (
        "s per s: of time for a second of sound, CPU-s: of a core; ×: with all that a call puts "
        "around the voice, by without;\nµs: this process's work for a packet, of the voice alone, "
        "with its words told, and as it stands for others"
    )
    _print(console, table, rows, absent)


def show_recognisers(
    console: Console, rows: Sequence[RecogniserFigures], absent: Sequence[Absent], source: str
) -> None:
    table = _table(
        f"Recognisers (ms), given the speech of {source}",
        ("recogniser", "version"),
        ("live", "first p50", "p95", "word p50", "p95", "final p50", "p95", "s per s", "CPU-s",
         "clips", "words", "wrong"),
    )  # fmt: skip
    for row in rows:
        wrong = f"{row.errors.rate:.1%}" if row.errors.words else "–"
        table.add_row(
            row.name, row.version or "–", str(row.live), *_spread(row.first), *_spread(row.lag),
            *_spread(row.final), _number(row.real_time_factor, 3), _number(row.cpu_factor, 3),
            str(row.clips), str(row.errors.words), wrong,
        )  # fmt: skip
    table.caption = (
        "first: from the first word's beginning to the first words shown; word: from a word's end, "
        "where the\nrecogniser says it, until it is shown; final: from the end of the sound to the "
        "end of the transcript;\ns per s: of time for a second of sound, CPU-s: of a core; wrong: "
        f"word error rate, words normalised by {NORMALISER}"
    )
    _print(console, table, rows, absent)


def show_turn(console: Console, found: TurnFigures) -> None:
    table = _table(
        "Where the silence before an answer goes (ms)", ("part",), ("p50", "p95", "a median turn")
    )
    for part in PARTS:
        spread = found.parts[part]
        median = str(found.median[part]) if found.median else "–"
        table.add_row(part.replace("_", " "), _ms(spread.p50_ms), _ms(spread.p95_ms), median)
    table.add_section()
    whole = str(sum(found.median.values())) if found.median else "–"
    table.add_row("the gap, told by the server", *_spread(found.told), whole)
    table.add_row("the gap, as the caller heard it", *_spread(found.heard), "")
    console.print(table)
    who = ", ".join(f"{role.replace('_', ' ')} {name}" for role, name in found.engines.items())
    console.print(f"  {found.told.count} of {found.asked} questions answered; {who}")
    if found.filled:
        console.print(f"  {found.filled} gaps were ended by a filler: the answer took longer")
    verdict = "[green]yes[/]" if found.adds_up and found.told.count else "[red]no[/]"
    console.print(
        f"  The parts of every turn sum to its gap: {verdict}; what the caller heard differs from "
        f"it by {_ms(found.off.p50_ms)} ms (p50), {_ms(found.off.p95_ms)} ms (p95)"
    )
    _failures(console, "turn", found.failures)


def show_path(console: Console, roads: Sequence[PathFigures]) -> None:
    table = _table(
        "What the server puts around each packet (µs of this process, layer upon layer)",
        ("road", "layer"), ("in crowds", "one by one", f"of a core, {_CALLS} calls"),
    )  # fmt: skip
    for road in roads:
        for layer in road.layers:
            table.add_row(road.name, layer.name, _us(layer.crowd_us), _us(layer.single_us), "")
        added = road.added_us
        table.add_row(
            road.name, "[bold]added, all together[/]", _us(added.crowd_us), _us(added.single_us),
            f"{road.of_a_core(_CALLS):.1%}",
        )  # fmt: skip
        table.add_section()
    table.caption = "in crowds: as engines make them, several at once; one by one: each waited for"
    console.print(table)
    for road in roads:
        verdict = "[green]met[/]" if is_cheap(road) else "[red]missed[/]"
        console.print(
            f"  Bar of {ADDED_US_MAX:.0f} µs a packet for {road.name}: {verdict} with "
            f"{_us(road.added_us.crowd_us)}"
        )


def is_cheap(road: PathFigures) -> bool:
    return road.added_us.crowd_us <= ADDED_US_MAX


# JSON.


def voices_json(rows: Sequence[VoiceFigures], absent: Sequence[Absent]) -> dict[str, object]:
    return {"voices": [row.as_json() for row in rows], "absent": [asdict(each) for each in absent]}


def recognisers_json(
    rows: Sequence[RecogniserFigures], absent: Sequence[Absent], source: str
) -> dict[str, object]:
    return {
        "source": source, "normaliser": NORMALISER,
        "recognisers": [row.as_json() for row in rows], "absent": [asdict(each) for each in absent],
    }  # fmt: skip


def turn_json(found: TurnFigures) -> dict[str, object]:
    return {"turn": found.as_json()}


def path_json(roads: Sequence[PathFigures]) -> dict[str, object]:
    met = {"added_us_max": ADDED_US_MAX}
    return {
        "roads": [{**road.as_json(), "bar": {**met, "met": is_cheap(road)}} for road in roads]
    }  # fmt: skip


# How it looks.


def _print(
    console: Console, table: Table, rows: Sequence[VoiceFigures | RecogniserFigures],
    absent: Sequence[Absent],
) -> None:  # fmt: skip
    if rows:
        console.print(table)
    for row in rows:
        _failures(console, row.name, row.failures)
    for each in absent:
        console.print(f"  absent: {escape(each.name)}. {escape(each.why)}")


def _failures(console: Console, name: str, failures: Sequence[str]) -> None:
    for failure in failures:
        console.print(f"  [red]{escape(name)}[/]: {escape(failure)}")


def _table(title: str, words: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(title=title)
    for name in words:
        table.add_column(name)
    for name in figures:
        table.add_column(name, justify="right")
    return table


def _spread(spread: Spread) -> tuple[str, str]:
    return _ms(spread.p50_ms), _ms(spread.p95_ms)


def _ms(value: float) -> str:
    return _number(value, 0 if abs(value) >= 100 else 1)


def _us(value: float) -> str:
    return _number(value, 1)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
