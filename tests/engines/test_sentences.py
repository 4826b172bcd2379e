from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.sentences import (
    FIRST_CHARS_MIN,
    LATER_CHARS_MIN,
    SENTENCE_CHARS_MAX,
    SentenceCutter,
)


def cut(*parts: str, live: bool = True) -> list[str]:
    cutter = SentenceCutter(live=live)
    return [piece for part in parts for piece in cutter.feed(part)] + cutter.rest()


def later(text: str) -> list[str]:
    """The pieces that follow a first one."""
    first, *pieces = cut(f"This is the first. {text}")
    assert first == "This is the first."
    return pieces


def test_sentences_end_where_they_end() -> None:
    parts = ("Here is the first. And here is the second! ", "Is thi", "s the third? Four")
    assert cut(*parts) == [
        "Here is the first.", "And here is the second!", "Is this the third? Four",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Who paid 3.50 for it.", "They paid twice, e.g. for the tea.",
        "That is, i.e. the other one.", "He was born in St. Petersburg.",
        "J. K. Rowling wrote it, and J.R.R. Tolkien did not.", "See fig. 3 and no. 5 of the list.",
        "It is on https://example.com/a.b?c=1.2 and www.example.org today.",
        "It costs approx. ten dollars.", "Some call it art. deco, whatever that is.",
        "Я имею в виду, т.е. хочу сказать, и т.д. и т.п. без конца.",
        "Это было, т. е. случилось, давно.", "А. С. Пушкин родился в 1799 г. в Москве.",
        "На стр. 5 есть рис. 3 с подписью.", "Well... just wait… maybe not.",
        '"Really?" she asked, and "Stop!" he said.', "1. Do this first of all.",
        "Ten thousand is 10 000 or 10,000.",
    ],
)  # fmt: skip
def test_what_looks_like_an_end_and_is_none(text: str) -> None:
    assert cut(f"{text} Now something else.", live=False) == [text, "Now something else."]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("So it is not I. They did.", ["So it is not I.", "They did."]),
        ("Конечно, это был не я. Потом он ушёл.", ["Конечно, это был не я.", "Потом он ушёл."]),
        ("My answer is again: no. That is wrong.", ["My answer is again: no.", "That is wrong."]),
        ('He shouted "Stop right there!" Then he left us.',
         ['He shouted "Stop right there!"', "Then he left us."]),
        ("Things to buy today:\n- milk\n- bread", ["Things to buy today:", "- milk", "- bread"]),
        ("First do this. 2. Do that. 3. And rest.",
         ["First do this.", "2. Do that.", "3. And rest."]),
        ("今天我们学习动词。你准备好了吗？「好的。」他说。",
         ["今天我们学习动词。", "你准备好了吗？", "「好的。」", "他说。"]),
    ],
)  # fmt: skip
def test_ends_that_are_ends(text: str, pieces: list[str]) -> None:
    assert cut(text, live=False) == pieces


def test_what_is_very_short_waits_for_company() -> None:
    assert later("Yes. No. Maybe so, my friend. Good.") == [
        "Yes. No. Maybe so, my friend.", "Good.",
    ]  # fmt: skip
    assert cut("Sure. Let me see what there is.") == ["Sure. Let me see what there is."]
    assert cut("Yes.") == ["Yes."]


def test_the_first_piece_may_be_a_clause() -> None:
    pieces = cut("That is a good question, and I shall answer it, slowly, now. Well, yes, no, so.")
    assert pieces == [
        "That is a good question,", "and I shall answer it, slowly, now.", "Well, yes, no, so.",
    ]  # fmt: skip
    assert cut("这个问题非常好，我们来看看。")[0] == "这个问题非常好，"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("The present perfect is the tense that we use for actions which still matter",
         "The present perfect is the tense"),
        ("You only need one more word to finish this long sentence well",
         "You only need one more word to finish"),
        ("Anna Maria Lopez Garcia Smith lives in New York City with her mother",
         "Anna Maria Lopez Garcia Smith lives"),
        ("There are exactly about nearly over roughly 10 000 000 cats and dogs here",
         "There are exactly about nearly over roughly"),
        ("Настоящее время глагола показывает действие которое происходит прямо сейчас и здесь",
         "Настоящее время глагола показывает действие"),
        ("Say this and that and this or that or this of the a by",
         "Say this and that and this or that or this of the a by"),
    ],
)  # fmt: skip
def test_the_first_piece_may_end_between_words(text: str, first: str) -> None:
    assert cut(text)[0] == first
    assert cut(text, live=False) == [text]


def test_a_mark_among_the_first_words_is_the_better_place() -> None:
    assert cut("It is a verb because it says, what somebody does every day now")[0] == (
        "It is a verb because it says,"
    )


def test_a_piece_leaves_as_soon_as_it_is_complete() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hello there.") == []  # It may still become "Hello there.txt".
    assert cutter.feed(" ") == []  # Or go on with a small letter.
    assert cutter.feed("H") == ["Hello there."]
    assert cutter.feed("ow are") == []
    assert cutter.rest() == ["How are"]


def test_what_follows_a_pause_is_not_the_first_piece() -> None:
    cutter = SentenceCutter()
    cutter.feed("One moment.")
    assert cutter.rest() == ["One moment."]
    assert cutter.feed("Here it is, my dear friend, at last. N") == [
        "Here it is, my dear friend, at last."
    ]


def test_an_overlong_sentence_is_cut_where_it_hurts_least() -> None:
    clause, words = f"{'word ' * 20}end, ", "more " * 60
    first, second, *_ = cut(clause + words, live=False)
    assert first == clause.strip() and len(second) <= SENTENCE_CHARS_MAX
    digits = "1 " * 200
    assert cut(f"{'word ' * 40}{digits}", live=False)[0] == f"{'word ' * 40}".strip()


PROSE = st.lists(
    st.one_of(
        st.text("ab,.!? \n«»", max_size=40), st.text("ab1 .。！，「」A", max_size=40),
        st.lists(st.sampled_from("the And 10 000 e.g. J. K. cat dogs, run. т.е. 我，".split()),
                 max_size=14).map(" ".join),
    ),
    max_size=20,
)  # fmt: skip


@given(PROSE, st.booleans())
def test_nothing_is_lost_and_no_piece_is_too_long(parts: list[str], live: bool) -> None:
    pieces = cut(*parts, live=live)
    assert "".join("".join(pieces).split()) == "".join("".join(parts).split())
    assert all(0 < len(piece) <= SENTENCE_CHARS_MAX for piece in pieces)


@given(PROSE, st.booleans())
def test_how_the_words_arrive_does_not_matter(parts: list[str], live: bool) -> None:
    text = "".join(parts)
    assert cut(text, live=live) == cut(*text, live=live) == cut(*parts, live=live)


@given(st.text("ab .!", max_size=200))
def test_no_piece_but_the_last_is_chopped(text: str) -> None:
    first, *others = cut(text)[:-1] or [""]
    assert not first or len(first) >= FIRST_CHARS_MIN
    assert all(len(piece) >= LATER_CHARS_MIN for piece in others)


@given(st.text("abc  ,.", max_size=120))
def test_a_piece_ends_between_words(text: str) -> None:
    words = [word for piece in cut(text) for word in piece.split()]
    assert words == text.split()
