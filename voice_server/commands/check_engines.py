"""Checks of the engines, each on the other's work: the voice speaks, the detector must find
speech in it, and the recogniser must find words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Finding

if TYPE_CHECKING:
    from engines.registry import Registry
    from engines.speech import PcmFrame
    from voice_server.config import Config

_SENTENCE = "Hello, how are you today?"
_MODELS = "voice-server models pull base"
_CHAT = "To talk with a chat model: VOICE_SERVER_DIALOGUE=openai and VOICE_SERVER_CHAT_API_KEY."
_CHAT_REMEDY = (
    "Check VOICE_SERVER_CHAT_BASE_URL (it usually ends in /v1), VOICE_SERVER_CHAT_API_KEY and "
    "that the server runs."
)


async def check_voice(config: Config) -> list[Finding]:
    from engines.speech import EngineError

    try:
        async with _started(config, speaks=config.text_to_speech) as registry:
            spoken_ms = len(await _spoken(registry, config.text_to_speech)) * 32
    except EngineError as error:
        remedy = "Reinstall espeakng-loader, or choose another VOICE_SERVER_TEXT_TO_SPEECH."
        return [Finding(PROBLEM, "voice", f"{config.text_to_speech}: {error}", remedy)]
    if spoken_ms < 500:
        said = f"{config.text_to_speech} made {spoken_ms} ms of sound for a sentence"
        return [Finding(PROBLEM, "voice", said, "Reinstall espeakng-loader.")]
    return [Finding(OK, "voice", f"{config.text_to_speech} speaks")]


async def check_detector(config: Config) -> list[Finding]:
    from engines.silero import SileroDetector
    from engines.speech import EngineError

    detector = SileroDetector()
    try:
        async with _started(config) as registry:
            frames = await _spoken(registry, "espeak")
        await detector.start()
        stream = detector.open()
        with contextlib.closing(stream):
            highest = max([await stream.probability(frame) for frame in frames])
    except EngineError as error:
        remedy = "Reinstall silero-vad and onnxruntime."
        return [Finding(PROBLEM, "voice activity", f"Silero: {error}", remedy)]
    finally:
        await detector.close()
    if highest < 0.5:
        said = f"Silero hears no speech in a spoken sentence ({highest:.2f})"
        return [Finding(PROBLEM, "voice activity", said, "Reinstall silero-vad.")]
    return [Finding(OK, "voice activity", f"Silero hears speech ({highest:.2f})")]


async def check_recogniser(config: Config) -> list[Finding]:
    from engines.registry import Registry
    from engines.roster import LANGUAGES, EngineOptions

    options = EngineOptions(whisper_model=config.whisper_model, models_dir=config.models_dir)
    registry, found = Registry(options), []
    for language in LANGUAGES:
        name, notice = registry.order.hears(config.speech_to_text, language)
        if name and language == LANGUAGES[0]:
            found.append(await _check_ears(config, name, notice))
        elif not name:
            level = PROBLEM if language == LANGUAGES[0] else WARNING
            found.append(Finding(level, "recogniser", f"{language}: {notice}"))
    return found


async def _check_ears(config: Config, name: str, notice: str) -> Finding:
    from engines.speech import EngineError

    try:
        async with _started(config, hears=name) as registry:
            heard = await _heard(registry, name, await _spoken(registry, "espeak"))
    except EngineError as error:
        remedy = f"Reinstall it, or pull other weights: {_MODELS}."
        return Finding(PROBLEM, "recogniser", f"{name}: {error}", remedy)
    said = f"{name} heard {heard!r} for {_SENTENCE!r}"
    if not heard:
        return Finding(WARNING, "recogniser", said, f"Pull Whisper weights: {_MODELS}.")
    return Finding(OK, "recogniser", said, notice)


async def check_whisper(config: Config) -> list[Finding]:
    from engines.roster import whisper_weights

    where = await asyncio.to_thread(whisper_weights, config.whisper_model, config.models_dir)
    if where is not None:
        return [Finding(OK, "Whisper", f"weights of {config.whisper_model} in {where}")]
    said = f"no weights of {config.whisper_model} in {config.models_dir}"
    remedy = f"For better ears: voice-server models pull {config.whisper_model}."
    level = PROBLEM if config.speech_to_text == "whisper" else OK
    return [Finding(level, "Whisper", said, remedy)]


async def check_dialogue(config: Config) -> list[Finding]:
    """What answers; a chat server is asked for its models, which costs nothing."""
    from engines.openai_chat import ChatDialogue
    from engines.speech import EngineError
    from voice_server.web.house import chat_options

    chosen = config.dialogue == "openai"
    if not chosen and not config.chat_models:
        return [Finding(OK, "dialogue", f"{config.dialogue} needs no key", _CHAT)]
    level, options = PROBLEM if chosen else WARNING, chat_options(config)
    if options.missing:
        said, _, remedy = options.missing.partition(": ")
        return [Finding(level, "dialogue", said, f"{remedy[:1].upper()}{remedy[1:]}.")]
    chat = ChatDialogue(options)
    try:
        known = await chat.models()
    except EngineError as error:
        return [Finding(level, "dialogue", f"openai: {error}", _CHAT_REMEDY)]
    finally:
        await chat.close()
    wanted = dict.fromkeys([config.chat_model] * chosen + [*config.chat_models.values()])
    # Ollama lists what it calls the latest of a model.
    unknown = [model for model in wanted if not {model, f"{model}:latest"} & set(known)]
    if unknown:
        said = f"the chat server does not list {', '.join(unknown)}"
        some = f"It lists {', '.join(known[:5])}" if known else "It lists none"
        return [Finding(WARNING, "dialogue", said, f"{some}. Set VOICE_SERVER_CHAT_MODEL.")]
    return [Finding(OK, "dialogue", f"a chat server answers with {', '.join(wanted)}")]


async def check_turns(config: Config) -> list[Finding]:
    """Whether somebody hears that a turn has ended: for `semantic_vad`."""
    from engines.speech import EngineError
    from engines.turn_weights import NAME, find
    from engines.turns import SmartTurn

    pull = f"voice-server models pull {NAME}"
    weights = await asyncio.to_thread(find, config.models_dir)
    if weights is None:
        said = "no Smart Turn: semantic_vad goes by pauses and last words"
        return [Finding(OK, "end of turn", said, f"For a model that hears it: {pull}.")]
    ear = SmartTurn(weights)
    try:
        async with _started(config) as registry:
            frames = await _spoken(registry, "espeak")
        chance = await ear.probability(b"".join(frame.samples for frame in frames))
    except EngineError as error:
        said = f"{error} ({weights}): semantic_vad goes by pauses and last words"
        return [Finding(WARNING, "end of turn", said, f"Remove that file, then: {pull}.")]
    finally:
        await ear.close()
    return [Finding(OK, "end of turn", f"Smart Turn judged a sentence ({chance:.2f})")]


@contextlib.asynccontextmanager
async def _started(
    config: Config, *, hears: str = "scripted", speaks: str = "espeak"
) -> AsyncIterator[Registry]:
    """The engines of a check, ready. Raises `EngineError`."""
    from engines.registry import Registry
    from engines.roster import EngineOptions

    options = EngineOptions(
        speech_to_text=hears, text_to_speech=speaks, whisper_model=config.whisper_model,
        models_dir=config.models_dir,
    )  # fmt: skip
    registry = Registry(options)
    try:
        await registry.start()
        yield registry
    finally:
        await registry.close()


async def _spoken(registry: Registry, voice: str) -> list[PcmFrame]:
    """What the voice makes of a sentence, as a microphone would hear it."""
    from engines.audio import OpusDecoder, PcmFramer
    from engines.speech import PCM_RATE_HZ, OpusFrame

    decoder, framer = OpusDecoder(PCM_RATE_HZ), PcmFramer()
    frames: list[PcmFrame] = []
    speech = registry.voice(voice).synthesize(_SENTENCE, voice="", language="en")
    async with contextlib.aclosing(speech) as sounds:
        async for sound in sounds:
            if isinstance(sound, OpusFrame):
                frames += framer.feed(decoder.decode(sound.packet))
    return [*frames, *framer.flush()]


async def _heard(registry: Registry, name: str, frames: list[PcmFrame]) -> str:
    async def stream() -> AsyncIterator[PcmFrame]:
        for frame in frames:
            yield frame
            await asyncio.sleep(0)

    said = []
    words = registry.ears(name, "en").transcribe(stream(), language="en")
    async with contextlib.aclosing(words) as transcripts:
        async for transcript in transcripts:
            if transcript.final:
                said.append(transcript.text.strip())
    return " ".join(filter(None, said))
