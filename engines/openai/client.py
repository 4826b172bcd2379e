"""A client of OpenAI's audio API, or of a server like it, and its errors in our words.

The SDK's own retries are off: whoever asks knows better than it when another engine should be
asked. What a caller may be told of an error holds no key and no address; the vendor's own words,
without the key, go to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpx2Client, Timeout

from ..speech import EngineError, EngineRefused
from ..vendors import OpenAIOptions

logger = logging.getLogger(__name__)
# For the WebSocket library: what it sends begins with the key, and that is not written down,
# however much else is.
wire_log = logging.getLogger(f"{__name__}.wire")
wire_log.setLevel(logging.INFO)

OPENAI_URL = "https://api.openai.com/v1"
# The vendor's balancers let go of connections that are idle for some minutes.
KEPT_ALIVE_S = 120.0
CONNECTIONS_MAX = 1_000
RETRY_AFTER_S_MAX = 3_600.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LOGGED_CHARS_MAX = 300
_GENERATORS_MAX = 20
_KEYS = re.compile(r"\b(?:sk|ek|sess)[-_][\w*-]{6,}")


def client_of(options: OpenAIOptions) -> AsyncOpenAI:
    """Raises `EngineError` where something is not configured."""
    if not options.api_key and not options.base_url:
        raise EngineError("OpenAI needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL")
    timeout = Timeout(options.patience_s, connect=options.connect_s)
    limits = httpx2.Limits(
        max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=KEPT_ALIVE_S,
    )  # fmt: skip
    return AsyncOpenAI(
        # Servers without keys take any; the SDK wants one.
        api_key=options.api_key or "none", base_url=options.base_url or OPENAI_URL,
        max_retries=0, timeout=timeout,
        http_client=DefaultAsyncHttpx2Client(
            timeout=timeout, limits=limits, trust_env=not is_here(options)
        ),
    )  # fmt: skip


def is_here(options: OpenAIOptions) -> bool:
    """Whether the server is on this machine: it is then never reached through a proxy."""
    return urlsplit(options.base_url).hostname in _LOOPBACK


@contextlib.contextmanager
def said_plainly(options: OpenAIOptions, doing: str) -> Iterator[None]:
    """Errors of the SDK and of the network become `EngineError`. `doing`: for the log."""
    try:
        yield
    except openai.APIStatusError as error:
        _log(options, doing, error)
        raise refusal(
            error.status_code, error.code or "", retry_after_s=retry_after_s(error.response.headers)
        ) from None
    except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
        _log(options, doing, error)
        raise EngineError("OpenAI took too long") from None
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
        _log(options, doing, error)
        raise EngineError("OpenAI cannot be reached, or broke off") from None
    except openai.APIError as error:
        # Said in the midst of a stream that had begun well.
        _log(options, doing, error)
        raise refusal(0, error.code or error.type or "") from None
    except (openai.OpenAIError, ValueError, RecursionError) as error:
        _log(options, doing, error)
        raise EngineError("OpenAI answered with something else than was asked for") from None


def refusal(status: int, code: str, *, retry_after_s: float | None = None) -> EngineError:
    """What an HTTP status, or a code in the vendor's error, means for us. 0: there is none."""
    error = EngineError(_reason(status, code))
    if _is_our_fault(status, code):
        error = EngineRefused("OpenAI refuses this request")
    error.retry_after_s = retry_after_s
    return error


def _reason(status: int, code: str) -> str:
    if code in ("insufficient_quota", "billing_hard_limit_reached"):
        return "the OpenAI account is used up"
    if status == 429 or code.startswith("rate_limit"):
        return "OpenAI is too busy"
    if status in (401, 403) or code == "invalid_api_key":
        return "OpenAI does not accept our key"
    if status == 404 or code == "model_not_found":
        return "OpenAI has no such model, or no such service"
    if status >= 500 or code in ("server_error", "internal_error"):
        return "OpenAI has a fault"
    return "OpenAI broke off"


def _is_our_fault(status: int, code: str) -> bool:
    """Whether another request might fare better, and nothing is wrong with key or vendor."""
    if code in ("model_not_found", "invalid_api_key", "insufficient_quota"):
        return False
    return status in (400, 413, 415, 422) or code.startswith("invalid_")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the vendor asks us to wait, from a response's headers."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        told = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", told):
            return min(float(told) * unit_s, RETRY_AFTER_S_MAX)
    with contextlib.suppress(ValueError):
        at = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return min(max(at.timestamp() - time.time(), 0.0), RETRY_AFTER_S_MAX)
    return None


@contextlib.asynccontextmanager
async def finishing_generators() -> AsyncIterator[None]:
    """Around the reading of a stream: when it is left half read, the SDK leaves its generators
    one within the other, and the loop finishes them one after the other, each in a task."""
    try:
        yield
    finally:
        for _ in range(_GENERATORS_MAX):
            await asyncio.sleep(0)


def without_keys(text: str, options: OpenAIOptions) -> str:
    """A vendor's words as they may stand in a log."""
    if options.api_key:
        text = text.replace(options.api_key, "…")
    return _KEYS.sub("…", text)[:_LOGGED_CHARS_MAX]


def _log(options: OpenAIOptions, doing: str, error: Exception) -> None:
    words = without_keys(str(error), options)
    logger.warning("%s: %s: %s", doing, type(error).__name__, words)
