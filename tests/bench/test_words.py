"""What counts as the same word, and how many were wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.bench.words import NORMALISER, Errors, compare, errors, words_of

SAME = [
    ("en", "Hello, World!", "hello world"),
    ("en", "It's twenty-one.", "it is 21"),
    ("en", "I can't, won't and don't.", "i cannot will not and do not"),
    ("en", "They’re here, we've seen", "they are here we have seen"),
    ("en", "In 1999 it cost $5.50", "in nineteen ninety nine it cost five dollars and fifty cents"),
    ("en", "one hundred and five", "105"),
    ("en", "one hundred five", "105"),
    ("en", "The USA and the U.S.A.", "the usa and the usa"),
    ("en", "Mr. Smith", "mister smith"),
    ("en", "Mr Smith", "mister smith"),
    ("en", "um, my mother's cat [laughs]", "my mothers cat"),
    ("en", "Chapter IV", "chapter four"),
    ("en", "OKAY", "ok"),
    ("en", "café naïve", "café naïve"),
    ("ru", "Ещё раз, пожалуйста!", "еще раз пожалуйста"),
    ("ru", "В 1999 году", "в тысяча девятьсот девяносто девятом году"),
    ("ru", "5 минут — это мало", "пять минут это мало"),
    ("ru", "к 5 часам", "к пяти часам"),
    ("ru", "за́мок", "замок"),
    ("ru", "кто-то, э-э, пришёл", "кто то пришел"),
    ("ru", "МГУ", "мгу"),
    ("de", "Grüße, Köln!", "grüße köln"),
]


@pytest.mark.parametrize(("language", "one", "other"), SAME)
def test_the_same_words(language: str, one: str, other: str) -> None:
    assert words_of(one, language) == words_of(other, language)
    assert errors(one, other, language).rate == 0


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "he is", "he was"),
        ("en", "and five", "five"),
        ("en", "colour", "color"),
        ("ru", "пяти", "пять"),
        ("ru", "дом", "дома"),
    ],
)
def test_other_words(language: str, one: str, other: str) -> None:
    assert words_of(one, language) != words_of(other, language)


@pytest.mark.parametrize(
    ("said", "heard", "found"),
    [
        ("a b c d", "a b c d", Errors(4)),
        ("a b c d", "a x c d", Errors(4, substituted=1)),
        ("a b c d", "a c d", Errors(4, deleted=1)),
        ("a b c d", "a b b c d", Errors(4, inserted=1)),
        ("a b c d", "", Errors(4, deleted=4)),
        ("", "a b", Errors(0, inserted=2)),
        ("", "", Errors()),
        ("the cat sat on the mat", "cat sit on the mat now", Errors(6, 1, 1, 1)),
    ],
)
def test_errors_are_counted(said: str, heard: str, found: Errors) -> None:
    assert compare(said.split(), heard.split()) == found


def test_rates() -> None:
    assert Errors(4, 1, 1, 0).rate == 0.5
    assert Errors().rate == 0
    assert Errors(0, inserted=1).rate == math.inf
    assert (Errors(4, 1, 0, 0) + Errors(6, 0, 1, 1)) == Errors(10, 1, 1, 1)
    assert NORMALISER.split()[-1].isdecimal(), "a figure names the version"



def distance(one: list[str], other: list[str]) -> int:
    """By trying everything."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    return 1 + min(
        distance(one[1:], other), distance(one, other[1:]), distance(one[1:], other[1:])
    )


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_no_fewer_changes_will_do(said: list[str], heard: list[str]) -> None:
    found = compare(said, heard)
    assert found.substituted + found.inserted + found.deleted == distance(said, heard)
    assert len(said) - found.deleted + found.inserted == len(heard)


@given(st.text(max_size=80), st.sampled_from(["en", "ru", "de", ""]))
def test_any_text_has_words_that_stay_the_same(text: str, language: str) -> None:
    words = words_of(text, language)
    assert all(word and not word.isspace() and word == word.lower() for word in words)
    assert errors(text, text, language).rate == 0
