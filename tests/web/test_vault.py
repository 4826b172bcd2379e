"""Both vaults keep the same promises, the one of many processes on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import redis.asyncio

from tests.services import RedisServer
from voice_server.calls.switchboard import Caller
from voice_server.web.errors import Refusal
from voice_server.web.vault import (
    CALLS_NOTED_MAX,
    ClientSecret,
    MemoryVault,
    RedisVault,
    Vault,
    digest_of,
)

ANNA, BORIS = Caller(1, "Anna"), Caller(2, "Борис")
SESSION = '{"type":"realtime","instructions":"Say \\"да\\"."}'.encode()
PER_USER_MAX = 5


@dataclass
class Bank:
    """A vault as one or more processes see it, and the time they agree on."""

    kind: str
    url: str = ""
    now: float = 1_800_000_000.0
    _opened: list[Vault] = field(default_factory=list)

    def process(self) -> Vault:
        """What the next process uses. In memory there is only one."""
        if self.kind == "redis":
            made = RedisVault(self.url, per_user_max=PER_USER_MAX, now_s=lambda: self.now)
            self._opened.append(made)
        elif not self._opened:
            self._opened.append(MemoryVault(per_user_max=PER_USER_MAX, now_s=lambda: self.now))
        return self._opened[-1]

    async def close(self) -> None:
        for vault in self._opened:
            await vault.close()


@pytest.fixture(params=["memory", "redis"])
async def bank(request: pytest.FixtureRequest) -> AsyncIterator[Bank]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    bank = Bank(request.param, url)
    yield bank
    await bank.close()


async def found(vault: Vault, value: str) -> ClientSecret:
    secret = await vault.find(value)
    assert secret is not None
    return secret


async def too_many(vault: Vault, owner: Caller) -> int:
    """Seconds to wait until there is room for another."""
    with pytest.raises(Refusal) as refused:
        await vault.keep(owner, SESSION, 600)
    assert (refused.value.status, refused.value.code) == (429, "too_many_client_secrets")
    assert refused.value.retry_after_s is not None
    return refused.value.retry_after_s


async def test_a_secret_is_found_as_often_as_it_is_shown(bank: Bank) -> None:
    here, there = bank.process(), bank.process()
    value, expires_s = await here.keep(BORIS, SESSION, 600)
    assert expires_s == 1_800_000_600
    for vault in (here, there, there):
        secret = await found(vault, value)
        assert secret == ClientSecret(digest_of(value), BORIS, SESSION, expires_s)


async def test_no_two_secrets_are_alike_and_none_can_be_guessed(bank: Bank) -> None:
    vault = bank.process()
    (one, _), (other, _) = await vault.keep(ANNA, b"{}", 600), await vault.keep(ANNA, b"{}", 600)
    assert one != other and len(one) == len(other) == len("ek_") + 64
    flipped = one[:-1] + ("0" if one[-1] != "0" else "1")
    for guess in (flipped, one[:-1], one + "0", one.upper(), "ek_", "", digest_of(one), one + "\n"):
        assert await vault.find(guess) is None


async def test_it_expires_to_the_second_and_does_not_come_back(bank: Bank) -> None:
    here, there = bank.process(), bank.process()
    value, _ = await here.keep(ANNA, SESSION, 10)
    bank.now += 9.9
    await found(there, value)
    bank.now += 0.1
    assert await here.find(value) is None and await there.find(value) is None
    await here.keep(ANNA, SESSION, 600)  # Sweeps.
    assert await here.find(value) is None


async def test_one_owner_has_so_many_and_gets_room_when_the_first_expires(bank: Bank) -> None:
    here, there = bank.process(), bank.process()
    lives = [600, 60, 300, 7_200, 90]
    values = [(await here.keep(ANNA, SESSION, life))[0] for life in lives]
    assert await too_many(there, ANNA) == 60
    await there.keep(BORIS, SESSION, 600)
    bank.now += 59
    assert await too_many(here, ANNA) == 1
    bank.now += 1
    values.append((await here.keep(ANNA, SESSION, 600))[0])
    assert [await there.find(value) is not None for value in values] == [
        True, False, True, True, True, True,
    ]  # fmt: skip
    assert await too_many(there, ANNA) == 30


async def test_the_last_place_is_taken_once_however_many_try(bank: Bank) -> None:
    vaults = [bank.process() for _ in range(4)]
    tries = [vaults[n % 4].keep(ANNA, SESSION, 600) for n in range(40)]
    kept = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in kept) == PER_USER_MAX


async def test_ten_thousand_secrets_leave_no_more_than_the_last_few(bank: Bank) -> None:
    vault = bank.process()
    first, _ = await vault.keep(ANNA, SESSION, 10)
    for _ in range(10_000 // PER_USER_MAX):
        bank.now += 10
        await asyncio.gather(*(vault.keep(ANNA, SESSION, 10) for _ in range(PER_USER_MAX)))
    assert await too_many(vault, ANNA) == 10
    assert await vault.find(first) is None
    if isinstance(vault, MemoryVault):
        assert len(vault._secrets) == len(vault._expiring) == PER_USER_MAX


async def test_it_knows_the_calls_that_it_placed(bank: Bank) -> None:
    here, there = bank.process(), bank.process()
    mine = await found(here, (await here.keep(ANNA, SESSION, 600))[0])
    other = await found(here, (await here.keep(ANNA, SESSION, 600))[0])
    await here.note_call(mine, "call_1")
    assert await there.placed(mine, "call_1")
    assert not await there.placed(mine, "call_2")
    assert not await there.placed(other, "call_1")
    for n in range(2, 2 + CALLS_NOTED_MAX):
        await here.note_call(mine, f"call_{n}")
    assert await there.placed(mine, f"call_{1 + CALLS_NOTED_MAX}")
    assert not await there.placed(mine, "call_1"), "only the last so many are kept"


async def test_a_call_of_a_secret_that_is_gone_leaves_nothing(bank: Bank) -> None:
    vault = bank.process()
    secret = await found(vault, (await vault.keep(ANNA, SESSION, 10))[0])
    bank.now += 3_600
    await vault.keep(ANNA, SESSION, 10)
    await vault.note_call(secret, "call_1")
    if isinstance(vault, MemoryVault):
        assert not vault._calls


async def test_redis_knows_no_secret_and_forgets_what_has_expired(redis_url: str) -> None:
    vault = RedisVault(redis_url, per_user_max=PER_USER_MAX, now_s=lambda: 1_800_000_000)
    value, _ = await vault.keep(ANNA, SESSION, 600)
    await vault.note_call(await found(vault, value), "call_1")
    async with redis.asyncio.from_url(redis_url, decode_responses=True) as client:
        keys = [str(key) for key in await client.keys("*")]
        assert len(keys) == 3
        for key in keys:
            assert value not in key and value[3:] not in key
            longest = 7_200 if key.endswith(":secrets") else 600
            assert 0 < await client.ttl(key) <= longest
        assert value not in str(await client.get(f"voice-server:secret:{digest_of(value)}"))
    await vault.close()


async def test_without_redis_nobody_is_let_in_and_nobody_is_told_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = RedisServer()
    vault = RedisVault(server.url, per_user_max=PER_USER_MAX)
    try:
        value, _ = await vault.keep(ANNA, SESSION, 600)
        secret = await found(vault, value)
        server.stop(signal.SIGKILL)
        for ask in (
            lambda: vault.find(value),
            lambda: vault.keep(ANNA, SESSION, 600),
            lambda: vault.placed(secret, "call_1"),
        ):
            with pytest.raises(Refusal) as refused:
                await ask()
            assert (refused.value.status, refused.value.retry_after_s) == (503, 5)
        await vault.note_call(secret, "call_1")
        server.start()  # It comes back empty.
        assert await vault.find(value) is None
        await found(vault, (await vault.keep(ANNA, SESSION, 600))[0])
        assert value not in caplog.text and "ek_" not in caplog.text
    finally:
        await vault.close()
        server.remove()
