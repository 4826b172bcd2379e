"""Lets each recogniser hear, and says how soon it shows words, when it is done, how fast it could
be, and how many words it heard wrongly.

A quarter of the recordings are heard as they are said, on a clock that runs with the sound, one
after another: two at once would measure each other. All of them are heard at once, as fast as the
recogniser can, for its speed and its words; but not by one that costs money, whose words are those
of the recordings it has heard live.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace

from engines import roster
from engines.failover.health import Health
from engines.failover.hearing import FailoverSpeechToText
from engines.failover.work import Candidate, Terms
from engines.registry import Registry
from engines.roster import AUTO, OURS, SPEECH_TO_TEXT, STAND_IN, EngineOptions, Listing
from engines.speech import PCM_FRAME_MS, EngineError, PcmFrame, SpeechToText
from voice_server.client.microphone import now_us

from .engine_figures import Absent, Heard, Hearings, RecogniserFigures, Shown, text_of
from .processes import spent_s
from .samples import Sample, evenly
from .words import errors

LIVE_SHARE = 4
# How long a recogniser may take beyond the sound itself, and in all for what it hears at once.
OVERTIME_S, AT_ONCE_S = 30.0, 90.0

Frames = AsyncGenerator[PcmFrame, None]


async def measure_recognisers(
    options: EngineOptions, names: Sequence[str], samples: Sequence[Sample],
    told: Callable[[str], None],
) -> AsyncIterator[RecogniserFigures | Absent]:  # fmt: skip
    """The figures of each recogniser, as they come, of all there are where none is named."""
    language = samples[0].language
    for name in names or known(options):
        line = roster.listing(SPEECH_TO_TEXT, name)
        if line is None:
            raise ValueError(f"there is no recogniser {name!r}")
        if why := line.missing(options) or _deaf(line, language):
            yield Absent(name, why)
            continue
        told(f"the recogniser {name}")
        yield await _measure(options, name, line, samples)


def known(options: EngineOptions) -> tuple[str, ...]:
    """Every recogniser there is, and the operator's own."""
    own = roster.split(options.speech_to_text)
    found = dict.fromkeys([*roster.EARS, *own])
    return tuple(name for name in found if name not in {STAND_IN, AUTO})


def _deaf(line: Listing, language: str) -> str:
    return "" if line.understands(language) else f"it does not understand {language!r}"


async def _measure(
    options: EngineOptions, name: str, line: Listing, samples: Sequence[Sample]
) -> RecogniserFigures | Absent:
    registry = Registry(replace(options, speech_to_text=name))
    language = samples[0].language
    try:
        ears = registry.ears(name, language)
        await registry.ready(ears)
        found = await _all(_whole(name, ears), samples, pays=line.owner != OURS)
    except EngineError as error:
        return Absent(name, str(error))
    finally:
        await registry.close()
    return found.figures(name, line.version(options), language)


def _whole(name: str, ears: SpeechToText) -> SpeechToText:
    """The recogniser as a call has it. Nobody stands by here: who fails is to be seen."""
    candidate = Candidate[SpeechToText](name, "", lambda: ears)
    return FailoverSpeechToText([candidate], Terms(Health()))


async def _all(ears: SpeechToText, samples: Sequence[Sample], *, pays: bool) -> Hearings:
    found = Hearings()
    for each in evenly(samples, -(-len(samples) // LIVE_SHARE)):
        await _counted(found, ears, each, live=True, counts=pays)
    until, before = time.monotonic() + AT_ONCE_S, spent_s()
    for each in [] if pays else samples:
        if time.monotonic() > until and found.clips:
            break
        await _counted(found, ears, each, live=False, counts=True)
    found.cpu_s = spent_s() - before
    return found


async def _counted(
    found: Hearings, ears: SpeechToText, sample: Sample, *, live: bool, counts: bool
) -> None:
    """Let it hear one recording; `counts`: its words do."""
    try:
        heard = await hear(ears, sample, live=live)
    except EngineError as error:
        found.failures.append(str(error))
        return
    if live:
        found.heard.append(heard)
    else:
        found.at_once_ms.append((heard.done_ms, len(sample.frames) * PCM_FRAME_MS))
    if counts:
        found.clips += 1
        found.errors += errors(sample.text, text_of(heard.shown), sample.language)


async def hear(ears: SpeechToText, sample: Sample, *, live: bool) -> Heard:
    """What is shown of one recording, and when. Raises `EngineError`."""
    sound_ms, begun_us = len(sample.frames) * PCM_FRAME_MS, now_us()
    shown: list[Shown] = []
    audio = _said(sample.frames, begun_us) if live else _at_once(sample.frames)
    try:
        async with asyncio.timeout(sound_ms / 1_000 + OVERTIME_S):
            async with contextlib.aclosing(
                ears.transcribe(audio, language=sample.language)
            ) as transcripts:
                async for each in transcripts:
                    at_ms = (now_us() - begun_us) / 1_000
                    shown.append(Shown(at_ms, each.text, each.final, each.words))
    except TimeoutError as error:
        raise EngineError(f"it was not done {OVERTIME_S:.0f} s after the sound") from error
    finally:
        await audio.aclose()
    done_ms = (now_us() - begun_us) / 1_000
    return Heard(sample.onset_ms, sound_ms if live else 0.0, done_ms, tuple(shown))


async def _said(frames: Sequence[PcmFrame], begun_us: int) -> Frames:
    """A frame comes when all of it has been said."""
    for number, frame in enumerate(frames, 1):
        left_us = begun_us + number * PCM_FRAME_MS * 1_000 - now_us()
        await asyncio.sleep(max(0, left_us) / 1e6)
        yield frame


async def _at_once(frames: Sequence[PcmFrame]) -> Frames:
    for frame in frames:
        await asyncio.sleep(0)
        yield frame
