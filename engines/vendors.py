"""What each vendor's engines need to know. Only data: naming a vendor must not load it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_OPENAI_HOST = "api.openai.com"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """OpenAI's audio engines. An empty `base_url` is the vendor's own; any server that speaks
    its protocols will do. An empty `speech_model` is what `voice_model` says. `realtime_effort`:
    how much a speech-to-speech model thinks, where it is one that does; empty: as the vendor has
    it. `realtime_minutes_max`: a speech-to-speech session is renewed before it is so old, for the
    vendor ends it at sixty."""

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    transcription_model: str = "gpt-live-transcribe"
    # Hears what is whole: a file, and an utterance of a speech-to-speech session.
    file_model: str = "gpt-transcribe"
    speech_model: str = ""
    speech_voice: str = "marin"
    realtime_model: str = "gpt-realtime-2.1"
    realtime_effort: str = "low"
    realtime_voice: str = "marin"
    realtime_minutes_max: float = 55.0
    connect_s: float = 5.0
    # How long an answer may keep silent before the vendor counts as stalled.
    patience_s: float = 5.0

    @property
    def voice_model(self) -> str:
        """The model that speaks. The vendor has no other voices than those of its realtime
        models from 2027 on; servers like it keep the older door."""
        if self.speech_model:
            return self.speech_model
        ours = not self.base_url or urlsplit(self.base_url).hostname == _OPENAI_HOST
        return "gpt-realtime-2.1-mini" if ours else "gpt-4o-mini-tts"


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
