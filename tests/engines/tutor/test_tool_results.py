"""What a tool answered, read aloud."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.tutor.tool_results import CHARS_MAX, read_aloud


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('{"temperature": 21, "unit": "C"}', "Temperature: 21, unit: C."),
        ('{"isOpen": true, "open_until": "20:00"}', "Is open: yes, open until: 20:00."),
        ('{"main": {"temp": 3.5, "rain": null}}', "Main temp: 3.5, main rain: nothing."),
        ('[{"name": "Ann", "age": 3}, {"name": "Bob"}]', "Name: Ann, age: 3, name: Bob."),
        ('{"cities": ["Rome", "Oslo", "Bern"]}', "Cities: Rome, Oslo and Bern."),
        ("Sunny, 21 degrees", "Sunny, 21 degrees."),
        ("Is it  late?\n", "Is it late?"),
        ('"ok"', "Ok."),
        ("5", "5."),
        ("false", "No."),
        ("", "Done."),
        ("{}", "Done."),
        ("null", "Done."),
        ('{"half": ', '{"half":.'),
    ],
)
def test_a_result_is_one_sentence(output: str, said: str) -> None:
    assert read_aloud(output, "en") == said


def test_in_russian() -> None:
    assert read_aloud('{"open": true, "days": ["вт", "ср"]}', "ru") == "Open: да, days: вт и ср."
    assert read_aloud("", "ru-RU") == "Готово."


def test_a_long_result_is_cut_between_words() -> None:
    said = read_aloud("word " * 1_000, "en")
    assert len(said) <= CHARS_MAX + 1 and said.endswith("word…")


@given(st.text() | st.sampled_from(["[" * 9_000, '{"a":' * 9_000, "9" * 9_000, "1e999", "NaN"]))
def test_whatever_is_answered_can_be_said(output: str) -> None:
    said = read_aloud(output, "en")
    assert said and len(said) <= CHARS_MAX + 1 and "\n" not in said
