"""Place a real call: the file is the microphone, the transcript is printed as it comes, and
at the end which engines answered and the bill.

Without --url the server at the configured address is called; when nobody answers there, a
server is started for this one call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import read_config

if TYPE_CHECKING:
    from ssl import SSLContext

    from voice_server.client.caller import Caller, Wishes
    from voice_server.client.http import Server
    from voice_server.client.microphone import Clip
    from voice_server.client.person import Person
    from voice_server.config import Config

HELP = "place a call and play a file into it"
CUT, USAGE, REFUSED, UNREACHABLE, NO_SOUND, NO_ANSWER = 1, 2, 3, 4, 5, 6
_EXIT_CODES = """\
exit codes:
  0  the call was answered and billed
  1  the line was cut, or no bill came
  2  wrong arguments or settings, or the file cannot be read
  3  the server refused: wrong key, no money, too many calls, full
  4  nobody answers at the address
  5  no path for the sound (WebRTC)
  6  the call worked, but no reply to the file was heard
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXIT_CODES
    parser.add_argument("file", type=Path, metavar="FILE", help="any audio file")
    parser.add_argument("--url", help="the server, as http://host:port")
    parser.add_argument("--webrtc", action="store_true", help="over WebRTC instead of WebSocket")
    parser.add_argument("--save", type=Path, metavar="WAV", help="write what the agent said here")
    parser.add_argument("--language", default="", help="what is spoken, such as en or ru")
    parser.add_argument("--voice", default="", help="the agent's voice")
    parser.add_argument("--recogniser", default="", help="the speech-to-text engine")
    parser.add_argument("--model", default="", help="the dialogue engine")
    parser.add_argument("--key", help="the API key (default: the configured one)")
    parser.add_argument(
        "--cacert", type=Path, metavar="FILE",
        help="trust this certificate too (default: the one that `serve --tls` made here)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--talk-over", action="store_true", help="do not wait for the greeting")
    parser.add_argument(
        "--hold", type=float, default=0.0, metavar="SECONDS",
        help="stay on the line this much longer after the reply",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    from engines.audio import BadAudio
    from voice_server.client.caller import CallFailed, MediaFailed, Refused, Unreachable
    from voice_server.client.clips import framed, read_clip
    from voice_server.client.http import trusting
    from voice_server.client.websocket import Wire

    config = read_config()
    try:
        clip = framed(read_clip(options.file), Wire.OPUS)
    except (OSError, BadAudio) as error:
        return _fail(USAGE, f"{options.file} cannot be used: {error}")
    try:
        trusts = trusting(options.cacert or own_certificate(config))
    except OSError as error:
        return _fail(USAGE, f"the certificate cannot be used: {error}")
    try:
        return asyncio.run(_call(options, config, clip, trusts))
    except Refused as error:
        return _fail(REFUSED, str(error))
    except Unreachable as error:
        return _fail(UNREACHABLE, str(error))
    except MediaFailed as error:
        return _fail(NO_SOUND, str(error))
    except CallFailed as error:
        return _fail(CUT, str(error))


async def _call(
    options: argparse.Namespace, config: Config, clip: Clip, trusts: SSLContext
) -> int:
    from voice_server.client.caller import Wishes
    from voice_server.client.person import Patience, Person

    from .screen import Screen

    wishes = Wishes(
        language=options.language, voice=options.voice, recogniser=options.recogniser,
        model=options.model,
    )  # fmt: skip
    screen = Screen(quiet=options.json)
    patience = Patience(talks_over=options.talk_over, hold_ms=int(options.hold * 1_000))
    async with _server(options, config, trusts) as server:
        async with _caller(options, server, wishes) as caller:
            person = Person(caller, clip, patience, watch=screen.show)
            # Ctrl-C hangs up; the bill is still to come.
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, person.leave)
            with screen, _one_error():
                await person.converse()
        bill = caller.bill
        if bill is None and caller.call_id:
            bill = await server.bill(caller.call_id)
        turns = await server.turns(caller.call_id) if caller.call_id else []
    if options.save:
        options.save.write_bytes(person.listener.wav())
    screen.end(person.dialog, bill, saved=options.save, turns=turns)
    if options.json:
        print(json.dumps(_report(person, caller, turns, bill), ensure_ascii=False, indent=2))
    if bill is None:
        return _fail(CUT, "the call ended and no bill came")
    return 0 if person.answered else _fail(NO_ANSWER, "no reply to the file was heard")


@contextlib.contextmanager
def _one_error() -> Iterator[None]:
    """A call fails for one reason, though two tasks may have noticed."""
    from voice_server.client.caller import CallFailed

    reason: BaseException | None = None
    try:
        yield
    except* CallFailed as group:
        reason = group
        while isinstance(reason, BaseExceptionGroup):
            reason = reason.exceptions[0]
    if reason is not None:
        raise reason


def _caller(
    options: argparse.Namespace, server: Server, wishes: Wishes
) -> contextlib.AbstractAsyncContextManager[Caller]:
    from voice_server.client.clips import silence
    from voice_server.client.webrtc import WebRtcCaller
    from voice_server.client.websocket import WebSocketCaller, Wire

    quiet = silence(Wire.OPUS)
    assert isinstance(quiet, bytes)
    if options.webrtc:
        return WebRtcCaller(server, wishes, silence=quiet)
    return WebSocketCaller(server, wishes, wire=Wire.OPUS, silence=quiet)


@contextlib.asynccontextmanager
async def _server(
    options: argparse.Namespace, config: Config, trusts: SSLContext
) -> AsyncIterator[Server]:
    """The server to call: the one asked for, the one that runs here, or one of our own."""
    from voice_server.client.caller import Unreachable
    from voice_server.client.http import Server
    from voice_server.client.own_server import own_server

    key = config.api_key.get_secret_value() if options.key is None else options.key
    url = options.url or own_url(config)
    async with Server(url, key, trusts) as server:
        try:
            ours = await server.is_ours()
        except Unreachable:
            if options.url:
                raise
        else:
            if not ours:
                raise Unreachable(f"what answers at {server.url} is not a voice server")
            yield server
            return
    print(f"Nobody answers at {url}; starting a server for this call.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="voice-server-") as folder:
        async with (
            own_server({}, log=Path(folder) / "server.log") as own,
            Server(own.url, key) as server,
        ):
            yield server


def own_url(config: Config) -> str:
    """Where to reach the server of this configuration."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
    scheme, host = "https" if config.serves_tls else "http", anywhere.get(config.host, config.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{config.port}"


def own_certificate(config: Config) -> Path | None:
    """The certificate that was made for the server of this configuration, if one was."""
    path = config.tls_folder / "cert.pem"
    return path if path.is_file() else None


def _report(person: Person, caller: Caller, turns: object, bill: object) -> dict[str, object]:
    dialog = person.dialog
    return {
        "call_id": caller.call_id,
        "transcript": [line.as_json() for line in dialog.lines if line.text],
        "engines": {n: v for n, v in dialog.engines.items() if n not in {"type", "event_id"}},
        "notices": dialog.notices,
        "reply_ms": person.listener.heard_ms,
        "answered": person.answered,
        "turns": turns,
        "bill": bill,
    }


def _fail(code: int, message: str) -> int:
    print(f"voice-server call: {message}", file=sys.stderr)
    return code
