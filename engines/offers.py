"""What can be chosen here, told to clients: models, languages, voices, and how the engines are.

A superset of OpenAI's list of models: what is configured and can be used on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import aliases, roster
from .order import Order
from .roster import AUTO, DIALOGUE, LANGUAGES, OURS, TEXT_TO_SPEECH, EngineOptions
from .speech import EngineSettings

Health = Callable[[str, str], Mapping[str, object]]


class Offers:
    """`made` gives an engine of a kind by its name; `health` how it has been doing."""

    def __init__(
        self, options: EngineOptions, order: Order, made: Callable[[str, str], Any],
        health: Health,
    ) -> None:  # fmt: skip
        self._options, self._order, self._made, self._health = options, order, made, health

    def describe(self, settings: EngineSettings, end_of_turn: str) -> Mapping[str, object]:
        """What these settings mean, for people: names, and an honest notice."""
        heard, notice = self._order.hears(settings.speech_to_text, settings.language)
        return {
            "speech_to_text": heard,
            "dialogue": self._first(DIALOGUE, settings.dialogue),
            "text_to_speech": self._first(TEXT_TO_SPEECH, settings.text_to_speech),
            "end_of_turn": end_of_turn,
            "voice": settings.voice,
            "language": settings.language,
            "notice": notice,
        }

    def catalogue(self) -> dict[str, object]:
        """Models, languages and defaults. A vendor's name may stand for engines of several
        kinds; `roles` has each. There `standing` is its place in the order in which the role's
        engines are asked; null: it is asked only by name."""
        models: dict[str, dict[str, Any]] = {}
        for kind, table in roster.TABLES.items():
            for name in (*table, *self._own(kind)):
                if self._is_here(kind, name):
                    self._add(models, kind, name)
        for name in self._options.chat.models:
            models.setdefault(name, _entry(name, DIALOGUE, OURS) | {"roles": {DIALOGUE: {}}})
        for name in dict.fromkeys([*aliases.KNOWN, *self._options.audio_models]):
            if name not in models and (alias := self.alias(name)) is not None:
                models[name] = alias
        languages = [
            {"id": language, "speech_to_text": heard, "notice": notice}
            for language in LANGUAGES
            for heard, notice in [self._order.hears(self._options.speech_to_text, language)]
        ]
        defaults = {kind: getattr(self._options, kind) for kind in roster.TABLES}
        return {
            "object": "list", "data": [*models.values()], "languages": languages,
            "defaults": defaults,
        }  # fmt: skip

    def _add(self, models: dict[str, dict[str, Any]], kind: str, name: str) -> None:
        line = roster.listing(kind, name)
        assert line is not None
        standing, _ = self._order.candidates(kind, "")
        model = models.setdefault(name, _entry(name, kind, line.owner, line.notice) | {"roles": {}})
        model["roles"][kind] = {
            "version": line.version(self._options),
            "languages": None if line.languages is None else list(line.languages),
            "standing": standing.index(name) if name in standing else None,
            "health": self._health(kind, name),
        }

    def alias(self, name: str) -> dict[str, object] | None:
        """What another house's model is here; None for a name that nobody gives a model."""
        kind = aliases.kind_of(name)
        if name in self._options.audio_models:
            means = self._options.audio_models[name]
        elif name in self._options.chat.models or kind == aliases.DIALOGUE:
            means = self._order.dialogue_of(name) or self._options.dialogue
        elif kind is not None:
            means = getattr(self._options, kind)
        else:
            return None
        return _entry(name, "alias", OURS) | {"means": means}

    def voices(self, name: str) -> list[dict[str, str]] | None:
        """The voices of a text-to-speech engine, the default of each language first; None
        where there is no such engine."""
        if not self._is_here(TEXT_TO_SPEECH, name):
            return None
        engine = self._made(TEXT_TO_SPEECH, name)
        if not hasattr(engine, "voices"):
            return [{"id": "default", "name": "default", "language": lang} for lang in LANGUAGES]
        found = [voice for language in LANGUAGES for voice in engine.voices(language)]
        return [
            {"id": voice.name, "name": voice.title, "language": voice.language,
             "gender": voice.gender}
            for voice in found
        ]  # fmt: skip

    def _is_here(self, kind: str, name: str) -> bool:
        offered = self._order.offers(kind, name) or name in self._own(kind)
        return offered and self._order.is_usable(kind, name)

    def _own(self, kind: str) -> tuple[str, ...]:
        """The operator's own engines."""
        table = roster.TABLES[kind]
        names = self._order.configured(kind)
        return tuple(name for name in names if name not in table and name != AUTO)

    def _first(self, kind: str, name: str) -> str:
        names, _ = self._order.candidates(kind, name)
        return names[0] if names else ""


def _entry(name: str, kind: str, owner: str, notice: str = "") -> dict[str, object]:
    return {
        "id": name, "object": "model", "created": 0, "owned_by": owner, "kind": kind,
        "notice": notice,
    }  # fmt: skip
