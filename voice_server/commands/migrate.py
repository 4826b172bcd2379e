"""Bring the database to the shape this release needs. The server does so itself when it
starts; this is for those who want it done before."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .settings import add_set_argument, parsed, read_config

HELP = "bring the database to this release's shape"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    config = read_config(parsed(options.settings))
    return asyncio.run(_migrate(config.database))


async def _migrate(url: str) -> int:
    from sqlalchemy.exc import SQLAlchemyError

    from billing.migrations import current, migrate, newest

    shown = shown_url(url)
    try:
        before = await current(url)
        if before == newest():
            print(f"{shown} is at {before} already.")
            return 0
        await migrate(url)
        print(f"{shown}: {before or 'empty'} → {await current(url)}")
    except (SQLAlchemyError, OSError, ValueError) as error:
        print(f"voice-server migrate: {shown}: {error}", file=sys.stderr)
        return 1
    return 0


def shown_url(url: str) -> str:
    """The database's address without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the database"
