from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.yandex.cutting import cut

TEXTS = st.text(alphabet="аб wz.,!?…; \n—\"»", max_size=400)


@given(TEXTS, st.integers(1, 60))
def test_pieces_are_the_text_and_none_is_too_long(text: str, chars_max: int) -> None:
    pieces = cut(text, chars_max)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= chars_max for piece in pieces)


def test_a_text_that_fits_is_left_alone() -> None:
    assert cut("One. Two, three. ", 17) == ["One. Two, three. "]
    assert cut("", 10) == []


def test_sentences_come_before_clauses_and_these_before_words() -> None:
    assert cut("One is one. Two, as they say, is two.", 30) == [
        "One is one. ", "Two, as they say, is two."]  # fmt: skip
    assert cut("Two, as they always say, is two and so on", 30) == [
        "Two, as they always say, ", "is two and so on"]  # fmt: skip
    assert cut("a verb is a doing word", 12) == ["a verb is a ", "doing word"]
    assert cut("«Это так?» — спросил он тихо. И ушёл.", 33) == [
        "«Это так?» — спросил он тихо. ", "И ушёл."]  # fmt: skip


def test_a_piece_ends_as_late_as_it_can() -> None:
    assert cut("One. Two. Three. Four. Five.", 18) == ["One. Two. Three. ", "Four. Five."]


def test_a_word_that_ends_at_the_limit_stays_whole() -> None:
    assert cut("doing words are verbs", 11) == ["doing ", "words are ", "verbs"]
    assert cut("one two", 4) == ["one ", "two"]


def test_a_short_first_sentence_does_not_make_a_short_piece() -> None:
    """Yes, and then a long sentence: it is better cut at its clause."""
    text = "Yes. " + "word " * 15 + "here, and it goes on and on."
    assert len(cut(text, 90)[0]) > 40


def test_a_word_without_end_is_cut() -> None:
    assert cut("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
