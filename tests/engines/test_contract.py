"""Every engine passes every check of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from engines.espeak import EspeakTextToSpeech
from engines.scripted import ScriptedDialogue, ScriptedSpeechToText, ScriptedTextToSpeech
from engines.speech import Dialogue, PcmFrame, SpeechToText, TextToSpeech
from engines.sphinx import SphinxSpeechToText
from engines.tutor import Tutor
from engines.whisper import Trust, WhisperSpeechToText

from . import contract

# Random weights are sure of nothing.
CREDULOUS = Trust(no_speech_max=1, doubtful_min=-99, logprob_min=-99, compression_max=99)


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
    for name in ("sphinx", "whisper", "scripted")
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


@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_the_scripted_voice(check: contract.Check) -> None:
    voice: TextToSpeech = ScriptedTextToSpeech()
    await check(voice)


@pytest.mark.parametrize("dialogue", [Tutor(), ScriptedDialogue()], ids=["tutor", "scripted"])
@pytest.mark.parametrize("check", contract.DIALOGUE_CHECKS, ids=lambda check: check.__name__)
async def test_a_dialogue(check: contract.Check, dialogue: Dialogue) -> None:
    await check(dialogue)
