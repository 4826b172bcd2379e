"""Function calling without a model: which tools a question is for, and what they answered.

The offline dialogues ask here first, so that a client can be built and tried without any key.
It is conservative: a tool is called when the client insists, or when what was said shares
telling words with the tool's name or description, and never for chatter. What the tools
answered is read aloud, once; then the lesson goes on.

Everything follows from the history: the same history asks for the same calls, under the same
ids. Pure.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..speech import (
    CallPiece,
    EngineSettings,
    Entry,
    FunctionCall,
    FunctionResult,
    Tool,
    Turn,
)
from .tool_arguments import arguments_for
from .tool_results import read_aloud
from .utterance import (
    ACTIONS,
    CHARS_MAX,
    GENERIC,
    STOP_WORDS,
    Utterance,
    stem,
    utterance,
    words_of_name,
)

CALLS_MAX = 8
PIECE_CHARS = 16
SCORE_MIN, SCORE_NAMED = 2, 100
PARTS_MAX = 12
_NAME_CHARS, _DESCRIPTION_CHARS = 100, 300

_PARTS = re.compile(
    r"(?<=[.!?;])\s+|,\s+(?:and\s+|и\s+)?"
    r"|\s+(?:and then|and also|and|then|also|а также|потом|и)\s+",
    re.IGNORECASE,
)
# Words that tools are named by and that mean something else here.
_IDIOMS = re.compile(
    r"\b(?:one more|another|next|this|last|first|every|each|any|some|long|same|all the) time",
    re.IGNORECASE,
)
# Examples in a description name things that the tool is not about.
_EXAMPLES = re.compile(r"(?:e\.g\.|i\.e\.|for example|such as|например|\().*", re.I | re.S)
_POLITE = re.compile(r"^\W*(?:(?:please|can you|could you|would you|now|пожалуйста)\W+)+", re.I)
_PLAIN = STOP_WORDS | GENERIC
_ASKING = frozenset("tool function call use".split())
_NUMBER = stem("number")
_WAITING = {
    "en": "I am still waiting for the answer.",
    "ru": "Я ещё жду ответа.",
}


@dataclass(frozen=True, slots=True)
class ToolTurn:
    """What tools have to do with a reply. `said`: what they answered, read aloud. `pieces`: the
    calls to make. `goes_on`: the dialogue has its own words to add."""

    said: str = ""
    pieces: tuple[CallPiece, ...] = ()
    goes_on: bool = True

    @property
    def outputs(self) -> tuple[str | CallPiece, ...]:
        """What to yield first."""
        said = f"{self.said} " if self.said and self.goes_on else self.said
        return (*filter(None, [said]), *self.pieces)


def tool_turn(history: Sequence[Entry], settings: EngineSettings) -> ToolTurn:
    """What is to be done about tools before the last entry of the history is answered."""
    question = _question(history)
    fresh = [read_aloud(result.output, settings.language) for result in question.results]
    said = " ".join(dict.fromkeys(fresh))
    # Whoever insists on a tool has been obeyed once there is an answer; calling again, and
    # again when that is answered, would never end.
    insisted = bool(settings.tool_named) or settings.tool_choice == "required"
    planned = () if settings.tool_choice == "none" else _plan(question, settings, insisted)
    if not question.new:
        planned = planned[question.made :] if not settings.parallel_tools else ()
    if planned:
        # One at a time: the answers are kept until the last of them is there.
        chosen = planned if settings.parallel_tools else planned[:1]
        said = said if question.new else ""
        return ToolTurn(said, tuple(_pieces(chosen, history)), goes_on=False)
    if question.new:
        return ToolTurn(said)
    if not said and question.made:
        said = _WAITING.get(settings.language.casefold()[:2], _WAITING["en"])
    return ToolTurn(said, goes_on=not said)


def without_tools(history: Sequence[Entry]) -> list[Turn]:
    """The turns in which the dialogue itself spoke, or is to speak."""
    kept, answered = list[Turn](), False
    for entry in history:
        match entry:
            case FunctionResult():
                answered = True
            case Turn(user, _, _, calls):
                if not calls and (user or not answered):
                    kept.append(entry)
                answered = False
    return kept


# The question.


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked last. `new`: nobody has tried to answer it yet. `made`: how many calls
    were made for it. `results`: what tools answered and nobody has said yet, oldest first."""

    words: str
    new: bool
    made: int
    results: tuple[FunctionResult, ...]


def _question(history: Sequence[Entry]) -> _Question:
    *before, last = history or (Turn("", ""),)
    words = last.user.strip() if isinstance(last, Turn) else ""
    asked, made, results = "", 0, list[FunctionResult]()
    for entry in reversed(before):
        match entry:
            case FunctionResult():
                results.append(entry)
            case FunctionCall():
                made += 1
            case Turn(user, agent, _, calls):
                made += len(calls)
                asked = user.strip()
                if asked or agent.strip():
                    break
    new = bool(words) or not made
    words = (words or asked * (not new))[:CHARS_MAX]
    return _Question(words, new, made, tuple(reversed(results)))


# Which tools it is for.


def _plan(
    question: _Question, settings: EngineSettings, insisted: bool
) -> tuple[tuple[Tool, str], ...]:
    """The calls a question asks for: tools, and their arguments as JSON text."""
    tools, said = settings.tools, utterance(question.words)
    named = next((tool for tool in tools if tool.name == settings.tool_named), None)
    if named:
        return ((named, _arguments(named, said)),)
    found = list(_asked_for(question.words, tools)) if said.tokens else []
    if not found and insisted and tools:
        best = max(tools, key=_Said.of(question.words).score)  # The first of equals.
        found = [(best, question.words)]
    calls = [(tool, _arguments(tool, utterance(text))) for tool, text in found]
    return tuple(dict.fromkeys(calls))[:CALLS_MAX]


