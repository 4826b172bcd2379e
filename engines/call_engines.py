"""The engines as one call sees them: each stands for all who can do the work, in their order.

What is shared by all calls is behind it: the engines themselves, and their health. A call's own
is only which engine has failed it lately, so that what broke for a sentence is not asked first
for the next, and which voices an engine turned out not to have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from . import roster
from .failover.dialogue import FailoverDialogue
from .failover.hearing import FailoverSpeechToText, HearingPatience
from .failover.speaking import FailoverTextToSpeech, SpeakingPatience
from .failover.work import Candidate, Terms
from .order import Order
from .roster import (
    CHAT,
    DIALOGUE,
    EMBEDDED_VOICE,
    SPEECH_TO_TEXT,
    TEXT_TO_SPEECH,
    EngineOptions,
)
from .speech import Dialogue, EngineError, Report, SpeechToText, TextToSpeech, unreported

Made = Callable[[str, str], Any]


class CallEngines:
    """Keeps `speech.Engines`. `made` gives an engine of a kind by its name. `live`: somebody
    listens; otherwise nobody is hurried, and no voice stands by that is not configured."""

    def __init__(
        self, options: EngineOptions, order: Order, made: Made, terms: Terms, *, live: bool = True
    ) -> None:
        self._options, self._order, self._made, self._terms = options, order, made, terms
        self._live = live

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText:
        """The recogniser for a language. Raises `EngineError` where nobody understands it."""
        found = self._candidates(SPEECH_TO_TEXT, name, language)
        patience = None if self._live else HearingPatience(None)
        return FailoverSpeechToText(found, self._told(report), patience)

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue:
        return FailoverDialogue(self._candidates(DIALOGUE, name), self._told(report))

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech:
        found = self._candidates(TEXT_TO_SPEECH, name)
        patience = None if self._live else SpeakingPatience(None, None)
        return FailoverTextToSpeech(found, self._told(report), patience)

    def _told(self, report: Report) -> Terms:
        return replace(self._terms, report=report)

    def _candidates(self, kind: str, name: str, language: str = "") -> list[Candidate[Any]]:
        names, trouble = self._order.candidates(kind, name, language)
        if not names:
            raise EngineError(trouble)
        if not self._live:
            wanted = {*self._order.configured(kind), name}
            names = [each for each in names if each != EMBEDDED_VOICE or each in wanted] or names
        return [self._candidate(kind, each, name) for each in names]

    def _candidate(self, kind: str, name: str, wanted: str) -> Candidate[Any]:
        line = roster.listing(kind, name)
        assert line is not None, "only engines that are there stand in order"
        version = line.version(self._options)
        if (kind, name) == (DIALOGUE, CHAT):  # It has a model for each name that means it.
            version = self._options.chat.model_of(wanted)
        return Candidate(
            name, version, partial(self._made, kind, name),
            languages=line.languages, patience_ms=line.patience_ms if self._live else None,
            continues=line.continues,
        )  # fmt: skip
