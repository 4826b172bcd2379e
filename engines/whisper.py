"""Local Whisper through faster-whisper: better ears, once somebody has pulled the weights.

One model is shared by all streams and lives in a small pool of threads of its own (CTranslate2
lets go of the GIL). Whisper hears whole stretches, not streams; so the stretch so far is heard
again about every second, words that two hearings agree on are shown, and once more after its
end for the final.

    sound ──► stretch, at most 28 s ──every second──► hear again ──► agreement ──► partial
                 │ trimmed behind confirmed words
                 └── pause after 20 s, or the end of the sound ──► hear once more ──► final

Nothing here touches the network: weights that are not whole on the disk are an error that says
how to pull them. Partials begin only while the model is idle, so that finals never wait in a
queue of guesses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .agreement import LocalAgreement
from .models import directory_of, missing_from
from .speech import EngineError, PcmFrame, Transcript, Word

BYTES_PER_MS = 32
HOP_MS = 1_000
# Shorter sound than this is not worth a partial.
FIRST_MS = 600
TRIM_MS = 12_000
# A stretch ends at the first pause after this long, and in any case after that long: Whisper's
# own window is 30 s.
STRETCH_MS, STRETCH_MS_MAX = 20_000, 28_000
PAUSE_MS, CUT_WITHIN_MS, CUT_STEP_MS = 400, 2_000, 50
# A peak below this, of 32,767, is silence however one turns it.
QUIET = 100
PROMPT_CHARS = HOTWORDS_CHARS = 200
# Nobody speaks more; a model that repeats itself would otherwise fill its whole window.
TOKENS_PER_S, TOKENS_SPARE, TOKENS_MAX = 15, 24, 220
DETECT_FRAMES_MAX = 30_000 // 32


@dataclass(frozen=True, slots=True)
class Trust:
    """When to believe a segment. Whisper makes words up in silence: it then says itself that
    there may be no speech, is unsure of its words, or repeats itself."""

    no_speech_max: float = 0.6
    # How sure of its words it must be (mean log probability) where it doubts that it is speech.
    doubtful_min: float = -0.5
    logprob_min: float = -1.5
    compression_max: float = 2.4

    def believes(self, no_speech: float, logprob: float, compression: float) -> bool:
        if no_speech > self.no_speech_max and logprob < self.doubtful_min:
            return False
        return logprob >= self.logprob_min and compression <= self.compression_max


@dataclass(frozen=True, slots=True)
class _Hearing:
    """One look at one piece of sound. Times of its words count from the stream's start."""

    sound: bytes
    start_ms: int
    language: str
    hotwords: str
    prompt: str
    final: bool
    task: str = "transcribe"
    left: threading.Event = field(default_factory=threading.Event)


