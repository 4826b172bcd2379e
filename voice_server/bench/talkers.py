"""What one caller does with its call: talk in turns, or speak over the replies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import numpy as np

from engines.audio import BadAudio, OpusDecoder
from engines.speech import PCM_RATE_HZ
from voice_server.client.caller import Caller, CallFailed, Happening, ServerEvent, Sound, Told
from voice_server.client.dialog import Dialog
from voice_server.client.microphone import Clip, now_us

from .figures import ReplyWatch, Tally
from .interruptions import Interruption, count
from .load import Load

_STEP_S = 0.05
_GREETING_S, _ANSWER_S, _REPLY_S, _CLOSING_S = 1.0, 5.0, 60.0, 10.0
# How long one listens before one knows better.
_LISTENS_S = (0.5, 1.2)
# Sound whose root mean square is below this, of 32,768, is silence.
_LOUD_ABOVE = 50.0


class Talker:
    """One caller: speaks, waits for the reply, listens to its end, and speaks again."""

    def __init__(
        self, caller: Caller, load: Load, tally: Tally, clips: Sequence[Clip], seed: int
    ) -> None:
        self._caller, self._load, self._tally, self._clips = caller, load, tally, clips
        self._random = random.Random(seed)  # noqa: S311
        self._dialog = Dialog()
        self._watch = ReplyWatch()
        self._sounded = asyncio.Event()

    async def talk(self) -> None:
        """The whole call. Raises `CallFailed`, in a group, when the line is cut."""
        async with asyncio.TaskGroup() as group:
            acting = group.create_task(self._act())
            async for happening in self._caller.happenings():
                self._hear(happening)
            acting.cancel()

    def _hear(self, happening: Happening) -> None:
        self._dialog.happened(happening)
        if isinstance(happening, Sound):
            self._watch.add(happening.at_us, happening.duration_ms)
            self._sounded.set()
        elif self._counts(now_us()):
            self._note_gap(happening)

    def _note_gap(self, told: Told) -> None:
        gap_ms = told.event.get("gap_ms")
        if told.event.get("type") == "voice_server.latency" and isinstance(gap_ms, int):
            self._tally.server_gap_ms.append(gap_ms)

    async def _act(self) -> None:
        await self._speak()
        await self._caller.hang_up()
        await asyncio.sleep(_CLOSING_S)
        raise CallFailed("the server did not close the call")

    async def _speak(self) -> None:
        await asyncio.sleep(_GREETING_S)
        await self._until_quiet()
        while now_us() < self._load.end_us:
            await self._turn()
            await asyncio.sleep(self._random.uniform(0.2, 1.0))

    async def _turn(self) -> None:
        utterance = self._caller.microphone.say(self._random.choice(self._clips))
        self._watch = watch = ReplyWatch()
        self._sounded.clear()
        await utterance.over.wait()
        counts = self._counts(utterance.speech_ended_us)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._sounded.wait()
        except TimeoutError:
            self._tally.lost += counts
            return
        await self._until_quiet()
        if not counts:
            return
        # Answered before the end: it took a pause within the clip for the end of it.
        if watch.first_us < utterance.speech_ended_us:
            self._tally.early += 1
        else:
            self._tally.turn(watch, utterance.speech_ended_us, self._load.silence_ms)

    def _counts(self, at_us: int) -> bool:
        """Not before everybody has joined; every turn begins before the end."""
        return at_us >= self._load.begin_us

    async def _until_quiet(self) -> None:
        await self._until(lambda: self._dialog.is_quiet(now_us()), _REPLY_S)

    async def _until(self, reached: Callable[[], bool], patience_s: float) -> bool:
        """Whether it was reached in time."""
        give_up_us = now_us() + int(patience_s * 1e6)
        while not reached() and now_us() < give_up_us:  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)
        return reached()


class Interrupter(Talker):
    """One caller who asks for a long reply, hears its beginning, and speaks over it. When the
    answer has begun it asks for the next long reply."""

    def __init__(
        self, caller: Caller, load: Load, tally: Tally, clips: Sequence[Clip], seed: int
    ) -> None:
        super().__init__(caller, load, tally, clips, seed)
        self._by_silence = load.transport == "webrtc"
        self._decoder = OpusDecoder(PCM_RATE_HZ)
        self._now = Interruption(self._by_silence)

    def _hear(self, happening: Happening) -> None:
        self._dialog.happened(happening)
        if isinstance(happening, Sound):
            if not self._by_silence or self._is_loud(happening):
                self._now.heard(happening.at_us, happening.duration_ms)
            return
        kind, response = str(happening.event.get("type")), happening.event.get("response")
        if kind in {"response.created", "response.done"} and isinstance(response, dict):
            self._now.told(kind, response, happening.at_us)

    def _is_loud(self, sound: Sound) -> bool:
        try:
            pcm = self._decoder.decode(sound.audio)
        except BadAudio:
            return True  # Not silence, whatever it is.
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        return bool(samples.size) and float(np.sqrt(np.mean(samples**2))) > _LOUD_ABOVE

    async def _speak(self) -> None:
        await asyncio.sleep(max(0, self._load.begin_us - now_us()) / 1e6)
        # The first one loads what all of them share; it is in no figure.
        await self._interrupt(Tally())
        for _ in range(self._load.interruptions):
            if now_us() >= self._load.end_us:
                break
            await self._interrupt(self._tally)

    async def _interrupt(self, tally: Tally) -> None:
        self._now = now = Interruption(self._by_silence)
        for event in _COUNT:
            await self._caller.tell(event)
        if not await self._until(lambda: bool(now.sounded_us), _ANSWER_S):
            tally.lost += 1
            return
        await asyncio.sleep(self._random.uniform(*_LISTENS_S))
        utterance = self._caller.microphone.say(self._random.choice(self._clips))
        await utterance.over.wait()
        now.voice_us, now.speech_ended_us = utterance.voice_began_us, utterance.speech_ended_us
        await self._until(lambda: now.answer_done and bool(now.answered_us), _ANSWER_S)
        count(tally, now, self._load.silence_ms)
        if self._dialog.agent_speaks:
            await self._caller.tell({"type": "response.cancel"})
            await self._until(lambda: not self._dialog.agent_speaks, _ANSWER_S)


_COUNT: tuple[ServerEvent, ...] = (
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "Please count to sixty."}],
        },
    },
    {"type": "response.create"},
)  # fmt: skip
