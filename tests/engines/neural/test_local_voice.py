"""How a text is made into pieces, and what of the sound of a piece is sent."""

from __future__ import annotations

import numpy as np
import pytest

from engines.neural.local_voice import SPEED_MAX, TEXT_CHARS_MAX, checked, pieces_of
from engines.neural.neural_work import EDGE_MS, Samples, trimmed
from engines.speech import EngineRefused
from engines.tempo import Tempo

RATE_HZ = 24_000


def silence(ms: int) -> Samples:
    return np.zeros(ms * RATE_HZ // 1_000, np.float32)


def tone(ms: int, level: float = 0.3) -> Samples:
    times = np.arange(ms * RATE_HZ // 1_000) / RATE_HZ
    return (np.sin(2 * np.pi * 220 * times) * level).astype(np.float32)


def test_the_first_piece_is_short_and_the_others_are_sentences() -> None:
    text = (
        "Well then, a verb is a word that tells us what somebody does, or is. And then there are "
        "nouns! They name things, people and places."
    )
    pieces = pieces_of(text)
    assert len(pieces) >= 3
    assert len(pieces[0][1]) < len("Well then, a verb is a word that tells us what somebody does,")
    assert all(text[at : at + len(piece)] == piece for at, piece in pieces)
    assert " ".join(piece for _, piece in pieces) == text


def test_pieces_that_are_alike_have_places_of_their_own() -> None:
    text = "This is it, I think. This is it, I think. This is it, I think. This is it, I think."
    places = [at for at, _ in pieces_of(text)]
    assert places == sorted(set(places))
    assert len(places) > 1


@pytest.mark.parametrize("text", ["", " … ", "?!", "\n\n"])
def test_what_has_no_word_has_no_piece(text: str) -> None:
    assert pieces_of(text) == []


def test_what_cannot_be_asked_is_refused() -> None:
    assert checked("a\ud800b", 1.0) == "a?b"
    with pytest.raises(EngineRefused, match="characters"):
        checked("a" * (TEXT_CHARS_MAX + 1), 1.0)
    with pytest.raises(EngineRefused, match="speed"):
        checked("a", SPEED_MAX * 1.1)


def test_the_silence_around_a_sound_is_cut() -> None:
    sound, head = trimmed(np.concatenate((silence(800), tone(500), silence(1_500))), RATE_HZ)
    assert head == (800 - EDGE_MS) * RATE_HZ // 1_000
    assert abs(len(sound) * 1_000 // RATE_HZ - (500 + 2 * EDGE_MS)) <= 5


def test_a_quiet_end_of_a_word_is_no_silence() -> None:
    sound, _ = trimmed(np.concatenate((tone(500), tone(200, level=0.01), silence(500))), RATE_HZ)
    assert len(sound) * 1_000 // RATE_HZ >= 700


def test_a_sound_of_nothing_or_of_nonsense_is_nothing() -> None:
    assert len(trimmed(silence(100), RATE_HZ)[0]) == 0
    assert len(trimmed(silence(0), RATE_HZ)[0]) == 0
    assert np.isfinite(trimmed(np.array([np.nan, 1.0, np.inf], np.float32), RATE_HZ)[0]).all()


@pytest.mark.parametrize("tempo", [0.5, 0.8, 1.5, 2.0])
def test_sound_is_paced_without_becoming_higher(tempo: float) -> None:
    pcm = (tone(2_000) * 32_767).astype("<i2").tobytes()
    paced = Tempo(RATE_HZ, tempo)
    made = b"".join(paced.feed(pcm[at : at + 4_800]) for at in range(0, len(pcm), 4_800))
    made += paced.flush()
    assert len(made) == pytest.approx(len(pcm) / tempo, rel=0.05)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(made, "<i2")[:24_000]))
    assert abs(int(spectrum.argmax()) - 220) <= 4
