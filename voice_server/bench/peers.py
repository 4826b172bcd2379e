"""What others reach: the same callers against other servers, measured earlier.

Measured on a shared machine with two cores, Python 3.11, server pinned to one core, with
engines that answer at once. Trust the ratios; absolute figures belong to that machine.
"""

from __future__ import annotations

from dataclasses import dataclass

NOTE = "measured earlier on a shared 2-core machine, server pinned to one core"


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """One run; `gaps` counts frame gaps over 60 ms, `cpu_s` is per call-minute."""

    server: str
    transport: str
    calls: int
    p50_ms: int
    p95_ms: int
    gaps: int
    cpu_s: float


PEERS = (
    PeerFigures("Pipecat 1.14", "ws", 1, 8, 29, 0, 5.4),
    PeerFigures("Pipecat 1.14", "ws", 10, 31, 52, 0, 3.9),
    PeerFigures("Pipecat 1.14", "ws", 15, 141, 307, 31, 3.7),
    PeerFigures("Pipecat 1.14", "ws", 20, 108, 840, 37, 2.9),
    PeerFigures("LiveKit Agents 1.8.9", "ws", 1, 84, 87, 0, 3.3),
    PeerFigures("LiveKit Agents 1.8.9", "ws", 10, 84, 127, 5, 2.0),
    PeerFigures("LiveKit Agents 1.8.9", "ws", 20, 86, 139, 1, 1.4),
    PeerFigures("LiveKit Agents 1.8.9", "ws", 40, 98, 405, 59, 1.3),
    PeerFigures("FastRTC 0.0.34", "ws", 1, 566, 664, 0, 3.5),
    PeerFigures("FastRTC 0.0.34", "ws", 20, 714, 927, 0, 1.6),
    PeerFigures("FastRTC 0.0.34", "ws", 40, 706, 959, 0, 1.3),
    PeerFigures("Pipecat 1.14", "webrtc", 1, 139, 207, 0, 8.9),
    PeerFigures("Pipecat 1.14", "webrtc", 5, 155, 190, 0, 7.9),
    PeerFigures("Pipecat 1.14", "webrtc", 8, 156, 397, 4, 6.7),
    PeerFigures("Pipecat 1.14", "webrtc", 20, 2154, 2988, 11, 3.0),
    PeerFigures("FastRTC 0.0.34", "webrtc", 1, 801, 975, 0, 5.9),
    PeerFigures("FastRTC 0.0.34", "webrtc", 10, 744, 1006, 0, 2.6),
    PeerFigures("FastRTC 0.0.34", "webrtc", 20, 859, 1068, 0, 2.3),
)
