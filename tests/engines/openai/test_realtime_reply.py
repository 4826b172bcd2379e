"""The words and the sound of a reply are put in step."""

from __future__ import annotations

import itertools
import math
from array import array

from hypothesis import given
from hypothesis import strategies as st

from engines.openai.realtime_reply import CHAR_MS, FRAME_BYTES, WORDLESS_MS_MAX, InStep, Piece

FRAME_MS = 20


def loud(ms: int) -> bytes:
    return array("h", [int(8_000 * math.sin(i / 5)) for i in range(24 * ms)]).tobytes()


def quiet(ms: int) -> bytes:
    return bytes(24 * ms * 2)


def told(*made: list[Piece]) -> dict[str, int]:
    """How much sound each piece got, in milliseconds."""
    sounds, text = dict[str, int](), ""
    for each in itertools.chain(*made):
        if isinstance(each, str):
            text = each
            sounds[text] = 0
        else:
            assert len(each) == FRAME_BYTES
            sounds[text] = sounds.get(text, 0) + FRAME_MS
    return sounds


def spoken(*sentences: str, char_ms: float, pause_ms: int = 300) -> bytes:
    return b"".join(loud(int(len(s) * char_ms)) + quiet(pause_ms) for s in sentences)


SENTENCES = ("A verb is a doing word.", "It tells us what somebody does.", "Say one, please.")


def test_each_sentence_gets_its_own_sound_at_any_usual_pace() -> None:
    for char_ms in (50, 65, 80):
        step = InStep()
        words = step.say(" ".join(SENTENCES))
        sounds = told(words, step.hear(spoken(*SENTENCES, char_ms=char_ms)), step.end())
        assert tuple(sounds) == SENTENCES
        for sentence in SENTENCES[:2]:
            assert abs(sounds[sentence] - (len(sentence) * char_ms + 300)) <= 500


def test_the_first_words_do_not_wait_for_the_end_of_their_sentence() -> None:
    step = InStep()
    assert step.say("A verb is") == []
    assert step.hear(loud(40))[0] == "A verb"


def test_sound_waits_for_its_words() -> None:
    step = InStep()
    assert step.hear(loud(100)) == []
    assert step.say("Well then, ")[0] == "Well then,"


def test_sound_does_not_wait_for_ever() -> None:
    step = InStep()
    assert len(step.hear(loud(WORDLESS_MS_MAX))) == WORDLESS_MS_MAX // FRAME_MS


def test_a_reply_of_one_word_is_told_before_its_sound() -> None:
    step = InStep()
    made = [*step.say("Yes."), *step.hear(loud(300)), *step.end()]
    assert made[0] == "Yes."
    assert told(made) == {"Yes.": 300}


def test_a_word_is_never_torn() -> None:
    step = InStep()
    made = [*step.say("Won"), *step.hear(loud(300)), *step.say("derful."), *step.end()]
    assert told(made) == {"Wonderful.": 300}


def test_words_without_sound_are_told_in_the_end() -> None:
    step = InStep()
    sounds = told(step.say("This is one. This is two."), step.end())
    assert sounds == {"This is one.": 0, "This is two.": 0}


def test_the_last_frame_is_filled_up() -> None:
    step = InStep()
    assert told(step.say("Yes. "), step.hear(loud(30)), step.end()) == {"Yes.": 40}


def test_where_words_end_is_known_afterwards() -> None:
    step = InStep()
    step.say(" ".join(SENTENCES))
    step.hear(spoken(*SENTENCES, char_ms=CHAR_MS))
    step.end()
    assert step.marks[-1] == (len(" ".join(SENTENCES)), step.sound_ms)
    assert [chars for chars, _ in step.marks] == [23, 55, 72]


@given(
    st.lists(st.one_of(
        st.text("ab .,!", max_size=12), st.integers(0, 400), st.integers(-400, 0)
    ), max_size=40)
)  # fmt: skip
def test_nothing_is_lost_whatever_comes_when(coming: list[str | int]) -> None:
    step, made, words, sound = InStep(), list[Piece](), "", 0
    for each in coming:
        if isinstance(each, str):
            words += each
            made += step.say(each)
        else:
            pcm = loud(each) if each > 0 else quiet(-each)
            sound += len(pcm)
            made += step.hear(pcm)
    made += step.end()
    texts = [piece for piece in made if isinstance(piece, str)]
    assert "".join(texts).replace(" ", "") == words.replace(" ", "")
    assert sum(isinstance(piece, bytes) for piece in made) == math.ceil(sound / FRAME_BYTES)
