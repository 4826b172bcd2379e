"""Yandex SpeechKit v3 hears: words come while they are spoken, over one stream per utterance.

Where an utterance ends is our decision and not the vendor's: its stream is told so. Long speech
is cut in its pauses into stretches with a final each (`engines.yandex.results`), and goes on in
a new session before the vendor's limits are reached. Two tasks work for one stream, one that
passes the sound on and one per session that listens; what they learn is taken in the sound's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from yandex.cloud.ai.stt.v3 import stt_pb2, stt_service_pb2_grpc

from ..speech import (
    PCM_RATE_HZ,
    EngineError,
    EngineRefused,
    PcmFrame,
    Transcript,
    Word,
)
from ..vendors import YandexOptions
from .connection import Connection, Ending, leave, said_plainly
from .results import Answers, Cutter, SessionRules, fitted

logger = logging.getLogger(__name__)

# The vendor's languages by ISO 639-1.
LANGUAGES = {
    "de": "de-DE", "en": "en-US", "es": "es-ES", "fi": "fi-FI", "fr": "fr-FR", "he": "he-IL",
    "it": "it-IT", "kk": "kk-KZ", "nl": "nl-NL", "pl": "pl-PL", "pt": "pt-BR", "ru": "ru-RU",
    "sv": "sv-SE", "tr": "tr-TR", "uz": "uz-UZ",
}  # fmt: skip
AUTO = "auto"
FRAMES_PER_MESSAGE = 3
_TOLD_MAX = 64
_LOGGED_CHARS_MAX = 300


@dataclass(slots=True, eq=False)
class _Session:
    """One stream to the vendor, which began `start_ms` into ours. `closing`: it has been told
    that no more sound comes. `told`: its answers, and how it ended: None, or an error."""

    number: int
    call: Any
    start_ms: int
    closing: bool = False
    told: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(_TOLD_MAX))


class YandexSpeechToText:
    """A `SpeechToText`. Phrases that are likely are of no use to the vendor's general model."""

    def __init__(self, options: YandexOptions, *, rules: SessionRules | None = None) -> None:
        self._options, self._rules = options, rules or SessionRules()
        self._connection = Connection(options, options.stt_endpoint)

    async def start(self) -> None:
        """Begin to connect. Raises `EngineError` where no key is configured."""
        self._connection.warm()

    async def close(self) -> None:
        await self._connection.close()

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """The words of one stream. `language` is ISO 639-1, or empty for any. Raises
        `EngineError`, and `EngineRefused` for a language that the vendor does not have."""
        options = _session_options(self._options.stt_model, vendor_language(language))
        with said_plainly(self._options, "recognition"):
            hearing = _Hearing(self._options, self._rules, self._connection, options)
            try:
                hearing.begin(audio)
                while not hearing.finished:
                    for transcript in await hearing.next():
                        yield transcript
            finally:
                await hearing.leave()


def vendor_language(language: str) -> str:
    """The vendor's name of a language. Raises `EngineRefused`."""
    named = language.replace("_", "-").casefold()
    if named in ("", AUTO):
        return AUTO
    found = LANGUAGES.get(named.partition("-")[0])
    if found is None:
        raise EngineRefused(f"Yandex SpeechKit does not understand {language[:20]!r}")
    return "pt-PT" if named == "pt-pt" else found


