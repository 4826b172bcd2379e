"""The vendor's errors in our words."""

from __future__ import annotations

import logging
import time

import httpx2
import openai
import pytest

from engines.openai.client import refusal, retry_after_s, said_plainly, without_keys
from engines.speech import EngineError, EngineRefused
from engines.vendors import OpenAIOptions

OPTIONS = OpenAIOptions("sk-the-one-and-only")
REQUEST = httpx2.Request("POST", "https://vendor.example/v1/audio/speech")


@pytest.mark.parametrize(
    ("status", "code", "words", "refused"),
    [
        (401, "invalid_api_key", "key", False), (403, "", "key", False),
        (429, "rate_limit_exceeded", "busy", False), (429, "insufficient_quota", "used up", False),
        (404, "model_not_found", "no such", False), (400, "model_not_found", "no such", False),
        (400, "invalid_value", "refuses", True), (422, "", "refuses", True),
        (500, "", "fault", False), (503, "", "fault", False), (0, "server_error", "fault", False),
        (0, "rate_limit_exceeded", "busy", False), (0, "invalid_api_key", "key", False),
        (0, "", "broke off", False),
    ],
)  # fmt: skip
def test_what_the_vendor_says_is_said_plainly(
    status: int, code: str, words: str, refused: bool
) -> None:
    error = refusal(status, code, retry_after_s=3.0)
    assert words in str(error)
    assert isinstance(error, EngineRefused) is refused
    assert error.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None), ({"retry-after": "2"}, 2.0), ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "999999"}, 3_600.0), ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None), ({"retry-after": "1e9"}, None),
        ({"retry-after": "٣"}, None), ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1998 00:00:00 GMT"}, 0.0),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s


def test_how_long_to_wait_for_a_date() -> None:
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 600))
    found = retry_after_s({"retry-after": at})
    assert found is not None
    assert 0 < found <= 600


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (openai.APITimeoutError(request=REQUEST), "too long"),
        (openai.APIConnectionError(request=REQUEST), "cannot be reached"),
        (httpx2.ReadTimeout("x"), "too long"), (httpx2.ReadError("x"), "broke off"),
        (TimeoutError(), "too long"), (openai.OpenAIError("x"), "something else"),
        (ValueError("x"), "something else"),
        (openai.APIError("x", REQUEST, body={"code": "rate_limit_exceeded"}), "busy"),
    ],
)  # fmt: skip
def test_every_error_of_the_network_is_an_engine_error(raised: Exception, words: str) -> None:
    with pytest.raises(EngineError, match=words), said_plainly(OPTIONS, "a test"):
        raise raised


def test_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    words = f"Incorrect API key provided: {OPTIONS.api_key}, sk-proj-abc***xyz. See the site"
    response = httpx2.Response(401, request=REQUEST)
    with pytest.raises(EngineError), said_plainly(OPTIONS, "a test"):
        raise openai.AuthenticationError(words, response=response, body=None)
    assert "Incorrect API key provided" in caplog.text
    assert "sk-" not in caplog.text
    assert OPTIONS.api_key not in repr(OPTIONS)


def test_ordinary_words_are_left_alone() -> None:
    told = "the task-based sketch asks for skilfulness"
    assert without_keys(told, OPTIONS) == told