class WhisperSpeechToText:
    """A `SpeechToText`. `model` is a name ("base") or a directory of converted weights.

    `decoders` hearings run at once, each on its share of the cores. Without `partials` only
    finals are heard: half the work, for whoever does not listen live. `nice`: how far its
    threads stand back behind others, 0 to 19."""

    def __init__(
        self, model: str, models_dir: Path, *, decoders: int = 1, trust: Trust | None = None,
        partials: bool = True, nice: int = 0,
    ) -> None:  # fmt: skip
        self._name, self._directory = model, directory_of(model, models_dir)
        self._decoders, self._trust, self._partials = decoders, trust or Trust(), partials
        self._threads = ThreadPoolExecutor(
            decoders, thread_name_prefix="whisper", initializer=_stand_back, initargs=(nice,)
        )
        self._model: Any = None
        self._loading: asyncio.Future[Any] | None = None
        self._counting = threading.Lock()
        self._hearings = 0  # Running or waiting for a thread.

    async def start(self) -> None:
        """Load the weights. Raises `EngineError`; a later call tries again."""
        await self._loaded()

    async def close(self) -> None:
        """Let go of the model; what is being heard is given up between two segments."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._model = None

    def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """The words of one stream. Raises `EngineError`."""
        return self._heard_as("transcribe", audio, language, expected)

    def translate(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """The words of one stream in English. Raises `EngineError`."""
        return self._heard_as("translate", audio, language, expected)

    async def detect_language(self, frames: Sequence[PcmFrame]) -> str:
        """The language (ISO 639) of this sound, of which half a minute is heard at most. Raises
        `EngineError`."""
        model = await self._loaded()
        if not model.model.is_multilingual:
            return "en"
        sound = b"".join(frame.samples for frame in frames[:DETECT_FRAMES_MAX])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _language, model, sound)

    async def _heard_as(
        self, task: str, audio: AsyncIterator[PcmFrame], language: str, expected: Sequence[str]
    ) -> AsyncGenerator[Transcript, None]:
        model = await self._loaded()
        language = language.casefold().partition("-")[0]
        if not model.model.is_multilingual and language != "en":
            raise EngineError(f"The weights of {self._name} understand English only.")
        if not model.model.is_multilingual and task == "translate":
            raise EngineError(f"The weights of {self._name} cannot translate.")
        stretch = _Stretch(language, ", ".join(expected)[:HOTWORDS_CHARS], task=task)
        guess: _Guess | None = None
        try:
            async for frame in audio:
                stretch.hear(frame.samples)
                if guess is not None and guess.words.done():
                    if stretch.take(await guess.words):
                        yield stretch.partial()
                    guess = None
                if stretch.must_end():
                    _give_up(guess)
                    guess = None
                    rest = stretch.cut()
                    yield await self._final(stretch)
                    stretch = rest
                elif guess is None and self._is_free() and stretch.is_due():
                    guess = self._hear(stretch.hearing(final=False))
            _give_up(guess)
            last = await self._final(stretch)
            if last.text or not stretch.follows:
                yield last
        finally:
            _give_up(guess)

    def _is_free(self) -> bool:
        """Whether a partial would keep no final waiting."""
        return self._partials and self._hearings < self._decoders

    async def _final(self, stretch: _Stretch) -> Transcript:
        if stretch.is_silent():
            return stretch.final(())
        guess = self._hear(stretch.hearing(final=True))
        try:
            return stretch.final(await guess.words)
        finally:
            _give_up(guess)

    def _hear(self, hearing: _Hearing) -> _Guess:
        with self._counting:
            self._hearings += 1
        try:
            job = self._threads.submit(_words, self._model, self._trust, hearing)
        except RuntimeError as error:
            self._heard(None)
            raise EngineError("The recogniser is shutting down.") from error
        job.add_done_callback(self._heard)
        return _Guess(hearing, asyncio.wrap_future(job))

    def _heard(self, _: Future[list[Word]] | None) -> None:
        with self._counting:
            self._hearings -= 1

    async def _loaded(self) -> Any:
        if self._model is not None:
            return self._model
        if missing := missing_from(self._directory):
            raise EngineError(
                f"Whisper's weights are not here ({', '.join(missing)} missing). "
                f"Fetch them with: voice-server models pull {self._name}"
            )
        if self._loading is None or self._loading.done():
            loop = asyncio.get_running_loop()
            self._loading = loop.run_in_executor(
                self._threads, _load, self._directory, self._decoders
            )
        # Shielded: the caller who happened to come first may leave.
        self._model = await asyncio.shield(self._loading)
        return self._model


@dataclass(frozen=True, slots=True)
class _Guess:
    """A hearing under way."""

    hearing: _Hearing
    words: asyncio.Future[list[Word]]


def _give_up(guess: _Guess | None) -> None:
    if guess is not None:
        guess.hearing.left.set()
        guess.words.cancel()


class _Stretch:
    """The sound since the last final, and what is known of its words."""

    def __init__(
        self, language: str, hotwords: str, start_ms: int = 0, prompt: str = "",
        task: str = "transcribe",
    ) -> None:  # fmt: skip
        self._language, self._hotwords, self._prompt = language, hotwords, prompt
        self._task = task
        self._start_ms = start_ms
        self._sound = bytearray()
        self._sound_ms = start_ms  # Where the kept sound begins.
        self._looked_ms = start_ms
        self._loudest = 0
        self._agreement = LocalAgreement()

    @property
    def _end_ms(self) -> int:
        return self._sound_ms + len(self._sound) // BYTES_PER_MS

    @property
    def follows(self) -> bool:
        """Whether a final has already been given before this stretch."""
        return self._start_ms > 0

    def hear(self, samples: bytes) -> None:
        self._sound += samples
        self._loudest = max(self._loudest, _peak(samples))

    def is_due(self) -> bool:
        """Whether another look is worth it."""
        wait_ms = HOP_MS if self._looked_ms > self._start_ms else FIRST_MS
        return self._end_ms - self._looked_ms >= wait_ms and not self.is_silent()

    def is_silent(self) -> bool:
        return self._loudest < QUIET

    def hearing(self, *, final: bool) -> _Hearing:
        self._looked_ms = self._end_ms
        said = "".join(word.text for word in self._agreement.confirmed)
        prompt = (self._prompt + said)[-PROMPT_CHARS:] if self._is_trimmed else self._prompt
        return _Hearing(
            bytes(self._sound), self._sound_ms, self._language, self._hotwords, prompt, final,
            self._task,
        )  # fmt: skip

    @property
    def _is_trimmed(self) -> bool:
        return self._sound_ms > self._start_ms

    def take(self, guess: Sequence[Word]) -> bool:
        """Learn from a look; whether it confirmed anything. Long sound loses what is sure."""
        confirmed = bool(self._agreement.feed(guess))
        sure_ms = min(self._agreement.confirmed_ms, self._end_ms)
        if self._end_ms - self._sound_ms > TRIM_MS and sure_ms > self._sound_ms:
            del self._sound[: (sure_ms - self._sound_ms) * BYTES_PER_MS]
            self._sound_ms = sure_ms
        return confirmed

    def must_end(self) -> bool:
        length_ms = self._end_ms - self._start_ms
        if length_ms < STRETCH_MS:
            return False
        pause = self._sound[-PAUSE_MS * BYTES_PER_MS :]
        return length_ms >= STRETCH_MS_MAX or _peak(pause) < max(QUIET, self._loudest // 20)

    def cut(self) -> _Stretch:
        """End here, or a little before where that is quieter; the rest begins the next."""
        keep = _quietest(self._sound)
        rest = self._sound[keep:]
        del self._sound[keep:]
        said = "".join(word.text for word in self._agreement.confirmed)[-PROMPT_CHARS:]
        following = _Stretch(self._language, self._hotwords, self._end_ms, said, self._task)
        following.hear(bytes(rest))
        return following

    def partial(self) -> Transcript:
        return self._transcript(self._agreement.confirmed, final=False)

    def final(self, guess: Sequence[Word]) -> Transcript:
        return self._transcript(self._agreement.finish(guess), final=True)

    def _transcript(self, words: Sequence[Word], *, final: bool) -> Transcript:
        # Whisper's words bring their own spaces, where the language has any.
        text = "".join(word.text for word in words).strip()
        plain = tuple(Word(word.text.strip(), word.start_ms, word.end_ms) for word in words)
        return Transcript(text, final, self._start_ms, self._end_ms, plain)


def _load(directory: Path, decoders: int) -> Any:
    import ctranslate2
    import faster_whisper

    on_gpu = ctranslate2.get_cuda_device_count() > 0
    try:
        return faster_whisper.WhisperModel(
            str(directory),
            device="cuda" if on_gpu else "cpu",
            compute_type="auto",
            num_workers=decoders,
            local_files_only=True,
        )
    # What these libraries raise for damaged files: anything that parsing can.
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        raise EngineError(
            f"Whisper's weights in {directory.name} cannot be used; pull them again."
        ) from error


def _stand_back(nice: int) -> None:
    """Begin a thread of the pool. On Linux a thread's niceness is its own, and that of the
    threads which it begins."""
    if nice and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def _language(model: Any, sound: bytes) -> str:
    """Runs in a thread."""
    import numpy as np

    try:
        found, *_ = model.detect_language(np.frombuffer(sound, "<i2").astype(np.float32) / 32_768)
    except (RuntimeError, ValueError) as error:
        raise EngineError("Whisper could not tell the language of this sound.") from error
    return str(found)


def _words(model: Any, trust: Trust, hearing: _Hearing) -> list[Word]:
    """The words of a piece of sound; none once nobody waits for them. Runs in a thread."""
    import numpy as np

    sound = np.frombuffer(hearing.sound, "<i2")
    found: list[Word] = []
    if hearing.left.is_set():
        return found
    try:
        segments, _ = model.transcribe(
            sound.astype(np.float32) / 32_768,
            language=hearing.language,
            task=hearing.task,
            beam_size=3 if hearing.final else 1,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=hearing.prompt or None,
            hotwords=hearing.hotwords or None,
            word_timestamps=True,
            max_new_tokens=min(TOKENS_MAX, TOKENS_SPARE + TOKENS_PER_S * len(sound) // 16_000),
        )
        for segment in segments:
            if hearing.left.is_set():
                break
            if trust.believes(
                segment.no_speech_prob, segment.avg_logprob, segment.compression_ratio
            ):
                found += _audible(segment.words or (), hearing)
    except (RuntimeError, ValueError) as error:
        raise EngineError("Whisper could not make sense of this sound or language.") from error
    return found


def _audible(words: Sequence[Any], hearing: _Hearing) -> list[Word]:
    """The words that lie where there is any sound at all, with their times in the stream."""
    length_ms = len(hearing.sound) // BYTES_PER_MS
    kept = []
    for word in words:
        start_ms = min(max(0, round(word.start * 1_000)), length_ms)
        end_ms = min(max(start_ms, round(word.end * 1_000)), length_ms)
        span = hearing.sound[start_ms * BYTES_PER_MS : max(end_ms, start_ms + 1) * BYTES_PER_MS]
        if _peak(span) >= QUIET:
            kept.append(Word(word.word, hearing.start_ms + start_ms, hearing.start_ms + end_ms))
    return kept


def _peak(sound: bytes | bytearray) -> int:
    """The loudest sample, 0 to 32,768; of no sound 0."""
    import numpy as np

    samples = np.frombuffer(bytes(sound), "<i2")
    return int(np.abs(samples.astype(np.int32)).max()) if samples.size else 0


def _quietest(sound: bytearray) -> int:
    """Where to cut so that no word is torn: behind the quietest moment near the end."""
    step = CUT_STEP_MS * BYTES_PER_MS
    last = len(sound) - len(sound) % 2
    first = max(step, last - CUT_WITHIN_MS * BYTES_PER_MS)
    return min(range(last, first - 1, -step), key=lambda at: _peak(sound[at - step : at]))
