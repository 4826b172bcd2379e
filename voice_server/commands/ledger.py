"""Check the book: every entry balances, every balance is the sum of its postings, every
bill says what was really paid."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .migrate import shown_url
from .settings import add_set_argument, parsed, read_config

HELP = "check the book of accounts"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes:\n  0  the book agrees\n  1  it does not, or cannot be read"
    parser.add_argument("action", choices=("verify",))
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    return asyncio.run(_verify(read_config(parsed(options.settings)).database))


async def _verify(url: str) -> int:
    from sqlalchemy.exc import SQLAlchemyError

    from billing.database import Database, DatabaseAway
    from billing.ledger import Ledger
    from billing.migrations import current, newest

    try:
        at = await current(url)
        if at != newest():
            print(
                f"voice-server ledger: {shown_url(url)} is at {at or 'nothing'}, this release "
                f"needs {newest()}: run `voice-server migrate` first",
                file=sys.stderr,
            )
            return 1
        database = Database(url)
        try:
            found = await Ledger(database).verify()
        finally:
            await database.close()
    except (SQLAlchemyError, DatabaseAway, OSError, ValueError) as error:
        print(f"voice-server ledger: {shown_url(url)}: {error}", file=sys.stderr)
        return 1
    for wrong in found:
        print(f"{wrong.what}: {wrong.where}: expected {wrong.expected}, found {wrong.found}")
    print(f"{shown_url(url)}: " + (f"{len(found)} disagreements" if found else "the book agrees"))
    return 1 if found else 0
