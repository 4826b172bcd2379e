"""Measure engines and calls on this machine: how soon each voice speaks, how soon and how well
each recogniser hears, where the silence before an answer goes, what the server puts around each
packet, and how many calls one core holds.

Without a part everything that is here is measured, in some minutes; who says how calls are to be
measured wants only those.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import bench_calls, bench_engines
from .settings import add_set_argument

if TYPE_CHECKING:
    from rich.console import Console

HELP = "measure voices, recognisers, a turn, and how many calls one core holds"
CALLS = "calls"
# Into a file the table goes whole.
_WIDTH = 144
# More work than this waits for each core, and figures say as much of others as of us.
_BUSY = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "exit codes:\n  0  measured\n  1  a turn, a sentence, a call or a bill was lost\n"
        "  2  wrong use"
    )
    parts = ", ".join((*bench_engines.PARTS, CALLS))
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {parts} (default: all)")
    bench_engines.arguments(parser)
    bench_calls.arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("bench-results"), metavar="FOLDER",
                        help="for tables and pictures (default: bench-results)")  # fmt: skip
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from engines.audio import BadAudio
    from voice_server.bench.run import NotLoopback
    from voice_server.bench.speech import NoSpeech
    from voice_server.client.caller import CallFailed

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    try:
        parts = _parts(options)
        for part in parts:
            _check(part, options)
        _look_around(console)
        # One after another: two parts at once would measure each other.
        sound = [_measure(part, options, console) for part in parts]
    except (NotLoopback, NoSpeech, BadAudio, ValueError, OSError) as error:
        print(f"voice-server bench: {error}", file=sys.stderr)
        return 2
    except CallFailed as error:
        print(f"voice-server bench: {error}", file=sys.stderr)
        return 1
    return 0 if all(sound) else 1


def _check(part: str, options: argparse.Namespace) -> None:
    """Refuse wrong use before anything is measured. Raises `ValueError` and `NotLoopback`."""
    if part == CALLS:
        bench_calls.check(options)
    else:
        bench_engines.check(options)


def _measure(part: str, options: argparse.Namespace, console: Console) -> bool:
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        if part == CALLS:
            return bench_calls.measure(options, Path(folder), console)
        return bench_engines.measure(part, options, Path(folder), console)


def _parts(options: argparse.Namespace) -> tuple[str, ...]:
    """What to measure, in our order. Raises `ValueError`."""
    known = (*bench_engines.PARTS, CALLS)
    if unknown := set(options.part) - set(known):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; of {', '.join(known)}")
    if not options.part and bench_calls.are_wanted(options):
        return (CALLS,)
    return tuple(part for part in known if not options.part or part in options.part)


def _look_around(console: Console) -> None:
    """Say so where the machine has other things to do."""
    cores, (load, *_) = len(os.sched_getaffinity(0)), os.getloadavg()
    if load > _BUSY * cores:
        console.print(
            f"The machine is busy with other things (load {load:.1f} on {cores} cores): trust "
            "ratios and not milliseconds.", style="yellow",
        )  # fmt: skip

