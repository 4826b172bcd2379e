"""What the callers of one process are told to do; it travels to them as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recording:
    """A WAV file, and where in it the voice begins and the speech ends, in milliseconds."""

    path: str
    voice_ms: int
    speech_ms: int


@dataclass(frozen=True, slots=True)
class Load:
    """What the callers of one process do, and when, on the machine's monotonic clock.

    Call `i` joins `i * join_every_ms` after `join_us`; no turn begins after `end_us`, and those
    whose speech ends after `begin_us` count. With `interruptions` the callers do not wait for
    their turn: from `begin_us` on each speaks over so many replies.
    """

    url: str
    key: str
    transport: str
    calls: int
    recordings: tuple[Recording, ...]
    silence_ms: int
    join_us: int
    join_every_ms: int
    begin_us: int
    end_us: int
    seed: int
    interruptions: int = 0

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Load:
        recordings = tuple(Recording(**each) for each in given["recordings"])
        return cls(**{**given, "recordings": recordings})
