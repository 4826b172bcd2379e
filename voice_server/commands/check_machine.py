"""Checks of the machine: Python, packages, disk, clock, open files."""

from __future__ import annotations

import asyncio
import platform
import re
import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Finding

if TYPE_CHECKING:
    from voice_server.config import Config

_DISTRIBUTION = "voice-server"
_FREE_MB_MIN, _FREE_MB_EASY = 100, 2_000
_FILES_PER_CALL, _FILES_MIN = 12, 512
# No clock is right that says it is before this release.
_RELEASED = datetime(2026, 1, 1, tzinfo=UTC)


async def check_python(config: Config) -> list[Finding]:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    return [Finding(OK, "Python", f"{found} on {platform.system()} {platform.machine()}")]


async def check_packages(config: Config) -> list[Finding]:
    return await asyncio.to_thread(_packages)


def _packages() -> list[Finding]:
    remedy = "Run `make run` or `pip install -c requirements.lock -e .` again."
    try:
        wanted = [line for line in requires(_DISTRIBUTION) or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return [Finding(WARNING, "packages", f"{_DISTRIBUTION} is not installed", remedy)]
    missing, other = [], []
    for line in wanted:
        name, _, pinned = re.split(r"[;\s]", line)[0].partition("==")
        try:
            found = version(re.sub(r"\[.*\]", "", name))
        except PackageNotFoundError:
            missing.append(name)
            continue
        # A build tag such as +cpu is the same release.
        if pinned and found.split("+")[0] != pinned:
            other.append(f"{name} {found} instead of {pinned}")
    if missing:
        return [Finding(PROBLEM, "packages", f"missing: {', '.join(missing)}", remedy)]
    if other:
        return [Finding(WARNING, "packages", f"not as tested: {', '.join(other)}", remedy)]
    return [Finding(OK, "packages", f"all {len(wanted)} are there")]


async def check_disk(config: Config) -> list[Finding]:
    return await asyncio.to_thread(_disk, config.data_dir)


def _disk(folder: Path) -> list[Finding]:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            free_mb = shutil.disk_usage(place).free // 2**20
    except OSError as error:
        remedy = "Set VOICE_SERVER_DATA_DIR to a folder this user may write to."
        return [Finding(PROBLEM, "disk", f"{folder} cannot be written: {error}", remedy)]
    said = f"{folder} is writable, {free_mb / 1_000:.1f} GB free"
    if free_mb < _FREE_MB_MIN:
        return [Finding(PROBLEM, "disk", said, "Make room: bills are written there.")]
    if free_mb < _FREE_MB_EASY:
        return [Finding(WARNING, "disk", said, "Whisper weights alone take 0.1 to 3 GB.")]
    return [Finding(OK, "disk", said)]


async def check_clock(config: Config) -> list[Finding]:
    now = datetime.now(UTC)
    said = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _RELEASED:
        remedy = "Set it (NTP): tokens, TURN credentials and the dates of bills depend on it."
        return [Finding(PROBLEM, "clock", said, remedy)]
    resolution_ms = time.get_clock_info("monotonic").resolution * 1_000
    if resolution_ms > 1:
        remedy = "Sound is paced in steps of 20 ms; use a machine with a finer clock."
        return [Finding(WARNING, "clock", f"steps of {resolution_ms:.0f} ms", remedy)]
    return [Finding(OK, "clock", said)]


async def check_files(config: Config) -> list[Finding]:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_MIN + config.calls_max * _FILES_PER_CALL
    if allowed not in {-1, resource.RLIM_INFINITY} and allowed < wanted:
        said = f"{allowed} allowed; {config.calls_max} WebRTC calls may need {wanted}"
        remedy = f"Raise it (ulimit -n {wanted}) or lower VOICE_SERVER_CALLS_MAX."
        return [Finding(WARNING, "open files", said, remedy)]
    return [Finding(OK, "open files", f"{allowed} allowed")]
