"""Give the local user minutes or money, as an entry of the ledger with a reason."""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sys
from typing import TYPE_CHECKING

from .settings import add_set_argument, parsed, read_config
from .words import amount

if TYPE_CHECKING:
    from voice_server.config import Config

HELP = "give the local user minutes or money"
_MINUTES_MAX, _MINOR_MAX = 10_000_000, 10**15
_REASON_MAX = 60


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=_minutes, default=0, help="whole minutes")
    parser.add_argument(
        "--money", type=_money, default=0, metavar="AMOUNT", help="such as 100 or 99.50"
    )
    parser.add_argument("--reason", default="grant", help="kept in the ledger")
    parser.add_argument(
        "--key", help="a grant with the same key is given once, however often it is asked for"
    )
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    if not options.minutes and not options.money:
        print("voice-server grant: say how much: --minutes N or --money AMOUNT", file=sys.stderr)
        return 2
    if not 0 < len(options.reason) <= _REASON_MAX:
        print(f"voice-server grant: a reason has 1 to {_REASON_MAX} characters", file=sys.stderr)
        return 2
    return asyncio.run(_grant(options, read_config(parsed(options.settings))))


async def _grant(options: argparse.Namespace, config: Config) -> int:
    from billing.customers import Customers
    from billing.database import Database, DatabaseAway
    from billing.migrations import migrate

    database = Database(config.database)
    try:
        await migrate(config.database)
        customers = Customers(
            database, currency=config.currency, demo_minutes=config.demo_minutes,
            local_credit=config.local_credit,
        )  # fmt: skip
        user = await customers.local_user()
        await customers.grant(
            user.user_id, minutes=options.minutes, money=options.money, reason=options.reason,
            key=f"grant:{options.key or secrets.token_hex(16)}",
        )  # fmt: skip
        wallet = await customers.wallet(user.user_id)
    except (DatabaseAway, OSError) as error:
        print(f"voice-server grant: the database cannot be used: {error}", file=sys.stderr)
        return 1
    finally:
        await database.close()
    left = amount(wallet.money(config.currency))
    print(f"{user.name} has {wallet.minutes} min and {left} {config.currency}.")
    return 0


def _minutes(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 0 < int(text) <= _MINUTES_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MINUTES_MAX}")
    return int(text)


def _money(text: str) -> int:
    """An amount in minor units; never through a float."""
    found = re.fullmatch(r"([0-9]{1,13})(?:\.([0-9]{1,2}))?", text)
    minor = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0")) if found else 0
    if not 0 < minor <= _MINOR_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount such as 100 or 99.50")
    return minor
