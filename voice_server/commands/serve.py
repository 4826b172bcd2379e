"""Serve calls until told to stop. SIGTERM and Ctrl-C let the calls that run end politely."""

from __future__ import annotations

import argparse

from .settings import add_set_argument, parsed, read_config

HELP = "serve calls"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    parser.add_argument(
        "--tls", action="store_true", default=None,
        help="https and wss, with a certificate made for this machine unless --cert is given",
    )  # fmt: skip
    parser.add_argument("--cert", metavar="FILE", help="the certificate, as PEM")
    parser.add_argument("--key", metavar="FILE", help="its key, unless it is in the same file")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    given = parsed(options.settings)
    given |= {
        name: value
        for name, value in {
            "host": options.host, "port": options.port, "log_level": options.log_level,
            "tls": options.tls, "tls_cert": options.cert, "tls_key": options.key,
        }.items()
        if value is not None
    }  # fmt: skip
    config = read_config(given)
    from voice_server.web.app import serve

    serve(config)
    return 0
