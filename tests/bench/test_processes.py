"""The cost of a process and its children, from the kernel's own books."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from voice_server.bench.processes import cost_of

BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"


def test_a_busy_child_is_the_childs_cost() -> None:
    before = cost_of(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout
        child.stdout.readline()
        after, its = cost_of(os.getpid()), cost_of(child.pid)
        child.stdin.close()
    assert its.cpu_s >= 0.25 and its.waited_s >= 0
    assert after.children_cpu_s - before.children_cpu_s >= 0.25
    assert after.resident_bytes > 2**20


def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError):
        cost_of(child.pid)
