"""No key reaches the log, however much of it an operator wants and whatever the vendor does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from engines.openai.chat import ChatOptions
from engines.registry import Registry
from engines.roster import EngineOptions
from engines.speech import EngineError, EngineSettings, PcmFrame, Turn
from engines.vendors import ElevenLabsOptions, OpenAIOptions
from tests.vendors.elevenlabs import ElevenLabsServer
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Trouble
from tests.vendors.yandex import YandexServer
from voice_server.config import Config
from voice_server.web.server import _log

FRAMES = 32


async def sound() -> AsyncIterator[PcmFrame]:
    for _ in range(FRAMES):
        yield PcmFrame(bytes(1_024))


@pytest.fixture
def at_debug() -> Iterator[None]:
    """As a server logs that is told to log everything."""
    root = logging.getLogger()
    before, handlers = root.level, list(root.handlers)
    root.setLevel(logging.DEBUG)
    _log(Config.model_validate({"log_level": "debug"}))
    yield
    root.setLevel(before)
    root.handlers[:] = handlers


async def use_all(engines: Any) -> None:
    """Hear, think and speak with whoever is first."""
    hears, speaks = engines.speech_to_text("", "en"), engines.text_to_speech("")
    for stream in (
        hears.transcribe(sound(), language="en"),
        engines.dialogue("").respond((Turn("Hello.", ""),), EngineSettings(dialogue="openai")),
        speaks.synthesize("Hello.", voice="", language="en"),
    ):
        with contextlib.suppress(EngineError):
            async with contextlib.aclosing(stream):
                async for _ in stream:
                    pass


@pytest.mark.parametrize("trouble", [Trouble.NONE, Trouble.LOCKED, Trouble.BROKEN])
async def test_no_key_is_logged(
    trouble: Trouble, at_debug: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    yandex = YandexServer(api_key="AQVN-secret", iam_token="t1.secret", folder_id="b1-secret")
    async with OpenAIServer() as openai, ElevenLabsServer() as eleven:
        for mood in (openai.mood, eleven.mood, yandex.hearing, yandex.speaking):
            mood.trouble = trouble
        for ears, voice in [("openai", "openai"), ("yandex", "yandex"), ("yandex", "elevenlabs")]:
            options = EngineOptions(
                ears, "openai", voice,
                openai=OpenAIOptions(openai.key, openai.base_url),
                chat=ChatOptions(openai.base_url, openai.key, "gpt-6-luna"),
                elevenlabs=ElevenLabsOptions(eleven.key, eleven.origin),
                yandex=yandex.options,
            )  # fmt: skip
            registry = Registry(options)
            await use_all(registry.for_call())
            await registry.close()
            logging.getLogger("tests").debug("%r", options)
        assert openai.requests and eleven.requests and yandex.sessions and yandex.spoken
    yandex.close()
    assert len(caplog.text) > 1_000, "everything is logged"
    assert not [key for key in (openai.key, eleven.key, yandex.api_key) if key in caplog.text]
