"""The caller's requests: addresses, refusals, bills."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.client.peer import running
from voice_server.client.caller import Refused, Unreachable, Wishes
from voice_server.client.http import Server, is_loopback, refusal, trusting
from voice_server.client.websocket import WebSocketCaller, Wire
from voice_server.web.certificates import ALWAYS, context_of, now, own_certificate


@pytest.mark.parametrize("url", ["ftp://host", "http://", "://", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        Server(url)


def test_addresses() -> None:
    assert Server("localhost:8000").url == "http://localhost:8000"
    assert Server("wss://a.example/x").url == "https://a.example"
    assert Server("https://a.example").websocket_url == "wss://a.example/v1/realtime"
    assert Server("http://[::1]:9").is_local and not Server("http://a.example").is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.evil.example", "10.0.0.1", "", "localhost.evil"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_refusals_in_every_shape() -> None:
    ours = refusal(429, b'{"error":"Too many.","code":"too_many_calls"}', {"retry-after": "9"})
    assert (ours.status, ours.code, ours.retry_after_s) == (429, "too_many_calls", 9)
    theirs = refusal(401, b'{"error":{"message":"Bad key","code":"bad"}}', {})
    assert "Bad key" in str(theirs) and theirs.code == "bad"
    assert "Bad Gateway" in str(refusal(502, b"<h1>Bad Gateway</h1>", {"retry-after": "soon"}))
    assert refusal(500, b"[]", {}).code == ""


async def test_a_certificate_is_trusted_when_it_is_named_and_only_then(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path, ALWAYS, now())

    async def ready(request: Request) -> Response:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/health/ready", ready)])
    async with running(app, tls=context_of(certificate.path, certificate.key_path)) as url:
        async with Server(url, trusts=trusting(certificate.path)) as server:
            assert await server.is_ready()
        async with Server(url) as server:
            with pytest.raises(Unreachable, match="name it with --cacert"):
                await server.is_ready()
            # The same is said of a call, which is another connection.
            microphone = WebSocketCaller(server, Wishes(), wire=Wire.PCM, silence=b"")
            with pytest.raises(Unreachable, match="name it with --cacert"):
                await microphone.__aenter__()
    for missing in (tmp_path / "none", certificate.key_path):
        with pytest.raises(OSError, match=r"No such file|no certificate"):
            trusting(missing)


async def test_nobody_answers() -> None:
    async with Server("http://127.0.0.1:9") as server:
        with pytest.raises(Unreachable, match="nobody answers"):
            await server.is_ready()
        assert await server.bill("call_1", patience_s=0.1) is None


async def test_bill_is_waited_for_with_the_key() -> None:
    asked = []

    async def call(request: Request) -> Response:
        asked.append(request.headers.get("authorization"))
        bill = {"billed_minutes": 1} if len(asked) > 1 else None
        return JSONResponse({"id": "call_1", "state": "live", "bill": bill})

    async with (
        running(Starlette(routes=[Route("/v1/calls/call_1", call)])) as url,
        Server(url, "secret") as server,
    ):
        assert await server.bill("call_1") == {"billed_minutes": 1}
    assert asked == ["Bearer secret"] * 2


async def test_another_program_is_not_a_voice_server() -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def hang_up(request: Request) -> Response:
        return JSONResponse({"error": "Not yours.", "code": "forbidden"}, 403)

    routes = [
        Route("/health", page),
        Route("/v1/realtime/calls/{id}/hangup", hang_up, methods=["POST"]),
    ]
    async with running(Starlette(routes=routes)) as url, Server(url) as server:
        assert not await server.is_ours()
        with pytest.raises(Refused, match="Not yours"):
            await server.hang_up("call_1")
        with pytest.raises(Refused):
            await server.ice_servers()


async def test_turns_are_asked_for_page_by_page() -> None:
    asked: list[str] = []
    pages: list[object] = [
        {"data": [{"turn": 1}, "nonsense"], "next_cursor": "1"},
        {"data": [{"turn": 2}], "next_cursor": None},
    ]

    async def turns(request: Request) -> Response:
        asked.append(str(request.url.query))
        return JSONResponse(pages[len(asked) - 1])

    app = Starlette(routes=[Route("/v1/calls/call_1/turns", turns)])
    async with running(app) as url, Server(url) as server:
        assert await server.turns("call_1") == [{"turn": 1}, {"turn": 2}]
        assert asked == ["limit=200", "limit=200&cursor=1"]
        pages[:] = [{}, {}, {"data": 5, "next_cursor": "&limit=9"}]
        assert await server.turns("call_1") == [] and len(asked) == 3
        assert await server.turns("call_of_an_older_server") == []
