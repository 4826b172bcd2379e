"""Who is asked for a role, in which order, and what a name that is not ours means.

A role's engines are a list in the order of preference, "openai,whisper": the first that can do
the work does it, and the others stand by. The embedded voice stands by behind every list of
voices, so that there is always somebody to say that something went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import roster
from .roster import (
    AUTO,
    CHAT,
    DIALOGUE,
    EMBEDDED_VOICE,
    OURS,
    SPEECH_TO_TEXT,
    STAND_IN,
    TEXT_TO_SPEECH,
    EngineOptions,
    Listing,
)
from .speech import EngineError


class NoSuchModel(EngineError):
    """A model's name that is ours, and cannot be had here or does something else."""


class Order:
    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        # What a client may ask for by name.
        ours = (name for name in roster.DIALOGUES if self.offers(DIALOGUE, name))
        own = (name for name in self.configured(DIALOGUE) if name not in roster.DIALOGUES)
        self.dialogues = (*ours, *own, *options.chat.models)

    def configured(self, kind: str) -> tuple[str, ...]:
        return roster.split(getattr(self._options, kind))

    def offers(self, kind: str, name: str) -> bool:
        """Whether clients may ask for this engine. One that costs its operator money, or only
        stands in for another, is there only where the configuration names it."""
        if name in self.configured(kind):
            return name != AUTO
        line = roster.TABLES[kind].get(name)
        return line is not None and line.owner == OURS and name != STAND_IN

    def is_usable(self, kind: str, name: str) -> bool:
        line = roster.listing(kind, name)
        return line is not None and not line.missing(self._options)

    def dialogue_of(self, name: str) -> str:
        """Which dialogue a client's name means; empty: none of ours."""
        if name in self._options.chat.models:
            return CHAT
        return name if name in self.dialogues else ""

    def candidates(self, kind: str, name: str, language: str = "") -> tuple[list[str], str]:
        """Who can do this work here, in the order in which they are asked; and, where nobody
        can, a sentence that says what to do."""
        usable, trouble = list[str](), ""
        for each in dict.fromkeys(self._ordered(kind, name)):
            line = roster.listing(kind, each)
            why = "" if line is None else self._why_not(line, language)
            if line is not None and not why:
                usable.append(each)
            elif each == name:
                return [], why  # Somebody wants exactly this one.
            trouble = trouble or why
        return usable, trouble or f"no engine is configured for {name[:40]!r}"

    def _why_not(self, line: Listing, language: str) -> str:
        why = line.missing(self._options)
        return why or ("" if not language or line.understands(language) else _unheard(language))

    def _ordered(self, kind: str, name: str) -> Iterable[str]:
        """The engines that a name or a list asks for, and behind them the configured ones."""
        if kind == DIALOGUE:
            wanted = list(filter(None, map(self.dialogue_of, roster.split(name))))
        else:
            wanted = [each for each in roster.split(name) if self.offers(kind, each)]
        ordered = dict.fromkeys([*wanted, *self.configured(kind)])
        if kind == TEXT_TO_SPEECH and STAND_IN not in ordered:
            ordered[EMBEDDED_VOICE] = None
        for each in ordered:
            yield from self._auto() if (kind, each) == (SPEECH_TO_TEXT, AUTO) else (each,)

    def _auto(self) -> tuple[str, ...]:
        return ("whisper", "sphinx") if self.is_usable(SPEECH_TO_TEXT, "whisper") else ("sphinx",)

    # For people, and for files.

    def hears(self, name: str, language: str) -> tuple[str, str]:
        """Which recogniser a name means for a language, and a sentence about it for people.

        A name that is not ours means the configured ones. Empty: nobody understands it, and
        the sentence says what to do.
        """
        names, trouble = self.candidates(SPEECH_TO_TEXT, name, language)
        if not names:
            return "", trouble
        line = roster.listing(SPEECH_TO_TEXT, names[0])
        return names[0], line.notice if line is not None else ""

    def named(self, kind: str, name: str) -> str:
        """The engine of a kind ("speech_to_text" or "text_to_speech") that a client's name of
        a model means: one of ours, or the configured ones for the names of other houses. Raises
        `NoSuchModel` for a name of ours that is of another kind, or is not offered here."""
        default: str = getattr(self._options, kind)
        name = self._options.audio_models.get(name, name) or default
        if name == default:
            return name
        if name in roster.TABLES[kind]:
            # Who asks for weights that are not here is told how to fetch them, by the recogniser.
            if not self.offers(kind, name):
                raise NoSuchModel(f"the model {name!r} is not available on this server")
            return name
        if name in {*roster.EARS, *roster.VOICES, *self.dialogues}:
            raise NoSuchModel(f"the model {name[:40]!r} does {_OTHER_KINDS[kind]}")
        return default


def _unheard(language: str) -> str:
    title = roster.TITLES.get(language, f"This language ({language[:10]})")
    return (
        f"{title} can be spoken but not heard yet: recognition needs Whisper's "
        "weights (voice-server models pull base). Typing works."
    )


_OTHER_KINDS = {
    SPEECH_TO_TEXT: "not turn speech into text", TEXT_TO_SPEECH: "not turn text into speech",
}  # fmt: skip
