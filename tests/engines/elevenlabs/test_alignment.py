from __future__ import annotations

from collections.abc import Sequence

from engines.elevenlabs.alignment import Alignment

TEXT = "Hello there, 25 «verbs»!"
STEP_S = 0.05


def words(text: str, pieces: Sequence[tuple[int, int]], anew: bool = False) -> list[list[object]]:
    """The words that are told of pieces of the text, given by their ends. `anew`: the times
    of each piece are its own."""
    alignment, found, sound_ms = Alignment(text), list[list[object]](), 0
    for start, end in pieces:
        first = start if anew else 0
        starts = [(at - first) * STEP_S for at in range(start, end)]
        found += [
            [text[word.char_start : word.char_end], word.start_ms]
            for word in alignment.feed(list(text[start:end]), starts, sound_ms)
        ]
        sound_ms = round(end * STEP_S * 1_000)
    return found


EXPECTED = [["Hello", 0], ["there", 300], ["25", 650], ["verbs", 850]]


def test_words_begin_with_their_first_letters() -> None:
    assert words(TEXT, [(0, len(TEXT))]) == EXPECTED


def test_words_may_be_cut_by_the_pieces() -> None:
    assert words(TEXT, [(0, 8), (8, 14), (14, len(TEXT))]) == EXPECTED
    assert words(TEXT, [(at, at + 1) for at in range(len(TEXT))]) == EXPECTED


def test_what_is_said_again_is_told_once() -> None:
    """As a fast model does: a stretch, and then more, from its beginning."""
    assert words(TEXT, [(0, 8), (0, 14), (0, len(TEXT))]) == EXPECTED
    assert words(TEXT, [(0, 8), (3, 14), (13, len(TEXT))]) == EXPECTED


def test_times_that_begin_with_each_piece_are_understood() -> None:
    text = "One two three four five six."
    whole = words(text, [(0, len(text))])
    assert words(text, [(0, 8), (8, 19), (19, len(text))], anew=True) == whole


def test_characters_that_are_not_in_the_text_do_no_harm() -> None:
    alignment = Alignment("one two")
    assert [*alignment.feed(list("1 x"), [0, 0.1, 0.2], 0)] == []
    assert [*alignment.feed([], [], 0)] == []
    told = [*alignment.feed(["t", "w"], [float("nan"), -1.0], 0)]
    assert [(word.char_start, word.start_ms) for word in told] in ([], [(4, 0)])


def test_times_never_run_back() -> None:
    alignment = Alignment("a b c d")
    told = [*alignment.feed(list("a b c d"), [0, 0, 0.5, 0, 0.45, 0, 0.6], 0)]
    starts = [word.start_ms for word in told]
    assert starts == sorted(starts)


def test_letters_of_every_script_count() -> None:
    text = "Что такое глагол?"
    assert [word for word, _ in words(text, [(0, 9), (9, len(text))])] == [
        "Что", "такое", "глагол"]  # fmt: skip
    emoji = "👍🏽 да"
    assert [word for word, _ in words(emoji, [(0, len(emoji))])] == ["да"]
