"""The worker's side of a pool: be a child process, take jobs, say what comes of them.

    def prepare(options):             # in the child, before the first job: load what is heavy
        def upper(assignment):        # a generator; `yield` waits for the job's next message
            while True:
                message, payload = yield
                if message.get("end"):
                    return
                assignment.send({"text": message["text"].upper()})
        return upper

    if __name__ == "__main__":
        serve(prepare)

On the wire a frame is a kind, a job, a small JSON message and a payload of bytes, each with
its length before it. The pool's side is `engines.workers`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, BinaryIO, NoReturn

import orjson

from .speech import EngineError

Message = dict[str, Any]
Received = tuple[Message, bytes]
Options = Mapping[str, str | int | float]

MESSAGE_BYTES_MAX = 256 * 1024
PAYLOAD_BYTES_MAX = 1024 * 1024
# Bytes of one job, in one direction, that are sent but not yet taken by the other side.
WINDOW_BYTES = 128 * 1024
REASON_CHARS_MAX = 500

# Kind, job, length of the JSON message, length of the payload.
HEAD = struct.Struct("!BIII")
SETUP, READY, BROKEN, BEGIN, DATA, TAKEN, CANCEL, DONE, FAILED = range(9)


def pack(kind: int, job: int, message: object = None, payload: bytes = b"") -> bytes:
    text = b"" if message is None else orjson.dumps(message)
    if len(text) > MESSAGE_BYTES_MAX or len(payload) > PAYLOAD_BYTES_MAX:
        raise EngineError("the message is too large for a worker")
    return b"".join((HEAD.pack(kind, job, len(text), len(payload)), text, payload))


def too_large(message_bytes: int, payload_bytes: int) -> bool:
    return message_bytes > MESSAGE_BYTES_MAX or payload_bytes > PAYLOAD_BYTES_MAX


class JobCancelled(Exception):
    """The caller has left; the worker should drop the job as soon as it can."""


class Assignment:
    """A job as its worker sees it. `request` is what the caller asked for.

    `cancelled` turns true at any moment, also in the middle of a computation.
    """

    def __init__(self, serving: _Serving, number: int, request: Message) -> None:
        self._serving, self._number = serving, number
        self.request = request
        self.cancelled = False
        self.untaken = 0
        self.waiting: deque[tuple[Message, bytes, int]] = deque()
        self.unacknowledged = 0
        self.steps: Steps | None = None
        self.begun = False

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Tell the caller something; waits while the caller has too much yet to take.

        Raises `JobCancelled` when nobody listens any more, `EngineError` when it is too large.
        """
        packed = pack(DATA, self._number, message, payload)
        with self._serving.changed:
            # A generator is only resumed while the window is open (`runnable`), so its step
            # may overshoot; work done in one go waits here for its reader.
            limit = WINDOW_BYTES * 2
            self._serving.changed.wait_for(lambda: self.cancelled or self.untaken < limit)
            if self.cancelled:
                raise JobCancelled
            self.untaken += len(packed)
        self._serving.write(packed)

    @property
    def number(self) -> int:
        return self._number

    @property
    def runnable(self) -> bool:
        if self.cancelled or not self.begun:
            return True
        return bool(self.waiting) and self.untaken < WINDOW_BYTES


Steps = Generator[None, Received, None]
Work = Callable[[Assignment], Steps | None]
"""Does a job: either at once, returning None, or as a generator that takes each message of
the job from `yield`. Other jobs of the worker run while it waits there. A cancelled
generator is closed at its `yield`. An `EngineError` reaches the caller in its own words."""


