"""The figures as tables, with those of others and the bars they meet or miss, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from .figures import Figures
from .interruptions import Reactions, Spread
from .peers import NOTE, PEERS

# Callers later than this do not measure the server any more.
CALLER_LAG_MS_MAX = 20
# A server that waits longer than this for its core is not measured alone.
WAITED_MAX = 0.05
NAMES = {"ws": "WebSocket", "json": "WebSocket JSON", "webrtc": "WebRTC"}
# JSON clients have their own buffer, so that what they get need not come in step.
PACED = {"ws", "webrtc"}


@dataclass(frozen=True, slots=True)
class Bar:
    """So many calls on one core, and how well."""

    transport: str
    calls: int
    p95_ms_max: float = 100.0


BARS = (Bar("ws", 40), Bar("webrtc", 15))
# From the beginning of a voice to the end of the reply it speaks over, p95, in milliseconds: a
# client with a buffer of its own is told, and one that plays what arrives hears silence.
STOPS_MS_MAX = {"ws": 250.0, "json": 250.0, "webrtc": 400.0}
STOPPED_BY = {"ws": "response.done", "json": "response.done", "webrtc": "silence"}
# From the end of speech to the answer's first sound, beyond the endpointing silence.
ANSWERS_MS_MAX = 150.0


def is_met(bar: Bar, figures: Figures) -> bool:
    fluent = figures.gaps == 0 and figures.is_sound
    return fluent and figures.turns > 0 and figures.p95_ms < bar.p95_ms_max


def yields(row: Reactions) -> bool:
    """Every voice was obeyed, and soon enough; no reply ended by itself."""
    faultless = row.is_sound and not row.unasked
    return faultless and row.stops.p95_ms < STOPS_MS_MAX[row.transport]


def answers(row: Reactions) -> bool:
    """Every interruption was answered, and soon enough."""
    return row.is_sound and row.answers.count > 0 and row.answers.p95_ms <= ANSWERS_MS_MAX


def show(console: Console, rows: Sequence[Figures], reactions: Sequence[Reactions] = ()) -> None:
    console.print(_table(rows))
    for row in rows:
        for remark in remarks(row):
            console.print(f"  {NAMES[row.transport]}, {row.calls} calls: {remark}")
    for bar in BARS:
        for row in rows:
            if row.transport == bar.transport and row.calls >= bar.calls:
                verdict = _verdict(is_met(bar, row))
                if row.waited > WAITED_MAX and not is_met(bar, row):
                    verdict += " (the server did not have its core to itself)"
                console.print(
                    f"  Bar of {bar.calls} {NAMES[bar.transport]} calls, p95 under "
                    f"{bar.p95_ms_max:.0f} ms and no gap over 60 ms: {verdict} at {row.calls}"
                )
    if reactions:
        console.print(_reactions(reactions))
        for each in reactions:
            for remark in remarks(each):
                console.print(f"  {NAMES[each.transport]}, interruptions: {remark}")
    console.print(_peers({row.transport for row in rows}))


def remarks(row: Figures | Reactions) -> list[str]:
    """What a reader must know before believing the row."""
    found = []
    if row.caller_lag_ms > CALLER_LAG_MS_MAX:
        busy = f", their core {row.caller_load:.0%} busy" if isinstance(row, Figures) else ""
        found.append(
            f"the callers were late themselves (p99 {row.caller_lag_ms} ms{busy}): the latency "
            "is not the server's alone"
        )
    if row.waited > WAITED_MAX:
        found.append(
            f"other programs kept the server from its core for {row.waited:.0%} of the time"
        )
    if row.early:
        found.append(f"{row.early} replies began within a clip; they are in no figure")
    if row.bills != row.placed or row.bills_wrong:
        found.append(f"{row.bills} bills for {row.placed} calls, {row.bills_wrong} wrong")
    return found + [f"a call failed: {failure}" for failure in row.failures]


def as_json(rows: Sequence[Figures], reactions: Sequence[Reactions] = ()) -> dict[str, object]:
    """JSON-ready; a figure that could not be measured is null."""
    return {
        "measured": [_without_nan(row.as_json()) for row in rows],
        "reactions": [_reaction_json(row) for row in reactions],
        "peers": {"note": NOTE, "figures": [asdict(peer) for peer in PEERS]},
    }


def _table(rows: Sequence[Figures]) -> Table:
    table = Table(title="Added latency (ms): first reply sound − last speech − endpointing silence")
    for title in (
        "transport", "calls", "turns", "lost", "p50", "p95", "p99", "gaps", "longest", "late",
        "CPU-s/call-min", "MB/call", "bills", "callers",
    ):  # fmt: skip
        table.add_column(title, justify="left" if title == "transport" else "right", no_wrap=True)
    for row in rows:
        paced = row.transport in PACED
        table.add_row(
            NAMES[row.transport], str(row.calls), str(row.turns), str(row.lost),
            _ms(row.p50_ms), _ms(row.p95_ms), _ms(row.p99_ms),
            str(row.gaps) if paced else "–", f"{row.gap_ms_max:.0f}" if paced else "–",
            str(row.late), _cpu(row), _mb(row), f"{row.bills}/{row.placed}",
            f"{row.caller_lag_ms} ms, {row.caller_load:.0%}",
        )  # fmt: skip
    table.caption = (
        "gaps: over 60 ms between frames of a reply; callers: p99 of their own lateness, and how "
        "busy they were"
    )
    return table


def _reaction_json(row: Reactions) -> dict[str, object]:
    stops = {"until": STOPPED_BY[row.transport], "p95_ms_below": STOPS_MS_MAX[row.transport]}
    bars = {
        "stops": {**stops, "met": yields(row)},
        "answers": {"p95_ms_max": ANSWERS_MS_MAX, "met": answers(row)},
    }
    return {**row.as_json(), "bars": bars}


def _reactions(rows: Sequence[Reactions]) -> Table:
    table = Table(title="Speaking over a reply, and the answer (ms)")
    for title in (
        "transport", "from", "to", "calls", "n", "missed", "unasked", "p50", "p95", "max", "bar", ""
    ):  # fmt: skip
        words = title in {"transport", "from", "to"}
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        name, calls = NAMES[row.transport], str(row.calls)
        table.add_row(
            name, "voice begins", STOPPED_BY[row.transport], calls, str(row.stops.count),
            str(row.interruptions - row.obeyed - row.unasked), str(row.unasked),
            *_spread(row.stops), f"< {STOPS_MS_MAX[row.transport]:.0f}", _verdict(yields(row)),
        )  # fmt: skip
        table.add_row(
            name, "speech ends + silence", "first sound", calls, str(row.answers.count),
            str(row.lost), str(row.early),
            *_spread(row.answers), f"≤ {ANSWERS_MS_MAX:.0f}", _verdict(answers(row)),
        )  # fmt: skip
    table.caption = (
        "missed: the reply went on, or no answer came; unasked: it ended, or came, too soon; "
        "a bar is for p95"
    )
    return table


def _spread(spread: Spread) -> tuple[str, str, str]:
    return _ms(spread.p50_ms), _ms(spread.p95_ms), _ms(spread.max_ms)


def _verdict(met: bool) -> str:
    return "[green]met[/]" if met else "[red]missed[/]"


def _cpu(row: Figures) -> str:
    children = f" + {row.children_cpu_s:.2f}" if row.children_cpu_s >= 0.005 else ""
    return "–" if math.isnan(row.cpu_s) else f"{row.cpu_s:.2f}{children}"


def _mb(row: Figures) -> str:
    return "–" if math.isnan(row.memory_mb) else f"{row.memory_mb:.2f}"


def _peers(transports: set[str]) -> Table:
    table = Table(title=f"Others ({NOTE})", title_style="dim italic", style="dim")
    for title in ("server", "transport", "calls", "p50 ms", "p95", "gaps", "CPU-s/call-min"):
        table.add_column(title, justify="left" if title in {"server", "transport"} else "right")
    measured = {"ws" if transport == "json" else transport for transport in transports}
    for peer in PEERS:
        if peer.transport in measured:
            table.add_row(
                peer.server, NAMES[peer.transport], str(peer.calls),
                str(peer.p50_ms), str(peer.p95_ms), str(peer.gaps), f"{peer.cpu_s:.1f}",
            )  # fmt: skip
    return table


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _without_nan(row: dict[str, object]) -> dict[str, object]:
    return {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in row.items()}
