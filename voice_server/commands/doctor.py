"""Look at everything a call needs: what is configured, what is missing, and what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Check, Finding
from .settings import add_set_argument, parsed, read_config

if TYPE_CHECKING:
    from rich.console import Console

    from voice_server.config import Config

HELP = "check what is configured, what is missing, what to do"
_CHECK_S = 60.0
_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), PROBLEM: ("✗", "red")}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes:\n  0  a call can be made (there may be warnings)\n  1  it cannot"
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    config = read_config(parsed(options.settings))
    console = Console(highlight=False, stderr=options.json)
    findings = asyncio.run(examine(config, console))
    if options.json:
        print(json.dumps([finding.as_json() for finding in findings], indent=2))
    problems = sum(finding.level == PROBLEM for finding in findings)
    warnings = sum(finding.level == WARNING for finding in findings)
    summary = f"{problems} problems, {warnings} warnings" if problems or warnings else "All well."
    console.print(f"\n{summary}", style="bold")
    return 1 if problems else 0


async def examine(config: Config, console: Console) -> list[Finding]:
    """Run all checks at once; show each when it is done. Findings come in the checks' order."""
    from .check_engines import (
        check_conversation,
        check_detector,
        check_dialogue,
        check_recogniser,
        check_turns,
        check_voice,
        check_whisper,
    )
    from .check_machine import check_clock, check_disk, check_files, check_packages, check_python
    from .check_reach import check_database, check_ice, check_microphone, check_port, check_redis
    from .check_tls import check_tls

    checks: dict[str, Check] = {
        "Python": check_python, "packages": check_packages, "disk": check_disk,
        "clock": check_clock, "open files": check_files, "database": check_database,
        "Redis": check_redis, "port": check_port, "TLS": check_tls, "microphone": check_microphone,
        "ICE": check_ice, "voice": check_voice, "voice activity": check_detector,
        "recogniser": check_recogniser, "Whisper": check_whisper, "dialogue": check_dialogue,
        "conversation": check_conversation, "end of turn": check_turns,
    }  # fmt: skip
    waiting = set(checks)
    with console.status("") as status:

        async def examined(name: str, check: Check) -> list[Finding]:
            found = await bounded(name, check, config)
            waiting.discard(name)
            status.update(f"Checking {', '.join(sorted(waiting))} …")
            for finding in found:
                _print(console, finding)
            return found

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(examined(name, check)) for name, check in checks.items()]
    return [finding for task in tasks for finding in task.result()]


async def bounded(name: str, check: Check, config: Config) -> list[Finding]:
    """A check that hangs is a finding too."""
    try:
        async with asyncio.timeout(_CHECK_S):
            return await check(config)
    except TimeoutError:
        said = f"gave no answer within {_CHECK_S:.0f} s"
        return [Finding(PROBLEM, name, said, "Is the machine overloaded, or a server stuck?")]


def _print(console: Console, finding: Finding) -> None:
    from rich.text import Text

    mark, style = _MARKS[finding.level]
    line = Text.assemble((f" {mark} ", style), (f"{finding.what:<15}", "bold"), finding.said)
    if finding.remedy:
        line.append(f"\n{'':19}→ {finding.remedy}", style="dim" if finding.level == OK else style)
    console.print(line, soft_wrap=True)
