"""Words are found again among the sounds that were made of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.neural.phoneme_times import Sounding, starts_ms, words_of


def sounded(phonemes: str, each_ms: int = 100) -> list[Sounding]:
    return [Sounding(phoneme, each_ms * n) for n, phoneme in enumerate(phonemes)]


def test_words_of_a_text() -> None:
    text = "It's a well-known 3.14, «да»!"
    assert [text[a:b] for a, b in words_of(text)] == ["It's", "a", "well-known", "3.14", "да"]
    assert words_of(" … ") == []


def test_a_group_for_each_word() -> None:
    assert starts_ms(["ɐ", "vˈɜːb"], sounded("ɐ vˈɜːb.")) == [0, 200]


def test_the_stress_before_a_word_belongs_to_it() -> None:
    assert starts_ms(["dˈuː", "ˈɪt"], sounded("dˈuː ˈɪt")) == [0, 500]


def test_words_that_were_run_together_begin_where_their_sounds_do() -> None:
    """English eSpeak makes one word of "of the"."""
    found = starts_ms(["wˈɛl", "ʌv", "ðə", "tˈuː"], sounded("wˈɛl, ʌvðə tˈuː"))
    assert found == [0, 600, 800, 1_100]


def test_a_number_is_several_words_and_begins_with_the_first() -> None:
    found = starts_ms(["ɐ", "twˈɛntiwˈʌn", "θˈɪŋz"], sounded("ɐ twˈɛnti wˈʌn θˈɪŋz!"))
    assert found == [0, 200, 1_500]


def test_marks_alone_are_no_words() -> None:
    assert starts_ms(["wˈʌn", "tˈuː"], sounded("wˈʌn — tˈuː")) == [0, 700]


def test_without_sounds_there_are_no_places() -> None:
    assert starts_ms(["wˈʌn", "tˈuː"], []) == [None, None]
    assert starts_ms([], sounded("wˈʌn")) == []


def test_a_word_that_was_left_out_has_no_place_and_the_others_keep_theirs() -> None:
    alone = ["wˈʌn", "ɛkstɹˈɔːɹdɪnˌɛɹi", "θɹˈiː", "fˈɔːɹ"]
    assert starts_ms(alone, sounded("wˈʌn θɹˈiː fˈɔːɹ")) == [0, None, 500, 1_100]


PHONEMES = st.text("abdeɪʊʃ", min_size=1, max_size=8)


@given(st.lists(PHONEMES, min_size=1, max_size=30))
def test_what_is_said_word_by_word_is_found_word_by_word(words: list[str]) -> None:
    said = " ".join(words)
    expected = [100 * len(" ".join(words[:n]) + " " * (n > 0)) for n in range(len(words))]
    assert starts_ms(words, sounded(said)) == expected


@given(st.lists(PHONEMES, max_size=20), st.text("abdeɪʊʃˈ ,.-", max_size=80))
def test_whatever_was_said_the_places_rise_and_lie_within_it(words: list[str], said: str) -> None:
    found = starts_ms(words, sounded(said))
    assert len(found) == len(words)
    places = [place for place in found if place is not None]
    assert places == sorted(places)
    assert all(0 <= place < 100 * len(said) for place in places)
