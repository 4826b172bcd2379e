"""What the vendors' servers hear: words that a test gives them, or that the sound itself makes.

Sound is looked at in blocks. A block that is loud enough is a word, and which word depends on
the sound in it: so what is heard says whose sound it was, and how much of it came.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BLOCK_MS = 400
LOUD = 300.0
VOCABULARY = (
    "amber", "brook", "cedar", "delta", "ember", "fable", "grove", "hazel", "inlet", "jade",
    "kelp", "lemon", "maple", "north", "olive", "pearl", "quill", "river", "sage", "tulip",
    "umber", "violet", "willow", "xenon", "yarrow", "zephyr",
)  # fmt: skip

Hears = str | Callable[[bytes], str] | None


def heard_blocks(pcm: bytes, rate_hz: int) -> list[tuple[int, str]]:
    """(start_ms, word) of every loud block of this mono s16le sound, the last one only once it
    is whole."""
    size = rate_hz * BLOCK_MS // 1_000
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(float)
    found = []
    for number in range(len(samples) // size):
        block = samples[number * size : (number + 1) * size]
        level = float(np.sqrt(np.mean(block**2)))
        if level >= LOUD:
            crossings = int(np.sum(np.diff(np.signbit(block))))
            word = VOCABULARY[(crossings // 8 + int(level) // 400) % len(VOCABULARY)]
            found.append((number * BLOCK_MS, word))
    return found


def words_heard(hears: Hears, pcm: bytes, rate_hz: int, *, whole: bool) -> list[str]:
    """The words of this sound, of which more may come unless it is `whole`. Given words are
    heard one by one, a block each, and all of them in the end; nothing is heard in silence."""
    if callable(hears):
        return hears(pcm).split()
    blocks = heard_blocks(pcm, rate_hz)
    if hears is None:
        return [word for _, word in blocks]
    loud = bool(blocks) or (whole and np.abs(np.frombuffer(pcm, np.int16)).max(initial=0) > LOUD)
    given = hears.split()
    if not loud:
        return []
    return given if whole else given[: len(blocks)]
