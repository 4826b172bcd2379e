"""Engines of the operator's own, which need not keep to anything: the work goes on without them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, cast

import pytest

from engines.failover import work as failover
from engines.failover.dialogue import FailoverDialogue
from engines.failover.hearing import FailoverSpeechToText
from engines.failover.speaking import FailoverTextToSpeech
from engines.speech import EngineSettings, PcmFrame, Turn

from ..contract import PATIENCE_S
from ..flaky import Ear, Record, Talker, Voice, candidates, sound_of
from ..virtual_time import run


class Strange:
    """Answers with what is no answer."""

    name = "strange"

    def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Any, None]:
        return self._answer()

    def respond(self, history: object, settings: object) -> AsyncGenerator[Any, None]:
        return self._answer()

    def synthesize(self, text: str, **_: object) -> AsyncGenerator[Any, None]:
        return self._answer()

    async def _answer(self) -> AsyncGenerator[Any, None]:
        yield b"sound or words"


@pytest.mark.parametrize("role", ["speech_to_text", "dialogue", "text_to_speech"])
def test_what_is_no_answer_is_a_failure_and_the_next_is_asked(role: str) -> None:
    async def test() -> None:
        record, strange = Record(), cast(Any, Strange())
        stream: AsyncGenerator[Any, None]
        if role == "speech_to_text":
            ears = candidates(strange, Ear("two", words=["one"]))
            hears = FailoverSpeechToText(ears, record.terms())
            stream = hears.transcribe(sound_of(["one"]), language="en")
        elif role == "dialogue":
            two = Talker("two", reply="One.")
            thinks = FailoverDialogue(candidates(strange, two), record.terms())
            stream = thinks.respond((Turn("Hi.", ""),), EngineSettings())
        else:
            speaks = FailoverTextToSpeech(candidates(strange, Voice("two")), record.terms())
            stream = speaks.synthesize("One.", voice="", language="en")
        given = [each async for each in stream]
        assert given and not any(isinstance(each, bytes) for each in given)
        assert record.told == [("strange", "failed"), ("two", "done")]

    run(test)


async def test_one_that_does_not_go_is_left_where_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "FAREWELL_S", 0.01)
    lets = asyncio.Event()

    class Stays(Voice):
        async def synthesize(self, *_: object, **__: object) -> AsyncGenerator[Any, None]:
            while not lets.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await lets.wait()
            yield None

    speaks = FailoverTextToSpeech(candidates(Stays("one")), Record().terms())
    speaking = asyncio.create_task(anext(speaks.synthesize("One.", voice="", language="en")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    speaking.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([speaking])
    assert "does not go" in caplog.text
    lets.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
