"""Piper through the real piper-tts and onnxruntime, with voices that have its shape."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engines.neural import piper_worker
from engines.neural.local_voice import JOBS_MAX
from engines.neural.piper import LISTED_MAX, PiperTextToSpeech
from engines.speech import EngineError, EngineRefused, TextToSpeech
from engines.vendors import LocalVoiceOptions
from engines.workers import WorkerPool

from ..contract import PATIENCE_S
from ..speaking import heard, loud_ms, open_files
from ..tiny_voices import build_piper

EN, RU, MANY = "en_US-tiny-low", "ru_RU-tiny-low", "en_US-many-low"
TEXT = "Well, of the two it is known that one came first. And then the other came!"
RUSSIAN = "Глагол обозначает действие."
# A worker in the middle of a piece would be busy for hours.
LONG = "A verb is a word that tells us what somebody does, and so on it goes."


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models_dir = tmp_path_factory.mktemp("piper")
    build_piper(models_dir / "piper", EN)
    build_piper(models_dir / "piper", RU)
    build_piper(models_dir / "piper", MANY, speakers=[f"p{n}" for n in range(12)])
    build_piper(models_dir / "silent", EN, says_times=False)
    build_piper(models_dir / "slow", EN, work=100_000)
    return models_dir


@contextlib.asynccontextmanager
async def speaking(
    models_dir: Path, model: str = "", voice: str = EN
) -> AsyncIterator[PiperTextToSpeech]:
    engine = PiperTextToSpeech(options=LocalVoiceOptions(models_dir, model, voice))
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def engine(weights: Path) -> AsyncIterator[PiperTextToSpeech]:
    async with speaking(weights) as engine:
        yield engine


def pool_of(engine: PiperTextToSpeech) -> WorkerPool:
    assert engine._worker is not None
    return engine._worker._pool


# Sound and places.


@pytest.mark.parametrize(("text", "language"), [(TEXT, "en"), (RUSSIAN, "ru")])
async def test_words_are_where_their_sound_is(
    engine: PiperTextToSpeech, text: str, language: str
) -> None:
    """The network is silent between words and loud in them; that it can be asked when is the
    work of the package `onnx`."""
    said = await heard(engine, text, language=language)
    bare = text.translate(str.maketrans("", "", ",.!"))
    assert [text[a:b] for a, b, _ in said.words] == bare.split()
    begins = loud_ms(said.sound, gap_ms=10)
    apart = [
        min(abs(at_ms - begin) for begin in begins)
        for a, b, at_ms in said.words
        if text[a:b] not in ("the", "one")  # These it says as one with the word before.
    ]
    assert max(apart) <= 60, apart


async def test_a_network_that_cannot_say_when_gives_no_places(weights: Path) -> None:
    async with speaking(weights, "silent") as engine:
        said = await heard(engine, TEXT)
    assert said.words == []
    assert len(said.sound) > 16_000


def test_without_onnx_the_network_is_taken_as_it_is(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights / "piper" / f"{EN}.onnx"
    assert isinstance(piper_worker._with_times(path), bytes)
    assert piper_worker._with_times(weights / "silent" / f"{EN}.onnx") != path
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert piper_worker._with_times(path) == path


async def test_faster_and_slower(engine: PiperTextToSpeech) -> None:
    lengths = {
        speed: len((await heard(engine, TEXT, speed=speed)).sound) - 3 * 240 * 16
        for speed in (0.25, 1.0, 4.0)
    }
    assert lengths[0.25] == pytest.approx(4 * lengths[1.0], rel=0.2)
    # It holds each sound for whole frames, and these are few then.
    assert lengths[4.0] < lengths[1.0] / 1.8


async def test_the_level_is_that_of_speech(engine: PiperTextToSpeech) -> None:
    sound = (await heard(engine, TEXT)).sound.astype(float) / 32_768
    loud = sound[np.abs(sound) > 0.01]
    assert -24 < 10 * np.log10(np.mean(loud**2)) < -16


async def test_callers_take_turns_at_one_worker(engine: PiperTextToSpeech) -> None:
    alone = await heard(engine, TEXT)
    english, russian, *_ = await asyncio.gather(
        heard(engine, TEXT), heard(engine, RUSSIAN, language="ru"),
        heard(engine, TEXT, voice=f"{MANY}#p3"),
    )  # fmt: skip
    assert english.words == alone.words
    assert russian.words
    assert len(pool_of(engine)._children) == 1


async def test_phonemes_in_brackets_are_only_text(engine: PiperTextToSpeech) -> None:
    said = await heard(engine, "one [[ hɛlˈoʊ ]] two")
    plain = await heard(engine, "one    hɛlˈoʊ    two")
    assert len(said.sound) == len(plain.sound)


# Voices and languages.


async def test_voices_are_those_that_are_here(engine: PiperTextToSpeech) -> None:
    names = [voice.name for voice in engine.voices("en-GB")]
    assert names[0] == EN, "the configured one first"
    assert names[1] == MANY
    assert names[2:] == [f"{MANY}#p{n}" for n in range(LISTED_MAX)]
    assert [voice.name for voice in engine.voices("ru")] == [RU]
    assert engine.voices("fi") == []
    assert {voice.language for voice in engine.voices()} == {"en", "ru"}


async def test_each_speaker_of_a_network_is_another(engine: PiperTextToSpeech) -> None:
    pitches = []
    for speaker in ("p0", "p5", "p11"):
        sound = (await heard(engine, TEXT, voice=f"{MANY}#{speaker}")).sound
        spectrum = np.abs(np.fft.rfft(sound.astype(float)))
        pitches.append(int(spectrum.argmax() * 16_000 / len(sound)))
    assert pitches[0] < pitches[1] < pitches[2]


@pytest.mark.parametrize(
    ("voice", "language", "said"),
    [
        ("", "fi", "'fi'.*voice-server models pull piper:"), ("nobody", "en", "'nobody'"),
        (f"../piper/{EN}", "en", "no voice"), (f"{MANY}#p99", "en", "no voice"),
        (f"{EN}#p0", "en", "no voice"),
    ],
)  # fmt: skip
async def test_what_it_cannot_speak_is_refused(
    engine: PiperTextToSpeech, voice: str, language: str, said: str
) -> None:
    with pytest.raises(EngineRefused, match=said):
        await heard(engine, TEXT, voice=voice, language=language)


async def test_names_of_other_houses_are_the_default(engine: PiperTextToSpeech) -> None:
    assert engine._named("alloy", "ru") == RU
    assert engine._named("marin", "en") == EN


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


async def test_more_voices_than_there_is_room_for_are_spoken_in_turn(
    engine: PiperTextToSpeech, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.setattr(piper_worker, "VOICES_MAX", 1)
    piper = piper_worker.Piper(weights / "piper", 1)
    for name in (EN, RU, EN):
        assert len(piper.say("1", {"voice": name, "speed": 1.0}, None).samples)
        assert [*piper._loaded] == [name]


# What is missing or broken.


async def test_without_voices_or_package_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with speaking(tmp_path) as engine:
        assert engine.voices("en") == []
        with pytest.raises(EngineError, match="voice-server models pull piper"):
            await engine.start()
        with pytest.raises(EngineError, match="voice-server models pull piper"):
            await heard(engine, TEXT)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(EngineError, match="make piper"):
            await heard(engine, TEXT)


async def test_a_damaged_voice_is_an_engine_error_and_may_be_mended(tmp_path: Path) -> None:
    path = build_piper(tmp_path / "piper", EN)
    good = path.read_bytes()
    path.write_bytes(b"damaged")
    async with speaking(tmp_path) as engine:
        with pytest.raises(EngineError, match="pull them again"):
            await engine.start()
        path.write_bytes(good)
        assert len((await heard(engine, TEXT)).sound) > 0


async def test_a_description_that_lacks_something_is_an_engine_error(tmp_path: Path) -> None:
    path = build_piper(tmp_path / "piper", EN)
    Path(f"{path}.json").write_text('{"language": {"family": "en"}}')
    async with speaking(tmp_path) as engine:
        with pytest.raises(EngineError, match=f"{EN} cannot be used"):
            await heard(engine, TEXT)


def test_it_is_a_text_to_speech() -> None:
    voice: TextToSpeech = PiperTextToSpeech()
    assert voice
