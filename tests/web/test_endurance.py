"""Calls by the hundred to one server process: afterwards it holds no more than before.

Threads, descriptors and memory are read from /proc when nobody calls: after calls that fill
pools and caches, and again after rounds of more. What is left of a call shows in every round, a
hundredfold; what an allocator or the collector happens to keep shows in some. So one round that
kept nothing is proof enough, and it takes a leak to spoil them all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.calls.exchange import PATIENCE_S, connect, eventually, silence, tone
from tests.calls.test_webrtc import Client

from .outside import Outside, outside
from .test_realtime import id_of, told_of

WARM_UP, CALLS, AT_ONCE = 100, 100, 5
WEBRTC_WARM_UP, WEBRTC_CALLS = 30, 30
ROUNDS_MAX = 6
# A quiet round keeps 2 to 8 kB a call. A call that is kept holds 260 or more.
KB_PER_CALL_MAX = 30

PCM = tone(300) + silence(900)


async def over_websocket(server: Outside, number: int) -> None:
    """A question and its answer, the sound in events or in binary frames."""
    async with connect(server.websocket_url, compression=None) as socket:
        assert socket.response is not None
        server.answered.add(id_of(socket.response.headers["location"]))
        await told_of(socket, "session.created")
        if number % 2:
            session = {"type": "realtime", "voice_server": {"events": True, "binary": True}}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
        await socket.send(PCM)
        await socket.send(json.dumps({"type": "response.create"}))
        async with asyncio.timeout(PATIENCE_S):
            async for message in socket:
                if isinstance(message, str) and json.loads(message)["type"] == "response.done":
                    break


async def over_webrtc(server: Outside, number: int) -> None:
    client = Client()
    response = await server.client.post(
        "/v1/realtime/calls", content=await client.offer(),
        headers={"content-type": "application/sdp"},
    )  # fmt: skip
    assert response.status_code == 201, response.text
    server.answered.add(id_of(response.headers["location"]))
    await client.accept(response.text)
    await client.connected()
    await client.say(PCM)
    client.send("response.create")
    await client.told_of("response.done")
    await eventually(lambda: len(client.packets) > 5)
    await client.connection.close()


async def place(
    server: Outside, kind: Callable[[Outside, int], Awaitable[None]], calls: int
) -> None:
    """So many calls, a few at a time, and wait until the server has forgotten them."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places, asyncio.timeout(2 * PATIENCE_S):
            await kind(server, number)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(one(number))
    await server.at_rest()


async def check_endurance(
    server: Outside, kind: Callable[[Outside, int], Awaitable[None]], warm_up: int, calls: int
) -> None:
    await place(server, kind, warm_up)
    before = latest = server.holdings()
    grown_kb = []
    for _ in range(ROUNDS_MAX):
        await place(server, kind, calls)
        await server.no_more_than(before)
        earlier, latest = latest, server.holdings()
        grown_kb.append((latest.memory_kb - earlier.memory_kb) / calls)
        if grown_kb[-1] < KB_PER_CALL_MAX:
            return
    grown = ", ".join(f"{each:.0f}" for each in grown_kb)
    pytest.fail(f"every round grew, by {grown} kB a call: {before}, {latest}")


@pytest.mark.timeout(900)
async def test_hundreds_of_calls_leave_nothing(tmp_path: Path, free_port: int) -> None:
    async with outside(tmp_path, free_port) as server:
        await check_endurance(server, over_websocket, WARM_UP, CALLS)
        assert len(server.answered) >= WARM_UP + CALLS


@pytest.mark.timeout(900)
async def test_webrtc_calls_leave_nothing(tmp_path: Path, free_port: int) -> None:
    async with outside(tmp_path, free_port) as server:
        await check_endurance(server, over_webrtc, WEBRTC_WARM_UP, WEBRTC_CALLS)
        assert len(server.answered) >= WEBRTC_WARM_UP + WEBRTC_CALLS
