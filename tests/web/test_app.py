"""Pages, health, headers, lists and money: what is asked with plain HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from engines import roster
from engines.roster import Listing
from engines.speech import EngineError, SpeechOutput
from voice_server.config import IceServer
from voice_server.web import house

from .served import scripted, served

PAGE = "https://page.example"


async def test_pages_are_served_under_a_strict_policy(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        for path in ("/", "/call", "/pages/call.js", "/pages/style.css"):
            found = await server.client.get(path)
            assert found.status_code == 200, path
            policy = found.headers["content-security-policy"]
            for rule in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
                assert rule in policy
            assert "unsafe" not in policy
            assert found.headers["x-content-type-options"] == "nosniff"
            assert found.headers["cache-control"] == "no-cache"
            again = await server.client.get(path, headers={"If-None-Match": found.headers["etag"]})
            assert again.status_code == 304
        for path in ("/pages/../app.py", "/pages/%2e%2e/app.py", "/pages/", "/nothing"):
            assert (await server.client.get(path)).status_code == 404


async def test_health_tells_alive_from_ready(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        assert (await server.client.get("/health")).json() == {"status": "ok", "calls": 0}
        assert (await server.client.get("/health/ready")).status_code == 200
        server.house.engines_warm.clear()
        missing = await server.client.get("/health/ready")
        assert (missing.status_code, missing.json()["code"]) == (503, "not_ready")
        server.house.engines_warm.set()
        await server.house.database.close()
        (tmp_path / "voice.db").rename(tmp_path / "gone.db")
        (tmp_path / "voice.db").mkdir()
        assert "database" in (await server.client.get("/health/ready")).json()["error"]
        assert (await server.client.get("/health")).status_code == 200
        assert (await server.client.get("/v1/wallet")).status_code == 503
        (tmp_path / "voice.db").rmdir()
        (tmp_path / "gone.db").rename(tmp_path / "voice.db")


async def test_the_api_may_be_asked_by_other_sites_and_the_pages_may_not(tmp_path: Path) -> None:
    async with served(scripted(tmp_path, api_key="key")) as server:
        wish = {
            "Origin": PAGE, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }  # fmt: skip
        allowed = await server.client.options("/v1/realtime/calls", headers=wish)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in allowed.headers
        key = {"Authorization": "Bearer key", "Origin": PAGE}
        found = await server.client.get("/v1/wallet", headers=key)
        assert found.headers["access-control-allow-origin"] == "*"
        assert "Location" in found.headers["access-control-expose-headers"]
        refused = await server.client.get("/v1/wallet", headers={"Origin": PAGE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "*"  # Or nobody could read why.
        page = await server.client.get("/call", headers={"Origin": PAGE})
        assert "access-control-allow-origin" not in page.headers


async def test_answers_of_the_api_are_kept_in_no_cache(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        for path in ("/v1/wallet", "/v1/ice", "/v1/models", "/nothing"):
            found = await server.client.get(path)
            assert found.headers["cache-control"] == "no-store", path


async def test_errors_are_json_with_a_code(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        missing = await server.client.get("/v1/nothing")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        wrong = await server.client.post("/v1/wallet")
        assert wrong.status_code == 405
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_relays_are_told_with_a_credential(tmp_path: Path) -> None:
    servers = (IceServer(urls=("turn:relay.example",)), IceServer(urls=("stun:stun.example",)))
    config = scripted(tmp_path, ice_servers=servers, turn_secret="shared")
    async with served(config) as server:
        relay, stun = (await server.client.get("/v1/ice")).json()["ice_servers"]
        assert relay["username"].endswith(str(server.house.gate._local.user_id))
        assert relay["credential"]
        assert stun == {"urls": ["stun:stun.example"]}


async def test_the_catalogue_is_a_list_of_models_and_more(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server:
        found = (await server.client.get("/v1/models")).json()
        assert found["object"] == "list"
        assert {"id", "object", "created", "owned_by", "kind"} <= set(found["data"][0])
        assert {language["id"] for language in found["languages"]} >= {"en", "ru"}
        assert found["defaults"]["text_to_speech"] == "scripted"
        one = found["data"][0]
        assert (await server.client.get(f"/v1/models/{one['id']}")).json()["id"] == one["id"]
        voices = (await server.client.get("/v1/models/scripted/voices")).json()
        assert {voice["language"] for voice in voices["data"]} == {"en", "ru"}
        for path in ("/v1/models/nope", "/v1/models/nope/voices", "/v1/models/tutor/voices"):
            assert (await server.client.get(path)).status_code == 404


async def test_an_engine_that_does_not_start_is_said(tmp_path: Path) -> None:
    config = scripted(tmp_path)
    async with served(config) as server:
        server.house.engines_warm.clear()
        server.house.engines_trouble = "an engine did not start: no voice"
        missing = await server.client.get("/health/ready")
        assert "no voice" in missing.json()["error"]


class Late:
    """A voice that cannot be started at first."""

    starts = 0

    async def start(self) -> None:
        Late.starts += 1
        if Late.starts < 3:
            raise EngineError("no sound card yet")

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        raise EngineError("never asked here")
        yield


async def test_engines_that_come_late_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "WARM_UP_AGAIN_S", 0.01)
    monkeypatch.setitem(roster.VOICES, "scripted", Listing(f"{__name__}:Late"))
    async with served(scripted(tmp_path)) as server:
        async with asyncio.timeout(60):
            await server.house.engines_warm.wait()
        assert Late.starts == 3
        assert (await server.client.get("/health/ready")).status_code == 200


async def test_the_wallet_shows_what_can_be_spent(tmp_path: Path) -> None:
    async with served(scripted(tmp_path, local_credit=700)) as server:
        assert (await server.client.get("/v1/wallet")).json() == {
            "minutes": 10, "amount": 700, "currency": "RUB", "held_minutes": 0,
            "held_amount": 0, "price_per_minute": 500,
        }  # fmt: skip


@pytest.mark.parametrize("heavy", ["aiortc", "torch", "onnxruntime"])
def test_building_the_application_imports_nothing_heavy(heavy: str) -> None:
    code = (
        "import sys, json; from voice_server.web.app import build; "
        "from voice_server.config import Config; build(Config(_env_file=None)); "
        f"print(json.dumps({heavy!r} in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) is False
