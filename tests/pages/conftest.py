"""Servers for the browser: `voice-server serve`, each in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.services import free_port as find_free_port

STARTED_WITHIN_S = 120
STOPPED_WITHIN_S = 60


class Server:
    """A server in a process of its own; `log` is what it has said.

    `settings` are those of the configuration: `Server(folder, price_per_minute=500)`.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.log = folder, folder / "server.log"
        port = find_free_port()
        self.url = f"{'https' if settings.get('tls') else 'http'}://127.0.0.1:{port}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("VOICE_SERVER_")}
        chosen = {
            "port": port, "data_dir": folder, "models_dir": folder / "models",
            # On a busy machine a filler may be said before what a test waits for.
            "filler_ms": 0, **settings,
        }  # fmt: skip
        self._env = clean | {f"VOICE_SERVER_{k.upper()}": str(v) for k, v in chosen.items()}
        self._env["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and return when the server says that it is ready."""
        # In its own folder, so that no .env of the developer's is read.
        with self.log.open("ab") as out:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "voice_server", "serve"],
                env=self._env, cwd=self._folder, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < until:
            assert process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx2.TransportError):
                ready = httpx2.get(self.url + "/health/ready", timeout=10, verify=False)
                if ready.status_code == 200:
                    return
            time.sleep(0.1)
        pytest.fail(f"the server is not ready:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def get(self, path: str) -> dict[str, object]:
        answer = httpx2.get(self.url + path, timeout=60)
        answer.raise_for_status()
        found = answer.json()
        assert isinstance(found, dict)
        return found


@contextlib.contextmanager
def running(folder: Path, **settings: object) -> Iterator[Server]:
    """A server until the block ends."""
    server = Server(folder, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as it comes: offline engines, SQLite, the free minutes of a newcomer."""
    folder = tmp_path_factory.mktemp("server")
    with running(folder, demo_minutes=30, drain_seconds=0) as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server with settings of one's own: `serve(demo_minutes=0)`."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(tmp_path / "server", **settings))
