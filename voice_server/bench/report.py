"""The figures as a table beside those of others, as bars met or missed, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from .figures import Figures
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


def is_met(bar: Bar, figures: Figures) -> bool:
    fluent = figures.gaps == 0 and figures.is_sound
    return fluent and figures.turns > 0 and figures.p95_ms < bar.p95_ms_max


def show(console: Console, rows: Sequence[Figures]) -> None:
    console.print(_table(rows))
    for row in rows:
        for remark in remarks(row):
            console.print(f"  {NAMES[row.transport]}, {row.calls} calls: {remark}")
    for bar in BARS:
        for row in rows:
            if row.transport == bar.transport and row.calls >= bar.calls:
                verdict = "[green]met[/]" if is_met(bar, row) else "[red]missed[/]"
                if row.waited > WAITED_MAX and not is_met(bar, row):
                    verdict += " (the server did not have its core to itself)"
                console.print(
                    f"  Bar of {bar.calls} {NAMES[bar.transport]} calls, p95 under "
                    f"{bar.p95_ms_max:.0f} ms and no gap over 60 ms: {verdict} at {row.calls}"
                )
    console.print(_peers({row.transport for row in rows}))


def remarks(row: Figures) -> list[str]:
    """What a reader must know before believing the row."""
    found = []
    if row.caller_lag_ms > CALLER_LAG_MS_MAX:
        found.append(
            f"the callers were late themselves (p99 {row.caller_lag_ms} ms, their core "
            f"{row.caller_load:.0%} busy): the latency is not the server's alone"
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


def as_json(rows: Sequence[Figures]) -> dict[str, object]:
    """JSON-ready; a figure that could not be measured is null."""
    return {
        "measured": [_without_nan(row.as_json()) for row in rows],
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
