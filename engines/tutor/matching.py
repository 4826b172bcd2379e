"""Is this the word that was meant? For ears that mishear every third word.

Two words are alike when they are spelled nearly the same or sound the same. Being strict
matters more than being clever here: to take "flower" for "slower" annoys a learner more than
to ask once again. Pure.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SPELLINGS = (
    ("tch", "j"), ("dge", "j"), ("sch", "j"), ("ch", "j"), ("sh", "j"), ("ph", "f"), ("ck", "k"),
    ("gh", ""), ("wr", "r"), ("kn", "n"), ("qu", "k"), ("ce", "s"), ("ci", "s"), ("cy", "s"),
)  # fmt: skip
# One letter for each family of sounds that a weak recogniser confuses; vowels are dropped.
_SOUNDS = str.maketrans(
    {
        **dict.fromkeys("aeiouyhw'’-аеёиоуыэюяйьъ", ""),
        **dict.fromkeys("cq", "k"), "g": "k", "d": "t", "z": "s", "v": "f", "b": "p", "x": "ks",
        "б": "п", "в": "ф", "г": "к", "д": "т", "ж": "ш", "з": "с", "щ": "ш",
    }
)  # fmt: skip
_NEGATIONS = {"not", "don't", "dont", "never", "не"}


@functools.lru_cache(4_096)
def words_of(text: str) -> tuple[str, ...]:
    """The words in small letters, without punctuation; ё is written as е."""
    plain = text.casefold().replace("ё", "е").replace("’", "'")
    return tuple(_WORD.findall(plain))


def sound(word: str) -> str:
    """The consonants one would still hear through a wall."""
    for spelling, letter in _SPELLINGS:
        word = word.replace(spelling, letter)
    letters = word.translate(_SOUNDS)
    return re.sub(r"(.)\1+", r"\1", letters)


@functools.lru_cache(16_384)  # The same few phrases are compared again at every turn.
def alike(one: str, other: str) -> bool:
    """Both words in the form that `words_of` gives."""
    if one == other:
        return True
    shorter = min(len(one), len(other))
    if one + "s" == other or other + "s" == one:
        return shorter >= 4
    if shorter < 5 or abs(len(one) - len(other)) > 3:
        return False
    # The matcher is not symmetric by itself; in a fixed order it is.
    ratio = difflib.SequenceMatcher(None, min(one, other), max(one, other), False).ratio()
    if one[0] == other[0] and ratio >= 0.83:
        return True
    heard = sound(one)
    return len(heard) >= 3 and ratio >= 0.5 and heard == sound(other)


def place_of(phrase: Sequence[str], words: Sequence[str]) -> int | None:
    """Where the phrase begins among the words, word by word alike; None when it is absent
    or stands right after a "not"."""
    if not phrase:
        return None
    for at in range(len(words) - len(phrase) + 1):
        window = words[at : at + len(phrase)]
        if all(alike(a, b) for a, b in zip(phrase, window, strict=True)):
            negated = at > 0 and words[at - 1] in _NEGATIONS
            return None if negated else at
    return None


def fit(phrases: Iterable[str], words: Sequence[str]) -> int:
    """How well a short utterance says one of the phrases; 0 when it says none.

    Twice the letters that are said, and one more when they are said exactly, so that of two
    commands the longer is meant, and the exact one before the one that merely sounds like it.
    A phrase counts only where it is most of what was said: a long sentence that happens to
    hold "again" or "next" is no command."""
    best = 0
    for phrase in map(words_of, phrases):
        letters = sum(map(len, phrase))
        room = len(phrase) + (1 if letters <= 4 else 3 * len(phrase))
        at = place_of(phrase, words) if len(words) <= room else None
        if at is not None:
            said = sum(map(len, words[at : at + len(phrase)]))
            best = max(best, 2 * said + _contains(phrase, words))
    return best


def named(choices: Iterable[str], words: Sequence[str]) -> tuple[str, ...]:
    """The choices that the utterance names, in the order they are offered. A word that is
    exactly one choice is not also taken for another that merely sounds like it."""
    choices = tuple(choices)
    exact = {c for c in choices if _contains(words_of(c), words)}
    spent = {word for choice in exact for word in words_of(choice)}
    rest = [word for word in words if word not in spent]
    return tuple(c for c in choices if c in exact or place_of(words_of(c), rest) is not None)


def _contains(phrase: Sequence[str], words: Sequence[str]) -> bool:
    size = len(phrase)
    return any(tuple(words[at : at + size]) == tuple(phrase) for at in range(len(words)))


def clip(text: str, words_max: int = 9) -> str:
    """What was heard, fit to be said back: words only, the first few of them."""
    words = _WORD.findall(text.replace("’", "'"))
    kept, letters = [], 0
    for word in words[:words_max]:
        letters += len(word) + 1
        if letters > 80:
            break
        kept.append(word)
    if not kept and words:
        kept = [words[0][:40]]
    return " ".join(kept) + (" …" if len(kept) < len(words) else "")
