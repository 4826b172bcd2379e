"""What the Yandex vendor server makes of sound: where somebody speaks, and the vendor's answers.

It cannot recognise words. It finds the sound that is loud enough to be speech, and answers as
the vendor would with words it was given beforehand, laid over just that sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import numpy as np
from yandex.cloud.ai.stt.v3 import stt_pb2

HEARD: Mapping[str, tuple[str, str]] = {
    "ru-RU": ("что такое глагол", "Что такое глагол?"),
    "en-US": ("what is a verb", "What is a verb?"),
}
LANGUAGES = frozenset(
    "ru-RU en-US de-DE es-ES fi-FI fr-FR he-IL it-IT kk-KZ nl-NL pl-PL pt-BR pt-PT sv-SE tr-TR "
    "uz-UZ auto".split()
)
MODELS = ("general", "general:rc", "general:deprecated")
RATES_HZ = (8_000, 16_000, 48_000)
# What speech sounds like, at the least: root mean square of 16-bit samples.
LOUD = 120.0
WINDOW_MS = 32
WORD_MS = 256
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Refusal(Exception):
    """The call ends with this status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def checked_options(options: Any) -> tuple[str, int]:
    """The language and the rate that a stream's options ask for. Raises `Refusal`."""
    model = options.recognition_model
    raw = model.audio_format.raw_audio
    restriction = model.language_restriction
    for wrong, detail in (
        (model.model not in MODELS, f"unknown model: {model.model}"),
        (model.audio_format.WhichOneof("AudioFormat") != "raw_audio", "audio_format is not set"),
        (raw.audio_encoding != stt_pb2.RawAudio.LINEAR16_PCM, "audio_encoding is not set"),
        (raw.sample_rate_hertz not in RATES_HZ, "invalid sample_rate_hertz"),
        (raw.audio_channel_count != 1, "only one channel is supported"),
        (model.audio_processing_type != stt_pb2.RecognitionModelOptions.REAL_TIME,
         "the tests expect REAL_TIME"),
        (restriction.restriction_type != stt_pb2.LanguageRestrictionOptions.WHITELIST
         or not restriction.language_code, "language_restriction is not set"),
        (not set(restriction.language_code) <= LANGUAGES, "unsupported language"),
        (options.eou_classifier.WhichOneof("Classifier") != "external_classifier",
         "the tests expect an external end of utterance"),
    ):  # fmt: skip
        if wrong:
            raise Refusal(_INVALID, detail)
    return restriction.language_code[0], raw.sample_rate_hertz


class Ear:
    """One session: sound in, the vendor's answers out."""

    def __init__(self, hears: tuple[str, str], rate_hz: int, refinement_s: float | None) -> None:
        self._words, self._normalised = hears[0].split(), hears[1]
        self._refinement_s = refinement_s
        self._rate_hz = rate_hz
        self._window_bytes = rate_hz * WINDOW_MS // 1_000 * 2
        self._rest = b""
        self._received = self._listened_ms = self._final_ms = self._eou_ms = 0
        self._voiced: list[int] = []  # When each loud window of this utterance begins.
        self._shown = 0
        self._finals = 0

    def status(self, code: Any) -> Any:
        return self._answer(status_code=stt_pb2.StatusCode(code_type=code))

    def feed(self, data: bytes) -> list[Any]:
        first = not self._received
        self._received += len(data)
        sound = self._rest + data
        whole = len(sound) - len(sound) % self._window_bytes
        self._rest = sound[whole:]
        windows = np.frombuffer(sound[:whole], "<i2").reshape(-1, self._window_bytes // 2)
        loud = np.sqrt((windows.astype(np.float32) ** 2).mean(axis=1)) > LOUD
        for number, voiced in enumerate(loud):
            if voiced:
                self._voiced.append(self._listened_ms + number * WINDOW_MS)
        self._listened_ms += len(windows) * WINDOW_MS
        heard = min(len(self._words), len(self._voiced) * WINDOW_MS // WORD_MS + 1)
        if self._voiced and heard > self._shown:
            self._shown = heard
            return [self._answer(partial=self._update(self._laid(heard)))]
        # Before anything is heard the vendor says that it listens.
        return [self._answer(partial=stt_pb2.AlternativeUpdate())] if first else []

    def end(self, wait: Callable[[float], bool], asked: bool = True) -> Iterator[Any]:
        """The end of the utterance: the client's, or that of the stream."""
        self._eou_ms = self._received_ms
        if self._voiced:
            words = self._laid(len(self._words))
            self._finals += 1
            self._final_ms = words[-1].end_time_ms
            yield self._answer(final=self._update(words))
            if self._refinement_s is not None:
                wait(self._refinement_s)
                # The vendor keeps the recognised words beside the normalised text.
                refined = self._update(words, self._normalised)
                yield self._answer(
                    final_refinement=stt_pb2.FinalRefinement(
                        final_index=self._finals - 1, normalized_text=refined
                    )
                )
        if self._voiced or asked:
            yield self._answer(eou_update=stt_pb2.EouUpdate(time_ms=self._eou_ms))
        self._voiced, self._shown = [], 0

    @property
    def _received_ms(self) -> int:
        return self._received // 2 * 1_000 // self._rate_hz

    def _laid(self, count: int) -> list[Any]:
        """The first `count` words over the sound in which somebody has spoken so far."""
        start_ms, end_ms = self._voiced[0], self._voiced[-1] + WINDOW_MS
        step = (end_ms - start_ms) / count
        return [
            stt_pb2.Word(
                text=word, start_time_ms=start_ms + int(number * step),
                end_time_ms=start_ms + int((number + 1) * step),
            )
            for number, word in enumerate(self._words[:count])
        ]  # fmt: skip

    def _update(self, words: list[Any], text: str = "") -> Any:
        alternative = stt_pb2.Alternative(
            words=words, text=text or " ".join(word.text for word in words),
            start_time_ms=words[0].start_time_ms, end_time_ms=words[-1].end_time_ms,
        )  # fmt: skip
        return stt_pb2.AlternativeUpdate(alternatives=[alternative])

    def _answer(self, **event: Any) -> Any:
        return stt_pb2.StreamingResponse(
            session_uuid=stt_pb2.SessionUuid(uuid="of-the-tests"),
            audio_cursors=stt_pb2.AudioCursors(
                received_data_ms=self._received_ms, partial_time_ms=self._listened_ms,
                final_time_ms=self._final_ms, final_index=max(0, self._finals - 1),
                eou_time_ms=self._eou_ms,
            ),
            **event,
        )  # fmt: skip
