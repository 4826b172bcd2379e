"""A voice is told in words what to say, and its words lead back to what was written."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from engines.scripted import ScriptedTextToSpeech
from engines.speech import EngineError, OpusFrame, SpeechOutput, WordTime
from engines.spoken_text import Normalised
from engines.timed_voice import Timed

from .voices_for_tests import Mute, Playing, collect, packets


def words_of(text: str, made: list[SpeechOutput]) -> list[str]:
    return [text[w.char_start : w.char_end] for w in made if isinstance(w, WordTime)]


@pytest.mark.parametrize(
    ("text", "language", "told", "words"),
    [
        ("In 1999, twice.", "en", "In nineteen ninety-nine, twice.", "In|1999|twice."),
        ("It is **bold** & $5.50!", "en", "It is bold and five dollars and fifty cents!",
         "It|is|bold|&|$5.50"),
        ("К 5 часам", "ru", "К пяти часам", "К|5|часам"),
        ("около 20 км.", "ru", "около двадцати километров.", "около|20|км."),
        ("1,5 млн руб.", "ru", "полтора миллиона рублей.", "1,5|млн|руб."),
        ("[a link](http://x.y) 😀 ends", "en", "a link ends", "a|link|ends"),
        ("nothing to do", "en", "nothing to do", "nothing|to|do"),
    ],
)  # fmt: skip
async def test_it_is_told_in_words_and_answers_in_what_was_written(
    text: str, language: str, told: str, words: str
) -> None:
    voice = Playing(packets(3))
    await collect(Normalised(voice), text, language=language, speed=1.5, name="anna")
    assert voice.asked == [(told, "anna", language, 1.5)]
    made = await collect(Normalised(ScriptedTextToSpeech()), text, language=language)
    assert words_of(text, made) == words.split("|")
    starts = [each.start_ms for each in made if isinstance(each, WordTime)]
    assert starts == sorted(starts)


async def test_one_written_word_is_told_once_when_its_first_word_is_spoken() -> None:
    text = "He was born in 1999 there"
    spoken = "He was born in nineteen ninety-nine there"
    made = await collect(Normalised(ScriptedTextToSpeech()), text)
    plain = await collect(ScriptedTextToSpeech(), spoken)
    times = [each.start_ms for each in plain if isinstance(each, WordTime)]
    told = [each.start_ms for each in made if isinstance(each, WordTime)]
    assert told == [*times[:5], times[6]]
    assert [each for each in made if isinstance(each, OpusFrame)] == [
        each for each in plain if isinstance(each, OpusFrame)]  # fmt: skip


@pytest.mark.parametrize("text", ["", " ", "😀", "**", "---", "…"])
async def test_where_no_word_is_left_the_voice_is_not_asked(text: str) -> None:
    voice = Playing(packets(3))
    assert await collect(Normalised(voice), text) == []
    assert voice.asked == []


async def test_estimates_are_marked_after_the_way_back() -> None:
    text = "It cost $45.50 in 1999."
    for voice in (Timed(Normalised(Mute(ScriptedTextToSpeech()))),
                  Normalised(Timed(Mute(ScriptedTextToSpeech())))):  # fmt: skip
        made = await collect(voice, text)
        found = [word.strip(".") for word in words_of(text, made)]
        assert found == ["It", "cost", "$45.50", "in", "1999"]
        assert all(each.estimated for each in made if isinstance(each, WordTime))


async def test_leaving_early_leaves_the_voice() -> None:
    voice = Playing(packets(50))
    async with aclosing(Normalised(voice).synthesize("Five", voice="", language="en")) as sounds:
        assert await anext(sounds)
    assert voice.closed == 1


async def test_a_failing_voice_fails() -> None:
    with pytest.raises(EngineError, match="lost"):
        await collect(Normalised(Playing([], fails=True)), "Five")


async def test_a_long_text_is_told_whole() -> None:
    voice = Playing([])
    await collect(Normalised(voice), "5 apples. " * 200)
    assert voice.asked[0][0] == "five apples. " * 200


async def test_the_rest_of_the_voice_shows_through() -> None:
    assert Normalised(Playing([])).title == "playing"
    assert not hasattr(Normalised(Playing([])), "start")
