"""Runs the command line as a user does, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


async def voice_server(*arguments: object, cwd: Path) -> Said:
    """`voice-server ARGUMENTS` in the folder `cwd`, without the settings of this machine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_server", *map(str, arguments), cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())
