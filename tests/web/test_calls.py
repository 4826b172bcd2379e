"""What a caller can ask of calls that were made: which there were, and how each turn went."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from engines.speech import EngineError, OpusFrame, WordTime
from tests.billing.test_turn_facts import turn as some_turn
from tests.calls.exchange import connect, eventually
from voice_server.calls.phases import Phase
from voice_server.calls.switchboard import Caller

from .served import Served, scripted, served
from .test_realtime import id_of, told_of

BROKEN = f"{__name__}:BrokenVoice"


class BrokenVoice:
    """A voice that is there, and cannot speak."""

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        raise EngineError("the voice has a cold; ask again tomorrow")
        yield OpusFrame(b"")


async def call(server: Served, heard: int = 0) -> str:
    """A call in which so many replies are heard; gives its id once it is closed. Without any it
    is hung up as soon as the first was made."""
    async with connect(server.websocket_url) as socket:
        assert socket.response is not None
        call_id = id_of(socket.response.headers["location"])
        for number in range(max(heard, 1)):
            await socket.send(json.dumps({"type": "response.create"}))
            await told_of(socket, "response.done")
            if number < heard:
                await eventually(lambda: listens(server, call_id))
    await server.closed(call_id)
    return call_id


def listens(server: Served, call_id: str) -> bool:
    """Whether the reply was heard to its end."""
    session = server.house.switchboard.calls[call_id].session
    return session is not None and session._conversation.phase is Phase.LISTENING


async def asked(server: Served, path: str, **params: object) -> dict[str, Any]:
    found = await server.client.get(path, params={n: str(v) for n, v in params.items()})
    assert found.status_code == 200, found.text
    body = found.json()
    assert isinstance(body, dict) and body["object"] == "list"
    return body


async def test_turns_are_shown_with_their_latency_and_who_answered(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        call_id = await call(server, heard=2)
        body = await asked(server, f"/v1/calls/{call_id}/turns")
        assert body["next_cursor"] is None
        turns = body["data"]
        assert [turn["turn"] for turn in turns] == sorted(turn["turn"] for turn in turns)
        replied = [turn for turn in turns if turn["outcome"] == "completed"]
        assert len(replied) >= 2
        for turn in replied:
            assert turn["engines"].items() >= {"dialogue": "scripted"}.items()
            assert turn["failovers"] == 0
            assert {use["outcome"] for use in turn["uses"]} <= {"done", "left"}
        latency = next(turn["latency"] for turn in replied if turn["latency"])
        parts = sum(ms for name, ms in latency.items() if name not in ("gap_ms", "answer_ms"))
        assert len(latency) == 8 and parts == latency["gap_ms"] == latency["answer_ms"]


async def test_who_failed_and_who_stood_in_is_shown(tmp_path: Path) -> None:
    config = scripted(tmp_path, text_to_speech=BROKEN)
    async with served(config) as server:
        call_id = await call(server, heard=1)
        turns = (await asked(server, f"/v1/calls/{call_id}/turns"))["data"]
    failed_over = [turn for turn in turns if turn["failovers"]]
    assert failed_over, json.dumps(turns)
    turn = failed_over[0]
    assert turn["engines"]["text_to_speech"] == "espeak" and turn["outcome"] == "completed"
    errors = {use["error"] for use in turn["uses"] if use["outcome"] == "failed"}
    assert errors == {"the voice has a cold; ask again tomorrow"}


async def test_turns_come_in_pages(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        call_id = await call(server)
        path = f"/v1/calls/{call_id}/turns"
        server.house.turns.keep(
            some_turn(usage_id=call_id, turn=number) for number in range(1_000, 1_005)
        )
        first = await asked(server, path, cursor=999, limit=3)
        assert [turn["turn"] for turn in first["data"]] == [1_000, 1_001, 1_002]
        await server.house.turns.write()
        rest = await asked(server, path, cursor=first["next_cursor"], limit=3)
        assert [turn["turn"] for turn in rest["data"]] == [1_003, 1_004]
        assert rest["next_cursor"] is None


async def test_the_turns_of_a_call_that_goes_on(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server, connect(server.websocket_url) as socket:
        assert socket.response is not None
        call_id = id_of(socket.response.headers["location"])
        assert (await asked(server, f"/v1/calls/{call_id}/turns"))["data"] == []


async def test_only_who_runs_the_server_sees_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today that is everybody who is let in; with accounts it will not be."""
    async with served(scripted(tmp_path)) as server:
        call_id = await call(server)
        path = f"/v1/calls/{call_id}/turns"
        told = (await asked(server, path))["data"]
        assert all(turn["cost"] == {"micros": {}, "unknown": 0} for turn in told)
        assert all("cost" in use and "amounts" in use for turn in told for use in turn["uses"])
        gate = server.house.gate
        monkeypatch.setattr(gate, "_local", Caller(gate._local.user_id + 1, "somebody"))
        assert not gate.runs_the_server(Caller(gate._local.user_id - 1, "an ordinary user"))
        monkeypatch.undo()
        monkeypatch.setattr(gate, "runs_the_server", lambda _: False)
        hidden = (await asked(server, path))["data"]
        assert hidden and not any("cost" in turn for turn in hidden)
        assert not any(use.keys() & {"cost", "amounts"} for turn in hidden for use in turn["uses"])


