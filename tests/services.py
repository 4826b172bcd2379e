"""The servers the tests really use, each private to one test run.

PostgreSQL and Redis are Debian's own programs, started on free loopback ports in folders
under /tmp and stopped at the end; `make services` installs them. PostgreSQL refuses to run
as root, so as root it is started as Debian's user `postgres`. fsync stays on: what the
tests say about crashes must be true of a real server. Both programs are told to die with
the test run, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 120.0
PR_SET_PDEATHSIG = 1


class ServiceMissing(Exception):
    """A program the tests need is not installed."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A program that listens on a port of its own, in a folder of its own."""

    port: int = 0
    folder: Path = field(default_factory=Path)
    process: subprocess.Popen[bytes] | None = None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the program; SIGKILL is the crash some tests want."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
        self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self, command: list[str], account: dict[str, Any] | None = None) -> None:
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_die_with_parent,
                **account or {},
            )

    def _await(self, answers: Callable[[], bool]) -> None:
        """Return once the program answers; raise with its own words when it cannot."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            if answers():
                return
            time.sleep(0.05)
        said = (self.folder / "output.log").read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"{type(self).__name__} did not start:\n{said}")


class PostgresServer(Server):
    """One PostgreSQL cluster; `database()` lends a fresh database in it."""

    def __init__(self) -> None:
        super().__init__()
        self.programs = _postgres_programs()
        self.account = _account_for_postgres()
        self.folder = Path(tempfile.mkdtemp(prefix="voice-server-postgres-", dir="/tmp"))
        if self.account:
            os.chown(self.folder, self.account["user"], self.account["group"])
        self.data = self.folder / "data"
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", "tests", "--auth", "trust",
            "--encoding", "UTF8", "--no-locale", "--no-instructions",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port and data after `stop`."""
        self.port = self.port or free_port()
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._launch(
            [str(self.programs / "postgres"), "-D", str(self.data), *settings], self.account
        )
        ready = [str(self.programs / "pg_isready"), *self._address(), "--quiet"]
        self._await(lambda: subprocess.run(ready).returncode == 0)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The asyncpg URL of a fresh database, dropped afterwards whoever still uses it."""
        name = f"tests_{uuid.uuid4().hex[:16]}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql+asyncpg://tests@127.0.0.1:{self.port}/{name}"
        finally:
            if self.process is not None:
                self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str) -> str:
        """Run one statement as superuser in the maintenance database."""
        return self._run(
            "psql", *self._address(), "--dbname", "postgres", "--no-psqlrc", "--quiet",
            "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", statement,
        )  # fmt: skip

    def _address(self) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(self.port), "--username", "tests"]

    def _run(self, program: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self.account,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2_000:]}")
        return done.stdout


class RedisServer(Server):
    """One Redis that keeps nothing on disk."""

    def __init__(self) -> None:
        super().__init__()
        program = shutil.which("redis-server")
        if program is None:
            raise ServiceMissing("redis-server is not installed: run `make services`")
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="voice-server-redis-", dir="/tmp"))
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, or start again, empty, on the same port after `stop`."""
        self.port = self.port or free_port()
        self._launch(
            [
                self.program, "--port", str(self.port), "--bind", "127.0.0.1",
                "--dir", str(self.folder), "--save", "", "--appendonly", "no",
            ]
        )  # fmt: skip
        self._await(lambda: self._command(b"PING").startswith(b"+PONG"))

    def flush(self) -> None:
        answer = self._command(b"FLUSHALL")
        assert answer.startswith(b"+OK"), answer

    def _command(self, command: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                connection.sendall(command + b"\r\n")
                return connection.recv(128)
        except OSError:
            return b""


def _die_with_parent() -> None:
    """Runs in the child before exec: when the tests are killed, their servers go too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _postgres_programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    if found and (found[-1] / "initdb").exists():
        return found[-1]
    raise ServiceMissing("PostgreSQL is not installed: run `make services`")


def _account_for_postgres() -> dict[str, Any]:
    """How to start a program of PostgreSQL's: as root, as somebody who is not."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        raise ServiceMissing("there is no user `postgres`: run `make services`") from None
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
