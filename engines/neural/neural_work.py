"""What the workers of neural voices share: pieces of text in, packets and places out.

A job is a list of pieces, and one step of it is one piece; so many callers take turns at one
model, each waiting for a piece of another at most, and what the first piece of a text gives
leaves before the second is begun. A network that is at work is stopped at its next layer when
nobody wants its sound any more.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..audio import Resampler
from ..opus import OpusEncoder
from ..plain_text import plain
from ..serving import Assignment, JobCancelled, Message, Steps
from ..speech import EngineError
from ..tempo import Tempo
from .phoneme_times import Sounding, starts_ms, words_of

OPUS_HZ = 24_000
BITRATE = 40_000
# The level of speech, and how far a voice is brought to it.
SPEECH_DB, GAIN_DB_MAX = -20.0, 12.0
# Silence that a network leaves around a piece is cut, and what belongs there put in its place.
QUIET_DB, EDGE_MS, FRAME_MS = -45.0, 20, 5
SENTENCE_PAUSE_MS, CLAUSE_PAUSE_MS, WORD_PAUSE_MS = 240, 120, 40
# What is louder, where 1 is full scale, is no sound of a voice.
LOUDEST = 8.0
# Less sound than this does not tell how loud a voice is.
MEASURED_MS_MIN = 300
POLL_S = 0.01

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Said:
    """The sound of a piece, -1 to 1, when its phonemes begin (none where the network does not
    say) and the phonemes of each of its words alone."""

    samples: Samples
    soundings: Sequence[Sounding] = ()
    alone: Sequence[str] = field(default_factory=tuple)


class Neural(Protocol):
    """A network with a voice. `rate_hz` and `tempo` are those of the request: how much faster
    its sound is to be made afterwards."""

    def rate_hz(self, request: Message) -> int: ...

    def tempo(self, request: Message) -> float: ...

    def say(self, text: str, request: Message, assignment: Assignment) -> Said: ...


class Interruptible:
    """An ONNX session whose runs end when the job does for which they are."""

    def __init__(self, model: Path | bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # A run that is stopped is no fault to be reported.
        self._run_options = onnxruntime.RunOptions
        self._faults = faults()
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options, providers=["CPUExecutionProvider"],
            )  # fmt: skip
        except self._faults as error:
            raise EngineError("The voice's weights cannot be used; pull them again.") from error
        self._model_path = "" if isinstance(model, bytes) else str(model)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="network")
        self.assignment: Assignment | None = None

    def run(self, names: Sequence[str] | None, inputs: dict[str, Any], *_: Any) -> Any:
        """As the session's own. Raises `JobCancelled` and `EngineError`."""
        options = self._run_options()
        work = self._thread.submit(self._session.run, names, inputs, options)
        while not concurrent.futures.wait([work], POLL_S).done:
            if self.assignment is not None and self.assignment.cancelled:
                options.terminate = True
        if self.assignment is not None and self.assignment.cancelled:
            raise JobCancelled
        try:
            return work.result()
        except self._faults as error:
            raise EngineError("The voice could not make this sound.") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def faults() -> tuple[type[Exception], ...]:
    """What onnxruntime and those who use it raise over odd input; its own errors have no common
    kind."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [each for each in vars(state).values() if isinstance(each, type)]
    found = (each for each in own if issubclass(each, Exception))
    return (RuntimeError, ValueError, LookupError, *found)


def speaking(assignment: Assignment, neural: Neural, gains: dict[str, float]) -> Steps:
    """One job. Its request has the pieces, each with its place in the text, and each message of
    the caller lets the next one be made. `gains`: of the voices that were heard already."""
    request = assignment.request
    sending = _Sending(assignment, neural.rate_hz(request), neural.tempo(request), gains)
    last = len(request["pieces"]) - 1
    for number, (place, text) in enumerate(request["pieces"]):
        yield
        said = neural.say(plain(text), request, assignment)
        sending.send(place, text, said, last=number == last)


class _Sending:
    def __init__(
        self, assignment: Assignment, rate_hz: int, tempo: float, gains: dict[str, float]
    ) -> None:
        self._assignment, self._rate_hz, self._tempo_is = assignment, rate_hz, tempo
        self._voice, self._gains = str(assignment.request["voice"]), gains
        self._tempo = Tempo(rate_hz, tempo) if tempo != 1.0 else None
        self._resampler = Resampler(rate_hz, OPUS_HZ)
        self._encoder = OpusEncoder(OPUS_HZ, bitrate=BITRATE)
        self._sent = 0  # Samples at the voice's own rate.

    def send(self, place: int, text: str, said: Said, *, last: bool) -> None:
        """The sound of the piece at this place of the text, and where its words are."""
        sound, head = trimmed(said.samples, self._rate_hz)
        words = self._words(place, text, said, head)
        pause = np.zeros(self._pause_ms(text, last) * self._rate_hz // 1_000, np.float32)
        pcm = self._pcm(np.concatenate((sound, pause))) if len(sound) else b""
        self._sent += len(sound) + len(pause) if len(sound) else 0
        if self._tempo is not None:
            pcm = self._tempo.feed(pcm) + (self._tempo.flush() if last else b"")
        pcm = self._resampler.feed(pcm) + (self._resampler.flush() if last else b"")
        frames = self._encoder.encode(pcm) + (self._encoder.flush() if last else [])
        packets = [frame.packet for frame in frames]
        told = {"words": words, "sizes": [len(packet) for packet in packets]}
        self._assignment.send(told, b"".join(packets))

    def _words(self, place: int, text: str, said: Said, head: int) -> list[list[int]]:
        begins_ms = (self._sent - head) * 1_000 / self._rate_hz
        found = zip(words_of(text), starts_ms(said.alone, said.soundings), strict=False)
        return [
            [place + start, place + end, max(0, round((begins_ms + at_ms) / self._tempo_is))]
            for (start, end), at_ms in found
            if at_ms is not None
        ]

    def _pause_ms(self, text: str, last: bool) -> int:
        # What is said next begins with a piece of its own.
        mark = text.rstrip(" \n\"'»”’)]")[-1:]
        if last or mark in ".!?…\n":
            return SENTENCE_PAUSE_MS
        return CLAUSE_PAUSE_MS if mark in ",;:—" else WORD_PAUSE_MS

    def _pcm(self, sound: Samples) -> bytes:
        if self._voice not in self._gains:
            gain = _gain(sound, self._rate_hz)
            if len(sound) < MEASURED_MS_MIN * self._rate_hz // 1_000:
                return _s16(sound * gain)
            self._gains[self._voice] = gain
        return _s16(sound * self._gains[self._voice])


def _s16(sound: Samples) -> bytes:
    return np.clip(sound * 32_767, -32_768, 32_767).astype("<i2").tobytes()


def _levels(sound: Samples, rate_hz: int) -> Samples:
    """The mean power of every few milliseconds."""
    size = max(1, rate_hz * FRAME_MS // 1_000)
    whole = np.pad(sound, (0, -len(sound) % size)).reshape(-1, size)
    powers: Samples = (whole.astype(np.float32) ** 2).mean(axis=1)
    return powers


def trimmed(sound: Samples, rate_hz: int) -> tuple[Samples, int]:
    """The sound without the silence around it, and how many samples were cut at its head."""
    plain = np.nan_to_num(np.asarray(sound, np.float32).ravel(), posinf=0.0, neginf=0.0)
    sound = np.clip(plain, -LOUDEST, LOUDEST)
    levels = _levels(sound, rate_hz)
    if not len(levels) or levels.max() <= 0:
        return sound[:0], 0
    loud = np.nonzero(levels >= levels.max() * 10 ** (QUIET_DB / 10))[0]
    size, edge = max(1, rate_hz * FRAME_MS // 1_000), EDGE_MS * rate_hz // 1_000
    head = max(0, int(loud[0]) * size - edge)
    return sound[head : (int(loud[-1]) + 1) * size + edge], head


def _gain(sound: Samples, rate_hz: int) -> float:
    """What brings a voice to the level of speech, its pauses left out."""
    levels = _levels(sound, rate_hz)
    spoken = levels[levels > levels.max() / 1_000]
    if not len(spoken):
        return 1.0
    level_db = 10 * float(np.log10(spoken.mean()))
    return float(10 ** (min(max(SPEECH_DB - level_db, -GAIN_DB_MAX), GAIN_DB_MAX) / 20))
