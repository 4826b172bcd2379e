"""A dialogue with any server that speaks OpenAI's Chat Completions, streamed, with tools.

That is OpenAI itself, and vLLM, Ollama, llama.cpp, LM Studio or any gateway, by its base URL.
What is asked is made in `chat_messages`, what comes back is read in `chat_stream`; here is the
connection: one client for the whole process, one more try before the first word and none after
it, and an end to the HTTP stream as soon as the reply is no longer wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..speech import (
    DialogueOutput,
    EngineError,
    EngineRefused,
    EngineSettings,
    Entry,
    FunctionCall,
    Turn,
)
from .chat_messages import Message, messages_of, safe_name, tool_fields
from .chat_stream import CALLS_MAX, ChatStream

if TYPE_CHECKING:
    from openai import APIError, AsyncOpenAI, AsyncStream

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
_CONNECT_S = 5.0
_TRIES_MAX = 2
# Fields that servers refuse by name, and what to send in their stead.
_GIVES_WAY = {
    "max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens",
    "parallel_tool_calls": "", "tool_choice": "", "stream_options": "", "reasoning_effort": "",
}  # fmt: skip
# Of the vendor's own models those that can be told not to think.
_THOUGHTLESS = re.compile(r"gpt-(?:5\.[1-9]|[6-9]|\d\d)(?!\w)")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LOGGED_CHARS_MAX = 300
_END = object()


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which server, with which key, and which of its models.

    `models`: chat models by the names that clients ask for. `patience_s`: how long the server
    may be silent. `limit_field`: what the server calls the bound of a reply. `reasoning_effort`:
    how much the model thinks before it speaks; empty: the server is not told; "auto": OpenAI's
    own models that can are told not to, for a caller waits, and they call tools only then."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    model: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = 20.0
    limit_field: str = "max_completion_tokens"
    reasoning_effort: str = "auto"

    def effort(self, model: str) -> str:
        """What the server is told of thinking; empty: nothing."""
        if self.reasoning_effort != "auto":
            return self.reasoning_effort
        ours = urlsplit(self.base_url or OPENAI_URL).hostname == urlsplit(OPENAI_URL).hostname
        return "none" if ours and _THOUGHTLESS.match(model) else ""

    def model_of(self, name: str) -> str:
        """The model that this name means."""
        return self.models.get(name, self.model)

    @property
    def missing(self) -> str:
        """What must still be configured, in words; empty: nothing."""
        if not self.model:
            return "no chat model is configured: set VOICE_SERVER_CHAT_MODEL"
        if not self.api_key and not self.base_url:
            return (
                "no chat server is configured: set VOICE_SERVER_CHAT_API_KEY for OpenAI's, or "
                "VOICE_SERVER_CHAT_BASE_URL for another"
            )
        return ""


class ChatDialogue:
    """A `Dialogue`. `settings.dialogue` may be one of the names in `ChatOptions.models`."""

    def __init__(self, options: ChatOptions) -> None:
        self._options = options
        self._client: AsyncOpenAI | None = None
        # What this server does not take, by model.
        self._refused: dict[str, set[str]] = {}

    # Life.

    async def start(self) -> None:
        """Raises `EngineError` where something is not configured."""
        await asyncio.to_thread(__import__, "openai")
        self._connection()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def models(self) -> tuple[str, ...]:
        """The models that the server says it has. Raises `EngineError`."""
        with _said_plainly(self._options, self._options.model):
            async with asyncio.timeout(self._options.patience_s):
                listed = await self._connection().get("/models", cast_to=object)
            models = listed.get("data") if isinstance(listed, dict) else None
            if not isinstance(models, list):
                raise EngineError("the chat server answered with something else than its models")
        return tuple(str(each["id"]) for each in models if isinstance(each, dict) and "id" in each)

    # Replies.

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        model = self._options.model_of(settings.dialogue)
        request: Message = {
            "model": model, "messages": messages_of(history, settings), "stream": True,
            "stream_options": {"include_usage": True}, **tool_fields(settings),
        }  # fmt: skip
        if settings.output_tokens_max:
            request[self._options.limit_field] = settings.output_tokens_max
        if effort := self._options.effort(model):
            request["reasoning_effort"] = effort
        with _said_plainly(self._options, model):
            async with contextlib.AsyncExitStack() as stack:
                reply = _reply(history, settings)
                answer, first = await self._begin(request, reply, stack)
                for output in first:
                    yield output
                while (chunk := await self._next(answer)) is not _END:
                    for output in reply.feed(chunk):
                        yield output
                for output in reply.finish():
                    yield output

    async def _begin(
        self, request: Message, reply: ChatStream, stack: contextlib.AsyncExitStack
    ) -> tuple[AsyncStream[object], list[DialogueOutput]]:
        """The answer, and the first that is said in it. A connection that fails before that is
        tried once more."""
        from openai import APIConnectionError, APITimeoutError, InternalServerError

        for tries_left in reversed(range(_TRIES_MAX)):
            async with contextlib.AsyncExitStack() as own:
                try:
                    answer = await self._post(request)
                    own.push_async_callback(answer.close)
                    first = await self._first(answer, reply)
                except (APIConnectionError, InternalServerError) as error:
                    if isinstance(error, APITimeoutError) or not tries_left:
                        raise
                    logger.info("the chat server failed (%s); trying again", type(error).__name__)
                    continue
                stack.push_async_exit(own.pop_all())
                return answer, first
        raise AssertionError("the last try returns or raises")

    async def _first(
        self, answer: AsyncStream[object], reply: ChatStream
    ) -> list[DialogueOutput]:
        while (chunk := await self._next(answer)) is not _END:
            if outputs := list(reply.feed(chunk)):
                return outputs
        return []

    async def _next(self, answer: AsyncStream[object]) -> object:
        async with asyncio.timeout(self._options.patience_s):
            return await anext(answer, _END)

    async def _post(self, request: Message) -> AsyncStream[object]:
        """The stream that answers the request; fields the server refuses give way."""
        from openai import AsyncStream, BadRequestError, UnprocessableEntityError

        model = str(request["model"])
        refused = self._refused.setdefault(model, set())
        while True:
            asked = _without(request, refused)
            try:
                async with asyncio.timeout(self._options.patience_s):
                    return await self._connection().post(
                        "/chat/completions", cast_to=object, body=asked, stream=True,
                        stream_cls=AsyncStream[object],
                    )  # fmt: skip
            except (BadRequestError, UnprocessableEntityError) as error:
                unwanted = _unwanted(error, asked) - refused
                if not unwanted:
                    raise
                logger.info("%s does not take %s", model, ", ".join(sorted(unwanted)))
                refused |= unwanted

    def _connection(self) -> AsyncOpenAI:
        """Raises `EngineError` where something is not configured."""
        if self._options.missing:
            raise EngineError(self._options.missing)
        if self._client is None:
            self._client = _client(self._options)
        return self._client


def _reply(history: Sequence[Entry], settings: EngineSettings) -> ChatStream:
    calls = [entry for entry in history if isinstance(entry, FunctionCall)]
    calls += [call for entry in history if isinstance(entry, Turn) for call in entry.calls]
    return ChatStream(
        lambda: f"call_{secrets.token_hex(8)}",
        taken={call.call_id for call in calls},
        names={safe_name(tool.name): tool.name for tool in settings.tools},
        calls_max=CALLS_MAX if settings.parallel_tools else 1,
    )


def _client(options: ChatOptions) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAsyncHttpx2Client, Timeout

    base_url = options.base_url or OPENAI_URL
    # A server on this machine is never reached through a proxy.
    direct = urlsplit(base_url).hostname in _LOOPBACK
    timeout = Timeout(options.patience_s, connect=_CONNECT_S)
    return AsyncOpenAI(
        # Servers without keys take any; the SDK wants one.
        api_key=options.api_key or "none", base_url=base_url, max_retries=0, timeout=timeout,
        http_client=DefaultAsyncHttpx2Client(timeout=timeout, trust_env=not direct),
    )  # fmt: skip


def _without(request: Message, refused: set[str]) -> Message:
    asked = dict(request)
    for name in refused & request.keys():
        value, instead = asked.pop(name), _GIVES_WAY[name]
        if instead and instead not in refused:
            asked[instead] = value
    return asked


def _unwanted(error: APIError, asked: Message) -> set[str]:
    """Which of the optional fields the server complains about."""
    told = f"{error.param or ''} {error.message}"
    return {name for name in _GIVES_WAY if name in asked and name in told}


@contextlib.contextmanager
def _said_plainly(options: ChatOptions, model: str) -> Iterator[None]:
    """Errors of the SDK and of the network become what a caller may be told."""
    from openai import APIError, OpenAIError

    try:
        yield
    except EngineError as error:
        logger.warning("chat with %s: %s", model, error)
        raise
    except APIError as error:
        detail = error.message.replace(options.api_key or "\0", "…")[:_LOGGED_CHARS_MAX]
        logger.warning("chat with %s: %s: %s", model, type(error).__name__, detail)
        raise _told(error, model) from None
    except TimeoutError:
        logger.warning("chat with %s: silent for %g s", model, options.patience_s)
        raise EngineError("the chat server took too long") from None
    except (OpenAIError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        logger.warning("chat with %s: %s", model, type(error).__name__)
        raise EngineError("the chat server answered with something else than a chat") from None


def _told(error: APIError, model: str) -> EngineError:
    import openai

    from .client import retry_after_s

    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return EngineRefused(_plain(error, model))
    plain = EngineError(_plain(error, model))
    if isinstance(error, openai.APIStatusError):
        plain.retry_after_s = retry_after_s(error.response.headers)
    return plain


def _plain(error: APIError, model: str) -> str:
    import openai

    match error:
        case openai.APITimeoutError():
            return "the chat server took too long"
        case openai.APIConnectionError():
            return "the chat server cannot be reached, or broke off"
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return "the chat server does not accept our key"
        case openai.NotFoundError():
            return f"the chat server has no model {model[:80]!r}"
        case openai.RateLimitError():
            spent = error.code == "insufficient_quota"
            return "the chat account is used up" if spent else "the chat server is too busy"
        case openai.InternalServerError():
            return "the chat server has a fault"
        case openai.APIStatusError():
            return "the chat server refused the request"
        case _:
            return "the chat server broke off"
