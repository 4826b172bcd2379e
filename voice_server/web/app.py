"""The application: doors in front, the house behind them.

`build` makes it and opens nothing; the lifespan opens the house when serving starts and closes
it when serving ends.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from billing.database import DatabaseAway
from voice_server.config import Config

from .errors import EXCEPTION_HANDLERS
from .headers import ApiCors, SecurityHeaders
from .house import House, open_house
from .routes import routes

__all__ = ["build", "house_of", "serve"]

logger = logging.getLogger(__name__)


def build(config: Config) -> Starlette:
    """The application of this configuration, to be run by any ASGI server with a lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            async with open_house(config) as house:
                app.state.house = house
                yield
        except DatabaseAway as away:
            logger.error("the database cannot be reached: %s", away)
            raise

    return Starlette(
        routes=routes(),
        middleware=[Middleware(SecurityHeaders), Middleware(ApiCors)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )


def house_of(app: Starlette) -> House:
    """The house of an application that is being served."""
    house = app.state.house
    assert isinstance(house, House)
    return house


def serve(config: Config) -> None:
    """Serve until SIGTERM or Ctrl-C; live calls end politely. Raises SystemExit(1) when the
    server cannot start."""
    from .server import run

    run(build(config), config)
