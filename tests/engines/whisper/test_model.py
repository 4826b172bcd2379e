"""Whisper's weights at work, in random weights of the true shape: batches, belief, and cards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engines.agreement import text_of
from engines.silero import package_network
from engines.speech import PCM_FRAME_MS, PcmFrame, Word
from engines.whisper import model as whisper_model
from engines.whisper.model import Listener, _pieces, audible, load
from engines.whisper.stretch import BYTES_PER_MS, Asking, Hearing
from engines.whisper.trust import Trust
from engines.whisper.voicing import Voicing

from ..sounds import NOT_SPEECH, not_speech
from ..tiny_whisper import CREDULOUS
from .test_stretch import HUSH, LOUD, always

TIME = 50_000  # Some number of the time 0.


@pytest.fixture(scope="module")
def listener(whisper_weights: Path) -> Listener:
    return load(whisper_weights / "tiny", decoders=1, trust=CREDULOUS)


def hearing_of(
    frames: Sequence[PcmFrame], *, final: bool = True, hotwords: str = "", prompt: str = "",
    language: str = "en", start_frames: int = 0,
) -> Hearing:  # fmt: skip
    voicing = Voicing(package_network())
    for frame in [*[PcmFrame(bytes(1_024))] * start_frames, *frames]:
        voicing.hear(frame.samples, silent=not any(frame.samples))
    return Hearing(
        Asking("transcribe", language, hotwords), b"".join(frame.samples for frame in frames),
        start_frames * PCM_FRAME_MS, prompt, final, voicing,
    )  # fmt: skip


def talks(english: Sequence[PcmFrame], final: bool) -> list[Hearing]:
    """Random weights hardly listen, but they do go on from what they are told was said."""
    cuts = ((10, 70), (30, 90), (50, 110), (70, 130))  # One length, for one bound of words.
    said = ("noun", "seven trees", "the house is red", "kule xula")
    return [
        hearing_of(english[begin:end], final=final, prompt=before)
        for (begin, end), before in zip(cuts, said, strict=True)
    ]


@pytest.mark.parametrize("final", [True, False], ids=["finals", "partials"])
def test_a_batch_hears_what_each_would_alone(
    listener: Listener, english: list[PcmFrame], final: bool
) -> None:
    """The sums of a batch are made in another order, so a close call may fall otherwise."""
    alone = [text_of(listener.hear([hearing])[0]) for hearing in talks(english, final)]
    assert len(set(alone)) >= 3, "they hear something of their own"
    together = [text_of(words) for words in listener.hear(talks(english, final))]
    same = [a == b for a, b in zip(alone, together, strict=True)]
    assert same.count(True) >= 3


def test_prompts_of_unlike_length_do_not_break_a_batch(
    listener: Listener, english: list[PcmFrame]
) -> None:
    said = (("", ""), ("noun, verb", ""), ("", "The word is"), ("ё" * 200, "б" * 400))
    found = listener.hear(
        [hearing_of(english[:90], hotwords=likely, prompt=before) for likely, before in said]
    )
    assert len(found) == 4
    assert all(found)


def test_times_count_from_the_start_of_the_stream(
    listener: Listener, english: list[PcmFrame]
) -> None:
    here = listener.hear([hearing_of(english[:120])])[0]
    later = listener.hear([hearing_of(english[:120], start_frames=100)])[0]
    assert [(w.text, w.start_ms + 3_200, w.end_ms + 3_200) for w in here] == [
        (w.text, w.start_ms, w.end_ms) for w in later
    ]


@pytest.mark.parametrize("sound", NOT_SPEECH)
def test_noise_gives_nothing_even_where_every_guess_is_believed(
    listener: Listener, sound: str, english: list[PcmFrame]
) -> None:
    assert listener.hear([hearing_of(not_speech(sound, seconds=6))]) == [[]]
    talk = hearing_of(english[:90])
    found = listener.hear([hearing_of(not_speech(sound, seconds=6)), talk])
    assert found[0] == [] and found[1]


def test_those_who_have_left_are_not_heard(listener: Listener, english: list[PcmFrame]) -> None:
    both = talks(english, True)[:2]
    both[0].left.set()
    found = listener.hear(both)
    assert found[0] == [] and found[1]


def test_leaving_ends_the_work_between_two_steps(
    listener: Listener, english: list[PcmFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, encode = hearing_of(english[:90]), listener._model.encode

    def leaving(spectra: Any) -> Any:
        asked.left.set()
        return encode(spectra)

    def generate(*_: object, **__: object) -> None:
        raise AssertionError("went on for nobody")

    monkeypatch.setattr(listener._model, "encode", leaving)
    monkeypatch.setattr(listener, "_generated", generate)
    assert listener.hear([asked]) == [[]]


def test_a_model_that_is_sure_of_nothing_is_not_believed(
    listener: Listener, english: list[PcmFrame]
) -> None:
    doubting = Listener(listener._model, Trust(), listener.network)
    assert doubting.hear([hearing_of(english)]) == [[]]


# Belief.


def result(no_speech: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(sequences_ids=[[1, 2]], scores=[-0.9], no_speech_prob=no_speech)


def piece(text: str, start: float, end: float) -> whisper_model.Piece:
    each = (end - start) / len(text.split())
    words = [
        {"word": f" {word}", "start": start + n * each, "end": start + (n + 1) * each}
        for n, word in enumerate(text.split())
    ]
    return {"tokens": text, "start": start, "end": end, "words": words}


def believed(
    pieces: list[whisper_model.Piece], *, trust: Trust, sound: bytes, voice: float = 1.0,
    no_speech: float = 0.0,
) -> str:  # fmt: skip
    voicing = Voicing(always(voice))
    for at in range(0, len(sound), 1_024):
        frame = sound[at : at + 1_024]
        voicing.hear(frame, silent=not any(frame))
    voicing.catch_up()
    hearing = Hearing(Asking("transcribe", "en"), sound, 0, "", True, voicing)
    listener = Listener(None, trust, always(voice))
    tokenizer = SimpleNamespace(decode=lambda tokens: tokens)
    found = listener._believed(hearing, result(no_speech), pieces, tokenizer)
    return "".join(word.text for word in found).strip()


def test_each_segment_is_judged_by_its_own_sound() -> None:
    said, thanks = piece("A verb is a word.", 0.0, 1.5), piece("Thanks for watching!", 4.0, 6.0)
    sound = LOUD * 1_600 + HUSH * 4_800
    # Digital silence has no words; neither has a noise that is no voice.
    assert believed([said, thanks], trust=Trust(), sound=sound) == "A verb is a word."
    assert believed([said, thanks], trust=Trust(), sound=LOUD * 6_400, voice=0.1) == ""
    assert believed([said], trust=Trust(), sound=sound, no_speech=0.9) == ""
    # While somebody speaks all the time, a farewell may be one.
    everything = "A verb is a word. Thanks for watching!"
    assert believed([said, thanks], trust=Trust(), sound=LOUD * 6_400) == everything


def test_words_without_a_sound_or_a_voice_are_dropped() -> None:
    sound = LOUD * 960 + HUSH * 1_984
    voicing = Voicing(always(1.0))
    for at in range(0, len(sound), 1_024):
        frame = sound[at : at + 1_024]
        voicing.hear(frame, silent=not any(frame))
    voicing.catch_up()
    hearing = Hearing(Asking("transcribe", "en"), sound, 5_000, "", True, voicing)
    words = piece("one two three four", 0.0, 2.9)["words"]
    moved = replace(hearing, start_ms=0)
    assert [w.text for w in audible(words, moved)] == [" one", " two"]
    assert list(audible(words[:1], moved)) == [Word(" one", 0, 725)]


# Segments.


def test_segments_lie_between_the_times_that_the_model_wrote() -> None:
    tokens = [TIME, 1, 2, TIME + 50, TIME + 60, 3, TIME + 100]
    found = [(p["tokens"], p["start"], p["end"]) for p in _pieces(tokens, TIME, 5_000)]
    assert found == [
        ([TIME, 1, 2, TIME + 50], 0.0, 1.0),
        ([TIME + 60, 3, TIME + 100], pytest.approx(1.2), 2.0),
    ]


def test_a_segment_without_an_end_lasts_to_the_end_of_the_sound() -> None:
    tokens = [TIME, 1, TIME + 50, TIME + 50, 2, 3]
    assert [p["end"] for p in _pieces(tokens, TIME, 5_000)] == [1.0, 5.0]
    assert [(p["start"], p["end"]) for p in _pieces([1, 2], TIME, 5_000)] == [(0.0, 5.0)]


def test_no_time_lies_outside_the_sound() -> None:
    for tokens in ([], [TIME], [TIME + 1_500], [TIME + 900, 1, TIME + 100, TIME + 1_500, 2]):
        for each in _pieces(tokens, TIME, 2_000):
            assert 0 <= each["start"] <= each["end"] <= 2.0


# Cards.


def test_without_a_card_nothing_is_tried(whisper_weights: Path) -> None:
    def tried(_: Path) -> str:
        raise AssertionError("there is no card to try")

    assert load(whisper_weights / "tiny", decoders=1, trust=CREDULOUS, tries=tried).device == "cpu"


def test_a_card_that_cannot_be_used_is_not_and_the_log_says_so(
    whisper_weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    english: list[PcmFrame],
) -> None:  # fmt: skip
    """The child is real, and so is its failure: this machine has no card, though the library is
    made to say that it has one."""
    import ctranslate2

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    with caplog.at_level(logging.WARNING):
        listener = load(whisper_weights / "tiny", decoders=1, trust=CREDULOUS)
    assert listener.device == "cpu"
    assert "graphics card" in caplog.text and "cuDNN" in caplog.text
    assert listener.hear([hearing_of(english[:90])])[0]


def test_who_asks_for_the_processor_gets_it(
    whisper_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctranslate2

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    directory = whisper_weights / "tiny"
    assert load(directory, decoders=1, trust=CREDULOUS, device="cpu").device == "cpu"


def test_the_largest_batch_is_measured_on_a_card_and_one_on_a_processor(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listener.batch_that_pays() == 1
    assert 0 < listener.took_s(2) < 60
    card = Listener(listener._model, CREDULOUS, listener.network, "cuda")
    monkeypatch.setattr(card, "took_s", lambda batch: 0.01 if batch <= 8 else 0.01 * batch)
    assert card.batch_that_pays() == 8


def test_the_spectrum_is_of_the_whole_sound(listener: Listener, english: list[PcmFrame]) -> None:
    sound = b"".join(frame.samples for frame in english[:60])
    spectrum = listener._spectrum(sound)
    assert spectrum.shape == (80, 3_000)
    frames = len(sound) // BYTES_PER_MS // 10
    assert np.any(spectrum[:, frames - 5 : frames])
    assert not np.any(spectrum[:, frames + 2 :])
