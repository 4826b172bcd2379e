"""The worker that opens recordings: one at a time, so that a bad one harms nobody else.

Messages to a job: the file in pieces as payloads, then {"end": true}. From it: what the file is
(`recordings.Measured`), or {"bad": why}. After {"listen": true} the sound follows, about a
second at a time: {"chances": one byte for each frame} with the frames as the payload.
"""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .audio import FILE_BYTES_MAX, PcmFramer, sound_file
from .opus import BadAudio
from .serving import Assignment, JobCancelled, Options, Steps, Work, serve
from .silero import CONTEXT, STATE, Network, package_network
from .speech import PCM_FRAME_MS, PCM_RATE_HZ, PcmFrame

FRAMES_PER_MESSAGE = 31
# What a file may make its decoder ask for, beyond what the process has when it begins.
MEMORY_BYTES_MAX = 1 << 30


class Listener:
    """The chance of each frame of one recording, in order, that it is speech."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._state = np.zeros((2, 1, STATE), np.float32)
        self._window = np.zeros((1, CONTEXT + 512), np.float32)

    def chance(self, frame: PcmFrame) -> float:
        # The end of the last window is the context of this one.
        self._window[:, :CONTEXT] = self._window[:, -CONTEXT:]
        pcm = np.frombuffer(frame.samples, "<i2")
        np.multiply(pcm, np.float32(1 / 32_768), out=self._window[0, CONTEXT:])
        chances, self._state = self._network(self._window, self._state)
        return float(chances[0])


def recording(assignment: Assignment, network: Network) -> Steps:
    """One job: a file in, its measure out, and then its sound."""
    file = io.BytesIO()
    ended = False
    while not ended:
        message, piece = yield
        if file.tell() + len(piece) > FILE_BYTES_MAX:
            assignment.send({"bad": "the file is too large"})
            return
        file.write(piece)
        ended = bool(message.get("end"))
    try:
        assignment.send(_measured(assignment, file))
    except BadAudio as error:
        assignment.send({"bad": str(error)})
        return
    yield
    listener = Listener(network)
    chances, sound = bytearray(), bytearray()
    for frame in _frames(assignment, file):
        chances.append(round(listener.chance(frame) * 255))
        sound += frame.samples
        if len(chances) == FRAMES_PER_MESSAGE:
            assignment.send({"chances": list(chances)}, bytes(sound))
            chances.clear()
            sound.clear()
    assignment.send({"chances": list(chances)}, bytes(sound))


def _measured(assignment: Assignment, file: io.BytesIO) -> dict[str, object]:
    """Decode all of it and keep nothing. Raises `BadAudio`."""
    size = 0
    file.seek(0)
    try:
        with sound_file(file, seconds_max=_seconds_max(assignment)) as sound:
            for piece in sound.pieces:
                _look_up(assignment)
                size += len(piece)
            facts = {"codec": sound.codec, "rate_hz": sound.rate_hz, "channels": sound.channels}
    except MemoryError as error:
        raise BadAudio("the sound takes too much memory to decode") from error
    if not size:
        raise BadAudio("there is no sound in this file")
    return {"duration_ms": size // 2 * 1_000 // PCM_RATE_HZ, **facts}


def _frames(assignment: Assignment, file: io.BytesIO) -> Iterator[PcmFrame]:
    framer = PcmFramer()
    file.seek(0)
    with sound_file(file, seconds_max=_seconds_max(assignment) + PCM_FRAME_MS / 1_000) as sound:
        for piece in sound.pieces:
            _look_up(assignment)
            yield from framer.feed(piece)
    yield from framer.flush()


def _look_up(assignment: Assignment) -> None:
    if assignment.cancelled:
        raise JobCancelled


def _seconds_max(assignment: Assignment) -> float:
    return float(assignment.request["seconds_max"])


def _bound_memory() -> None:
    """Let the process grow by so much from here on; more is an error, and not a swapping host."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES_MAX
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def prepare(options: Options) -> Work:
    network = package_network()
    Listener(network).chance(PcmFrame(bytes(1_024)))  # What it loads late, it loads now.
    if Path("/proc/self/statm").exists():
        _bound_memory()
    return lambda assignment: recording(assignment, network)


if __name__ == "__main__":
    serve(prepare)
