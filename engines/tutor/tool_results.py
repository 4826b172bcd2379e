"""What a tool answered, as one reads it aloud: `{"temperature": 21}` is "Temperature: 21." Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .utterance import words_of_name

CHARS_MAX = 300
_PARTS_MAX = 12
_DEPTH_MAX = 4
_READ_CHARS_MAX = 50_000

_Words = dict[str | bool | None, str]
_WORDS: dict[str, _Words] = {
    "en": {"done": "Done", True: "yes", False: "no", None: "nothing", "and": "and"},
    "ru": {"done": "Готово", True: "да", False: "нет", None: "ничего", "and": "и"},
}


def read_aloud(output: str, language: str) -> str:
    """One short sentence; never empty."""
    words = _WORDS["ru" if language.casefold()[:2] == "ru" else "en"]
    text = output.strip()[:_READ_CHARS_MAX]
    try:
        told: object = json.loads(text)
    except (ValueError, RecursionError):
        told = text
    if told in ("", None, {}, []) and not isinstance(told, bool):
        return f"{words['done']}."
    try:
        said = ", ".join(_parts("", told, words, 0))
    except RecursionError:
        said = text
    return _as_sentence(said or words["done"])


def _parts(name: str, value: object, words: _Words, depth: int) -> Iterator[str]:
    """The values, each behind its name."""
    label = f"{name}: " if name else ""
    if isinstance(value, dict) and depth < _DEPTH_MAX:
        for key, each in list(value.items())[:_PARTS_MAX]:
            yield from _parts(f"{name} {_named(key)}".strip(), each, words, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH_MAX:
        some = value[:_PARTS_MAX]
        if any(isinstance(each, dict | list) for each in some):
            for each in some:
                yield from _parts("", each, words, depth + 1)
        else:
            *most, last = [_said(each, words) for each in some] or [words[None]]
            listed = f"{', '.join(most)} {words['and']} {last}" if most else last
            yield f"{label}{listed}"
    else:
        yield f"{label}{_said(value, words)}"


def _said(value: object, words: _Words) -> str:
    if value is None or isinstance(value, bool):
        return words[value]
    return " ".join(str(value).split())


def _named(key: str) -> str:
    return " ".join(words_of_name(key))


def _as_sentence(said: str) -> str:
    said = " ".join(said.split())
    if len(said) > CHARS_MAX:
        said = said[:CHARS_MAX].rsplit(" ", 1)[0].rstrip(",;:.") + "…"
    said = said[:1].upper() + said[1:]
    return said if said.endswith((".", "!", "?", "…")) else f"{said}."
