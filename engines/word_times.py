"""When the words of a spoken text begin, reckoned for a voice that does not say. Pure.

Each word gets a weight, the milliseconds it takes at an ordinary pace, by its sounds; digits
weigh what they are read out as. The pace of a voice is learned from what it has spoken. While
the sound comes, its silences are laid on the stops of the text: where a pause ends, the next
phrase begins, so that an error does not outlive its phrase.

The constants were fitted to the word events of eSpeak NG, whose pace is 1 by that.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .normalising import WayBack, normalise
from .speech import OPUS_FRAME_MS, WordTime

PACE_MIN, PACE_MAX = 0.3, 3.0
_VOICES_MAX = 256
# How much speech the memory of a pace is made of, and how much a first guess counts for.
_MEMORY_MS, _GUESS_MS = 60_000.0, 600.0
# Less speech than this says nothing about a pace.
_LEARNED_MS_MIN = 600.0

_LEAD_MS_MAX = 2_000
_PAUSE_MS_MIN = 80
# RMS of 16-bit samples: below both of these it is silent.
_SILENT_SHARE, _SILENT_RMS = 0.03, 12
# How long a pause is waited for where a stop is written.
_WAIT_SHARE, _WAIT_MS_MIN, _WAIT_MS_MAX = 0.15, 110.0, 750.0
# What may have become of the stops so far: so many readings are kept, each looking so far ahead.
_READINGS_MAX, _STOPS_AHEAD_MAX = 8, 6
# What a reading costs: a stop passed without a pause, by its kind; a pause without a stop, and
# each millisecond of it beyond the least; a phrase that took this much, and this share of itself,
# longer or shorter than expected.
_PASSED = (0.0, 0.6, 1.5)
_UNWRITTEN, _UNWRITTEN_PER_MS = 0.4, 1 / 120
# How long the pause at a stop is at least, by its kind, and what it costs that there is none.
_STOP_MS, _SHORT = (1.0, 140.0, 240.0), 1.5
_OFF_MS, _OFF_SHARE = 120.0, 0.15
# The less of the voice is known, the more a phrase may be off.
_OFF_SHARE_UNSURE, _UNSURE_MS, _KNOWN_MS_MAX = 0.5, 1_500.0, 8_000.0

# Chinese and Japanese have no spaces: each sign is a word.
_SIGN = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}](?:[^\s{_SIGN}]*[^\W_{_SIGN}])?")
_STOP = re.compile(r"[,;:()«»“”、，；：]|\s[-–—]\s")
_END = re.compile(r"[.!?…\n。！？]")
# Letters that are one sound, and those that are none.
_ENGLISH_ONE = re.compile(r"ch|sh|th|ph|wh|ck|gh|ng|qu|[aeiou]{2,3}|[aeo][wy]|[aeiou]r|([a-z])\1")
_ENGLISH_NONE = re.compile(r"(?<=[^aeiou\W].)e(?=s?$)|(?<=[^td])e(?=d$)")
_RUSSIAN_NONE = re.compile(r"[ьъ]")
_ENGLISH_WEAK = frozenset(
    """the a an of to in and that is was for on with as at by it its from or be are this which his
    her had has have but not they were he she we you i my""".split()
)
_SOUND_MS = {"en": 67.0, "ru": 63.5}
_WORD_MS = {"en": 79.0, "ru": 20.0}
_WEAK_MS = 71.0
_OTHER_SOUND_MS, _OTHER_WORD_MS, _SIGN_MS = 65.0, 40.0, 190.0
_WORD_MS_MIN = 40.0
# The last word before a pause is drawn out.
_LAST_OF_PHRASE_MS = 90.0

CLAUSE, SENTENCE = 1, 2


@dataclass(frozen=True, slots=True)
class Weighed:
    """A word of the text, how long it takes at an ordinary pace, and what stop follows: none,
    one within a sentence, or the end of one."""

    char_start: int
    char_end: int
    weight_ms: float
    stop: int = 0


def weigh(text: str, language: str) -> list[Weighed]:
    """The words of a text as it is written, in their order."""
    spoken = normalise(text, language)
    back, code = WayBack(spoken, text), language.lower()[:2]
    words: list[Weighed] = []
    end = 0
    for found in _WORD.finditer(spoken.text):
        if words and (stop := _stop_in(spoken.text[end : found.start()])):
            words[-1] = replace(
                words[-1], weight_ms=words[-1].weight_ms + _LAST_OF_PHRASE_MS, stop=stop
            )
        weight_ms = _weight_ms(found[0], code)
        place = back.original(found.start(), found.end())
        if place is not None:
            words.append(Weighed(*place, weight_ms))
        elif words:
            words[-1] = replace(words[-1], weight_ms=words[-1].weight_ms + weight_ms)
        end = found.end()
    if words:
        words[-1] = replace(words[-1], weight_ms=words[-1].weight_ms + _LAST_OF_PHRASE_MS)
    return words


def _stop_in(between: str) -> int:
    if _END.search(between):
        return SENTENCE
    return CLAUSE if _STOP.search(between) else 0


def _weight_ms(word: str, language: str) -> float:
    word = word.lower()
    if not word.isascii() and "\u3040" <= word[0] <= "\u9fff":
        return _SIGN_MS
    if language == "en" and word.isascii():
        sounds = _ENGLISH_ONE.sub("x", _ENGLISH_NONE.sub("", word))
        weak = _WEAK_MS if word in _ENGLISH_WEAK else 0.0
    else:
        sounds, weak = _RUSSIAN_NONE.sub("", word), 0.0
    letters = sum(map(str.isalnum, sounds))
    each, whole = _SOUND_MS.get(language, _OTHER_SOUND_MS), _WORD_MS.get(language, _OTHER_WORD_MS)
    return max(each * letters + whole - weak, _WORD_MS_MIN)


class Paces:
    """What is known of the pace of each voice: milliseconds per millisecond of weight. Keeps
    the voices used last."""

    def __init__(self) -> None:
        self._heard: OrderedDict[tuple[str, str, float], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heard)

    def pace(self, voice: str, language: str, speed: float) -> tuple[float, float]:
        """What was learned at this speed, else what the speed itself makes likely; and the
        weight of the speech that is known by."""
        took_ms, weight_ms = self._heard.get((voice, language, speed), (0.0, 0.0))
        guess = 1.0 / max(speed, PACE_MIN)
        known_ms = weight_ms + _GUESS_MS
        return (took_ms + _GUESS_MS * guess) / known_ms, known_ms

    def learn(
        self, voice: str, language: str, speed: float, took_ms: float, weight_ms: float
    ) -> None:
        """Speech of this weight took so long. What is too short or absurd teaches nothing."""
        if weight_ms < _LEARNED_MS_MIN or not PACE_MIN <= took_ms * speed / weight_ms <= PACE_MAX:
            return
        before_ms, before = self._heard.pop((voice, language, speed), (0.0, 0.0))
        kept = min(1.0, _MEMORY_MS / (before + weight_ms))
        learned = (before_ms + took_ms) * kept, (before + weight_ms) * kept
        self._heard[voice, language, speed] = learned
        if len(self._heard) > _VOICES_MAX:
            self._heard.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the pauses so far may have meant: `word` began at `at_ms`, after the last of them.
    Of the phrases before it is known what they weigh and how long they took."""

    cost: float
    word: int
    at_ms: float
    took_ms: float = 0.0
    weight_ms: float = 0.0


