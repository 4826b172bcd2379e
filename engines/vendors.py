"""What each vendor's engines need to know. Only data: naming a vendor must not load it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """OpenAI's audio engines. An empty `base_url` is the vendor's own; any server that speaks
    its protocols will do. `realtime_minutes_max`: a speech-to-speech session is renewed before
    it is so old, for the vendor ends it at sixty."""

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    transcription_model: str = "gpt-live-transcribe"
    # Asked with a whole file when no realtime session can be had.
    file_model: str = "gpt-transcribe"
    speech_model: str = "gpt-4o-mini-tts"
    speech_voice: str = "marin"
    realtime_model: str = "gpt-realtime"
    realtime_voice: str = "marin"
    realtime_minutes_max: float = 55.0
    connect_s: float = 5.0
    # How long an answer may keep silent before the vendor counts as stalled.
    patience_s: float = 5.0


@dataclass(frozen=True, slots=True)
class YandexOptions:
    """Yandex SpeechKit v3: an API key, or an IAM token and the folder that pays.

    `voices`: the voice of each language, which may have a role: "marina:friendly". A final waits
    for its text with numbers and punctuation for `refinement_ms` at the most.
    """

    api_key: str = field(default="", repr=False)
    iam_token: str = field(default="", repr=False)
    folder_id: str = ""
    stt_endpoint: str = "stt.api.cloud.yandex.net:443"
    tts_endpoint: str = "tts.api.cloud.yandex.net:443"
    # False: plain HTTP/2, for a server of one's own on this machine.
    tls: bool = True
    stt_model: str = "general"
    voices: tuple[tuple[str, str], ...] = (("ru", "marina"), ("en", "john"))
    refinement_ms: int = 200
    connect_s: float = 3.0
    patience_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ElevenLabsOptions:
    api_key: str = field(default="", repr=False)
    base_url: str = "https://api.elevenlabs.io"
    model: str = "eleven_flash_v2_5"
    voice: str = "21m00Tcm4TlvDq8ikWAM"
    connect_s: float = 3.0
    patience_s: float = 5.0


@dataclass(frozen=True, slots=True)
class LocalVoiceOptions:
    """A neural voice on this machine. `model` names weights in `models_dir`, or is a path."""

    models_dir: Path = field(default_factory=lambda: Path("data/models"))
    model: str = ""
    voice: str = ""
    threads: int = 1
