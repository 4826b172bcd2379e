"""What somebody said, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.tutor.utterance import CHARS_MAX, RUN_WORDS_MAX, stem, utterance, words_of_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("price", "prices"), ("city", "cities"), ("movie", "movies"), ("plan", "planning"),
        ("order", "ordered"), ("weather", "weather's"), ("time", "timing"), ("play", "playing"),
        ("погода", "погоду"), ("погода", "погоды"), ("город", "городе"), ("заказ", "заказа"),
    ],
)  # fmt: skip
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("plan", "plant"), ("weather", "whether"), ("time", "team"), ("bus", "bush"),
     ("verb", "verbose"), ("глагол", "глава"), ("город", "гора")],
)  # fmt: skip
def test_words_that_only_look_alike_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ("add 2 and 3.5", [2, 3.5]), ("twenty five", [25]), ("twenty-five or six", [25, 6]),
        ("two hundred and five", [205]), ("two and five", [2, 5]), ("a thousand and one", [1001]),
        ("three hundred forty two thousand", [342_000]), ("minus -4", [-4]), ("five three", [5, 3]),
        ("двадцать пять и сто три", [25, 103]), ("две тысячи двадцать шесть", [2026]),
        ("no numbers here", []), ("1" * 40, []), ("at 10:30", []),
    ],
)  # fmt: skip
def test_numbers_in_digits_and_in_words(said: str, numbers: list[float]) -> None:
    assert [number.value for number in utterance(said).numbers()] == numbers


def test_names_of_tools_are_words() -> None:
    assert words_of_name("getWeather") == ("get", "weather")
    assert words_of_name("get_weather-v2") == ("get", "weather", "v2")
    assert words_of_name("") == ()


def test_a_name_is_one_run_and_other_words_stop_at_what_they_are_told() -> None:
    said = utterance("in New York tomorrow, maybe")
    assert said.said(*_ends(said.run_from(1, frozenset(), set()))) == "New York"
    low = utterance("in new york tomorrow")
    assert low.said(*_ends(low.run_from(1, frozenset({"tomorrow"}), set()))) == "new york"
    assert list(low.run_from(9, frozenset(), set())) == []


def _ends(run: range) -> tuple[int, int]:
    return run[0], run[-1] + 1


@given(st.text(max_size=2 * CHARS_MAX))
def test_any_text_can_be_taken_apart(text: str) -> None:
    said = utterance(text)
    for at, token in enumerate(said.tokens):
        assert text[token.start : token.end] == token.text
        assert len(said.run_from(at, frozenset(), set())) <= RUN_WORDS_MAX
        assert stem(token.word)
    for number in said.numbers():
        assert 0 <= number.first < number.end <= len(said.tokens)
