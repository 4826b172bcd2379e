"""Which calls live where: limits per user, and hang-ups, over all server processes.

    enter ─► renew, renew, ... ─► leave          of the process that holds the call
    hang_up ─► listen                            from any process to that one

An entry that is not renewed expires, so a server that died gives its callers their places
back. `MemoryDirectory` is enough for one process; `RedisDirectory` serves many.

When Redis is away calls go on and new ones are admitted, counted by what this process knows
itself: the limit is a courtesy, and what protects the money is the ledger. Entries come
back with the next renewal. Only a hang-up meant for another process fails, and says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

ENTRY_SECONDS = 15.0
REDIS_SECONDS_MAX = 1.0
LISTEN_SECONDS = 1.0
HEALTH_CHECK_SECONDS = 5
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 2.0

# Places of a user: call ids scored by when they expire, in Redis's own milliseconds. The
# check and the entry are one script, so that two servers cannot both take the last place.
# A call that is there already is only renewed: the command may be sent again after a
# connection broke. ARGV: call id, user id, entry ms, limit (below zero: no check).
ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if limit >= 0 and not redis.call('ZSCORE', KEYS[1], ARGV[1])
    and redis.call('ZCARD', KEYS[1]) >= limit then
    return 0
end
redis.call('ZADD', KEYS[1], now + life, ARGV[1])
redis.call('PEXPIRE', KEYS[1], life)
redis.call('SET', KEYS[2], ARGV[2], 'PX', life)
return 1
"""

