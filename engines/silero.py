"""Silero voice activity detection: the ears of every call share one network and one thread.

A frame that arrives while the thread is busy joins the next batch, and when many calls are
open a batch waits a few milliseconds for more: the hop to the thread and back is paid once
for all of them. Each stream's recurrent state and its 64 samples of context are rows of
arrays that only the thread touches, so a batch is gathered and put back in one operation.

The network is `engines.silero_network`. It is compared with the package's own model in
onnxruntime when the detector starts, and that model is used in its place if they differ.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .silero_network import WINDOW, Floats, SileroNetwork
from .speech import PCM_FRAME_BYTES, PCM_RATE_HZ, EngineError, PcmFrame

CONTEXT = 64
STATE = 128
# A caller that asks for this many frames before it has one answer is not listening live.
WAITING_MAX = 64
# How long a batch waits for company: half a millisecond for each open stream, up to this.
GATHER_MS_MAX = 8.0
AGREEMENT = 1e-4

Network = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""Windows (streams, 576) and states (2, streams, 128) to chances (streams,) and new states."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One frame of one stream, waiting for its answer."""

    stream: SileroStream
    samples: bytes
    answer: asyncio.Future[float]


class SileroStream:
    """A `VoiceActivityDetector` for one call. Close it when the call ends."""

    def __init__(self, detector: SileroDetector, row: int) -> None:
        self._detector, self.row = detector, row
        self.waiting = 0
        self.fresh = True  # Its row still holds what another stream left there.
        self.closed = False

    async def probability(self, frame: PcmFrame) -> float:
        """The chance, 0 to 1, that these 32 ms are speech. Frames are taken in the order of
        the calls. Raises `EngineError`."""
        return await self._detector.ask(self, frame)

    def close(self) -> None:
        """Give the stream's place back; frames still waiting raise `EngineError`."""
        if not self.closed:
            self.closed = True
            self._detector.release(self)