async def test_calls_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        assert (await asked(server, "/v1/calls"))["data"] == []
        calls = [await call(server) for _ in range(3)]
        first = await asked(server, "/v1/calls", limit=2)
        assert [found["id"] for found in first["data"]] == calls[:0:-1]
        rest = await asked(server, "/v1/calls", limit=2, cursor=first["next_cursor"])
        assert [found["id"] for found in rest["data"]] == calls[:1]
        assert rest["next_cursor"] is None
        [oldest] = rest["data"]
        assert (oldest["state"], oldest["bill"]["billed_minutes"]) == ("closed", 1)
        assert oldest["began_at"] <= oldest["bill"]["created_at"]
        assert "cost" not in json.dumps(oldest)


async def test_nobody_sees_what_was_somebody_elses(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        call_id = await call(server)
        stranger = (await server.house.customers.anonymous_user("stranger")).user_id
        # Whoever asks is somebody else from now on.
        server.house.gate._local = Caller(stranger, "stranger")
        for path in (f"/v1/calls/{call_id}/turns", f"/v1/calls/{call_id}"):
            found = await server.client.get(path)
            assert (found.status_code, found.json()["code"]) == (404, "call_not_found")
        assert (await asked(server, "/v1/calls"))["data"] == []


@pytest.mark.parametrize(
    "path", ["call_" + "0" * 32, "call_1", "%2e%2e", "call_" + "0" * 31 + "g", "x" * 5_000]
)
async def test_a_call_that_never_was_is_not_found(tmp_path: Path, path: str) -> None:
    async with served(scripted(tmp_path)) as server:
        found = await server.client.get(f"/v1/calls/{path}/turns")
        assert found.status_code == 404


async def test_a_page_that_cannot_be_is_refused_with_a_word(tmp_path: Path) -> None:
    wrong = {
        "limit": ("0", "201", "-1", "", "ten", "1e2", "９", "9" * 5_000),
        "cursor": ("-1", "x", "9" * 19, " 1"),
    }
    async with served(scripted(tmp_path)) as server:
        for path in ("/v1/calls", f"/v1/calls/call_{'0' * 32}/turns"):
            for name, value in [(n, v) for n, values in wrong.items() for v in values]:
                found = await server.client.get(path, params={name: value})
                assert found.status_code == 400, (path, name, value)
                assert found.json()["code"] == "invalid_value"
                assert found.json()["error"].startswith(f"{name} is a whole number from ")


async def test_these_doors_need_the_key(tmp_path: Path) -> None:
    async with served(scripted(tmp_path, api_key="key")) as server:
        secret = await server.client.post(
            "/v1/realtime/client_secrets", headers={"Authorization": "Bearer key"}
        )
        for path in ("/v1/calls", f"/v1/calls/call_{'0' * 32}/turns"):
            assert (await server.client.get(path)).status_code == 401
            shown = {"Authorization": f"Bearer {secret.json()['value']}"}
            assert (await server.client.get(path, headers=shown)).status_code == 401
