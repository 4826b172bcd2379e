from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.sentences import SENTENCE_CHARS_MAX, SentenceCutter


def cut(*parts: str) -> list[str]:
    cutter = SentenceCutter()
    return [piece for part in parts for piece in cutter.feed(part)] + cutter.rest()


def test_sentences_end_where_they_end() -> None:
    assert cut("One. Two! ", "Thr", "ee? Four") == ["One.", "Two!", "Three?", "Four"]


def test_abbreviations_and_decimals_do_not_end_one() -> None:
    assert cut("Dr. Who paid 3.50, e.g. twice. Then he left.") == [
        "Dr. Who paid 3.50, e.g. twice.", "Then he left.",
    ]  # fmt: skip


def test_the_first_piece_may_be_a_clause() -> None:
    pieces = cut("That is a good question, and I shall answer it, slowly, now. Well, yes, no.")
    assert pieces[0] == "That is a good question,"
    assert pieces[1:] == ["and I shall answer it, slowly, now.", "Well, yes, no."]


def test_a_piece_leaves_as_soon_as_it_is_complete() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hello.") == []  # It may still become "Hello.txt".
    assert cutter.feed(" ") == ["Hello."]


@given(st.lists(st.text("ab,.!? \n«»", max_size=60), max_size=30))
def test_nothing_is_lost_and_no_piece_is_too_long(parts: list[str]) -> None:
    pieces = cut(*parts)
    assert "".join("".join(pieces).split()) == "".join("".join(parts).split())
    assert all(0 < len(piece) <= SENTENCE_CHARS_MAX for piece in pieces)


@given(st.text("abcdefgh,.! ", min_size=20, max_size=120))
def test_how_the_words_arrive_does_not_matter(text: str) -> None:
    assert cut(text) == cut(*text)