class SileroDetector:
    """All calls' voice activity detection. `start` it, `open` a stream for each call."""

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._rows: _Rows | None = None
        self._asked: deque[_Asked] = deque()
        self._batch: list[_Asked] = []  # Those the thread is working on.
        self._due: asyncio.Handle | None = None
        self._overdue = False
        self._free: list[int] = []
        self._streams: set[SileroStream] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Load the network. Raises `EngineError` when there is none."""
        if self._pool is not None:
            return
        pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="silero")
        try:
            network = await asyncio.get_running_loop().run_in_executor(pool, _load, self._threads)
        except EngineError:
            pool.shutdown(wait=False)
            raise
        self._rows, self._pool = _Rows(network), pool

    def open(self) -> SileroStream:
        """A stream with no memory. Raises `EngineError` when the detector is not running."""
        if self._pool is None:
            raise EngineError("voice activity detection is not running")
        stream = SileroStream(self, self._free.pop() if self._free else len(self._streams))
        self._streams.add(stream)
        return stream

    async def close(self) -> None:
        """Fail what is still asked, wait for the batch in work, and end the thread."""
        pool, self._pool = self._pool, None
        self._asked, asked = deque(), self._asked
        for each in asked:
            _fail(each.answer, "voice activity detection has been closed")
        if self._due is not None:
            self._due.cancel()
            self._due = None
        await self._idle.wait()
        if pool is not None:
            pool.shutdown(wait=True)  # It is idle, so this does not wait.

    def ask(self, stream: SileroStream, frame: PcmFrame) -> asyncio.Future[float]:
        """The answer to come for one frame; for `SileroStream`."""
        if self._pool is None or stream.closed:
            raise EngineError("voice activity detection has been closed")
        if len(frame.samples) != PCM_FRAME_BYTES:
            raise EngineError("voice activity detection takes frames of 512 samples")
        if stream.waiting >= WAITING_MAX:
            raise EngineError("voice activity detection fell behind")
        answer = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(stream, frame.samples, answer))
        stream.waiting += 1
        if self._due is None and not self._overdue:
            self._due = self._soon()
        return answer

    def _soon(self) -> asyncio.Handle:
        loop, streams = asyncio.get_running_loop(), len(self._streams)
        if streams <= 2:
            return loop.call_soon(self._send)
        return loop.call_later(min(streams / 2, GATHER_MS_MAX) / 1_000, self._send)

    def release(self, stream: SileroStream) -> None:
        """Forget a stream; for `SileroStream`. Its row is cleared by its next owner, whose
        first batch comes after any that still holds this stream."""
        self._streams.discard(stream)
        self._free.append(stream.row)
        for each in self._batch:
            if each.stream is stream:
                _fail(each.answer, "the stream has been closed")
        for each in [each for each in self._asked if each.stream is stream]:
            self._asked.remove(each)
            _fail(each.answer, "the stream has been closed")

    def _send(self) -> None:
        """Hand the thread its next batch: the first waiting frame of every stream."""
        self._due = None
        if self._batch:
            self._overdue = True  # Goes as soon as the thread is back.
            return
        self._overdue = False
        if self._pool is None or self._rows is None or not self._asked:
            return
        batch: dict[SileroStream, _Asked] = {}
        later: deque[_Asked] = deque()
        for each in self._asked:
            if each.stream in batch:
                later.append(each)
            else:
                batch[each.stream] = each
        self._asked, self._batch = later, list(batch.values())
        fresh = [stream for stream in batch if stream.fresh]
        for stream in fresh:
            stream.fresh = False
        self._idle.clear()
        working = asyncio.get_running_loop().run_in_executor(
            self._pool,
            self._rows.advance,
            [stream.row for stream in batch],
            [stream.row for stream in fresh],
            b"".join([each.samples for each in self._batch]),
        )
        working.add_done_callback(self._answer)

    def _answer(self, working: asyncio.Future[list[float]]) -> None:
        batch, self._batch = self._batch, []
        self._idle.set()
        overdue, self._overdue = self._overdue, False
        # Whatever went wrong in the thread, each caller hears of it.
        error = working.exception()
        if error is not None:
            _log.error("voice activity detection failed", exc_info=error)
        chances = [0.0] * len(batch) if error is not None else working.result()
        for each, chance in zip(batch, chances, strict=True):
            each.stream.waiting -= 1
            if error is not None:
                _fail(each.answer, "voice activity detection failed")
            elif not each.answer.done():
                each.answer.set_result(chance)
        if self._asked and (overdue or self._due is None):
            self._send()


def _fail(answer: asyncio.Future[float], reason: str) -> None:
    if not answer.done():
        answer.set_exception(EngineError(reason))


class _Rows:
    """The state and context of every stream, as rows. Used in the detector's thread only."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._states = np.zeros((2, 16, STATE), np.float32)
        self._contexts = np.zeros((16, CONTEXT), np.float32)

    def advance(self, rows: list[int], fresh: list[int], samples: bytes) -> list[float]:
        """Take one frame for each of `rows`, their samples joined; give their chances."""
        while max(rows) >= len(self._contexts):
            self._states = np.concatenate((self._states, np.zeros_like(self._states)), axis=1)
            self._contexts = np.concatenate((self._contexts, np.zeros_like(self._contexts)))
        if fresh:
            self._states[:, fresh] = 0
            self._contexts[fresh] = 0
        windows = np.empty((len(rows), WINDOW), np.float32)
        windows[:, :CONTEXT] = self._contexts[rows]
        pcm: npt.NDArray[np.int16] = np.frombuffer(samples, "<i2").reshape(len(rows), -1)
        np.multiply(pcm, np.float32(1 / 32_768), out=windows[:, CONTEXT:])
        chances, states = self._network(windows, self._states[:, rows])
        self._states[:, rows] = states
        self._contexts[rows] = windows[:, -CONTEXT:]
        return [float(chance) for chance in chances]


def model_path() -> Path:
    """The package's model file, found without importing the package (and torch with it)."""
    package = importlib.util.find_spec("silero_vad")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "data" / "silero_vad_16k_op15.onnx"
        if path.is_file():
            return path
    raise EngineError("the silero-vad package is not installed")


def package_network(threads: int = 1) -> Network:
    """The package's model in onnxruntime: one session, which any number of streams share."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(model_path()), options, providers=["CPUExecutionProvider"]
    )
    rate = np.array(PCM_RATE_HZ, np.int64)

    def network(windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        chances, after = session.run(None, {"input": windows, "state": states, "sr": rate})
        return chances[:, 0], after

    return network


def _load(threads: int) -> Network:
    """Our network when it agrees with the package's own, else that one."""
    expected = package_network(threads)
    try:
        ours = SileroNetwork(model_path())
    except (ValueError, KeyError) as error:
        _log.warning("the package's own voice activity model is used: %r", error)
        return expected
    apart = difference(ours, expected)
    if apart > AGREEMENT:
        _log.warning("the package's own voice activity model is used: ours is %g off", apart)
        return expected
    return ours


def difference(one: Network, other: Network, *, streams: int = 4, steps: int = 8) -> float:
    """How far two networks come apart on noise of many loudnesses, with states carried on."""
    noise = np.random.default_rng(1)
    loudness = np.geomspace(1e-4, 1.0, streams, dtype=np.float32)[:, None]
    first = second = np.zeros((2, streams, STATE), np.float32)
    apart = 0.0
    for _ in range(steps):
        windows = noise.standard_normal((streams, WINDOW), np.float32) * loudness
        chances, first = one(windows, first)
        others, second = other(windows, second)
        apart = max(apart, float(np.abs(chances - others).max()))
        apart = max(apart, float(np.abs(first - second).max()))
    return apart
