"""Where a voice begins in a recording, by its own loudness."""

from __future__ import annotations

import math
import struct

from voice_server.bench.speech import voice_begins_ms

RATE_HZ = 16_000


def tone(duration_ms: int, loudness: int) -> bytes:
    turns = [math.tau * 200 * i / RATE_HZ for i in range(duration_ms * RATE_HZ // 1_000)]
    return struct.pack(f"<{len(turns)}h", *(int(loudness * math.sin(turn)) for turn in turns))


def test_the_voice_begins_where_it_can_be_heard() -> None:
    room, voice = tone(300, 100), tone(1_000, 10_000)
    assert voice_begins_ms(room + voice) == 300
    assert voice_begins_ms(voice) == 0
    assert voice_begins_ms(bytes(2 * RATE_HZ) + voice + bytes(2 * RATE_HZ)) == 1_000


def test_a_soft_beginning_counts() -> None:
    """Fifteen decibels below the loud parts is a voice; thirty is a breath."""
    assert voice_begins_ms(tone(100, 316) + tone(100, 1_780) + tone(900, 10_000)) == 100


def test_silence_has_no_better_place_than_its_beginning() -> None:
    assert voice_begins_ms(bytes(2 * RATE_HZ)) == 0
