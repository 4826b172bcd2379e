"""What a caller does and says, on its way from the line to the call.

Two queues. What was *said* keeps its order: sound, and the events that refer to it. *News* of
the line itself (how much was heard, that the line is dead) overtakes it, so that a client that
hands over a minute of sound at once cannot make the call late for everything else.

`said` is bounded. Who fills it either waits (`room`) or lets the oldest sound go (`push`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from engines.speech import PcmFrame

from .events import Input

SAID_MAX = 64
NEWS_MAX = 256


class Incoming:
    """One call's inputs. One consumer; `end` lets it finish what is queued, and then stop."""

    def __init__(self, said_max: int = SAID_MAX) -> None:
        self._said: deque[Input | PcmFrame] = deque()
        self._said_max = said_max
        self._news: deque[Input] = deque(maxlen=NEWS_MAX)
        self._stir = asyncio.Event()
        self._space = asyncio.Event()
        self._ended = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._said)

    @property
    def ended(self) -> bool:
        return self._ended

    def say(self, event: Input | PcmFrame) -> None:
        """Queue it in order. The caller has made sure of room, or events are few."""
        if not self._ended:
            self._said.append(event)
            self._stir.set()

    def push(self, event: Input | PcmFrame) -> None:
        """Queue it now; when there is no room, the oldest sound is lost."""
        if len(self._said) >= self._said_max:
            oldest = next((i for i, e in enumerate(self._said) if isinstance(e, PcmFrame)), None)
            self.dropped += 1
            if oldest is None:
                return  # Full of events: a flood, and this is part of it.
            del self._said[oldest]
        self.say(event)

    def tell(self, news: Input) -> None:
        """Queue it before everything that was said."""
        if not self._ended:
            self._news.append(news)
            self._stir.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._stir.set()
        self._space.set()

    async def room(self) -> None:
        """Wait until there is room for more, or until the end."""
        while len(self._said) >= self._said_max and not self._ended:
            self._space.clear()
            await self._space.wait()

    async def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        while True:
            if self._news:
                yield self._news.popleft()
            elif self._said:
                event = self._said.popleft()
                if len(self._said) < self._said_max:
                    self._space.set()
                yield event
            elif self._ended:
                return
            else:
                self._stir.clear()
                await self._stir.wait()
