"""Recognisers are heard out on a clock that runs with the sound; who fails is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines import roster
from engines.roster import EngineOptions
from engines.scripted import HEARD, ScriptedSpeechToText
from engines.speech import PCM_FRAME_BYTES, PCM_FRAME_MS, PcmFrame
from voice_server.bench import recognisers
from voice_server.bench.engine_figures import Absent, RecogniserFigures
from voice_server.bench.recognisers import hear, known, measure_recognisers
from voice_server.bench.samples import Sample

from .talking_engines import DEAF_EARS, STUCK_EARS

SCRIPTED = EngineOptions(
    speech_to_text="scripted", dialogue="scripted", text_to_speech="scripted"
)
FRAMES = (PcmFrame(bytes(PCM_FRAME_BYTES)),) * 10
SAMPLES = [Sample(f"{n}", "en", "what is an adverb", FRAMES, 64) for n in range(5)]


async def measured(
    options: EngineOptions, *names: str, samples: list[Sample] = SAMPLES
) -> RecogniserFigures | Absent:
    (row,) = [each async for each in measure_recognisers(options, names, samples, print)]
    return row


async def test_a_quarter_is_heard_live_and_all_of_it_for_its_words() -> None:
    row = await measured(SCRIPTED, "scripted")
    assert isinstance(row, RecogniserFigures) and row.is_sound
    assert (row.live, row.clips) == (2, 5)
    # It hears "What is a verb?" each time: two of four words are wrong.
    assert (row.errors.words, row.errors.substituted) == (20, 10)
    assert row.first.count == row.final.count == 2
    assert row.real_time_factor > 0


async def test_live_sound_is_not_heard_before_it_was_said() -> None:
    found = await hear(ScriptedSpeechToText(), SAMPLES[0], live=True)
    assert found.ended_ms == len(FRAMES) * PCM_FRAME_MS and found.onset_ms == 64
    # It shows its first word with the first frame, which is over after 32 ms; and its final last.
    assert found.shown[0].at_ms >= PCM_FRAME_MS and found.done_ms >= found.ended_ms
    assert found.shown[-1].final and found.shown[-1].text == HEARD


async def test_sound_that_is_all_there_has_no_end_to_wait_for() -> None:
    found = await hear(ScriptedSpeechToText(), SAMPLES[0], live=False)
    assert found.ended_ms == 0 and found.shown[-1].final


async def test_what_is_not_here_is_absent_and_says_why(tmp_path: Path) -> None:
    options = replace(SCRIPTED, models_dir=tmp_path)
    whisper = await measured(options, "whisper")
    assert isinstance(whisper, Absent) and "voice-server models pull base" in whisper.why
    for name in ("openai", "yandex"):
        assert isinstance(await measured(options, name), Absent)


async def test_a_language_that_is_not_understood_is_said() -> None:
    russian = [replace(SAMPLES[0], language="ru")]
    row = await measured(SCRIPTED, "sphinx", samples=russian)
    assert row == Absent("sphinx", "it does not understand 'ru'")


async def test_a_recogniser_that_fails_is_seen() -> None:
    row = await measured(replace(SCRIPTED, speech_to_text=DEAF_EARS), DEAF_EARS)
    assert isinstance(row, RecogniserFigures) and not row.is_sound
    assert row.failures == ("it hears nothing",) and (row.clips, row.live) == (0, 0)


async def test_a_recogniser_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognisers, "OVERTIME_S", 0.0)
    row = await measured(
        replace(SCRIPTED, speech_to_text=STUCK_EARS), STUCK_EARS, samples=SAMPLES[:1]
    )
    assert isinstance(row, RecogniserFigures)
    assert row.failures == ("it was not done 0 s after the sound",)


async def test_one_that_costs_money_hears_only_what_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = roster.EARS["scripted"]
    monkeypatch.setitem(roster.EARS, "scripted", replace(line, owner="vendor"))
    row = await measured(SCRIPTED, "scripted")
    assert isinstance(row, RecogniserFigures)
    assert (row.live, row.clips, row.errors.words) == (2, 2, 8)


def test_everything_there_is_and_ones_own_is_measured() -> None:
    found = known(replace(SCRIPTED, speech_to_text=f"auto,{DEAF_EARS}"))
    assert {"sphinx", "whisper", "openai", "yandex", DEAF_EARS} == set(found)
