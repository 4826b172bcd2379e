"""RTP packets as they arrive, put back in order, and what is missing between them.

A packet in its place goes on at once: a fixed delay, as players use to hide jitter, would only
make the answer later, because nobody listens to this stream but a recogniser. A packet that
comes too early waits for those before it until `HELD_MAX` packets wait; then what is missing
is given up for lost. Time holds all the same: the hole is reported with its length, whether
it is lost packets or a sender that says nothing while its user is silent.

A line carries one voice. Who may send on it can name as many sources as there are numbers, and
only one of them is heard: `Voice` says which.

Pure. Stream time is in samples at 48 kHz, modulo 2**32; sequence numbers are modulo 2**16.
"""

from __future__ import annotations

from dataclasses import dataclass

STREAM_RATE_HZ = 48_000
HELD_MAX = 3  # 60 ms of packets of the usual 20 ms.
# A sequence number further away than this begins another stream.
JUMP_MIN = 256
# And so does this many in a row that all come too late: a second of nothing but latecomers is
# a sender that began anew close behind where it was.
LATE_MAX = 50
HOLE_MS_MAX = 1_000
# One source that sends this many in a row, a second of them, while the voice sends nothing, is
# the voice under another name. That happens rarely: each name costs memory, and nobody who
# means it needs many.
TAKEOVER_PACKETS = 50
VOICES_MAX = 8
OPUS_SAMPLES_MAX = 5_760  # 120 ms
_SAMPLES_PER_MS = STREAM_RATE_HZ // 1_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet in its turn. `hole_ms` of the stream before it will never come."""

    payload: bytes
    hole_ms: int


class Voice:
    """Which of the sources on a line is heard: the announced one, or else the first to come."""

    def __init__(self, announced: int | None = None) -> None:
        self._announced = self._heard = announced
        self._voices = 1
        self._other: int | None = None
        self._in_a_row = 0

    def is_from(self, source: int) -> bool:
        """A packet of this source has come; is it the voice's?"""
        if self._heard is None or source == self._announced:
            self._heard = source
        if source == self._heard:
            self._other = None
            return True
        self._in_a_row = self._in_a_row + 1 if source == self._other else 1
        self._other = source
        if self._in_a_row < TAKEOVER_PACKETS or self._voices == VOICES_MAX:
            return False
        self._voices += 1
        self._heard, self._other = source, None
        return True


class Arrivals:
    """One stream's packets. Duplicates, latecomers and packets that are no Opus vanish."""

    def __init__(self) -> None:
        self._expected: int | None = None
        self._stream_time = 0
        self._held: dict[int, tuple[int, bytes]] = {}
        self._late = 0

    def push(self, sequence: int, stream_time: int, payload: bytes) -> list[Arrival]:
        """A packet has come; returns those whose turn it is now, in order."""
        if not opus_samples(payload):
            return []
        if self._expected is None:
            self._begin(sequence, stream_time)
        assert self._expected is not None
        ahead = _difference(sequence, self._expected, 16)
        self._late = self._late + 1 if ahead < 0 else 0
        if abs(ahead) >= JUMP_MIN or self._late > LATE_MAX:
            self._begin(sequence, stream_time)
        elif ahead < 0 or sequence in self._held:
            return []
        self._held[sequence] = (stream_time, payload)
        ready = self._in_order()
        while len(self._held) > HELD_MAX:
            self._expected = min(self._held, key=self._distance)
            ready += self._in_order()
        return ready

    def _begin(self, sequence: int, stream_time: int) -> None:
        self._expected, self._stream_time = sequence, stream_time
        self._held.clear()
        self._late = 0

    def _distance(self, sequence: int) -> int:
        assert self._expected is not None
        return _difference(sequence, self._expected, 16)

    def _in_order(self) -> list[Arrival]:
        ready = []
        while self._expected is not None and self._expected in self._held:
            stream_time, payload = self._held.pop(self._expected)
            hole = _difference(stream_time, self._stream_time, 32) // _SAMPLES_PER_MS
            ready.append(Arrival(payload, min(max(hole, 0), HOLE_MS_MAX)))
            self._stream_time = (stream_time + opus_samples(payload)) % 2**32
            self._expected = (self._expected + 1) % 2**16
        return ready


def opus_samples(packet: bytes) -> int:
    """How long a packet sounds, in samples at 48 kHz (RFC 6716 section 3); 0 if it is none."""
    if not packet:
        return 0
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        samples = (480, 960, 1_920, 2_880)[configuration & 3]
    elif configuration < 16:
        samples = (480, 960)[configuration & 1]
    else:
        samples = (120, 240, 480, 960)[configuration & 3]
    if code == 3:
        count = packet[1] & 63 if len(packet) > 1 else 0
    else:
        count = 1 if code == 0 else 2
    total = samples * count
    return total if total <= OPUS_SAMPLES_MAX else 0


def _difference(a: int, b: int, bits: int) -> int:
    """How far `a` lies ahead of `b` on a circle of 2**bits; negative when behind."""
    half = 1 << (bits - 1)
    return (a - b + half) % (1 << bits) - half
