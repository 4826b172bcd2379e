"""Whisper's weights at work: pieces of sound in, believed words out, several pieces at once.

The four steps of a look (spectrum, encoder, words, times) take a batch of looks of one kind,
and between the steps those are given up for whom nobody waits any more. Everything here runs
in the recogniser's threads.

A graphics card is used where there is one that works. Its libraries may be missing or of
another version, and then they do not raise an error but end the process; so a child tries them
first, and where that fails the processor does the work and the log says so.
"""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..silero import Network, package_network
from ..speech import EngineError, Word
from .order import batch_that_pays
from .stretch import BYTES_PER_MS, QUIET, Hearing, peak
from .trust import Evidence, Trust, unlooped

# Nobody speaks more; a model that repeats itself would otherwise fill its whole window.
TOKENS_PER_S, TOKENS_SPARE, TOKENS_MAX = 15, 24, 220
PROMPT_TOKENS_MAX = 100
BEAM = 3
TIME_STEP_S = 0.02
FIRST_TIME_STEPS_MAX = 50
# A model may place a word or a segment this far beside its sound.
ASIDE_MS, WORD_ASIDE_MS = 200, 500
LANGUAGE_MS_MAX = 30_000
TRY_S = 180.0
MEASURED_TOKENS = 20

_log = logging.getLogger(__name__)

Piece = dict[str, Any]
"""A segment as faster-whisper has it: tokens, start and end in seconds, seek, and its words."""


