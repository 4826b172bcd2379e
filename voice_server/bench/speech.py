"""What the callers say: recordings, or sentences spoken on the spot, and where speech ends.

Added latency counts from the end of speech, so that moment must not be a matter of taste: it
is where the detector that the server uses stops calling it speech, on the very sound the
server will get. A recording is cut before its first long pause, because there the server
would rightly answer; where it is cut within speech, speech ends with it.

How soon a reply yields counts from the beginning of the voice, and there the detector would be
a lenient judge, because it takes its time to be sure: it is where the sound becomes loud.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.audio import OpusDecoder, wav
from engines.silero import SileroDetector
from engines.speech import (
    PCM_FRAME_BYTES,
    PCM_FRAME_MS,
    PCM_RATE_HZ,
    EngineError,
    OpusFrame,
    PcmFrame,
)
from voice_server.client.clips import opus_packets, read_clip

from .load import Recording

SENTENCES = (
    "Could you please tell me once more what a verb is?",
    "I would like to practise the past tense today.",
    "How do I say that I have never been there before?",
)
_BYTES_PER_MS = 2 * PCM_RATE_HZ // 1_000
_TAIL_MS = 320
_SPEECH_MS_MIN, _SPEECH_MS_MAX = 600, 3_000
# What is said over a reply is short, so that there is time for many.
_OBJECTION_MS_MAX = 1_200
_PIECE_MS = 20
_PIECE = PCM_RATE_HZ * _PIECE_MS // 1_000
_LOUD_SHARE = 0.95
_SPEECH_ABOVE, _SILENCE_BELOW = 0.50, 0.35


class NoSpeech(Exception):
    """None of the recordings holds speech that can be used."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What callers say in their turn, and the shorter things they say over a reply."""

    turns: tuple[Recording, ...]
    objections: tuple[Recording, ...]


async def prepare(recordings: Sequence[Path], folder: Path, *, pause_ms: int) -> Speech:
    """Write each usable recording into `folder` as WAV, once for a turn and once for an
    objection. Without recordings eSpeak NG speaks. Raises `NoSpeech`, `BadAudio`."""
    detector = SileroDetector()
    await detector.start()
    try:
        sounds = [read_clip(path) for path in recordings] or [s async for s in spoken(SENTENCES)]
        turns = await _write(detector, sounds, folder / "turn", pause_ms, _SPEECH_MS_MAX)
        objections = await _write(detector, sounds, folder / "over", pause_ms, _OBJECTION_MS_MAX)
    finally:
        await detector.close()
    if not turns or not objections:
        raise NoSpeech("none of the recordings holds a stretch of speech that can be used")
    return Speech(turns, objections)


async def _write(
    detector: SileroDetector, sounds: Sequence[bytes], path: Path, pause_ms: int, longest_ms: int
) -> tuple[Recording, ...]:
    """The files are called as `path`, with a number and a suffix."""
    found = []
    for index, pcm in enumerate(sounds):
        with contextlib.suppress(NoSpeech):
            cut, speech_ms = await _cut(detector, pcm, pause_ms, longest_ms)
            file = path.with_name(f"{path.name}-{index}.wav")
            file.write_bytes(wav(cut, PCM_RATE_HZ))
            found.append(Recording(str(file), min(voice_begins_ms(cut), speech_ms), speech_ms))
    return tuple(found)


def voice_begins_ms(pcm: bytes) -> int:
    """Where speech (16 kHz, with little before it) becomes audible: the first 20 ms that are
    less than 20 dB below its loud parts. `pcm` holds 20 ms at least."""
    return _loud(np.frombuffer(pcm, "<i2"))


def voice_ends_ms(pcm: bytes) -> int:
    """Where it can no longer be heard, by the same measure."""
    samples = np.frombuffer(pcm, "<i2")
    return samples.size * 1_000 // PCM_RATE_HZ - _loud(samples[::-1])


def _loud(sound: npt.NDArray[np.int16]) -> int:
    samples = sound.astype(np.float64)
    pieces = samples[: samples.size // _PIECE * _PIECE].reshape(-1, _PIECE)
    loudness = np.sqrt(np.mean(pieces**2, axis=1))
    heard = loudness > np.quantile(loudness, _LOUD_SHARE) / 10
    return int(np.argmax(heard)) * _PIECE_MS


async def _cut(
    detector: SileroDetector, pcm: bytes, pause_ms: int, longest_ms: int
) -> tuple[bytes, int]:
    """The first stretch of speech without a pause that would end a turn."""
    begin_ms, end_ms = _stretch(await _probabilities(detector, pcm), pause_ms, longest_ms)
    begin_ms = max(0, begin_ms - _TAIL_MS)
    cut = pcm[begin_ms * _BYTES_PER_MS : (end_ms + _TAIL_MS) * _BYTES_PER_MS]
    # The server hears it after Opus and followed by quiet: measure the end on that.
    heard = _through_opus(cut + bytes(1_000 * _BYTES_PER_MS))
    _, speech_ms = _stretch(await _probabilities(detector, heard), pause_ms, len(heard))
    return cut, min(speech_ms, len(cut) // _BYTES_PER_MS)


def _stretch(probabilities: Sequence[float], pause_ms: int, longest_ms: int) -> tuple[int, int]:
    """Where speech begins and ends, in milliseconds, by the server's two thresholds."""
    begin = end = None
    for index, probability in enumerate(probabilities):
        if begin is None:
            begin = index if probability >= _SPEECH_ABOVE else None
        elif end is not None and (index - end) * PCM_FRAME_MS >= pause_ms - 2 * PCM_FRAME_MS:
            break
        if begin is not None and probability >= _SILENCE_BELOW:
            end = index
        if begin is not None and (index - begin) * PCM_FRAME_MS >= longest_ms:
            break
    if begin is None or end is None or (end - begin) * PCM_FRAME_MS < _SPEECH_MS_MIN:
        raise NoSpeech
    return begin * PCM_FRAME_MS, (end + 1) * PCM_FRAME_MS


async def _probabilities(detector: SileroDetector, pcm: bytes) -> list[float]:
    stream = detector.open()
    try:
        whole = len(pcm) - len(pcm) % PCM_FRAME_BYTES
        pieces = (pcm[i : i + PCM_FRAME_BYTES] for i in range(0, whole, PCM_FRAME_BYTES))
        return [await stream.probability(PcmFrame(piece)) for piece in pieces]
    finally:
        stream.close()


def _through_opus(pcm: bytes) -> bytes:
    decoder = OpusDecoder(PCM_RATE_HZ)
    return b"".join(decoder.decode(packet) for packet in opus_packets(pcm))


async def spoken(sentences: Sequence[str], language: str = "en") -> AsyncIterator[bytes]:
    """The sentences in eSpeak NG's voice, 16 kHz. Raises `NoSpeech`."""
    from engines.registry import Registry
    from engines.roster import EngineOptions

    registry = Registry(EngineOptions(speech_to_text="scripted", text_to_speech="espeak"))
    try:
        await registry.start()
        voice = registry.voice("espeak")
        for sentence in sentences:
            decoder = OpusDecoder(PCM_RATE_HZ)
            speech = voice.synthesize(sentence, voice="", language=language)
            async with contextlib.aclosing(speech) as sounds:
                yield b"".join(
                    [decoder.decode(s.packet) async for s in sounds if isinstance(s, OpusFrame)]
                )
    except EngineError as error:
        raise NoSpeech(f"eSpeak NG cannot speak ({error}); give recordings with --audio") from error
    finally:
        await registry.close()
