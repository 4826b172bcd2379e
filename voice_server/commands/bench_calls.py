"""The part of the bench that measures calls: how many one core holds, and how soon a reply yields
to a voice. Callers with real speech talk to a server whose engines answer at once, each in
processes and on cores of their own.

Without --url a fresh server is started for each row, pinned to one core. Only loopback
addresses are called.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from voice_server.bench.figures import Figures
    from voice_server.bench.interruptions import Reactions
    from voice_server.bench.run import Plan

_CALLS = {"ws": (1, 40), "json": (20,), "webrtc": (1, 15)}
_RECORDINGS_MAX = 6
_TRANSPORTS, _SECONDS, _INTERRUPTIONS = "ws,json,webrtc", 10.0, 28


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", help="numbers of calls, such as 1,10,40 (default: a ladder)")
    parser.add_argument("--transport", help="of ws, json, webrtc (default: all)")
    parser.add_argument("--seconds", type=float, help=f"of each row (default: {_SECONDS:.0f})")
    parser.add_argument(
        "--interruptions", type=int,
        help=f"on each transport; 0: none (default: {_INTERRUPTIONS})",
    )  # fmt: skip
    parser.add_argument(
        "--audio", type=Path, action="append", metavar="PATH",
        help="a recording, or a folder of them, to speak with (default: eSpeak NG speaks)",
    )  # fmt: skip
    parser.add_argument("--url", help="a server that runs on this machine already")
    parser.add_argument("--key", default="", help="its API key")
    parser.add_argument("--seed", type=int, help="of the callers' choices")


def are_wanted(options: argparse.Namespace) -> bool:
    """Whether somebody said how calls are to be measured."""
    said = ("calls", "transport", "seconds", "interruptions", "audio", "url", "seed")
    return any(getattr(options, name) is not None for name in said)


def check(options: argparse.Namespace) -> None:
    """Put what was not said in its place. Raises `ValueError` and `NotLoopback`."""
    from voice_server.bench.run import loopback

    options.transport = _TRANSPORTS if options.transport is None else options.transport
    options.seconds = _SECONDS if options.seconds is None else options.seconds
    if options.interruptions is None:
        options.interruptions = _INTERRUPTIONS
    options.audio, options.seed = options.audio or [], options.seed or 1
    _points(options)
    if options.url:
        loopback(options.url)


def measure(options: argparse.Namespace, folder: Path, console: Console) -> bool:
    """Measure, show and write down; whether nothing was lost."""
    measured = asyncio.run(_measure(options, _points(options), folder, console))
    _write(options.output, *measured, console)
    return all(row.is_sound for rows in measured for row in rows)


async def _measure(
    options: argparse.Namespace, points: tuple[tuple[str, int], ...], folder: Path, console: Console
) -> tuple[list[Figures], list[Reactions]]:
    from voice_server.bench.run import SILENCE_MS, Plan, cores
    from voice_server.bench.speech import prepare

    console.print("Preparing speech …", style="dim")
    speech = await prepare(_recordings(options.audio), folder, pause_ms=SILENCE_MS)
    found = cores(sorted(os.sched_getaffinity(0)))
    told = f"Server on core {found.server}, callers on {', '.join(map(str, found.callers))}."
    if found.shared:
        told += " There is only one core: the callers slow the server down."
    console.print(told, style="dim")
    plan = Plan(
        points, options.seconds, speech, options.interruptions,
        options.url or "", options.key, options.seed,
    )  # fmt: skip
    return await _rows(plan, console)


async def _rows(plan: Plan, console: Console) -> tuple[list[Figures], list[Reactions]]:
    from voice_server.bench.report import show
    from voice_server.bench.run import measure, measure_reactions

    rows, reactions = [], []
    with console.status("…") as status:

        def told(what: str) -> None:
            status.update(f"Measuring {what} …")

        async for row in measure(plan, told):
            rows.append(row)
            console.print(f"  {row.transport} {row.calls}: p95 {row.p95_ms:.0f} ms", style="dim")
        async for each in measure_reactions(plan, told):
            reactions.append(each)
            found = f"{each.obeyed} of {each.interruptions}, p95 {each.stops.p95_ms:.0f} ms"
            console.print(f"  {each.transport} interruptions obeyed: {found}", style="dim")
    show(console, rows, reactions)
    return rows, reactions


def _points(options: argparse.Namespace) -> tuple[tuple[str, int], ...]:
    """What to measure, refused where it would be endless. Raises `ValueError`."""
    from voice_server.bench.run import CALLS_MAX, INTERRUPTIONS_MAX, SECONDS_MAX, TRANSPORTS

    if not 0 <= options.interruptions <= INTERRUPTIONS_MAX:
        raise ValueError(f"--interruptions must be from 0 to {INTERRUPTIONS_MAX}")
    if not 0 < options.seconds <= SECONDS_MAX:
        raise ValueError(f"--seconds must be more than 0 and at most {SECONDS_MAX}")
    transports = [name.strip() for name in options.transport.split(",") if name.strip()]
    if not transports or set(transports) - set(TRANSPORTS):
        raise ValueError(f"--transport is a list of {', '.join(TRANSPORTS)}")
    given = None
    if options.calls is not None:
        given = [int(number) for number in options.calls.split(",")]
        if not given or not all(0 < number <= CALLS_MAX for number in given):
            raise ValueError(f"--calls are numbers from 1 to {CALLS_MAX}")
    return tuple((name, calls) for name in transports for calls in given or _CALLS[name])


def _recordings(given: list[Path]) -> list[Path]:
    """The files named, and of each folder the first few."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            suffixes = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"}
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
            found += inside[:_RECORDINGS_MAX]
        else:
            found.append(path)
    if given and not found:
        raise ValueError("--audio names no recording")
    return found


def _write(
    folder: Path, rows: list[Figures], reactions: list[Reactions], console: Console
) -> None:
    from voice_server.bench.picture import svg
    from voice_server.bench.report import as_json

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(as_json(rows, reactions), indent=2))
    (folder / "bench.svg").write_text(svg(rows, reactions))
    console.print(f"Written: {folder / 'bench.json'} and {folder / 'bench.svg'}", style="dim")