class Listener:
    """A loaded model. `device`: cpu or cuda. `network`: hears where there is a voice."""

    def __init__(self, model: Any, trust: Trust, network: Network, device: str = "cpu") -> None:
        self._model, self._trust, self.network, self.device = model, trust, network, device

    @property
    def multilingual(self) -> bool:
        return bool(self._model.model.is_multilingual)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._model.supported_languages)

    def hear(self, hearings: Sequence[Hearing]) -> list[list[Word]]:
        """The words of each piece of sound, all of one kind; none for those who have left, and
        none where there is no voice. Raises `EngineError`."""
        found: list[list[Word]] = [[] for _ in hearings]
        groups: dict[int, list[tuple[int, list[int]]]] = {}
        for place, hearing in enumerate(hearings):
            if self._is_worth_it(hearing):
                prompt = self._prompt(hearing)
                # One batch has its prompts equally long.
                groups.setdefault(len(prompt), []).append((place, prompt))
        for group in groups.values():
            asked = [hearings[place] for place, _ in group]
            try:
                words = self._words(asked, [prompt for _, prompt in group])
            except (RuntimeError, ValueError) as error:
                raise EngineError("Whisper could not make sense of this sound.") from error
            for (place, _), each in zip(group, words, strict=True):
                found[place] = each
        return found

    def _is_worth_it(self, hearing: Hearing) -> bool:
        if hearing.left.is_set():
            return False
        hearing.voicing.catch_up()
        return hearing.voiced_ms(0, hearing.length_ms) >= self._trust.voiced_ms_min

    def _words(
        self, hearings: Sequence[Hearing], prompts: Sequence[list[int]]
    ) -> list[list[Word]]:
        gone: list[list[Word]] = [[] for _ in hearings]
        tokenizer = self._tokenizer(hearings[0])
        spectra = np.stack([self._spectrum(hearing.sound) for hearing in hearings])
        if _all_left(hearings):
            return gone
        encoded = self._model.encode(spectra)
        if _all_left(hearings):
            return gone
        results = self._generated(encoded, hearings, prompts, tokenizer)
        if _all_left(hearings):
            return gone
        pieces = [
            list(_pieces(result.sequences_ids[0], tokenizer.timestamp_begin, hearing.length_ms))
            for result, hearing in zip(results, hearings, strict=True)
        ]
        self._add_times(pieces, tokenizer, encoded, hearings)
        return [
            unlooped(list(self._believed(hearing, result, parts, tokenizer)))
            for hearing, result, parts in zip(hearings, results, pieces, strict=True)
        ]

    def _spectrum(self, sound: bytes) -> Any:
        from faster_whisper.audio import pad_or_trim

        samples = np.frombuffer(sound, "<i2").astype(np.float32) / 32_768
        # The last frame is of the extractor's own padding.
        return pad_or_trim(self._model.feature_extractor(samples)[..., :-1])

    def _tokenizer(self, hearing: Hearing) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        asking = hearing.asking
        return Tokenizer(
            self._model.hf_tokenizer, self.multilingual, asking.task, asking.language
        )

    def _prompt(self, hearing: Hearing) -> list[int]:
        tokenizer = self._tokenizer(hearing)
        said = hearing.prompt.strip()
        before = tokenizer.encode(f" {said}")[-PROMPT_TOKENS_MAX:] if said else []
        hotwords = hearing.asking.hotwords or None
        prompt: list[int] = self._model.get_prompt(tokenizer, before, hotwords=hotwords)
        return prompt

    def _generated(
        self, encoded: Any, hearings: Sequence[Hearing], prompts: Sequence[list[int]],
        tokenizer: Any,
    ) -> list[Any]:  # fmt: skip
        from faster_whisper.transcribe import get_suppressed_tokens

        longest_s = max(hearing.length_ms for hearing in hearings) // 1_000
        tokens_max = min(TOKENS_MAX, TOKENS_SPARE + TOKENS_PER_S * longest_s)
        results: list[Any] = self._model.model.generate(
            encoded,
            list(prompts),
            beam_size=BEAM if hearings[0].final else 1,
            max_length=min(self._model.max_length, len(prompts[0]) + tokens_max),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            max_initial_timestamp_index=FIRST_TIME_STEPS_MAX,
        )
        return results

    def _add_times(
        self, pieces: list[list[Piece]], tokenizer: Any, encoded: Any,
        hearings: Sequence[Hearing],
    ) -> None:  # fmt: skip
        frames = [hearing.length_ms // 10 for hearing in hearings]
        self._model.add_word_timestamps(
            pieces, tokenizer, encoded, frames, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、", 0.0
        )

    def _believed(
        self, hearing: Hearing, result: Any, pieces: Sequence[Piece], tokenizer: Any
    ) -> Iterator[Word]:
        tokens = result.sequences_ids[0]
        logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        for piece in pieces:
            text = tokenizer.decode(piece["tokens"]).strip()
            start_ms, end_ms = round(piece["start"] * 1_000), round(piece["end"] * 1_000)
            voiced_ms = hearing.voiced_ms(start_ms - ASIDE_MS, end_ms + ASIDE_MS)
            length_ms = max(0, end_ms - start_ms)
            evidence = Evidence(
                text, result.no_speech_prob, logprob, compression_of(text), length_ms, voiced_ms
            )
            if text and self._trust.believes(evidence):
                yield from audible(piece["words"], hearing)

    def language(self, sound: bytes) -> str:
        """The language (ISO 639) of this sound, of which half a minute is heard at most. Raises
        `EngineError`."""
        samples = np.frombuffer(sound[: LANGUAGE_MS_MAX * BYTES_PER_MS], "<i2")
        try:
            found, *_ = self._model.detect_language(samples.astype(np.float32) / 32_768)
        except (RuntimeError, ValueError) as error:
            raise EngineError("Whisper could not tell the language of this sound.") from error
        return str(found)

    def batch_that_pays(self) -> int:
        """How many looks this machine should make in one go. On a processor always one: its
        cores are busy with that one already, and a batch only makes everybody wait for the last.
        """
        if self.device == "cpu":
            return 1
        return batch_that_pays(self.took_s)

    def took_s(self, batch: int) -> float:
        """For how long this machine works at so many looks in one go."""
        self._look(batch)  # The first of a size also finds room in memory for it.
        began = time.monotonic()
        self._look(batch)
        return time.monotonic() - began

    def _look(self, batch: int) -> None:
        mels, frames = self._model.model.n_mels, self._model.feature_extractor.nb_max_frames
        encoded = self._model.encode(np.zeros((batch, mels, frames), np.float32))
        start = self._model.hf_tokenizer.token_to_id("<|startoftranscript|>")
        end = self._model.hf_tokenizer.token_to_id("<|endoftext|>")
        self._model.model.generate(
            encoded, [[start]] * batch, beam_size=1, max_length=MEASURED_TOKENS,
            suppress_tokens=[end],
        )  # fmt: skip


def _all_left(hearings: Sequence[Hearing]) -> bool:
    return all(hearing.left.is_set() for hearing in hearings)


def _pieces(tokens: Sequence[int], first_time: int, length_ms: int) -> Iterator[Piece]:
    """The segments between the times that Whisper wrote among its words; the last one may lack
    its end. `first_time`: the token of the time 0."""
    cuts = [
        place
        for place in range(1, len(tokens))
        if tokens[place] >= first_time and tokens[place - 1] >= first_time
    ]
    before_s, length_s = 0.0, length_ms / 1_000
    for begin, end in itertools.pairwise([0, *cuts, len(tokens)]):
        part = list(tokens[begin:end])
        times = [min((t - first_time) * TIME_STEP_S, length_s) for t in part if t >= first_time]
        start_s = times[0] if part and part[0] >= first_time else before_s
        end_s = times[-1] if times and part[-1] >= first_time and len(part) > 1 else length_s
        before_s = max(start_s, end_s)
        yield {"tokens": part, "start": start_s, "end": before_s, "seek": 0}


def compression_of(text: str) -> float:
    """How many times shorter the text becomes by compressing; a text that repeats itself, much."""
    from faster_whisper.transcribe import get_compression_ratio

    return float(get_compression_ratio(text)) if text else 0.0


def audible(words: Sequence[Piece], hearing: Hearing) -> Iterator[Word]:
    """The words that lie where there is sound, and a voice not far; with their times in the
    stream."""
    for word in words:
        start_ms = min(max(0, round(word["start"] * 1_000)), hearing.length_ms)
        end_ms = min(max(start_ms, round(word["end"] * 1_000)), hearing.length_ms)
        span = hearing.sound[start_ms * BYTES_PER_MS : max(end_ms, start_ms + 1) * BYTES_PER_MS]
        near_ms = hearing.voiced_ms(start_ms - WORD_ASIDE_MS, end_ms + WORD_ASIDE_MS)
        if peak(span) >= QUIET and near_ms > 0:
            yield Word(word["word"], hearing.start_ms + start_ms, hearing.start_ms + end_ms)


# Loading.


def load(
    directory: Path, *, decoders: int, trust: Trust, device: str = "auto",
    tries: Callable[[Path], str] | None = None,
) -> Listener:  # fmt: skip
    """Load the weights, on a graphics card (`device` auto or cuda) where that works. `tries` is
    how that is found out: it gives the reason why not. Raises `EngineError`."""
    chosen = "cpu" if device == "cpu" else _card_or_not(directory, tries or _tried)
    model = open_weights(directory, decoders, chosen)
    return Listener(model, trust, package_network(), chosen)


def _card_or_not(directory: Path, tries: Callable[[Path], str]) -> str:
    import ctranslate2

    if ctranslate2.get_cuda_device_count() == 0:
        return "cpu"
    if reason := tries(directory):
        _log.warning(
            "Whisper runs on the processor: there is a graphics card, but it cannot be used (%s). "
            "It needs the CUDA 12 libraries cuBLAS and cuDNN 9.", reason,
        )  # fmt: skip
        return "cpu"
    return "cuda"


def _tried(directory: Path) -> str:
    """Let a child hear something with the card; why that failed, empty when it did not."""
    command = [sys.executable, "-m", "engines.whisper.card", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TRY_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return "it did not answer"
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:300] if said else f"exit status {done.returncode}"


def open_weights(directory: Path, decoders: int, device: str) -> Any:
    """faster-whisper's model of this directory. Raises `EngineError`."""
    import faster_whisper

    try:
        return faster_whisper.WhisperModel(
            str(directory),
            device=device,
            compute_type="auto",
            num_workers=decoders,
            local_files_only=True,
        )
    # What these libraries raise for damaged files: anything that parsing can.
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        raise EngineError(
            f"Whisper's weights in {directory.name} cannot be used; pull them again."
        ) from error
