"""A voice without word times gets them, and one with its own is not touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from engines.espeak import EspeakTextToSpeech
from engines.scripted import ScriptedTextToSpeech
from engines.speech import EngineError, OpusFrame, SpeechOutput, Spent, WordTime
from engines.spoken_text import Normalised
from engines.timed_voice import Timed

from . import contract
from .voices_for_tests import Mute, Playing, collect, packets

TEXT = "One two three, four five."


async def test_every_word_is_told_before_the_packet_it_begins_in() -> None:
    made = await collect(Timed(Playing(packets(90))), TEXT)
    words = [each for each in made if isinstance(each, WordTime)]
    assert [TEXT[word.char_start : word.char_end] for word in words] == [
        "One", "two", "three", "four", "five"]  # fmt: skip
    assert [each for each in made if isinstance(each, OpusFrame)] == packets(90)
    assert all(word.estimated for word in words)
    frames = 0
    for each in made:
        if isinstance(each, OpusFrame):
            frames += 1
        elif isinstance(each, WordTime):
            assert frames * 20 <= each.start_ms < 90 * 20


@pytest.mark.parametrize("count", [1, 2, 3, 500])
async def test_all_words_are_told_however_much_sound_there_is(count: int) -> None:
    made = await collect(Timed(Playing(packets(count))), TEXT)
    assert sum(isinstance(each, WordTime) for each in made) == 5
    assert isinstance(made[-1], OpusFrame)


async def test_no_sound_has_no_words() -> None:
    assert await collect(Timed(Playing([])), TEXT) == []


async def test_times_of_the_voice_itself_are_left_alone() -> None:
    text = "one two three"
    own = await collect(ScriptedTextToSpeech(), text)
    timed = Timed(ScriptedTextToSpeech())
    assert await collect(timed, text) == own
    assert await collect(timed, text) == own


async def test_a_voice_that_tells_its_words_late_is_not_doubled() -> None:
    late = WordTime(14, 19, 900)
    again = WordTime(0, 3, 0)
    sound = packets(60)
    voice = Playing([*sound[:30], again, late, *sound[30:]])
    timed = Timed(voice)
    made = await collect(timed, TEXT)
    words = [each for each in made if isinstance(each, WordTime)]
    starts = [word.char_start for word in words]
    assert starts == sorted(set(starts)), "no word twice, and none backwards"
    assert [each for each in made if isinstance(each, OpusFrame)] == sound
    assert late in words
    assert again not in words
    # From now on it is believed to tell all there is.
    assert await collect(timed, TEXT) == list(voice.makes)
    other = await collect(timed, TEXT, language="ru")
    assert any(isinstance(each, WordTime) and each.estimated for each in other)


async def test_the_pace_of_a_voice_is_learned() -> None:
    voice = Playing(packets(240))  # Much slower than one would think.
    timed = Timed(voice)
    first = [w for w in await collect(timed, TEXT) if isinstance(w, WordTime)]
    for _ in range(20):
        last = [w for w in await collect(timed, TEXT) if isinstance(w, WordTime)]
    assert last[-1].start_ms > first[-1].start_ms + 300
    assert last[-1].start_ms > 240 * 20 * 0.6


async def test_one_packet_at_most_is_held_back() -> None:
    voice = Playing(packets(50))
    async with aclosing(Timed(voice).synthesize(TEXT, voice="", language="en")) as sounds:
        frames = 0
        async for each in sounds:
            frames += isinstance(each, OpusFrame)
            assert voice.given <= frames + 1 + isinstance(each, WordTime)
            if frames == 10:
                break
    assert voice.closed == 1, "leaving early leaves the voice"


async def test_what_it_cost_is_passed_on() -> None:
    cost = Spent((("tokens_out", 7),))
    made = await collect(Timed(Playing([*packets(7), cost])), TEXT)
    assert cost in made and [each for each in made if isinstance(each, OpusFrame)] == packets(7)


async def test_what_was_made_before_a_failure_is_heard() -> None:
    voice = Playing(packets(7), fails=True)
    made = list[SpeechOutput]()
    with pytest.raises(EngineError, match="lost"):
        async for each in Timed(voice).synthesize(TEXT, voice="", language="en"):
            made.append(each)
    assert [each for each in made if isinstance(each, OpusFrame)] == packets(7)


async def test_packets_that_cannot_be_decoded_go_through() -> None:
    broken = [OpusFrame(b"\xff\xff\xff")] * 5
    made = await collect(Timed(Playing(broken)), TEXT)
    assert [each for each in made if isinstance(each, OpusFrame)] == broken
    assert sum(isinstance(each, WordTime) for each in made) == 5


async def test_the_rest_of_the_voice_shows_through() -> None:
    timed = Timed(Playing([]))
    assert timed.title == "playing"
    assert not hasattr(timed, "voices")


@pytest.fixture
async def espeak() -> AsyncIterator[EspeakTextToSpeech]:
    engine = EspeakTextToSpeech()
    await engine.start()
    yield engine
    await engine.close()


@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_contract_of_voices(
    check: contract.Check, espeak: EspeakTextToSpeech
) -> None:
    await check(Timed(Normalised(Mute(espeak))))


async def test_a_long_text_is_timed_too() -> None:
    text = "A word, and 1999 more. " * 100
    made = await collect(Timed(Mute(ScriptedTextToSpeech())), text)
    assert sum(isinstance(each, WordTime) for each in made) == 500
