"""ICE servers for callers, and relay credentials that soon are worth nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from voice_server.config import Config, IceServer
from voice_server.web.ice import ice_entries

NOW_S = 1_700_000_000


def config(**options: object) -> Config:
    return Config(_env_file=None, **options)  # type: ignore[call-arg, arg-type]


def test_no_servers_are_no_servers() -> None:
    assert ice_entries(config(), user_id=1, now_s=NOW_S) == ()


def test_a_relay_gets_a_credential_in_coturns_form() -> None:
    servers = (IceServer(urls=("turn:relay.example:3478?transport=udp",)),)
    [entry] = ice_entries(
        config(ice_servers=servers, turn_secret="shared", turn_seconds=600), user_id=7, now_s=NOW_S
    )
    assert entry.username == f"{NOW_S + 600}:7"
    digest = hmac.new(b"shared", entry.username.encode(), hashlib.sha1).digest()
    assert entry.credential == base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    "server",
    [
        IceServer(urls=("stun:stun.example",)),
        IceServer(urls=("turn:relay.example",), username="me", credential="mine"),  # type: ignore[arg-type]
    ],
)
def test_other_servers_are_given_as_they_are(server: IceServer) -> None:
    [entry] = ice_entries(
        config(ice_servers=(server,), turn_secret="shared"), user_id=7, now_s=NOW_S
    )
    assert entry.username == server.username
    assert entry.credential == (server.credential and server.credential.get_secret_value())
    assert None not in entry.as_json().values()
