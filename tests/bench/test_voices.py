"""Voices are measured as calls have them; what is not here is said to be absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines import roster
from engines.roster import EngineOptions
from engines.vendors import LocalVoiceOptions
from voice_server.bench import voices
from voice_server.bench.engine_figures import WAYS, Absent, VoiceFigures
from voice_server.bench.samples import SENTENCES
from voice_server.bench.voices import ROUNDS, known, measure_voices

from .talking_engines import BROKEN_VOICE, UNSTARTED_VOICE

SCRIPTED = EngineOptions(
    speech_to_text="scripted", dialogue="scripted", text_to_speech="scripted"
)


async def measured(
    options: EngineOptions, *names: str, language: str = "en"
) -> list[VoiceFigures | Absent]:
    return [each async for each in measure_voices(options, names, language, print)]


async def test_a_voice_is_spoken_with_in_every_way() -> None:
    (row,) = await measured(SCRIPTED, "scripted")
    assert isinstance(row, VoiceFigures) and row.is_sound
    assert row.sentences == ROUNDS * len(SENTENCES["en"]) == row.first.count
    assert set(row.cpu_us) == set(WAYS) and all(us > 0 for us in row.cpu_us.values())
    assert row.real_time_factor > 0 and row.first_ratio > 0 and row.took_ratio > 0


async def test_what_is_not_here_is_absent_and_says_why(tmp_path: Path) -> None:
    options = replace(
        SCRIPTED, kokoro=LocalVoiceOptions(tmp_path), piper=LocalVoiceOptions(tmp_path)
    )
    for name in ("kokoro", "piper", "openai", "yandex", "elevenlabs"):
        (row,) = await measured(options, name)
        assert isinstance(row, Absent) and row.name == name and row.why
    (kokoro,) = await measured(options, "kokoro")
    assert isinstance(kokoro, Absent)
    assert "voice-server models pull kokoro" in kokoro.why or "pip install" in kokoro.why


async def test_a_language_that_a_voice_does_not_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    line = roster.VOICES["scripted"]
    deaf = replace(line, languages=("en",))
    monkeypatch.setitem(roster.VOICES, "scripted", deaf)
    (row,) = await measured(SCRIPTED, "scripted", language="ru")
    assert isinstance(row, Absent) and "ru" in row.why


async def test_a_voice_that_fails_is_seen_and_nobody_speaks_for_it() -> None:
    options = replace(SCRIPTED, text_to_speech=BROKEN_VOICE)
    (row,) = await measured(options, BROKEN_VOICE)
    assert isinstance(row, VoiceFigures) and not row.is_sound
    assert any("lost its voice" in failure for failure in row.failures)
    assert 0 < row.sentences < ROUNDS * len(SENTENCES["en"])


async def test_a_voice_that_does_not_start_is_absent() -> None:
    options = replace(SCRIPTED, text_to_speech=UNSTARTED_VOICE)
    (row,) = await measured(options, UNSTARTED_VOICE)
    assert row == Absent(UNSTARTED_VOICE, "its weights are damaged")


async def test_a_voice_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "SENTENCE_S", 0.0)
    (row,) = await measured(SCRIPTED, "scripted")
    assert isinstance(row, Absent) and "did not say a sentence" in row.why


def test_everything_there_is_and_ones_own_is_measured() -> None:
    found = known(replace(SCRIPTED, text_to_speech=f"{BROKEN_VOICE},espeak"))
    assert {"espeak", "kokoro", "piper", "openai", BROKEN_VOICE} <= set(found)
    assert "scripted" not in found and len(found) == len(set(found))