class _Hearing:
    """One stream of ours, over as many sessions of the vendor's as it takes."""

    def __init__(
        self, options: YandexOptions, rules: SessionRules, connection: Connection, first: Any
    ) -> None:
        self._rules, self._connection, self._first = rules, connection, first
        self._recognise = stt_service_pb2_grpc.RecognizerStub(connection.channel).RecognizeStreaming
        self._patience_ms = round(options.patience_s * 1_000)
        self._answers = Answers(options.refinement_ms, self._patience_ms)
        self._cutter = Cutter(rules)
        self._tasks: list[asyncio.Task[None]] = []
        # Something has been told, or the sound has ended.
        self._news = asyncio.Event()
        # Answers are taken from one session after the other: this one.
        self._due = 0
        self._sessions: list[_Session] = []
        self._session: _Session | None = None
        self._sending = asyncio.Lock()
        self._held = bytearray()
        self._sent_ms = self._sent_at_ms = 0

    # Life.

    def begin(self, audio: AsyncIterator[PcmFrame]) -> None:
        self._feeding = asyncio.create_task(self._feed(audio))
        self._feeding.add_done_callback(lambda _: self._news.set())
        self._tasks.append(self._feeding)

    @property
    def finished(self) -> bool:
        return self._answers.finished

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await leave(*(session.call for session in self._sessions))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Answers.

    async def next(self) -> list[Transcript]:
        """Wait for something to happen; the transcripts that are known by then."""
        self._news.clear()
        known = self._answers.tick(_now_ms())
        if self._feeding.done():
            self._feeding.result()  # Raises what the source of the sound has raised.
        if known or self.finished:
            return known
        if (session := self._whose_turn()) is not None and not session.told.empty():
            return self._understand(session, session.told.get_nowait())
        until_ms = await self._waits_until_ms()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if until_ms is None else until_ms / 1_000):
                await self._news.wait()
        return []

    def _whose_turn(self) -> _Session | None:
        """The first session that has still to answer."""
        for session in self._sessions[self._due :]:
            if not (session.closing and self._answers.owes_nothing(session.number)):
                return session
            self._due = session.number + 1
        return None

    async def _waits_until_ms(self) -> int | None:
        """When to look again though nothing has happened. Raises `TimeoutError` where the vendor
        has let us wait for too long."""
        now_ms, deadlines = _now_ms(), [self._answers.deadline_ms()]
        if self._answers.stalled(now_ms):
            raise TimeoutError
        if self._sending.locked():  # The vendor does not take the sound that we have.
            deadlines.append(self._sent_at_ms + self._patience_ms)
            if now_ms >= self._sent_at_ms + self._patience_ms:
                raise TimeoutError
        elif self._session is not None:
            deadlines.append(self._sent_at_ms + self._rules.idle_ms)
            if now_ms >= self._sent_at_ms + self._rules.idle_ms:
                await self._end_stretch(ends_session=True)
                return now_ms
        return min((each for each in deadlines if each is not None), default=None)

    def _understand(self, session: _Session, answer: Any) -> list[Transcript]:
        if isinstance(answer, grpc.RpcError):
            raise answer
        if answer is None:
            if not session.closing:
                raise EngineError("Yandex SpeechKit broke off")
            return self._answers.ended(session.number)
        match answer.WhichOneof("Event"):
            case "partial":
                return self._answers.partial(self._transcript(session, answer.partial))
            case "final":
                final = self._transcript(session, answer.final, final=True)
                index = answer.audio_cursors.final_index
                return self._answers.final(session.number, index, final, _now_ms())
            case "final_refinement":
                refinement = answer.final_refinement
                better = self._transcript(session, refinement.normalized_text, final=True)
                return self._answers.refined(session.number, refinement.final_index, better)
            case "eou_update":
                self._answers.answered(session.number)
            case "status_code" if answer.status_code.code_type == stt_pb2.WARNING:
                logger.info("Yandex warns: %s", answer.status_code.message[:_LOGGED_CHARS_MAX])
        return []

    def _transcript(self, session: _Session, update: Any, final: bool = False) -> Transcript:
        """The likeliest of what the vendor heard, in the time of our stream."""
        if not update.alternatives:
            return Transcript("", final)
        heard, earliest_ms, words = update.alternatives[0], session.start_ms, list[Word]()

        def placed(at_ms: int) -> int:
            return min(max(session.start_ms + at_ms, earliest_ms), self._sent_ms)

        for word in heard.words:
            earliest_ms = placed(word.start_time_ms)
            words.append(Word(word.text, earliest_ms, placed(word.end_time_ms)))
        start_ms = words[0].start_ms if words else placed(heard.start_time_ms)
        end_ms = words[-1].end_ms if words else max(start_ms, placed(heard.end_time_ms))
        text = " ".join((heard.text or " ".join(word.text for word in words)).split())
        return fitted(Transcript(text, final, start_ms, end_ms, tuple(words)))

    async def _listen(self, session: _Session) -> None:
        ended, ending = None, Ending(session.call)
        try:
            async for answer in session.call:
                await session.told.put(answer)
                self._news.set()
        except grpc.RpcError as error:
            ended = await ending.error(error)
        await session.told.put(ended)
        self._news.set()

    # Sound.

    async def _feed(self, audio: AsyncIterator[PcmFrame]) -> None:
        """Pass the sound on as it comes, and its end."""
        frames = 0
        try:
            async for frame in audio:
                self._held += frame.samples
                frames += 1
                ends = self._cutter.ends_after(_loudness(frame))
                if ends or frames % FRAMES_PER_MESSAGE == 0:
                    await self._send()
                if ends:
                    await self._end_stretch(ends_session=self._cutter.cut())
            await self._end_stretch(ends_session=True)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # The session is over; whoever listens to it says why.
        self._answers.source_over = True

    async def _send(self) -> None:
        async with self._sending:
            await self._send_held()

    async def _send_held(self) -> None:
        if not self._held:
            return
        sound = bytes(self._held)
        self._held.clear()
        if self._session is None:
            self._session = await self._open()
        self._sent_ms += len(sound) // 2 * 1_000 // PCM_RATE_HZ
        self._sent_at_ms = _now_ms()
        chunk = stt_pb2.AudioChunk(data=sound)
        await self._session.call.write(stt_pb2.StreamingRequest(chunk=chunk))
        self._sent_at_ms = _now_ms()

    async def _open(self) -> _Session:
        call = self._connection.begin(self._recognise)
        session = _Session(len(self._sessions), call, self._sent_ms)
        self._sessions.append(session)
        self._answers.opened(session.number)
        self._tasks.append(asyncio.create_task(self._listen(session)))
        self._cutter.renew()
        await call.write(stt_pb2.StreamingRequest(session_options=self._first))
        return session

    async def _end_stretch(self, *, ends_session: bool) -> None:
        async with self._sending:
            await self._send_held()
            session = self._session
            if session is None:
                return
            self._answers.asked(session.number, _now_ms())
            if ends_session:
                self._session, session.closing = None, True
            await session.call.write(stt_pb2.StreamingRequest(eou=stt_pb2.Eou()))
            if ends_session:
                await session.call.done_writing()


