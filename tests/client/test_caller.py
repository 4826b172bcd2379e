"""What a caller asks for, and how it is told that it cannot have it."""

from __future__ import annotations

import pytest

from voice_server.client.caller import Refused, Wishes


def test_wishes_say_only_what_was_wished() -> None:
    assert Wishes(extensions=False).session(audio_format=None) == {"type": "realtime"}
    assert Wishes().session(audio_format=None)["voice_server"] == {"events": True}


def test_wishes_are_the_protocols_session() -> None:
    wishes = Wishes(language="ru", voice="ru+f2", recogniser="sphinx", silence_ms=608)
    session = wishes.session(audio_format={"type": "audio/opus"})
    assert session["audio"] == {
        "input": {
            "format": {"type": "audio/opus"},
            "transcription": {"language": "ru", "model": "sphinx"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 608},
        },
        "output": {"format": {"type": "audio/opus"}, "voice": "ru+f2"},
    }


@pytest.mark.parametrize(
    ("status", "said"), [(401, "--key"), (402, "grant"), (429, "in 7 s"), (503, "in 7 s")]
)
def test_a_refusal_says_what_to_do(status: int, said: str) -> None:
    refused = str(Refused(status, "code", "No.", 7))
    assert str(status) in refused and "No." in refused and said in refused