class Estimate:
    """The times of one piece's words, while its sound goes by.

    Ask `before` for each 20 ms of sound, and `rest` for the last of it. A word is given at the
    latest before the sound it begins in, and times never run backwards.
    """

    def __init__(
        self, words: Sequence[Weighed], pace: float, known_ms: float = _GUESS_MS
    ) -> None:
        self._words, self._pace = words, pace
        self._known_ms = min(known_ms, _KNOWN_MS_MAX)
        self._weights = [0.0, *itertools.accumulate(word.weight_ms for word in words)]
        self._told = 0
        self._last_ms = 0
        self._readings: list[_Reading] = []  # The likeliest first; none before the first sound.
        # Words from here on wait for a pause, or for its time to be over.
        self._awaiting = self._after_stop(0)
        self._loudest = 0
        self._silent_since: int | None = None
        self._loud_until = 0

    def before(self, at_ms: int, rms: int) -> list[WordTime]:
        """The words to be told before the 20 ms of sound at `at_ms`, which are so loud."""
        self._loudest = max(self._loudest, rms)
        silent = rms <= max(self._loudest * _SILENT_SHARE, _SILENT_RMS)
        if not self._readings:
            if silent and at_ms < _LEAD_MS_MAX:
                return []
            self._readings = [_Reading(0.0, 0, at_ms)]
        if silent:
            self._silent_since = at_ms if self._silent_since is None else self._silent_since
        else:
            self._loud_until = at_ms + OPUS_FRAME_MS
            if self._silent_since is not None:
                self._pause(self._silent_since, at_ms)
            self._silent_since = None
            self._pass_stops(at_ms)
        return self._due(at_ms, at_ms + OPUS_FRAME_MS, self._awaiting)

    def rest(self, at_ms: int, rms: int) -> list[WordTime]:
        """As `before`, for the last of the sound: all the words that are left."""
        words = self.before(at_ms, rms)
        if not self._readings:
            self._readings = [_Reading(0.0, 0, at_ms)]
        return words + self._due(at_ms, None, len(self._words))

    def heard(self) -> tuple[float, float]:
        """How long the speech took so far, without its pauses, and what it weighs: to be asked
        when all is over."""
        if not self._readings:
            return 0.0, 0.0
        best = self._readings[0]
        took_ms = max(self._loud_until - best.at_ms, 0.0)
        return best.took_ms + took_ms, best.weight_ms + self._weight(best.word, len(self._words))

    # Where we are.

    def _weight(self, first: int, end: int) -> float:
        return self._weights[end] - self._weights[first]

    def _pace_of(self, reading: _Reading) -> float:
        """What was believed of the pace, corrected by the phrases heard."""
        known_ms = self._known_ms + reading.weight_ms
        return (reading.took_ms + self._known_ms * self._pace) / known_ms

    def _expected_ms(self, word: int) -> float:
        """When a word begins by the likeliest reading; one before its last pause began there."""
        best = self._readings[0]
        return best.at_ms + self._pace_of(best) * max(self._weight(best.word, word), 0.0)

    def _due(self, at_ms: int, until_ms: int | None, end: int) -> list[WordTime]:
        """The words up to `end` that are expected before `until_ms`."""
        due = []
        latest_ms = at_ms + OPUS_FRAME_MS - 1
        while self._told < end:
            expected_ms = self._expected_ms(self._told)
            if until_ms is not None and expected_ms >= until_ms:
                break
            self._last_ms = max(self._last_ms, at_ms, int(min(expected_ms, latest_ms)))
            word = self._words[self._told]
            due.append(WordTime(word.char_start, word.char_end, self._last_ms, estimated=True))
            self._told += 1
        return due

    def _pause(self, began_ms: int, ended_ms: int) -> None:
        """A silence is over: the next phrase begins, or the speaker took breath, or it was a
        sound that is closed. Each reading of what was before is read on in all these ways."""
        if ended_ms - began_ms < _PAUSE_MS_MIN:
            return
        best: dict[int, _Reading] = {}
        for reading in self._readings:
            for longer in self._read_on(reading, began_ms, ended_ms):
                if longer.word not in best or longer.cost < best[longer.word].cost:
                    best[longer.word] = longer
        self._readings = sorted(best.values(), key=lambda each: each.cost)[:_READINGS_MAX]
        self._awaiting = self._after_stop(self._readings[0].word)

    def _read_on(self, reading: _Reading, began_ms: int, ended_ms: int) -> Iterator[_Reading]:
        took_ms, pace = began_ms - reading.at_ms, self._pace_of(reading)
        # Who speaks fast pauses shortly.
        pause_ms = (ended_ms - began_ms) / pace
        unwritten = _UNWRITTEN + max(pause_ms - _PAUSE_MS_MIN, 0.0) * _UNWRITTEN_PER_MS
        yield replace(
            reading, cost=reading.cost + unwritten, at_ms=reading.at_ms + ended_ms - began_ms
        )
        unsure = _UNSURE_MS / (_UNSURE_MS + self._known_ms + reading.weight_ms)
        share = _OFF_SHARE + _OFF_SHARE_UNSURE * unsure
        word, passed = reading.word, 0.0
        for _ in range(_STOPS_AHEAD_MAX):
            word = self._after_stop(word)
            if word >= len(self._words):
                return
            weight_ms = self._weight(reading.word, word)
            expected_ms = pace * weight_ms
            off = abs(took_ms - expected_ms) / (_OFF_MS + share * expected_ms)
            least_ms = _STOP_MS[self._words[word - 1].stop]
            short = _SHORT * max(1.0 - pause_ms / least_ms, 0.0)
            yield _Reading(
                reading.cost + passed + off + short, word, ended_ms,
                reading.took_ms + took_ms, reading.weight_ms + weight_ms,
            )  # fmt: skip
            passed += _PASSED[self._words[word - 1].stop]

    def _pass_stops(self, at_ms: int) -> None:
        """A stop that no pause was heard at is passed once its time is over."""
        while self._awaiting < len(self._words):
            expected_ms = self._expected_ms(self._awaiting)
            share = (expected_ms - self._readings[0].at_ms) * _WAIT_SHARE
            if at_ms <= expected_ms + min(max(share, _WAIT_MS_MIN), _WAIT_MS_MAX):
                return
            self._awaiting = self._after_stop(self._awaiting)

    def _after_stop(self, word: int) -> int:
        """The first word after the next stop; beyond the last where none comes."""
        while word < len(self._words) and not self._words[word].stop:
            word += 1
        return min(word + 1, len(self._words))
