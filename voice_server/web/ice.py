"""The STUN and TURN servers a caller may use.

A TURN server without a credential of its own gets a short-lived one in coturn's REST form: the
user name says until when it holds, the password is its HMAC under the secret that coturn
shares with us. Nothing has to be stored, and a copied credential soon is worth nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from voice_server.config import Config


@dataclass(frozen=True, slots=True)
class IceEntry:
    """One entry of `RTCConfiguration.iceServers`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def as_json(self) -> dict[str, object]:
        entry: dict[str, object] = {"urls": list(self.urls)}
        if self.username is not None:
            entry["username"] = self.username
        if self.credential is not None:
            entry["credential"] = self.credential
        return entry


def ice_entries(config: Config, *, user_id: int, now_s: int) -> tuple[IceEntry, ...]:
    """The servers of the configuration, ready for use. `now_s`: seconds since 1970."""
    secret = config.turn_secret.get_secret_value()
    entries = []
    for server in config.ice_servers:
        credential = server.credential.get_secret_value() if server.credential else None
        username = server.username
        if secret and credential is None and _is_turn(server.urls):
            username, credential = turn_credential(
                secret, user_id=user_id, until_s=now_s + config.turn_seconds
            )
        entries.append(IceEntry(server.urls, username, credential))
    return tuple(entries)


def turn_credential(secret: str, *, user_id: int, until_s: int) -> tuple[str, str]:
    """User name and password as coturn's `use-auth-secret` expects them."""
    username = f"{until_s}:{user_id}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def _is_turn(urls: tuple[str, ...]) -> bool:
    return any(url.startswith(("turn:", "turns:")) for url in urls)
