"""Engines of the operator's own that fail in every way there is: the server and the others live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from engines.opus import OpusEncoder
from engines.registry import Registry
from engines.roster import EngineOptions, Listing
from engines.shelf import Shelf
from engines.speech import EngineError, OpusFrame

from .contract import PATIENCE_S


class Voice:
    """Says the same whatever the text is."""

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame, None]:
        for frame in OpusEncoder(16_000).encode(bytes(3_200)):
            yield frame


class CannotBeMade(Voice):
    def __init__(self) -> None:
        raise ValueError("a secret of the engine")


class DoesNotStart(Voice):
    async def start(self) -> None:
        raise OSError("a secret of the engine")


class StartsAtLast(Voice):
    """Whatever it needs is there the second time."""

    starts = 0

    async def start(self) -> None:
        StartsAtLast.starts += 1
        if StartsAtLast.starts == 1:
            raise EngineError("not yet")


class NeverStarts(Voice):
    async def start(self) -> None:
        await asyncio.Event().wait()


class DoesNotClose(Voice):
    async def close(self) -> None:
        raise OSError("a secret of the engine")


class Closes(Voice):
    closed = False

    async def close(self) -> None:
        Closes.closed = True


def named(engine: type[Voice]) -> str:
    return f"{__name__}:{engine.__name__}"


FAULTY = [CannotBeMade, DoesNotStart]


@pytest.mark.parametrize("faulty", FAULTY)
async def test_a_faulty_engine_is_passed_over_where_another_stands_by(
    faulty: type[Voice],
) -> None:
    names = f"{named(faulty)},{named(Voice)}"
    registry = Registry(EngineOptions("scripted", "scripted", names))
    await registry.start()
    voice = registry.for_call().text_to_speech("")
    assert [each async for each in voice.synthesize("One.", voice="", language="en")]
    await registry.close()


@pytest.mark.parametrize("faulty", FAULTY)
async def test_one_alone_that_is_faulty_is_an_error_in_words(faulty: type[Voice]) -> None:
    registry = Registry(EngineOptions("scripted", f"{named(faulty)}", "scripted"))
    with pytest.raises(EngineError) as told:
        await registry.start()
    assert "secret" not in str(told.value)
    await registry.close()


async def test_one_that_did_not_start_is_started_again_when_it_is_wanted() -> None:
    shelf = Shelf(EngineOptions())
    engine = shelf.take(Listing(named(StartsAtLast)))
    with pytest.raises(EngineError, match="not yet"):
        await shelf.ready(engine)
    await shelf.ready(engine)
    await shelf.ready(engine)
    assert StartsAtLast.starts == 2
    await shelf.close()


async def test_the_server_is_ready_while_one_of_several_never_starts() -> None:
    names = f"{named(NeverStarts)},{named(Voice)}"
    registry = Registry(EngineOptions("scripted", "scripted", names), start_s=0.01)
    async with asyncio.timeout(PATIENCE_S):
        await registry.start()
    await registry.close()


async def test_one_that_does_not_close_keeps_none_of_the_others_open() -> None:
    shelf = Shelf(EngineOptions())
    for engine in (DoesNotClose, Closes):
        shelf.take(Listing(named(engine)))
    await shelf.close()
    assert Closes.closed


async def test_speech_to_speech_without_a_key_is_passed_over_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry(
        EngineOptions("scripted", "scripted", "scripted", speech_to_speech="openai-realtime")
    )
    await registry.start()
    assert "speech_to_speech: openai-realtime is passed over" in caplog.text
    assert not registry.answers_sound
    await registry.close()
