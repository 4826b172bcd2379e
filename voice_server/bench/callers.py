"""One process full of callers. `python -m voice_server.bench.callers` reads a `Load` as JSON
from its input and writes a `Tally` as JSON to its output.

A process of its own, because callers that share a core with the server measure themselves.
Everything a caller sends is encoded before the first call, so that what remains is sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import orjson
import uvloop

from voice_server.client.caller import Caller, CallFailed, Wishes
from voice_server.client.clips import framed, read_clip, silence
from voice_server.client.http import Server
from voice_server.client.microphone import Lag, now_us
from voice_server.client.webrtc import WebRtcCaller
from voice_server.client.websocket import WebSocketCaller, Wire

from .figures import Tally, bill_is_right
from .load import Load
from .talkers import Interrupter, Talker

_WIRES = {"ws": Wire.OPUS, "json": Wire.JSON, "webrtc": Wire.OPUS}
_FAILURES_MAX = 5
# Eight frames of 20 ms are five windows of the detector.
_WINDOW_FRAMES = 8


class Crowd:
    """All callers of this process."""

    def __init__(self, load: Load, server: Server) -> None:
        self._load, self._server = load, server
        self._wire = _WIRES[load.transport]
        self._clips = [
            framed(
                read_clip(Path(each.path)), self._wire,
                speech_ms=each.speech_ms, voice_ms=each.voice_ms,
            )
            for each in load.recordings
        ]
        self._silence = silence(self._wire)
        self._lag = Lag()
        self.tally = Tally()

    async def talk(self) -> Tally:
        # Who interrupts is done when all is said, and not at the end of a time.
        watching = None if self._load.interruptions else asyncio.create_task(self._measure_cpu())
        async with asyncio.TaskGroup() as group:
            for index in range(self._load.calls):
                group.create_task(self._call(index))
        self.tally.caller_cpu_s = await watching if watching else 0.0
        self.tally.lag_counts = self._lag.counts
        return self.tally

    async def _call(self, index: int) -> None:
        join_us = self._load.join_us + index * self._load.join_every_ms * 1_000
        await asyncio.sleep(max(0, join_us - now_us()) / 1e6)
        self.tally.placed += 1
        caller: Caller | None = None
        try:
            async with self._placed() as caller:
                await self._talker(caller, self._load.seed + index).talk()
        except* (CallFailed, OSError) as group:
            self._fail(group)
        if caller is not None:
            self._lag.add(caller.microphone.lag.counts)
            await self._check_bill(caller)

    def _talker(self, caller: Caller, seed: int) -> Talker:
        if self._load.interruptions:
            return Interrupter(caller, self._load, self.tally, self._clips, seed)
        caller.microphone.align = _WINDOW_FRAMES
        return Talker(caller, self._load, self.tally, self._clips, seed)

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
    load = Load.from_json(orjson.loads(sys.stdin.buffer.read()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(_run(load))
    sys.stdout.buffer.write(orjson.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
