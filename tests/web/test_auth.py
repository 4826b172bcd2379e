"""Who is let in: by key, by place, and not by a stranger's page."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from voice_server.calls.switchboard import Caller
from voice_server.web.auth import Gate, offered_subprotocol
from voice_server.web.errors import Refusal
from voice_server.web.vault import MemoryVault

LOCAL = Caller(1, "local")


def asking(subprotocols: tuple[str, ...] = (), /, **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "subprotocols": list(subprotocols)})


def refusal(gate: Gate, connection: HTTPConnection) -> tuple[int, str]:
    with pytest.raises(Refusal) as refused:
        gate.admit(connection)
    assert "secret" not in refused.value.error
    return refused.value.status, refused.value.code


VAULT = MemoryVault(per_user_max=100)
KEYED = Gate(key="secret", local=LOCAL, host="127.0.0.1", vault=VAULT)
OPEN = Gate(key="", local=LOCAL, host="127.0.0.1", vault=VAULT)


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_the_right_key_opens(authorization: str) -> None:
    assert KEYED.admit(asking(host="voice.example", authorization=authorization)) == LOCAL


def test_a_browser_may_send_the_key_as_a_subprotocol() -> None:
    offered = ("realtime", "openai-insecure-api-key.secret")
    assert KEYED.admit(asking(offered, host="voice.example")) == LOCAL


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic secret", "secret"])
def test_no_key_is_401(authorization: str) -> None:
    assert refusal(KEYED, asking(authorization=authorization)) == (401, "missing_key")


@pytest.mark.parametrize("key", ["secret2", "secre", "Secret", "sécret", "\udcff"])
def test_a_wrong_key_is_401(key: str) -> None:
    connection = asking(("openai-insecure-api-key." + key,))
    assert refusal(KEYED, connection) == (401, "invalid_key")


def test_a_key_does_not_depend_on_where_it_is_presented() -> None:
    connection = asking(
        host="voice.example", origin="https://page.example", authorization="Bearer secret"
    )
    assert KEYED.admit(connection) == LOCAL


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "localhost:8000",
        "[::1]:8000",
        "192.168.1.7:8000",
        "laptop:8000",
        "pi.local",
    ],
)
@pytest.mark.parametrize("origin", [None, "own", "http://localhost:3000", "http://127.0.0.1"])
def test_without_a_key_this_machines_pages_are_let_in(host: str, origin: str | None) -> None:
    headers = {"host": host}
    if origin is not None:
        headers["origin"] = f"http://{host}" if origin == "own" else origin
    assert OPEN.admit(asking(**headers)) == LOCAL


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
     "file://", "http://[", "", "http://10.0.0.1", "http://localhost:3000@evil.example"],
)  # fmt: skip
def test_without_a_key_pages_of_strangers_are_not(origin: str) -> None:
    connection = asking(host="127.0.0.1:8000", origin=origin)
    assert refusal(OPEN, connection) == (403, "origin_not_allowed")


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1.evil.example", "", "[", "a.b"])
def test_a_name_that_a_stranger_may_have_pointed_here_is_not_ours(host: str) -> None:
    connection = asking(host=host, origin=f"http://{host}")
    assert refusal(OPEN, connection) == (403, "host_not_allowed")


def test_the_name_we_were_told_to_listen_on_is_ours() -> None:
    gate = Gate(key="", local=LOCAL, host="voice.example", vault=VAULT)
    assert gate.admit(asking(host="voice.example:8000")) == LOCAL


def test_the_key_is_never_chosen_as_the_subprotocol() -> None:
    offered = ("openai-insecure-api-key.secret", "realtime", "openai-beta.realtime-v1")
    assert offered_subprotocol(asking(offered)) == "realtime"
    assert offered_subprotocol(asking(offered[:1])) is None


def showing(value: str, *, as_subprotocol: bool = False) -> HTTPConnection:
    """Somebody on a page of another site, with a key or a secret."""
    elsewhere = {"host": "voice.example", "origin": "https://page.example"}
    if as_subprotocol:
        return asking(("realtime", f"openai-insecure-api-key.{value}"), **elsewhere)
    return asking(authorization=f"Bearer {value}", **elsewhere)


@pytest.mark.parametrize("gate", [KEYED, OPEN], ids=["keyed", "open"])
@pytest.mark.parametrize("as_subprotocol", [False, True])
async def test_a_client_secret_opens_calls_and_nothing_else(
    gate: Gate, as_subprotocol: bool
) -> None:
    owner = Caller(7, "somebody")
    value, _ = await VAULT.keep(owner, b"{}", 600)
    connection = showing(value, as_subprotocol=as_subprotocol)
    admitted = await gate.admit_to_calls(connection)
    assert admitted.caller == owner
    assert admitted.secret is not None and admitted.secret.session == b"{}"
    assert refusal(gate, connection) == (401, "invalid_key")


@pytest.mark.parametrize("gate", [KEYED, OPEN], ids=["keyed", "open"])
@pytest.mark.parametrize(
    "value", ["ek_", "ek_" + "0" * 64, "ek_secret", "ek_é", "ek_" + "f" * 5_000]
)
async def test_a_client_secret_that_is_none_opens_nothing(gate: Gate, value: str) -> None:
    with pytest.raises(Refusal) as refused:
        await gate.admit_to_calls(asking(host="127.0.0.1", authorization=f"Bearer {value}"))
    assert (refused.value.status, refused.value.code) == (401, "invalid_client_secret")
    assert value not in refused.value.error


async def test_the_key_and_the_local_user_call_without_a_secret() -> None:
    admitted = await KEYED.admit_to_calls(asking(authorization="Bearer secret"))
    assert (admitted.caller, admitted.secret) == (LOCAL, None)
    anything = asking(host="127.0.0.1", authorization="Bearer whatever")
    assert (await OPEN.admit_to_calls(anything)).secret is None
    with pytest.raises(Refusal):
        await KEYED.admit_to_calls(asking(authorization="Bearer wrong"))


async def test_a_key_may_look_like_a_client_secret() -> None:
    gate = Gate(key="ek_chosen", local=LOCAL, host="127.0.0.1", vault=VAULT)
    connection = asking(authorization="Bearer ek_chosen")
    assert gate.admit(connection) == LOCAL
    assert (await gate.admit_to_calls(connection)).secret is None
