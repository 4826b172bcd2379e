"""The engines that run: each made once, when it is first wanted, started behind the scenes and
closed with all the others.

An engine of the operator's own may fail in any way there is: that is an `EngineError` as well, so
that others stand in for it. One that did not start is started again when it is next wanted.
"""

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


class _Closed(Protocol):
    def close(self) -> Awaitable[None]: ...


class Shelf:
    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._made: dict[str, Any] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}

    def take(self, listing: Listing) -> Any:
        """The engine of a line. Raises `EngineError` when it cannot be made."""
        path = listing.path
        if path not in self._made:
            self._made[path] = engine = _made(path, listing.arguments(self._options))
            if hasattr(engine, "start"):
                self._begin(path, engine)
        return self._made[path]

    def _begin(self, path: str, engine: _Started) -> asyncio.Task[None]:
        task = self._starting[path] = asyncio.create_task(_start(path, engine))
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    def __contains__(self, name: str) -> bool:
        return name in self._made

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """What is called `name` here, made now if it was not before."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    async def ready(self, engine: object) -> None:
        """Wait until an engine that was made here can work. Raises `EngineError`."""
        for path in [path for path, made in self._made.items() if made is engine]:
            task = self._starting.get(path)
            if task is not None and task.done() and not task.cancelled() and task.exception():
                task = self._begin(path, self._made[path])
            if task is not None:
                await asyncio.shield(task)

    async def close(self) -> None:
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for path, engine in self._made.items():
            if hasattr(engine, "close"):
                await _close(path, engine)
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


def _made(path: str, arguments: dict[str, Any]) -> Any:
    """The engine itself. Raises `EngineError`."""
    try:
        return named(path)(**arguments)
    except EngineError:
        raise
    except Exception as error:
        logger.exception("%s cannot be made", path)
        raise EngineError(f"the engine {path!r} cannot be made") from error


async def _start(path: str, engine: _Started) -> None:
    try:
        await engine.start()
    except EngineError as error:
        logger.error("%s did not start: %s", path, error)
        raise
    except Exception as error:
        logger.exception("%s did not start", path)
        raise EngineError(f"the engine {path!r} did not start") from error
    logger.info("%s is ready", path)


async def _close(path: str, engine: _Closed) -> None:
    """One that cannot be closed keeps none of the others open."""
    try:
        await engine.close()
    except Exception:
        logger.exception("%s did not close", path)
