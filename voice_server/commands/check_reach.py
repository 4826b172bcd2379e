"""Checks of what is reached over a socket: database, Redis, our port, STUN and TURN."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Finding

if TYPE_CHECKING:
    from voice_server.config import Config

_REACH_S = 5.0
_STUN_S = 2.0
_STUN_PORT, _TURNS_PORT = 3478, 5349


async def check_database(config: Config) -> list[Finding]:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from billing.migrations import current, newest

    from .migrate import shown_url

    shown = shown_url(config.database)
    try:
        url = make_url(config.database)
        file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        if file is not None and not file.exists():
            return [Finding(OK, "database", f"{shown}: will be made at the first start")]
        async with asyncio.timeout(_REACH_S):
            at = await current(config.database)
    except (SQLAlchemyError, OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else "no answer in time"
        remedy = "Start it, or correct VOICE_SERVER_DATABASE_URL."
        return [Finding(PROBLEM, "database", f"{shown}: {reason}", remedy)]
    if at != newest():
        remedy = "The server does it at its start, or run `voice-server migrate` now."
        said = f"{shown}: at {at or 'nothing'}, this release has {newest()}"
        return [Finding(WARNING, "database", said, remedy)]
    return [Finding(OK, "database", f"{shown}: reachable, at {at}")]


async def check_redis(config: Config) -> list[Finding]:
    if not config.redis_url:
        said = "not configured: one process keeps its own list of live calls"
        return [Finding(OK, "Redis", said)]
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    client: Redis | None = None
    try:
        client = Redis.from_url(config.redis_url)
        async with asyncio.timeout(_REACH_S):
            await client.ping()
    except (RedisError, OSError, ValueError, TimeoutError) as error:
        remedy = "Start it, or correct VOICE_SERVER_REDIS_URL; without it set no URL at all."
        return [Finding(PROBLEM, "Redis", f"{error or 'no answer in time'}", remedy)]
    finally:
        if client is not None:
            await client.aclose()
    return [Finding(OK, "Redis", "reachable")]


async def check_port(config: Config) -> list[Finding]:
    from voice_server.client.caller import Unreachable
    from voice_server.client.http import Server, trusting

    from .call import own_certificate, own_url

    at = f"{config.host}:{config.port}"
    if config.port:
        try:
            trusts = trusting(config.tls_cert or own_certificate(config))
            async with Server(own_url(config), trusts=trusts) as server:
                ours = await server.is_ours()
        except (Unreachable, OSError):
            pass
        else:
            if ours:
                return [Finding(OK, "port", f"a voice server answers at {at} already")]
            remedy = "Stop the other program, or set VOICE_SERVER_PORT."
            return [Finding(PROBLEM, "port", f"{at} belongs to another program", remedy)]
    return await asyncio.to_thread(_bind, config.host, config.port)


def _bind(host: str, port: int) -> list[Finding]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        remedy = "Set VOICE_SERVER_HOST and VOICE_SERVER_PORT to an address of this machine."
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        return [Finding(PROBLEM, "port", f"{host}:{port} cannot be used: {reason}", remedy)]
    return [Finding(OK, "port", f"{host}:{port} is free")]


async def check_microphone(config: Config) -> list[Finding]:
    from voice_server.client.http import is_loopback

    at_home = is_loopback(config.host)
    if at_home or config.serves_tls:
        scheme = "https" if config.serves_tls else "http"
        said = f"browsers allow it on {scheme}://{config.host}:{config.port}"
        found = [Finding(OK, "microphone", said)]
    else:
        said = f"on {config.host} browsers allow it over https only (or on localhost)"
        remedy = "Serve with --tls, put a proxy in front, or open the page through localhost."
        found = [Finding(WARNING, "microphone", said, remedy)]
    if not at_home and not config.api_key.get_secret_value():
        said = f"everyone who reaches {config.host}:{config.port} calls as the local user"
        found.append(Finding(WARNING, "key", said, "Set VOICE_SERVER_API_KEY."))
    return found


async def check_ice(config: Config) -> list[Finding]:
    urls = [url for server in config.ice_servers for url in server.urls]
    if not urls:
        said = "no STUN or TURN: WebRTC works on this machine and in its network only"
        remedy = 'Set VOICE_SERVER_ICE_SERVERS=[{"urls":["stun:…"]}] for callers beyond.'
        return [Finding(OK, "ICE", said, remedy)]
    return list(await asyncio.gather(*map(_check_ice_server, urls)))


async def _check_ice_server(url: str) -> Finding:
    scheme, _, rest = url.partition(":")
    address, _, query = rest.partition("?")
    host, port = _host_and_port(address, _TURNS_PORT if scheme == "turns" else _STUN_PORT)
    if scheme not in {"stun", "turn", "turns"} or not host:
        return Finding(PROBLEM, "ICE", f"{url} is no stun:, turn: or turns: address", "Correct it.")
    try:
        async with asyncio.timeout(_STUN_S):
            if scheme == "turns" or "transport=tcp" in query:
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
            else:
                await _ask_stun(host, port)
    except (OSError, TimeoutError) as error:
        remedy = "Callers that need it will not connect: is it up, and UDP open?"
        return Finding(WARNING, "ICE", f"{url}: {error or 'no answer'}", remedy)
    return Finding(OK, "ICE", f"{url} answers")


async def _ask_stun(host: str, port: int) -> None:
    """A STUN binding request and any answer to it. TURN servers answer it too."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Asking(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: object) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Asking, remote_addr=(host, port)
    )
    try:
        # Binding request, no attributes, the magic cookie, a transaction id.
        transport.sendto(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + os.urandom(12))
        await answer
    finally:
        transport.close()


def _host_and_port(address: str, port: int) -> tuple[str, int]:
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        digits = rest.removeprefix(":")
    else:
        host, _, digits = address.partition(":")
    return host, int(digits) if digits.isdigit() else port
