"""Client secrets: what a caller may hand to a browser, good for calls and for nothing else.

    keep ─► ek_… and when it expires      once, for who asked
    find ─► the session it begins with    at each call, until it has expired

A secret is 32 random bytes, and only its SHA-256 is kept. It is looked up by that: how long a
look-up takes tells something of the hash of a guess, and a hash leads to no other guess.

A secret opens any number of calls, and may end the last few that it placed. `MemoryVault` is
enough for one process; in `RedisVault` a call may come to another process than the one that
gave the secret away. What has expired is swept whenever something is kept.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import math
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from voice_server.calls.switchboard import Caller

from .errors import Refusal

logger = logging.getLogger(__name__)

PREFIX = "ek_"
SECONDS_MIN, SECONDS_MAX = 10, 7_200
CALLS_NOTED_MAX = 64
REDIS_SECONDS_MAX = 1.0
_SECRET = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")

# The check and the entry are one script, so that two servers cannot both take the last place.
# It may be sent again after a connection broke: who is there already is not counted again.
# ARGV: digest, record, now s, expires s, limit, longest life s. Returns 0, or when the first of
# the others expires.
KEEP = """
local now, expires, limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= limit then
    local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    return tonumber(first[2])
end
redis.call('ZADD', KEYS[1], expires, ARGV[1])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[6]))
redis.call('SET', KEYS[2], ARGV[2], 'EX', expires - now)
return 0
"""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What is known of a secret. `session` is JSON, as whoever asked for the secret gave it."""

    digest: str
    owner: Caller
    session: bytes
    # Seconds since the epoch; from then on it opens nothing.
    expires_s: int


class Vault(Protocol):
    """`keep` and `find` raise `Refusal` (503) when the secrets are out of reach."""

    async def keep(self, owner: Caller, session: bytes, seconds: int) -> tuple[str, int]:
        """Make a secret: its value, which is told once, and when it expires. Raises `Refusal`
        (429) when this owner has too many."""
        ...

    async def find(self, value: str) -> ClientSecret | None:
        """What is behind a value; None when it was never given away, or has expired."""
        ...

    async def note_call(self, secret: ClientSecret, call_id: str) -> None:
        """This call was placed with the secret. Never fails: at worst it cannot end the call."""
        ...

    async def placed(self, secret: ClientSecret, call_id: str) -> bool:
        """Whether this call, one of the last so many, was placed with the secret."""
        ...

    async def close(self) -> None: ...


class MemoryVault:
    """The secrets of one process. `now_s` gives seconds since the epoch."""

    def __init__(self, *, per_user_max: int, now_s: Callable[[], float] = time.time) -> None:
        self._per_user_max, self._now_s = per_user_max, now_s
        self._secrets: dict[str, ClientSecret] = {}
        self._calls: dict[str, deque[str]] = {}
        self._expiring: list[tuple[int, str]] = []
        self._kept: Counter[int] = Counter()

    async def keep(self, owner: Caller, session: bytes, seconds: int) -> tuple[str, int]:
        now_s = int(self._now_s())
        self._sweep(now_s)
        if self._kept[owner.user_id] >= self._per_user_max:
            theirs = (s for s in self._secrets.values() if s.owner.user_id == owner.user_id)
            raise _too_many(min(secret.expires_s for secret in theirs) - now_s)
        value, expires_s = _new_value(), now_s + seconds
        digest = digest_of(value)
        self._secrets[digest] = ClientSecret(digest, owner, session, expires_s)
        self._kept[owner.user_id] += 1
        heapq.heappush(self._expiring, (expires_s, digest))
        return value, expires_s

    async def find(self, value: str) -> ClientSecret | None:
        if not _SECRET.fullmatch(value):
            return None
        secret = self._secrets.get(digest_of(value))
        return secret if secret and secret.expires_s > self._now_s() else None

    async def note_call(self, secret: ClientSecret, call_id: str) -> None:
        if secret.digest in self._secrets:
            calls = self._calls.setdefault(secret.digest, deque(maxlen=CALLS_NOTED_MAX))
            calls.append(call_id)

    async def placed(self, secret: ClientSecret, call_id: str) -> bool:
        return call_id in self._calls.get(secret.digest, ())

    async def close(self) -> None:
        self._secrets.clear()
        self._calls.clear()

    def _sweep(self, now_s: int) -> None:
        while self._expiring and self._expiring[0][0] <= now_s:
            _, digest = heapq.heappop(self._expiring)
            owner = self._secrets.pop(digest).owner
            self._calls.pop(digest, None)
            self._kept[owner.user_id] -= 1
            if not self._kept[owner.user_id]:
                del self._kept[owner.user_id]


