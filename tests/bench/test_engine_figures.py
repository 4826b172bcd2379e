"""How soon words are shown, what wrappers cost, and where a turn's silence goes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.speech import Word
from voice_server.bench.engine_figures import (
    BARE,
    DRESSED,
    PARTS,
    WHOLE,
    Gap,
    Heard,
    Hearings,
    Layer,
    PathFigures,
    Shown,
    Spoken,
    final_ms,
    first_ms,
    lags_ms,
    text_of,
    turn_figures,
    voice_figures,
)
from voice_server.bench.words import Errors

WORDS = (Word("good", 400, 700), Word("morning,", 700, 1_200))


def partial(at_ms: float, text: str) -> Shown:
    return Shown(at_ms, text, final=False)


def final(at_ms: float, text: str, *words: Word) -> Shown:
    return Shown(at_ms, text, True, words)


def heard(*shown: Shown, done_ms: float = 2_100) -> Heard:
    return Heard(onset_ms=400, ended_ms=2_000, done_ms=done_ms, shown=shown)


# Recognisers.


def test_a_word_is_shown_when_it_stands_in_its_place() -> None:
    said = heard(
        partial(900, "God"), partial(1_000, "Good"), partial(1_600, "good Morning"),
        final(2_050, "Good morning,", *WORDS),
    )  # fmt: skip
    assert lags_ms(said) == [300, 400]
    assert first_ms(said) == 500 and final_ms(said) == pytest.approx(100)
    assert text_of(said.shown) == "Good morning,"


def test_a_word_that_no_partial_had_is_shown_by_the_final() -> None:
    assert lags_ms(heard(partial(900, "morning"), final(2_050, "good morning", *WORDS))) == [
        1_350, 850,
    ]  # fmt: skip


def test_a_second_stretch_stands_behind_the_first() -> None:
    said = heard(
        partial(900, "good"), final(1_000, "good", Word("good", 400, 700)),
        partial(1_500, "good"), final(2_050, "good day", Word("good", 1_300, 1_400),
                                      Word("day", 1_400, 1_700)),
    )  # fmt: skip
    # The second "good" is not shown by the first one's partial.
    assert lags_ms(said) == [200, 100, 350]
    assert text_of(said.shown) == "good good day"


def test_words_without_times_have_no_lag() -> None:
    assert lags_ms(heard(final(2_050, "good morning"))) == []
    assert lags_ms(heard(final(2_050, "good morning there", *WORDS))) == [], "whose ends are they?"


def test_silence_and_marks_show_nothing() -> None:
    nothing = heard(partial(500, " "), partial(600, "…"), final(2_050, ""))
    assert first_ms(nothing) is None and text_of(nothing.shown) == ""


def test_who_is_done_before_the_end_keeps_nobody_waiting() -> None:
    assert final_ms(heard(done_ms=1_500)) == 0


_TEXTS = st.lists(st.sampled_from("a b c".split()), max_size=6)


@st.composite
def _hearings(draw: st.DrawFn) -> Heard:
    said = draw(st.lists(st.sampled_from("a b c".split()), min_size=1, max_size=6))
    words = [Word(word, 100 * at, 100 * at + 100) for at, word in enumerate(said)]
    partials = draw(st.lists(_TEXTS, max_size=5))
    shown = [partial(100.0 * at, " ".join(text)) for at, text in enumerate(partials)]
    return heard(*shown, final(2_050, " ".join(said), *words))


@given(_hearings(), st.integers(0, 5_000))
def test_what_comes_later_lags_by_so_much_more(said: Heard, by_ms: int) -> None:
    later = replace(
        said, shown=tuple(replace(each, at_ms=each.at_ms + by_ms) for each in said.shown)
    )
    assert lags_ms(later) == [lag + by_ms for lag in lags_ms(said)]


@given(_hearings())
def test_every_word_is_shown_by_the_final_at_the_latest(said: Heard) -> None:
    (last,) = [each for each in said.shown if each.final]
    lags = lags_ms(said)
    assert len(lags) == len(last.words)
    latest = [last.at_ms - word.end_ms for word in last.words]
    assert all(lag <= most for lag, most in zip(lags, latest, strict=True))
    without = replace(said, shown=(last,))
    assert lags_ms(without) == latest, "partials only make it sooner"


def test_a_recogniser_is_the_sum_of_its_recordings() -> None:
    found = Hearings(
        heard=[heard(partial(900, "good"), final(2_050, "good morning", *WORDS)), heard()],
        at_once_ms=[(100, 1_000), (500, 2_000)], cpu_s=0.3, clips=3,
        errors=Errors(8, substituted=2), failures=["it fell over", "it fell over"],
    )  # fmt: skip
    row = found.figures("sphinx", "", "en")
    assert row.real_time_factor == pytest.approx(0.2) and row.live == 2
    assert row.cpu_factor == pytest.approx(0.1)
    assert (row.first.count, row.lag.count, row.final.count) == (1, 2, 2)
    assert row.failures == ("it fell over",) and not row.is_sound
    assert row.as_json()["word_error_rate"] == 0.25


def test_a_recogniser_that_heard_nothing_is_not_perfect() -> None:
    row = Hearings().figures("sphinx", "", "en")
    written = json.loads(json.dumps(row.as_json(), allow_nan=False))
    assert written["word_error_rate"] is None and written["real_time_factor"] is None
    assert not row.is_sound


# Voices.


def spoken(first_ms: int, took_ms: int, cpu_us: float, frames: int = 50) -> Spoken:
    return Spoken("", first_ms * 1_000, took_ms * 1_000, cpu_us, frames)


def test_a_voice_is_judged_as_a_call_has_it() -> None:
    one = {
        BARE: spoken(10, 100, 500), DRESSED: spoken(12, 110, 600), WHOLE: spoken(20, 150, 1_000)
    }  # fmt: skip
    other = {
        BARE: spoken(20, 200, 500), DRESSED: spoken(20, 200, 600), WHOLE: spoken(30, 250, 1_000)
    }  # fmt: skip
    row = voice_figures("espeak", "", "en", [one, other], cpu_s=0.3)
    assert (row.first.p50_ms, row.first.p95_ms, row.sentences) == (20, 30, 2)
    assert row.real_time_factor == pytest.approx(0.2), "two seconds of sound in 0.4"
    assert row.cpu_factor == pytest.approx(0.05), "six seconds of sound in all ways"
    assert row.first_ratio == pytest.approx(1.75) and row.took_ratio == pytest.approx(1.375)
    assert row.cpu_us == {BARE: 10, DRESSED: 12, WHOLE: 20} and row.is_sound


def test_a_voice_that_is_asked_once_is_compared_with_nothing() -> None:
    row = voice_figures("openai", "tts", "en", [{WHOLE: spoken(300, 400, 900)}])
    assert row.first.p50_ms == 300 and math.isnan(row.first_ratio) and not row.cpu_us
    written = json.loads(json.dumps(row.as_json(), allow_nan=False))
    assert written["first_ratio"] is None


def test_a_voice_that_failed_once_is_not_sound() -> None:
    whole = {WHOLE: spoken(1, 2, 3)}
    assert not voice_figures("a", "", "en", [whole], failures=["it fell over"]).is_sound
    assert not voice_figures("a", "", "en", []).is_sound


# Turns.


def gap(told_ms: int, heard_ms: float, **parts: int) -> Gap:
    return Gap(heard_ms, told_ms, dict.fromkeys(PARTS, 0) | parts)


def test_the_median_turn_is_a_turn_that_was() -> None:
    gaps = [
        gap(900, 905, endpointing=600, transcript=300), gap(700, 690, endpointing=700),
        gap(800, 800, endpointing=600, first_audio=200),
    ]  # fmt: skip
    found = turn_figures(3, gaps, {"dialogue": "tutor"}, 1)
    assert sum(found.median.values()) == found.told.p50_ms == 800
    assert found.median["first_audio"] == 200 and found.parts["transcript"].p50_ms == 0
    assert (found.off.p50_ms, found.off.max_ms) == (5, 10)
    assert found.adds_up and found.is_sound


def test_a_millisecond_without_a_place_is_seen() -> None:
    assert not turn_figures(1, [gap(701, 700, endpointing=700)], {}, 1).adds_up
    right = [gap(700, 700, endpointing=700)]
    assert not turn_figures(2, right, {}, 1).is_sound, "a question was not answered"
    assert not turn_figures(1, right, {}, 0).is_sound, "no bill"
    assert not turn_figures(1, right, {}, 1, ["the line was cut"]).is_sound
    nothing = turn_figures(1, [], {}, 1)
    assert not nothing.is_sound and nothing.median == {}
    assert json.dumps(nothing.as_json(), allow_nan=False)


_MS = st.integers(0, 5_000)


@given(st.lists(st.tuples(*[_MS] * len(PARTS)), min_size=1, max_size=20))
def test_the_median_turn_always_sums_to_its_gap(rows: list[tuple[int, ...]]) -> None:
    gaps = [Gap(sum(row), sum(row), dict(zip(PARTS, row, strict=True))) for row in rows]
    found = turn_figures(len(gaps), gaps, {}, 1)
    assert found.adds_up and found.is_sound and found.off.max_ms == 0
    assert sum(found.median.values()) == found.told.p50_ms
    assert sum(spread.p50_ms for spread in found.parts.values()) >= 0


# The path.


def test_what_is_added_is_told_without_the_engine() -> None:
    road = PathFigures(
        "a voice", 20, (Layer("itself", 1.0, 3.0), Layer("told", 4.0, 9.0), Layer("made", 7.0, 20))
    )
    assert road.added_us == Layer("together", 6.0, 17.0)
    assert road.of_a_core(100) == pytest.approx(0.03), "a hundred calls, 50 packets a second"
    written = json.loads(json.dumps(road.as_json()))
    assert written["added"]["crowd_us"] == 6.0 and len(written["layers"]) == 3
