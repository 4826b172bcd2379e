"""Failover between vendors over their real wires: whatever trouble the first is in, before its
answer or in the middle of it, the second does the rest and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from engines.elevenlabs.speaking import ElevenLabsTextToSpeech
from engines.failover.continuing import GO_ON
from engines.failover.dialogue import FailoverDialogue, ReplyingPatience
from engines.failover.health import Health, State
from engines.failover.hearing import FailoverSpeechToText
from engines.failover.speaking import FailoverTextToSpeech, Sound, SpeakingPatience
from engines.failover.work import Terms
from engines.openai.chat import ChatDialogue, ChatOptions
from engines.openai.speaking import OpenAITextToSpeech
from engines.openai.transcription import OpenAISpeechToText
from engines.opus import OpusDecoder
from engines.speech import (
    EngineSettings,
    EngineUse,
    OpusFrame,
    PcmFrame,
    SpeechToText,
    TextToSpeech,
    Turn,
)
from engines.vendors import ElevenLabsOptions, OpenAIOptions
from engines.yandex.recognition import YandexSpeechToText
from tests.vendors import elevenlabs as elevenlabs_api
from tests.vendors import openai_http
from tests.vendors.elevenlabs import ElevenLabsServer
from tests.vendors.openai_http import OpenAIServer
from tests.vendors.trouble import Mood, Trouble
from tests.vendors.wire import Json
from tests.vendors.yandex import serving_yandex

from ..contract import PATIENCE_S, spoken
from ..flaky import candidate

TROUBLES = [trouble for trouble in Trouble if trouble is not Trouble.NONE]
# Every trouble before the answer, and in the middle of it those that can come there.
MOMENTS = [(trouble, False) for trouble in TROUBLES]
MOMENTS += [(trouble, True) for trouble in (Trouble.STALLED, Trouble.DROPPED, Trouble.LATE)]
# One that is in trouble gets so long; the one that stands by gets all the time it needs.
SOON_MS = 400
FOREVER_S = 3_600.0
KEYS = (elevenlabs_api.KEY, openai_http.KEY)


def in_trouble(trouble: Trouble, after: int) -> Mood:
    return Mood(trouble, after=after, slow_s=FOREVER_S)


class Told:
    """What was reported, and to whom health belongs."""

    def __init__(self) -> None:
        self.health, self.uses = Health(), list[EngineUse]()
        self.terms = Terms(self.health, self.uses.append)

    def check(self, trouble: Trouble) -> None:
        assert [(use.engine, use.outcome) for use in self.uses] == [
            ("first", "failed"), ("second", "done"),
        ]  # fmt: skip
        assert not any(key in self.uses[0].error for key in KEYS)
        # Who says when it may be asked again is left alone until then.
        (role,) = {use.role for use in self.uses}
        first = self.health.of(role, "first", self.terms.clock_ms())
        assert first.last_error == self.uses[0].error
        assert (first.state is State.OPEN) == (trouble is Trouble.LIMITED)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task but what the servers themselves still finish."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(PATIENCE_S):
        while asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.sleep(0.01)


# Recognisers.


@contextlib.asynccontextmanager
async def openai_ear(server: OpenAIServer) -> AsyncIterator[OpenAISpeechToText]:
    engine = OpenAISpeechToText(
        OpenAIOptions(server.key, server.base_url, connect_s=PATIENCE_S, patience_s=PATIENCE_S)
    )
    yield engine
    await engine.close()


async def words_of(engine: SpeechToText, frames: list[PcmFrame]) -> str:
    async with asyncio.timeout(PATIENCE_S):
        stream = engine.transcribe(spoken(frames), language="en")
        return " ".join([x.text async for x in stream if x.final]).strip()


@pytest.mark.parametrize(("trouble", "begun"), MOMENTS)
async def test_all_the_sound_is_heard_by_the_second_recogniser(
    trouble: Trouble, begun: bool, english: list[PcmFrame]
) -> None:
    told, after = Told(), 2 if begun else 0
    async with (
        OpenAIServer(mood=in_trouble(trouble, after)) as sick, OpenAIServer() as well,
        openai_ear(sick) as first, openai_ear(well) as second,
    ):  # fmt: skip
        alone = await words_of(second, english)
        engine = FailoverSpeechToText(
            [candidate(first, patience_ms=SOON_MS, name="first"),
             candidate(second, name="second")], told.terms,
        )  # fmt: skip
        assert alone
        assert await words_of(engine, english) == alone
    assert [(use.engine, use.outcome) for use in told.uses] == [
        ("first", "failed"), ("second", "done"),
    ]  # fmt: skip


@pytest.mark.parametrize("trouble", [Trouble.DROPPED, Trouble.STALLED, Trouble.BROKEN])
async def test_one_vendor_hears_what_another_could_not(
    trouble: Trouble, english: list[PcmFrame]
) -> None:
    told = Told()
    with serving_yandex() as yandex:
        yandex.hearing = in_trouble(trouble, 1)
        first = YandexSpeechToText(yandex.options)
        async with OpenAIServer() as well, openai_ear(well) as second:
            alone = await words_of(second, english)
            engine = FailoverSpeechToText(
                [candidate(first, patience_ms=SOON_MS, name="first"),
                 candidate(second, name="second")], told.terms,
            )  # fmt: skip
            assert await words_of(engine, english) == alone
        await first.close()
    told.check(trouble)


# Voices.

TEXT = "A verb is a doing word. It tells us what somebody does, and sometimes what they are."


@contextlib.asynccontextmanager
async def voices(
    openai: OpenAIServer, elevenlabs: ElevenLabsServer
) -> AsyncIterator[tuple[TextToSpeech, TextToSpeech]]:
    one = OpenAITextToSpeech(
        OpenAIOptions(openai.key, openai.base_url, connect_s=PATIENCE_S, patience_s=PATIENCE_S)
    )
    two = ElevenLabsTextToSpeech(
        ElevenLabsOptions(elevenlabs.key, elevenlabs.origin, patience_s=PATIENCE_S)
    )
    await two.start()
    yield one, two
    await one.close()
    await two.close()


@pytest.mark.parametrize("openai_first", [True, False])
@pytest.mark.parametrize(("trouble", "begun"), MOMENTS)
async def test_a_text_is_said_to_its_end(trouble: Trouble, openai_first: bool, begun: bool) -> None:
    told = Told()
    # About half a second of sound.
    after = (6 if openai_first else 1) if begun else 0
    async with OpenAIServer() as openai, ElevenLabsServer() as elevenlabs:
        sick = openai if openai_first else elevenlabs
        sick.mood = in_trouble(trouble, after)
        async with voices(openai, elevenlabs) as (one, two):
            first, second = (one, two) if openai_first else (two, one)
            engine = FailoverTextToSpeech(
                [candidate(first, patience_ms=SOON_MS, name="first"),
                 candidate(second, name="second")],
                told.terms, SpeakingPatience(stall_ms=SOON_MS),
            )  # fmt: skip
            async with asyncio.timeout(PATIENCE_S):
                stream = engine.synthesize(TEXT, voice="", language="en")
                sounds = [each async for each in stream]
    told.check(trouble)
    asked = (elevenlabs.spoken() if openai_first else openai.to("/speech"))[-1].json()
    rest = asked["text" if openai_first else "input"]
    assert rest
    assert TEXT.endswith(rest)
    assert rest == TEXT or TEXT[-len(rest) - 1] == " "
    assert TEXT.index(rest) in (range(1, 15) if begun else [0])
    check_sound(sounds, told)


def check_sound(sounds: list[Sound], told: Told) -> None:
    decoder, given_ms, last_ms = OpusDecoder(16_000), 0, 0
    for each in sounds:
        if isinstance(each, OpusFrame):
            assert len(decoder.decode(each.packet)) == 2 * 16 * 20
            given_ms += 20
        else:
            assert TEXT[each.char_start : each.char_end].split()
            assert last_ms <= each.start_ms
            last_ms = each.start_ms
    assert last_ms <= given_ms
    assert sum(dict(use.amounts).get("audio_ms", 0) for use in told.uses) == given_ms
    assert given_ms >= 0.8 * 60 * len(TEXT)


# Dialogues.

REPLY = "A verb is a doing word. It tells us what somebody does."


def goes_on(body: Json) -> Iterator[str]:
    """The reply, or what is missing of it, beginning with the last word that was said."""
    messages = body["messages"]
    said = messages[-2]["content"].split() if messages[-1]["content"] == GO_ON else []
    assert REPLY.split()[: len(said)] == said
    for number, word in enumerate(REPLY.split()[max(len(said) - 1, 0) :]):
        yield f" {word}" if number else word


@pytest.mark.parametrize(("trouble", "begun"), MOMENTS)
async def test_a_reply_is_given_to_its_end(trouble: Trouble, begun: bool) -> None:
    told, after = Told(), 5 if begun else 0
    async with (
        OpenAIServer(mood=in_trouble(trouble, after), answers=goes_on) as sick,
        OpenAIServer(answers=goes_on) as well,
    ):
        engines = [
            ChatDialogue(
                ChatOptions(
                    base_url=server.base_url, api_key=server.key, model="gpt-4o-mini",
                    patience_s=PATIENCE_S,
                )
            )
            for server in (sick, well)
        ]  # fmt: skip
        # The first request to each loads the vendor's package.
        for engine in engines:
            await engine.start()
        both = FailoverDialogue(
            [candidate(engines[0], patience_ms=SOON_MS, name="first"),
             candidate(engines[1], name="second")],
            told.terms, ReplyingPatience(stall_ms=SOON_MS),
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            stream = both.respond((Turn("What is a verb?", ""),), EngineSettings())
            said = "".join([each async for each in stream if isinstance(each, str)])
        for engine in engines:
            await engine.close()
        assert sick.faults == well.faults == []
    assert said.strip() == REPLY
    told.check(trouble)