def _session_options(model: str, language: str) -> Any:
    return stt_pb2.StreamingOptions(
        recognition_model=stt_pb2.RecognitionModelOptions(
            model=model,
            audio_format=stt_pb2.AudioFormatOptions(
                raw_audio=stt_pb2.RawAudio(
                    audio_encoding=stt_pb2.RawAudio.LINEAR16_PCM,
                    sample_rate_hertz=PCM_RATE_HZ,
                    audio_channel_count=1,
                )
            ),
            text_normalization=stt_pb2.TextNormalizationOptions(
                text_normalization=stt_pb2.TextNormalizationOptions.TEXT_NORMALIZATION_ENABLED,
                literature_text=True,
            ),
            language_restriction=stt_pb2.LanguageRestrictionOptions(
                restriction_type=stt_pb2.LanguageRestrictionOptions.WHITELIST,
                language_code=[language],
            ),
            audio_processing_type=stt_pb2.RecognitionModelOptions.REAL_TIME,
        ),
        eou_classifier=stt_pb2.EouClassifierOptions(
            external_classifier=stt_pb2.ExternalEouClassifier()
        ),
    )


def _loudness(frame: PcmFrame) -> float:
    return float(np.abs(np.frombuffer(frame.samples, np.int16).astype(np.float32)).mean())


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1_000)
