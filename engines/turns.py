"""Has the user finished? Smart Turn hears it in the melody of the last words.

One network serves all calls, in one thread: an answer takes some 45 ms of a core, of which 4 are
the spectrogram. Sounds are not put together into batches: on a CPU eight at once take eight times
as long as one (47 against 45 ms each, measured), and the first would wait for the last. When more
questions wait than could be answered while a pause is still young, the next is refused, and the
call goes by the length of the pause as if there were no model.

The network looks at the last eight seconds, the silence after them included, levelled to a
common loudness; a shorter sound is put at the end of the picture.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path
from typing import Any

import numpy as np

from .log_mel import Floats, levelled, log_mel
from .speech import PCM_RATE_HZ, EngineError

SOUND_S_MAX = 8
SAMPLES = SOUND_S_MAX * PCM_RATE_HZ
WAITING_MAX = 8
_INPUT = "input_features"


class SmartTurn:
    """An `EndOfTurn` for all calls. The network is loaded with the first question."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="smart-turn")
        self._session: Any = None
        self._waiting = 0
        self._closed = False

    async def probability(self, samples: bytes) -> float:
        """The chance, 0 to 1, that the speaker of this has finished. 16 kHz mono, signed 16-bit;
        all but the last eight seconds is left out. Raises `EngineError`."""
        if self._closed:
            raise EngineError("the end-of-turn model has been closed")
        if self._waiting >= WAITING_MAX:
            raise EngineError("the end-of-turn model fell behind")
        if len(samples) % 2:
            raise EngineError("the end-of-turn model takes 16-bit samples")
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._pool, self._judge, samples)
        self._waiting += 1
        try:
            # Whatever goes wrong in the thread is the model's, and must not end a call.
            await asyncio.wait([working])
        finally:
            self._waiting -= 1
            working.cancel()  # Nobody waits for it any more; it may not have begun.
        if working.cancelled():
            raise EngineError("the end-of-turn model has been closed")
        if (error := working.exception()) is not None:
            raise EngineError("the end-of-turn model failed") from error
        return working.result()

    async def close(self) -> None:
        """Wait for the question in work, drop the others, and end the thread."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def _judge(self, samples: bytes) -> float:
        if self._session is None:
            self._session = _load(self.weights)
        (chances,) = self._session.run(None, {_INPUT: features(samples)[None]})
        return float(chances[0, 0])


def features(samples: bytes) -> Floats:
    """What the network looks at: (80, 800)."""
    sound = np.frombuffer(samples, "<i2")[-SAMPLES:].astype(np.float32) / 32_768
    return log_mel(levelled(np.pad(sound, (SAMPLES - len(sound), 0))))


def _load(weights: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # The arena keeps the most it was ever given; without it an answer costs no more time.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
