"""Long texts: whole, in the right languages, and never held up by who listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from engines.espeak import EspeakTextToSpeech
from engines.narration import (
    FRAMES_WAITING_MAX,
    NoSuchVoice,
    NothingToSay,
    chosen_voice,
    narrated,
    pieces,
)
from engines.scripted import ScriptedTextToSpeech
from engines.speech import EngineError, OpusFrame, WordTime
from tests.calls.exchange import eventually, nothing_left

FRAME = OpusFrame(b"\xfc")


class Voice:
    """A voice whose every letter is a frame; remembers what it was asked, and when it was left.
    It knows no sound for "…" and breaks down at "crash"."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.spoken = self.begun = self.ended = 0

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        self.asked.append((text, voice, language))
        self.begun += 1
        try:
            for letter in text.replace("…", ""):
                await asyncio.sleep(0)
                if "crash" in text:
                    raise EngineError("broken")
                self.spoken += len(letter)
                yield WordTime(0, 1, 0)
                yield FRAME
        finally:
            self.ended += 1

    def knows(self, voice: str) -> bool:
        return voice in {"en-us", "ru", "cmn", "en-us+f2"}

    def default_voice(self, language: str) -> str:
        if language not in {"en", "ru"}:
            raise EngineError("not spoken")
        return language


def speaking(voice: Voice, text: str, *, named: str = "") -> AsyncGenerator[OpusFrame, None]:
    return narrated(voice, text, voice=named, language="en", speed=1.0)


async def test_every_letter_is_spoken_piece_by_piece() -> None:
    voice, text = Voice(), "One is here. Two is here! Is three? " * 5
    frames = [frame async for frame in speaking(voice, text)]
    assert len(frames) == sum(map(len, pieces(text))) == voice.spoken
    assert "".join(piece.replace(" ", "") for piece in pieces(text)) == text.replace(" ", "")
    assert len(voice.asked) == 15


async def test_each_piece_is_spoken_in_the_language_of_its_letters() -> None:
    voice = Voice()
    async for _ in speaking(voice, "Hello there, friend. Привет, друг. Γειά σου φίλε. 12 34."):
        pass
    # Nobody speaks Greek here: then it is tried in the language that was asked for.
    assert [language for *_, language in voice.asked] == ["en", "ru", "en", "en"]


async def test_a_voice_that_was_chosen_speaks_everything() -> None:
    voice = Voice()
    async for _ in speaking(voice, "Hello there. Привет.", named="ru"):
        pass
    assert {(name, language) for _, name, language in voice.asked} == {("ru", "en")}


@pytest.mark.parametrize("text", ["…", "… … …", ""])
async def test_a_text_without_sound_is_said_to_be(text: str) -> None:
    with pytest.raises(NothingToSay):
        async for _ in speaking(Voice(), text):
            pass


async def test_a_text_of_a_thousand_silences_lets_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    with pytest.raises(NothingToSay):
        async for _ in speaking(Voice(), "… " * 1_000):
            pass
    task.cancel()
    assert turns >= 1_000


async def test_what_fails_is_told_after_what_was_spoken() -> None:
    frames = 0
    with pytest.raises(EngineError, match="broken"):
        async for _ in speaking(Voice(), "Good so far. Now a crash. Never said."):
            frames += 1
    assert frames == len("Good so far.")


async def test_a_slow_listener_holds_up_the_next_piece_and_not_this_one() -> None:
    voice = Voice()
    text = " ".join(["x" * 199 + "."] * 10)
    frames = speaking(voice, text)
    await anext(frames)
    # Two pieces of two hundred are more than may wait; the second is spoken to its end.
    await eventually(lambda: voice.ended == 2, 30)
    for _ in range(100):
        await asyncio.sleep(0)
    assert voice.begun == 2
    assert voice.spoken - 1 > FRAMES_WAITING_MAX
    rest = [frame async for frame in frames]
    assert len(rest) + 1 == 10 * 200


async def test_a_listener_who_leaves_closes_the_voice() -> None:
    voice = Voice()
    async with nothing_left():
        frames = speaking(voice, "A sentence that is not spoken to its end.")
        await anext(frames)
        await frames.aclose()
        assert voice.begun == voice.ended == 1
        assert voice.spoken < 40


@pytest.mark.parametrize(
    ("named", "chosen"),
    [
        ("alloy", ""), ("ash", ""), ("onyx", ""), ("", ""), ("voice_1234", ""), ("Алиса", ""),
        ("en-us", "en-us"), ("en-us+f2", "en-us+f2"), ("cmn", "cmn"),
    ],
)  # fmt: skip
def test_voices_of_other_houses_mean_the_default(named: str, chosen: str) -> None:
    assert chosen_voice(Voice(), named) == chosen


@pytest.mark.parametrize("named", ["en-xx", "ru+f99", "xx"])
def test_a_voice_named_like_ours_must_be_ours(named: str) -> None:
    with pytest.raises(NoSuchVoice):
        chosen_voice(Voice(), named)


def test_an_engine_of_one_voice_has_no_wrong_ones() -> None:
    assert chosen_voice(ScriptedTextToSpeech(), "en-xx") == ""


async def test_espeak_knows_its_voices() -> None:
    engine = EspeakTextToSpeech()
    await engine.start()
    assert all(engine.knows(voice.name) for voice in engine.voices("ru"))
    assert not engine.knows("ru+nobody")
    assert not engine.knows("alloy")
    await engine.close()
