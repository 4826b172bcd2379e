"""What the doctor says of the dialogue, against a chat server in every state."""

from __future__ import annotations

import json

import pytest

from tests.engines.chat_server import Answer, refuses, serving_chat
from voice_server.commands.check_engines import check_dialogue
from voice_server.commands.finding import OK, PROBLEM, WARNING, Finding
from voice_server.commands.settings import read_config


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def lists(*models: str) -> Answer:
    told = {"object": "list", "data": [{"id": model, "object": "model"} for model in models]}
    return Answer(body=json.dumps(told).encode(), content_type="application/json")


async def found(answer: Answer, **options: object) -> Finding:
    async with serving_chat(answer) as chat:
        usual = {"dialogue": "openai", "chat_base_url": chat.base_url, "chat_model": "small"}
        (finding,) = await check_dialogue(read_config({**usual, **options}))
        assert "127.0.0.1" not in finding.said
        return finding


async def test_an_offline_dialogue_needs_nothing() -> None:
    (finding,) = await check_dialogue(read_config({"dialogue": "tutor"}))
    assert finding.level == OK and "VOICE_SERVER_DIALOGUE=openai" in finding.remedy


async def test_what_is_missing_is_named() -> None:
    (finding,) = await check_dialogue(read_config({"dialogue": "openai"}))
    assert finding.level == PROBLEM and "VOICE_SERVER_CHAT_API_KEY" in finding.remedy
    (finding,) = await check_dialogue(read_config({"dialogue": "tutor", "chat_models": {"a": "b"}}))
    assert finding.level == WARNING


async def test_a_server_that_knows_the_models() -> None:
    assert (await found(lists("small", "other"))).level == OK
    assert (await found(lists("small:latest"))).level == OK
    both = await found(lists("small", "other"), chat_models={"gpt-realtime": "other"})
    assert both.level == OK and "small, other" in both.said


async def test_a_model_that_is_not_listed() -> None:
    finding = await found(lists("other"))
    assert finding.level == WARNING and "small" in finding.said and "other" in finding.remedy
    assert "none" in (await found(lists())).remedy


@pytest.mark.parametrize(
    "answer", [refuses(401), refuses(404), refuses(500), Answer(body=b"<html>")], ids=str
)
async def test_a_server_that_does_not_answer_as_it_should(answer: Answer) -> None:
    finding = await found(answer)
    assert finding.level == PROBLEM and "VOICE_SERVER_CHAT_BASE_URL" in finding.remedy
