"""How soon engines speak and understand, and where a turn's silence goes. Pure arithmetic on
what was seen and when.

A recogniser is judged on a clock that runs with the sound: what lies `p` milliseconds into the
sound is said at `p`. A word is shown as soon as what is shown has that word in its place; how far
behind that is, is told against the end of the word, where the recogniser says it.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from engines.speech import OPUS_FRAME_MS, Word

from .figures import percentile
from .interruptions import Spread
from .words import Errors

# The ways in which a voice is asked: the engine itself; with what every call puts around it, so
# that it says numbers in words and tells where its words lie; and as one that stands for all.
BARE, DRESSED, WHOLE = "bare", "dressed", "whole"
WAYS = (BARE, DRESSED, WHOLE)
FAILURES_MAX = 5
_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Absent:
    """An engine that could not be measured here, and what to do about it, in words."""

    name: str
    why: str


# Voices.


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence, spoken in one way: how long until its first packet and until its last, and
    what that cost this process, in microseconds."""

    way: str
    first_us: int
    took_us: int
    cpu_us: float
    frames: int


@dataclass(frozen=True, slots=True)
class VoiceFigures:
    """`first`: from asking to the first 20 ms of sound, as a call asks. `real_time_factor`: what
    a second of sound takes; `cpu_factor`: what it costs this machine, which does not depend on
    what else that does. `first_ratio` and `took_ratio`: what the wrappers make of both, as
    a factor, from pairs of the same sentence. `cpu_us`: this process's work for a packet, by way.
    NaN and nothing where there is no pair: a voice that costs money is only asked once."""

    name: str
    version: str
    language: str
    sentences: int
    first: Spread
    real_time_factor: float
    cpu_factor: float
    first_ratio: float
    took_ratio: float
    cpu_us: Mapping[str, float]
    failures: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.sentences > 0 and not self.failures

    def as_json(self) -> dict[str, object]:
        return _finite(asdict(self))


def voice_figures(
    name: str, version: str, language: str, spoken: Sequence[Mapping[str, Spoken]],
    cpu_s: float = math.nan, failures: Iterable[str] = (),
) -> VoiceFigures:  # fmt: skip
    """`spoken`: each sentence, by the ways in which it was spoken. `cpu_s`: what all of it cost
    this machine."""
    whole = [each[WHOLE] for each in spoken]
    sound_us = _sound_us(whole)
    all_us = _sound_us([each for ways in spoken for each in ways.values()])
    pairs = [(each[BARE], each[WHOLE]) for each in spoken if BARE in each]
    return VoiceFigures(
        name, version, language, len(whole), Spread.of([each.first_us for each in whole]),
        sum(each.took_us for each in whole) / sound_us if sound_us else math.nan,
        cpu_s * 1e6 / all_us if all_us else math.nan,
        _median([with_.first_us / without.first_us for without, with_ in pairs]),
        _median([with_.took_us / without.took_us for without, with_ in pairs]),
        {way: _cpu_us([each[way] for each in spoken if way in each]) for way in WAYS if pairs},
        tuple(dict.fromkeys(failures))[:FAILURES_MAX],
    )  # fmt: skip


def _sound_us(spoken: Iterable[Spoken]) -> int:
    return sum(each.frames for each in spoken) * OPUS_FRAME_MS * 1_000


def _cpu_us(spoken: Sequence[Spoken]) -> float:
    return _median([each.cpu_us / each.frames for each in spoken if each.frames])


# Recognisers.


@dataclass(frozen=True, slots=True)
class Shown:
    """A transcript, when it came."""

    at_ms: float
    text: str
    final: bool
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """One recording, heard as it was said: its first word begins at `onset_ms`, its sound ends
    at `ended_ms`, and the recogniser was done at `done_ms`."""

    onset_ms: float
    ended_ms: float
    done_ms: float
    shown: tuple[Shown, ...]


def text_of(shown: Iterable[Shown]) -> str:
    """What was understood in the end."""
    return " ".join(each.text.strip() for each in shown if each.final and each.text.strip())


def first_ms(heard: Heard) -> float | None:
    """From the beginning of the first word to the first words that were shown."""
    found = [each.at_ms for each in heard.shown if _WORD.search(each.text)]
    return found[0] - heard.onset_ms if found else None


def final_ms(heard: Heard) -> float:
    """From the end of the sound until nothing more was to come."""
    return max(heard.done_ms - heard.ended_ms, 0.0)


def lags_ms(heard: Heard) -> list[float]:
    """Of each word whose end the recogniser says: how long after that it was first shown."""
    views = _views(heard.shown)
    lags, place = [], 0
    for final in (each for each in heard.shown if each.final):
        words = _words(final.text)
        ends = [word.end_ms for word in final.words for _ in _words(word.text)]
        if len(ends) == len(words):  # Where they do not match, nobody knows whose ends they are.
            for index, (word, end_ms) in enumerate(zip(words, ends, strict=True), place):
                at_ms = next(at for at, view in views if view[index : index + 1] == [word])
                lags.append(at_ms - end_ms)
        place += len(words)
    return lags


def _views(shown: Sequence[Shown]) -> list[tuple[float, list[str]]]:
    """All words that stand there, whenever something new came."""
    stands, views = list[str](), []
    for each in shown:
        words = [*stands, *_words(each.text)]
        views.append((each.at_ms, words))
        stands = words if each.final else stands
    return views


def _words(text: str) -> list[str]:
    return [found[0].casefold() for found in _WORD.finditer(text)]


