"""Names of other houses' models, of today and of later."""

from __future__ import annotations

import pytest

from engines.aliases import DIALOGUE, KNOWN, SPEECH_TO_TEXT, TEXT_TO_SPEECH, kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-4o-mini-tts-2025-12-15", TEXT_TO_SPEECH), ("tts-1-hd-1106", TEXT_TO_SPEECH),
        ("gpt-4o-mini-transcribe-2025-12-15", SPEECH_TO_TEXT), ("whisper-2", SPEECH_TO_TEXT),
        ("gpt-realtime-2.1-mini-2026-07-01", DIALOGUE), ("gpt-realtime-2025-08-28", DIALOGUE),
        ("gpt-live-transcribe-2026-07-28", SPEECH_TO_TEXT), ("gpt-6-luna", DIALOGUE),
        ("gpt-4.1-mini", DIALOGUE), ("o3-mini", DIALOGUE),
        ("nope", None), ("espeak", None), ("whisper", None), ("", None), ("gpt-\n", None),
        ("gpt-" + "x" * 100, None), ("../gpt-4", None),
    ],
)  # fmt: skip
def test_a_name_tells_its_kind(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_every_name_of_the_list_is_known() -> None:
    assert {name: kind_of(name) for name in KNOWN} == KNOWN
