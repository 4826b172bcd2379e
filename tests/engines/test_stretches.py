"""Where stretches begin and end, and where words lie in a recording: as scripts of chances."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.speech import PCM_FRAME_MS, PcmFrame, Transcript, Word
from engines.stretches import CutRules, SpeechCutter, Stretch, passage, spread

RULES = CutRules()


def cut(chances: list[float], rules: CutRules = RULES) -> list[Stretch]:
    """The stretches of a recording whose frames carry their own number."""
    cutter, found = SpeechCutter(rules), []
    for number, chance in enumerate(chances):
        found += cutter.feed(PcmFrame(number.to_bytes(4, "big")), chance)
    return found + cutter.finish()


def numbers(stretch: Stretch) -> list[int]:
    return [int.from_bytes(frame.samples, "big") for frame in stretch.frames]


def quiet(ms: int) -> list[float]:
    return [0.01] * (ms // PCM_FRAME_MS)


def talk(ms: int) -> list[float]:
    return [0.9] * (ms // PCM_FRAME_MS)


def test_a_stretch_is_what_is_spoken_and_a_little_around_it() -> None:
    (found,) = cut(quiet(3_200) + talk(1_600) + quiet(3_200))
    assert (found.voiced_ms, found.voiced_end_ms) == (3_200, 4_800)
    assert found.start_ms == 3_200 - RULES.padding_ms
    assert len(found.frames) * PCM_FRAME_MS == 1_600 + 2 * RULES.padding_ms
    assert abs(found.speech - 0.9) < 1e-9


def test_a_long_pause_cuts_and_a_short_one_does_not() -> None:
    short = cut(talk(1_600) + quiet(640) + talk(1_600) + quiet(3_200))
    assert [(each.voiced_ms, each.voiced_end_ms) for each in short] == [(0, 3_840)]
    long = cut(talk(1_600) + quiet(768) + talk(1_600) + quiet(3_200))
    assert [(each.voiced_ms, each.voiced_end_ms) for each in long] == [(0, 1_600), (2_368, 3_968)]


def test_a_breath_is_enough_for_a_stretch_that_is_long() -> None:
    said = talk(12_800) + quiet(320) + talk(1_600) + quiet(3_200)
    assert [each.voiced_end_ms for each in cut(said)] == [12_800, 14_720]


def test_somebody_who_never_pauses_is_cut_where_it_is_least_likely_speech() -> None:
    chances = talk(60_000)
    chances[20_000 // PCM_FRAME_MS] = 0.4
    found = cut(chances)
    assert found[0].voiced_end_ms == 20_000
    assert all(len(each.frames) * PCM_FRAME_MS <= RULES.stretch_ms_max for each in found)
    assert sum(len(each.frames) for each in found) == len(chances)  # Not one frame is lost.


def test_a_click_is_not_speech() -> None:
    assert cut(quiet(1_600) + talk(64) + quiet(1_600)) == []
    assert len(cut(quiet(1_600) + talk(96) + quiet(1_600))) == 1


def test_an_unsure_detector_does_not_end_a_word() -> None:
    (found,) = cut(talk(640) + [0.4] * 40 + talk(640))
    assert found.voiced_end_ms == 640 + 40 * PCM_FRAME_MS + 640


@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), max_size=2_000), st.data())
def test_stretches_follow_each_other_and_keep_all_speech(
    chances: list[float], data: st.DataObject
) -> None:
    rules = CutRules(
        pause_ms=data.draw(st.integers(64, 1_000)), padding_ms=data.draw(st.integers(0, 500)),
        long_ms=data.draw(st.integers(500, 5_000)), breath_ms=64, stretch_ms_max=6_000,
    )  # fmt: skip
    found = cut(chances, rules)
    heard = [number for each in found for number in numbers(each)]
    assert heard == sorted(set(heard))  # In order, and no sound is heard twice.
    for each in found:
        own = numbers(each)
        assert own == list(range(own[0], own[-1] + 1))
        assert own[0] * PCM_FRAME_MS == each.start_ms
        assert each.start_ms <= each.voiced_ms < each.voiced_end_ms
        assert each.voiced_end_ms <= (own[-1] + 1) * PCM_FRAME_MS
        assert len(own) * PCM_FRAME_MS <= rules.stretch_ms_max
    # Three loud frames in a row are speech, wherever they are, unless a cut goes through them.
    runs = [n for n in range(len(chances) - 2) if min(chances[n : n + 3]) == 1.0]
    inside = set(heard)
    ends = {numbers(each)[-1] for each in found}
    for first in runs:
        assert {first, first + 1, first + 2} & inside or ends & {first - 1, first, first + 1}


STRETCH = Stretch((), 10_000, 10_200, 12_200, 0.8)


def test_words_are_moved_to_their_place_in_the_recording() -> None:
    words = (Word("one", 250, 600), Word("two", 700, 9_999))
    found = passage(Transcript("one  two", True, 0, 2_400, words), STRETCH, 12_000)
    assert found is not None
    assert found.words == (Word("one", 10_250, 10_600), Word("two", 10_700, 12_000))
    assert (found.text, found.start_ms, found.end_ms) == ("one two", 10_250, 12_000)
    assert not found.estimated


def test_words_without_times_are_estimated_and_said_to_be() -> None:
    found = passage(Transcript("a bcd", True), STRETCH, 60_000)
    assert found is not None
    assert found.estimated
    assert found.words == (Word("a", 10_200, 10_700), Word("bcd", 10_700, 12_200))


def test_the_engines_own_bounds_count_inside_the_voice() -> None:
    found = passage(Transcript("hm", True, 500, 1_500), STRETCH, 60_000)
    assert found is not None
    assert (found.start_ms, found.end_ms) == (10_500, 11_500)


def test_nothing_said_is_no_passage() -> None:
    assert passage(Transcript("  \n", True), STRETCH, 60_000) is None


@given(
    st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.split()),
    st.integers(0, 10_000), st.integers(0, 10_000),
)  # fmt: skip
def test_spread_words_fill_their_time_in_order(text: str, start_ms: int, length_ms: int) -> None:
    words = spread(text, start_ms, start_ms + length_ms)
    assert [word.text for word in words] == text.split()
    edges = [edge for word in words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (start_ms, start_ms + length_ms)
