"""The whole server, in this process and on a real socket, with scripted engines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.calls.exchange import PATIENCE_S, eventually, serving
from voice_server.config import Config
from voice_server.web.app import build, house_of
from voice_server.web.house import House
from voice_server.web.server import uvicorn_config


def scripted(folder: Path, **options: object) -> Config:
    """A configuration that touches nothing outside `folder`. On a busy machine a filler may be
    said before what a test waits for, so there are none unless it asks for them."""
    engines = dict.fromkeys(("speech_to_text", "dialogue", "text_to_speech"), "scripted")
    usual = {"data_dir": folder, "lease_seconds": 30.0, "drain_seconds": 0.2, "filler_ms": 0}
    return Config.model_validate({**usual, **engines, **options})


@dataclass(frozen=True, slots=True)
class Served:
    house: House
    client: httpx2.AsyncClient
    port: int

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    async def closed(self, call_id: str) -> dict[str, object]:
        """The call as its owner sees it, once it is closed."""

        async def is_closed() -> bool:
            found = await self.client.get(f"/v1/calls/{call_id}")
            return bool(found.json().get("state") == "closed")

        await eventually(is_closed)
        found: dict[str, object] = (await self.client.get(f"/v1/calls/{call_id}")).json()
        return found


@contextlib.asynccontextmanager
async def served(config: Config) -> AsyncIterator[Served]:
    app = build(config)
    async with serving(app, lambda app: uvicorn_config(app, loop="asyncio")) as port:
        house = house_of(app)
        await eventually(house.engines_warm.is_set)
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
            yield Served(house, client, port)
