"""What the environment means, where it is more than a name and a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines.vendors import OpenAIOptions
from voice_server.commands.settings import BadSettings, read_config
from voice_server.web import house


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VOICE_SERVER_CHAT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_vendors_own_variables_count_where_ours_are_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (read_config().chat_key, read_config().chat_address) == ("", "")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://example.com/v1")
    assert (read_config().chat_key, read_config().chat_address) == ("theirs", "https://example.com/v1")
    monkeypatch.setenv("VOICE_SERVER_CHAT_API_KEY", "ours")
    assert read_config().chat_key == "ours"


def test_the_vendors_key_is_never_sent_to_a_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    config = read_config({"chat_base_url": "http://127.0.0.1:11434/v1"})
    assert (config.chat_key, config.chat_address) == ("", "http://127.0.0.1:11434/v1")
    assert "theirs" not in repr(config)


def test_models_by_name_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_SERVER_CHAT_MODELS", '{"gpt-realtime": "llama3.2"}')
    assert read_config().chat_models == {"gpt-realtime": "llama3.2"}


def test_the_models_of_a_vendor_are_those_that_it_still_has() -> None:
    config = read_config()
    openai = house.engine_options(config).openai
    assert openai == OpenAIOptions()
    assert config.chat_model == "gpt-6-luna"
    assert replace(openai, base_url="http://127.0.0.1:1/v1").voice_model == "gpt-4o-mini-tts"
    at_home = replace(openai, base_url="https://api.openai.com/v1")
    assert openai.voice_model == at_home.voice_model == "gpt-realtime-2.1-mini"
    assert replace(openai, speech_model="mine").voice_model == "mine"


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://x/v1", "http://", "http://a b"])
def test_a_base_url_is_one(url: str) -> None:
    with pytest.raises(BadSettings, match="VOICE_SERVER_CHAT_BASE_URL"):
        read_config({"chat_base_url": url})


def test_a_role_may_have_several_engines_and_each_must_be_one() -> None:
    config = read_config({"text_to_speech": "openai, espeak", "speech_to_text": "mine.ears:Ears"})
    assert config.text_to_speech == "openai, espeak"
    for wrong in ({"text_to_speech": "openai,sphinx"}, {"dialogue": ""}, {"speech_to_text": ","}):
        with pytest.raises(BadSettings, match=next(iter(wrong)).upper()):
            read_config(wrong)


def test_a_price_list_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="ENGINE_PRICES"):
        read_config({"engine_prices": tmp_path / "none.json"})
