"""What a call's engines are, where the records of its turns would otherwise be wrong."""

from __future__ import annotations

import pytest

from engines.openai.chat import ChatOptions
from engines.registry import Registry
from engines.roster import EngineOptions
from engines.speech import EngineSettings, EngineUse, Turn

from .chat_server import says, serving_chat


@pytest.mark.parametrize(("name", "model"), [("gpt-realtime", "cheap"), ("openai", "dear")])
async def test_a_reply_is_priced_as_the_model_that_was_asked(name: str, model: str) -> None:
    async with serving_chat(says("Hello.")) as server:
        chat = ChatOptions(server.base_url, model="dear", models={"gpt-realtime": "cheap"})
        registry = Registry(EngineOptions("scripted", "openai", "scripted", chat=chat))
        uses = list[EngineUse]()
        dialogue = registry.for_call().dialogue(name, uses.append)
        stream = dialogue.respond((Turn("Hi.", ""),), EngineSettings(dialogue=name))
        assert [each async for each in stream]
        await registry.close()
    assert [asked.body["model"] for asked in server.asked] == [model]
    assert [use.version for use in uses] == [model]
