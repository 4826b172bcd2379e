"""What a few words tell about the floor. Pure.

Two questions: does the listener merely nod ("mm-hm"), and has the speaker more to say?
"""

from __future__ import annotations

import re

_BACKCHANNELS = frozenset(
    "ah aha eh er erm hm hmm huh mhm mm mmm mhmm mmhm mmhmm oh okay ok right sure uh uhhuh um "
    "umhm yeah yep yes а ага да м мм ммм мгм мхм ну о ой так угу ух хм э эм эээ".split()
)
_BACKCHANNEL_WORDS_MAX = 3
# No English or Russian sentence ends with one of these.
_LEADS_ON = frozenset(
    "a an and are as at because but by for from had has have he her his i if in into is its like "
    "my of on or our she so than that the their they this to uh um was we were when where which "
    "who with would you your "
    "без в весь для до и из или к когда который мой на но о об от по потому про с свой со так "
    "твой то у что чтобы э эм я".split()
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = (".", "!", "?", "…")


def is_backchannel(text: str) -> bool:
    """Whether these words say only that the speaker is listening, or say nothing."""
    words = [word.replace("-", "").replace("'", "") for word in _WORD.findall(text.lower())]
    return len(words) <= _BACKCHANNEL_WORDS_MAX and all(word in _BACKCHANNELS for word in words)


def is_punctuated(text: str) -> bool:
    """Whether the recogniser that wrote this sets sentence ends."""
    return any(mark in text for mark in _SENTENCE_END)


def without(words: str, taken: str) -> str:
    """The words without the first stretch of them that is `taken`."""
    found = re.search(rf"(?<!\S){re.escape(taken)}(?!\S)", words) if taken else None
    if found is None:
        return words
    return f"{words[: found.start()].rstrip()} {words[found.end() :].lstrip()}".strip()


def alike(some: str, others: str) -> bool:
    """Whether they are the same words, however they are written."""
    return _WORD.findall(some.casefold()) == _WORD.findall(others.casefold())


def sounds_unfinished(text: str, *, punctuated: bool) -> bool:
    """Whether more words will probably follow these.

    `punctuated`: the recogniser sets sentence ends, so a missing one tells something. One
    that never does is judged by the last word alone, else every pause would be a long one.
    """
    text = text.strip()
    if not text or text.endswith(_SENTENCE_END):
        return False
    if text[-1] in ",;:-—" or punctuated:
        return True
    words = _WORD.findall(text.lower())
    return bool(words) and words[-1] in _LEADS_ON
