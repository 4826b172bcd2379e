"""The worker that speaks with Kokoro, through kokoro-onnx.

The text becomes sounds by eSpeak NG, which that package brings along under the GPL; so both
live here, apart from the server.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..serving import Assignment, Message, Options, Steps, Work, serve
from ..speech import EngineError
from .neural_work import Interruptible, Neural, Said, faults, speaking
from .phoneme_times import Sounding, words_of

RATE_HZ = 24_000
# What the network itself can do; the rest is done to its sound.
SPEED_MIN, SPEED_MAX = 0.5, 2.0
WARM_TEXT = "Hello."


class Kokoro(Neural):
    def __init__(self, model: Path, voices: Path, threads: int) -> None:
        from kokoro_onnx import Kokoro

        self._session, self._faults = Interruptible(model, threads), faults()
        try:
            self._kokoro = Kokoro.from_session(self._session, str(voices))
        # What these libraries raise for damaged files: anything that parsing can.
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise EngineError("Kokoro's voices cannot be used; pull them again.") from error
        self._accents: set[str] = set()

    def rate_hz(self, request: Message) -> int:
        return RATE_HZ

    def tempo(self, request: Message) -> float:
        return float(request["speed"] / self._made(request))

    def _made(self, request: Message) -> float:
        return min(max(float(request["speed"]), SPEED_MIN), SPEED_MAX)

    def say(self, text: str, request: Message, assignment: Assignment | None) -> Said:
        accent = request["accent"]
        phonemes = self._phonemes(text, accent)
        if not any(map(str.isalpha, phonemes)):
            return Said(np.zeros(0, np.float32))
        self._session.assignment = assignment
        try:
            samples, _, timings = self._kokoro.create_timed(
                phonemes, request["voice"], self._made(request), accent, is_phonemes=True,
                trim=False,
            )  # fmt: skip
        except self._faults as error:
            raise EngineError("Kokoro could not say this.") from error
        soundings = [Sounding(each.phoneme, round(each.start * 1_000)) for each in timings]
        words = [text[start:end] for start, end in words_of(text)] if soundings else []
        return Said(samples, soundings, [self._phonemes(word, accent) for word in words])

    def _phonemes(self, text: str, accent: str) -> str:
        """The sounds of a text. For every accent a copy of the library is loaded, whose file
        would stay behind when this process is ended; it is not needed once it is loaded."""
        phonemize: Callable[[str, str], str] = self._kokoro.tokenizer.phonemize
        if accent in self._accents:
            return phonemize(text, accent)
        with tempfile.TemporaryDirectory(prefix="kokoro-") as tempfile.tempdir:
            try:
                return phonemize(text, accent)
            finally:
                tempfile.tempdir = None
                self._accents.add(accent)


def prepare(options: Options) -> Work:
    kokoro = Kokoro(
        Path(str(options["model"])), Path(str(options["voices"])), int(options["threads"])
    )
    # The first call should not wait for what every call needs.
    warm = {"speed": 1.0, "accent": options["accent"], "voice": options["voice"]}
    kokoro.say(WARM_TEXT, warm, None)
    gains: dict[str, float] = {}

    def work(assignment: Assignment) -> Steps:
        return speaking(assignment, kokoro, gains)

    return work


if __name__ == "__main__":
    serve(prepare)
