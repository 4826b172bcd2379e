"""The promises of worker pools: cancelled at once, bounded, replaced when dead, never left."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.serving import BEGIN, HEAD, MESSAGE_BYTES_MAX, READY, SETUP, WINDOW_BYTES, pack
from engines.speech import EngineError
from engines.workers import Job, WorkerPool

MODULE = "tests.engines.worker_for_tests"
PATIENCE_S = 60  # Only reached when a promise is broken.


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    one = WorkerPool(MODULE, workers=1, name="parrot", grace_s=PATIENCE_S, wait_s=PATIENCE_S)
    await one.start()
    yield one
    await one.close()


@contextmanager
def watched(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when the process ends, however its id is reused."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], PATIENCE_S)[0])


async def ask(pool: WorkerPool, what: str, **more: object) -> list[dict[str, Any]]:
    async with pool.job({"do": what, **more}) as job:
        return [message async for message, _ in job]


async def say(job: Job, text: str) -> dict[str, Any]:
    await job.send({"text": text}, text.encode())
    message, payload = await anext(job)
    assert payload == text.encode()
    return message


async def test_a_job_speaks_and_ends(pool: WorkerPool) -> None:
    async with pool.job({"do": "echo"}) as job:
        assert (await say(job, "одно"))["echo"] == {"text": "одно"}
        assert (await say(job, "two"))["echo"] == {"text": "two"}
        await job.send({"end": True})
        assert [message async for message in job] == []
        with pytest.raises(EngineError, match="already finished"):
            await job.send({"text": "late"})
    assert pool.slots_free == 1


async def test_jobs_of_one_worker_interleave() -> None:
    pool = WorkerPool(MODULE, workers=1, jobs_per_worker=2)
    await pool.start()
    async with pool.job({"do": "echo"}) as one, pool.job({"do": "echo"}) as two:
        pids = {(await say(job, text))["pid"] for text in "abc" for job in (one, two)}
        assert len(pids) == 1
        assert pool.slots_free == 0
        await one.send({"end": True})
        assert [message async for message in one] == []
        assert (await say(two, "still here"))["echo"] == {"text": "still here"}
    await pool.close()


async def test_leaving_cancels_a_computation_at_once(pool: WorkerPool) -> None:
    async with pool.job({"do": "compute"}) as job:
        message, _ = await anext(job)
    # The only slot is free again long before the grace is over, in the same process.
    async with asyncio.timeout(PATIENCE_S / 2):
        [told] = await ask(pool, "what was cancelled")
    assert told == {"cancelled": ["compute"], "pid": message["pid"]}


async def test_leaving_closes_a_generator(pool: WorkerPool) -> None:
    async with pool.job({"do": "echo"}) as job:
        await say(job, "hello")
    [told] = await ask(pool, "what was cancelled")
    assert told["cancelled"] == ["echo"]


async def test_a_slot_is_not_reused_before_the_worker_confirms() -> None:
    pool = WorkerPool(MODULE, workers=1, name="parrot", grace_s=PATIENCE_S, wait_s=0.05)
    await pool.start()
    async with pool.job({"do": "compute", "stubborn": True}) as job:
        await anext(job)
    assert pool.slots_free == 0
    with pytest.raises(EngineError, match="all parrots are busy"):
        await ask(pool, "what was cancelled")
    await pool.close()


async def test_a_worker_that_does_not_confirm_is_replaced() -> None:
    pool = WorkerPool(MODULE, workers=1, grace_s=0.01, wait_s=PATIENCE_S)
    await pool.start()
    async with pool.job({"do": "compute", "stubborn": True}) as job:
        message, _ = await anext(job)
    with watched(message["pid"]) as old:
        [told] = await ask(pool, "what was cancelled")
        assert ended(old)
    assert told["cancelled"] == []
    assert told["pid"] != message["pid"]
    await pool.close()


async def test_the_longest_waiting_goes_first(pool: WorkerPool) -> None:
    order: list[int] = []

    async def wait(number: int) -> None:
        async with pool.job({"do": "what was cancelled"}) as job:
            order.append(number)
            _ = [message async for message in job]

    async with pool.job({"do": "compute"}) as job:
        await anext(job)
        waiting = [asyncio.create_task(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        waiting.pop(1).cancel()
    await asyncio.gather(*waiting)
    assert order == [0, 2, 3]


async def test_a_killed_worker_fails_its_jobs_and_is_replaced() -> None:
    pool = WorkerPool(MODULE, workers=1, jobs_per_worker=3, wait_s=PATIENCE_S)
    await pool.start()
    async with pool.job({"do": "echo"}) as one, pool.job({"do": "echo"}) as two:
        pid = (await say(one, "a"))["pid"]
        await say(two, "b")
        os.kill(pid, signal.SIGKILL)
        for job in (one, two):
            with pytest.raises(EngineError, match="stopped unexpectedly"):
                await anext(job)
            with pytest.raises(EngineError, match="stopped unexpectedly"):
                await job.send({"text": "anybody?"})
    for _ in range(3):
        [told] = await ask(pool, "what was cancelled")
        assert told["pid"] != pid
    await pool.close()


async def test_what_a_dead_worker_said_is_delivered_first(pool: WorkerPool) -> None:
    async with pool.job({"do": "echo"}) as job:
        pid = (await say(job, "a"))["pid"]
        await job.send({"text": "b"})
        with watched(pid) as descriptor:
            assert (await anext(job))[0]["echo"] == {"text": "b"}
            os.kill(pid, signal.SIGKILL)
            assert ended(descriptor)
        with pytest.raises(EngineError):
            await anext(job)


async def test_a_worker_that_exits_by_itself_fails_the_job(pool: WorkerPool) -> None:
    with pytest.raises(EngineError, match="the parrot stopped unexpectedly"):
        await ask(pool, "die")


async def test_errors_of_the_worker(pool: WorkerPool) -> None:
    with pytest.raises(EngineError, match="that cannot be said"):
        await ask(pool, "refuse")
    with pytest.raises(EngineError) as caught:
        await ask(pool, "bug")
    assert "inner detail" not in str(caught.value)
    with pytest.raises(EngineError, match="too large"):
        await ask(pool, "huge")
    [told] = await ask(pool, "what was cancelled")
    assert told["cancelled"] == []


async def test_what_is_printed_does_not_reach_the_wire(pool: WorkerPool) -> None:
    assert await ask(pool, "corrupt the wire") == []
    assert len(await ask(pool, "what was cancelled")) == 1


async def test_too_large_a_message_is_refused_and_nothing_else(pool: WorkerPool) -> None:
    async with pool.job({"do": "echo"}) as job:
        with pytest.raises(EngineError, match="too large"):
            await job.send({"text": "x" * MESSAGE_BYTES_MAX})
        with pytest.raises(EngineError, match="too large"):
            await job.send({}, bytes(2_000_000))
        assert (await say(job, "small"))["echo"] == {"text": "small"}
    with pytest.raises(EngineError, match="too large"):
        await ask(pool, "x" * MESSAGE_BYTES_MAX)
    assert (await ask(pool, "what was cancelled")) != []


def unread(job: Job) -> int:
    return job._unacknowledged + sum(size for _, _, size in job._said)


async def test_an_unread_flood_waits_in_the_worker(pool: WorkerPool) -> None:
    async with pool.job({"do": "flood", "messages": 100}) as job:
        first, _ = await anext(job)
        while unread(job) < 2 * WINDOW_BYTES:
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # Time in which an unbounded worker would send it all.
        assert unread(job) <= 2 * WINDOW_BYTES + 33_000
        assert [first["number"]] + [m["number"] async for m, _ in job] == list(range(100))


async def test_sending_waits_while_the_worker_is_behind(pool: WorkerPool) -> None:
    async with pool.job({"do": "echo"}) as job:

        async def send() -> None:
            for _ in range(40):
                await job.send({"text": "x"}, bytes(30_000))
            await job.send({"end": True})

        sending = asyncio.create_task(send())
        await anext(job)
        # Nothing is read here, so the worker stops taking, and then we stop sending.
        while job._untaken < WINDOW_BYTES:
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # Time in which an unbounded sender would send it all.
        assert job._untaken <= WINDOW_BYTES + 31_000
        assert not sending.done()
        assert len([message async for message in job]) == 39
        await sending


async def test_a_cancelled_reader_does_not_block_the_worker(pool: WorkerPool) -> None:
    async with pool.job({"do": "flood", "messages": 1_000}) as job:
        await anext(job)
    assert len(await ask(pool, "what was cancelled")) == 1


async def test_a_worker_that_cannot_be_prepared_says_why() -> None:
    pool = WorkerPool(MODULE, workers=2, options={"refuse": 1})
    with pytest.raises(EngineError, match="there is no such model"):
        await pool.start()
    with pytest.raises(EngineError, match="no worker is running"):
        await ask(pool, "echo")


async def test_a_module_that_is_not_there() -> None:
    pool = WorkerPool("tests.engines.no_such_worker", workers=1)
    with pytest.raises(EngineError, match="stopped unexpectedly"):
        await pool.start()


async def test_closing_leaves_no_child_and_no_waiter() -> None:
    pool = WorkerPool(MODULE, workers=2, wait_s=PATIENCE_S)
    await pool.start()
    async with pool.job({"do": "compute"}) as one, pool.job({"do": "compute"}) as two:
        pids = [(await anext(job))[0]["pid"] for job in (one, two)]
        waiting = asyncio.create_task(ask(pool, "echo"))
        await asyncio.sleep(0)
        with watched(pids[0]) as first, watched(pids[1]) as second:
            await pool.close()
            assert ended(first)
            assert ended(second)
        with pytest.raises(EngineError):
            await anext(one)
        with pytest.raises(EngineError, match="no worker is running"):
            await waiting
    await pool.close()
    assert len(asyncio.all_tasks()) == 1


def test_the_worker_leaves_when_its_pipe_ends_even_while_computing() -> None:
    command = [sys.executable, "-m", MODULE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(pack(SETUP, 0, {}))
        worker.stdin.write(pack(BEGIN, 1, {"do": "compute", "stubborn": True}))
        worker.stdin.flush()
        assert HEAD.unpack(worker.stdout.read(HEAD.size))[0] == READY
        assert worker.stdout.read(HEAD.size), "the job has begun"
        worker.stdin.close()
        assert worker.wait(PATIENCE_S) == 0


def test_no_worker_outlives_a_killed_server() -> None:
    code = f"""
