"""A server of one's own: started on a free port for one call or one measurement, then ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .caller import CallFailed, Unreachable
from .http import Server

_STOP_S = 25.0
_TAIL_BYTES = 2_000
# Whatever the environment says: who starts it is who calls it, over the loopback.
_PLAIN: dict[str, object] = {"tls": "false", "tls_cert": "", "tls_key": ""}


@dataclass(frozen=True, slots=True)
class OwnServer:
    url: str
    pid: int


@contextlib.asynccontextmanager
async def own_server(
    settings: Mapping[str, object],
    *,
    log: Path,
    start_s: float = 60.0,
    core: int | None = None,
) -> AsyncIterator[OwnServer]:
    """Run `voice-server serve` until the context is left; its output goes to the file `log`.

    `settings` are configuration values by name; `core` is the one processor it may use.
    Raises `CallFailed` with the end of the log when it does not become ready in `start_s`.
    """
    port = _free_port()
    command = [sys.executable, "-m", "voice_server", "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    for name, value in (_PLAIN | dict(settings)).items():
        command += ["--set", f"{name}={value}"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    server = OwnServer(f"http://127.0.0.1:{port}", process.pid)
    try:
        await _until_ready(server, process, log, start_s)
        yield server
    finally:
        await _stop(process)


async def _until_ready(
    server: OwnServer, process: asyncio.subprocess.Process, log: Path, start_s: float
) -> None:
    give_up = time.monotonic() + start_s
    async with Server(server.url) as client:
        while process.returncode is None and time.monotonic() < give_up:
            with contextlib.suppress(Unreachable):
                if await client.is_ready():
                    return
            await asyncio.sleep(0.05)
    raise CallFailed(f"the server did not start; it said:\n{_tail(log) or '(nothing)'}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            # Its workers are in its session; none of them may outlive it.
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