class RedisVault:
    """The secrets of many processes, in one Redis (not a cluster: a script has two keys).

    `now_s` decides what has expired; Redis forgets it at about the same time.
    """

    def __init__(
        self, url: str, *, per_user_max: int, now_s: Callable[[], float] = time.time,
        prefix: str = "voice-server",
    ) -> None:  # fmt: skip
        self._client = redis.asyncio.from_url(
            url, socket_timeout=REDIS_SECONDS_MAX, socket_connect_timeout=REDIS_SECONDS_MAX,
            # Connections kept from before a restart of Redis are found out on their first use.
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 1),
        )  # fmt: skip
        self._keep = self._client.register_script(KEEP)
        self._per_user_max, self._now_s, self._prefix = per_user_max, now_s, prefix

    async def keep(self, owner: Caller, session: bytes, seconds: int) -> tuple[str, int]:
        now_s, value = int(self._now_s()), _new_value()
        digest, expires_s = digest_of(value), now_s + seconds
        # The session is text inside of the text, so that it comes back to the letter.
        record = orjson.dumps([owner.user_id, owner.name, expires_s, session.decode()])
        keys = [f"{self._prefix}:user:{owner.user_id}:secrets", self._key(digest)]
        given: list[str | bytes | int] = [
            digest, record, now_s, expires_s, self._per_user_max, SECONDS_MAX,
        ]  # fmt: skip
        try:
            first_s = int(await self._keep(keys, given))
        except (RedisError, OSError) as error:
            raise _away(error) from error
        if first_s:
            raise _too_many(first_s - now_s)
        return value, expires_s

    async def find(self, value: str) -> ClientSecret | None:
        if not _SECRET.fullmatch(value):
            return None
        digest = digest_of(value)
        try:
            record = await self._client.get(self._key(digest))
        except (RedisError, OSError) as error:
            raise _away(error) from error
        if record is None:
            return None
        user_id, name, expires_s, session = orjson.loads(record)
        found = ClientSecret(digest, Caller(user_id, name), session.encode(), expires_s)
        return found if expires_s > self._now_s() else None

    async def note_call(self, secret: ClientSecret, call_id: str) -> None:
        key = f"{self._key(secret.digest)}:calls"
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.lpush(key, call_id)
                pipe.ltrim(key, 0, CALLS_NOTED_MAX - 1)
                pipe.expire(key, max(1, secret.expires_s - int(self._now_s())))
                await pipe.execute()
        except (RedisError, OSError) as error:
            logger.warning("call %s cannot be ended by its client secret: %s", call_id, error)

    async def placed(self, secret: ClientSecret, call_id: str) -> bool:
        try:
            found = await self._client.lpos(f"{self._key(secret.digest)}:calls", call_id)
        except (RedisError, OSError) as error:
            raise _away(error) from error
        return found is not None

    async def close(self) -> None:
        await self._client.aclose()

    def _key(self, digest: str) -> str:
        return f"{self._prefix}:secret:{digest}"


def digest_of(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _new_value() -> str:
    return PREFIX + secrets.token_hex(32)


def _too_many(seconds: float) -> Refusal:
    return Refusal(
        429, "too_many_client_secrets", "There are too many client secrets; let some expire.",
        retry_after_s=max(1, math.ceil(seconds)),
    )  # fmt: skip


def _away(error: Exception) -> Refusal:
    logger.warning("client secrets cannot be reached: %s", error)
    return Refusal(503, "client_secrets_away", "Client secrets are out of reach.", retry_after_s=5)
