"""Engines by name: what there is, what is running, and what a name that is not ours means.

Names are strings and modules are imported when first asked for, so a server pays only for the
engines it uses. An engine is made once and shared by all calls; one that has workers or weights
is started in the background when it is first wanted, and closed with the registry.

To add an engine, write its file and its line in one of the three tables.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from . import aliases, turn_weights
from .models import missing_from
from .openai_chat import ChatOptions
from .speech import (
    Dialogue,
    EndOfTurn,
    EngineError,
    EngineSettings,
    SpeechToText,
    TextToSpeech,
)

logger = logging.getLogger(__name__)

AUTO, CHAT = "auto", "openai"
LANGUAGES = ("en", "ru")
BACKGROUND_NICE, BACKGROUND_WAIT_S = 5, 120.0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The defaults by name, and what the local engines need to know."""

    speech_to_text: str = AUTO
    dialogue: str = "tutor"
    text_to_speech: str = "espeak"
    whisper_model: str = "base"
    models_dir: Path = field(default_factory=lambda: Path("data/models"))
    espeak_workers: int = 1
    sphinx_workers: int = 1
    # What names of other houses' models mean for files, by name; the rest mean the defaults.
    audio_models: Mapping[str, str] = field(default_factory=dict)
    # These engines work for people who wait and not for callers: they stand back behind those
    # that do, have patience with each other, and say nothing before it is final.
    background: bool = False
    chat: ChatOptions = field(default_factory=ChatOptions)


Arguments = Callable[[EngineOptions], dict[str, Any]]


def _none(_: EngineOptions) -> dict[str, Any]:
    return {}


def _manners(options: EngineOptions) -> dict[str, Any]:
    """How a pool of workers behaves beside calls."""
    return {"nice": BACKGROUND_NICE, "wait_s": BACKGROUND_WAIT_S} if options.background else {}


SPEECH_TO_TEXT: dict[str, tuple[str, Arguments]] = {
    "sphinx": (
        "engines.sphinx:SphinxSpeechToText",
        lambda o: {"workers": o.sphinx_workers, **_manners(o)},
    ),
    "whisper": (
        "engines.whisper:WhisperSpeechToText",
        lambda o: {
            "model": o.whisper_model, "models_dir": o.models_dir,
            "partials": not o.background, "nice": BACKGROUND_NICE if o.background else 0,
        },
    ),
    "scripted": ("engines.scripted:ScriptedSpeechToText", _none),
}
DIALOGUES: dict[str, tuple[str, Arguments]] = {
    "tutor": ("engines.tutor:Tutor", _none),
    CHAT: ("engines.openai_chat:ChatDialogue", lambda o: {"options": o.chat}),
    "scripted": ("engines.scripted:ScriptedDialogue", _none),
}
TEXT_TO_SPEECH: dict[str, tuple[str, Arguments]] = {
    "espeak": (
        "engines.espeak:EspeakTextToSpeech",
        lambda o: {"workers": o.espeak_workers, **_manners(o)},
    ),
    "scripted": ("engines.scripted:ScriptedTextToSpeech", _none),
}
# What each recogniser understands; None: every language.
HEARS: dict[str, tuple[str, ...] | None] = {"sphinx": ("en",), "whisper": None, "scripted": None}


class NoSuchModel(EngineError):
    """A model's name that is ours, and cannot be had here or does something else."""


class _Started(Protocol):
    def start(self) -> Awaitable[None]: ...


