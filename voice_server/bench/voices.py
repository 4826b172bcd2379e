"""Lets each voice speak, warm, and says how soon and how fast it does.

Each sentence is spoken in all ways one after another (`engine_figures.WAYS`), and which way comes
first goes round, so that what else the machine does falls on all of them. A voice that costs
money is asked in one way only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

from engines import roster
from engines.failover.health import Health
from engines.failover.speaking import FailoverTextToSpeech
from engines.failover.work import Candidate, Terms
from engines.registry import Registry
from engines.roster import OURS, STAND_IN, TEXT_TO_SPEECH, EngineOptions, Listing
from engines.speech import EngineError, OpusFrame, TextToSpeech
from voice_server.client.microphone import now_us

from .engine_figures import (
    BARE,
    DRESSED,
    WAYS,
    WHOLE,
    Absent,
    Spoken,
    VoiceFigures,
    voice_figures,
)
from .processes import spent_s
from .samples import sentences_of

# One round of the sentences is enough where every word costs money.
ROUNDS = 3
# No voice is measured for longer, nor waited for in one sentence.
VOICE_S, SENTENCE_S = 40.0, 30.0

Voices = Mapping[str, TextToSpeech]


async def measure_voices(
    options: EngineOptions, names: Sequence[str], language: str, told: Callable[[str], None]
) -> AsyncIterator[VoiceFigures | Absent]:
    """The figures of each voice, as they come, of all there are where none is named."""
    for name in names or known(options):
        line = roster.listing(TEXT_TO_SPEECH, name)
        if line is None:
            raise ValueError(f"there is no voice {name!r}")
        if why := line.missing(options) or _speechless(line, language):
            yield Absent(name, why)
            continue
        told(f"the voice {name}")
        yield await _measure(options, name, line, language)


def known(options: EngineOptions) -> tuple[str, ...]:
    """Every voice there is, and the operator's own."""
    own = roster.split(options.text_to_speech)
    return tuple(name for name in dict.fromkeys([*roster.VOICES, *own]) if name != STAND_IN)


def _speechless(line: Listing, language: str) -> str:
    return "" if line.understands(language) else f"it does not speak {language!r}"


async def _measure(
    options: EngineOptions, name: str, line: Listing, language: str
) -> VoiceFigures | Absent:
    registry = Registry(replace(options, text_to_speech=name))
    try:
        dressed = registry.voice(name)
        await registry.ready(dressed)
        voices: Voices = {
            BARE: registry.undressed(TEXT_TO_SPEECH, name), DRESSED: dressed,
            WHOLE: _whole(name, dressed),
        }  # fmt: skip
        ours, before = line.owner == OURS, spent_s()
        spoken, failures = await _all(
            voices if ours else {WHOLE: voices[WHOLE]}, language, ROUNDS if ours else 1
        )
        cpu_s = spent_s() - before
    except EngineError as error:
        return Absent(name, str(error))
    finally:
        await registry.close()
    return voice_figures(name, line.version(options), language, spoken, cpu_s, failures)


def _whole(name: str, voice: TextToSpeech) -> TextToSpeech:
    """The voice as a call has it. Nobody stands by here: who fails is to be seen."""
    candidate = Candidate[TextToSpeech](name, "", lambda: voice)
    return FailoverTextToSpeech([candidate], Terms(Health()))


async def _all(
    voices: Voices, language: str, rounds: int
) -> tuple[list[Mapping[str, Spoken]], list[str]]:
    """Every sentence in every way, until the time is over. What comes first warms up."""
    sentences, until = sentences_of(language), time.monotonic() + VOICE_S
    for way in WAYS:
        if way in voices:
            await _speak(way, voices[way], sentences[0], language)
    found: list[Mapping[str, Spoken]] = []
    failures: list[str] = []
    for number, sentence in enumerate(sentences * rounds):
        if found and time.monotonic() > until:
            break
        first = number % len(voices)
        ways = [*voices, *voices][first : first + len(voices)]
        try:
            spoken = {way: await _speak(way, voices[way], sentence, language) for way in ways}
        except EngineError as error:
            failures.append(str(error))
        else:
            found.append(spoken)
    return found, failures


async def _speak(way: str, voice: TextToSpeech, sentence: str, language: str) -> Spoken:
    """Raises `EngineError`, also when there was no sound."""
    first_us = frames = 0
    begun_us, cpu_ns = now_us(), time.thread_time_ns()
    try:
        async with asyncio.timeout(SENTENCE_S):
            stream = voice.synthesize(sentence, voice="", language=language)
            async with contextlib.aclosing(stream) as sounds:
                async for sound in sounds:
                    if isinstance(sound, OpusFrame):
                        first_us = first_us or now_us()
                        frames += 1
    except TimeoutError as error:
        raise EngineError(f"it did not say a sentence in {SENTENCE_S:.0f} s") from error
    cpu_us = (time.thread_time_ns() - cpu_ns) / 1_000
    if not frames:
        raise EngineError("it made no sound of a sentence")
    return Spoken(way, first_us - begun_us, now_us() - begun_us, cpu_us, frames)