# ARGV: call id, channel. How many servers were told; none when nobody holds the call.
HANG_UP = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('PUBLISH', ARGV[2], ARGV[1])
"""


class DirectoryAway(Exception):
    """The directory cannot be reached; try again later."""


class Directory(Protocol):
    async def enter(self, call_id: str, user_id: int, limit: int) -> bool:
        """Take a place for a call; False when the user has `limit` live calls already.
        Entering the same call again only renews it."""
        ...

    async def leave(self, call_id: str, user_id: int) -> None:
        """Give the place back. Never fails: at worst the entry expires."""
        ...

    async def renew(self, call_ids: Iterable[str]) -> None:
        """Keep the entries of calls that this process entered. Never fails."""
        ...

    async def hang_up(self, call_id: str) -> bool:
        """Tell the process that holds the call; False: nobody does. Raises `DirectoryAway`."""
        ...

    async def listen(self, on_hang_up: Callable[[str], None]) -> None:
        """Pass on ids of calls to be hung up (also ones that live elsewhere) until cancelled."""
        ...

    async def close(self) -> None: ...


class MemoryDirectory:
    """The directory of one process."""

    def __init__(
        self,
        *,
        entry_seconds: float = ENTRY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entry_seconds, self._monotonic = entry_seconds, monotonic
        self._calls: dict[str, tuple[int, float]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.listening = asyncio.Event()

    async def enter(self, call_id: str, user_id: int, limit: int) -> bool:
        others = sum(user == user_id for call, (user, _) in self._live().items() if call != call_id)
        if call_id not in self._calls and others >= limit:
            return False
        self._calls[call_id] = user_id, self._monotonic() + self._entry_seconds
        return True

    async def leave(self, call_id: str, user_id: int) -> None:
        if self._calls.get(call_id, (None, 0))[0] == user_id:
            del self._calls[call_id]

    async def renew(self, call_ids: Iterable[str]) -> None:
        expires = self._monotonic() + self._entry_seconds
        for call_id in call_ids:
            if call_id in self._calls:
                self._calls[call_id] = self._calls[call_id][0], expires

    async def hang_up(self, call_id: str) -> bool:
        if call_id not in self._live() or not self._listeners:
            return False
        for tell in self._listeners:
            tell(call_id)
        return True

    async def listen(self, on_hang_up: Callable[[str], None]) -> None:
        self._listeners.append(on_hang_up)
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(on_hang_up)

    async def close(self) -> None:
        self._calls.clear()

    def _live(self) -> dict[str, tuple[int, float]]:
        """What has not expired. What has is forgotten only when it leaves: it may yet renew."""
        now = self._monotonic()
        return {call: entry for call, entry in self._calls.items() if entry[1] > now}


class RedisDirectory:
    """The directory of many processes, in one Redis (not a cluster: a script has two keys)."""

    def __init__(
        self, url: str, *, entry_seconds: float = ENTRY_SECONDS, prefix: str = "voice-server"
    ) -> None:
        self._client = redis.asyncio.from_url(
            url,
            decode_responses=True,
            socket_timeout=REDIS_SECONDS_MAX,
            socket_connect_timeout=REDIS_SECONDS_MAX,
            health_check_interval=HEALTH_CHECK_SECONDS,
            # Connections kept from before a restart of Redis are found out on their first use.
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 1),
        )
        self._enter = self._client.register_script(ENTER)
        self._hang_up = self._client.register_script(HANG_UP)
        self._entry_ms = int(entry_seconds * 1_000)
        self._prefix, self._channel = prefix, f"{prefix}:hang-up"
        # What this process holds: the truth when Redis is away, or has forgotten.
        self._mine: dict[str, int] = {}
        self.listening = asyncio.Event()

    async def enter(self, call_id: str, user_id: int, limit: int) -> bool:
        try:
            entered = bool(await self._put(call_id, user_id, limit))
        except (RedisError, OSError) as error:
            here = sum(user == user_id for call, user in self._mine.items() if call != call_id)
            entered = here < limit
            logger.warning("call %s is counted here only: %s", call_id, error)
        if entered:
            self._mine[call_id] = user_id
        return entered

    async def leave(self, call_id: str, user_id: int) -> None:
        self._mine.pop(call_id, None)
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.zrem(self._user_key(user_id), call_id)
                pipe.delete(self._call_key(call_id))
                await pipe.execute()
        except (RedisError, OSError) as error:
            logger.warning("call %s stays listed until it expires: %s", call_id, error)

    async def renew(self, call_ids: Iterable[str]) -> None:
        try:
            for call_id in call_ids:
                user_id = self._mine.get(call_id)  # It may leave while others are renewed.
                if user_id is not None:
                    await self._put(call_id, user_id, -1)
        except (RedisError, OSError) as error:
            logger.warning("live calls are not renewed: %s", error)

    async def hang_up(self, call_id: str) -> bool:
        try:
            told = await self._hang_up([self._call_key(call_id)], [call_id, self._channel])
        except (RedisError, OSError) as error:
            raise DirectoryAway("the directory of calls cannot be reached") from error
        return bool(told)

    async def listen(self, on_hang_up: Callable[[str], None]) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                await self._listen(on_hang_up)
            except (RedisError, OSError) as error:
                _let_cancellation_through()
                if self.listening.is_set():
                    pause = RETRY_SECONDS_MIN
                self.listening.clear()
                logger.warning("hang-ups of other servers are not heard: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    async def close(self) -> None:
        await self._client.aclose()

    async def _listen(self, on_hang_up: Callable[[str], None]) -> None:
        async with self._client.pubsub() as channel:
            await channel.subscribe(self._channel)
            while True:
                message = await channel.get_message(timeout=LISTEN_SECONDS)
                _let_cancellation_through()
                match message:
                    case {"type": "subscribe"}:
                        self.listening.set()
                    case {"type": "message", "data": str(call_id)}:
                        on_hang_up(call_id)

    async def _put(self, call_id: str, user_id: int, limit: int) -> object:
        keys = [self._user_key(user_id), self._call_key(call_id)]
        return await self._enter(keys, [call_id, user_id, self._entry_ms, limit])

    def _user_key(self, user_id: int) -> str:
        return f"{self._prefix}:user:{user_id}:calls"

    def _call_key(self, call_id: str) -> str:
        return f"{self._prefix}:call:{call_id}"


def _let_cancellation_through() -> None:
    """The client may lose a cancellation that comes while it reconnects (`asyncio.wait_for`
    before Python 3.12, or an error raised while closing), and would then listen for ever."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
