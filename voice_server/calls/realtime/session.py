"""The configuration of a session: what a client may set, and what it means for a call. Pure.

A `SessionConfig` is a value. `updated()` merges a client's partial `session` object into it and
returns the new one, or raises `Refusal` and changes nothing. `as_json()` is the full effective
configuration, as `session.updated` tells it. `rules()` and `settings()` are what the call and
its engines are to follow; only what the client can set is changed in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engines.speech import OPUS_FRAME_MS, OPUS_RATE_HZ, EngineSettings

from ..rules import Endpointing, Interruption, Judging, Rules
from .checks import ID_CHARS_MAX, NAME_CHARS_MAX, Fields, wrong_value
from .server_events import JsonObject, without_empty
from .tools import as_settings, kept_fields

SPEED_MIN, SPEED_MAX = 0.25, 1.5
OUTPUT_TOKENS_MAX = 4_096
PADDING_MS_MAX, SILENCE_MS_MAX = 2_000, 10_000
NOISE_STRENGTH_MAX = 10
IDLE_MS_MIN, IDLE_MS_MAX = 5_000, 30_000
KEYWORDS_MAX = 100
DEFAULT_VOICE = "default"
KINDS = ("realtime", "transcription")
FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma", "audio/opus")
PCM_RATES = (16_000, 24_000)
INTERRUPTIONS = tuple(way.value for way in Interruption)
# By eagerness: how sure one must be that a turn has ended and how long a pause may last where it
# has not, as the protocol says; and, where nobody can judge that, how long a finished and an
# unfinished sentence may pause. In milliseconds.
_MEDIUM = (Judging(ended_above=0.5, patience_ms=4_000), 600, 1_200)
EAGERNESS = {
    "low": (Judging(ended_above=0.7, patience_ms=8_000), 800, 2_400),
    "medium": _MEDIUM,
    "high": (Judging(ended_above=0.3, patience_ms=2_000), 400, 800),
    "auto": _MEDIUM,
}
# Silence is what is clearly below the threshold for speech (0.35 for the usual 0.50).
SILENCE_SHARE = 0.7
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """`audio/pcm` is signed 16-bit little-endian mono; `rate` is 0 where the type implies it."""

    type: str = "audio/pcm"
    rate: int = 24_000

    @property
    def rate_hz(self) -> int:
        return self.rate or (OPUS_RATE_HZ if self.type == "audio/opus" else 8_000)

    def duration_ms(self, length: int) -> float:
        """How long so many bytes sound; Opus bytes are taken to be one packet."""
        if self.type == "audio/opus":
            return OPUS_FRAME_MS if length else 0
        return length * 1_000 / (self.rate_hz * (2 if self.type == "audio/pcm" else 1))

    def as_json(self) -> JsonObject:
        return {"type": self.type, "rate": self.rate} if self.rate else {"type": self.type}


@dataclass(frozen=True, slots=True)
class ServerVad:
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int = 0
    create_response: bool = True
    interrupt_response: bool = True
    # The client named a silence and gets exactly that; otherwise an unfinished sentence is
    # given more time, as the rules of the house say.
    exact: bool = False

    def as_json(self) -> JsonObject:
        told: JsonObject = {
            "type": "server_vad",
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }
        return told | ({"idle_timeout_ms": self.idle_timeout_ms} if self.idle_timeout_ms else {})

    def endpointing(self, base: Endpointing) -> Endpointing:
        above = max(self.threshold, 0.01)
        silence_ms = self.silence_duration_ms
        unfinished_ms = silence_ms if self.exact else max(silence_ms, base.pause_unfinished_ms)
        return replace(
            base, manual=False, pre_roll_ms=self.prefix_padding_ms, speech_above=above,
            silence_below=base.silence_below
            if above == base.speech_above
            else above * SILENCE_SHARE,
            pause_ms=silence_ms, pause_unfinished_ms=unfinished_ms,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SemanticVad:
    eagerness: str = "auto"
    create_response: bool = True
    interrupt_response: bool = True

    def as_json(self) -> JsonObject:
        return {
            "type": "semantic_vad",
            "eagerness": self.eagerness,
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }

    def endpointing(self, base: Endpointing) -> Endpointing:
        judging, pause_ms, unfinished_ms = EAGERNESS[self.eagerness]
        return replace(
            base, manual=False, judging=judging, pause_ms=pause_ms,
            pause_unfinished_ms=unfinished_ms,
        )  # fmt: skip


TurnDetection = ServerVad | SemanticVad | None


@dataclass(frozen=True, slots=True)
class Transcription:
    """How the user's words are recognised and told. `hints` are accepted and told back."""

    model: str
    language: str
    hints: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        return {**without_empty({"model": self.model, "language": self.language}), **self.hints}


