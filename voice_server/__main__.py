"""`voice-server`: serve, place a call, and look after both.

Exit codes: 0 done, 1 failed, 2 asked wrongly (arguments, settings, an unreadable file); the
command `call` has some more, listed in its help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .commands import bench, call, doctor, grant, ledger, migrate, models, serve
from .commands.settings import BadSettings

COMMANDS = {
    "serve": serve, "call": call, "models": models, "migrate": migrate, "grant": grant,
    "ledger": ledger, "doctor": doctor, "bench": bench,
}  # fmt: skip
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voice-server",
        description="A realtime voice-agent server: hears, answers, speaks, sends a bill.",
        epilog="Settings are environment variables VOICE_SERVER_<NAME>, also read from .env; "
        "`voice-server doctor` shows what they amount to.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.HELP, description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = COMMANDS[options.command].run(options)
        return code
    except BadSettings as error:
        print(f"voice-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
