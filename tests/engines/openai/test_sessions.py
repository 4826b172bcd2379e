"""Sessions that wait for somebody to speak."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from engines.openai import sessions as openai_sessions
from engines.openai.client import client_of
from engines.openai.hearing import session_of
from engines.openai.sessions import (
    AGE_S_MAX,
    WARM_MAX,
    NoSession,
    Session,
    WarmSessions,
    open_session,
)
from engines.speech import EngineError
from engines.vendors import OpenAIOptions
from tests.vendors.openai_http import OpenAIServer

SESSION = session_of("gpt-transcribe", "en", ())
PATIENCE_S = 60.0


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@contextlib.asynccontextmanager
async def opening(server: OpenAIServer) -> AsyncIterator[Callable[[], Any]]:
    options = OpenAIOptions(server.key, server.base_url, connect_s=PATIENCE_S)
    async with client_of(options) as client:
        yield lambda: open_session(client, options, SESSION)


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not met():
            await asyncio.sleep(0.005)


async def test_none_is_opened_unasked_and_then_one_is_kept(server: OpenAIServer) -> None:
    async with opening(server) as connect:
        sessions = WarmSessions(connect)
        assert server.opened == 0
        assert sessions.take() is None
        await until(lambda: sessions.warm == 1)
        taken = sessions.take()
        assert taken is not None
        await until(lambda: sessions.warm == 1)
        await taken.close()
        await sessions.close()
    await server.until(lambda: server.open == 0)
    assert server.opened == 2


async def test_an_old_session_is_closed_and_renewed(server: OpenAIServer) -> None:
    async with opening(server) as connect:
        sessions = WarmSessions(connect)
        sessions.keep()
        await until(lambda: sessions.warm == 1)
        old = sessions.take()
        assert old is not None
        assert sessions.give(old)
        old.opened_s -= AGE_S_MAX + 1
        young = sessions.take()
        assert young is not old
        await server.until(lambda: server.requests[0].over.is_set())
        await until(lambda: sessions.warm >= 1)
        assert not sessions.give(old)
        if young is not None:
            await young.close()
        await sessions.close()
    await server.until(lambda: server.open == 0)


async def test_no_more_are_kept_than_are_of_use(server: OpenAIServer) -> None:
    async with opening(server) as connect:
        sessions = WarmSessions(connect)
        opened: list[Session] = [await connect() for _ in range(WARM_MAX + 2)]
        kept = [sessions.give(session) for session in opened]
        assert kept == [True] * WARM_MAX + [False] * 2
        for session in opened[WARM_MAX:]:
            await session.close()
        await sessions.close()
    await server.until(lambda: server.open == 0)


async def test_a_session_that_was_cut_is_not_given_out(server: OpenAIServer) -> None:
    async with opening(server) as connect:
        sessions = WarmSessions(connect)
        session = await connect()
        server.cut_all()
        await until(lambda: not session.is_open)
        assert not sessions.give(session)
        await session.close()
        await sessions.close()


async def test_a_vendor_that_is_down_is_asked_again_and_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    done = asyncio.Event()

    async def sleeps(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            done.set()
            await asyncio.Event().wait()

    async def refused() -> Session:
        raise EngineError("down")

    monkeypatch.setattr(openai_sessions, "_sleep", sleeps)
    sessions = WarmSessions(refused)
    sessions.keep()
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    await sessions.close()
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


async def test_a_door_that_is_not_there_is_no_session(server: OpenAIServer) -> None:
    server.realtime = False
    async with opening(server) as connect:
        with pytest.raises(NoSession) as failed:
            await connect()
    assert failed.value.lasting


async def test_a_server_that_does_not_answer_is_left(
    free_port: int,
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    left = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", free_port):
        options = OpenAIOptions("sk-none", f"http://127.0.0.1:{free_port}/v1", connect_s=0.2)
        async with client_of(options) as client:
            with pytest.raises(EngineError, match="too long"):
                await open_session(client, options, SESSION)
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()
