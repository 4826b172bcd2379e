"""The bench's plan: who runs where, how the load is shared, and that it stays at home."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from voice_server.bench import run
from voice_server.bench.load import Load, Recording
from voice_server.bench.run import (
    NotLoopback,
    Plan,
    cores,
    loopback,
    measure,
    measure_reactions,
)
from voice_server.bench.speech import Speech

MUTE = Speech((), ())


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://10.0.0.1:8000", "http://0.0.0.0", "http://127.0.0.1.evil.com",
     "http://user@example.com", "", "http://[2001:db8::1]"],
)  # fmt: skip
async def test_a_load_never_leaves_the_machine(url: str) -> None:
    with pytest.raises(NotLoopback):
        loopback(url)
    if url:
        with pytest.raises(NotLoopback):
            async for _ in measure(Plan((("ws", 1),), 1.0, MUTE, 0, url), print):
                pass
        with pytest.raises(NotLoopback):
            async for _ in measure_reactions(Plan((("ws", 1),), 1.0, MUTE, 1, url), print):
                pass


def test_loopback_addresses_may_be_loaded() -> None:
    for url in ("http://127.0.0.1:8000", "ws://localhost:1", "[::1]:8000", "http://127.3.4.5"):
        assert loopback(url) == url


def test_the_server_has_a_core_of_its_own() -> None:
    assert cores([3, 1, 2]).server == 1 and cores([3, 1, 2]).callers == (2, 3)
    assert not cores([0, 1]).shared
    only = cores([5])
    assert only.shared and only.server == 5 and only.callers == (5,)


@pytest.mark.parametrize(("calls", "room"), [(1, 1), (40, 1), (61, 3), (200, 2), (200, 8)])
def test_shares_place_every_call_once_and_in_turn(
    calls: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(room + 1)))
    load = Load(
        url="http://127.0.0.1:1", key="", transport="ws", calls=calls, recordings=(),
        silence_ms=608, join_us=1_000_000, join_every_ms=10, begin_us=0, end_us=0, seed=1,
    )  # fmt: skip
    shares = run._shares(load)
    joins = sorted(
        share.join_us + n * share.join_every_ms * 1_000
        for share in shares
        for n in range(share.calls)
    )
    assert joins == [1_000_000 + n * 10_000 for n in range(calls)]
    assert len(shares) <= room and len({share.seed for share in shares}) == len(shares)


def test_a_load_arrives_as_it_was_sent() -> None:
    load = Load(
        url="http://127.0.0.1:1", key="k", transport="webrtc", calls=2,
        recordings=(Recording("a.wav", 40, 900), Recording("b.wav", 0, 700)), silence_ms=608,
        join_us=1, join_every_ms=10, begin_us=2, end_us=3, seed=1, interruptions=4,
    )  # fmt: skip
    assert Load.from_json(json.loads(json.dumps(asdict(load)))) == load