import asyncio, engines.workers
async def main():
    pool = engines.workers.WorkerPool({MODULE!r}, workers=1)
    await pool.start()
    async with pool.job({{"do": "compute", "stubborn": True}}) as job:
        print((await anext(job))[0]["pid"], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as server:
        assert server.stdout is not None
        with watched(int(server.stdout.readline())) as worker:
            server.kill()
            assert ended(worker)


async def test_signals_meant_for_the_server_do_not_end_its_workers(pool: WorkerPool) -> None:
    """A stopping server drains its calls first, and they need their engines."""
    async with pool.job({"do": "echo"}) as job:
        pid = (await say(job, "before"))["pid"]
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        assert (await say(job, "after"))["pid"] == pid
        assert os.getsid(pid) == pid, "a terminal's Ctrl-C does not reach it"


async def test_all_who_wait_for_the_start_wait_for_one_and_may_leave() -> None:
    pool = WorkerPool(MODULE, workers=1, name="parrot", wait_s=PATIENCE_S)
    first = asyncio.create_task(pool.ready())
    await asyncio.sleep(0)
    others = [asyncio.create_task(pool.ready()) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pool.slots_free == 1
    await pool.close()
    await pool.ready()  # It can begin again.
    assert pool.slots_free == 1
    await pool.close()
    assert pool.slots_free == 0


async def test_closed_while_it_starts_it_leaves_nothing() -> None:
    pool = WorkerPool(MODULE, workers=1, name="parrot")
    waiting = asyncio.create_task(pool.ready())
    await asyncio.sleep(0)
    await pool.close()
    assert (await asyncio.gather(waiting, return_exceptions=True))[0] is not None
    assert pool.slots_free == 0


async def test_a_start_that_failed_is_tried_again() -> None:
    pool = WorkerPool(MODULE, workers=1, name="parrot", options={"refuse": 1})
    for _ in range(2):
        with pytest.raises(EngineError, match="no such model"):
            await pool.ready()


async def test_a_pool_in_the_background_stands_back() -> None:
    pool = WorkerPool(MODULE, workers=1, name="parrot", nice=7, wait_s=PATIENCE_S)
    await pool.start()
    async with pool.job({"do": "echo"}) as job:
        pid = (await say(job, "hello"))["pid"]
        assert os.getpriority(os.PRIO_PROCESS, pid) == 7
    await pool.close()
