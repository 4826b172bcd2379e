"""The table in the README says what is proved with which client, no more and no less."""

from __future__ import annotations

import re

import pytest

from .programs import HOUSE

# Where each client is tested, in the order of the columns. Both plain clients play the same tests,
# and so do both clients for agents over a WebSocket.
COLUMNS = [
    "test_openai*.py", "test_openai*.py", "test_agents.py", "test_agents.py",
    "test_agents_webrtc.py", "test_pipecat.py", "test_livekit.py",
]  # fmt: skip
ROW = re.compile(r"^\| ([a-z ]+) \|((?: [✓–] \|){7})$", re.MULTILINE)
ROWS = ROW.findall((HOUSE / "README.md").read_text())


def is_proved(row: str, files: str) -> bool:
    """Whether there is a test whose name begins with the row's, played by every client there."""
    start = rf"async def test_{row.replace(' ', '_')}\w*\(\s*(?:act|player)\b"
    folder = HOUSE / "tests" / "sdk"
    return any(re.search(start, path.read_text()) for path in folder.glob(files))


def test_there_is_a_table() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("row", "cells"), ROWS)
def test_a_row_is_true(row: str, cells: str) -> None:
    claimed = [mark == "✓" for mark in re.findall("[✓–]", cells)]
    assert claimed == [is_proved(row, files) for files in COLUMNS]
