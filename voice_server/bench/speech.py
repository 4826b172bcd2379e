"""What the callers say: recordings, or sentences spoken on the spot, and where speech ends.

Added latency counts from the end of speech, so that moment must not be a matter of taste: it
is where the detector that the server uses stops calling it speech, on the very sound the
server will get. A recording is cut before its first long pause, because there the server
would rightly answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

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

SENTENCES = (
    "Could you please tell me once more what a verb is?",
    "I would like to practise the past tense today.",
    "How do I say that I have never been there before?",
)
_BYTES_PER_MS = 2 * PCM_RATE_HZ // 1_000
_TAIL_MS = 320
_SPEECH_MS_MIN, _SPEECH_MS_MAX = 600, 3_000
_SPEECH_ABOVE, _SILENCE_BELOW = 0.50, 0.35


class NoSpeech(Exception):
    """None of the recordings holds speech that can be used."""


async def prepare(
    recordings: Sequence[Path], folder: Path, *, pause_ms: int
) -> tuple[tuple[str, int], ...]:
    """Write each usable recording into `folder` as WAV; its path and where its speech ends,
    in milliseconds. Without recordings eSpeak NG speaks. Raises `NoSpeech`, `BadAudio`."""
    detector = SileroDetector()
    await detector.start()
    try:
        sounds = [read_clip(path) for path in recordings] or [s async for s in _spoken()]
        found: list[tuple[str, int]] = []
        for index, pcm in enumerate(sounds):
            with contextlib.suppress(NoSpeech):
                cut, speech_ms = await _cut(detector, pcm, pause_ms)
                path = folder / f"clip-{index}.wav"
                path.write_bytes(wav(cut, PCM_RATE_HZ))
                found.append((str(path), speech_ms))
    finally:
        await detector.close()
    if not found:
        raise NoSpeech("none of the recordings holds a stretch of speech that can be used")
    return tuple(found)


async def _cut(detector: SileroDetector, pcm: bytes, pause_ms: int) -> tuple[bytes, int]:
    """The first stretch of speech without a pause that would end a turn."""
    begin_ms, end_ms = _stretch(await _probabilities(detector, pcm), pause_ms, _SPEECH_MS_MAX)
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


async def _spoken() -> AsyncIterator[bytes]:
    """The sentences in eSpeak NG's voice, 16 kHz."""
    from engines.registry import EngineOptions, Registry

    registry = Registry(EngineOptions(speech_to_text="scripted", text_to_speech="espeak"))
    try:
        await registry.start()
        voice = registry.text_to_speech("espeak")
        for sentence in SENTENCES:
            decoder = OpusDecoder(PCM_RATE_HZ)
            speech = voice.synthesize(sentence, voice="", language="en")
            async with contextlib.aclosing(speech) as sounds:
                yield b"".join(
                    [decoder.decode(s.packet) async for s in sounds if isinstance(s, OpusFrame)]
                )
    except EngineError as error:
        raise NoSpeech(f"eSpeak NG cannot speak ({error}); give recordings with --audio") from error
    finally:
        await registry.close()
