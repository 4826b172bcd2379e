"""Everything that can be configured, read once from the environment. Nobody else reads it.

Each field is the environment variable `VOICE_SERVER_<NAME>`; a `.env` file in the working
directory is read too. A value that cannot be used fails at start and names its variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from billing.price_list import read_prices
from engines import roster
from engines.vendors import OpenAIOptions

_OPENAI = OpenAIOptions()


class IceServer(BaseModel):
    """One entry of `RTCConfiguration.iceServers`, for our side and for the browser's."""

    model_config = ConfigDict(frozen=True)

    urls: tuple[str, ...]
    username: str | None = None
    credential: SecretStr | None = None


class Config(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="VOICE_SERVER_", env_file=".env", extra="ignore", frozen=True
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    data_dir: Path = Path("data")
    # sqlite+aiosqlite:///... or postgresql+asyncpg://...; empty: SQLite in data_dir.
    database_url: str = ""
    # redis://...; empty: one process keeps its own directory of live calls.
    redis_url: str = ""
    # https and wss. Without a certificate of one's own one is made, in data_dir/tls.
    tls: bool = False
    # A PEM file with the certificate and what leads to its authority; naming it means TLS. The
    # key may be in the same file.
    tls_cert: Path | None = None
    tls_key: Path | None = None
    # When set, a caller must present it. Empty: everyone who can reach the server is the
    # local user, which is only right on a loopback address.
    api_key: SecretStr = SecretStr("")

    # The engines of each role, the one that is asked first in front: "openai,whisper". A name
    # with a colon is an engine of one's own: "my_package.my_module:MyVoice".
    speech_to_text: str = "auto"
    dialogue: str = "tutor"
    text_to_speech: str = "espeak"
    # An engine that hears and speaks at once, "openai-realtime"; the three above then stand by.
    speech_to_speech: str = ""
    # Ask the next engine too when the first has not begun to answer after so long; 0: never.
    hedge_ms: int = Field(0, ge=0)
    # A model name such as "tiny.en", or a directory that holds converted weights.
    whisper_model: str = "base"
    models_dir: Path = Path("data/models")
    # A chat model behind any server that speaks OpenAI's Chat Completions. Without a base URL
    # it is OpenAI's own, with OPENAI_API_KEY and OPENAI_BASE_URL where ours are not set.
    chat_base_url: str = Field("", pattern=r"^(https?://[^\s/]+\S*)?$")
    chat_api_key: SecretStr = SecretStr("")
    chat_model: str = "gpt-6-luna"
    # Chat models by the names that clients ask for: {"gpt-realtime": "llama3.2"}.
    chat_models: dict[str, str] = Field(default_factory=dict)
    chat_seconds_max: float = Field(20.0, gt=0)
    # What the server calls the bound of a reply; one that refuses a name is asked by the other.
    chat_limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    # How much the model thinks before it speaks; empty: the server is not told. "auto": OpenAI's
    # own models are told not to, as callers wait, and other servers are told nothing.
    chat_reasoning_effort: Literal[
        "auto", "", "none", "minimal", "low", "medium", "high", "xhigh", "max"
    ] = "auto"
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field("", validation_alias="OPENAI_BASE_URL")
    # Which of OpenAI's models hears and speaks, and with which voice where none is asked for.
    openai_transcription_model: str = _OPENAI.transcription_model
    # Hears what is whole: a file, and an utterance in a conversation with the realtime model.
    openai_file_model: str = _OPENAI.file_model
    # gpt-realtime-… reads over a realtime session; any other is asked at /v1/audio/speech. Empty:
    # gpt-realtime-2.1-mini at OpenAI itself, gpt-4o-mini-tts at another server.
    openai_speech_model: str = _OPENAI.speech_model
    openai_voice: str = _OPENAI.speech_voice
    openai_realtime_model: str = _OPENAI.realtime_model
    # How much the realtime model thinks, where it does; empty: as the vendor has it.
    openai_realtime_effort: Literal["", "minimal", "low", "medium", "high", "xhigh"] = "low"
    # Yandex SpeechKit: an API key, or an IAM token and the folder that pays.
    yandex_api_key: SecretStr = SecretStr("")
    yandex_iam_token: SecretStr = SecretStr("")
    yandex_folder_id: str = ""
    yandex_stt_endpoint: str = "stt.api.cloud.yandex.net:443"
    yandex_tts_endpoint: str = "tts.api.cloud.yandex.net:443"
    # Off only for a server of one's own on this machine.
    yandex_tls: bool = True
    elevenlabs_api_key: SecretStr = Field(SecretStr(""), validation_alias="ELEVENLABS_API_KEY")
    elevenlabs_base_url: str = "https://api.elevenlabs.io"
    elevenlabs_model: str = "eleven_flash_v2_5"
    elevenlabs_voice: str = "21m00Tcm4TlvDq8ikWAM"

    # What engines cost, where the public prices are not yours; billing/price_list.py has the form.
    engine_prices: Path | None = None

    espeak_workers: int = Field(1, ge=1, le=16)
    sphinx_workers: int = Field(1, ge=1, le=16)

    # Files, as OpenAI's clients send them: how many recordings are written down at once (each
    # has a decoder process of its own), how many texts are spoken, how long a recording may be.
    transcriptions_max: int = Field(2, ge=1, le=64)
    speeches_max: int = Field(8, ge=1, le=256)
    file_minutes_max: int = Field(60, ge=1)
    # Which of our engines a model's name of another house means there: {"whisper-1": "sphinx"}.
    # Without a word about it such a name means the engine that is configured.
    audio_models: dict[str, str] = Field(default_factory=dict)

    ice_servers: tuple[IceServer, ...] = ()
    # The secret shared with a coturn server (its `static-auth-secret`): TURN servers without
    # a credential of their own are given one that holds for `turn_seconds`.
    turn_secret: SecretStr = SecretStr("")
    turn_seconds: int = Field(3_600, ge=60)

    calls_max: int = Field(200, ge=1)
    calls_per_user_max: int = Field(100, ge=1)
    # Client secrets that have not expired; each keeps a session, of 256 kB at most.
    client_secrets_per_user_max: int = Field(1_000, ge=1)
    call_minutes_max: int = Field(60, ge=1)
    idle_seconds_max: int = Field(120, ge=5)
    drain_seconds: float = Field(20.0, ge=0)
    # Who waits for an answer hears nothing for so long, and then "One moment, please."; 0: never.
    filler_ms: int = Field(2_200, ge=0)
    # A reply is thought of, and paid for, before it is certain that it will be wanted, once the
    # words have not changed for so long; 0: never.
    prepare_ms: int = Field(200, ge=0)

    # Money, in minor units of the currency (kopecks).
    currency: str = Field("RUB", pattern=r"^[A-Z]{3}$")
    price_per_minute: int = Field(500, ge=0)
    demo_minutes: int = Field(10, ge=0)
    local_credit: int = Field(100_000, ge=0)
    # Minutes reserved at a time while a call lives.
    hold_minutes: int = Field(5, ge=1)
    lease_seconds: float = Field(15.0, gt=0)

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("tls_cert", "tls_key", "engine_prices", mode="before")
    @classmethod
    def _no_path(cls, given: object) -> object:
        return None if given == "" else given

    @field_validator("speech_to_text", "dialogue", "text_to_speech", "speech_to_speech")
    @classmethod
    def _engines(cls, names: str, info: ValidationInfo) -> str:
        kind = str(info.field_name)
        if not roster.split(names) and kind != roster.SPEECH_TO_SPEECH:
            raise ValueError("names no engine")
        if unknown := roster.unknown_in(kind, names):
            known = ", ".join(roster.TABLES[kind])
            raise ValueError(f"{unknown!r} is no engine of this kind; known are {known}")
        return names

    @field_validator("engine_prices")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_prices(path)
        return path

    @property
    def serves_tls(self) -> bool:
        return self.tls or self.tls_cert is not None

    @property
    def tls_folder(self) -> Path:
        """Where the certificate is that was made for this machine, and its key."""
        return self.data_dir / "tls"

    @property
    def chat_address(self) -> str:
        """The base URL of the chat server; empty: OpenAI's."""
        return self.chat_base_url or self.openai_base_url

    @property
    def chat_key(self) -> str:
        """The key for that server. A key of OpenAI's is never sent to a server of our own."""
        ours = self.chat_api_key.get_secret_value()
        return ours or ("" if self.chat_base_url else self.openai_api_key.get_secret_value())

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database in use."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'voice.db'}"
