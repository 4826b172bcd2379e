"""When the words of a text begin, told by when its sounds do. Pure.

A neural voice is given sounds (phonemes), with a space between words, and may say for how long
it held each of them. But who turned the text into sounds ran some words together ("of the"),
and made several of others ("21"). So each word is also sounded alone, and the groups of sounds
are dealt out to the words so that they fit those best; a word in the middle of a group begins
after as many sounds as the words before it have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Further apart than this, words and groups have nothing to do with each other.
APART_MAX = 12
# As many words in one group, or groups of one word, are looked at.
TOGETHER_MAX = 6
# A word without sound, or a sound without word, is as rare as two and a half sounds too many.
_NOTHING = 6.0
WORD = re.compile(r"\w+(?:['’.\-]\w+)*")


@dataclass(frozen=True, slots=True)
class Sounding:
    """One phoneme, a space or a mark, and when it begins."""

    phoneme: str
    start_ms: int


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text lie: first character, and the one behind the last."""
    return [found.span() for found in WORD.finditer(text)]


def starts_ms(alone: Sequence[str], soundings: Sequence[Sounding]) -> list[int | None]:
    """When each word begins; None for a word that has no sound. `alone`: the sounds of each word
    when it is said by itself, of which only the numbers count."""
    groups = list(_groups(soundings))
    lengths = [max(1, _length(word)) for word in alone]
    found: list[int | None] = [None] * len(lengths)
    for words, dealt in _dealt(lengths, [len(group) for group in groups]):
        sounds = [sound for group in groups[dealt.start : dealt.stop] for sound in group]
        total, before = sum(lengths[word] for word in words), 0
        for word in words:
            if sounds:
                found[word] = sounds[before * len(sounds) // total].start_ms
            before += lengths[word]
    return found


def _length(phonemes: str) -> int:
    return sum(map(_is_sound, phonemes))


def _is_sound(phoneme: str) -> bool:
    return any(map(str.isalpha, phoneme))


def _groups(soundings: Sequence[Sounding]) -> Iterator[list[Sounding]]:
    """The sounds between spaces, without marks; the stress before a sound belongs to it."""
    group: list[Sounding] = []
    begun: int | None = None
    for sounding in soundings:
        if sounding.phoneme.isspace():
            if group:
                yield group
            group, begun = [], None
        elif _is_sound(sounding.phoneme):
            start_ms = sounding.start_ms if begun is None else begun
            group.append(Sounding(sounding.phoneme, start_ms))
            begun = None
        elif sounding.phoneme in "ˈˌ" and begun is None:
            begun = sounding.start_ms
    if group:
        yield group


def _dealt(words: Sequence[int], groups: Sequence[int]) -> list[tuple[range, range]]:
    """Which words share which groups, so that their lengths differ least: several words in one
    group, several groups of one word, or one without the other."""
    best: dict[tuple[int, int], tuple[float, int, int]] = {(0, 0): (0.0, 0, 0)}
    for word in range(len(words) + 1):
        for group in range(len(groups) + 1):
            if (word, group) not in best:
                continue
            cost = best[word, group][0]
            for count, dealt in _moves(len(words) - word, len(groups) - group):
                wanted = sum(words[word : word + count])
                made = sum(groups[group : group + dealt])
                price = float((wanted - made) ** 2) if count and dealt else _NOTHING
                # Of two that fit alike, the plain one.
                price += 0.1 * (abs(count - 1) + abs(dealt - 1))
                place = (word + count, group + dealt)
                if _is_near(place, len(words), len(groups)) and (
                    place not in best or cost + price < best[place][0]
                ):
                    best[place] = (cost + price, count, dealt)
    return _way_back(best, (len(words), len(groups)))


def _moves(words: int, groups: int) -> Iterator[tuple[int, int]]:
    for count in range(min(words, TOGETHER_MAX) + 1):
        for dealt in range(min(groups, TOGETHER_MAX) + 1):
            if (count, dealt) != (0, 0) and (count < 2 or dealt < 2):
                yield count, dealt


def _is_near(place: tuple[int, int], words: int, groups: int) -> bool:
    return abs(place[0] - place[1]) <= APART_MAX + abs(words - groups)


def _way_back(
    best: dict[tuple[int, int], tuple[float, int, int]], place: tuple[int, int]
) -> list[tuple[range, range]]:
    way: list[tuple[range, range]] = []
    while place != (0, 0):
        _, count, dealt = best[place]
        word, group = place[0] - count, place[1] - dealt
        way.append((range(word, place[0]), range(group, place[1])))
        place = (word, group)
    return way[::-1]
