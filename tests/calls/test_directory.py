"""Both directories keep the same promises, the one of many processes on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import redis.asyncio

from tests.services import RedisServer
from voice_server.calls.directory import (
    Directory,
    DirectoryAway,
    MemoryDirectory,
    RedisDirectory,
)

from .exchange import PATIENCE_S, eventually

ENTRY_S = 600.0
Listening = MemoryDirectory | RedisDirectory


@dataclass
class Town:
    """A directory as one or more processes see it, and a way to let time pass."""

    kind: str
    url: str = ""
    now: float = 0.0
    _memory: MemoryDirectory | None = None
    _opened: list[Listening] = field(default_factory=list)

    def process(self) -> Listening:
        """What the next process uses. In memory there is only one."""
        if self.kind == "redis":
            self._opened.append(RedisDirectory(self.url, entry_seconds=ENTRY_S))
            return self._opened[-1]
        if self._memory is None:
            self._memory = MemoryDirectory(entry_seconds=ENTRY_S, monotonic=lambda: self.now)
            self._opened.append(self._memory)
        return self._memory

    async def passes(self, seconds: float) -> None:
        self.now += seconds
        if self.kind == "redis":  # Its clock is its own; what it has noted can be made older.
            async with redis.asyncio.from_url(self.url, decode_responses=True) as client:
                for key in await client.keys("*"):
                    await grow_older(client, str(key), int(seconds * 1_000))

    async def close(self) -> None:
        for directory in self._opened:
            await directory.close()


async def grow_older(client: redis.asyncio.Redis, key: str, by_ms: int) -> None:
    """What expires, expires so much sooner: the key, and what a sorted set has scored."""
    left_ms = await client.pttl(key) - by_ms
    if left_ms <= 0:
        await client.delete(key)
        return
    await client.pexpire(key, left_ms)
    if await client.type(key) == "zset":
        for member in await client.zrange(key, 0, -1):
            await client.zincrby(key, -by_ms, str(member))


@pytest.fixture(params=["memory", "redis"])
async def town(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    town = Town(request.param, url)
    yield town
    await town.close()


@pytest.fixture
def mortal_redis() -> Iterator[RedisServer]:
    """A Redis that this test alone may kill."""
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture
async def listeners() -> AsyncIterator[Callable[[Listening], Awaitable[list[str]]]]:
    """Starts to listen for a process and gives the list of what it hears."""
    tasks: list[asyncio.Task[None]] = []

    async def listen(directory: Listening) -> list[str]:
        heard: list[str] = []
        tasks.append(asyncio.create_task(directory.listen(heard.append)))
        async with asyncio.timeout(PATIENCE_S):
            await directory.listening.wait()
        return heard

    yield listen
    for task in tasks:
        task.cancel()
    if tasks:
        _, deaf = await asyncio.wait(tasks, timeout=PATIENCE_S)
        assert not deaf, "a cancelled listener does not end"


async def test_a_user_has_so_many_places_and_gets_them_back(town: Town) -> None:
    here: Directory = town.process()
    assert [await here.enter(f"call_{n}", 7, 2) for n in range(3)] == [True, True, False]
    assert await here.enter("call_0", 7, 2), "a call that is there is only renewed"
    assert await here.enter("call_x", 8, 2), "another user has other places"
    await here.leave("call_0", 7)
    await here.leave("call_0", 7)
    assert await here.enter("call_3", 7, 2)
    assert not await here.enter("call_4", 7, 2)


async def test_the_last_place_is_taken_once_however_many_try(town: Town) -> None:
    processes = [town.process() for _ in range(4)]
    tries = [processes[n % 4].enter(f"call_{n}", 7, 5) for n in range(40)]
    assert (await asyncio.gather(*tries)).count(True) == 5


async def test_the_entries_of_a_dead_process_expire(town: Town) -> None:
    dead, living = town.process(), town.process()
    assert await dead.enter("call_dead", 7, 1)
    assert not await living.enter("call_new", 7, 1)
    await town.passes(ENTRY_S + 0.1)
    assert not await living.hang_up("call_dead")
    assert await living.enter("call_new", 7, 1)


async def test_a_living_call_does_not_keep_a_dead_one_alive(town: Town) -> None:
    dead, living = town.process(), town.process()
    assert await dead.enter("call_dead", 7, 2)
    assert await living.enter("call_live", 7, 2)
    for _ in range(3):
        await town.passes(ENTRY_S * 0.4)
        await living.renew(["call_live"])
    assert await living.enter("call_new", 7, 2)
    assert not await living.enter("call_newer", 7, 2)


async def test_renewed_entries_stay(town: Town) -> None:
    here, other = town.process(), town.process()
    assert await here.enter("call_1", 7, 1)
    for _ in range(4):
        await town.passes(ENTRY_S * 0.4)
        await here.renew(["call_1", "call_unknown"])
        assert not await other.enter("call_2", 7, 1)
    assert await other.enter("call_3", 8, 1)


async def test_a_hang_up_reaches_who_listens(
    town: Town, listeners: Callable[[Listening], Awaitable[list[str]]]
) -> None:
    holder, other = town.process(), town.process()
    heard = await listeners(holder)
    assert await holder.enter("call_1", 7, 1)
    assert not await other.hang_up("call_2"), "nobody holds it"
    assert await other.hang_up("call_1")

    async def told() -> bool:
        return heard == ["call_1"]

    await eventually(told)
    await holder.leave("call_1", 7)
    assert not await other.hang_up("call_1")


async def test_nobody_who_listens_is_said_and_not_hidden(town: Town) -> None:
    here = town.process()
    assert await here.enter("call_1", 7, 1)
    assert not await here.hang_up("call_1")


async def test_who_stops_listening_is_not_told(town: Town) -> None:
    here, heard = town.process(), list[str]()
    assert await here.enter("call_1", 7, 1)
    task = asyncio.create_task(here.listen(heard.append))
    async with asyncio.timeout(PATIENCE_S):
        await here.listening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def nobody() -> bool:
        await here.renew(["call_1"])
        return not await here.hang_up("call_1")

    await eventually(nobody)
    assert heard == []


async def test_when_redis_goes_away_calls_go_on_and_come_back_into_the_list(
    mortal_redis: RedisServer, listeners: Callable[[Listening], Awaitable[list[str]]]
) -> None:
    here = RedisDirectory(mortal_redis.url, entry_seconds=60)
    other = RedisDirectory(mortal_redis.url, entry_seconds=60)
    try:
        heard = await listeners(here)
        assert await here.enter("call_1", 7, 2)
        mortal_redis.stop(signal.SIGKILL)
        await here.renew(["call_1"])
        assert await here.enter("call_2", 7, 2), "admitted by what this process knows"
        assert not await here.enter("call_3", 7, 2)
        await here.leave("call_2", 7)
        with pytest.raises(DirectoryAway):
            await other.hang_up("call_1")
        mortal_redis.start()  # It comes back empty.
        await here.renew(["call_1"])
        assert not await other.enter("call_4", 7, 1)

        async def told() -> bool:
            return await other.hang_up("call_1") and "call_1" in heard

        await eventually(told)
    finally:
        await here.close()
        await other.close()
