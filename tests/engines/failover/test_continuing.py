"""Where one reply goes on with another's words: nothing twice, nothing lost, words whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.failover.continuing import GO_ON, Seam, WholeWords, going_on
from engines.speech import FunctionResult, Note, Turn


def joined(said: str, *more: str) -> str:
    seam = Seam(said)
    return said + "".join(map(seam.feed, more)) + seam.rest()


@pytest.mark.parametrize(
    ("said", "more", "whole"),
    [
        ("A verb is ", "a doing word.", "A verb is a doing word."),
        ("A verb is ", " a doing word.", "A verb is a doing word."),
        ("A verb is ", "is a doing word.", "A verb is a doing word."),
        ("A verb is ", "A verb is a doing word.", "A verb is a doing word."),
        ("A verb is ", "a verb, is a doing word.", "A verb is a doing word."),
        ("One. A verb,", "and a noun.", "One. A verb, and a noun."),
        ("One. A verb,", " and a noun.", "One. A verb, and a noun."),
        ("Yes. ", "Yes.", "Yes. "),
        # The price: a word that was rightly said twice.
        ("The man that ", "that dog bit.", "The man that dog bit."),
        ("It is what it ", "it was.", "It is what it was."),
        ("你好", "吗", "你好吗"),
        ("", "Hello.", "Hello."),
        ("One. ", "", "One. "),
    ],
)
def test_what_is_said_again_is_left_out(said: str, more: str, whole: str) -> None:
    assert joined(said, more) == whole
    assert joined(said, *more) == whole, "however it comes"


# No word twice, for then nobody knows which of them is said again.
PARTS = st.lists(st.text("abcdefg", min_size=1, max_size=4), max_size=20, unique=True)


@given(words=PARTS, at=st.integers(0, 20), again=st.integers(0, 20), size=st.integers(1, 9))
def test_any_overlap_is_found(words: list[str], at: int, again: int, size: int) -> None:
    at = min(at, len(words))
    said = "".join(f"{word} " for word in words[:at])
    more = " ".join(words[max(at - again, 0) :])
    pieces = [more[n : n + size] for n in range(0, len(more), size)]
    assert joined(said, *pieces).split() == words


@given(pieces=st.lists(st.text("ab '-.,\n你好", max_size=50), max_size=20))
def test_words_are_held_back_only_till_they_are_whole(pieces: list[str]) -> None:
    whole, given = WholeWords(), ""
    for piece in pieces:
        given += whole.feed(piece)
        all_of = "".join(pieces)
        assert all_of.startswith(given)
        after = all_of[len(given) : len(given) + 1]
        if given and given[-1] in "ab" and after in "ab" and after:
            before = given[: len(given)].split(" ")[-1]
            assert len(before) > 32 or "你" in before or "好" in before
    assert given + whole.rest() == "".join(pieces)


def test_the_history_says_what_was_said() -> None:
    asked = (Turn("Hi", "Hello."), Turn("What?", ""))
    assert going_on(asked, " ") == asked
    assert going_on(asked, "A verb ") == (
        Turn("Hi", "Hello."), Turn("What?", "A verb"), Turn(GO_ON, ""),
    )  # fmt: skip
    told = (FunctionResult("call_1", "42"),)
    assert going_on(told, "It is ") == (*told, Note("assistant", "It is"), Turn(GO_ON, ""))
