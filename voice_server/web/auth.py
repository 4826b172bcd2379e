"""Who is asking.

With an API key configured, a caller must present it, in `Authorization: Bearer` or, because
browsers cannot set headers on a WebSocket, as the subprotocol `openai-insecure-api-key.KEY`.

Without one, everyone who can reach the server is the local user. That is right only while
nobody but this machine's user can reach it, and a web page of a stranger can reach it too,
through the visitor's own browser. So a request that a browser sends for another site is
refused, and so is one for a host name that a stranger could have pointed here (DNS rebinding).

A client secret (`ek_…`, see `vault`) is presented in the same two ways. It opens calls and no
other door, from whichever page, and one that is not valid opens nothing, key or no key.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from voice_server.calls.switchboard import Caller

from . import vault
from .errors import Refusal
from .vault import ClientSecret, Vault

KEY_SUBPROTOCOL = "openai-insecure-api-key."
SUBPROTOCOL = "realtime"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who may call. `secret`: what they showed, where it was not the key."""

    caller: Caller
    secret: ClientSecret | None = None


class Gate:
    """Lets a caller in. `host` is the name the server was told to listen on."""

    def __init__(self, *, key: str, local: Caller, host: str, vault: Vault) -> None:
        self._key, self._local, self._host, self._vault = key, local, host, vault

    def admit(self, connection: HTTPConnection) -> Caller:
        """Raises `Refusal`: 401 for a missing or wrong key and for a client secret, 403 for
        another site's page."""
        presented = _presented_key(connection)
        if self._key:
            self._check_key(presented)
        elif _is_secret(presented):
            raise Refusal(401, "invalid_key", "This key opens calls and nothing else.")
        else:
            self._check_site(connection)
        return self._local

    async def admit_to_calls(self, connection: HTTPConnection) -> Admitted:
        """Also whoever has a client secret. Raises `Refusal`, 401 for one that is not valid."""
        presented = _presented_key(connection)
        if not _is_secret(presented) or (self._key and self._is_key(presented)):
            return Admitted(self.admit(connection))
        secret = await self._vault.find(presented)
        if secret is None:
            raise Refusal(
                401, "invalid_client_secret", "This client secret is not valid, or has expired."
            )
        return Admitted(secret.owner, secret)

    def runs_the_server(self, caller: Caller) -> bool:
        """Whether this is the operator, who may see what the server itself costs: for now
        everybody who has the key, or sits at the machine. With accounts it will be the staff."""
        return caller.user_id == self._local.user_id

    def _check_key(self, presented: str) -> None:
        if not presented:
            raise Refusal(401, "missing_key", "An API key is needed: Authorization: Bearer KEY.")
        if not self._is_key(presented):
            raise Refusal(401, "invalid_key", "This API key is not valid.")

    def _is_key(self, presented: str) -> bool:
        return hmac.compare_digest(_bytes(presented), _bytes(self._key))

    def _check_site(self, connection: HTTPConnection) -> None:
        host = connection.headers.get("host", "")
        if not self._is_ours(_name_of(f"//{host}")):
            raise Refusal(
                403, "host_not_allowed",
                "This host name is not ours. Ask by address, or set VOICE_SERVER_API_KEY.",
            )  # fmt: skip
        origin = connection.headers.get("origin")
        if origin is None or _is_loopback(_name_of(origin)) or _site_of(origin) == host:
            return
        raise Refusal(
            403, "origin_not_allowed",
            "Pages of other sites may not call here unless VOICE_SERVER_API_KEY is set.",
        )  # fmt: skip

    def _is_ours(self, name: str) -> bool:
        """A name that no stranger can own: an address, or one that only this network knows."""
        if name == self._host or _is_loopback(name) or _address(name) is not None:
            return True
        return bool(name) and ("." not in name or name.endswith((".local", ".localhost")))


def offered_subprotocol(connection: HTTPConnection) -> str | None:
    """The subprotocol to accept: `realtime` when it is offered, and never the key."""
    return SUBPROTOCOL if SUBPROTOCOL in connection.scope.get("subprotocols", ()) else None


def _is_secret(presented: str) -> bool:
    return presented.startswith(vault.PREFIX)


def _presented_key(connection: HTTPConnection) -> str:
    """The key or the secret; empty where there is none."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    for subprotocol in connection.scope.get("subprotocols", ()):
        if subprotocol.startswith(KEY_SUBPROTOCOL):
            return str(subprotocol.removeprefix(KEY_SUBPROTOCOL))
    return ""


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # Such as an unclosed bracket.
        return ""


def _site_of(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogatepass")


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return name == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
