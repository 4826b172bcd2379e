from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.speech import Turn, WordTime
from voice_server.calls.reply import PastTurn, Piece, Reply


def reply(*pieces: tuple[str, int], made: bool = True) -> Reply:
    spoken = Reply(made=made)
    for text, sound_ms in pieces:
        spoken.pieces.append(Piece(text))
        for _ in range(sound_ms // 20):
            spoken.add_sound(0)
    return spoken


def test_nothing_heard() -> None:
    assert reply(("one two", 400)).heard() == ""


def test_heard_to_the_word_and_across_pieces() -> None:
    spoken = reply(("one two", 400), ("three four", 400))
    spoken.play(600)
    assert spoken.heard() == "one two three"


def test_a_piece_still_being_made_is_not_heard_whole() -> None:
    spoken = reply(("one two three four", 200), made=False)
    spoken.add_word(WordTime(0, 3, 0))
    spoken.add_word(WordTime(4, 7, 100))
    spoken.play(200)
    assert spoken.heard() == "one"


def test_a_word_that_another_voice_says_again_was_not_heard_before() -> None:
    spoken = reply(("one two three", 600), made=False)
    # The second voice begins again: with the word that broke off, or with the one before it.
    for again in ([(4, 7, 200)], [(0, 3, 200), (4, 7, 300)]):
        spoken.pieces[0].words = [
            WordTime(*place) for place in [(0, 3, 0), (4, 7, 100), *again, (8, 13, 400)]
        ]
        for played_ms, heard in [(200, "one"), (399, "one"), (400, "one two")]:
            spoken.truncate(played_ms)
            assert spoken.heard() == heard


def test_last_words_without_a_sound_of_their_own_are_heard_with_the_others() -> None:
    spoken = reply(("People walk over", 400), ("it.", 0))
    spoken.play(380)
    assert spoken.begun_chars() < len("People walk over it.")
    spoken.play(400)
    assert spoken.begun_chars() == len("People walk over it.")


def test_never_more_than_was_made_nor_less_than_before() -> None:
    spoken = reply(("one", 100))
    spoken.play(5_000)
    assert spoken.played_ms == 100
    spoken.play(20)
    assert spoken.played_ms == 100


def test_a_past_turn_says_whether_it_was_cut() -> None:
    spoken = reply(("one two", 400))
    spoken.play(200)
    assert PastTurn(1, "Count.", spoken).as_turn() == Turn("Count.", "one", interrupted=True)
    spoken.play(400)
    assert PastTurn(1, "Count.", spoken).as_turn() == Turn("Count.", "one two")


PIECES = st.lists(
    st.tuples(st.text("ab ", min_size=1, max_size=20).map(str.strip).filter(bool),
              st.integers(1, 40).map(lambda frames: frames * 20)),
    min_size=1, max_size=5,
)  # fmt: skip


@given(PIECES, st.lists(st.integers(0, 5_000), max_size=20))
def test_what_was_heard_only_grows_and_is_a_beginning(
    pieces: list[tuple[str, int]], times: list[int]
) -> None:
    spoken, heard, begun = reply(*pieces), "", 0
    for played_ms in sorted(times):
        spoken.play(played_ms)
        now = spoken.heard()
        assert spoken.text.split()[: len(now.split())] == now.split()
        assert len(now) >= len(heard) and spoken.begun_chars() >= begun
        heard, begun = now, spoken.begun_chars()
        assert begun <= len(spoken.text)
    if spoken.finished:
        assert heard.split() == spoken.text.split()
        assert begun == len(spoken.text)
