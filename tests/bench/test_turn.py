"""A call that asks: what it takes for an answer, and what it says went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from voice_server.bench import turn
from voice_server.bench.engine_figures import PARTS, Gap
from voice_server.bench.turn import Asker, gap_of, settings_for
from voice_server.client.caller import CallFailed, Happening, ServerEvent, Sound, Told
from voice_server.client.microphone import Clip, Microphone, now_us

TOLD: dict[str, object] = {
    "type": "voice_server.latency", "response_id": "r", "gap_ms": 700, "answer_ms": 700,
    **{f"{name}_ms": 0 for name in PARTS}, "endpointing_ms": 608, "transcript_ms": 92,
}  # fmt: skip
CLIP = Clip([b"voice"] * 3, 2)


def test_a_turn_is_taken_as_it_is_told() -> None:
    gap = gap_of(TOLD, 705.0)
    assert isinstance(gap, Gap) and gap.adds_up and (gap.told_ms, gap.heard_ms) == (700, 705.0)
    assert gap.parts["transcript"] == 92 and set(gap.parts) == set(PARTS)


@pytest.mark.parametrize("answer", [{"answer_ms": 900}, {"answer_ms": None}])
def test_a_filler_is_not_taken_for_the_answer(answer: dict[str, object]) -> None:
    filled, whole = gap_of(TOLD | answer, 705.0), gap_of(TOLD, 705.0)
    assert isinstance(filled, Gap) and filled.filled
    assert isinstance(whole, Gap) and not whole.filled


def test_what_is_missing_or_cannot_be_is_said() -> None:
    assert "parts" in str(gap_of({**TOLD, "transcript_ms": None}, 700))
    assert "parts" in str(gap_of({**TOLD, "gap_ms": "700"}, 700))
    assert "before its end" in str(gap_of(TOLD, -1))


class Line:
    """A `Caller` whose server answers as it is told to: `answer` gives what comes when something
    was said, and what is told is kept."""

    def __init__(self, *answer: ServerEvent, cut: bool = False) -> None:
        self.microphone = Microphone(b"silence")
        self.call_id = "call"
        self.bill: ServerEvent | None = None
        self.told: list[ServerEvent] = []
        self._answer, self._cut = answer, cut
        self._happenings: asyncio.Queue[Happening | None] = asyncio.Queue()
        self._speaking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._speaking
        self._speaking.cancel()

    async def _speak(self) -> None:
        said = 0
        while True:
            said += await self.microphone.frame() == b"voice"
            if said == len(CLIP.frames):
                said = 0
                for event in self._answer:
                    if event["type"] == "sound":
                        self._happenings.put_nowait(Sound(b"", now_us(), 20, opus=True))
                    else:
                        self._happenings.put_nowait(Told(event, now_us()))
                if self._cut:
                    self._happenings.put_nowait(None)

    async def happenings(self) -> AsyncIterator[Happening]:
        while (happening := await self._happenings.get()) is not None:
            yield happening
        if self._cut:
            raise CallFailed("the line was cut")

    async def tell(self, event: ServerEvent) -> None:
        self.told.append(event)

    async def hang_up(self) -> None:
        self._happenings.put_nowait(None)


BEGUN: tuple[ServerEvent, ...] = (
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_item.added", "item": {"id": "item"}},
    {"type": "sound"},
)
DONE: ServerEvent = {"type": "response.done", "response": {"id": "r", "status": "completed"}}


async def asked(line: Line, questions: int = 1) -> Asker:
    async with line:
        asker = Asker(line, [CLIP], questions)
        await asker.converse()
    return asker


async def test_the_first_answer_is_in_no_figure() -> None:
    line = Line(*BEGUN, TOLD, DONE)
    asker = await asked(line, questions=2)
    assert [gap.told_ms for gap in asker.gaps] == [700, 700] and asker.failures == []
    assert all(gap.heard_ms >= 0 for gap in asker.gaps)


async def test_a_reply_that_is_being_made_is_cancelled() -> None:
    # Nobody says that it is done, so the next question would wait: there is none.
    line = Line(*BEGUN, TOLD)
    async with line:
        asker = Asker(line, [CLIP], 1)
        acting = asyncio.create_task(asker.converse())
        async with asyncio.timeout(60):
            while not line.told:
                await asyncio.sleep(0.01)
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
    assert line.told[0] == {"type": "response.cancel"}


async def test_a_reply_that_was_made_is_cut_where_it_was_heard() -> None:
    line = Line(*BEGUN, DONE, TOLD)
    await asked(line)
    cut: dict[str, Any] = line.told[0]
    assert cut["type"] == "conversation.item.truncate" and cut["item_id"] == "item"
    assert 0 <= cut["audio_end_ms"] < 60_000


async def test_a_question_without_an_answer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "_ANSWER_S", 0.05)
    asker = await asked(Line(*BEGUN, DONE))
    assert asker.gaps == [] and asker.failures == ["a question was not answered"]


async def test_a_line_that_is_cut_is_seen() -> None:
    asker = await asked(Line(cut=True), questions=3)
    assert asker.gaps == [] and asker.failures == ["the line was cut"]


def test_the_server_needs_no_key(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert settings["speech_to_speech"] == "" and settings["dialogue"] == "tutor"