class Registry:
    """Keeps `speech.Engines`. Use `start` to warm the defaults, `close` to let go of all."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._made: dict[str, Any] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        # What a client may ask for by name. A chat model costs its owner money, so it answers
        # only where it was chosen, or to the names that were given to it.
        free = (name for name in DIALOGUES if name in (options.dialogue, "tutor", "scripted"))
        self.dialogues = (*free, *options.chat.models)

    # Life.

    async def start(self) -> None:
        """Have the default engines ready. Raises `EngineError` when one cannot be."""
        for language in LANGUAGES:
            name, notice = self.hears(self._options.speech_to_text, language)
            logger.info("%s is heard by %s. %s", language, name or "nobody", notice)
        logger.info("semantic_vad: %s", _TURN_NOTICES[self.end_of_turn() is not None])
        name, _ = self.hears(self._options.speech_to_text, LANGUAGES[0])
        self._make(SPEECH_TO_TEXT, name)
        self._make(DIALOGUES, self._options.dialogue)
        self._make(TEXT_TO_SPEECH, self._options.text_to_speech)
        await asyncio.gather(*self._starting.values())

    async def close(self) -> None:
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for engine in self._made.values():
            if hasattr(engine, "close"):
                await engine.close()
        self._made.clear()
        self._starting.clear()

    # Engines by name.

    def speech_to_text(self, name: str, language: str) -> SpeechToText:
        """The recogniser for a language. Raises `EngineError` where nobody understands it."""
        found, notice = self.hears(name, language)
        if not found:
            raise EngineError(notice)
        return cast(SpeechToText, self._make(SPEECH_TO_TEXT, found))

    def dialogue(self, name: str) -> Dialogue:
        return cast(Dialogue, self._make(DIALOGUES, self._dialogue_of(name)))

    def text_to_speech(self, name: str) -> TextToSpeech:
        return cast(TextToSpeech, self._make(TEXT_TO_SPEECH, name, self._options.text_to_speech))

    def end_of_turn(self) -> EndOfTurn | None:
        """Who can hear that a user has finished; None where the weights for it are not here."""
        if turn_weights.NAME not in self._made:
            weights = turn_weights.find(self._options.models_dir)
            if weights is None:
                return None
            turns = importlib.import_module("engines.turns")
            self._made[turn_weights.NAME] = turns.SmartTurn(weights)
        return cast(EndOfTurn, self._made[turn_weights.NAME])

    async def ready(self, engine: object) -> None:
        """Wait until an engine that was made just now can work. Raises `EngineError`."""
        for path, made in self._made.items():
            if made is engine and path in self._starting:
                await asyncio.shield(self._starting[path])

    def named(self, kind: str, name: str) -> str:
        """The engine of a kind ("speech_to_text" or "text_to_speech") that a client's name of
        a model means: one of ours, or the configured one for the names of other houses. Raises
        `NoSuchModel` for a name of ours that is of another kind, or is not offered here."""
        default = getattr(self._options, kind)
        name = self._options.audio_models.get(name, name) or default
        kinds = {"speech_to_text": SPEECH_TO_TEXT, "text_to_speech": TEXT_TO_SPEECH}
        if name == default or name in kinds[kind]:
            # Who asks for weights that are not here is told how to fetch them, by the recogniser.
            if not self._offered(kind, name) and name != "whisper":
                raise NoSuchModel(f"the model {name!r} is not available on this server")
            return name
        if name in {*SPEECH_TO_TEXT, *TEXT_TO_SPEECH, *self.dialogues}:
            raise NoSuchModel(f"the model {name[:40]!r} does {_OTHER_KINDS[kind]}")
        return str(default)

    def hears(self, name: str, language: str) -> tuple[str, str]:
        """Which recogniser a name means for a language, and a sentence about it for people.

        A name that is not ours means the configured one. Empty: nobody understands it, and
        the sentence says what to do.
        """
        name = name if name in SPEECH_TO_TEXT else self._options.speech_to_text
        if name == AUTO:
            name = "whisper" if self._has_whisper() else "sphinx"
        if name == "whisper" and not self._has_whisper():
            model = self._options.whisper_model
            return "", (
                f"Whisper's weights are not here; fetch them with: voice-server models pull {model}"
            )
        languages = HEARS[name]
        if languages is not None and language not in languages:
            return "", (
                f"{_title(language)} can be spoken but not heard yet: recognition needs Whisper's "
                "weights (voice-server models pull base). Typing works."
            )
        return name, _NOTICES.get(name, "")

    def describe(self, settings: EngineSettings) -> Mapping[str, object]:
        """What these settings mean, for people: names, and an honest notice."""
        heard, notice = self.hears(settings.speech_to_text, settings.language)
        speaks = _known(TEXT_TO_SPEECH, settings.text_to_speech, self._options.text_to_speech)
        return {
            "speech_to_text": heard,
            "dialogue": self._dialogue_of(settings.dialogue),
            "text_to_speech": speaks,
            "end_of_turn": turn_weights.NAME if self.end_of_turn() else "pauses",
            "voice": settings.voice,
            "language": settings.language,
            "notice": notice,
        }

    def _dialogue_of(self, name: str) -> str:
        """Which dialogue a name means; one that is not ours means the configured one."""
        if name in self._options.chat.models:
            return CHAT
        return name if name in self.dialogues else self._options.dialogue

    # What there is.

    def catalogue(self) -> dict[str, object]:
        """Models, languages and defaults; a superset of OpenAI's list of models."""
        kinds = {
            "speech_to_text": SPEECH_TO_TEXT, "dialogue": self.dialogues,
            "text_to_speech": TEXT_TO_SPEECH,
        }  # fmt: skip
        models: list[dict[str, object]] = [
            {
                "id": name, "object": "model", "created": 0, "owned_by": "voice-server",
                "kind": kind, "notice": _NOTICES.get(name, ""),
            }
            for kind, names in kinds.items()
            for name in names
            if self._offered(kind, name)
        ]
        languages = [
            {"id": language, "speech_to_text": heard, "notice": notice}
            for language in LANGUAGES
            for heard, notice in [self.hears(self._options.speech_to_text, language)]
        ]
        defaults = {
            "speech_to_text": self._options.speech_to_text,
            "dialogue": self._options.dialogue,
            "text_to_speech": self._options.text_to_speech,
        }
        ours = {model["id"] for model in models}
        for name in dict.fromkeys([*aliases.KNOWN, *self._options.audio_models]):
            if name not in ours and (alias := self.alias(name)) is not None:
                models.append(alias)
        return {"object": "list", "data": models, "languages": languages, "defaults": defaults}

    def alias(self, name: str) -> dict[str, object] | None:
        """What another house's model is here; None for a name that nobody gives a model."""
        kind = aliases.kind_of(name)
        if name in self._options.audio_models:
            means = self._options.audio_models[name]
        elif name in self._options.chat.models or kind == aliases.DIALOGUE:
            means = self._dialogue_of(name)
        elif kind is not None:
            means = getattr(self._options, kind)
        else:
            return None
        return {
            "id": name, "object": "model", "created": 0, "owned_by": "voice-server",
            "kind": "alias", "means": means, "notice": "",
        }  # fmt: skip

    def voices(self, name: str) -> list[dict[str, str]] | None:
        """The voices of a text-to-speech engine, the default of each language first; None
        where there is no such engine."""
        if not self._offered("text_to_speech", name) or name not in TEXT_TO_SPEECH:
            return None
        engine = self._make(TEXT_TO_SPEECH, name)
        if not hasattr(engine, "voices"):
            return [{"id": "default", "name": "default", "language": lang} for lang in LANGUAGES]
        return [
            {"id": voice.name, "name": voice.title, "language": voice.language,
             "gender": voice.gender}
            for language in LANGUAGES
            for voice in engine.voices(language)
        ]  # fmt: skip

    def _offered(self, kind: str, name: str) -> bool:
        """Stand-ins are offered only where they are what the server runs on."""
        if name == "scripted":
            return "scripted" in (getattr(self._options, kind),)
        return name != "whisper" or self._has_whisper()

    def _has_whisper(self) -> bool:
        return whisper_weights(self._options.whisper_model, self._options.models_dir) is not None

    def _make(
        self, table: dict[str, tuple[str, Arguments]], name: str, default: str = ""
    ) -> object:
        """The engine of this name; of the default's name where this is none of ours."""
        name = name if name in table else default
        if name not in table:
            raise EngineError(f"no engine is configured for {name[:40]!r}")
        path, arguments = table[name]
        if path not in self._made:
            module, _, cls = path.partition(":")
            engine = getattr(importlib.import_module(module), cls)(**arguments(self._options))
            self._made[path] = engine
            if hasattr(engine, "start"):
                self._starting[path] = asyncio.create_task(_start(path, engine))
        return self._made[path]


