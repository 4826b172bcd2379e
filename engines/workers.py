"""Work that must not happen in the server's own process: children that are kept warm.

Some engines hold the GIL, some are one global C library, some may crash. Each gets a pool of
child processes (`python -m <module>`), and each piece of work is a job: messages go in and
come out until the worker says that it is done. A message is a small JSON object and some
bytes. Leaving a job's context early cancels it in the worker at once; its slot is used again
only when the worker has confirmed, or has been killed because it did not.

The promises: every queue is bounded in both directions by bytes that are sent but not yet
taken, so one slow reader never stops its neighbours; a child that dies fails its own jobs
with `EngineError` and is replaced; and no child outlives the pool or the server, however
either ends. The worker's side of this is `engines.serving`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from .serving import (
    BEGIN,
    CANCEL,
    DATA,
    FAILED,
    HEAD,
    READY,
    SETUP,
    TAKEN,
    WINDOW_BYTES,
    Assignment,
    Message,
    Options,
    Received,
    Steps,
    Work,
    pack,
    serve,
    too_large,
)
from .speech import EngineError

__all__ = [
    "Assignment",
    "Job",
    "Message",
    "Options",
    "Received",
    "Steps",
    "Work",
    "WorkerPool",
    "serve",
]

WAITERS_MAX = 256
BACKOFF_S, BACKOFF_S_MAX = 0.1, 10.0
STDERR_BYTES_LOGGED = 64 * 1024
PIPES_END_S = 1.0

_log = logging.getLogger(__name__)


class Job:
    """One piece of work in one worker. Iterate it for what the worker says, in order.

    Iteration ends when the worker is done and raises `EngineError` when it reports an error
    or dies; what it said before that is delivered first.
    """

    def __init__(self, child: _Child, number: int) -> None:
        self._child, self._number = child, number
        self._said: deque[tuple[Message, bytes, int]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._untaken = 0  # Sent by us, not yet taken by the worker.
        self._unacknowledged = 0  # Taken by us, not yet told to the worker.
        self._over = False
        self._error: str | None = None
        self._left = False
        self._doom: asyncio.TimerHandle | None = None

    async def send(self, message: Message, payload: bytes = b"") -> None:
        """Give the worker a message; waits while it has too much that it has not yet taken.

        Raises `EngineError` when the job is over or the message is too large.
        """
        packed = pack(DATA, self._number, message, payload)
        while self._untaken >= WINDOW_BYTES and not self._over:
            self._room.clear()
            await self._room.wait()
        if self._over:
            raise EngineError(self._error or "the worker has already finished")
        self._untaken += len(packed)
        await self._child.write(packed)

    def __aiter__(self) -> Job:
        return self

    async def __anext__(self) -> Received:
        while not self._said:
            if self._error is not None:
                raise EngineError(self._error)
            if self._over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        message, payload, size = self._said.popleft()
        self._unacknowledged += size
        # A quarter of the window at a time: few messages, and the worker never waits in vain.
        if self._unacknowledged * 4 >= WINDOW_BYTES and not self._over:
            self._child.post(pack(TAKEN, self._number, self._unacknowledged))
            self._unacknowledged = 0
        return message, payload

    def hear(self, message: Message, payload: bytes, size: int) -> None:
        if not self._left:
            self._said.append((message, payload, size))
            self._changed.set()

    def taken(self, size: int) -> None:
        self._untaken -= size
        self._room.set()

    def end(self, error: str | None) -> None:
        if self._doom is not None:
            self._doom.cancel()
        self._over, self._error = True, error
        self._changed.set()
        self._room.set()

    def leave(self, grace_s: float) -> None:
        """The caller is gone: tell the worker, which has `grace_s` seconds to confirm."""
        self._left = True
        self._said.clear()
        if not self._over:
            self._child.post(pack(CANCEL, self._number))
            loop = asyncio.get_running_loop()
            self._doom = loop.call_later(grace_s, self._child.kill)


class _Child:
    """One living worker process and the jobs it holds."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process, self._name = process, name
        self._numbers = itertools.count(1)
        self._last_words = b""
        self.jobs: dict[int, Job] = {}
        self.proven = False  # It has finished a job, so it is not broken by nature.
        self._doomed = False

    def slots_free(self, slots: int) -> int:
        """How many of its `slots` are free; none once it is to be killed."""
        return 0 if self._doomed else slots - len(self.jobs)

    def begin(self, request: Message) -> Job:
        number = next(self._numbers)
        packed = pack(BEGIN, number, request)
        job = self.jobs[number] = Job(self, number)
        self.post(packed)
        return job

    def post(self, packed: bytes) -> None:
        """Send without waiting. The worker always reads, so this cannot pile up."""
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(packed)

    async def write(self, packed: bytes) -> None:
        assert self._process.stdin is not None
        self.post(packed)
        try:
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise EngineError(f"the {self._name} stopped unexpectedly") from error

    async def setup(self, options: Options) -> None:
        await self.write(pack(SETUP, 0, dict(options)))
        kind, _, message, _, _ = await self._read()
        if kind != READY:
            raise EngineError(str(message))

    async def listen(self, freed: Callable[[], None]) -> None:
        """Hand to each job what the worker says of it, until the worker is gone."""
        while True:
            try:
                kind, number, message, payload, size = await self._read()
            except EngineError as error:
                _log.debug("%s: %s", self._name, error)
                return
            job = self.jobs.get(number)
            if job is None:
                continue
            if kind == DATA:
                job.hear(message, payload, size)
            elif kind == TAKEN:
                job.taken(message)
            else:
                del self.jobs[number]
                self.proven = True
                job.end(str(message) if kind == FAILED else None)
                freed()

    async def _read(self) -> tuple[int, int, Any, bytes, int]:
        assert self._process.stdout is not None
        try:
            head = await self._process.stdout.readexactly(HEAD.size)
            kind, number, message_bytes, payload_bytes = HEAD.unpack(head)
            if too_large(message_bytes, payload_bytes):
                raise EngineError(f"the {self._name} sent nonsense")
            body = await self._process.stdout.readexactly(message_bytes + payload_bytes)
            message = orjson.loads(body[:message_bytes]) if message_bytes else None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise EngineError(f"the {self._name} stopped unexpectedly") from error
        return kind, number, message, body[message_bytes:], len(head) + len(body)

    async def overhear(self) -> None:
        """Pass on what the child's libraries print, within bounds."""
        assert self._process.stderr is not None
        logged = 0
        while chunk := await self._process.stderr.read(4_096):
            self._last_words = (self._last_words + chunk)[-1_000:]
            if logged < STDERR_BYTES_LOGGED:
                _log.debug("%s: %s", self._name, chunk.decode(errors="replace").rstrip())
            logged += len(chunk)

    def kill(self) -> None:
        self._doomed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def bury(self, overhearing: asyncio.Task[None]) -> None:
        """Make sure the process is gone, that nobody waits for it, and its pipes are closed."""
        for job in self.jobs.values():
            job.end(f"the {self._name} stopped unexpectedly")
        self.jobs.clear()
        self.kill()
        await self._process.wait()
        # The pipes of a dead child end by themselves, unless its own children hold them open.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PIPES_END_S):
                await overhearing
                await self._close_pipes()
        overhearing.cancel()

    async def _close_pipes(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        while await self._process.stdout.read(65_536):
            pass
        self._process.stdin.close()
        with contextlib.suppress(OSError):
            await self._process.stdin.wait_closed()

    def obituary(self) -> str:
        words = self._last_words.decode(errors="replace").strip()
        return f"exit status {self._process.returncode}; last words: {words or 'none'}"


class WorkerPool:
    """`workers` warm children running `module`, each with `jobs_per_worker` jobs at a time.

    `options` reach the worker's `prepare`. `name` is one worker in plain words, such as
    "recogniser", for messages that a caller may see. A job waits at most `wait_s` seconds
    for a free slot. A cancelled job that has not confirmed after `grace_s` seconds has its
    worker killed. A child that is not ready after `start_s` seconds has failed. `nice`: how
    far the children stand back behind other processes, 0 to 19.
    """

    def __init__(
        self,
        module: str,
        *,
        workers: int,
        jobs_per_worker: int = 1,
        options: Options | None = None,
        name: str = "worker",
        wait_s: float = 5.0,
        grace_s: float = 2.0,
        start_s: float = 60.0,
        nice: int = 0,
    ) -> None:
        assert workers > 0
        assert jobs_per_worker > 0
        self._module, self._workers, self._jobs_per_worker = module, workers, jobs_per_worker
        self._options = dict(options or {})
        self._name, self._wait_s, self._grace_s, self._start_s = name, wait_s, grace_s, start_s
        self._nice = nice
        self._alive: set[_Child] = set()
        self._children: list[_Child] = []  # Those that are ready for jobs.
        self._waiters: deque[asyncio.Event] = deque()
        self._supervisors: list[asyncio.Task[None]] = []
        self._coming: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def slots_free(self) -> int:
        """How many jobs could begin at this moment."""
        return sum(child.slots_free(self._jobs_per_worker) for child in self._children)

    async def start(self) -> None:
        """Start every child and wait until all are ready. Raises `EngineError`."""
        if self._supervisors:
            return
        self._closing.clear()
        loop = asyncio.get_running_loop()
        ready: list[asyncio.Future[None]] = [loop.create_future() for _ in range(self._workers)]
        self._supervisors = [asyncio.create_task(self._supervise(each)) for each in ready]
        try:
            await asyncio.gather(*ready)
        except BaseException:
            await self.close()
            raise

    async def ready(self) -> None:
        """Start with the first who asks; all others wait with that one, whoever of them leaves.
        Raises `EngineError`, and the next who asks tries again."""
        if self._coming is None or (self._coming.done() and not self._supervisors):
            self._coming = asyncio.create_task(self.start())
        await asyncio.shield(self._coming)

    async def close(self) -> None:
        """End every child. Jobs still running raise `EngineError`. Safe to call twice."""
        coming, self._coming = self._coming, None
        if coming not in (None, asyncio.current_task()):
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        supervisors, self._supervisors = self._supervisors, []
        self._closing.set()
        for child in self._alive:
            child.kill()
        for waiter in self._waiters:
            waiter.set()
        # Supervisors are told and not cancelled: a half-finished burial would leave pipes.
        if supervisors:
            await asyncio.wait(supervisors)

    @contextlib.asynccontextmanager
    async def job(self, request: Message) -> AsyncIterator[Job]:
        """Begin a job in the least busy worker; leaving the context cancels what is left.

        Raises `EngineError` when no slot comes free in time.
        """
        job = await self._begin(request)
        try:
            yield job
        finally:
            job.leave(self._grace_s)

    async def _begin(self, request: Message) -> Job:
        if self.slots_free and not self._waiters:
            return self._least_busy().begin(request)
        if len(self._waiters) >= WAITERS_MAX:
            raise EngineError(f"all {self._name}s are busy")
        waiter = asyncio.Event()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                # A child may die between the call and our waking: then wait on, still first.
                while self._supervisors and not (self.slots_free and waiter.is_set()):
                    waiter.clear()
                    self._call_next()
                    await waiter.wait()
            # No await from here on: the slot cannot be taken from under us.
            if not self._supervisors:
                raise EngineError(f"no {self._name} is running")
            return self._least_busy().begin(request)
        except TimeoutError:
            busy = f"all {self._name}s are busy" if self._children else None
            raise EngineError(busy or f"no {self._name} is running") from None
        finally:
            self._waiters.remove(waiter)
            self._call_next()

    def _least_busy(self) -> _Child:
        return max(self._children, key=lambda child: child.slots_free(self._jobs_per_worker))

    def _call_next(self) -> None:
        """Wake as many of those who wait, first come first, as there are slots for."""
        for waiter in itertools.islice(self._waiters, self.slots_free):
            waiter.set()

    async def _supervise(self, ready: asyncio.Future[None]) -> None:
        """Keep one child alive: whenever it dies, start another, ever more patiently."""
        pause = BACKOFF_S
        while not self._closing.is_set():
            proven = False
            try:
                proven = await self._one_life(ready)
            except (EngineError, OSError, TimeoutError) as error:
                reason = str(error) or f"a {self._name} did not start in time"
                _log.warning("%s: %s", self._module, reason)
                if not ready.done():
                    ready.set_exception(EngineError(reason))
                    return
            pause = BACKOFF_S if proven else min(pause * 2, BACKOFF_S_MAX)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()

    async def _one_life(self, ready: asyncio.Future[None]) -> bool:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is the server's to answer.
        )
        if self._nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, self._nice)
        child = _Child(process, self._name)
        overhearing = asyncio.create_task(child.overhear())
        self._alive.add(child)
        try:
            if self._closing.is_set():
                raise EngineError(f"the {self._name} is not needed any more")
            async with asyncio.timeout(self._start_s):
                await child.setup(self._options)
            if not ready.done():
                ready.set_result(None)
            self._children.append(child)
            self._call_next()
            await child.listen(self._call_next)
        finally:
            if child in self._children:
                self._children.remove(child)
            await child.bury(overhearing)
            self._alive.discard(child)
        if not self._closing.is_set():
            _log.warning("a %s died (%s): %s", self._name, self._module, child.obituary())
        return child.proven