@dataclass(frozen=True, slots=True)
class NoiseReduction:
    type: str = "near_field"
    strength: float = 1.0

    def as_json(self) -> JsonObject:
        return {"type": self.type, "strength": self.strength}


@dataclass(frozen=True, slots=True)
class Extension:
    """What a client of ours asked for beyond the protocol; `asked` is whether it did."""

    asked: bool = False
    events: bool = False
    binary: bool = False
    interruption: Interruption = Interruption.RESUMES
    # The client has named its interruption itself.
    chose: bool = False

    def as_json(self) -> JsonObject:
        return {
            "events": self.events, "binary": self.binary,
            "interruption": self.interruption.value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SessionConfig:
    kind: str
    model: str
    # Which dialogue engine answers; the model's name once a client has chosen one.
    dialogue: str
    instructions: str
    voice: str
    speed: float
    turn_detection: TurnDetection
    vad_default: ServerVad
    transcription: Transcription | None
    transcription_default: Transcription
    extension: Extension
    input_format: AudioFormat = AudioFormat()
    output_format: AudioFormat = AudioFormat()
    output_modality: str = "audio"
    max_output_tokens: int = 0  # 0: as many as it takes.
    noise_reduction: NoiseReduction | None = None
    kept: Mapping[str, object] = field(default_factory=dict)

    # What it means.

    def rules(self, base: Rules) -> Rules:
        detection, idle_ms = self.turn_detection, 0
        interruption = self.extension.interruption
        if detection is None:
            endpointing, answers = replace(base.endpointing, manual=True), False
        else:
            endpointing = detection.endpointing(base.endpointing)
            answers = detection.create_response and self.kind == "realtime"
            if not detection.interrupt_response:
                interruption = Interruption.WAITS
            idle_ms = detection.idle_timeout_ms if isinstance(detection, ServerVad) else 0
        tokens_max, share = context_bounds(self.kept, base)
        return replace(
            base, endpointing=endpointing, answers=answers, interruption=interruption,
            idle_prompt_ms=idle_ms, context_tokens_max=tokens_max, context_share_kept=share,
        )  # fmt: skip

    def settings(self, base: EngineSettings) -> EngineSettings:
        heard = self.transcription or self.transcription_default
        language = _LANGUAGE.fullmatch(heard.language)
        return replace(
            as_settings(self.kept, base),
            speech_to_text=heard.model,
            language=language[1].lower() if language else base.language,
            dialogue=self.dialogue,
            voice=voice_meant(self.voice),
            speed=self.speed,
            instructions=self.instructions,
            speaks=self.output_modality == "audio",
            output_tokens_max=self.max_output_tokens,
        )

    # How it is told.

    def as_json(self, session_id: str) -> JsonObject:
        detection, reduction = self.turn_detection, self.noise_reduction
        sound_in: JsonObject = {
            "format": self.input_format.as_json(),
            "transcription": self.transcription.as_json() if self.transcription else None,
            "noise_reduction": reduction.as_json() if reduction else None,
            "turn_detection": detection.as_json() if detection else None,
        }
        told: JsonObject = {"type": self.kind, "id": session_id}
        if self.kind == "transcription":
            told |= {"object": "realtime.transcription_session", "audio": {"input": sound_in}}
            told |= {"include": self.kept["include"]} if "include" in self.kept else {}
        else:
            told |= {"object": "realtime.session", "model": self.model}
            told |= {"output_modalities": [self.output_modality]}
            told |= {"instructions": self.instructions}
            told |= {"audio": {"input": sound_in, "output": self._sound_out()}}
            told |= {"max_output_tokens": self.tokens_json(), **self.kept}
        return told | ({"voice_server": self.extension.as_json()} if self.extension.asked else {})

    def _sound_out(self) -> JsonObject:
        return {
            "format": self.output_format.as_json(), "voice": self.voice, "speed": self.speed
        }  # fmt: skip

    def tokens_json(self) -> int | str:
        return self.max_output_tokens or "inf"

    # How it changes.

    def updated(self, patch: Fields) -> SessionConfig:
        """The configuration with the client's changes. Raises `Refusal`."""
        sound = patch.child("audio")
        changed = replace(
            self,
            kind=patch.choice("type", self.kind, KINDS),
            model=patch.text("model", self.model, bytes_max=NAME_CHARS_MAX),
            dialogue=patch.text("model", self.dialogue, bytes_max=NAME_CHARS_MAX),
            instructions=patch.text("instructions", self.instructions),
            output_modality=modality(patch, self.output_modality),
            max_output_tokens=output_tokens(patch, self.max_output_tokens),
            kept=kept_fields(patch, self.kept),
            extension=_extension(patch.child("voice_server"), self.extension),
        )
        if sound and (sound_in := sound.child("input")):
            changed = changed._with_input(sound_in)
        if sound and (sound_out := sound.child("output")):
            changed = changed._with_output(sound_out)
        return changed._paced() if changed.binary and not self.binary else changed

    @property
    def binary(self) -> bool:
        """Sound goes to the client as binary frames and not in events."""
        return self.output_format.type == "audio/opus" or self.extension.binary

    def _paced(self) -> SessionConfig:
        """A client that begins to take binary frames can be paused, so a cough need not cost
        the reply; unless it has said how it wants to be interrupted."""
        if self.extension.chose:
            return self
        return replace(self, extension=replace(self.extension, interruption=Interruption.RESUMES))

    def _with_input(self, patch: Fields) -> SessionConfig:
        return replace(
            self,
            input_format=audio_format(patch, self.input_format),
            noise_reduction=_noise_reduction(patch, self.noise_reduction),
            transcription=self._transcription(patch),
            turn_detection=self._turn_detection(patch),
        )

    def _with_output(self, patch: Fields) -> SessionConfig:
        return replace(
            self,
            output_format=audio_format(patch, self.output_format),
            voice=voice(patch, self.voice),
            speed=patch.number("speed", self.speed, SPEED_MIN, SPEED_MAX),
        )

    def _transcription(self, patch: Fields) -> Transcription | None:
        given = patch.child("transcription")
        if given is None:
            return None if patch.is_null("transcription") else self.transcription
        now = self.transcription or self.transcription_default
        language = given.text("language", now.language, bytes_max=NAME_CHARS_MAX)
        if language and not _LANGUAGE.fullmatch(language):
            raise wrong_value(given.at("language"), "expected an ISO 639 code such as 'en'")
        model = given.text("model", now.model, bytes_max=NAME_CHARS_MAX)
        return Transcription(model or now.model, language, _hints(given, now.hints))

    def _turn_detection(self, patch: Fields) -> TurnDetection:
        given = patch.child("turn_detection")
        if given is None:
            return None if patch.is_null("turn_detection") else self.turn_detection
        now = self.turn_detection or self.vad_default
        kind = str(now.as_json()["type"])
        if given.choice("type", kind, ("server_vad", "semantic_vad")) == "server_vad":
            return _server_vad(given, now if isinstance(now, ServerVad) else self.vad_default)
        return _semantic_vad(given, now if isinstance(now, SemanticVad) else SemanticVad())


def first_config(
    *, model: str, settings: EngineSettings, rules: Rules, transcription_only: bool = False
) -> SessionConfig:
    """The configuration before the client has said anything: the rules and settings as is."""
    ends = rules.endpointing
    waits = rules.interruption is Interruption.WAITS
    vad = ServerVad(
        threshold=ends.speech_above, prefix_padding_ms=ends.pre_roll_ms,
        silence_duration_ms=ends.pause_ms, create_response=rules.answers,
        interrupt_response=not waits,
    )  # fmt: skip
    heard = Transcription(settings.speech_to_text, settings.language)
    return SessionConfig(
        kind="transcription" if transcription_only else "realtime",
        model=model, dialogue=settings.dialogue, instructions=settings.instructions,
        voice=settings.voice or DEFAULT_VOICE, speed=settings.speed,
        turn_detection=None if ends.manual else vad, vad_default=vad,
        transcription=heard, transcription_default=heard,
        extension=Extension(
            interruption=Interruption.RESUMES if waits else rules.interruption
        ),
        kept={"tools": [], "tool_choice": "auto"},
    )  # fmt: skip


def context_bounds(kept: Mapping[str, object], base: Rules) -> tuple[int, float]:
    """How many tokens of the conversation an engine is told, and which share of them is left
    once they were too many; 0 for all of them."""
    given = kept.get("truncation")
    if given == "disabled":
        return 0, 1.0
    if not isinstance(given, dict):
        return base.context_tokens_max, base.context_share_kept
    limits = given.get("token_limits", {})
    tokens_max = limits.get("post_instructions", base.context_tokens_max)
    return max(tokens_max, 1), given["retention_ratio"]  # To an engine 0 means all of them.


def audio_format(patch: Fields, current: AudioFormat) -> AudioFormat:
    given = patch.child("format")
    if given is None:
        return current
    kind = given.choice("type", current.type, FORMATS)
    if kind != "audio/pcm":
        return AudioFormat(kind, 0)
    rate = given.integer("rate", current.rate or 24_000, 1, 1_000_000)
    if rate not in PCM_RATES:
        raise wrong_value(given.at("rate"), "supported values are: 16000, 24000")
    return AudioFormat(kind, rate)


def modality(patch: Fields, current: str) -> str:
    given = patch.texts("output_modalities", length_max=2)
    if given not in ([], ["audio"], ["text"]):
        raise wrong_value(patch.at("output_modalities"), "expected ['audio'] or ['text']")
    return given[0] if given else current


def output_tokens(patch: Fields, current: int) -> int:
    if patch.values.get("max_output_tokens") == "inf":
        return 0
    return patch.integer("max_output_tokens", current, 1, OUTPUT_TOKENS_MAX)


def voice(patch: Fields, current: str) -> str:
    """A voice is named by a string or, where it was made for somebody, by an object."""
    if isinstance(patch.values.get("voice"), dict):
        named = Fields(patch.values["voice"], patch.at("voice"))
        return named.need_text("id", bytes_max=ID_CHARS_MAX)
    return patch.text("voice", current, bytes_max=ID_CHARS_MAX) or current


def voice_meant(named: str) -> str:
    """What the engines are told of a voice; empty: the language's own."""
    return "" if named == DEFAULT_VOICE else named


def _server_vad(given: Fields, now: ServerVad) -> ServerVad:
    idle_ms = given.integer("idle_timeout_ms", now.idle_timeout_ms, IDLE_MS_MIN, IDLE_MS_MAX)
    silence = "silence_duration_ms"
    return ServerVad(
        threshold=given.number("threshold", now.threshold, 0, 1),
        prefix_padding_ms=given.integer(
            "prefix_padding_ms", now.prefix_padding_ms, 0, PADDING_MS_MAX
        ),
        silence_duration_ms=given.integer(
            silence, now.silence_duration_ms, 1, SILENCE_MS_MAX
        ),
        idle_timeout_ms=0 if given.is_null("idle_timeout_ms") else idle_ms,
        create_response=given.flag("create_response", now.create_response),
        interrupt_response=given.flag("interrupt_response", now.interrupt_response),
        exact=now.exact or given.values.get(silence) is not None,
    )


def _semantic_vad(given: Fields, now: SemanticVad) -> SemanticVad:
    return SemanticVad(
        eagerness=given.choice("eagerness", now.eagerness, EAGERNESS),
        create_response=given.flag("create_response", now.create_response),
        interrupt_response=given.flag("interrupt_response", now.interrupt_response),
    )


def _noise_reduction(patch: Fields, current: NoiseReduction | None) -> NoiseReduction | None:
    given = patch.child("noise_reduction")
    if given is None:
        return None if patch.is_null("noise_reduction") else current
    now = current or NoiseReduction()
    return NoiseReduction(
        given.choice("type", now.type, ("near_field", "far_field")),
        given.number("strength", now.strength, 0, NOISE_STRENGTH_MAX),
    )


def _hints(given: Fields, now: Mapping[str, object]) -> Mapping[str, object]:
    delays = ("minimal", "low", "medium", "high", "xhigh")
    hints = {
        "prompt": given.text("prompt", str(now.get("prompt", ""))),
        "delay": given.choice("delay", str(now.get("delay", "")), delays),
        "keywords": given.texts("keywords", length_max=KEYWORDS_MAX) or now.get("keywords"),
        "languages": given.texts("languages", length_max=KEYWORDS_MAX) or now.get("languages"),
    }
    return without_empty(hints)


def _extension(given: Fields | None, now: Extension) -> Extension:
    if given is None:
        return now
    way = given.choice("interruption", now.interruption.value, INTERRUPTIONS)
    return Extension(
        asked=True,
        events=given.flag("events", now.events),
        binary=given.flag("binary", now.binary),
        interruption=Interruption(way),
        chose=now.chose or given.values.get("interruption") is not None,
    )
