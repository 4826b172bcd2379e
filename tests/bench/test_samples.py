"""What recognisers are given: whose words, how many, and how much silence around them."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.audio import wav
from voice_server.bench.samples import evenly, recorded, sample, samples, sentences_of
from voice_server.bench.speech import NoSpeech, voice_ends_ms

RATE_HZ = 16_000


def tone(duration_ms: int, loudness: int) -> bytes:
    turns = [math.tau * 200 * i / RATE_HZ for i in range(duration_ms * RATE_HZ // 1_000)]
    return struct.pack(f"<{len(turns)}h", *(int(loudness * math.sin(turn)) for turn in turns))


SPEECH = tone(500, 100) + tone(1_000, 10_000) + tone(100, 100)


COLUMNS = "file\tlanguage\tcategory\tseconds\treference"


def folder(path: Path, *rows: str, names: str = COLUMNS) -> Path:
    (path / "transcripts.tsv").write_text("\n".join([names, *rows, ""]))
    for row in rows:
        (path / row.split("\t")[0]).write_bytes(wav(SPEECH, RATE_HZ))
    return path


def test_a_sample_begins_soon_and_ends_with_a_pause() -> None:
    made = sample("a", "en", "hello", SPEECH, 608)
    assert made.onset_ms == 200
    heard_ms = 200 + 1_000 + 608
    assert heard_ms <= len(made.frames) * 32 < heard_ms + 32
    sound = b"".join(frame.samples for frame in made.frames)
    assert voice_ends_ms(sound) == pytest.approx(1_200, abs=20)
    assert not any(sound[-2 * 16 * 480 :]), "what the recording does not have is silence"


def test_a_recording_that_begins_at_once_has_no_lead() -> None:
    assert sample("a", "en", "hello", tone(1_500, 10_000), 608).onset_ms == 0
    with pytest.raises(NoSpeech):
        sample("a", "en", "hello", tone(900, 10_000), 608)


def test_the_voice_ends_where_it_can_no_longer_be_heard() -> None:
    assert voice_ends_ms(SPEECH) == 1_500
    assert voice_ends_ms(tone(400, 10_000)) == 400


async def test_speech_of_one_language_is_taken_from_the_folder(tmp_path: Path) -> None:
    place = folder(
        tmp_path, "b.wav\ten\tspeech\t1.6\tsecond \"words", "a.wav\ten\tspeech\t1.6\tfirst",
        "c.wav\tru\tspeech\t1.6\tтретье", "d.wav\ten\tdigits\t1.6\tone two",
        "e.wav\ten\tspeech\t30\tlong", "f.wav\ten\tspeech\t0.5\tshort",
    )  # fmt: skip
    assert [(path.name, text) for path, text in recorded(place, "en")] == [
        ("a.wav", "first"), ("b.wav", 'second "words'),
    ]  # fmt: skip
    found = await samples(place, "en", 5, pause_ms=608)
    assert [each.name for each in found.samples] == ["a.wav", "b.wav"]
    assert "people" in found.source and found.samples[0].onset_ms == 200
    with pytest.raises(NoSpeech, match="de"):
        await samples(place, "de", 5, pause_ms=608)


async def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        recorded(tmp_path, "en")
    with pytest.raises(ValueError, match="category"):
        recorded(folder(tmp_path, "a.wav\ten", names="file\tlanguage"), "en")


async def test_without_recordings_espeak_speaks() -> None:
    found = await samples(None, "en", 1, pause_ms=608)
    (only,) = found.samples
    assert only.text == sentences_of("en")[0] and "eSpeak" in found.source
    assert len(only.frames) * 32 > 1_000
    with pytest.raises(ValueError, match="--language"):
        sentences_of("xx")


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(1, 60))
def test_evenly_takes_from_all_over_and_nothing_twice(found: list[int], count: int) -> None:
    taken = evenly(found, count)
    assert len(taken) == min(count, len(found)) == len(set(taken))
    places = [found.index(each) for each in taken]
    assert places == sorted(places)
    if taken:
        assert places[0] == 0 and places[-1] >= len(found) - -(-len(found) // len(taken))
