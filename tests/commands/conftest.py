"""A real `voice-server serve` in a process of its own, with its own folder and port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from voice_server.client.own_server import OwnServer, own_server


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[OwnServer]:
    """The server as a newcomer gets it: SQLite, eSpeak NG, the offline recogniser, the tutor."""
    # On a busy machine a filler may be said before what a test waits for.
    settings = {"data_dir": tmp_path / "data", "filler_ms": 0}
    async with own_server(settings, log=tmp_path / "server.log") as server:
        yield server
