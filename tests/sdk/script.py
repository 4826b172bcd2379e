"""Conversations written once and played by every client that sends and shows plain events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .programs import PATIENCE_S, Program
from .tap import Event

PIECE_MS = 100


class Call:
    """One connection of a player. `events` is all it was told; `until` reads on."""

    def __init__(self, player: Player, name: str) -> None:
        self._player, self.name = player, name
        self.events: list[Event] = []
        self._read = 0

    def send(self, kind: str, **fields: object) -> None:
        self._player.do("send", self.name, event={"type": kind, **fields})

    def say(self, text: str, **fields: object) -> None:
        """Put a written message of the user's into the conversation."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **fields}
        self.send("conversation.item.create", item=item)

    def update(self, **session: object) -> None:
        self.send("session.update", session={"type": "realtime", **session})

    def speak(self, sound: Path, bytes_per_ms: int = 48, *, at_once: bool = False) -> None:
        """Begin to append a file of sound, at the speed of speech."""
        self._player.do(
            "speak", self.name, path=str(sound), piece_bytes=PIECE_MS * bytes_per_ms,
            piece_s=0 if at_once else PIECE_MS / 1_000,
        )  # fmt: skip

    async def until(self, kind: str, holds: Callable[[Event], bool] = lambda event: True) -> Event:
        """The next event of this type, after the one that was waited for before."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._read < len(self.events):
                    event = self.events[self._read]
                    self._read += 1
                    if event["type"] == kind and holds(event):
                        return event
                await self._player.more()

    def of(self, *kinds: str) -> list[Event]:
        """All events so far of these types."""
        return [event for event in self.events if event["type"] in kinds]


class Player:
    """A program that obeys `do`: see tests/sdk/clients/openai_python.py."""

    def __init__(self, program: Program, url: str, key: str) -> None:
        self._program, self.url, self.key = program, url, key
        # The program outlives this player, and so may what it has to tell of its calls.
        self._mark = uuid.uuid4().hex
        self._calls: dict[str, Call] = {}
        self._notes: dict[str, list[dict[str, Any]]] = {}

    def do(self, what: str, name: str, **options: object) -> None:
        self._program.say(do=what, name=f"{self._mark} {name}", **options)

    async def call(
        self, name: str = "caller", *, key: str | None = None, query: dict[str, str] | None = None
    ) -> Call:
        """Connect, and read the first event. A `query` takes the place of the model."""
        call = self._calls[name] = Call(self, name)
        wanted = {"query": query} if query else {"model": "gpt-realtime"}
        note = await self._asked("connect", name, key=key or self.key, **wanted)
        assert note == {"connected": True}
        await call.until("session.created")
        return call

    async def refused(self, key: str) -> int:
        """The status with which a connection is refused."""
        note = await self._asked("connect", "refused", key=key, model="gpt-realtime")
        return int(note["refused"])

    async def secret(self, *, key: str | None = None, **wanted: object) -> dict[str, Any]:
        """A client secret as the server tells of it, or {"refused": status}."""
        return await self._asked("secret", "secret", key=key or self.key, wanted=wanted)

    async def more(self) -> None:
        """Read one more line of the program."""
        seen = await self._program.read()
        mark, _, name = seen.pop("name").partition(" ")
        if mark != self._mark:
            return
        if "event" in seen:
            self._calls[name].events.append(seen["event"])
        else:
            self._notes.setdefault(name, []).append(seen)

    async def noted(self, name: str, what: str) -> dict[str, Any]:
        """Wait until the program has noted this of a connection."""
        while True:
            for note in self._notes.get(name, []):
                if what in note:
                    return note
            await self.more()

    @property
    def told(self) -> list[Event]:
        """Every event of the server, on any connection."""
        return [event for call in self._calls.values() for event in call.events]

    async def hang_up(self) -> None:
        """Close whatever is open. The program is then ready for another player."""
        self.do("close_all", "all")
        await self.noted("all", "closed_all")

    async def _asked(self, what: str, name: str, **options: object) -> dict[str, Any]:
        notes = self._notes.setdefault(name, [])
        before = len(notes)
        self.do(what, name, url=self.url, **options)
        while len(notes) == before:
            await self.more()
        return notes[-1]
