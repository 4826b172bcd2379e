"""Confirmed words never change, and no word is lost or said twice at the seam."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.agreement import LocalAgreement, text_of
from engines.speech import Word


def words(text: str, *, start_ms: int = 0, each_ms: int = 300) -> list[Word]:
    return [
        Word(word, start_ms + n * each_ms, start_ms + (n + 1) * each_ms)
        for n, word in enumerate(text.split())
    ]


def test_one_guess_confirms_nothing() -> None:
    agreement = LocalAgreement()
    assert agreement.feed(words("I sent a")) == ()
    assert text_of(agreement.tail) == "I sent a"


def test_the_second_guess_confirms_what_it_repeats() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("I sent a lever"))
    assert text_of(agreement.feed(words("I sent a letter to"))) == "I sent a"
    assert text_of(agreement.tail) == "letter to"


def test_a_confirmed_word_survives_a_rewrite() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("I sent a lever"))
    agreement.feed(words("I sent a letter to"))
    agreement.feed(words("I send a letter to her"))
    assert text_of(agreement.confirmed) == "I sent a letter to"
    assert text_of(agreement.finish()) == "I sent a letter to her"


def test_dress_does_not_matter() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("Well, yes"))
    assert text_of(agreement.feed(words("well yes."))) == "well yes."


def test_words_line_up_by_time_when_the_beginning_gains_a_word() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("going home"))
    agreement.feed(words("going home"))
    rewritten = [Word("go", 0, 150), Word("in", 150, 300), Word("home", 300, 600)]
    agreement.feed([*rewritten, Word("now", 600, 900)])
    agreement.feed([*rewritten, Word("now", 600, 900)])
    assert text_of(agreement.confirmed) == "going home now"


def test_a_trimmed_buffer_needs_no_first_words() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("one two three"))
    agreement.feed(words("one two three"))
    agreement.feed(words("four five", start_ms=900))
    assert text_of(agreement.finish()) == "one two three four five"


def test_a_word_moved_a_little_is_not_heard_twice() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("one two three"))
    agreement.feed(words("one two three"))
    moved = [Word("three", 780, 1_020), Word("four", 1_020, 1_300)]
    assert text_of(agreement.finish(moved)) == "one two three four"


def test_a_word_really_said_twice_stays() -> None:
    agreement = LocalAgreement()
    agreement.feed(words("no"))
    agreement.feed(words("no"))
    assert text_of(agreement.finish(words("no no"))) == "no no"


GUESS = st.lists(
    st.tuples(st.sampled_from("a b c d".split()), st.integers(1, 900)), max_size=8
).map(lambda spec: _laid_out(spec))


def _laid_out(spec: list[tuple[str, int]]) -> list[Word]:
    at, out = 0, []
    for text, length in spec:
        out.append(Word(text, at, at + length))
        at += length
    return out


@given(st.lists(GUESS, max_size=12), st.booleans())
def test_confirmed_text_only_grows(guesses: list[list[Word]], again: bool) -> None:
    agreement, before = LocalAgreement(), ""
    for guess in guesses:
        agreement.feed(guess)
        now = text_of(agreement.confirmed)
        assert now.startswith(before)
        before = now
    assert text_of(agreement.finish(guesses[-1] if again and guesses else None)).startswith(before)


@given(GUESS)
def test_a_steady_guess_is_confirmed_whole(guess: list[Word]) -> None:
    agreement = LocalAgreement()
    agreement.feed(guess)
    agreement.feed(guess)
    assert agreement.confirmed == tuple(guess)
    assert agreement.finish(guess) == tuple(guess)
