"""What the programs that play one scenario share: what they were asked, what they tell."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

Event = TypeVar("Event")
Scenario = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

PATIENCE_S = 80.0
PIECE_MS = 100


def tell(**what: object) -> None:
    """Tell the test what was seen."""
    print(json.dumps(what), flush=True)


def act(scenarios: Mapping[str, Scenario]) -> None:
    """Play the scenarios that are asked for on stdin, one after the other."""
    for line in sys.stdin:
        options = json.loads(line)
        asyncio.run(scenarios[options["scenario"]](options))
        tell(over=True)


async def pieces(path: str, bytes_per_ms: int = 48) -> AsyncIterator[bytes]:
    """A file of sound, at the speed of speech."""
    sound, size = Path(path).read_bytes(), PIECE_MS * bytes_per_ms
    for start in range(0, len(sound), size):
        yield sound[start : start + size]
        await asyncio.sleep(PIECE_MS / 1_000)


class Diary(Generic[Event]):
    """Everything that happened, in order, and a way to wait for what is to come."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self._read = 0

    def note(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, holds: Callable[[Event], bool]) -> Event:
        """The next event for which this holds, after the one that was waited for before."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._read < len(self.events):
                    event = self.events[self._read]
                    self._read += 1
                    if holds(event):
                        return event
                self._news.clear()
                await self._news.wait()
