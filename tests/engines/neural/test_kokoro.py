"""Kokoro through the real kokoro-onnx and onnxruntime, with a network that has its shape."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engines.neural import kokoro
from engines.neural.kokoro import KokoroTextToSpeech
from engines.neural.local_voice import JOBS_MAX
from engines.speech import EngineError, EngineRefused, TextToSpeech
from engines.vendors import LocalVoiceOptions
from engines.workers import WorkerPool

from ..contract import PATIENCE_S
from ..speaking import heard, loud_ms, open_files
from ..tiny_voices import build_kokoro

VOICES = ("af_heart", "af_alloy", "bm_fable", "ef_dora", "jf_alpha", "zm_yunxi")
TEXT = "Well, of the two it is well-known that one came first. And then the other came!"
# A worker in the middle of a piece would be busy for hours.
LONG = "A verb is a word that tells us what somebody does, and so on it goes."


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models_dir = tmp_path_factory.mktemp("kokoro")
    build_kokoro(models_dir / "kokoro", voices=VOICES)
    build_kokoro(models_dir / "silent", voices=VOICES, durations=False, tokens="tokens")
    build_kokoro(models_dir / "slow", work=100_000)
    return models_dir


@contextlib.asynccontextmanager
async def speaking(
    models_dir: Path, model: str = "", voice: str = ""
) -> AsyncIterator[KokoroTextToSpeech]:
    engine = KokoroTextToSpeech(options=LocalVoiceOptions(models_dir, model, voice))
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def engine(weights: Path) -> AsyncIterator[KokoroTextToSpeech]:
    async with speaking(weights) as engine:
        yield engine


def pool_of(engine: KokoroTextToSpeech) -> WorkerPool:
    assert engine._worker is not None
    return engine._worker._pool


# Sound and places.


async def test_words_are_where_their_sound_is(engine: KokoroTextToSpeech) -> None:
    """The network is silent between words and loud in them."""
    said = await heard(engine, TEXT)
    assert [TEXT[a:b] for a, b, _ in said.words] == [
        "Well", "of", "the", "two", "it", "is", "well-known", "that", "one", "came", "first",
        "And", "then", "the", "other", "came",
    ]  # fmt: skip
    assert not any(word.estimated for word in said.times)
    begins = loud_ms(said.sound)
    apart = [
        min(abs(at_ms - begin) for begin in begins)
        for a, b, at_ms in said.words
        if TEXT[a:b] not in ("the", "one")  # These it says as one with the word before.
    ]
    assert max(apart) <= 60, apart


async def test_the_first_piece_leaves_before_the_second_is_begun(
    engine: KokoroTextToSpeech,
) -> None:
    said = await heard(engine, TEXT)
    first_of_last = next(n for n, (a, _, _) in enumerate(said.words) if TEXT[a:].startswith("And"))
    frames_before = said.frames_before_word[first_of_last]
    assert frames_before * 20 >= said.words[first_of_last - 1][2] - 400


async def test_faster_and_slower(engine: KokoroTextToSpeech) -> None:
    lengths = {
        speed: len((await heard(engine, TEXT, speed=speed)).sound)
        for speed in (0.25, 0.5, 1.0, 2.0, 4.0)
    }
    pause = 3 * 240 * 16  # Which stays what it is, except beyond what the network itself can do.
    assert lengths[0.5] == pytest.approx(2 * lengths[1.0], abs=pause, rel=0.15)
    assert lengths[2.0] == pytest.approx(lengths[1.0] / 2, abs=pause, rel=0.15)
    assert lengths[0.25] == pytest.approx(2 * lengths[0.5], rel=0.1)
    assert lengths[4.0] == pytest.approx(lengths[2.0] / 2, rel=0.1)


async def test_places_follow_the_speed(engine: KokoroTextToSpeech) -> None:
    for speed in (0.25, 4.0):
        said = await heard(engine, TEXT, speed=speed)
        begins = loud_ms(said.sound)
        last = said.words[-1][2]
        assert min(abs(last - begin) for begin in begins) <= 150


async def test_the_style_of_the_voice_is_used(engine: KokoroTextToSpeech) -> None:
    """The tone of the network rises with the style, and the styles of the voices differ."""
    pitches = []
    for voice in ("af_heart", "af_alloy", "bm_fable"):
        sound = (await heard(engine, TEXT, voice=voice)).sound
        spectrum = np.abs(np.fft.rfft(sound.astype(float)))
        pitches.append(int(spectrum.argmax() * 16_000 / len(sound)))
    assert pitches[0] < pitches[1] < pitches[2]


async def test_a_network_that_does_not_say_when_gives_no_places(weights: Path) -> None:
    async with speaking(weights, "silent") as engine:
        said = await heard(engine, TEXT)
    assert said.words == []
    assert len(said.sound) > 16_000


async def test_the_level_is_that_of_speech(engine: KokoroTextToSpeech) -> None:
    sound = (await heard(engine, TEXT)).sound.astype(float) / 32_768
    loud = sound[np.abs(sound) > 0.01]
    assert -24 < 10 * np.log10(np.mean(loud**2)) < -16


async def test_callers_take_turns_at_one_network(engine: KokoroTextToSpeech) -> None:
    alone = await heard(engine, TEXT)
    together = await asyncio.gather(*(heard(engine, TEXT) for _ in range(5)))
    assert all(each.words == alone.words for each in together)
    assert len(pool_of(engine)._children) == 1


# Voices and languages.


async def test_voices_are_those_of_the_weights_that_we_can_speak_with(
    engine: KokoroTextToSpeech,
) -> None:
    assert [voice.name for voice in engine.voices("en")] == ["af_heart", "af_alloy", "bm_fable"]
    assert [voice.name for voice in engine.voices("es-MX")] == ["ef_dora"]
    assert {voice.name for voice in engine.voices()} == {*VOICES[:4]}
    assert engine.voices("ja") == engine.voices("ru") == []
    assert engine.voices("en")[0].gender == "female"


async def test_a_configured_voice_is_the_default(weights: Path) -> None:
    async with speaking(weights, voice="bm_fable") as engine:
        assert engine.voices("en")[0].name == "bm_fable"
        assert engine._named("", "es") == "ef_dora"


async def test_names_of_other_houses_are_near_ones_here(engine: KokoroTextToSpeech) -> None:
    assert engine._named("alloy", "en") == "af_alloy"
    assert engine._named("nova", "en") == "af_heart", "which these weights do not have"
    assert engine._named("fable", "es") == "ef_dora"
    assert engine._named("ef_dora", "en") == "ef_dora", "whoever asks for an accent gets it"
    assert kokoro._accent("ef_dora", "en") == "en-us"
    assert kokoro._accent("bm_fable", "en") == "en-gb"
    assert kokoro._accent("af_heart", "en-gb") == "en-gb"


@pytest.mark.parametrize(
    ("voice", "language", "said"),
    [("", "ru", "'ru'"), ("nobody", "en", "'nobody'"), ("../x", "en", "no voice"), ("", "", "''")],
)
async def test_what_it_cannot_speak_is_refused(
    engine: KokoroTextToSpeech, voice: str, language: str, said: str
) -> None:
    with pytest.raises(EngineRefused, match=said):
        await heard(engine, TEXT, voice=voice, language=language)


async def test_other_languages_are_spoken(engine: KokoroTextToSpeech) -> None:
    for language, text in (("es", "Hola, ¿qué tal?"), ("fr-FR", "Bonjour à tous."), ("it", "Ciao")):
        assert len((await heard(engine, text, language=language)).sound) > 4_000


# Leaving, and what is left.


async def test_leaving_stops_the_network_at_work(weights: Path) -> None:
    """It would be busy for hours; and it is stopped, not killed."""
    async with speaking(weights, "slow") as engine:
        await engine.start()
        pool = pool_of(engine)
        child = pool._children[0]
        task = asyncio.create_task(heard(engine, LONG))
        async with asyncio.timeout(PATIENCE_S):
            while pool.slots_free == JOBS_MAX:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while pool.slots_free < JOBS_MAX:
                await asyncio.sleep(0.01)
            assert pool._children[0] is child
            assert len((await heard(engine, "Hi.")).sound) > 0


async def test_nothing_is_left_behind(weights: Path) -> None:
    async with speaking(weights) as engine:
        await heard(engine, "Once, to warm up.")
    before, tasks = open_files(), asyncio.all_tasks()
    for _ in range(3):
        async with speaking(weights) as engine:
            stream = engine.synthesize(TEXT, voice="", language="en")
            async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(stream):
                await anext(stream)
            child = pool_of(engine)._children[0]
        assert child._process.returncode is not None
    assert open_files() == before
    assert asyncio.all_tasks() == tasks


async def test_no_file_is_left_behind(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with speaking(weights) as engine:
        for language, text in (("en", TEXT), ("es", "Hola."), ("en-gb", "Hello."), ("es", "Sí.")):
            assert len((await heard(engine, text, language=language)).sound) > 0
        assert not list(tmp_path.iterdir())


# What is missing or broken.


async def test_without_weights_or_package_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with speaking(tmp_path) as engine:
        assert engine.voices("en") == []
        with pytest.raises(EngineError, match="voice-server models pull kokoro"):
            await engine.start()
        with pytest.raises(EngineError, match="voice-server models pull kokoro"):
            await heard(engine, TEXT)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(EngineError, match="make kokoro"):
            await heard(engine, TEXT)


@pytest.mark.parametrize("broken", ["model.onnx", "voices-v1.0.bin"])
async def test_damaged_weights_are_an_engine_error_and_may_be_mended(
    tmp_path: Path, broken: str
) -> None:
    path = build_kokoro(tmp_path / "kokoro") / broken
    good = path.read_bytes()
    path.write_bytes(b"damaged")
    async with speaking(tmp_path) as engine:
        with pytest.raises(EngineError, match="pull them again"):
            await engine.start()
        path.write_bytes(good)
        assert len((await heard(engine, TEXT)).sound) > 0


def test_it_is_a_text_to_speech() -> None:
    voice: TextToSpeech = KokoroTextToSpeech()
    assert voice
