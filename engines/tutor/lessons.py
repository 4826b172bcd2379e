"""What a lesson is made of. The words themselves stand in `lesson_en` and `lesson_ru`.

A lesson is a list of steps. Each step teaches one small thing, asks one question, and holds
its own hint, its own further example, and the answer as the tutor would explain it, worded so
that it is right whatever the learner said. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Intent(enum.Enum):
    """What a learner may want besides answering."""

    GOODBYE = "goodbye"
    REPEAT = "repeat"
    SLOWER = "slower"
    FASTER = "faster"
    NORMAL = "normal"
    WAIT = "wait"
    CONTINUE = "continue"
    SKIP = "skip"
    UNSURE = "unsure"
    HINT = "hint"
    EXAMPLE = "example"
    WHERE = "where"
    WHO = "who"
    HELP = "help"
    RESTART = "restart"
    WELLBEING = "wellbeing"
    THANKS = "thanks"
    HELLO = "hello"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Step:
    """One small thing to learn. Every string in a tuple is one short sentence.

    `choices` are what may be answered; none means that any sentence will do. `ask` is the
    question alone, fit to be asked again."""

    name: str
    teach: tuple[str, ...]
    ask: str
    choices: tuple[str, ...]
    hint: str
    example: str
    explain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the trade that a learner may ask about."""

    names: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Lines:
    """What the tutor says between the steps. A tuple holds wordings to choose from in turn;
    `{}` is replaced by what the field's comment says."""

    heard: tuple[str, ...]  # {}: the words the recogniser gave.
    confirm: tuple[str, ...]
    heard_two: str  # {}: two or more choices.
    which: str
    nothing_heard: tuple[str, ...]
    unsure_of_it: tuple[str, ...]
    choose: str  # {}: the choices.
    say_again: tuple[str, ...]
    never_mind: tuple[str, ...]
    thanks_for_answer: tuple[str, ...]
    my_answer: tuple[str, ...]
    begin: str
    no_hurry: tuple[str, ...]
    take_your_time: tuple[str, ...]
    stopped: str
    repeat: tuple[str, ...]
    slower: str
    slowest: str
    faster: str
    fastest: str
    normal: str
    skip: tuple[str, ...]
    unsure: tuple[str, ...]
    no_hint: str
    where: str  # {step}, {steps}, {name}.
    where_ready: str
    where_done: str
    who: tuple[str, ...]
    help: tuple[str, ...]
    restart: str
    wellbeing: str
    welcome: str
    hello: str
    resume: tuple[str, ...]
    still_here: str
    not_again: str
    done_no: str
    goodbye: tuple[str, ...]
    gone: str
    either: str  # The word "or".


@dataclass(frozen=True, slots=True)
class Script:
    """A whole lesson in one language."""

    language: str
    quotes: tuple[str, str]
    greeting: tuple[str, ...]
    ready: str
    steps: tuple[Step, ...]
    closing: tuple[str, ...]
    once_more: str
    facts: tuple[str, ...]
    lines: Lines
    terms: tuple[Term, ...]
    asks_meaning: tuple[str, ...]
    # Of two that fit equally well the first is meant.
    intents: Mapping[Intent, tuple[str, ...]]
    # Words worth listening for at any time.
    controls: tuple[str, ...]

    def quoted(self, words: str) -> str:
        return f"{self.quotes[0]}{words}{self.quotes[1]}"

    def offered(self, choices: tuple[str, ...]) -> str:
        """The choices as one reads them aloud: "this, that or the other"."""
        *most, last = choices
        return f"{', '.join(most)} {self.lines.either} {last}" if most else last
