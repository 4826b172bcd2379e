"""What holds of every text, in every language: the way back, the time it takes, and peace."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.normalising import Spoken, normalise

LANGUAGES = st.sampled_from(["en", "ru", "en-GB", "de", "", "ru_RU"])
# Words that no rule has a word for, and the marks that belong to any text.
PLAIN_WORDS = st.sampled_from(
    """the cat sat on a mat where it was warm and nobody said anything don't well-known naïve
    кошка сидела у окна и никто ничего не сказал кто-то ёлка подъезд""".split()
)
PLAIN_TEXT = st.lists(
    st.tuples(PLAIN_WORDS, st.sampled_from([" ", ", ", ". ", "! ", "? ", "; ", ": ", " — ", "\n"])),
    min_size=1, max_size=30,
).map(lambda pairs: "".join(word + mark for word, mark in pairs))  # fmt: skip
# What rules take an interest in, thrown together.
SCRAPS = st.sampled_from([
    *"""5 21 1999 2026 007 1,5 1.5 1,234 5-й 5th $5 € ₽ руб. млн % км/ч °C кг km XIX Henry VIII
    Пётр I г. ул. д. т.е. и т.д. e.g. Dr. St. No. Nov 21 ноября мая 14:05 5 pm +7 (926) 123-45-67
    555-1234 http://a.b/c me@x.com www.x.ru **b** *i* `c` [t](u) # - > 1. | --- 😀 ½ ² ≤ = + - – — /
    & @ # _ ~ ^ к около в с 2 часа часов минуты МГУ USA NASA ( ) « » … 1/2 2026-11-21 21.11.2026
    11/21/2026 -5 −3 №7 #tag <b> -> 1990s 90-е 5–7 10... x 3D A4""".split(),
    " ", "  ", "\n", "\u00a0", "\u0301", "\u202f", ".", ",", "",
])  # fmt: skip
MESSY_TEXT = st.lists(SCRAPS, max_size=40).map("".join) | st.lists(SCRAPS, max_size=40).map(
    " ".join
)
ANY_TEXT = st.text(max_size=200) | MESSY_TEXT


@given(PLAIN_TEXT, LANGUAGES)
def test_plain_words_are_left_alone(text: str, language: str) -> None:
    spoken = normalise(text, language)
    assert spoken.text == text
    for start, end in itertools.pairwise(range(0, len(text) + 1, 3)):
        assert spoken.original(start, end) == (start, end)


@settings(max_examples=400)
@given(ANY_TEXT, LANGUAGES)
def test_the_way_back_is_total_and_never_runs_backwards(text: str, language: str) -> None:
    spoken = normalise(text, language)
    at = written = 0
    for span in spoken.spans:
        assert span.start == at < span.end
        assert written <= span.written_start <= span.written_end <= len(text)
        if span.kept:
            kept = spoken.text[span.start : span.end]
            assert kept == text[span.written_start : span.written_end]
        at, written = span.end, span.written_end
    assert at == len(spoken.text)
    before = (0, 0)
    for word in re.finditer(r"\S+", spoken.text):
        start, end = spoken.original(word.start(), word.end())
        assert 0 <= start <= end <= len(text)
        assert before[0] <= start
        assert before[1] <= end
        if any(char.isalnum() for char in word[0]):
            assert text[start:end].strip(), "a word was written somewhere"
        before = (start, end)


@settings(max_examples=400)
@given(MESSY_TEXT, LANGUAGES)
def test_offsets_out_of_bounds_mean_the_ends(text: str, language: str) -> None:
    spoken = normalise(text, language)
    for start, end in ((-5, -1), (0, 10**9), (10**9, 10**9 + 1), (5, 2)):
        first, last = spoken.original(start, end)
        assert 0 <= first <= last <= len(text)


@settings(max_examples=400)
@given(MESSY_TEXT, st.sampled_from(["en", "ru"]))
def test_what_is_spoken_has_no_digit_left(text: str, language: str) -> None:
    spoken = normalise(text, language).text
    assert not re.search(r"\d", spoken)
    assert not set("$€₽%№+=*#_`") & set(spoken)


def test_nothing_is_nothing() -> None:
    assert normalise("", "en") == Spoken("")
    assert normalise("", "en").original(0, 5) == (0, 0)
    assert normalise("😀**", "en").text.strip() == ""


@pytest.mark.parametrize(
    ("text", "language", "word", "written"),
    [
        ("It cost $45.50 then.", "en", "fifty", "$45.50"),
        ("It cost $45.50 then.", "en", "then", "then"),
        ("Born in 1999, he", "en", "ninety", "1999"),
        ("5–7 km", "en", "five", "5"),
        ("5–7 km", "en", "seven", "7"),
        ("5–7 km", "en", "kilometers", "km"),
        ("a **bold** word", "en", "bold", "bold"),
        ("[a link](http://x.y) here", "en", "link", "link"),
        ("[a link](http://x.y) here", "en", "here", "here"),
        ("К 5 часам", "ru", "пяти", "5"),
        ("К 5 часам", "ru", "часам", "часам"),
        ("1,5 млн руб. в год", "ru", "полтора", "1,5"),
        ("1,5 млн руб. в год", "ru", "миллиона", "млн"),
        ("1,5 млн руб. в год", "ru", "рублей", "руб."),
        ("XIX век", "ru", "девятнадцатый", "XIX"),
        ("и т.д. и всё", "ru", "далее", "и т.д."),
        ("+7 926 123-45-67", "ru", "двадцать", "926"),
        ("Nov 21, 2026", "en", "November", "Nov"),
        ("Nov 21, 2026", "en", "twenty-first", "21"),
    ],
)
def test_words_lead_back_to_what_was_written(
    text: str, language: str, word: str, written: str
) -> None:
    spoken = normalise(text, language)
    at = spoken.text.index(word)
    start, end = spoken.original(at, at + len(word))
    assert text[start:end].strip() == written


@pytest.mark.parametrize("language", ["de", "fr", "", "xx", "en" * 50])
def test_other_languages_keep_their_numbers(language: str) -> None:
    assert normalise("**5** km, $3 😀 [x](y)", language).text == "5 km, $3 x"


HOSTILE = (
    "1", "1,", "1 ", "1-", "1/", "1.", "1:", "+1 ", "(555) ", "-", "*", "_", "`", "[", "[a](", "<",
    "<a", "#", "# ", "\n- ", "| ", "--- ", "X", "XX ", "Henry I", "a@", "a.", "a@b.", "www.",
    "http://a/", "т.", "и т.", "ул. ", "$", "$1-", "5 к", "5 км/", "½", "😀", "\u0301", "'", "а'",
    "1 000 ", "5 мая ", "между 5 и ", "A", "USA ", "/", "a/", "=", " = ", "5–", "\u00a0", "٣", "²",
)  # fmt: skip


@pytest.mark.parametrize("scrap", HOSTILE)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_time_grows_with_the_length_and_no_faster(scrap: str, language: str) -> None:
    texts = itertools.count(1)

    def cost(chars: int) -> float:
        # No text twice, for the last few are kept.
        text, begun = "x" * next(texts) + (scrap * chars)[:chars], time.process_time()
        normalise(text, language)
        return time.process_time() - begun

    small = max(min(cost(500) for _ in range(3)), 0.001)
    # Of the processor, whose neighbours may be noisy: sixteen times the text takes about sixteen
    # times as long; a rule that looks to the end of the text would take 256 times.
    assert any(cost(8_000) < 96 * small for _ in range(3))
