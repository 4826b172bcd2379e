"""The engines there are, one line each: a new engine is one file and one line here.

Only names, languages and how an engine is made; its own file is imported when it is first
wanted, so a server pays for the engines it uses. What keeps an engine from being used on this
machine (a key, a package, weights) is said in words by its line.

A name with a colon is an engine of the operator's own, "my_package.my_module:MyVoice"; only the
configuration may name such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .models import missing_from
from .neural.voice_weights import missing_kokoro, missing_piper
from .openai.chat import ChatOptions
from .vendors import ElevenLabsOptions, LocalVoiceOptions, OpenAIOptions, YandexOptions

AUTO, CHAT, STAND_IN, EMBEDDED_VOICE = "auto", "openai", "scripted", "espeak"
SPEECH_TO_TEXT, DIALOGUE, TEXT_TO_SPEECH, SPEECH_TO_SPEECH = (
    "speech_to_text", "dialogue", "text_to_speech", "speech_to_speech",
)  # fmt: skip
LANGUAGES = ("en", "ru")
TITLES = {"en": "English", "ru": "Russian"}
OURS = "voice-server"
# As the vendor's own files have them, which are not loaded for this.
YANDEX_HEARS = tuple("de en es fi fr he it kk nl pl pt ru sv tr uz".split())
YANDEX_SPEAKS = ("ru", "en", "de", "he", "kk", "uz")
BACKGROUND_NICE, BACKGROUND_WAIT_S = 5, 120.0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engines of each role by name, in the order in which they are asked, with commas; and
    what they need to know."""

    speech_to_text: str = AUTO
    dialogue: str = "tutor"
    text_to_speech: str = EMBEDDED_VOICE
    speech_to_speech: str = ""
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
    openai: OpenAIOptions = field(default_factory=OpenAIOptions)
    yandex: YandexOptions = field(default_factory=YandexOptions)
    elevenlabs: ElevenLabsOptions = field(default_factory=ElevenLabsOptions)
    kokoro: LocalVoiceOptions = field(default_factory=LocalVoiceOptions)
    piper: LocalVoiceOptions = field(default_factory=LocalVoiceOptions)
    # Ask the next engine too when the first has not begun to answer after so long; 0: never.
    hedge_ms: int = 0


Arguments = Callable[[EngineOptions], dict[str, Any]]
Words = Callable[[EngineOptions], str]


def _none(_: EngineOptions) -> dict[str, Any]:
    return {}


