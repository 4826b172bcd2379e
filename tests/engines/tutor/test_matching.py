"""Near enough is the word that was meant, and a different word is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.tutor.matching import alike, clip, fit, named, sound, words_of


@pytest.mark.parametrize(
    ("meant", "heard"),
    [
        ("bridge", "breach"), ("quietly", "quietley"), ("repeat", "repeats"), ("adverb", "adverbs"),
        ("повторите", "повтарите"), ("медленнее", "медленее"), ("yellow", "yello"),
    ],
)  # fmt: skip
def test_a_misheard_word_is_recognised(meant: str, heard: str) -> None:
    assert alike(meant, heard) and alike(heard, meant)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("slower", "flower"), ("sing", "song"), ("old", "open"), ("adjective", "adverb"),
        ("noun", "none"), ("repeat", "report"), ("open", "often"), ("да", "дай"),
        ("поют", "пьют"), ("no", "now"), ("yes", "yet"),
    ],
)  # fmt: skip
def test_another_word_is_not(one: str, other: str) -> None:
    assert not alike(one, other)


def test_a_command_must_be_most_of_what_was_said() -> None:
    assert fit(["again"], words_of("again, please"))
    assert not fit(["again"], words_of("we went there again and again because it was warm"))


def test_a_negated_command_is_none() -> None:
    assert fit(["repeat"], words_of("repeat it"))
    assert not fit(["repeat"], words_of("do not repeat it"))


def test_the_exact_choice_is_not_taken_for_its_neighbour() -> None:
    assert named(["sing", "children"], words_of("the children")) == ("children",)
    assert named(["existing", "listing"], words_of("existing")) == ("existing",)
    assert named(["жёлтый", "зонт"], words_of("Желтый!")) == ("жёлтый",)
    assert named(["noun", "verb"], words_of("a noun, or a verb?")) == ("noun", "verb")


def test_what_is_said_back_is_words_only_and_short() -> None:
    assert clip("<script>alert(1)</script>") == "script alert 1 script"
    assert clip("a b c d e f g h i j k") == "a b c d e f g h i …"
    assert len(clip("x" * 10_000)) <= 45
    assert clip("?!") == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_compared(one: str, other: str) -> None:
    for a in words_of(one):
        assert alike(a, a)
        assert isinstance(sound(a), str)
        for b in words_of(other):
            assert alike(a, b) == alike(b, a)
    assert len(clip(one)) <= 90


def test_the_longer_command_is_meant_and_the_exact_one() -> None:
    words = words_of("слишком медленно")
    assert fit(["слишком медленно"], words) > fit(["медленнее"], words) > 0
    assert fit(["start again"], words_of("start again")) > fit(["again"], words_of("start again"))
    assert fit(["repeat"], words_of("repeat")) > fit(["repeats"], words_of("repeat"))
