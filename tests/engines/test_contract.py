"""Every engine passes every check of the contract."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from engines.elevenlabs.speaking import ElevenLabsTextToSpeech
from engines.espeak import EspeakTextToSpeech
from engines.neural.kokoro import KokoroTextToSpeech
from engines.neural.piper import PiperTextToSpeech
from engines.openai.reader import OpenAIReader
from engines.openai.speaking import OpenAITextToSpeech
from engines.openai.transcription import OpenAISpeechToText
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import Dialogue, PcmFrame, SpeechToText, TextToSpeech
from engines.sphinx import SphinxSpeechToText
from engines.tutor.tutor import Tutor
from engines.vendors import ElevenLabsOptions, LocalVoiceOptions, OpenAIOptions
from engines.whisper.recognition import WhisperSpeechToText
from engines.yandex.recognition import YandexSpeechToText
from engines.yandex.speaking import YandexTextToSpeech
from tests.vendors.elevenlabs import ElevenLabsServer
from tests.vendors.openai_conversation import ConversationServer
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.yandex import serving_yandex

from . import contract
from .tiny_voices import build_kokoro, build_piper
from .tiny_whisper import CREDULOUS

# The machine may be busy, and these are not the tests of that.
PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def openai_ears() -> AsyncIterator[SpeechToText]:
    async with OpenAIServer() as server:
        options = OpenAIOptions(
            server.key, server.base_url, connect_s=PATIENCE_S, patience_s=PATIENCE_S
        )
        engine = OpenAISpeechToText(options)
        await engine.start()
        yield engine
        await engine.close()


@contextlib.asynccontextmanager
async def openai_voice() -> AsyncIterator[TextToSpeech]:
    async with OpenAIServer() as server:
        options = OpenAIOptions(
            server.key, server.base_url, connect_s=PATIENCE_S, patience_s=PATIENCE_S
        )
        engine = OpenAITextToSpeech(options)
        await engine.start()
        yield engine
        await engine.close()


@contextlib.asynccontextmanager
async def openai_reader() -> AsyncIterator[TextToSpeech]:
    async with ConversationServer(answers=lambda said: [said[-1][1]]) as server:
        options = OpenAIOptions(
            server.key, server.base_url, speech_model="gpt-realtime-2.1-mini",
            connect_s=PATIENCE_S, patience_s=PATIENCE_S,
        )  # fmt: skip
        engine = OpenAIReader(options)
        await engine.start()
        yield engine
        await engine.close()


@contextlib.asynccontextmanager
async def yandex_ears() -> AsyncIterator[SpeechToText]:
    with serving_yandex() as server:
        engine = YandexSpeechToText(server.options)
        await engine.start()
        yield engine
        await engine.close()


@contextlib.asynccontextmanager
async def yandex_voice() -> AsyncIterator[TextToSpeech]:
    with serving_yandex() as server:
        engine = YandexTextToSpeech(server.options)
        await engine.start()
        yield engine
        await engine.close()


@contextlib.asynccontextmanager
async def elevenlabs_voice() -> AsyncIterator[TextToSpeech]:
    async with ElevenLabsServer() as server:
        options = ElevenLabsOptions(api_key=server.key, base_url=server.origin)
        engine = ElevenLabsTextToSpeech(options)
        await engine.start()
        yield engine
        await engine.close()


@pytest.fixture(scope="module")
def tiny_voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models_dir = tmp_path_factory.mktemp("voices")
    build_kokoro(models_dir / "kokoro")
    for name in ("en_US-tiny-low", "ru_RU-tiny-low"):
        build_piper(models_dir / "piper", name)
    return models_dir


@pytest.mark.parametrize("engine", [KokoroTextToSpeech, PiperTextToSpeech])
@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_a_neural_voice(
    check: contract.Check, tiny_voices: Path,
    engine: type[KokoroTextToSpeech | PiperTextToSpeech],
) -> None:  # fmt: skip
    voice = engine(options=LocalVoiceOptions(models_dir=tiny_voices))
    await voice.start()
    await check(voice)
    await voice.close()


# Vendors' engines against the vendors' servers of the tests.
VENDOR_EARS = {"openai": openai_ears, "yandex": yandex_ears}
VENDOR_VOICES = {
    "openai": openai_voice, "openai-reader": openai_reader, "yandex": yandex_voice,
    "elevenlabs": elevenlabs_voice,
}  # fmt: skip


def made(name: str, request: pytest.FixtureRequest) -> SpeechToText:
    match name:
        case "sphinx":
            return SphinxSpeechToText(streams_per_worker=2)
        case "whisper":
            weights = cast(Path, request.getfixturevalue("whisper_weights"))
            return WhisperSpeechToText("tiny", weights, trust=CREDULOUS)
        case _:
            return ScriptedSpeechToText()


@pytest.fixture
async def recogniser(request: pytest.FixtureRequest) -> AsyncIterator[SpeechToText]:
    if request.param in VENDOR_EARS:
        async with VENDOR_EARS[request.param]() as vendors:
            yield vendors
        return
    engine = made(request.param, request)
    if isinstance(engine, SphinxSpeechToText | WhisperSpeechToText):
        await engine.start()
    yield engine
    if isinstance(engine, SphinxSpeechToText | WhisperSpeechToText):
        await engine.close()


@pytest.fixture
async def espeak() -> AsyncIterator[EspeakTextToSpeech]:
    engine = EspeakTextToSpeech(workers=1)
    await engine.start()
    yield engine
    await engine.close()


# What hears the same whatever is said cannot keep these.
NOT_FOR_SCRIPTED = {
    contract.silence_is_not_words, contract.partials_come_before_the_final,
}  # fmt: skip
RECOGNISERS = [
    pytest.param(name, check, id=f"{name}-{check.__name__}")
    for name in ("sphinx", "whisper", "scripted", *VENDOR_EARS)
    for check in contract.RECOGNISER_CHECKS
    if name != "scripted" or check not in NOT_FOR_SCRIPTED
]


@pytest.mark.parametrize(("recogniser", "check"), RECOGNISERS, indirect=["recogniser"])
async def test_a_recogniser(
    recogniser: SpeechToText, check: contract.Check, english: list[PcmFrame]
) -> None:
    await check(recogniser, english)


@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_espeak(check: contract.Check, espeak: EspeakTextToSpeech) -> None:
    await check(espeak)


@pytest.mark.parametrize("name", VENDOR_VOICES)
@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_a_vendors_voice(check: contract.Check, name: str) -> None:
    async with VENDOR_VOICES[name]() as voice:
        await check(voice)


@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_the_scripted_voice(check: contract.Check) -> None:
    voice: TextToSpeech = ScriptedTextToSpeech()
    await check(voice)


@pytest.mark.parametrize("dialogue", [Tutor(), ScriptedDialogue()], ids=["tutor", "scripted"])
@pytest.mark.parametrize("check", contract.DIALOGUE_CHECKS, ids=lambda check: check.__name__)
async def test_a_dialogue(check: contract.Check, dialogue: Dialogue) -> None:
    await check(dialogue)
