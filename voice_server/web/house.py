"""All that a running server is made of, opened in order and closed in the reverse.

    books (database, usage, turns) ─► engines ─► ears ─► workshop ─► directory ─► wheel
                                                                        ─► switchboard

The switchboard is the last to open and the first to close: every call ends, and is billed,
while all that it stands on still works.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from sqlalchemy import select

from billing.customers import Customers
from billing.database import Database, DatabaseAway
from billing.migrations import migrate
from billing.price_list import engine_prices
from billing.pricing import PerMinute
from billing.turn_facts import ROLES
from billing.turns import Turns
from billing.usage import Usage
from engines.encoding import Encoders
from engines.openai.chat import ChatOptions
from engines.recordings import Recordings
from engines.registry import Registry
from engines.roster import EngineOptions
from engines.silero import SileroDetector
from engines.speech import EngineError, EngineSettings
from engines.vendors import (
    ElevenLabsOptions,
    LocalVoiceOptions,
    OpenAIOptions,
    YandexOptions,
)
from voice_server.calls.directory import Directory, MemoryDirectory, RedisDirectory
from voice_server.calls.pacing import Wheel
from voice_server.calls.rules import Rules
from voice_server.calls.switchboard import Caller, Limits, Switchboard
from voice_server.config import Config

from .auth import Gate
from .places import Places
from .vault import MemoryVault, RedisVault, Vault

logger = logging.getLogger(__name__)

# A lease is renewed three times before it runs out.
BEATS_PER_LEASE = 3
# Files on their way in, for each one that is being written down.
UPLOADS_PER_TRANSCRIPTION = 4
DATABASE_SECONDS_MAX = 2.0
# How soon engines that could not be started are tried again.
WARM_UP_AGAIN_S = 15.0
OPENAI_HOST = "api.openai.com"


@dataclass(slots=True)
class House:
    """What the doors need. One per process."""

    config: Config
    database: Database
    customers: Customers
    usage: Usage
    turns: Turns
    engines: Registry
    wheel: Wheel
    switchboard: Switchboard
    gate: Gate
    vault: Vault
    settings: EngineSettings
    rules: Rules
    # For files: engines that no caller waits for, and what opens and makes files.
    workshop: Registry
    recordings: Recordings
    encoders: Encoders
    uploads: Places
    transcriptions: Places
    speeches: Places
    # Set when the calls have ended and the server lets go: what is then still at work stops.
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    engines_warm: asyncio.Event = field(default_factory=asyncio.Event)
    engines_trouble: str = ""

    async def why_not_ready(self) -> str:
        """Empty when the server takes calls; otherwise what is missing."""
        if self.switchboard.draining:
            return "draining"
        if not self.engines_warm.is_set():
            return self.engines_trouble or "the engines are warming up"
        try:
            async with asyncio.timeout(DATABASE_SECONDS_MAX):
                await self.database.read(lambda session: session.execute(select(1)))
        except (DatabaseAway, TimeoutError):
            return "the database does not answer"
        return ""

    def settings_for(self, model: str) -> EngineSettings:
        """What a call of this model begins with. Clients name models of other houses; such a
        name is accepted, and means what the configuration says it does or else the dialogue
        engine of the configuration."""
        known = model in self.engines.order.dialogues
        return replace(self.settings, dialogue=model) if known else self.settings

    def describe(self, settings: EngineSettings) -> Mapping[str, object]:
        """Which engines these settings mean, for the page: names, and an honest notice."""
        return self.engines.describe(settings)


@asynccontextmanager
async def open_house(config: Config) -> AsyncIterator[House]:
    """Build everything; leaving ends all calls, bills them and lets go of everything."""
    async with AsyncExitStack() as stack:
        database = Database(config.database)
        stack.push_async_callback(database.close)
        await migrate(config.database)
        customers = Customers(
            database, currency=config.currency, demo_minutes=config.demo_minutes,
            local_credit=config.local_credit,
        )  # fmt: skip
        local = await customers.local_user()
        usage = Usage(
            database, server_id=secrets.token_hex(8), lease_seconds=config.lease_seconds,
            hold_minutes=config.hold_minutes,
        )  # fmt: skip
        turns = Turns(database)
        stack.push_async_callback(turns.close)
        engines = Registry(engine_options(config))
        stack.push_async_callback(engines.close)
        ears = SileroDetector()
        stack.push_async_callback(ears.close)
        await ears.start()
        workshop = Registry(replace(engine_options(config), background=True))
        recordings = Recordings(workers=config.transcriptions_max)
        encoders = Encoders(streams_max=config.speeches_max)
        for each in (workshop, recordings, encoders):
            stack.push_async_callback(each.close)
        directory = await _directory(config, stack)
        wheel = Wheel(asyncio.get_running_loop())
        stack.callback(wheel.close)
        vault = await _vault(config, stack)
        caller = Caller(local.user_id, local.name)
        switchboard = Switchboard(
            usage=usage, directory=directory, engine=engines.speech_to_speech, ears=ears,
            tariff=_tariff(config), limits=_limits(config), end_of_turn=engines.end_of_turn,
            prices=engine_prices(config.engine_prices, elsewhere(config)), keep_turns=turns.keep,
        )  # fmt: skip
        house = House(
            config=config, database=database, customers=customers, usage=usage, turns=turns,
            engines=engines, wheel=wheel, switchboard=switchboard,
            settings=engine_settings(config),
            rules=replace(call_rules(config), answers_sound=engines.answers_sound),
            workshop=workshop,
            recordings=recordings, encoders=encoders,
            uploads=Places(
                config.transcriptions_max * UPLOADS_PER_TRANSCRIPTION, what="recordings"
            ),
            transcriptions=Places(config.transcriptions_max, what="recordings"),
            speeches=Places(config.speeches_max, what="texts"),
            vault=vault,
            gate=Gate(
                key=config.api_key.get_secret_value(), local=caller, host=config.host, vault=vault
            ),
        )  # fmt: skip
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for work in (_warm_up(house), usage.keep_reaping(), turns.keep_writing()):
            stack.callback(group.create_task(work).cancel)
        await stack.enter_async_context(switchboard)
        yield house


async def _warm_up(house: House) -> None:
    """Have the engines ready before the first call needs them, however late that is."""
    while True:
        try:
            await house.engines.start()
        except EngineError as error:
            house.engines_trouble = f"an engine did not start: {error}"
            logger.error("not ready, trying again: %s", house.engines_trouble)
            await asyncio.sleep(WARM_UP_AGAIN_S)
        else:
            break
    # The first WebRTC call should not wait for this import.
    await asyncio.to_thread(__import__, "voice_server.calls.webrtc")
    house.engines_warm.set()


async def _directory(config: Config, stack: AsyncExitStack) -> Directory:
    if not config.redis_url:
        return MemoryDirectory()
    directory = RedisDirectory(config.redis_url)
    stack.push_async_callback(directory.close)
    return directory


async def _vault(config: Config, stack: AsyncExitStack) -> Vault:
    vault: Vault
    if config.redis_url:
        vault = RedisVault(config.redis_url, per_user_max=config.client_secrets_per_user_max)
    else:
        vault = MemoryVault(per_user_max=config.client_secrets_per_user_max)
    stack.push_async_callback(vault.close)
    return vault


def engine_options(config: Config) -> EngineOptions:
    return EngineOptions(
        speech_to_text=config.speech_to_text, dialogue=config.dialogue,
        text_to_speech=config.text_to_speech, speech_to_speech=config.speech_to_speech,
        whisper_model=config.whisper_model,
        models_dir=config.models_dir, espeak_workers=config.espeak_workers,
        sphinx_workers=config.sphinx_workers, chat=chat_options(config),
        audio_models=config.audio_models, hedge_ms=config.hedge_ms,
        openai=OpenAIOptions(
            api_key=config.openai_api_key.get_secret_value(), base_url=config.openai_base_url,
            transcription_model=config.openai_transcription_model,
            file_model=config.openai_file_model,
            speech_model=config.openai_speech_model, speech_voice=config.openai_voice,
            realtime_model=config.openai_realtime_model, realtime_voice=config.openai_voice,
            realtime_effort=config.openai_realtime_effort,
        ),
        yandex=YandexOptions(
            api_key=config.yandex_api_key.get_secret_value(),
            iam_token=config.yandex_iam_token.get_secret_value(),
            folder_id=config.yandex_folder_id, stt_endpoint=config.yandex_stt_endpoint,
            tts_endpoint=config.yandex_tts_endpoint, tls=config.yandex_tls,
        ),
        elevenlabs=ElevenLabsOptions(
            api_key=config.elevenlabs_api_key.get_secret_value(),
            base_url=config.elevenlabs_base_url, model=config.elevenlabs_model,
            voice=config.elevenlabs_voice,
        ),
        kokoro=LocalVoiceOptions(models_dir=config.models_dir),
        piper=LocalVoiceOptions(models_dir=config.models_dir),
    )  # fmt: skip


def chat_options(config: Config) -> ChatOptions:
    return ChatOptions(
        base_url=config.chat_address, api_key=config.chat_key, model=config.chat_model,
        models=config.chat_models, patience_s=config.chat_seconds_max,
        limit_field=config.chat_limit_field, reasoning_effort=config.chat_reasoning_effort,
    )  # fmt: skip


def engine_settings(config: Config) -> EngineSettings:
    """What a call begins with; its client may change it."""
    return EngineSettings(
        speech_to_text=config.speech_to_text, dialogue=config.dialogue,
        text_to_speech=config.text_to_speech,
    )  # fmt: skip


def call_rules(config: Config) -> Rules:
    return replace(
        Rules(), idle_ms_max=config.idle_seconds_max * 1_000, filler_ms=config.filler_ms,
        prepare_ms=config.prepare_ms,
    )  # fmt: skip


def _limits(config: Config) -> Limits:
    return Limits(
        calls_max=config.calls_max, calls_per_user_max=config.calls_per_user_max,
        call_minutes_max=config.call_minutes_max,
        heartbeat_s=config.lease_seconds / BEATS_PER_LEASE,
    )  # fmt: skip


def _tariff(config: Config) -> Callable[[Caller], PerMinute]:
    tariff = PerMinute(config.currency, config.price_per_minute)
    return lambda caller: tariff


def elsewhere(config: Config) -> set[tuple[str, str]]:
    """Roles in which `openai` is another server that speaks its protocols, and so does not
    charge what OpenAI does."""
    addresses = dict.fromkeys(ROLES, config.openai_base_url) | {"dialogue": config.chat_address}
    return {
        (role, "openai")
        for role, address in addresses.items()
        if address and urlsplit(address).hostname != OPENAI_HOST
    }
