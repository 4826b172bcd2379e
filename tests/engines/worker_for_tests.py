"""A worker that does what a test tells it to, well and badly."""

from __future__ import annotations

import os
import time

from engines.serving import Assignment, Options, Steps, Work, serve
from engines.speech import EngineError


def prepare(options: Options) -> Work:
    if options.get("refuse"):
        raise EngineError("there is no such model")
    os.write(1, b"a C library greets the world\n")
    cancelled: list[str] = []

    def echo(assignment: Assignment) -> Steps:
        try:
            while True:
                message, payload = yield
                if message.get("end"):
                    return
                assignment.send({"echo": message, "pid": os.getpid()}, payload)
        finally:
            if assignment.cancelled:
                cancelled.append("echo")

    def compute(assignment: Assignment) -> None:
        assignment.send({"pid": os.getpid()})
        while not assignment.cancelled or assignment.request.get("stubborn"):
            time.sleep(0.001)
        cancelled.append("compute")

    def flood(assignment: Assignment) -> None:
        for number in range(assignment.request["messages"]):
            assignment.send({"number": number}, bytes(32_000))

    def work(assignment: Assignment) -> Steps | None:
        match assignment.request["do"]:
            case "echo":
                return echo(assignment)
            case "compute":
                compute(assignment)
            case "flood":
                flood(assignment)
            case "huge":
                assignment.send({}, bytes(2_000_000))
            case "refuse":
                raise EngineError("that cannot be said")
            case "bug":
                raise KeyError("an inner detail")
            case "what was cancelled":
                assignment.send({"cancelled": cancelled, "pid": os.getpid()})
            case "corrupt the wire":
                os.write(1, b"x" * 100)
                print("and again", flush=True)
            case "die":
                os._exit(7)
        return None

    return work


if __name__ == "__main__":
    serve(prepare)
