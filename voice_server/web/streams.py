"""Work that lasts as long as somebody waits for it: it ends when its client is gone, or when
the server lets go.

Ending is closing: whatever generator makes the answer is closed at once, in the same task, and
with it the engines that it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engines.speech import EngineError

from .errors import Refusal

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


async def while_connected(
    receive: Receive, ending: asyncio.Event, work: Coroutine[None, None, Result]
) -> Result:
    """What comes of the work. Raises `Refusal` when the client leaves first (then nobody reads
    it) or the server ends; the work has been cancelled and has ended. The request's body must
    have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    closing = asyncio.ensure_future(ending.wait())
    tasks = working, leaving, closing
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise Refusal(400, "broken_off", "The client has left.")
        raise Refusal(503, "draining", "The server is shutting down.", retry_after_s=10)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Streamed(Response):
    """Sends `first` and then what `rest` makes, as it is made and no faster than it is taken.

    `rest` is closed however the response ends, and so is what it holds.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes, None], *, media_type: str,
        ending: asyncio.Event,
    ) -> None:  # fmt: skip
        self.status_code, self.media_type, self.background = 200, media_type, None
        self._first, self._rest, self._ending = first, rest, ending
        self.init_headers(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._rest):
            try:
                await while_connected(receive, self._ending, self._pump(send))
            except Refusal:
                return  # It is too late for words.
            except EngineError as error:
                # Too late for a status: an answer that ends without its end says it.
                logger.warning("an answer breaks off: %s", error)

    async def _pump(self, send: Send) -> None:
        start = {
            "type": "http.response.start", "status": self.status_code, "headers": self.raw_headers,
        }  # fmt: skip
        await send(start)
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for piece in self._rest:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
