"""The engines that run: each made once, when it is first wanted, started behind the scenes and
closed with all the others."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .roster import EngineOptions, Listing
from .speech import EngineError

logger = logging.getLogger(__name__)


class _Started(Protocol):
    def start(self) -> Awaitable[None]: ...


class Shelf:
    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._made: dict[str, Any] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}

    def take(self, listing: Listing) -> Any:
        """The engine of a line. Raises `EngineError` when it cannot be made."""
        path = listing.path
        if path not in self._made:
            arguments = listing.arguments(self._options)
            self._made[path] = engine = named(path)(**arguments)
            if hasattr(engine, "start"):
                task = self._starting[path] = asyncio.create_task(_start(path, engine))
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return self._made[path]

    def __contains__(self, name: str) -> bool:
        return name in self._made

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """What is called `name` here, made now if it was not before."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    async def ready(self, engine: object) -> None:
        """Wait until an engine that was made just now can work. Raises `EngineError`."""
        started = [task for path, task in self._starting.items() if self._made[path] is engine]
        for task in started:
            await asyncio.shield(task)

    async def close(self) -> None:
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for engine in self._made.values():
            if hasattr(engine, "close"):
                await engine.close()
        self._made.clear()
        self._starting.clear()


def named(path: str) -> Callable[..., Any]:
    """The class of an engine, "module:Class". Raises `EngineError` when it cannot be loaded."""
    module, _, name = path.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise EngineError(f"the engine {path!r} cannot be loaded: {error}") from error
    return found


async def _start(path: str, engine: _Started) -> None:
    try:
        await engine.start()
    except EngineError as error:
        logger.error("%s did not start: %s", path, error)
        raise
    logger.info("%s is ready", path)
