"""Where in a stream there is a voice, for a recogniser that looks at sound now and then.

The chances are worked out when somebody asks, in the thread that asks, so that a stream at
which nobody looks costs nothing, and no event loop computes. Digital silence is never looked
at: it is no voice, and the detector begins anew behind it.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque

import numpy as np

from ..silero import CONTEXT, STATE, Network
from ..silero_network import WINDOW
from ..speech import PCM_FRAME_BYTES, PCM_FRAME_MS

# Lower than what begins a turn: a soft word should be heard, and noise stays far below it.
VOICE_MIN = 0.3
# A gap between two words is shorter.
GAP_FRAMES = 16


class Voicing:
    """The voice of one stream. `hear` its frames in order, from one thread; `catch_up` in
    another; then ask."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._unheard: deque[bytes] = deque()
        self._silent = GAP_FRAMES
        self._chances = array("f")
        self._working = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._state = np.zeros((2, 1, STATE), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def hear(self, samples: bytes, *, silent: bool) -> None:
        """Take the next 32 ms, to keep until somebody looks unless they have long been `silent`."""
        self._silent = self._silent + 1 if silent else 0
        self._unheard.append(b"" if self._silent > GAP_FRAMES else samples)

    def catch_up(self) -> None:
        """Work out the chances of all that was heard; a tenth of a millisecond for 32 ms."""
        with self._working:
            while self._unheard:
                self._chances.append(self._chance(self._unheard.popleft()))

    def _chance(self, samples: bytes) -> float:
        if not samples:
            self._forget()
            return 0.0
        window = np.empty((1, WINDOW), np.float32)
        window[0, :CONTEXT] = self._context
        pcm = np.frombuffer(samples.ljust(PCM_FRAME_BYTES, b"\0")[:PCM_FRAME_BYTES], "<i2")
        np.multiply(pcm, np.float32(1 / 32_768), out=window[0, CONTEXT:])
        chances, self._state = self._network(window, self._state)
        self._context = window[0, -CONTEXT:].copy()
        return float(chances[0])

    def voiced_ms(self, start_ms: int, end_ms: int) -> int:
        """For how long there is a voice between these two moments of the stream."""
        first, last = max(0, start_ms) // PCM_FRAME_MS, -(-end_ms // PCM_FRAME_MS)
        return PCM_FRAME_MS * sum(chance >= VOICE_MIN for chance in self._chances[first:last])
