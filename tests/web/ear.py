"""What a caller hears of a call, and when: stretches of sound, and the silences between them.

A piece of sound is played when it arrives or when the one before it has ended, whichever is
later, as a loudspeaker does. Only what is loud counts as sound: packets of silence are silence.
How long this process could not run is kept beside it, for who hears on a busy machine hears late.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from engines.audio import OpusDecoder
from voice_server.client.caller import Sound
from voice_server.client.microphone import now_us

RATE_HZ = 24_000
# Root mean square of 16-bit samples: below it nobody hears anything.
AUDIBLE = 60.0
# Pauses between words are none in what is said.
PAUSE_US = 300_000
BEAT_S = 0.02


@dataclass(slots=True)
class Stretch:
    begins_us: int
    ends_us: int


@dataclass(slots=True)
class Ear:
    """`ends_us`: when all that came will have been played. `loud_ms`: how much of it was heard."""

    stretches: list[Stretch] = field(default_factory=list)
    ends_us: int = 0
    _decoder: OpusDecoder = field(default_factory=lambda: OpusDecoder(RATE_HZ))

    def hear(self, sound: Sound) -> None:
        begins_us = max(self.ends_us, sound.at_us)
        self.ends_us = begins_us + sound.duration_ms * 1_000
        pcm = self._decoder.decode(sound.audio) if sound.opus else sound.audio
        samples = np.frombuffer(pcm, np.int16).astype(np.float64)
        if not samples.size or float(np.sqrt(np.mean(samples**2))) < AUDIBLE:
            return
        last = self.stretches[-1] if self.stretches else None
        if last is not None and begins_us - last.ends_us <= PAUSE_US:
            last.ends_us = self.ends_us
        else:
            self.stretches.append(Stretch(begins_us, self.ends_us))

    def drop(self, at_us: int) -> None:
        """What has not been played by now is not wanted."""
        self.ends_us = min(self.ends_us, at_us)
        self.stretches = [each for each in self.stretches if each.begins_us < at_us]
        for each in self.stretches:
            each.ends_us = min(each.ends_us, at_us)

    def sound_ms(self, from_us: int) -> int:
        """How much was heard since then, with the pauses between words."""
        heard = [each for each in self.stretches if each.ends_us > from_us]
        return sum(each.ends_us - max(each.begins_us, from_us) for each in heard) // 1_000

    def silences(self, from_us: int) -> list[Stretch]:
        """The silences after this moment, in order; what comes after the last sound is none."""
        found, silent_us = list[Stretch](), from_us
        for each in self.stretches:
            if each.begins_us > silent_us:
                found.append(Stretch(silent_us, each.begins_us))
            silent_us = max(silent_us, each.ends_us)
        return found


class HeldUp:
    """How long this process was kept from running: the machine has others to serve. Use it as a
    context; `between` tells of a stretch of time."""

    def __init__(self) -> None:
        self._late: list[tuple[int, int]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HeldUp:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            due_us = now_us() + round(BEAT_S * 1e6)
            await asyncio.sleep(BEAT_S)
            if (late_us := now_us() - due_us) > BEAT_S * 1e6:
                self._late.append((due_us, late_us))

    def between(self, begins_us: int, ends_us: int) -> int:
        """Milliseconds in which nothing ran here."""
        return sum(late for at, late in self._late if begins_us <= at < ends_us) // 1_000
