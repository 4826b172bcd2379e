"""The `openai` package for Python, moved from outside: commands come in, events go out.

Each line of stdin is one command, each line of stdout one thing that happened; `name` says on
which connection. It decides nothing by itself, so that one script of a conversation, written
once, can be played by this client and by the one for Node.js.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from openai import APIStatusError, AsyncOpenAI, omit
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

Command = dict[str, Any]
LINE_BYTES_MAX = 2**24


def tell(name: str, **what: object) -> None:
    print(json.dumps({"name": name, **what}), flush=True)


class Player:
    """Plays commands on any number of connections."""

    def __init__(self) -> None:
        self._connections: dict[str, AsyncRealtimeConnection] = {}
        self._tasks = asyncio.TaskGroup()

    async def play(self, commands: asyncio.StreamReader) -> None:
        async with self._tasks as tasks:
            while line := await commands.readline():
                command = json.loads(line)
                play = getattr(self, f"_{command.pop('do')}")
                tasks.create_task(play(**command))

    async def _connect(
        self, name: str, url: str, key: str, model: str | None = None,
        query: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        client = AsyncOpenAI(api_key=key, base_url=url, max_retries=0)
        try:
            async with client.realtime.connect(
                model=model or omit, extra_query=dict(query or {})
            ) as connection:
                self._connections[name] = connection
                tell(name, connected=True)
                while True:
                    event = await connection.recv()
                    tell(name, event=event.to_dict())
        except InvalidStatus as refusal:
            tell(name, refused=refusal.response.status_code)
        except ConnectionClosed:
            tell(name, closed=True)

    async def _send(self, name: str, event: dict[str, Any]) -> None:
        await self._connections[name].send(event)  # type: ignore[arg-type]

    async def _speak(self, name: str, path: str, piece_bytes: int, piece_s: float) -> None:
        """Append a file of sound, as fast as it was spoken, or at once if `piece_s` is 0."""
        sound, buffer = Path(path).read_bytes(), self._connections[name].input_audio_buffer
        for start in range(0, len(sound), piece_bytes):
            piece = sound[start : start + piece_bytes]
            try:
                await buffer.append(audio=base64.b64encode(piece).decode())
            except ConnectionClosed:
                return
            await asyncio.sleep(piece_s)
        tell(name, spoken=True)

    async def _secret(self, name: str, url: str, key: str, wanted: dict[str, Any]) -> None:
        """Ask for a client secret."""
        client = AsyncOpenAI(api_key=key, base_url=url, max_retries=0)
        try:
            made = await client.realtime.client_secrets.create(**wanted)
            tell(name, secret=made.to_dict())
        except APIStatusError as refusal:
            tell(name, refused=refusal.status_code)

    async def _close_all(self, name: str) -> None:
        """Hang up wherever the line is open, so that the next test begins afresh."""
        for connection in self._connections.values():
            await connection.close()
        self._connections.clear()
        tell(name, closed_all=True)


async def main() -> None:
    commands = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    await Player().play(commands)


if __name__ == "__main__":
    asyncio.run(main())
