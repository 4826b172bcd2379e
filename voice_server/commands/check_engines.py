"""Checks of the engines, each on the other's work: the voice speaks, the detector must find
speech in it, and the recogniser must find words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Finding

if TYPE_CHECKING:
    from engines.registry import Registry
    from engines.speech import PcmFrame
    from voice_server.config import Config

_TITLES = {
    "speech_to_text": "recogniser", "dialogue": "dialogue", "text_to_speech": "voice",
    "speech_to_speech": "conversation",
}  # fmt: skip
_SENTENCE = "Hello, how are you today?"
_MODELS = "voice-server models pull base"
_CHAT = "To talk with a chat model: VOICE_SERVER_DIALOGUE=openai and VOICE_SERVER_CHAT_API_KEY."
_CHAT_REMEDY = (
    "Check VOICE_SERVER_CHAT_BASE_URL (it usually ends in /v1), VOICE_SERVER_CHAT_API_KEY and "
    "that the server runs."
)


async def check_voice(config: Config) -> list[Finding]:
    """Each configured voice says a sentence; with a vendor that costs a fraction of a cent."""
    from engines.roster import split

    names = split(config.text_to_speech)
    return _graded([await _check_voice(config, name) for name in names])


async def _check_voice(config: Config, name: str) -> Finding:
    from engines.roster import TEXT_TO_SPEECH
    from engines.speech import EngineError

    if missing := _missing(config, TEXT_TO_SPEECH, name):
        return missing
    try:
        async with _started(config, speaks=name) as registry:
            spoken_ms = len(await _spoken(registry, name)) * 32
    except EngineError as error:
        return Finding(PROBLEM, "voice", f"{name}: {error}", _remedy(TEXT_TO_SPEECH, name))
    if spoken_ms < 500:
        said = f"{name} made {spoken_ms} ms of sound for a sentence"
        return Finding(PROBLEM, "voice", said, _remedy(TEXT_TO_SPEECH, name))
    return Finding(OK, "voice", f"{name} speaks")


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
    """Each configured recogniser hears a sentence, and every language is heard by somebody."""
    from engines.order import Order
    from engines.roster import AUTO, LANGUAGES, SPEECH_TO_TEXT
    from voice_server.web.house import engine_options

    order, usual = Order(engine_options(config)), LANGUAGES[0]
    kind, found = SPEECH_TO_TEXT, list[Finding]()
    usable, _ = order.candidates(kind, "", usual)
    named = [name for name in order.configured(kind) if name != AUTO]
    for name in dict.fromkeys([*named, *usable]):
        notice = order.hears(name, usual)[1]
        missing = _missing(config, kind, name)
        found.append(missing or await _check_ears(config, name, notice))
    found = _graded(found)
    for language in LANGUAGES:
        name, notice = order.hears(config.speech_to_text, language)
        if not name and (language != usual or not found):
            level = PROBLEM if language == usual else WARNING
            found.append(Finding(level, "recogniser", f"{language}: {notice}"))
    return found


async def _check_ears(config: Config, name: str, notice: str) -> Finding:
    from engines.roster import SPEECH_TO_TEXT
    from engines.speech import EngineError

    try:
        async with _started(config, hears=name) as registry:
            heard = await _heard(registry, name, await _spoken(registry, "espeak"))
    except EngineError as error:
        remedy = _remedy(SPEECH_TO_TEXT, name)
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


async def check_conversation(config: Config) -> list[Finding]:
    """The engine that hears and speaks at once, where one is configured: its vendor is asked for
    its models, which costs nothing."""
    from engines.openai.chat import ChatDialogue, ChatOptions
    from engines.roster import SPEECH_TO_SPEECH, split
    from engines.speech import EngineError

    found = list[Finding]()
    for name in split(config.speech_to_speech):
        if missing := _missing(config, SPEECH_TO_SPEECH, name):
            found.append(missing)
            continue
        if name != "openai-realtime":
            found.append(Finding(OK, _TITLES[SPEECH_TO_SPEECH], f"{name} is configured"))
            continue
        model = config.openai_realtime_model
        key = config.openai_api_key.get_secret_value()
        asked = ChatDialogue(ChatOptions(config.openai_base_url, key, model))
        try:
            known = await asked.models()
        except EngineError as error:
            remedy = _remedy(SPEECH_TO_SPEECH, name)
            found.append(Finding(WARNING, _TITLES[SPEECH_TO_SPEECH], f"{name}: {error}", remedy))
        else:
            listed = model in known
            said = f"{name}: the vendor {'lists' if listed else 'does not list'} {model}"
            remedy = "" if listed else "Set VOICE_SERVER_OPENAI_REALTIME_MODEL."
            level = OK if listed else WARNING
            found.append(Finding(level, _TITLES[SPEECH_TO_SPEECH], said, remedy))
        finally:
            await asked.close()
    return found


async def check_dialogue(config: Config) -> list[Finding]:
    """What answers; a chat server is asked for its models, which costs nothing."""
    from engines.roster import CHAT, split

    names = split(config.dialogue)
    found = [await _check_mind(config, name) for name in names if name != CHAT]
    if CHAT in names or config.chat_models:
        found += await _check_chat(config, chosen=CHAT in names)
    return _graded(found)


async def _check_mind(config: Config, name: str) -> Finding:
    from engines.speech import EngineError

    try:
        async with _started(config, thinks=name):
            return Finding(OK, "dialogue", f"{name} needs no key", _CHAT)
    except EngineError as error:
        return Finding(PROBLEM, "dialogue", f"{name}: {error}", _CHAT)


async def _check_chat(config: Config, *, chosen: bool) -> list[Finding]:
    from engines.openai.chat import ChatDialogue
    from engines.speech import EngineError
    from voice_server.web.house import chat_options

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


def _missing(config: Config, kind: str, name: str) -> Finding | None:
    """What keeps an engine from being used here, as its line in the roster says."""
    from engines.roster import SPEECH_TO_SPEECH, listing
    from voice_server.web.house import engine_options

    line = listing(kind, name)
    why = "" if line is None else line.missing(engine_options(config))
    if not why:
        return None
    # Without an engine that does all at once, the others do it.
    level = WARNING if kind == SPEECH_TO_SPEECH else PROBLEM
    return Finding(level, _TITLES[kind], f"{name} cannot be used here", why)


def _remedy(kind: str, name: str) -> str:
    from engines.roster import OURS, listing

    line = listing(kind, name)
    if line is not None and line.owner != OURS:
        return f"Check the key and the address of {line.owner}, and that it can be reached."
    if kind == "speech_to_text":
        return f"Reinstall it, or pull other weights: {_MODELS}."
    return "Reinstall it, or choose another VOICE_SERVER_TEXT_TO_SPEECH."


def _graded(found: list[Finding]) -> list[Finding]:
    """What is wrong with one engine of a role is no problem while another does the work."""
    if all(finding.level == PROBLEM for finding in found):
        return found
    return [replace(each, level=WARNING) if each.level == PROBLEM else each for each in found]


@contextlib.asynccontextmanager
async def _started(
    config: Config, *, hears: str = "scripted", thinks: str = "tutor", speaks: str = "espeak"
) -> AsyncIterator[Registry]:
    """The engines of a check, ready. Raises `EngineError`."""
    from engines.registry import Registry
    from voice_server.web.house import engine_options

    options = replace(
        engine_options(config), speech_to_text=hears, dialogue=thinks, text_to_speech=speaks,
        speech_to_speech="",
    )
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
