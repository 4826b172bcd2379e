"""What a caller asks of the server outside the call: is it there, hang up, what did it cost."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import re
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import httpx2
import orjson

from .caller import Refused, ServerEvent, Unreachable

_PATIENCE_S = 10.0
_BILL_POLL_S = 0.2
_TURN_PAGES_MAX = 20


class Server:
    """A voice server at `url` (http or https; ws and wss are taken for them). `trusts`: what
    its certificate is checked by; the authorities that this machine knows unless given."""

    def __init__(self, url: str, key: str = "", trusts: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        if scheme not in {"http", "https"} or not parts.hostname:
            raise Unreachable(f"{url!r} is not the address of a server (http://host:port)")
        self.url = urlunsplit((scheme, parts.netloc, "", "", ""))
        self.host = parts.hostname
        self.key = key
        self.tls = (trusts or trusting(None)) if scheme == "https" else None
        self._client = httpx2.AsyncClient(
            base_url=self.url, timeout=_PATIENCE_S, headers=self.headers,
            verify=self.tls or False, trust_env=not self.is_local,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def is_local(self) -> bool:
        return is_loopback(self.host)

    @property
    def websocket_url(self) -> str:
        return "ws" + self.url.removeprefix("http") + "/v1/realtime"

    async def is_ready(self) -> bool:
        """Whether a voice server answers here and takes calls. Raises `Unreachable` when
        nobody answers at all."""
        return (await self._send("GET", "/health/ready")).status_code == 200

    async def is_ours(self) -> bool:
        """Whether what answers here is a voice server. Raises `Unreachable`."""
        response = await self._send("GET", "/health")
        found = _json(response)
        return response.status_code == 200 and isinstance(found, dict) and "calls" in found

    async def call(self, call_id: str) -> ServerEvent:
        """State of a call, with its bill once it is closed. Raises `Refused`."""
        return await self._ask("GET", f"/v1/calls/{call_id}")

    async def bill(self, call_id: str, *, patience_s: float = 5.0) -> ServerEvent | None:
        """The bill of a call that is ending; None when it does not come in time."""
        with contextlib.suppress(Unreachable, Refused):
            for _ in range(math.ceil(patience_s / _BILL_POLL_S)):
                if isinstance(bill := (await self.call(call_id)).get("bill"), dict):
                    return bill
                await asyncio.sleep(_BILL_POLL_S)
        return None

    async def turns(self, call_id: str) -> list[ServerEvent]:
        """How each turn of a call went, as far as the server tells."""
        turns, path = list[ServerEvent](), f"/v1/calls/{call_id}/turns?limit=200"
        with contextlib.suppress(Unreachable, Refused):
            cursor = ""
            for _ in range(_TURN_PAGES_MAX):
                page = await self._ask("GET", f"{path}{cursor}")
                found = page.get("data")
                listed = found if isinstance(found, list) else []
                turns += [turn for turn in listed if isinstance(turn, dict)]
                if not isinstance(after := page.get("next_cursor"), str) or not after.isdigit():
                    break
                cursor = f"&cursor={after}"
        return turns

    async def hang_up(self, call_id: str) -> None:
        """Ask the server to end the call; a call that is over already is no error."""
        response = await self._send("POST", f"/v1/realtime/calls/{call_id}/hangup")
        if response.status_code not in {200, 202, 204, 404}:
            raise refusal(response.status_code, response.content, response.headers)

    async def offer(self, sdp: str, session: ServerEvent) -> tuple[str, str]:
        """Place a WebRTC call: the answer's SDP and the call's id. Raises `Refused`."""
        response = await self._send(
            "POST", "/v1/realtime/calls",
            files={
                "sdp": (None, sdp.encode(), "application/sdp"),
                "session": (None, orjson.dumps(session), "application/json"),
            },
        )  # fmt: skip
        if response.status_code != 201:
            raise refusal(response.status_code, response.content, response.headers)
        return response.text, response.headers.get("location", "").rpartition("/")[2]

    async def ice_servers(self) -> list[ServerEvent]:
        """The STUN and TURN servers that callers should use. Raises `Refused`."""
        found = (await self._ask("GET", "/v1/ice")).get("ice_servers")
        listed = found if isinstance(found, list) else []
        return [entry for entry in listed if isinstance(entry, dict) and entry.get("urls")]

    async def wallet(self) -> ServerEvent:
        return await self._ask("GET", "/v1/wallet")

    async def _ask(self, method: str, path: str) -> ServerEvent:
        response = await self._send(method, path)
        if response.status_code != 200 or not isinstance(found := _json(response), dict):
            raise refusal(response.status_code, response.content, response.headers)
        return found

    async def _send(self, method: str, path: str, **content: object) -> httpx2.Response:
        try:
            return await self._client.request(method, path, **content)  # type: ignore[arg-type]
        except httpx2.TransportError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: Exception) -> Unreachable:
        """That nobody answers, or nobody who can be trusted, in words."""
        reason = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return Unreachable(
                f"the certificate of {self.url} is not one that is trusted here; name it with "
                f"--cacert if you trust it: {reason}"
            )
        return Unreachable(f"nobody answers at {self.url}: {reason}")


def trusting(cacert: Path | None) -> ssl.SSLContext:
    """The authorities that this machine knows, and the certificates in this PEM file. Raises
    `OSError`, also for a file that holds none."""
    context = ssl.create_default_context()
    if cacert is not None:
        context.load_verify_locations(cacert)
    return context


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def refusal(status: int, body: bytes, headers: httpx2.Headers | dict[str, str]) -> Refused:
    """A refused request as an error that says what to do."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = {"error": body[:200].decode(errors="replace")}
    found = found if isinstance(found, dict) else {}
    error = found.get("error", "")
    if isinstance(error, dict):  # OpenAI's own shape: {"error": {"message", "code"}}.
        found, error = error, error.get("message", "")
    retry = re.match(r"\d+", headers.get("retry-after", "") or "")
    return Refused(status, str(found.get("code", "")), str(error), int(retry[0]) if retry else 0)


def _json(response: httpx2.Response) -> object:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
