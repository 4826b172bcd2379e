"""What the doctor says of the dialogue, against a chat server in every state."""

from __future__ import annotations

import json

import pytest

from tests.engines.chat_server import Answer, refuses, serving_chat
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble
from voice_server.commands.check_engines import (
    check_conversation,
    check_dialogue,
    check_recogniser,
    check_voice,
)
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
    tutor, finding = await check_dialogue(
        read_config({"dialogue": "tutor", "chat_models": {"a": "b"}})
    )
    assert tutor.level == OK and finding.level == WARNING


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


async def test_every_engine_of_a_list_is_looked_at() -> None:
    async with OpenAIServer() as vendor:
        config = read_config({
            "openai_api_key": vendor.key, "openai_base_url": vendor.base_url,
            "text_to_speech": "openai,yandex,espeak", "speech_to_text": "openai,yandex,scripted",
        })  # fmt: skip
        voices, ears = await check_voice(config), await check_recogniser(config)
    assert [finding.level for finding in voices] == [OK, WARNING, OK]
    assert "YANDEX" in voices[1].remedy
    assert [finding.level for finding in ears[:3]] == [OK, WARNING, OK]


@pytest.mark.parametrize("standing_by", [False, True])
async def test_a_vendor_in_trouble_is_a_problem_where_nobody_stands_by(standing_by: bool) -> None:
    async with OpenAIServer(mood=Mood(Trouble.LOCKED)) as vendor:
        names = "openai,espeak" if standing_by else "openai"
        finding = (await check_voice(read_config({
            "openai_api_key": vendor.key, "openai_base_url": vendor.base_url,
            "text_to_speech": names,
        })))[0]  # fmt: skip
        assert vendor.key not in finding.said + finding.remedy
    assert finding.level == (WARNING if standing_by else PROBLEM)
    assert "openai" in finding.said and "key" in finding.remedy


async def test_a_model_that_hears_and_speaks_is_looked_for() -> None:
    wanted = {"speech_to_speech": "openai-realtime", "openai_realtime_model": "gpt-realtime-2.1"}
    (finding,) = await check_conversation(read_config(wanted))
    assert finding.level == WARNING and "OPENAI_API_KEY" in finding.remedy
    assert await check_conversation(read_config({})) == []
    for models, level in [(("gpt-realtime-2.1",), OK), (("other",), WARNING)]:
        async with serving_chat(lists(*models)) as chat:
            asked = {**wanted, "openai_base_url": chat.base_url, "openai_api_key": "sk-test"}
            (finding,) = await check_conversation(read_config(asked))
            assert finding.level == level and "gpt-realtime-2.1" in finding.said


async def test_a_chat_server_in_a_list_is_asked() -> None:
    finding = await found(lists("small"), dialogue="openai")
    async with serving_chat(lists("small")) as chat:
        asked = {"dialogue": "openai,tutor", "chat_base_url": chat.base_url, "chat_model": "small"}
        tutor, both = await check_dialogue(read_config(asked))
    assert both == finding and tutor.level == OK
