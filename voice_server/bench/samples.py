"""What recognisers are given to hear, and what voices to say.

`SPEECH_DATA` names a folder of human recordings with `transcripts.tsv`: a table with tabs, whose
columns file, language, category, seconds and reference are used. Without one eSpeak NG speaks,
and then the words that are misheard say little about people.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engines.audio import PcmFramer
from engines.speech import PCM_RATE_HZ, PcmFrame
from voice_server.client.clips import read_clip

from .speech import NoSpeech, spoken, voice_begins_ms, voice_ends_ms

T = TypeVar("T")

TRANSCRIPTS = "transcripts.tsv"
SENTENCES = {
    "en": (
        "Yes, of course.",
        "Could you please tell me once more what a verb is?",
        "In 1999 the ticket cost 5 dollars and 20 cents.",
        "I would like to practise the past tense today, and then to read a little.",
        "A verb is a doing word. It tells us what somebody does.",
        "Let us read the next page together, slowly, and stop wherever a word is new to you.",
    ),
    "ru": (
        "Да, конечно.",
        "Скажите, пожалуйста, ещё раз, что такое глагол?",
        "В 1999 году билет стоил 5 рублей 20 копеек.",
        "Сегодня я хочу повторить прошедшее время, а потом немного почитать.",
        "Глагол обозначает действие. Он говорит, что делает человек.",
        "Давайте прочитаем следующую страницу вместе, медленно, и остановимся на новых словах.",
    ),
}
_SECONDS_MIN, _SECONDS_MAX = 1.5, 12.0
_LEAD_MS = 200
_BYTES_PER_MS = 2 * PCM_RATE_HZ // 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Speech with its words: 16 kHz frames, from a moment before the first word, which begins at
    `onset_ms`, to the end of the silence in which a call takes it for the end."""

    name: str
    language: str
    text: str
    frames: tuple[PcmFrame, ...]
    onset_ms: int


@dataclass(frozen=True, slots=True)
class Samples:
    """`source`: who speaks, for people."""

    source: str
    samples: tuple[Sample, ...]


def sentences_of(language: str) -> tuple[str, ...]:
    """Raises `ValueError` where there are none."""
    if language not in SENTENCES:
        raise ValueError(f"--language is one of {', '.join(SENTENCES)}")
    return SENTENCES[language]


async def samples(folder: Path | None, language: str, count: int, *, pause_ms: int) -> Samples:
    """So many recordings of the folder, as different as they are, each with `pause_ms` of silence
    behind it; of the sentences, where there is no folder. Raises `NoSpeech`, `BadAudio`, `OSError`
    and `ValueError`."""
    if folder is None:
        texts = sentences_of(language)[:count]
        sounds = [pcm async for pcm in spoken(texts, language)]
        made = [
            sample(f"sentence {number}", language, text, pcm, pause_ms)
            for number, (text, pcm) in enumerate(zip(texts, sounds, strict=True), 1)
        ]
        return Samples("eSpeak NG", tuple(made))
    found = [
        sample(path.name, language, text, read_clip(path), pause_ms)
        for path, text in evenly(recorded(folder, language), count)
    ]
    if not found:
        raise NoSpeech(f"{folder} has no speech in {language!r} with its words")
    return Samples(f"people ({folder.name})", tuple(found))


def recorded(folder: Path, language: str) -> list[tuple[Path, str]]:
    """The recordings of the folder with their words, in the order of their names: what people
    said in one breath or a few. Raises `OSError` and `ValueError`."""
    with (folder / TRANSCRIPTS).open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    try:
        found = [
            (folder / row["file"], row["reference"])
            for row in rows
            if (row["language"], row["category"]) == (language, "speech")
            and _SECONDS_MIN <= float(row["seconds"]) <= _SECONDS_MAX
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / TRANSCRIPTS} lacks the column {error}") from error
    return sorted(found)


def evenly(found: Sequence[T], count: int) -> list[T]:
    """`count` of them at most, from all over."""
    count = min(count, len(found))
    return [found[index * len(found) // count] for index in range(count)]


def sample(name: str, language: str, text: str, pcm: bytes, pause_ms: int) -> Sample:
    """16 kHz sound, as a recogniser gets it in a call. Raises `NoSpeech` where there is none."""
    if len(pcm) < 1_000 * _BYTES_PER_MS:
        raise NoSpeech(f"{name} is too short")
    begins_ms, ends_ms = voice_begins_ms(pcm), voice_ends_ms(pcm)
    from_ms = max(0, begins_ms - _LEAD_MS)
    sound = pcm[from_ms * _BYTES_PER_MS : (ends_ms + pause_ms) * _BYTES_PER_MS]
    sound = sound.ljust((ends_ms + pause_ms - from_ms) * _BYTES_PER_MS, b"\0")
    framer = PcmFramer()
    frames = (*framer.feed(sound), *framer.flush())
    return Sample(name, language, text, frames, begins_ms - from_ms)