def _no_words(_: EngineOptions) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One engine. `languages` (ISO 639-1) it hears or speaks; None: every one. `missing`: what
    keeps it from being used here and what to do about it, in words, empty when nothing does.
    `version`: the model it asks. `owner`: whose machine does the work; an engine that is not
    ours costs its operator money, so clients get it only where the configuration names it.
    `reads`: it is given numbers and abbreviations as they are written, and reads them well.
    `patience_ms`: how long it may keep a caller waiting while another engine stands by; None: as
    long as its role allows. `continues`: a dialogue that can go on where another broke off."""

    path: str
    arguments: Arguments = _none
    languages: tuple[str, ...] | None = None
    missing: Words = _no_words
    version: Words = _no_words
    owner: str = OURS
    notice: str = ""
    reads: bool = True
    patience_ms: int | None = None
    continues: bool = True

    def understands(self, language: str) -> bool:
        return self.languages is None or language in self.languages


def _manners(options: EngineOptions) -> dict[str, Any]:
    """How a pool of workers behaves beside calls."""
    return {"nice": BACKGROUND_NICE, "wait_s": BACKGROUND_WAIT_S} if options.background else {}


def whisper_weights(model: str, models_dir: Path) -> Path | None:
    """Where the weights of a name or of a directory lie; None when they are not complete."""
    for folder in (models_dir / model, Path(model)):
        if not missing_from(folder):
            return folder
    return None


def _no_whisper(options: EngineOptions) -> str:
    if whisper_weights(options.whisper_model, options.models_dir) is not None:
        return ""
    return (
        "Whisper's weights are not here; fetch them with: voice-server models pull "
        f"{options.whisper_model}"
    )


def _no_openai(options: EngineOptions) -> str:
    if options.openai.api_key or options.openai.base_url:
        return ""
    return "OpenAI needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server like it"


def _no_yandex(options: EngineOptions) -> str:
    if options.yandex.api_key or options.yandex.iam_token:
        return ""
    return (
        "Yandex SpeechKit needs a key: set VOICE_SERVER_YANDEX_API_KEY, or "
        "VOICE_SERVER_YANDEX_IAM_TOKEN and VOICE_SERVER_YANDEX_FOLDER_ID"
    )


def _no_elevenlabs(options: EngineOptions) -> str:
    return "" if options.elevenlabs.api_key else "ElevenLabs needs a key: set ELEVENLABS_API_KEY"


EARS: dict[str, Listing] = {
    "sphinx": Listing(
        "engines.sphinx:SphinxSpeechToText",
        lambda o: {"workers": o.sphinx_workers, **_manners(o)},
        languages=("en",),
        notice=(
            "The built-in recogniser works without a download and mishears a lot; speak slowly "
            "and clearly. For better ears: voice-server models pull base."
        ),
    ),
    "whisper": Listing(
        "engines.whisper.recognition:WhisperSpeechToText",
        lambda o: {
            "model": o.whisper_model, "models_dir": o.models_dir,
            "partials": not o.background, "nice": BACKGROUND_NICE if o.background else 0,
        },
        missing=_no_whisper,
        version=lambda o: o.whisper_model,
        # On a busy machine its finals are late, and still better than what stands behind it.
        patience_ms=2_000,
    ),
    "openai": Listing(
        "engines.openai.transcription:OpenAISpeechToText", lambda o: {"options": o.openai},
        missing=_no_openai, version=lambda o: o.openai.transcription_model, owner="openai",
    ),
    "yandex": Listing(
        "engines.yandex.recognition:YandexSpeechToText", lambda o: {"options": o.yandex},
        languages=YANDEX_HEARS, missing=_no_yandex, version=lambda o: o.yandex.stt_model,
        owner="yandex",
    ),
    STAND_IN: Listing(
        "engines.scripted:ScriptedSpeechToText",
        notice="Scripted stand-ins are in use: they hear and say the same whatever you do.",
    ),
}  # fmt: skip
DIALOGUES: dict[str, Listing] = {
    "tutor": Listing("engines.tutor.tutor:Tutor", continues=False),
    CHAT: Listing(
        "engines.openai.chat:ChatDialogue", lambda o: {"options": o.chat},
        missing=lambda o: o.chat.missing, version=lambda o: o.chat.model, owner="openai",
    ),
    STAND_IN: Listing("engines.scripted:ScriptedDialogue", continues=False),
}  # fmt: skip
VOICES: dict[str, Listing] = {
    EMBEDDED_VOICE: Listing(
        "engines.espeak:EspeakTextToSpeech",
        lambda o: {"workers": o.espeak_workers, **_manners(o)},
        reads=False,
    ),
    "openai": Listing(
        "engines.openai.voice:OpenAIVoice", lambda o: {"options": o.openai},
        missing=_no_openai, version=lambda o: o.openai.voice_model, owner="openai",
    ),
    "yandex": Listing(
        "engines.yandex.speaking:YandexTextToSpeech", lambda o: {"options": o.yandex},
        languages=YANDEX_SPEAKS, missing=_no_yandex, version=lambda _: "v3", owner="yandex",
    ),
    "kokoro": Listing(
        "engines.neural.kokoro:KokoroTextToSpeech",
        lambda o: {"options": o.kokoro, **_manners(o)},
        languages=("en", "es", "fr", "hi", "it", "pt"),
        missing=lambda o: missing_kokoro(o.kokoro), version=lambda _: "v1.0", reads=False,
    ),
    "piper": Listing(
        "engines.neural.piper:PiperTextToSpeech",
        lambda o: {"options": o.piper, **_manners(o)},
        missing=lambda o: missing_piper(o.piper), reads=False,
    ),
    "elevenlabs": Listing(
        "engines.elevenlabs.speaking:ElevenLabsTextToSpeech", lambda o: {"options": o.elevenlabs},
        missing=_no_elevenlabs, version=lambda o: o.elevenlabs.model, owner="elevenlabs",
    ),
    STAND_IN: Listing("engines.scripted:ScriptedTextToSpeech"),
}  # fmt: skip
# Engines that hear and speak at once, without words between. They have a cascade of the three
# above beside them, for what is said word for word and for when they cannot be had; each makes
# an engine for every call: `speech(settings, aside, report)`.
CONVERSATIONS: dict[str, Listing] = {
    "openai-realtime": Listing(
        "engines.openai.realtime:OpenAIRealtime", lambda o: {"options": o.openai},
        missing=_no_openai, version=lambda o: o.openai.realtime_model, owner="openai",
    ),
}  # fmt: skip
TABLES: dict[str, dict[str, Listing]] = {
    SPEECH_TO_TEXT: EARS, DIALOGUE: DIALOGUES, TEXT_TO_SPEECH: VOICES,
    SPEECH_TO_SPEECH: CONVERSATIONS,
}  # fmt: skip


def listing(kind: str, name: str) -> Listing | None:
    """The line of an engine; of the operator's own one that its path makes up."""
    own = Listing(name) if ":" in name else None
    return TABLES[kind].get(name, own)


def split(names: str) -> tuple[str, ...]:
    """The names of a list with commas, in order, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, names.split(",")))))


def unknown_in(kind: str, names: str) -> str:
    """The first name of a list that is no engine of this kind; empty: there is none such."""
    known = {*TABLES[kind], *([AUTO] if kind == SPEECH_TO_TEXT else [])}
    return next((name for name in split(names) if name not in known and ":" not in name), "")