@dataclass(frozen=True, slots=True)
class RecogniserFigures:
    """`first`: from the first word's beginning to the first words shown. `lag`: from a word's end
    to the moment when it is shown. `final`: from the end of the sound to the end of the
    transcript. Each on `live` recordings, heard as they were said. `real_time_factor`: what a
    second of sound takes when all of it is there; `cpu_factor`: what it costs this machine, which
    does not depend on what else that does. `errors` are those of `clips` recordings."""

    name: str
    version: str
    language: str
    live: int
    first: Spread
    lag: Spread
    final: Spread
    real_time_factor: float
    cpu_factor: float
    clips: int
    errors: Errors
    failures: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.clips > 0 and not self.failures

    def as_json(self) -> dict[str, object]:
        rate = self.errors.rate if self.errors.words else math.nan
        return _finite({**asdict(self), "word_error_rate": rate})


@dataclass(slots=True)
class Hearings:
    """What becomes of one recogniser's recordings, one after another."""

    heard: list[Heard] = field(default_factory=list)
    # (how long it took, how long the sound was), where all of it was there at once.
    at_once_ms: list[tuple[float, float]] = field(default_factory=list)
    # What that cost this machine.
    cpu_s: float = math.nan
    clips: int = 0
    errors: Errors = field(default_factory=Errors)
    failures: list[str] = field(default_factory=list)

    def figures(self, name: str, version: str, language: str) -> RecogniserFigures:
        firsts = [ms for each in self.heard if (ms := first_ms(each)) is not None]
        sound_ms = sum(sound for _, sound in self.at_once_ms)
        took_ms = sum(took for took, _ in self.at_once_ms)
        return RecogniserFigures(
            name, version, language, len(self.heard), _spread(firsts),
            _spread([ms for each in self.heard for ms in lags_ms(each)]),
            _spread([final_ms(each) for each in self.heard]),
            took_ms / sound_ms if sound_ms else math.nan,
            self.cpu_s * 1_000 / sound_ms if sound_ms else math.nan, self.clips, self.errors,
            tuple(dict.fromkeys(self.failures))[:FAILURES_MAX],
        )  # fmt: skip


# A whole turn.

PARTS = (
    "endpointing", "transcript", "first_token", "first_sentence", "first_audio", "first_packet",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """The silence between a question and its answer: as the caller heard it, as the server told
    it, and the parts that it told, in milliseconds. `filled`: a filler ended it."""

    heard_ms: float
    told_ms: int
    parts: Mapping[str, int]
    filled: bool = False

    @property
    def adds_up(self) -> bool:
        return sum(self.parts.values()) == self.told_ms


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """`parts` are spread over the turns, so they need not sum to the spread gap; those of
    `median`, the turn in the middle, do. `off`: by how much what the caller heard differs from
    what the server told. `adds_up`: the parts of every turn sum to its gap. `filled`: how many
    gaps a filler ended, because the answer took its time. `engines`: who answered, by role."""

    asked: int
    told: Spread
    heard: Spread
    off: Spread
    parts: Mapping[str, Spread]
    median: Mapping[str, int]
    adds_up: bool
    filled: int
    engines: Mapping[str, str]
    bills: int
    failures: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Every question was answered, and every millisecond of the silence has its place."""
        answered = self.told.count == self.asked > 0
        return answered and self.adds_up and self.bills == 1 and not self.failures

    def as_json(self) -> dict[str, object]:
        return _finite(asdict(self))


def turn_figures(
    asked: int, gaps: Sequence[Gap], engines: Mapping[str, str], bills: int,
    failures: Iterable[str] = (),
) -> TurnFigures:  # fmt: skip
    ordered = sorted(gaps, key=lambda gap: gap.told_ms)
    return TurnFigures(
        asked, _spread([gap.told_ms for gap in gaps]), _spread([gap.heard_ms for gap in gaps]),
        _spread([abs(gap.heard_ms - gap.told_ms) for gap in gaps]),
        {name: _spread([gap.parts[name] for gap in gaps]) for name in PARTS},
        dict(ordered[(len(ordered) - 1) // 2].parts) if ordered else {},
        all(gap.adds_up for gap in gaps), sum(gap.filled for gap in gaps), engines, bills,
        tuple(dict.fromkeys(failures))[:FAILURES_MAX],
    )  # fmt: skip


# What the server itself adds to each packet.


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing more around the engine, and what a packet costs with it, in microseconds of this
    process: where packets come in crowds, and where each is waited for."""

    name: str
    crowd_us: float
    single_us: float


@dataclass(frozen=True, slots=True)
class PathFigures:
    """A road of packets, the bare engine first; `each_ms`: how long one lasts."""

    name: str
    each_ms: int
    layers: tuple[Layer, ...]

    @property
    def added_us(self) -> Layer:
        """What all of it adds to the bare engine."""
        first, last = self.layers[0], self.layers[-1]
        return Layer(
            "together", last.crowd_us - first.crowd_us, last.single_us - first.single_us
        )

    def of_a_core(self, calls: int) -> float:
        """The share of a core that so many calls at once take on this road."""
        return self.added_us.crowd_us * calls / (self.each_ms * 1_000)

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "added": asdict(self.added_us)}


def _spread(values_ms: Sequence[float]) -> Spread:
    found = list(values_ms)
    p50_ms, p95_ms = percentile(found, 0.50), percentile(found, 0.95)
    return Spread(len(found), p50_ms, p95_ms, percentile(found, 1.0))


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan


def _finite(found: object) -> dict[str, object]:
    """JSON-ready: a figure that could not be measured is null."""
    clean = _clean(found)
    assert isinstance(clean, dict)
    return clean


def _clean(found: object) -> object:
    if isinstance(found, Mapping):
        return {str(name): _clean(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [_clean(each) for each in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
