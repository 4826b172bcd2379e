"""Which words a value may be made of, and that none is taken twice."""

from __future__ import annotations

import pytest

from engines.tutor.spoken_values import Kind, Spoken, kind_of
from engines.tutor.utterance import stems_of, utterance


def spoken(words: str, about: str = "") -> Spoken:
    return Spoken(utterance(words), frozenset(stems_of(about)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("city", Kind.PLACE), ("departureCity", Kind.FROM), ("to_address", Kind.TO),
        ("user_email", Kind.EMAIL), ("start_date", Kind.TIME), ("orderId", Kind.NUMBERED),
        ("name", Kind.PERSON), ("message_text", Kind.TEXT), ("colour", Kind.OTHER),
    ],
)  # fmt: skip
def test_a_name_says_what_to_look_for(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


def test_a_choice_is_the_first_said_and_the_longest() -> None:
    said = spoken("an extra large pizza, not a small one")
    assert said.choice(["small", "large", "extra large"]) == 2
    assert said.choice(["small", "large", "extra large"]) == 0
    assert said.choice(["small", "large", "extra large"]) is None


def test_a_number_beside_the_name_comes_first() -> None:
    said = spoken("2 rooms and 5 nights")
    assert said.number("nights", lambda n: True, loose=False) == 5
    assert said.number("guests", lambda n: True, loose=False) is None
    assert said.number("guests", lambda n: True, loose=True) == 2
    assert said.number("guests", lambda n: True, loose=True) is None


def test_a_number_that_is_not_valid_or_is_a_date_is_not_taken() -> None:
    assert spoken("at 5 pm").number("guests", lambda n: True, loose=True) is None
    assert spoken("20 or 3").number("dice", lambda n: n == 3, loose=True) == 3


@pytest.mark.parametrize(
    ("name", "words", "truth"),
    [
        ("urgent", "this is urgent", True), ("urgent", "it is not urgent", False),
        ("urgent", "send it", None), ("is_on", "switch it on", True), ("on", "turn it off", False),
        ("vegetarian", "without vegetarian food", False),
    ],
)  # fmt: skip
def test_yes_and_no(name: str, words: str, truth: bool | None) -> None:
    assert spoken(words).truth(name) is truth


@pytest.mark.parametrize(
    ("name", "words", "text"),
    [
        ("city", "the weather in Paris", "Paris"),
        ("origin", "to Rome from Oslo", "Oslo"),
        ("destination", "to Rome from Oslo", "Rome"),
        ("date", "on the 5th of May", "5th of May"),
        ("date", "remind me on 2026-05-01", "2026-05-01"),
        ("time", "at 5 pm, please", "5 pm"),
        ("time", "at 5pm", "5pm"),
        ("phone", "my phone is +49-30-1234", "49-30-1234"),
        ("name", "I am called Ann", "Ann"),
        ("query", "tell me about black holes", "black holes"),
        ("text", 'say "good night"', "good night"),
        ("topic", "hello there", ""),
        ("city", "what is the weather", ""),
        ("date", "today or not", "today"),
        ("city", "weather for tomorrow", ""),
        ("город", "погода в Москве завтра", "Москве"),
    ],
)
def test_texts(name: str, words: str, text: str) -> None:
    assert spoken(words, "weather погода").text(name, 100) == text


def test_words_are_given_back_when_they_were_not_wanted() -> None:
    said = spoken("from Rome to Oslo")
    mark = said.mark()
    assert (said.text("city", 100), said.text("city", 100)) == ("Rome", "Oslo")
    assert said.text("city", 100) == ""
    said.reset(mark)
    assert said.text("to", 100) == "Oslo"


def test_what_is_left() -> None:
    assert spoken("what is the kitchen weather", "weather").what_is_left("room") == "kitchen"
    assert spoken("Find me a doctor").what_is_left("query") == "Find me a doctor"
    assert spoken("what is it").what_is_left("city") == ""
