"""What was said in a recording, in each form that is asked for. Pure.

`json`, `verbose_json` and the events of a stream are those of OpenAI's published types. Where
these have a field that our recognisers cannot know, its value is the one that says nothing:
`tokens` is empty and `avg_logprob` and `temperature` are 0. `no_speech_prob` is the voice
detector's, and `compression_ratio` is computed from the words as Whisper does it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engines.languages import name_of
from engines.speech import Word
from engines.stretches import Passage

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
# A subtitle is two lines, and is not on the screen for longer than anybody reads.
CUE_CHARS_MAX, CUE_MS_MAX = 84, 7_000
# A pause for which a subtitle ends.
CUE_PAUSE_MS = 700
# OpenAI counts sound that is heard in tokens of a tenth of a second, and about four letters
# are a token of text.
TOKEN_MS, TOKEN_CHARS = 100, 4

# What begins and ends a cue in both formats; in text it would be taken for that.
_ARROW = re.compile(r"-+>")

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Written:
    """A whole recording written down."""

    language: str
    duration_ms: int
    passages: tuple[Passage, ...]

    @property
    def text(self) -> str:
        return " ".join(passage.text for passage in self.passages)


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle: one line of text and when it is shown."""

    text: str
    start_ms: int
    end_ms: int


def short(written: Written) -> Json:
    """The body of `response_format=json`."""
    return {"text": written.text, "usage": _duration(written)}


def verbose(written: Written, granularities: Sequence[str], task: str = "transcribe") -> Json:
    """The body of `verbose_json`. `word_times` is ours: it says whether the recogniser gave the
    times of words, or they only spread the letters over the time of the passage."""
    body: Json = {
        "task": task,
        "language": name_of(written.language),
        "duration": _seconds(written.duration_ms),
        "text": written.text,
        "usage": _duration(written),
    }
    if "segment" in granularities:
        body["segments"] = [_segment(*each) for each in enumerate(written.passages)]
    if "word" in granularities:
        words = [word for passage in written.passages for word in passage.words]
        body["words"] = [_word(word) for word in words]
        estimated = any(passage.estimated for passage in written.passages)
        body["word_times"] = "estimated" if estimated else "recognised"
    return body


def delta(passage: Passage, *, first: bool) -> Json:
    """The event for the next passage. The deltas joined are the text of the whole."""
    return {"type": "transcript.text.delta", "delta": passage.text if first else f" {passage.text}"}


def done(written: Written) -> Json:
    """The last event of a stream."""
    heard = -(-written.duration_ms // TOKEN_MS)
    told = -(-len(written.text) // TOKEN_CHARS)
    usage = {
        "type": "tokens", "input_tokens": heard, "output_tokens": told,
        "total_tokens": heard + told,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
    }  # fmt: skip
    return {"type": "transcript.text.done", "text": written.text, "usage": usage}


def srt(written: Written) -> str:
    """SubRip subtitles."""
    blocks = (
        f"{number}\n{_times(cue, ',')}\n{_harmless(cue.text)}\n"
        for number, cue in enumerate(cues(written.passages), 1)
    )
    return "\n".join(blocks)


def vtt(written: Written) -> str:
    """WebVTT subtitles."""
    blocks = ["WEBVTT\n"]
    for cue in cues(written.passages):
        text = _harmless(cue.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_times(cue, '.')}\n{text}\n")
    return "\n".join(blocks)


def cues(passages: Sequence[Passage]) -> list[Cue]:
    """The words in portions that can be read: each no longer than a subtitle may be, where one
    word is not, in order, and none beginning before the one before has ended."""
    found: list[Cue] = []
    for passage in passages:
        for words in _portions(passage.words):
            text = " ".join(word.text for word in words)
            start_ms = max(words[0].start_ms, found[-1].end_ms if found else 0)
            found.append(Cue(text, start_ms, max(start_ms, words[-1].end_ms)))
    return found


def _portions(words: Sequence[Word]) -> Iterator[list[Word]]:
    held: list[Word] = []
    chars = 0
    for word in words:
        if held and (
            chars + 1 + len(word.text) > CUE_CHARS_MAX
            or word.end_ms - held[0].start_ms > CUE_MS_MAX
            or word.start_ms - held[-1].end_ms > CUE_PAUSE_MS
        ):
            yield held
            held, chars = [], 0
        chars += len(word.text) + (1 if held else 0)
        held.append(word)
    if held:
        yield held


def _segment(number: int, passage: Passage) -> Json:
    encoded = passage.text.encode()
    return {
        "id": number,
        "seek": passage.start_ms // 10,
        "start": _seconds(passage.start_ms),
        "end": _seconds(passage.end_ms),
        "text": passage.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 3),
        "no_speech_prob": round(min(max(1 - passage.speech, 0.0), 1.0), 3),
    }


def _word(word: Word) -> Json:
    return {
        "word": word.text, "start": _seconds(word.start_ms), "end": _seconds(word.end_ms),
    }  # fmt: skip


def _duration(written: Written) -> Json:
    return {"type": "duration", "seconds": _seconds(written.duration_ms)}


def _seconds(ms: int) -> float:
    return ms / 1_000


def _times(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}"


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"


def _harmless(text: str) -> str:
    """One line that holds no arrow."""
    return _ARROW.sub("→", " ".join(text.split()))
