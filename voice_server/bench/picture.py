"""The curve of latency against calls, ours and others', and below it how soon the server
reacts to a voice, as one SVG without any library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .drawing import line, picture, text
from .figures import Figures
from .interruptions import Reactions, Spread
from .peers import PEERS
from .report import ANSWERS_MS_MAX, NAMES, STOPPED_BY, STOPS_MS_MAX

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 250, 50, 60
_MS_MIN, _MS_MAX = 1.0, 4_000.0
_TICKS_MS = (1, 3, 10, 30, 100, 300, 1_000, 3_000)
_OURS = {"ws": "#0b6e4f", "json": "#1f77b4", "webrtc": "#b5179e"}
_THEIRS = ("#8d6e63", "#78909c", "#a1887f", "#b0a04f", "#9e7bb5")
# The reactions, one line of the panel each.
_LINE, _LABELS = 24, 330
_REACTION_MS_MAX, _REACTION_TICK_MS = 500, 100


@dataclass(frozen=True, slots=True)
class Curve:
    """Calls against milliseconds."""

    name: str
    colour: str
    dashed: bool
    points: tuple[tuple[int, float], ...]


def svg(rows: Sequence[Figures], reactions: Sequence[Reactions] = ()) -> str:
    """p95 of added latency over the number of calls, both axes logarithmic; below it, where
    there are any, the reactions from their p50 to their maximum, beside their bars."""
    curves = [*_ours(rows), *_theirs({row.transport for row in rows})]
    calls_max = max([10, *(calls for curve in curves for calls, _ in curve.points)])
    parts = [*_frame(calls_max)]
    for index, curve in enumerate(curves):
        parts += _draw(curve, calls_max)
        parts += _legend(curve, index)
    parts += _panel(reactions) if reactions else []
    height = HEIGHT + (2 * len(reactions) * _LINE + 100 if reactions else 0)
    return picture("Added latency, p95, against calls on one core", WIDTH, height, parts)


def _panel(reactions: Sequence[Reactions]) -> Iterable[str]:
    top, bottom = HEIGHT + 50, HEIGHT + 60 + 2 * len(reactions) * _LINE
    yield text(LEFT, HEIGHT + 28, "Reactions in ms: p50 and p95, a line to the longest", size=15)
    for ms in range(0, _REACTION_MS_MAX + 1, _REACTION_TICK_MS):
        yield line(_reaction_x(ms), top, _reaction_x(ms), bottom, "#e0e0e0")
        yield text(_reaction_x(ms), bottom + 16, str(ms), anchor="middle")
    for index, row in enumerate(reactions):
        y, name, colour = top + 20 + 2 * index * _LINE, NAMES[row.transport], _OURS[row.transport]
        until, bar_ms = STOPPED_BY[row.transport], STOPS_MS_MAX[row.transport]
        yield from _reaction(f"{name}: voice begins to {until}", row.stops, bar_ms, y, colour)
        label = f"{name}: speech ends + silence to first sound"
        yield from _reaction(label, row.answers, ANSWERS_MS_MAX, y + _LINE, colour)


def _reaction(label: str, found: Spread, bar_ms: float, y: float, colour: str) -> Iterable[str]:
    yield text(_LABELS - 10, y + 4, label, anchor="end", size=11)
    yield line(_reaction_x(bar_ms), y - 10, _reaction_x(bar_ms), y + 10, "#c62828")
    if found.count:
        x50, x95 = _reaction_x(found.p50_ms), _reaction_x(found.p95_ms)
        yield line(x50, y, _reaction_x(found.max_ms), y, colour)
        yield f'<circle cx="{x50:.1f}" cy="{y}" r="3" fill="{colour}"/>'
        yield f'<circle cx="{x95:.1f}" cy="{y}" r="5" fill="{colour}"/>'


def _reaction_x(ms: float) -> float:
    share = min(max(ms, 0.0), _REACTION_MS_MAX) / _REACTION_MS_MAX
    return _LABELS + (WIDTH - 40 - _LABELS) * share


def _ours(rows: Sequence[Figures]) -> Iterable[Curve]:
    for transport in dict.fromkeys(row.transport for row in rows):
        found = sorted(
            (row.calls, row.p95_ms)
            for row in rows
            if row.transport == transport and not math.isnan(row.p95_ms)
        )
        yield Curve(f"here, {NAMES[transport]}", _OURS[transport], False, tuple(found))


def _theirs(transports: set[str]) -> Iterable[Curve]:
    kinds = dict.fromkeys((peer.server, peer.transport) for peer in PEERS)
    shown = [kind for kind in kinds if kind[1] in transports]
    for index, (server, transport) in enumerate(shown):
        points = tuple(
            (peer.calls, float(peer.p95_ms))
            for peer in PEERS
            if (peer.server, peer.transport) == (server, transport)
        )
        colour = _THEIRS[index % len(_THEIRS)]
        yield Curve(f"{server}, {NAMES[transport]}", colour, True, points)


def _x(calls: float, calls_max: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(max(calls, 1)) / math.log(calls_max)


def _y(ms: float) -> float:
    share = math.log(min(max(ms, _MS_MIN), _MS_MAX) / _MS_MIN) / math.log(_MS_MAX / _MS_MIN)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _frame(calls_max: int) -> Iterable[str]:
    yield text(LEFT, 28, "Added latency, p95 in ms, against calls on one core", size=15)
    right = WIDTH - RIGHT
    for ms in _TICKS_MS:
        yield line(LEFT, _y(ms), right, _y(ms), "#e0e0e0")
        yield text(LEFT - 8, _y(ms) + 4, f"{ms:,}", anchor="end")
    ticks = [n for n in (1, 2, 5, 10, 20, 40, 100, 200, 500, 1_000, 2_000) if n <= calls_max]
    for calls in ticks:
        x = _x(calls, calls_max)
        yield line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, "#555")
        yield text(x, HEIGHT - BOTTOM + 20, str(calls), anchor="middle")
    yield line(LEFT, HEIGHT - BOTTOM, right, HEIGHT - BOTTOM, "#555")
    yield text((LEFT + right) / 2, HEIGHT - 20, "calls", anchor="middle")
    yield text(WIDTH - RIGHT + 20, HEIGHT - 20, "dashed: measured earlier, elsewhere", size=10)


def _draw(curve: Curve, calls_max: int) -> Iterable[str]:
    dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
    points = [(_x(calls, calls_max), _y(ms)) for calls, ms in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{curve.colour}" stroke-width="2"{dash}/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>'


def _legend(curve: Curve, index: int) -> Iterable[str]:
    x, y = WIDTH - RIGHT + 20, TOP + 10 + index * 20
    yield line(x, y, x + 24, y, curve.colour, dashed=curve.dashed)
    yield f'<rect x="{x + 8}" y="{y - 4}" width="8" height="8" fill="{curve.colour}"/>'
    yield text(x + 32, y + 4, curve.name)
