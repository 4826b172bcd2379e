"""Runs the measurements: a fresh server on one core, callers on the others, figures between.

Only loopback addresses are called: this is a load, and a load belongs on one's own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from voice_server.client.caller import CallFailed
from voice_server.client.http import is_loopback
from voice_server.client.microphone import Lag, now_us
from voice_server.client.own_server import OwnServer, own_server

from .figures import Figures, Tally, percentile
from .interruptions import Reactions, Spread
from .load import Load
from .processes import Cost, cost_of
from .speech import Speech

TRANSPORTS = ("ws", "json", "webrtc")
# Nineteen windows of the detector: no part of a window is taken for the server's delay.
SILENCE_MS = 608
CALLS_MAX, SECONDS_MAX = 2_000, 3_600
INTERRUPTIONS_MAX = 10_000
# So many callers share the interruptions; each of these may take a caller this long.
INTERRUPTERS = 4
_INTERRUPTION_S_MAX = 8.0
_CALLERS_START_US = 2_500_000
_JOIN_EVERY_MS, _JOIN_MS_MAX = 100, 8_000
_SETTLE_US = 2_000_000
_CALLS_PER_PROCESS = 60
_OVERTIME_S = 90.0


class NotLoopback(Exception):
    """The load would leave this machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: each number of calls on each transport, for so many seconds, and on
    each transport so many `interruptions` in all."""

    points: tuple[tuple[str, int], ...]
    seconds: float
    speech: Speech
    interruptions: int = 0
    url: str = ""
    key: str = ""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Cores:
    """Which processor serves and which ones call."""

    server: int
    callers: tuple[int, ...]
    shared: bool


def cores(available: Sequence[int]) -> Cores:
    """The first core serves; on a machine with only one, everybody shares it."""
    assert available
    first, *rest = sorted(available)
    return Cores(first, tuple(rest or [first]), shared=not rest)


def loopback(url: str) -> str:
    """The address if it is on this machine. Raises `NotLoopback`."""
    host = urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    if is_loopback(host):
        return url
    raise NotLoopback(f"{url} is not on this machine; the bench only loads loopback addresses")


async def measure(plan: Plan, told: Callable[[str], None]) -> AsyncIterator[Figures]:
    """The figures of each point, as they come. Raises `CallFailed`, `NotLoopback`."""
    if plan.url:
        loopback(plan.url)
    for transport, calls in plan.points:
        told(f"{transport}, {calls} calls")
        with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
            async with _server(plan, Path(folder)) as server:
                yield await _point(plan, server, transport, calls)


async def measure_reactions(plan: Plan, told: Callable[[str], None]) -> AsyncIterator[Reactions]:
    """How each transport of the plan takes interruptions. Raises `CallFailed`, `NotLoopback`."""
    if plan.url:
        loopback(plan.url)
    for transport in dict.fromkeys(transport for transport, _ in plan.points):
        if plan.interruptions:
            told(f"{transport}, {plan.interruptions} interruptions")
            with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
                async with _server(plan, Path(folder)) as server:
                    yield await _react(plan, server, transport)


async def _react(plan: Plan, server: OwnServer, transport: str) -> Reactions:
    calls = min(INTERRUPTERS, plan.interruptions)
    each = math.ceil(plan.interruptions / calls)
    seconds = (1 + each) * _INTERRUPTION_S_MAX
    load = _load(plan, server, transport, calls, seconds=seconds)
    load = replace(load, recordings=plan.speech.objections, interruptions=each)
    begun_us, begun = now_us(), _cost(server)
    tally = await _process(0, load)
    return _reactions(load, tally, (now_us() - begun_us) / 1e6, begun, _cost(server))


def _reactions(load: Load, tally: Tally, seconds: float, begun: Cost, ended: Cost) -> Reactions:
    lag = Lag()
    lag.counts = tally.lag_counts or lag.counts
    return Reactions(
        transport=load.transport, calls=load.calls, interruptions=tally.interruptions,
        obeyed=tally.obeyed, unasked=tally.unasked,
        stops=Spread.of(tally.stopped_us), answers=Spread.of(tally.added_us),
        lost=tally.lost, early=tally.early,
        placed=tally.placed, bills=tally.bills, bills_wrong=tally.bills_wrong,
        waited=(ended.waited_s - begun.waited_s) / seconds,
        caller_lag_ms=lag.percentile_ms(0.99), failures=tuple(tally.failures),
    )  # fmt: skip


def settings_for(folder: Path) -> Mapping[str, object]:
    """A server whose engines answer at once, with money for every call."""
    return {
        "data_dir": folder, "database_url": "", "redis_url": "", "api_key": "",
        "speech_to_text": "scripted", "dialogue": "scripted", "text_to_speech": "scripted",
        "calls_max": CALLS_MAX, "calls_per_user_max": CALLS_MAX,
        "local_credit": 10**11, "log_level": "warning",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def _server(plan: Plan, folder: Path) -> AsyncIterator[OwnServer]:
    if plan.url:
        # A server that somebody else started: its cost cannot be told from here.
        yield OwnServer(plan.url, 0)
        return
    core = cores(sorted(os.sched_getaffinity(0))).server
    async with own_server(settings_for(folder), log=folder / "server.log", core=core) as server:
        yield server


async def _point(plan: Plan, server: OwnServer, transport: str, calls: int) -> Figures:
    # The first call loads what every call shares; it must not be charged to the others.
    await _call([_load(plan, server, transport, 1, seconds=1.0)], server)
    before = _cost(server)
    load = _load(plan, server, transport, calls, seconds=plan.seconds)
    tally, (begun, ended) = await _call(_shares(load), server)
    return _figures(load, tally, before, begun, ended)


def _load(plan: Plan, server: OwnServer, transport: str, calls: int, *, seconds: float) -> Load:
    join_every_ms = min(_JOIN_EVERY_MS, _JOIN_MS_MAX // calls)
    join_us = now_us() + _CALLERS_START_US
    begin_us = join_us + calls * join_every_ms * 1_000 + _SETTLE_US
    return Load(
        url=server.url, key=plan.key, transport=transport, calls=calls,
        recordings=plan.speech.turns, silence_ms=SILENCE_MS,
        join_us=join_us, join_every_ms=join_every_ms, begin_us=begin_us,
        end_us=begin_us + int(seconds * 1e6), seed=plan.seed,
    )  # fmt: skip


def _shares(load: Load) -> list[Load]:
    """The load for each process: as many as there are cores for callers, none too small."""
    room = len(cores(sorted(os.sched_getaffinity(0))).callers)
    processes = min(room, math.ceil(load.calls / _CALLS_PER_PROCESS))
    shares = []
    for index in range(processes):
        calls = len(range(index, load.calls, processes))
        shares.append(
            replace(
                load, calls=calls, seed=load.seed + index * CALLS_MAX,
                join_us=load.join_us + index * load.join_every_ms * 1_000,
                join_every_ms=load.join_every_ms * processes,
            )
        )  # fmt: skip
    return shares


async def _call(shares: Sequence[Load], server: OwnServer) -> tuple[Tally, tuple[Cost, Cost]]:
    """All callers of one point, and what the server had cost when they began and ended."""
    async with asyncio.TaskGroup() as group:
        cost = group.create_task(_costs(shares[0], server))
        tallies = [group.create_task(_process(i, load)) for i, load in enumerate(shares)]
    total = Tally()
    for tally in tallies:
        total.add(tally.result())
    return total, cost.result()


async def _costs(load: Load, server: OwnServer) -> tuple[Cost, Cost]:
    await asyncio.sleep(max(0, load.begin_us - now_us()) / 1e6)
    begun = _cost(server)
    await asyncio.sleep(max(0, load.end_us - now_us()) / 1e6)
    return begun, _cost(server)


def _cost(server: OwnServer) -> Cost:
    return cost_of(server.pid) if server.pid else Cost(math.nan, math.nan, 0, 0.0)


async def _process(index: int, load: Load) -> Tally:
    """One process of callers on its own core; killed when it runs over its time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_server.bench.callers",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    callers = cores(sorted(os.sched_getaffinity(0))).callers
    os.sched_setaffinity(process.pid, {callers[index % len(callers)]})
    try:
        async with asyncio.timeout((load.end_us - now_us()) / 1e6 + _OVERTIME_S):
            said, _ = await process.communicate(orjson.dumps(asdict(load)))
    except TimeoutError as error:
        raise CallFailed("the callers did not come back in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CallFailed(f"the callers failed with exit code {process.returncode}")
    return Tally(**orjson.loads(said))


def _grown_mb(before: Cost, ended: Cost) -> float:
    if not ended.resident_bytes:
        return math.nan
    return (ended.resident_bytes - before.resident_bytes) / 2**20


def _figures(load: Load, tally: Tally, before: Cost, begun: Cost, ended: Cost) -> Figures:
    seconds = (load.end_us - load.begin_us) / 1e6
    call_minutes = load.calls * seconds / 60
    added_ms = [us / 1_000 for us in tally.added_us]
    lag = Lag()
    lag.counts = tally.lag_counts or lag.counts
    return Figures(
        transport=load.transport, calls=load.calls, seconds=seconds,
        turns=len(added_ms), lost=tally.lost, early=tally.early,
        p50_ms=percentile(added_ms, 0.50), p95_ms=percentile(added_ms, 0.95),
        p99_ms=percentile(added_ms, 0.99),
        gaps=tally.gaps, gap_ms_max=tally.gap_us_max / 1_000, late=tally.late,
        frames=tally.frames,
        cpu_s=(ended.cpu_s - begun.cpu_s) / call_minutes,
        children_cpu_s=(ended.children_cpu_s - begun.children_cpu_s) / call_minutes,
        waited=(ended.waited_s - begun.waited_s) / seconds,
        memory_mb=_grown_mb(before, ended) / load.calls,
        placed=tally.placed, bills=tally.bills, bills_wrong=tally.bills_wrong,
        caller_lag_ms=lag.percentile_ms(0.99), caller_load=tally.caller_cpu_s / seconds,
        failures=tuple(tally.failures),
    )  # fmt: skip
