"""The tables of engines: every figure in its place, and what is absent said so."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from voice_server.bench.engine_figures import (
    PARTS,
    WAYS,
    Absent,
    Gap,
    Hearings,
    Layer,
    PathFigures,
    RecogniserFigures,
    VoiceFigures,
    turn_figures,
)
from voice_server.bench.engine_report import (
    is_cheap,
    path_json,
    recognisers_json,
    show_path,
    show_recognisers,
    show_turn,
    show_voices,
    turn_json,
    voices_json,
)
from voice_server.bench.interruptions import Spread
from voice_server.bench.words import NORMALISER, Errors

NOTHING = Spread(0, math.nan, math.nan, math.nan)
VOICE = VoiceFigures(
    "espeak", "", "en", 18, Spread(18, 12.3, 45.6, 50), 0.0123, 0.0456, 1.05, 1.15,
    dict(zip(WAYS, (11.0, 22.0, 33.0), strict=True)),
)  # fmt: skip
VENDOR = VoiceFigures(
    "openai", "tts-9", "en", 6, Spread(6, 321, 654, 700), 0.4, 0.01, math.nan, math.nan, {},
    ("it was asked [too] often",),
)  # fmt: skip
EARS = RecogniserFigures(
    "sphinx", "", "en", 6, Spread(6, 812, 934, 999), Spread(50, 1_234, 1_345, 1_400),
    Spread(6, 45.6, 67.8, 70), 0.25, 0.1234, 24, Errors(200, 30, 10, 10),
)  # fmt: skip
ABSENT = Absent("whisper", "Whisper's weights are not here; fetch them with: pull base")
TURN = turn_figures(
    2, [Gap(710.5, 700, {**dict.fromkeys(PARTS, 0), "endpointing": 608, "transcript": 92})] * 2,
    {"speech_to_text": "sphinx", "dialogue": "tutor"}, 1,
)  # fmt: skip
ROAD = PathFigures("a voice", 20, (Layer("itself", 1.0, 2.0), Layer("made ahead", 13.5, 21.5)))


def shown(show: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=250)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    (line,) = [each for each in text.splitlines() if f"│ {name} " in each]
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_voices() -> None:
    text = shown(lambda console: show_voices(console, [VOICE, VENDOR], [ABSENT]))
    assert row(text, "espeak") == [
        "espeak", "–", "en", "18", "12.3", "45.6", "0.012", "0.046", "1.05", "1.15", "11",
        "22", "33",
    ]  # fmt: skip
    assert row(text, "openai")[-6:] == ["0.010", *"–––––"]
    assert "it was asked [too] often" in text, "what an engine says is no markup"
    assert "absent: whisper." in text and "pull base" in text
    assert "absent: whisper." in shown(lambda console: show_voices(console, [], [ABSENT]))


def test_recognisers_name_the_normaliser_and_the_speech() -> None:
    text = shown(lambda console: show_recognisers(console, [EARS], [ABSENT], "eSpeak NG"))
    assert NORMALISER in text and "eSpeak NG" in text
    assert row(text, "sphinx") == [
        "sphinx", "–", "6", "812", "934", "1234", "1345", "45.6", "67.8", "0.250", "0.123", "24",
        "200", "25.0%",
    ]  # fmt: skip
    nothing = Hearings().figures("mute", "", "en")
    assert "nan" not in shown(lambda console: show_recognisers(console, [nothing], [], "people"))


def test_a_turn_shows_every_part_and_that_it_adds_up() -> None:
    text = shown(lambda console: show_turn(console, TURN))
    for part in PARTS:
        assert row(text, part.replace("_", " "))
    assert row(text, "endpointing") == ["endpointing", "608", "608", "608"]
    assert row(text, "the gap, told by the server")[-1] == "700"
    assert "sum to its gap: yes" in text and "sphinx" in text and "10.5 ms" in text
    assert "filler" not in text
    slow = turn_figures(1, [Gap(700, 700, dict.fromkeys(PARTS, 0), filled=True)], {}, 1)
    assert "1 gaps were ended by a filler" in shown(lambda console: show_turn(console, slow))
    wrong = turn_figures(1, [Gap(0, 1, dict.fromkeys(PARTS, 0))], {}, 1, ["the line was cut"])
    text = shown(lambda console: show_turn(console, wrong))
    assert "sum to its gap: no" in text and "the line was cut" in text
    text = shown(lambda console: show_turn(console, turn_figures(1, [], {}, 0)))
    assert "sum to its gap: no" in text and "nan" not in text


def test_a_road_is_cheap_or_not() -> None:
    text = shown(lambda console: show_path(console, [ROAD]))
    assert "12.5" in text and "6.2%" in text and "met with 12.5" in text
    dear = PathFigures("a voice", 20, (Layer("itself", 1.0, 2.0), Layer("made", 31.1, 40.0)))
    assert is_cheap(ROAD) and not is_cheap(dear)
    assert "missed with 30.1" in shown(lambda console: show_path(console, [dear]))


@pytest.mark.parametrize(
    "written",
    [
        voices_json([VOICE, VENDOR], [ABSENT]), turn_json(turn_figures(1, [], {}, 0)),
        recognisers_json([EARS, Hearings().figures("mute", "", "en")], [ABSENT], "people"),
        path_json([ROAD]),
    ],
)  # fmt: skip
def test_what_is_written_is_json(written: dict[str, object]) -> None:
    assert json.loads(json.dumps(written, allow_nan=False))


def test_what_is_written_says_what_was_not_here() -> None:
    found = json.loads(json.dumps(recognisers_json([EARS], [ABSENT], "people")))
    assert found["absent"] == [{"name": "whisper", "why": ABSENT.why}]
    assert found["normaliser"] == NORMALISER and found["source"] == "people"
    assert found["recognisers"][0]["word_error_rate"] == 0.25
    (road,) = json.loads(json.dumps(path_json([ROAD])))["roads"]
    assert road["bar"] == {"added_us_max": 30.0, "met": True}
