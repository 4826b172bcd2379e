"""How far a text was spoken, and where another voice goes on."""

from __future__ import annotations

import pytest

from engines.failover.resuming import Spoken, is_speakable
from engines.speech import WordTime

TEXT = "One two three."


def given(spoken: Spoken, frames: int) -> list[WordTime]:
    return [word for _ in range(frames) for word in spoken.give()]


def placed(*starts: int, estimated: bool = False) -> Spoken:
    spoken = Spoken(TEXT)
    for (begin, end), start_ms in zip([(0, 3), (4, 7), (8, 14)], starts, strict=False):
        spoken.place(WordTime(begin, end, start_ms, estimated))
    return spoken


def test_a_word_is_told_with_the_frame_that_begins_it() -> None:
    spoken = placed(0, 40, 45)
    assert [spoken.give() for _ in range(3)] == [
        [WordTime(0, 3, 0)], [], [WordTime(4, 7, 40), WordTime(8, 14, 45)],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("frames", "left"),
    [
        (0, TEXT), (1, TEXT), (9, TEXT), (10, "two three."), (11, "two three."),
        (19, "two three."), (20, "three."), (21, "three."), (40, "three."),
        # Seven letters last no longer than this, however slowly they are said.
        (20 + 30, ""),
    ],
)  # fmt: skip
def test_the_next_voice_begins_with_the_first_word_not_given_in_full(
    frames: int, left: str
) -> None:
    spoken = placed(0, 200, 400)
    given(spoken, frames)
    assert spoken.break_off() == []
    assert spoken.left == left


def test_where_times_are_reckoned_one_word_more_is_said_again() -> None:
    spoken = placed(0, 200, 400, estimated=True)
    given(spoken, 21)
    spoken.break_off()
    assert spoken.left == "two three."


def test_the_next_voices_words_lie_behind_what_was_given_and_in_the_whole_text() -> None:
    spoken = placed(0, 200, 400)
    given(spoken, 15)
    spoken.break_off()
    assert spoken.left == "two three."
    spoken.place(WordTime(0, 3, 0))
    spoken.place(WordTime(4, 10, 100))
    assert given(spoken, 10) == [WordTime(4, 7, 300), WordTime(8, 14, 400)]
    spoken.break_off()
    assert spoken.left == "three."


def test_without_times_they_are_reckoned_slowly_and_told_late() -> None:
    spoken = Spoken(TEXT)
    given(spoken, 40)
    assert spoken.break_off() == [
        WordTime(0, 3, 0, estimated=True), WordTime(4, 7, 340, estimated=True),
        WordTime(8, 14, 680, estimated=True),
    ]  # fmt: skip
    assert spoken.left == "two three."
    fast = Spoken(TEXT, speed=4.0)
    given(fast, 15)
    fast.break_off()
    assert fast.left == "two three."


def test_nonsense_is_not_told() -> None:
    spoken = Spoken(TEXT)
    for begin, end in ((-1, 3), (3, 3), (4, 2), (8, 15), (99, 100)):
        spoken.place(WordTime(begin, end, 0))
    assert given(spoken, 5) == []
    # Times that run backwards are set right.
    spoken.place(WordTime(0, 3, 100))
    spoken.place(WordTime(4, 7, 50))
    assert [word.start_ms for word in given(spoken, 5)] == [100, 100]


def test_words_of_a_voice_that_ended_lie_within_its_sound() -> None:
    spoken = placed(0, 200, 400)
    given(spoken, 15)
    assert spoken.rest() == [WordTime(8, 14, 300)]
    assert spoken.rest() == []


@pytest.mark.parametrize(
    ("text", "speakable"), [("word", True), ("7", True), (" … !", False), ("", False), ("字", True)]
)
def test_what_can_be_said(text: str, speakable: bool) -> None:
    assert is_speakable(text) == speakable
