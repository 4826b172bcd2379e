"""What holds for every engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("engine", ["engines.silero", "engines.turns", "engines.whisper.model"])
def test_nobody_is_told_who_runs_this(engine: str, tmp_path: Path) -> None:
    """Before it reports, onnxruntime makes a file by which it will know this machine again."""
    child = [sys.executable, "-c", f"import {engine}, onnxruntime"]
    subprocess.run(child, check=True, env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert not list(tmp_path.rglob("*"))