class _Serving:
    """The child's loop: one thread receives, so that cancelling is seen at once, and the
    main thread works."""

    def __init__(self, source: BinaryIO, sink: int) -> None:
        self._source, self._sink = source, sink
        self._assignments: dict[int, Assignment] = {}
        self.changed = threading.Condition()

    def write(self, packed: bytes) -> None:
        view = memoryview(packed)
        while view:
            view = view[os.write(self._sink, view) :]

    def read(self) -> tuple[int, int, Any, bytes, int]:
        head = self._source.read(HEAD.size)
        if len(head) < HEAD.size:
            os._exit(0)  # The server has closed us or is gone, in whatever we are doing.
        kind, number, message_bytes, payload_bytes = HEAD.unpack(head)
        if too_large(message_bytes, payload_bytes):
            os._exit(3)
        body = self._source.read(message_bytes + payload_bytes)
        message = orjson.loads(body[:message_bytes]) if message_bytes else None
        return kind, number, message, body[message_bytes:], len(head) + len(body)

    def receive(self) -> NoReturn:
        while True:
            kind, number, message, payload, size = self.read()
            with self.changed:
                if kind == BEGIN:
                    self._assignments[number] = Assignment(self, number, message)
                elif (assignment := self._assignments.get(number)) is None:
                    continue
                elif kind == DATA:
                    assignment.waiting.append((message, payload, size))
                elif kind == TAKEN:
                    assignment.untaken -= message
                elif kind == CANCEL:
                    assignment.cancelled = True
                self.changed.notify_all()

    def work(self, work: Work) -> NoReturn:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._next() is not None)
                assignment = self._next()
                assert assignment is not None
                # Round robin: the next look begins behind this one.
                self._assignments[assignment.number] = self._assignments.pop(assignment.number)
            ending = self._step(assignment, work)
            if ending is not None:
                with self.changed:
                    del self._assignments[assignment.number]
                self.write(ending)

    def _next(self) -> Assignment | None:
        return next((each for each in self._assignments.values() if each.runnable), None)

    def _step(self, assignment: Assignment, work: Work) -> bytes | None:
        """Move one job one step; the packed ending when there is no more of it."""
        done = pack(DONE, assignment.number)
        try:
            if assignment.cancelled:
                if assignment.steps is not None:
                    assignment.steps.close()
                return done
            if not assignment.begun:
                assignment.begun = True
                assignment.steps = work(assignment)
                if assignment.steps is None:
                    return done
                next(assignment.steps)
            else:
                assert assignment.steps is not None
                assignment.steps.send(self._take(assignment))
        except (JobCancelled, StopIteration):
            return done
        except EngineError as error:
            return pack(FAILED, assignment.number, str(error)[:REASON_CHARS_MAX])
        except Exception:
            # The traceback goes to the server's log; the caller gets no inner details.
            traceback.print_exc()
            return pack(FAILED, assignment.number, "the engine failed unexpectedly")
        return None

    def _take(self, assignment: Assignment) -> Received:
        with self.changed:
            message, payload, size = assignment.waiting.popleft()
        assignment.unacknowledged += size
        if assignment.unacknowledged * 4 >= WINDOW_BYTES:
            self.write(pack(TAKEN, assignment.number, assignment.unacknowledged))
            assignment.unacknowledged = 0
        return message, payload


def serve(prepare: Callable[[Options], Work]) -> NoReturn:
    """Be a worker until the server goes away. Call it from `if __name__ == "__main__"`.

    `prepare` receives the pool's options and returns what does a job; it may raise
    `EngineError`. Import heavy libraries inside it: from here on descriptor 1 is stderr, so
    that nothing a C library prints can corrupt the wire.
    """
    # The server drains its calls on SIGTERM and needs us until the end; we leave with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    source, sink = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    serving = _Serving(source, sink)
    _, _, options, _, _ = serving.read()
    try:
        work = prepare(options)
    except EngineError as error:
        serving.write(pack(BROKEN, 0, str(error)[:REASON_CHARS_MAX]))
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        serving.write(pack(BROKEN, 0, "the engine could not be loaded"))
        sys.exit(1)
    serving.write(pack(READY, 0))
    threading.Thread(target=serving.receive, name="receive", daemon=True).start()
    serving.work(work)
