"""The embedded recogniser's own rules: its one language, its grammar, its separate voices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from engines.audio import read_audio
from engines.espeak import EspeakTextToSpeech
from engines.opus import OpusDecoder
from engines.speech import EngineError, OpusFrame, PcmFrame, Transcript, Word
from engines.sphinx import SphinxSpeechToText
from engines.sphinx_worker import Recognizer, _Stretch, distance, jsgf
from tests.human_speech import HumanSpeech

from .contract import PATIENCE_S, SILENT, spoken


@pytest.fixture
async def engine() -> AsyncIterator[SphinxSpeechToText]:
    engine = SphinxSpeechToText(streams_per_worker=2)
    await engine.start()
    yield engine
    await engine.close()


async def finals(
    engine: SphinxSpeechToText, frames: list[PcmFrame], expected: tuple[str, ...] = ()
) -> list[Transcript]:
    async with asyncio.timeout(PATIENCE_S):
        stream = engine.transcribe(spoken(frames), language="en", expected=expected)
        return [each async for each in stream if each.final]


def padded(frames: list[PcmFrame]) -> list[PcmFrame]:
    return [*[SILENT] * 10, *frames, *[SILENT] * 15]


async def test_read_speech_is_mostly_understood(
    engine: SphinxSpeechToText, speech: HumanSpeech
) -> None:
    clip = speech.clip("en_LJ001-0019.wav")
    [heard] = await finals(engine, read_audio(clip.path, seconds_max=30))
    said = re.findall(r"[a-z']+", clip.text.lower())
    # Of eSpeak NG's voice less is understood than of a human's.
    share = 0.6 if clip.human else 0.2
    assert len(set(said) & set(heard.text.split())) >= share * len(set(said))


async def test_another_language_is_refused_at_once(engine: SphinxSpeechToText) -> None:
    async def never() -> AsyncIterator[PcmFrame]:
        raise AssertionError("sound was asked for")
        yield SILENT

    with pytest.raises(EngineError, match=r"English only.*models pull"):
        async for _ in engine.transcribe(never(), language="ru"):
            pass


async def test_english_of_any_country_is_english(engine: SphinxSpeechToText) -> None:
    async for heard in engine.transcribe(spoken([SILENT]), language="en-GB"):
        assert heard.text == ""


async def test_a_stream_does_not_depend_on_the_one_before(
    engine: SphinxSpeechToText, english: list[PcmFrame]
) -> None:
    first = await finals(engine, english)
    await finals(engine, [PcmFrame(b"\x00\x20\x00\xe0" * 256)] * 60)
    assert await finals(engine, english) == first


def test_every_decoder_hears_alike(recognizer: Recognizer, english: list[PcmFrame]) -> None:
    decoders = [recognizer.take() for _ in range(2)]
    heard = []
    for decoder in decoders:
        stretch = _Stretch(recognizer, decoder)
        for frame in english:
            stretch.hear(frame.samples)
        heard.append(stretch.finish())
        recognizer.give_back(decoder)
    assert heard[0] == heard[1]


async def test_a_dead_worker_fails_its_stream_and_is_replaced(
    engine: SphinxSpeechToText, english: list[PcmFrame]
) -> None:
    async def deadly() -> AsyncIterator[PcmFrame]:
        for frame in english[:20]:
            yield frame
        engine._pool._children[0].kill()
        while True:
            await asyncio.sleep(0.01)
            yield SILENT

    with pytest.raises(EngineError):
        async with asyncio.timeout(PATIENCE_S):
            async for _ in engine.transcribe(deadly(), language="en"):
                pass
    assert (await finals(engine, english))[0].text


# What is expected.


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def test_only_phrases_that_can_be_spelled_make_the_grammar(recognizer: Recognizer) -> None:
    kept = recognizer.phrases(
        ["Noun", "good bye", "xyzzyq", "повтори", "", "a | b", "<evil>; {x}", "yes!", "x" * 500]
    )
    assert kept == ["noun", "good bye", "a b", "evil x", "yes"]
    recognizer._grammar.add_jsgf_string("probe", jsgf(kept))
    assert len(recognizer.phrases(["noun"] * 500)) <= 40


def test_distance_counts_changes() -> None:
    assert distance("N AW N".split(), "N AW N".split()) == 0
    assert distance("N AW N".split(), "N OW".split()) == 2
    assert distance([], ["N"]) == 1


def test_an_expected_phrase_heard_as_such_is_not_doubted(recognizer: Recognizer) -> None:
    heard = [Word("noun", 300, 800)]
    assert recognizer.closest(["noun"], b"", heard) == heard


def test_nothing_heard_is_no_answer(recognizer: Recognizer) -> None:
    assert recognizer.closest(["yes", "no"], bytes(32_000), []) == []


def test_a_long_answer_is_left_alone(recognizer: Recognizer) -> None:
    heard = [Word("i", 0, 200), Word("think", 200, 600), Word("so", 4_000, 4_400)]
    assert recognizer.closest(["yes"], bytes(32 * 6_000), heard) == heard


async def said_by_espeak(text: str) -> list[PcmFrame]:
    voice = EspeakTextToSpeech()
    await voice.start()
    decoder, sound = OpusDecoder(16_000), b""
    async for each in voice.synthesize(text, voice="", language="en", speed=0.8):
        if isinstance(each, OpusFrame):
            sound += decoder.decode(each.packet)
    await voice.close()
    return [
        PcmFrame(sound[at : at + 1_024].ljust(1_024, b"\0")) for at in range(0, len(sound), 1_024)
    ]


async def test_expecting_helps_and_does_not_invent(
    engine: SphinxSpeechToText, speech: HumanSpeech
) -> None:
    """Over spoken digits: more are right when digits are expected, and hardly any digit is
    taken for another answer when other answers are expected."""
    digits = "zero one two three four five six seven eight nine".split()
    others = ("old", "bridge", "open", "repeat", "slower", "goodbye", "yes", "no", "help")
    if speech.human:
        clips = speech.clips("en", "digits")[:20]
        talk = [(clip.text, read_audio(clip.path, seconds_max=5)) for clip in clips]
    else:
        talk = [(digit, await said_by_espeak(digit)) for digit in digits]
    free = expecting = invented = 0
    for said, frames in talk:
        plain = (await finals(engine, padded(frames)))[0].text
        free += plain == said
        expecting += (await finals(engine, padded(frames), tuple(digits)))[0].text == said
        other = (await finals(engine, padded(frames), others))[0].text
        invented += other in others and plain not in others
    assert expecting > free if speech.human else expecting >= free
    assert invented <= len(talk) * 0.1
