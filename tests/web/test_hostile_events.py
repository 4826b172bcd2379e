"""Ten thousand events that no sane client sends, over one connection to a real server: whatever
was wrong with them is said, the call goes on, and ends with a turn."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from tests.calls.exchange import PATIENCE_S, connect
from tests.calls.realtime.test_fuzz import EVENTS, fuzzed

from .outside import outside
from .test_realtime import id_of

Event = dict[str, Any]
# So many are sent before the client hears whether the server still follows.
AT_ONCE = 100
USUAL = {
    "type": "realtime", "model": "scripted", "output_modalities": ["audio"], "tools": [],
    "max_output_tokens": "inf", "voice_server": {"binary": False},
    "audio": {
        "input": {"turn_detection": {"type": "server_vad"}},
        "output": {"format": {"type": "audio/pcm"}, "voice": "default", "speed": 1},
    },
}  # fmt: skip


class Client:
    """Sends what it is told to, and keeps what matters of the answers."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.items: list[str] = []
        self.refused = 0

    async def send(self, event: object) -> None:
        """Text goes as text, however wrong; what is no text goes as bytes, and so as sound."""
        if isinstance(event, str):
            event = event.encode(errors="replace").decode()
        elif not isinstance(event, bytes):
            event = orjson.dumps(event).decode()
        await self._socket.send(event)

    async def until(self, kind: str, **fields: object) -> Event:
        """The next event of a kind with these fields; others are counted."""
        async with asyncio.timeout(2 * PATIENCE_S):
            while True:
                told = await self._socket.recv()
                if not isinstance(told, str):
                    continue
                event: Event = json.loads(told)
                self._take(event)
                inner = event.get("error") or event.get("response") or event
                if event["type"] == kind and fields.items() <= inner.items():
                    return event

    def _take(self, event: Event) -> None:
        if event["type"] == "conversation.item.added":
            self.items = [*self.items[-2:], event["item"]["id"]]
        elif event["type"] == "error":
            self.refused += 1
            assert event["error"]["message"]
            assert event["error"]["code"]


@pytest.mark.timeout(600)
async def test_ten_thousand_fuzzed_events_end_no_session(tmp_path: Path, free_port: int) -> None:
    rng = random.Random(3)
    async with (
        outside(tmp_path, free_port) as server,
        connect(server.websocket_url, compression=None, max_size=None) as socket,
    ):
        assert socket.response is not None
        server.answered.add(id_of(socket.response.headers["location"]))
        client = Client(socket)
        for batch in range(EVENTS // AT_ONCE):
            for _ in range(AT_ONCE):
                await client.send(fuzzed(rng, client.items))
            await client.send({"type": "nonsense", "event_id": f"batch_{batch}"})
            await client.until("error", event_id=f"batch_{batch}")
        assert EVENTS // 4 < client.refused < EVENTS
        await client.send({"type": "session.update", "session": USUAL})
        await client.until("session.updated")
        await client.send({"type": "response.cancel"})
        content = [{"type": "input_text", "text": "Are you there?"}]
        item = {"type": "message", "role": "user", "content": content}
        await client.send({"type": "conversation.item.create", "item": item})
        ask = {"conversation": "auto", "metadata": {"last": "yes"}}
        while True:  # What was asked for in the noise comes first.
            await client.send({"type": "response.create", "response": ask})
            done = (await client.until("response.done"))["response"]
            if done.get("metadata") == ask["metadata"]:
                break
        assert done["status"] == "completed"
        assert done["output"][0]["content"][0]["transcript"]
