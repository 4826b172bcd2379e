"""When a stretch is looked at, what it forgets, and where it ends."""

from __future__ import annotations

import numpy as np

from engines.silero import Network
from engines.speech import Word
from engines.whisper.stretch import BYTES_PER_MS, CUT_STEP_MS, Asking, Stretch
from engines.whisper.voicing import Voicing

LOUD = b"\x00\x20" * 16  # One millisecond.
HUSH = b"\x00\x00" * 16


def always(chance: float) -> Network:
    """A detector that is always this sure."""
    return lambda windows, states: (np.full(len(windows), chance, np.float32), states)


def stretch_of(language: str = "en") -> Stretch:
    return Stretch(Asking("transcribe", language), Voicing(always(1.0)))


def heard_so_far(stretch: Stretch, ms: int, *, loud: bool = True) -> None:
    for _ in range(ms // 32):
        stretch.hear((LOUD if loud else HUSH) * 32)


def test_looks_are_a_second_apart_and_silence_is_not_looked_at() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 5_000, loud=False)
    assert not stretch.is_due()
    heard_so_far(stretch, 64)
    assert stretch.is_due()
    stretch.hearing(final=False)
    heard_so_far(stretch, 960)
    assert not stretch.is_due()
    heard_so_far(stretch, 64)
    assert stretch.is_due()


def test_a_long_stretch_forgets_the_sound_of_confirmed_words() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 13_000)
    guess = [Word(" one", 0, 500), Word(" two", 500, 6_000), Word(" three", 6_000, 9_000)]
    assert not stretch.take(guess)
    assert stretch.take(guess)
    assert stretch.partial().text == "one two three"
    look = stretch.hearing(final=False)
    assert look.start_ms == 9_000
    assert len(look.sound) < 4_100 * BYTES_PER_MS
    assert look.prompt == " one two three"
    assert stretch.final([Word(" four", 9_100, 9_500)]).text == "one two three four"


def test_a_stretch_ends_in_a_pause_or_at_its_limit() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 19_000)
    heard_so_far(stretch, 500, loud=False)
    assert not stretch.must_end()
    heard_so_far(stretch, 600, loud=False)
    assert stretch.must_end()
    endless = stretch_of()
    heard_so_far(endless, 27_000)
    assert not endless.must_end()
    heard_so_far(endless, 1_100)
    assert endless.must_end()


def test_a_cut_loses_no_sound_and_falls_into_the_quietest_moment() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 27_008)
    heard_so_far(stretch, 128, loud=False)
    heard_so_far(stretch, 960)
    before = stretch.hearing(final=True).sound
    rest = stretch.cut()
    first, second = stretch.hearing(final=True), rest.hearing(final=True)
    assert first.sound + second.sound == before
    assert 27_008 <= second.start_ms <= 27_136 + CUT_STEP_MS
    assert rest.follows and not stretch.follows


def test_the_voice_of_a_stretch_is_known_behind_a_cut() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 27_008)
    heard_so_far(stretch, 1_088, loud=False)
    rest = stretch.cut()
    heard_so_far(rest, 640)
    look = rest.hearing(final=True)
    look.voicing.catch_up()
    voiced_ms = look.voiced_ms(0, look.length_ms)
    assert 640 <= voiced_ms <= look.length_ms
    assert look.voiced_ms(look.length_ms - 640, 99_999) == 640


def test_languages_without_spaces_get_none() -> None:
    stretch = stretch_of("ja")
    heard_so_far(stretch, 1_000)
    assert stretch.final([Word("動", 0, 300), Word("詞", 300, 600)]).text == "動詞"


def test_what_the_model_left_out_is_heard_again_from_its_last_word() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 9_600)
    look = stretch.hearing(final=True)
    look.voicing.catch_up()
    rest = stretch.left_out(look, [Word(" one", 0, 500), Word(" two", 500, 6_000)])
    assert rest is not None
    assert (rest.start_ms, rest.length_ms, rest.prompt) == (6_000, 3_600, " one two")
    assert stretch.left_out(look, [Word(" end", 0, 8_700)]) is None
    assert stretch.left_out(look, []) is None, "what was not believed is not asked for again"


def test_silence_behind_the_last_word_is_not_heard_again() -> None:
    stretch = stretch_of()
    heard_so_far(stretch, 3_200)
    heard_so_far(stretch, 6_400, loud=False)
    look = stretch.hearing(final=True)
    look.voicing.catch_up()
    assert stretch.left_out(look, [Word(" one", 0, 3_100)]) is None
