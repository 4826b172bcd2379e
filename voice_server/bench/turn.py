"""Asks a server a few spoken questions in one call, and says where the silence before each answer
went.

The server is one of our own, with the engines that need no key: what of Whisper and the like is
here is used. The answer's beginning is all that is wanted, so the rest of it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from voice_server.client.caller import Caller, CallFailed, Happening, ServerEvent, Sound, Wishes
from voice_server.client.clips import framed, read_clip, silence
from voice_server.client.dialog import Dialog
from voice_server.client.http import Server
from voice_server.client.microphone import Clip, now_us
from voice_server.client.own_server import own_server
from voice_server.client.websocket import WebSocketCaller, Wire

from .engine_figures import FAILURES_MAX, PARTS, Gap, TurnFigures, turn_figures
from .figures import bill_is_right
from .load import Recording
from .run import SILENCE_MS

_STEP_S = 0.02
_ANSWER_S, _QUIET_S, _CLOSING_S = 30.0, 30.0, 10.0
# Eight frames of 20 ms are five windows of the detector.
_WINDOW_FRAMES = 8
_ROLES = ("speech_to_text", "dialogue", "text_to_speech")


async def measure_turn(
    recordings: Sequence[Recording], questions: int, folder: Path, told: Callable[[str], None]
) -> TurnFigures:
    """Ask the recordings in turn. Raises `CallFailed`."""
    told("a whole turn, with the engines that need no key")
    clips = [
        framed(
            read_clip(Path(each.path)), Wire.OPUS, speech_ms=each.speech_ms, voice_ms=each.voice_ms
        )
        for each in recordings
    ]
    async with (
        own_server(settings_for(folder), log=folder / "server.log") as own,
        Server(own.url) as server,
    ):
        dialled = WebSocketCaller(
            server, Wishes(silence_ms=SILENCE_MS), wire=Wire.OPUS, silence=silence(Wire.OPUS)
        )
        async with dialled as caller:
            asker = Asker(caller, clips, questions)
            await asker.converse()
        bill = caller.bill or await server.bill(caller.call_id)
    right = bill is not None and bill_is_right(bill)
    return turn_figures(questions, asker.gaps, asker.engines(), int(right), asker.failures)


def settings_for(folder: Path) -> Mapping[str, object]:
    """A server with the offline engines, and with money for the call."""
    return {
        "data_dir": folder, "database_url": "", "redis_url": "", "api_key": "",
        "speech_to_text": "auto", "dialogue": "tutor", "text_to_speech": "espeak",
        "speech_to_speech": "", "local_credit": 10**9, "log_level": "warning",
    }  # fmt: skip


class Asker:
    """One caller, who asks and hears how an answer begins. Afterwards `gaps` are what came."""

    def __init__(self, caller: Caller, clips: Sequence[Clip], questions: int) -> None:
        self._caller, self._clips, self._questions = caller, clips, questions
        self._dialog = Dialog()
        caller.microphone.align = _WINDOW_FRAMES
        self.gaps: list[Gap] = []
        self.failures: list[str] = []
        # Of the present question: what its answer was told to have waited for, and when it came.
        self._told: Mapping[str, object] | None = None
        self._first_us = 0
        # What is being answered.
        self._item = ""

    def engines(self) -> dict[str, str]:
        """Who answered, by role."""
        return {role: str(self._dialog.engines.get(role, "")) for role in _ROLES}

    async def converse(self) -> None:
        """The whole call, as far as it went."""
        try:
            async with asyncio.TaskGroup() as group:
                acting = group.create_task(self._act())
                async for happening in self._caller.happenings():
                    self._hear(happening)
                acting.cancel()
        except* CallFailed as failed:
            self.failures += [str(error) for error in failed.exceptions]

    def _hear(self, happening: Happening) -> None:
        self._dialog.happened(happening)
        if isinstance(happening, Sound):
            self._first_us = self._first_us or happening.at_us
        elif happening.event.get("type") == "voice_server.latency":
            self._told = happening.event
        elif happening.event.get("type") == "response.output_item.added":
            item = happening.event.get("item")
            self._item = str(item.get("id")) if isinstance(item, dict) else ""

    async def _act(self) -> None:
        # The first one loads what all of them need; it is in no figure.
        for number in range(self._questions + 1):
            gap = await self._ask(self._clips[number % len(self._clips)])
            if number and isinstance(gap, Gap):
                self.gaps.append(gap)
            elif number and len(self.failures) < FAILURES_MAX:
                self.failures.append(str(gap))
        await self._caller.hang_up()
        await asyncio.sleep(_CLOSING_S)
        raise CallFailed("the server did not close the call")

    async def _ask(self, clip: Clip) -> Gap | str:
        """What came of a question; in words, what went wrong with it."""
        if not await self._until(lambda: self._dialog.is_quiet(now_us()), _QUIET_S):
            return "the reply before a question did not end"
        utterance = self._caller.microphone.say(clip)
        self._told, self._first_us = None, 0
        await utterance.over.wait()
        if not await self._until(lambda: self._told is not None, _ANSWER_S):
            return "a question was not answered"
        gap = gap_of(self._told or {}, (self._first_us - utterance.speech_ended_us) / 1_000)
        await self._caller.tell(self._enough())
        return gap

    def _enough(self) -> ServerEvent:
        """What ends the reply: if it was made to its end, that no more of it will be heard."""
        if self._dialog.agent_speaks:
            return {"type": "response.cancel"}
        return {
            "type": "conversation.item.truncate", "item_id": self._item, "content_index": 0,
            "audio_end_ms": (now_us() - self._first_us) // 1_000,
        }  # fmt: skip

    async def _until(self, reached: Callable[[], bool], patience_s: float) -> bool:
        """Whether it was reached in time."""
        give_up_us = now_us() + int(patience_s * 1e6)
        while not reached() and now_us() < give_up_us:  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)
        return reached()


def gap_of(told: Mapping[str, object], heard_ms: float) -> Gap | str:
    """A turn's silence as the server's event tells it; what is wrong with it, in words."""
    named = {name: told.get(f"{name}_ms") for name in PARTS}
    parts = {name: ms for name, ms in named.items() if isinstance(ms, int)}
    whole = told.get("gap_ms")
    if len(parts) < len(PARTS) or not isinstance(whole, int):
        return "the server told of a turn without its parts"
    if heard_ms < 0:
        return "a question was answered before its end"
    return Gap(heard_ms, whole, parts, filled=told.get("answer_ms") != whole)
