"""Serve calls until told to stop. SIGTERM and Ctrl-C let the calls that run end politely."""

from __future__ import annotations

import argparse

from .settings import add_set_argument, parsed, read_config

HELP = "serve calls"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    given = parsed(options.settings)
    given |= {"host": options.host, "port": options.port, "log_level": options.log_level}
    config = read_config({name: value for name, value in given.items() if value is not None})
    from voice_server.web.app import serve

    serve(config)
    return 0
