"""Client secrets, asked for and used as the published SDK does it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, RateLimitError
from openai.types.realtime import ClientSecretCreateResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.calls.exchange import eventually, nothing_left
from tests.calls.test_webrtc import Client
from tests.human_speech import HumanSpeech
from voice_server.web import client_secrets
from voice_server.web.vault import MemoryVault

from .served import Served, scripted, served
from .test_realtime import SDP, Event, id_of, refused, told_of, writes_down

KEY = "sk-of-this-test"
PATH = "/v1/realtime/client_secrets"
TOOL = {
    "type": "function", "name": "look_up", "description": "Look a word up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}  # fmt: skip
KINDLY: Any = {
    "type": "realtime", "model": "gpt-realtime", "instructions": "Be kind.", "tools": [TOOL],
    "output_modalities": ["text"],
    "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}},
}  # fmt: skip
NO_SESSION: Any = {"type": "none"}
WRITES_DOWN: Any = {
    "type": "transcription",
    "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}},
}


def keyed(server: Served, key: str = KEY) -> AsyncOpenAI:
    url = f"http://127.0.0.1:{server.port}/v1"
    return AsyncOpenAI(api_key=key, base_url=url, max_retries=0)


@contextlib.asynccontextmanager
async def serving(folder: Path, **options: object) -> AsyncIterator[Served]:
    async with served(scripted(folder, **{"api_key": KEY, **options})) as server:
        yield server


async def secret_of(server: Served, **session: object) -> str:
    made = await server.client.post(
        PATH, json={"session": session}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert made.status_code == 200, made.text
    return str(made.json()["value"])


def with_secret(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


async def test_the_sdk_makes_a_secret_and_calls_with_it(tmp_path: Path) -> None:
    async with nothing_left(), serving(tmp_path) as server:
        async with keyed(server) as owner:
            made = await owner.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 90}, session=KINDLY
            )
        session: Any = made.to_dict()["session"]
        told = ClientSecretCreateResponse.model_validate(made.to_dict())
        assert made.value.startswith("ek_") and told.session.type == "realtime"
        assert told.session.instructions == "Be kind."
        assert told.session.audio is not None and told.session.audio.output is not None

        async with keyed(server, made.value) as visitor:
            for _ in range(2):  # As often as it likes.
                async with visitor.realtime.connect(model="gpt-realtime-mini") as line:
                    created: Event = (await line.recv()).to_dict()
                    assert created["type"] == "session.created"
                    named = {"id": created["session"]["id"]}
                    assert created["session"] == {**session, **named}
                    assert created["session"]["id"] != told.session.id
                    await line.response.create()
                    while (event := await line.recv()).type != "response.done":
                        assert event.type != "response.output_audio.delta", "only text was wanted"


async def test_a_secret_without_wishes_lives_ten_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, api_key="") as server:
        assert isinstance(server.house.vault, MemoryVault)
        monkeypatch.setattr(server.house.vault, "_now_s", lambda: 1_800_000_000.5)
        for body in (b"", b"{}", b'{"session":null,"expires_after":null}'):
            made = (await server.client.post(PATH, content=body)).json()
            assert made["expires_at"] == 1_800_000_600
            assert made["session"]["type"] == "realtime"
            assert made["session"]["model"] == "voice-server"


async def test_a_transcription_secret_opens_a_call_that_answers_nothing(
    tmp_path: Path, speech: HumanSpeech
) -> None:
    async with nothing_left(), serving(tmp_path) as server:
        async with keyed(server) as owner:
            made = await owner.realtime.client_secrets.create(session=WRITES_DOWN)
        assert made.session.type == "transcription"
        assert made.session.object == "realtime.transcription_session"
        async with connect(
            server.websocket_url, additional_headers=with_secret(made.value)
        ) as line:
            await writes_down(line, speech)


async def test_a_browser_shows_its_secret_as_a_subprotocol(tmp_path: Path) -> None:
    async with nothing_left(), serving(tmp_path) as server:
        value = await secret_of(server, **KINDLY)
        offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{value}")]
        async with connect(
            server.websocket_url, subprotocols=offered, origin=Origin("https://page.example")
        ) as line:
            assert line.subprotocol == "realtime"
            assert (await told_of(line, "session.created"))["session"]["model"] == "gpt-realtime"


async def test_a_secret_places_a_webrtc_call_and_ends_it(tmp_path: Path) -> None:
    async with nothing_left(), serving(tmp_path) as server:
        value, other = await secret_of(server, **KINDLY), await secret_of(server)
        client = Client()
        # What the caller adds counts, where the owner has not said it by then.
        session = json.dumps({"instructions": "Be brief."})
        response = await server.client.post(
            "/v1/realtime/calls?model=another", headers=with_secret(value),
            files={"sdp": (None, await client.offer()), "session": (None, session)},
        )  # fmt: skip
        assert response.status_code == 201, response.text
        await client.accept(response.text)
        await client.connected()
        created = (await client.told_of("session.created"))["session"]
        assert (created["model"], created["instructions"]) == ("gpt-realtime", "Be brief.")
        assert created["output_modalities"] == ["text"]

        hang_up = f"/v1/realtime/calls/{id_of(response.headers['location'])}/hangup"
        assert (await server.client.post(hang_up, headers=with_secret(other))).status_code == 404
        assert server.house.switchboard.calls, "another's secret ended it"
        assert (await server.client.post(hang_up, headers=with_secret(value))).status_code == 200
        await eventually(lambda: not server.house.switchboard.calls)
        await client.connection.close()


DOORS = [
    ("POST", PATH), ("GET", "/v1/wallet"), ("GET", "/v1/ice"), ("GET", "/v1/models"),
    ("POST", "/v1/audio/speech"), ("POST", "/v1/audio/transcriptions"),
]  # fmt: skip


@pytest.mark.parametrize("key", [KEY, ""], ids=["keyed", "local"])
async def test_a_secret_opens_no_other_door(tmp_path: Path, key: str) -> None:
    async with nothing_left(), serving(tmp_path, api_key=key) as server:
        headers = with_secret(await secret_of(server))
        async with connect(server.websocket_url, additional_headers=headers) as line:
            assert line.response is not None
            await told_of(line, "session.created")
            shown = f"/v1/calls/{id_of(line.response.headers['location'])}"
            for method, path in [*DOORS, ("GET", shown)]:
                answer = await server.client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key"), path
        # Nor does it end what was called without it.
        async with connect(server.websocket_url, additional_headers=with_secret(KEY)) as line:
            assert line.response is not None
            hang_up = f"{line.response.headers['location']}/hangup"
            assert (await server.client.post(hang_up, headers=headers)).status_code == 404


@pytest.mark.parametrize("key", [KEY, ""], ids=["keyed", "local"])
async def test_a_wrong_or_expired_secret_is_401_before_the_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    async with nothing_left(), serving(tmp_path, api_key=key) as server:
        value = await secret_of(server)
        async with connect(server.websocket_url, additional_headers=with_secret(value)) as line:
            await told_of(line, "session.created")
            vault = server.house.vault
            assert isinstance(vault, MemoryVault)
            now_s = vault._now_s()
            monkeypatch.setattr(vault, "_now_s", lambda: now_s + 601)
            for shown in (value, "ek_" + "0" * 64):
                status, body, headers = await refused(server, additional_headers=with_secret(shown))
                assert (status, body["error"]["code"]) == (401, "invalid_client_secret")
                assert headers["www-authenticate"] == "Bearer"
                answer = await server.client.post(
                    "/v1/realtime/calls", content="v=0", headers=SDP | with_secret(shown)
                )
                assert (answer.status_code, answer.json()["code"]) == (401, "invalid_client_secret")
            assert len(server.house.switchboard.calls) == 1, "what has begun goes on"
        async with keyed(server, value) as visitor:
            with pytest.raises(AuthenticationError):
                await visitor.realtime.client_secrets.create()
            with pytest.raises(InvalidStatus):
                async with visitor.realtime.connect(model="gpt-realtime"):
                    pass


NESTED = json.loads('{"a":' * 40 + "1" + "}" * 40)
BAD: dict[str, tuple[Any, str, str | None]] = {
    "no JSON": (b"{", "invalid_json", None),
    "NaN": (b'{"expires_after":{"seconds":NaN}}', "invalid_json", None),
    "a list": (b"[]", "invalid_type", "event"),
    "a text": (b'"session"', "invalid_type", "event"),
    "no object": ({"session": "realtime"}, "invalid_type", "session"),
    "too deep": ({"session": NESTED}, "event_too_deep", None),
    "far too deep": (b'{"session":' + b"[" * 100_000, "invalid_json", None),
    "an anchor": (
        {"expires_after": {"anchor": "now", "seconds": 60}}, "invalid_value",
        "expires_after.anchor",
    ),
    "no life": ({"expires_after": 600}, "invalid_type", "expires_after"),
    "a kind": ({"session": {"type": "beta"}}, "invalid_value", "session.type"),
    "a model": ({"session": {"model": "m" * 200}}, "bad_model", "model"),
    "no model": ({"session": {"model": 5}}, "invalid_type", "session.model"),
    "a voice": (
        {"session": {"audio": {"output": {"voice": 7}}}}, "invalid_type",
        "session.audio.output.voice",
    ),
    "a format": (
        {"session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}}}, "invalid_value",
        "session.audio.input.format.type",
    ),
    "long instructions": (
        {"session": {"instructions": "x" * 70_000}}, "string_above_max_length",
        "session.instructions",
    ),
}  # fmt: skip
LIVES: list[tuple[Any, str]] = [
    (9, "invalid_value"), (7_201, "invalid_value"), (-600, "invalid_value"), (0, "invalid_value"),
    (2**63, "invalid_value"), (10**30, "invalid_value"), (60.5, "invalid_type"),
    (True, "invalid_type"), ("600", "invalid_type"), ([600], "invalid_type"),
]  # fmt: skip


async def test_what_no_call_could_begin_with_is_400_in_the_sdks_words(tmp_path: Path) -> None:
    async with nothing_left(), serving(tmp_path, api_key="") as server:
        for name, (body, code, param) in BAD.items():
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = await server.client.post(PATH, content=content)
            assert answer.status_code == 400, f"{name}: {answer.text}"
            error = answer.json()["error"]
            assert (error["code"], error["param"]) == (code, param), name
            assert error["type"] == "invalid_request_error" and error["message"], name
        for seconds, code in LIVES:
            answer = await server.client.post(PATH, json={"expires_after": {"seconds": seconds}})
            assert answer.json()["error"]["code"] == code, seconds
            assert answer.json()["error"]["param"] == "expires_after.seconds"
        for seconds in (10, 7_200, 60.0):
            answer = await server.client.post(PATH, json={"expires_after": {"seconds": seconds}})
            assert answer.status_code == 200, seconds
        large = b'{"session":{"x":"' + b"x" * client_secrets.BODY_BYTES_MAX + b'"}}'
        assert (await server.client.post(PATH, content=large)).status_code == 413
        async with keyed(server, "anything") as owner:
            with pytest.raises(BadRequestError) as refusal:
                await owner.realtime.client_secrets.create(session=NO_SESSION)
            assert refusal.value.code == "invalid_value"
            assert refusal.value.param == "session.type"


async def test_who_asks_for_too_many_is_told_when_to_come_again(tmp_path: Path) -> None:
    options = {"client_secrets_per_user_max": 3}
    async with nothing_left(), serving(tmp_path, **options) as server, keyed(server) as owner:
        made = [await owner.realtime.client_secrets.create() for _ in range(3)]
        assert len({each.value for each in made}) == 3
        with pytest.raises(RateLimitError) as refusal:
            await owner.realtime.client_secrets.create()
        assert 1 <= int(refusal.value.response.headers["retry-after"]) <= 600
        assert refusal.value.type == "rate_limit_error"


async def test_a_flood_of_requests_keeps_no_more_than_are_allowed(tmp_path: Path) -> None:
    async with nothing_left(), serving(tmp_path, client_secrets_per_user_max=100) as server:
        vault, headers = server.house.vault, with_secret(KEY)
        assert isinstance(vault, MemoryVault)
        statuses: Counter[int] = Counter()

        async def ask() -> None:
            for _ in range(100):
                answer = await server.client.post(PATH, json={"session": KINDLY}, headers=headers)
                statuses[answer.status_code] += 1

        await asyncio.gather(*(ask() for _ in range(10)))
        assert statuses == {200: 100, 429: 900}
        assert len(vault._secrets) == 100


async def test_a_secret_made_by_one_process_opens_another(tmp_path: Path, redis_url: str) -> None:
    async with (
        nothing_left(),
        serving(tmp_path / "a", redis_url=redis_url) as one,
        serving(tmp_path / "b", redis_url=redis_url) as other,
    ):
        value = await secret_of(one, **KINDLY)
        headers = with_secret(value)
        async with connect(other.websocket_url, additional_headers=headers) as line:
            created = await told_of(line, "session.created")
            assert created["session"]["instructions"] == "Be kind."
            assert line.response is not None
            hang_up = f"{line.response.headers['location']}/hangup"
            assert (await other.client.post(hang_up, headers=headers)).status_code == 200
            await eventually(lambda: not other.house.switchboard.calls)