def _asked_for(words: str, tools: Sequence[Tool]) -> Iterator[tuple[Tool, str]]:
    """The tools that the parts of a sentence are for, each with its words. A part that is for
    none belongs to the part before it."""
    joints = [(found.start(), found.end()) for found in _PARTS.finditer(words)][:PARTS_MAX]
    starts, ends = [0, *(end for _, end in joints)], [*(start for start, _ in joints), len(words)]
    parts = list(zip(starts, ends, strict=True))
    tools_of = [_best(tools, words[start:end]) for start, end in parts]
    if not any(tools_of):  # What is said of it may stand in several parts.
        parts, tools_of = [(0, len(words))], [_best(tools, words)]
    tool: Tool | None = None
    begun, ended = 0, 0
    for (start, end), found in zip(parts, tools_of, strict=True):
        if found and tool:
            yield tool, words[begun:ended]
            begun = start
        tool, ended = found or tool, end
    if tool:
        yield tool, words[begun:]


def _best(tools: Sequence[Tool], words: str) -> Tool | None:
    """The tool that these words are for; the first of equals."""
    said = _Said.of(words)
    best = max(tools, key=said.score, default=None)
    return best if best and said.score(best) >= SCORE_MIN else None


@dataclass(frozen=True, slots=True)
class _Said:
    """Words, and what they may tell of a tool. `first`: the stem they begin with."""

    words: Utterance
    heard: frozenset[str]
    first: str
    counts: bool
    asks: bool

    @classmethod
    def of(cls, text: str) -> _Said:
        words = utterance(_IDIOMS.sub("", text))
        first = utterance(_POLITE.sub("", words.text)).stems[:1]
        asks = any(token.word in _ASKING for token in words.tokens)
        heard = frozenset(words.telling_stems())
        return cls(words, heard, "".join(first), bool(words.numbers()), asks)

    def score(self, tool: Tool) -> int:
        """How much of what was said speaks of the tool: 2 for a telling word of its name, 1 for
        a verb or a word of its description; most of all its own name."""
        about = _about(tool)
        is_named = self.words.place_of(about.name) is not None
        if is_named and (len(about.name) > 1 or self.asks):
            return SCORE_NAMED
        score = 2 * len(about.nouns & self.heard) + len((about.verbs | about.others) & self.heard)
        counts = self.counts and _NUMBER in about.nouns | about.others
        return score + counts + (self.first in about.verbs)


@dataclass(frozen=True, slots=True)
class _About:
    """The stems of a tool's name, of its telling nouns, of its verbs, and of the other words of
    its description."""

    name: tuple[str, ...]
    nouns: frozenset[str]
    verbs: frozenset[str]
    others: frozenset[str]


@functools.lru_cache(1_024)
def _about(tool: Tool) -> _About:
    """A name in other letters than the description cannot be said in that language; there the
    first telling word of the description stands for the name."""
    name = words_of_name(tool.name[:_NAME_CHARS])
    described = utterance(_EXAMPLES.sub("", tool.description[:_DESCRIPTION_CHARS]))
    counted = {at for number in described.numbers() for at in range(number.first, number.end)}
    telling = [token.word for at, token in enumerate(described.tokens)
               if token.word not in _PLAIN and at not in counted]  # fmt: skip
    # The first word of a name may be a verb; the others are things.
    nouns = {word for place, word in enumerate(name)
             if word not in _PLAIN and (place or word not in ACTIONS)}  # fmt: skip
    foreign = [word for word in telling if not word.isascii() and word not in ACTIONS]
    if foreign or not nouns:
        first = foreign or [word for word in telling if word not in ACTIONS]
        nouns |= set(first[:1])
    names = frozenset(stem(word) for word in nouns if len(word) > 2)
    verbs = frozenset(stem(word) for word in (*name[:1], *telling) if word in ACTIONS) - names
    others = frozenset(stem(word) for word in telling if word not in ACTIONS and len(word) > 2)
    return _About(tuple(map(stem, name)), names, verbs, others - names - verbs)


def _arguments(tool: Tool, said: Utterance) -> str:
    """What names the tool is no value."""
    about = _about(tool)
    return arguments_for(tool.parameters, said, about.nouns | about.verbs)


# The calls.


def _pieces(
    calls: Sequence[tuple[Tool, str]], history: Sequence[Entry]
) -> Iterator[CallPiece]:
    ids = _new_ids(history)
    for (tool, arguments), call_id in zip(calls, ids, strict=False):
        yield CallPiece(call_id, tool.name, "")
        for at in range(0, len(arguments), PIECE_CHARS):
            yield CallPiece(call_id, tool.name, arguments[at : at + PIECE_CHARS])


def _new_ids(history: Sequence[Entry]) -> Iterator[str]:
    """Ids that follow from the history and are not in it."""
    known = {entry.call_id for entry in history if isinstance(entry, FunctionCall | FunctionResult)}
    known |= {c.call_id for entry in history if isinstance(entry, Turn) for c in entry.calls}
    seed = hashlib.sha256(repr(history).encode())
    for count in range(1 << 16):
        each = seed.copy()
        each.update(count.to_bytes(4))
        call_id = f"call_{each.hexdigest()[:20]}"
        if call_id not in known:
            yield call_id