async def _start(path: str, engine: _Started) -> None:
    try:
        await engine.start()
    except EngineError as error:
        logger.error("%s did not start: %s", path, error)
        raise
    logger.info("%s is ready", path)


def whisper_weights(model: str, models_dir: Path) -> Path | None:
    """Where the weights of a name or of a directory lie; None when they are not complete."""
    for folder in (models_dir / model, Path(model)):
        if not missing_from(folder):
            return folder
    return None


_NOTICES = {
    "sphinx": (
        "The built-in recogniser works without a download and mishears a lot; speak slowly and "
        "clearly. For better ears: voice-server models pull base."
    ),
    "scripted": "Scripted stand-ins are in use: they hear and say the same whatever you do.",
}
_TURN_NOTICES = {
    True: "Smart Turn hears whether a turn has ended.",
    False: (
        "turns end by pauses and last words alone, for Smart Turn's weights are not here; fetch "
        f"them with: voice-server models pull {turn_weights.NAME}"
    ),
}
_OTHER_KINDS = {
    "speech_to_text": "not turn speech into text", "text_to_speech": "not turn text into speech",
}  # fmt: skip
_TITLES = {"en": "English", "ru": "Russian"}


def _title(language: str) -> str:
    return _TITLES.get(language, f"This language ({language[:10]})")


def _known(table: Mapping[str, object], name: str, default: str) -> str:
    return name if name in table else default
