"""One process full of callers. `python -m voice_server.bench.callers` reads a `Load` as JSON
from its input and writes a `Tally` as JSON to its output.

A process of its own, because callers that share a core with the server measure themselves.
Everything a caller sends is encoded before the first call, so that what remains is sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import resource
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import uvloop

from voice_server.client.caller import Caller, CallFailed, Happening, Sound, Told, Wishes
from voice_server.client.clips import framed, read_clip, silence
from voice_server.client.dialog import Dialog
from voice_server.client.http import Server
from voice_server.client.microphone import Clip, Lag, now_us
from voice_server.client.webrtc import WebRtcCaller
from voice_server.client.websocket import WebSocketCaller, Wire

from .figures import ReplyWatch, Tally, bill_is_right

_WIRES = {"ws": Wire.OPUS, "json": Wire.JSON, "webrtc": Wire.OPUS}
_STEP_S = 0.05
_GREETING_S, _ANSWER_S, _REPLY_S, _CLOSING_S = 1.0, 5.0, 60.0, 10.0
_FAILURES_MAX = 5
# Eight frames of 20 ms are five windows of the detector.
_WINDOW_FRAMES = 8


@dataclass(frozen=True, slots=True)
class Load:
    """What the callers of one process do, and when, on the machine's monotonic clock.

    Call `i` joins `i * join_every_ms` after `join_us`; no turn begins after `end_us`, and those
    whose speech ends after `begin_us` count. `clips` are WAV files with the moment their speech
    ends, in milliseconds.
    """

    url: str
    key: str
    transport: str
    calls: int
    clips: tuple[tuple[str, int], ...]
    silence_ms: int
    join_us: int
    join_every_ms: int
    begin_us: int
    end_us: int
    seed: int


class Talker:
    """One caller: speaks, waits for the reply, listens to its end, and speaks again."""

    def __init__(self, caller: Caller, load: Load, tally: Tally, clips: list[Clip], seed: int):
        self._caller, self._load, self._tally, self._clips = caller, load, tally, clips
        self._random = random.Random(seed)  # noqa: S311
        self._dialog = Dialog()
        self._watch = ReplyWatch()
        self._sounded = asyncio.Event()

    async def talk(self) -> None:
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speak())
            async for happening in self._caller.happenings():
                self._hear(happening)
            speaking.cancel()

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

    async def _speak(self) -> None:
        await asyncio.sleep(_GREETING_S)
        await self._until_quiet()
        while now_us() < self._load.end_us:
            await self._turn()
            await asyncio.sleep(self._random.uniform(0.2, 1.0))
        await self._caller.hang_up()
        await asyncio.sleep(_CLOSING_S)
        raise CallFailed("the server did not close the call")

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
        give_up_us = now_us() + int(_REPLY_S * 1e6)
        while not self._dialog.is_quiet(now := now_us()) and now < give_up_us:  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)


class Crowd:
    """All callers of this process."""

    def __init__(self, load: Load, server: Server) -> None:
        self._load, self._server = load, server
        self._wire = _WIRES[load.transport]
        self._clips = [
            framed(read_clip(Path(path)), self._wire, speech_ms=speech_ms)
            for path, speech_ms in load.clips
        ]
        self._silence = silence(self._wire)
        self._lag = Lag()
        self.tally = Tally()

    async def talk(self) -> Tally:
        watching = asyncio.create_task(self._measure_cpu())
        async with asyncio.TaskGroup() as group:
            for index in range(self._load.calls):
                group.create_task(self._call(index))
        self.tally.caller_cpu_s = await watching
        self.tally.lag_counts = self._lag.counts
        return self.tally

    async def _call(self, index: int) -> None:
        join_us = self._load.join_us + index * self._load.join_every_ms * 1_000
        await asyncio.sleep(max(0, join_us - now_us()) / 1e6)
        self.tally.placed += 1
        caller: Caller | None = None
        try:
            async with self._placed() as caller:
                caller.microphone.align = _WINDOW_FRAMES
                await Talker(caller, self._load, self.tally, self._clips, index).talk()
        except* (CallFailed, OSError) as group:
            self._fail(group)
        if caller is not None:
            self._lag.add(caller.microphone.lag.counts)
            await self._check_bill(caller)

    @contextlib.asynccontextmanager
    async def _placed(self) -> AsyncIterator[Caller]:
        wishes = Wishes(silence_ms=self._load.silence_ms)
        if self._load.transport == "webrtc":
            assert isinstance(self._silence, bytes)
            async with WebRtcCaller(self._server, wishes, silence=self._silence) as webrtc:
                yield webrtc
        else:
            dialled = WebSocketCaller(self._server, wishes, wire=self._wire, silence=self._silence)
            async with dialled as websocket:
                yield websocket

    async def _check_bill(self, caller: Caller) -> None:
        bill = caller.bill or await self._server.bill(caller.call_id)
        self.tally.bills += bill is not None
        self.tally.bills_wrong += bill is not None and not bill_is_right(bill)

    def _fail(self, group: BaseExceptionGroup[BaseException]) -> None:
        reason: BaseException = group
        while isinstance(reason, BaseExceptionGroup):
            reason = reason.exceptions[0]
        if len(self.tally.failures) < _FAILURES_MAX:
            self.tally.failures.append(str(reason) or type(reason).__name__)

    async def _measure_cpu(self) -> float:
        """CPU seconds of this process while turns count."""
        await asyncio.sleep(max(0, self._load.begin_us - now_us()) / 1e6)
        before = _cpu_s()
        await asyncio.sleep(max(0, self._load.end_us - now_us()) / 1e6)
        return _cpu_s() - before


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _run(load: Load) -> Tally:
    async with Server(load.url, load.key) as server:
        crowd = Crowd(load, server)
        # A collection in the middle of a turn would be taken for the server's delay.
        gc.collect()
        gc.disable()
        return await crowd.talk()


def main() -> None:
    given = orjson.loads(sys.stdin.buffer.read())
    given["clips"] = tuple((path, speech_ms) for path, speech_ms in given["clips"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(_run(Load(**given)))
    sys.stdout.buffer.write(orjson.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
