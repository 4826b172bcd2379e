"""Strangers on HTTP: other sites, other people's calls, paths out of the house, heads without
end, bodies without length. Everything is answered in words or cut off, and nothing is spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.calls.exchange import PATIENCE_S

from .outside import Outside, line_to, outside

KEY = "correct horse battery staple"
ONE = "call_" + "0" * 32
SDP = "Content-Type: application/sdp"
API = [
    ("GET", "/v1/models"), ("GET", "/v1/models/tutor"), ("GET", "/v1/models/espeak/voices"),
    ("GET", "/v1/wallet"), ("GET", "/v1/ice"), ("GET", f"/v1/calls/{ONE}"),
    ("POST", "/v1/realtime/calls"), ("POST", f"/v1/realtime/calls/{ONE}/hangup"),
]  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[Outside]:
    async with outside(tmp_path, free_port) as server:
        yield server


async def raw(server: Outside, request: bytes, *, then: bytes = b"") -> bytes:
    """Everything that is answered to these bytes, until the server lets go."""
    async with line_to(server.port) as line:
        line.send(request)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                return await line.reader.read()
        return b""


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def request(method: str, path: str, *lines: str, host: str = "127.0.0.1", body: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines]
    return "\r\n".join([*head, "", body]).encode("latin-1", "replace")


UPGRADE = (
    "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


def upgrade(path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", *UPGRADE, *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace")


def check_words(answer: bytes, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head, answer
    said = json.loads(body)
    assert said["code"] == code and said["error"]


async def test_pages_of_other_sites_and_other_names_are_kept_out(server: Outside) -> None:
    port = server.port
    for origin in (
        "https://evil.example", "null", f"http://evil.example:{port}", "http://127.0.0.1.evil.example",
        "http://localhost.evil.example", "file://", "http://[", "javascript:alert(1)", "",
    ):  # fmt: skip
        line = f"Origin: {origin}"
        answer = await raw(server, upgrade("/v1/realtime", line))
        assert status_of(answer) == 403, (origin, answer)
        check_words(answer, "origin_not_allowed")
        for method, path in API:
            assert status_of(await raw(server, request(method, path, line))) == 403, (origin, path)
    for host in ("evil.example", "127.0.0.1.evil.example", "[", "evil.example:80"):
        answer = await raw(server, upgrade("/v1/realtime", host=host))
        check_words(answer, "host_not_allowed")
        assert status_of(await raw(server, request("GET", "/v1/wallet", host=host))) == 403
    for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        own = request("GET", "/v1/wallet", f"Origin: {origin}")
        assert status_of(await raw(server, own)) == 200
    assert await server.calls() == 0


async def test_without_the_key_nothing_is_told(tmp_path: Path, free_port: int) -> None:
    wrong = [
        (), ("Authorization: Bearer",), ("Authorization: Bearer x",),
        (f"Authorization: Basic {KEY}",),
        (f"Authorization: Bearer {KEY}x",), ("Authorization: Bearer \xff\xfe",),
        (f"Authorization: bearer {KEY.upper()}",), ("Authorization: " + "x" * 8_000,),
        ("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.x",),
        (f"Cookie: key={KEY}",), (f"X-Api-Key: {KEY}",),
    ]  # fmt: skip
    async with outside(tmp_path, free_port, api_key=KEY) as server:
        for lines in wrong:
            answer = await raw(server, upgrade("/v1/realtime", *lines))
            assert status_of(answer) == 401, (lines, answer)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"].endswith("_key")
            for method, path in API:
                answer = await raw(server, request(method, path, *lines))
                assert status_of(answer) == 401, (method, path, lines)
                assert KEY.encode() not in answer
        assert await server.calls() == 0
        right = f"Authorization: Bearer {KEY}"
        assert status_of(await raw(server, request("GET", "/v1/wallet", right))) == 200
        # A key in a header is proof enough, whatever page it comes from.
        other = request("GET", "/v1/wallet", right, "Origin: https://app.example")
        assert status_of(await raw(server, other)) == 200
        assert KEY not in server.log


OUT_OF_THE_HOUSE = [
    "/pages/../../../pyproject.toml", "/pages/%2e%2e/%2e%2e/web/auth.py", "/pages/..%2f..%2fapp.py",
    "/pages/....//....//etc/passwd", "/pages//etc/passwd", "/pages/%00", "/pages/\\..\\..\\app.py",
    "/pages/%252e%252e/app.py", "/pages/" + "a/" * 2_000, "/pages/.", "/pages/..", "/pages/%ff%fe",
    "/../../../../etc/passwd", "//etc/passwd", "/pages/app.py%00.js", "/pages/" + "x" * 5_000,
]  # fmt: skip


async def test_no_path_leads_out_of_the_pages(server: Outside) -> None:
    for path in OUT_OF_THE_HOUSE:
        answer = await raw(server, request("GET", path))
        assert status_of(answer) in {400, 404}, (path, answer[:200])
        assert b"root:" not in answer
        assert b"import" not in answer


async def test_what_cannot_be_asked_is_refused_in_words(server: Outside) -> None:
    asked = {
        405: [("DELETE", "/v1/wallet"), ("PUT", "/"), ("GET", "/v1/realtime/calls"),
              ("PATCH", f"/v1/calls/{ONE}"), ("TRACE", "/health")],
        404: [("GET", "/v1/nothing"), ("GET", f"/v1/calls/{ONE}"),
              ("GET", "/v1/calls/" + "x" * 9_000),
              ("GET", "/v1/calls/%00"), ("GET", f"/v1/calls/{ONE}'--"), ("GET", "/v1/models/x%2fy"),
              ("POST", f"/v1/realtime/calls/{ONE}/hangup"), ("GET", "/v1/calls/..%2fwallet"),
              ("GET", f"/v1/calls/{ONE.upper()}")],
        415: [("POST", "/v1/realtime/calls")],
    }  # fmt: skip
    for status, requests in asked.items():
        for method, path in requests:
            answer = await raw(server, request(method, path))
            assert status_of(answer) == status, (method, path, answer[:200])
            assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "code"}
    check_words(await raw(server, upgrade("/v1/realtime?model=" + "x" * 1_000)), "bad_model")
    # What the parser of WebSockets will not read.
    check_words(await raw(server, upgrade("/v1/realtime?x=" + "x" * 30_000)), "bad_request")
    many = [f"X-{number}: y" for number in range(500)]
    check_words(await raw(server, upgrade("/v1/realtime", *many)), "bad_request")
    for query in ("model=%00", "intent=" + "x" * 5_000, "&" * 5_000, "model=a&model=b", "%ff=%fe"):
        async with line_to(server.port) as line:
            head = await line.shake_hands(f"/v1/realtime?{query}")
            assert status_of(head) == 101, query
            server.answered.add(line.call_id)


BROKEN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # Somebody speaks TLS.
    b"GET / HTTP/x\r\n\r\n", b"\r\n" * 100, b"GET\r\n\r\n", b"\0" * 1_000,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 300_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
    b"POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /v1/realtime HTTP/1.1\r\nHost: ::1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    upgrade("/v1/nothing"), upgrade("/health"), upgrade("/pages/call.js"),
    upgrade("/v1/realtime").replace(b"Version: 13", b"Version: 12"),
    upgrade("/v1/realtime").replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
]  # fmt: skip


async def test_what_is_no_request_is_answered_or_cut_off(server: Outside) -> None:
    await server.calls()
    before = server.holdings()
    for broken in BROKEN:
        answer = await raw(server, broken)
        status = status_of(answer)
        assert status == 0 or 400 <= status < 500, (broken[:80], status)
    assert await server.calls() == 0
    await server.no_more_than(before, spare=8)


async def test_a_head_can_inject_nothing(server: Outside) -> None:
    evil = "%0d%0aSet-Cookie:%20a=b"
    for path in (f"/v1/models/{evil}", f"/{evil}", f"/pages/{evil}", f"/pages{evil}"):
        answer = await raw(server, request("GET", path))
        assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]
    async with line_to(server.port) as line:
        head = await line.shake_hands(
            f"/v1/realtime?model={evil}", **{"Sec-WebSocket-Protocol": "realtime, evil"}
        )
        assert b"Set-Cookie" not in head and b"evil" not in head
        server.answered.add(line.call_id)


FORM = 'Content-Type: multipart/form-data; boundary="b"'


def part(name: str, value: str, *lines: str) -> str:
    head = [f'Content-Disposition: form-data; name="{name}"', *lines]
    return "\r\n".join(["--b", *head, "", value, ""])


async def test_forms_that_are_bombs_are_refused(server: Outside) -> None:
    bombs = {
        "many parts": "".join(part(f"f{n}", "x") for n in range(2_000)) + "--b--\r\n",
        "many files": "".join(part("f", "x", f"X-F: {n}") for n in range(2_000)) + "--b--\r\n",
        "a large part": part("sdp", "x" * 250_000) + "--b--\r\n",
        "long heads": part("sdp", "x", *(f"X-{n}: " + "y" * 1_000 for n in range(200)))
        + "--b--\r\n",
        "no end": part("sdp", "v=0"),
        "only boundaries": "--b\r\n" * 20_000,
        "a name without end": part("x" * 200_000, "x"),
        "another charset": part("sdp", "v=0", "Content-Type: text/plain; charset=utf-7") + "--b--",
        "deep json": part("sdp", "v=0") + part("session", "[" * 100_000) + "--b--\r\n",
        "an encoding": part("sdp", "v=0", "Content-Transfer-Encoding: base64") + "--b--\r\n",
    }
    before = server.holdings()
    for name, bomb in bombs.items():
        length = f"Content-Length: {len(bomb)}"
        answer = await raw(server, request("POST", "/v1/realtime/calls", FORM, length, body=bomb))
        assert 400 <= status_of(answer) < 500, (name, answer[:300])
        assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "code"}, name
    # Boundaries that make a parser look again and again.
    for boundary in ("", "-" * 70, "x" * 5_000, "\r\n", '"'):
        kind = f"Content-Type: multipart/form-data; boundary={boundary}"
        body = "-" * 200_000
        length = f"Content-Length: {len(body)}"
        answer = await raw(server, request("POST", "/v1/realtime/calls", kind, length, body=body))
        assert status_of(answer) in {0, 400}, answer[:300]
    await server.no_more_than(before, spare=8)


async def test_half_requests_are_cut_off_and_others_are_served(server: Outside) -> None:
    """Two hundred clients who never finish: a head, or a body, that comes byte by byte."""
    halves = [
        b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n",
        request("POST", "/v1/realtime/calls", SDP, "Content-Length: 99"),
        request("POST", "/v1/realtime/calls", SDP, "Transfer-Encoding: chunked", body="3\r\nv=0"),
    ]  # fmt: skip
    await server.calls()
    before = server.holdings()

    async def one(half: bytes) -> bytes:
        async with line_to(server.port) as line:
            line.send(half)
            answer = asyncio.create_task(line.reader.read())
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(2 * PATIENCE_S):
                    while not answer.done():  # A little more every now and then.
                        await asyncio.wait({answer}, timeout=2)
                        line.send(b"X" if half else b"")
                    return answer.result()
            return b""

    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(one(halves[number % len(halves)])) for number in range(200)]
        for _ in range(20):
            assert (await server.client.get("/health/ready")).status_code == 200
    for number, each in enumerate(slow):
        answer = each.result()
        assert answer == b"" or status_of(answer) in {400, 408}, (number % len(halves), answer[:99])
    await server.no_more_than(before, spare=8)
