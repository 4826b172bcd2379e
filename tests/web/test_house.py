"""What a configuration means for the house that is built from it."""

from __future__ import annotations

import pytest

from voice_server.config import Config
from voice_server.web.house import elsewhere

AUDIO = {
    ("speech_to_text", "openai"), ("text_to_speech", "openai"), ("speech_to_speech", "openai"),
}  # fmt: skip
CHAT = {("dialogue", "openai")}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, set()),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, set()),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}, AUDIO | CHAT),
        ({"OPENAI_BASE_URL": "https://api.openai.com.example/v1"}, AUDIO | CHAT),
        ({"chat_base_url": "http://127.0.0.1:11434/v1"}, CHAT),
        (
            {
                "OPENAI_BASE_URL": "http://localhost/v1",
                "chat_base_url": "https://api.openai.com/v1",
            },
            AUDIO,
        ),
    ],
)
def test_another_server_does_not_charge_what_openai_does(
    settings: dict[str, str], found: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert elsewhere(Config.model_validate(settings)) == found
