"""A microphone that nobody holds: what it is told to say, frame by frame, then silence.

Its clock is a grid, 20 ms from line to line, laid from the first frame on. A frame that is
late does not push the next ones, so an hour of speech takes an hour; after a stall the
missed frames follow at once, as from a sound card's buffer. Only a stall that no sound card
would survive moves the grid.

How late each frame was is kept: a caller that cannot keep its own time must be seen, and
not be taken for a slow server.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

FRAME_MS = 20
FRAME_US = FRAME_MS * 1_000
# Behind by more than this, the grid moves instead of sending a flood.
STALL_US = 1_000_000
_LAG_MS_MAX = 1_000

# What one frame is on its wire: an Opus packet, PCM, or the text of a JSON event.
Frame = bytes | str


def now_us() -> int:
    """Microseconds on the monotonic clock, which all processes of a machine share."""
    return time.monotonic_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of 20 ms, ready for the wire. The first `speech_frames` of them hold the speech,
    whatever follows is the recording's own silence; so is what precedes `voice_frame`."""

    frames: Sequence[Frame]
    speech_frames: int
    voice_frame: int = 0

    @property
    def duration_ms(self) -> int:
        return len(self.frames) * FRAME_MS


class Utterance:
    """A clip on its way out.

    `voice_began_us` and `speech_ended_us` are when the first frame with a voice in it and the
    last one that holds speech were handed over, and `over` is set when the last frame was; a
    microphone that is switched off says none of them.
    """

    __slots__ = ("clip", "over", "sent", "speech_ended_us", "voice_began_us")

    def __init__(self, clip: Clip) -> None:
        assert clip.frames and 0 < clip.speech_frames <= len(clip.frames)
        assert 0 <= clip.voice_frame < clip.speech_frames
        self.clip, self.sent, self.voice_began_us, self.speech_ended_us = clip, 0, 0, 0
        self.over = asyncio.Event()

    def next(self, at_us: int) -> Frame:
        frame = self.clip.frames[self.sent]
        if self.sent == self.clip.voice_frame:
            self.voice_began_us = at_us
        self.sent += 1
        if self.sent == self.clip.speech_frames:
            self.speech_ended_us = at_us
        if self.sent == len(self.clip.frames):
            self.over.set()
        return frame


class Lag:
    """How late things were, as a histogram of whole milliseconds, so that it never grows."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (_LAG_MS_MAX + 1)

    def note(self, late_us: int) -> None:
        self.counts[min(max(late_us, 0) // 1_000, _LAG_MS_MAX)] += 1

    def add(self, counts: Sequence[int]) -> None:
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]

    def percentile_ms(self, share: float) -> int:
        """The lateness that `share` (0 to 1) of all frames did not exceed; 0 without frames."""
        wanted, seen = share * sum(self.counts), 0
        for late_ms, count in enumerate(self.counts):
            seen += count
            if seen >= wanted:
                return late_ms
        return _LAG_MS_MAX


class Microphone:
    """Speaks the clips it is given one after another; between them it sends `silence`.

    A clip begins at a frame whose number is a multiple of `align`: with 8, every clip meets
    the 32 ms windows of a detector in the same way, and its speech ends in the same window.
    """

    def __init__(
        self,
        silence: Frame,
        *,
        align: int = 1,
        clock: Callable[[], int] = now_us,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.lag = Lag()
        self.frames = 0
        self.align = align
        self._silence, self._clock, self._sleep = silence, clock, sleep
        self._queue: deque[Utterance] = deque()
        self._grid_us: int | None = None

    def say(self, clip: Clip) -> Utterance:
        utterance = Utterance(clip)
        self._queue.append(utterance)
        return utterance

    def hush(self) -> None:
        """Forget what has not been said yet."""
        self._queue.clear()

    async def frame(self) -> Frame:
        """The next frame, when its time has come."""
        await self._wait()
        number, self.frames = self.frames, self.frames + 1
        if not self._queue:
            return self._silence
        utterance = self._queue[0]
        if not utterance.sent and number % self.align:
            return self._silence
        frame = utterance.next(self._clock())
        if utterance.over.is_set():
            self._queue.popleft()
        return frame

    async def _wait(self) -> None:
        now = self._clock()
        if self._grid_us is None:
            self._grid_us = now
            return
        self._grid_us += FRAME_US
        if now < self._grid_us:
            await self._sleep((self._grid_us - now) / 1e6)
            now = self._clock()
        self.lag.note(now - self._grid_us)
        if now - self._grid_us > STALL_US:
            self._grid_us = now
