"""What a process and its children cost, read from the kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds so far of the process and of its living children, resident bytes, and how
    long its main thread was ready to run and had no core, because others had it."""

    cpu_s: float
    children_cpu_s: float
    resident_bytes: int
    waited_s: float


def cost_of(pid: int) -> Cost:
    """Raises `ProcessLookupError` when the process is gone."""
    times = _read_stat(pid)
    if times is None:
        raise ProcessLookupError(pid)
    return Cost(times[1], sum(_children_cpu_s(pid)), _resident_bytes(pid), _waited_s(pid))


def spent_s() -> float:
    """CPU seconds so far of this process and of its living children."""
    cost = cost_of(os.getpid())
    return cost.cpu_s + cost.children_cpu_s


def _children_cpu_s(pid: int) -> list[float]:
    parents: dict[int, list[tuple[int, float]]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (found := _read_stat(int(folder.name))):
            parents.setdefault(found[0], []).append((int(folder.name), found[1]))
    spent, waiting = [], [pid]
    while waiting:
        for child, cpu_s in parents.get(waiting.pop(), []):
            spent.append(cpu_s)
            waiting.append(child)
    return spent


def _read_stat(pid: int) -> tuple[int, float] | None:
    """The parent's id and the CPU seconds of one process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None  # It ended while we looked.
    # The name in parentheses may hold spaces and parentheses of its own.
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) * _TICK_S


def _waited_s(pid: int) -> float:
    """0 where the kernel keeps no such account."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
