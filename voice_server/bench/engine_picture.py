"""Engines beside each other as bars, and the silence before an answer as a waterfall."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .drawing import bar, line, picture, text
from .engine_figures import PARTS, RecogniserFigures, TurnFigures, VoiceFigures
from .interruptions import Spread

WIDTH, LABELS, RIGHT, TOP, ROW = 860, 250, 130, 70, 24
_COLOURS = ("#0b6e4f", "#1f77b4", "#b5179e", "#c77700", "#78909c", "#5b6c20")
_TICKS_MAX = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """From nothing, or from `from_ms`, to p50; a line goes on to p95."""

    label: str
    p50_ms: float
    p95_ms: float
    colour: str
    from_ms: float = 0.0
    note: str = ""


def voices_svg(rows: Sequence[VoiceFigures]) -> str:
    """How soon each voice begins to speak."""
    bars = [
        _bar(row.name, row.first, _COLOURS[0], note=f"{row.real_time_factor:.2f} s per s")
        for row in rows
    ]
    return _bars("Time to the first 20 ms of sound, p50 and p95 in ms", bars)


def recognisers_svg(rows: Sequence[RecogniserFigures]) -> str:
    """How soon each recogniser shows words, and is done."""
    bars = []
    for row in rows:
        rate = f"{row.errors.rate:.0%} of words wrong" if row.errors.words else ""
        bars.append(_bar(f"{row.name}: first words", row.first, _COLOURS[0], note=rate))
        bars.append(_bar(f"{row.name}: word's end to its showing", row.lag, _COLOURS[1]))
        bars.append(_bar(f"{row.name}: sound's end to final", row.final, _COLOURS[2]))
    return _bars("Partials and finals, p50 and p95 in ms", bars)


def turn_svg(found: TurnFigures) -> str:
    """The turn in the middle: each part begins where the one before it ended."""
    bars, at_ms = [], 0.0
    for part, colour in zip(PARTS, _COLOURS, strict=True):
        if found.median:
            ms = found.median[part]
            label = part.replace("_", " ")
            bars.append(Bar(label, at_ms + ms, at_ms + ms, colour, at_ms, f"{ms} ms"))
            at_ms += ms
    title = f"From the last word to the first sound of the answer: {at_ms:.0f} ms"
    return _bars(title, bars)


def _bar(label: str, spread: Spread, colour: str, *, note: str = "") -> Bar:
    return Bar(label, spread.p50_ms, spread.p95_ms, colour, note=note)


def _bars(title: str, bars: Sequence[Bar]) -> str:
    ends = [ms for each in bars for ms in (each.p50_ms, each.p95_ms) if math.isfinite(ms)]
    longest_ms = max([1.0, *ends])
    bottom = TOP + len(bars) * ROW
    parts = [text(20, 28, title, size=15), *_scale(longest_ms, bottom)]
    for index, each in enumerate(bars):
        parts += _draw(each, TOP + index * ROW, longest_ms)
    return picture(title, WIDTH, bottom + 40, parts)


def _draw(each: Bar, y: float, longest_ms: float) -> Iterable[str]:
    yield text(LABELS - 10, y + 13, each.label, anchor="end", size=11)
    if not math.isfinite(each.p50_ms):
        yield text(LABELS + 4, y + 13, "not measured", size=11)
        return
    x, until, last = (_x(ms, longest_ms) for ms in (each.from_ms, each.p50_ms, each.p95_ms))
    yield bar(x, y, until - x, ROW - 8, each.colour)
    yield line(until, y + 8, last, y + 8, each.colour)
    yield line(last, y + 3, last, y + 13, each.colour)
    yield text(max(until, last) + 6, y + 13, each.note, size=11)


def _scale(longest_ms: float, bottom: float) -> Iterable[str]:
    step = _step(longest_ms)
    for tick in range(int(longest_ms // step) + 1):
        x = _x(tick * step, longest_ms)
        yield line(x, TOP - 8, x, bottom, "#e0e0e0")
        yield text(x, bottom + 18, f"{tick * step:,.0f}", anchor="middle")


def _step(longest_ms: float) -> float:
    """A round number of milliseconds that cuts the scale into a few pieces."""
    step = 10.0 ** math.floor(math.log10(longest_ms))
    while longest_ms / step < _TICKS_MAX / 2:
        step /= 2
    return max(step, 1.0)


def _x(ms: float, longest_ms: float) -> float:
    return LABELS + (WIDTH - LABELS - RIGHT) * min(max(ms, 0.0), longest_ms) / longest_ms
