"""What is believed of what was heard, judged by the figures that models and detectors gave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.speech import Word
from engines.whisper.trust import Evidence, Trust, is_phantom, unlooped

# A sentence of a student, plainly heard: eight words in three seconds.
SAID = Evidence(
    "A verb is a word that does something.", no_speech=0.02, logprob=-0.25, compression=1.0,
    length_ms=3_000, voiced_ms=2_400,
)  # fmt: skip
THANKS = Evidence(
    "Thank you.", no_speech=0.03, logprob=-0.3, compression=0.6, length_ms=900, voiced_ms=640
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no_speech": 0.9},  # In doubt, but sure of its words.
        {"logprob": -1.4},
        {"compression": 2.3},
        {"voiced_ms": 800},
        {"text": "No.", "length_ms": 320, "voiced_ms": 96},
    ],
    ids=str,
)
def test_what_was_said_is_believed(changes: dict[str, float]) -> None:
    assert Trust().believes(replace(SAID, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"voiced_ms": 0},
        {"voiced_ms": 32},
        {"no_speech": 0.7, "logprob": -0.6},
        {"logprob": -1.6},
        {"compression": 2.5},
        {"voiced_ms": 320},  # Thirty letters in a third of a second.
    ],
    ids=str,
)
def test_what_nobody_can_have_said_is_not(changes: dict[str, float]) -> None:
    assert not Trust().believes(replace(SAID, **changes))  # type: ignore[arg-type]


def test_thanks_are_believed_while_nothing_is_doubtful() -> None:
    assert Trust().believes(THANKS)


@pytest.mark.parametrize(
    "changes",
    [
        {"no_speech": 0.2},
        {"logprob": -1.1},
        {"length_ms": 5_000, "voiced_ms": 700},  # One cough in five seconds.
        {"voiced_ms": 160},  # Too short for eight letters.
    ],
    ids=str,
)
def test_thanks_in_doubtful_sound_are_a_phantom(changes: dict[str, float]) -> None:
    doubtful = replace(THANKS, **changes)  # type: ignore[arg-type]
    assert not Trust().believes(doubtful)
    # The same doubts do not silence a student.
    said = replace(doubtful, text="A noun." if doubtful.voiced_ms > 160 else "A.")
    assert Trust().believes(said)


# Segments with the figures that people printed, in public threads, of what Whisper models gave
# them: the text, the chance of no speech, the mean log probability, the compression ratio. For
# how long a voice was heard they did not say: here the detector is taken in as well.
MADE_UP = (
    ("Sottotitoli creati dalla comunità Amara.org", 0.878, -0.378, 0.846),
    ("Sottotitoli creati dalla comunità Amara.org", 0.977, -0.307, 0.846),
)
SPOKEN = (
    ("Testing, testing, this is going to be a new audio recording.", 0.163, -0.402, 1.053, 4_000),
    ("お電話ありがとうございます", 0.0, -0.346, 0.792, 3_120),
    ("FPI", 0.0, -0.346, 0.792, 920),
)


@pytest.mark.parametrize("figures", MADE_UP)
def test_a_credit_is_a_phantom_however_sure_the_model(
    figures: tuple[str, float, float, float],
) -> None:
    assert not Trust().believes(Evidence(*figures, length_ms=30_000, voiced_ms=30_000))


@pytest.mark.parametrize("figures", SPOKEN, ids=lambda figures: str(figures[0])[:12])
def test_what_people_said_to_other_servers_is_believed(
    figures: tuple[str, float, float, float, int],
) -> None:
    *model, length_ms = figures
    assert Trust().believes(Evidence(*model, length_ms, length_ms * 6 // 10))  # type: ignore[call-arg, arg-type]


def test_signs_without_a_word_are_nothing() -> None:
    assert not Trust().believes(replace(SAID, text=" … "))
    assert not Trust().believes(replace(SAID, text="♪♪♪"))


@pytest.mark.parametrize(
    ("text", "phantom"),
    [
        ("Thanks for watching!", True),
        (" THANK YOU. ", True),
        ("Don't forget to like and subscribe.", True),
        ("Субтитры сделал DimaTorzok", True),
        ("Субтитры подогнал «Симон»", True),
        ("Transcribed by https://otter.ai", True),
        ("[музыка]", True),
        ("(wind blowing)", True),
        ("A (very) long word", False),
        ("Sous-titrage ST' 501", True),
        ("Untertitel im Auftrag des ZDF für funk, 2017", True),
        ("Thank you, I am fine, and you?", False),
        ("Спасибо, теперь понятно.", False),
        ("Субтитры помогают мне учить слова.", False),
        ("The subtitles were too fast.", False),
        ("", False),
        ("?!", False),
    ],
)
def test_phantoms_are_known_by_their_words(text: str, phantom: bool) -> None:
    assert is_phantom(text) is phantom


def words(text: str) -> list[Word]:
    return [Word(f" {word}", 100 * n, 100 * n + 90) for n, word in enumerate(text.split())]


def said(text: str) -> str:
    return "".join(word.text for word in unlooped(words(text))).strip()


def test_a_loop_is_said_once() -> None:
    loop = "I am going to go. " * 6
    assert said(f"Well, {loop} And then?") == "Well, I am going to go. And then?"
    assert said("ha " * 40) == "ha"
    assert said("да, нет, " * 9) == "да, нет,"


def test_who_insists_is_not_a_loop() -> None:
    for text in (
        "no no no no no, not that", "go on, go on, go on", "the cat the cat sat",
        "bye bye", "I know I know. You know.", "", "one",
    ):  # fmt: skip
        assert said(text) == text


def test_the_words_that_are_kept_keep_their_times() -> None:
    kept = unlooped(words("a b c a b c a b c a b c d"))
    assert [(word.text, word.start_ms) for word in kept] == [
        (" a", 0), (" b", 100), (" c", 200), (" d", 1_200),
    ]  # fmt: skip
