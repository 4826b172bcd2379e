"""An engine that stands for several keeps the contract of one: while its first engine fails every
time, or while there is only one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from engines.espeak import EspeakTextToSpeech
from engines.failover.dialogue import FailoverDialogue
from engines.failover.health import Health, HealthRules
from engines.failover.hearing import FailoverSpeechToText
from engines.failover.speaking import FailoverTextToSpeech
from engines.failover.work import Candidate, Terms
from engines.openai.transcription import OpenAISpeechToText
from engines.speech import (
    Dialogue,
    DialogueOutput,
    EngineError,
    EngineSettings,
    Entry,
    OpusFrame,
    PcmFrame,
    SpeechOutput,
    SpeechToText,
    TextToSpeech,
    Transcript,
)
from engines.tutor.tutor import Tutor
from engines.vendors import OpenAIOptions
from tests.vendors.openai_http import OpenAIServer

from .. import contract
from ..flaky import candidate

# However often the first fails, it is asked first again.
RULES = HealthRules(failures_max=1_000_000, failed_share=2.0)
ALONE, BEHIND = "alone", "behind-a-broken-one"
WAYS = [ALONE, BEHIND]


class BreaksInTheMiddle:
    """Takes some of what it is given, begins an answer, and breaks."""

    name = "broken"

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        frames = 0
        async for _ in audio:
            frames += 1
            if frames == 20:
                raise EngineError("it broke")
        raise EngineError("it broke at the end")
        yield

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        await asyncio.sleep(0)
        yield " "
        raise EngineError("it broke")

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]:
        stream = self.speaks.synthesize(text, voice=voice, language=language, speed=speed)
        frames = 0
        async for each in stream:
            yield each
            frames += isinstance(each, OpusFrame)
            if frames == 5:
                await stream.aclose()
                raise EngineError("it broke")

    speaks: TextToSpeech


def terms() -> Terms:
    return Terms(Health(RULES))


@pytest.fixture(scope="module")
def broken() -> BreaksInTheMiddle:
    return BreaksInTheMiddle()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("check", contract.RECOGNISER_CHECKS, ids=lambda check: check.__name__)
async def test_recognisers(
    check: contract.Check, way: str, broken: BreaksInTheMiddle, english: list[PcmFrame]
) -> None:
    async with OpenAIServer() as server:
        openai = OpenAISpeechToText(OpenAIOptions(server.key, server.base_url))
        await openai.start()
        ordered: list[Candidate[SpeechToText]] = [candidate(openai, name="openai")]
        if way == BEHIND:
            ordered.insert(0, candidate(broken))
        await check(FailoverSpeechToText(ordered, terms()), english)
        await openai.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("check", contract.VOICE_CHECKS, ids=lambda check: check.__name__)
async def test_voices(check: contract.Check, way: str, broken: BreaksInTheMiddle) -> None:
    espeak = EspeakTextToSpeech(workers=1)
    await espeak.start()
    broken.speaks = espeak
    ordered: list[Candidate[TextToSpeech]] = [candidate(espeak, name="espeak")]
    if way == BEHIND:
        ordered.insert(0, candidate(broken))
    await check(FailoverTextToSpeech(ordered, terms()))
    await espeak.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("check", contract.DIALOGUE_CHECKS, ids=lambda check: check.__name__)
async def test_dialogues(check: contract.Check, way: str, broken: BreaksInTheMiddle) -> None:
    ordered: list[Candidate[Dialogue]] = [candidate(Tutor(), name="tutor", continues=False)]
    if way == BEHIND:
        ordered.insert(0, candidate(broken))
    await check(FailoverDialogue(ordered, terms()))
