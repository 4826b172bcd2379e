"""OpenAI's recognisers: words while they are spoken, over a realtime transcription session.

    frames ──► Hearing ──► session ──► vendor      what to send, and what it means: `openai_hearing`
    transcripts ◄── Hearing ◄── events ◄──┘        the connection: `openai_sessions`

We say where an utterance ends; the vendor's own turn detection is off. The sound is kept until
it was answered. When the connection drops it is sent again, once, on a new one; and where no
session can be had, stretch by stretch as files.

A session serves another utterance only where nothing of the first can be heard in it: all of
its sound was answered, its items are known, and the model writes each item down for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from openai import AsyncOpenAI

from ..speech import EngineError, PcmFrame, Transcript
from ..vendors import OpenAIOptions
from .client import client_of, refusal, without_keys
from .files import SpeechFiles, Written
from .hearing import Commit, Event, Hearing, Request, VendorError, session_of
from .sessions import Dropped, NoSession, Session, WarmSessions, open_session

logger = logging.getLogger(__name__)

# How long a server that has no sessions is not asked for one.
ABSENT_S = 300.0
RECONNECTS_MAX = 1
# Those that write each item down for itself.
_APART = ("gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1")
INBOX_MAX = 256


class OpenAISpeechToText:
    """A `SpeechToText`. `language`: what warm sessions are prepared for at first."""

    def __init__(self, options: OpenAIOptions, *, language: str = "en") -> None:
        self._options = options
        self._client: AsyncOpenAI | None = None
        self._session = session_of(options.transcription_model, language, ())
        self._sessions = WarmSessions(self._open_warm)
        self._absent_until_s = 0.0
        self._files = SpeechFiles(options, self._connection)

    # Life.

    async def start(self) -> None:
        """Have a session ready. Raises `EngineError` where something is not configured; a vendor
        that cannot be reached now may be later."""
        self._connection()
        self._sessions.keep()

    async def close(self) -> None:
        await self._sessions.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def warm(self) -> int:
        """How many sessions wait for somebody to speak."""
        return self._sessions.warm

    # Words.

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """The words of one stream. Raises `EngineError`."""
        utterance = _Utterance(self, self._options.patience_s, language, tuple(expected))
        listening = asyncio.create_task(utterance.listen(audio))
        listening.add_done_callback(lambda _: utterance.wake())
        try:
            async with contextlib.aclosing(utterance.transcripts(listening)) as transcripts:
                async for transcript in transcripts:
                    yield transcript
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def detect_language(self, frames: Sequence[PcmFrame]) -> str:
        """The language of this sound, of which half a minute is heard at most; empty where the
        model does not tell. Raises `EngineError`."""
        return await self._files.detect_language(frames)

    # Sessions.

    async def session(self, language: str, expected: Sequence[str], *, fresh: bool) -> Session:
        """A session for an utterance, warm unless it must be `fresh`. Raises `NoSession` and
        other `EngineError`, and `Dropped`."""
        model = self._options.transcription_model
        self._session = session_of(model, language, ())
        wanted = session_of(model, language, expected)
        if self._is_absent():
            raise NoSession("OpenAI has no realtime sessions here", lasting=False)
        session = None if fresh else self._sessions.take()
        if session is None:
            return await self._open(wanted)
        try:
            await session.configure(wanted)
        except BaseException:
            await session.close()
            raise
        return session

    async def leave(self, session: Session, *, is_clean: bool) -> None:
        """The utterance is over. `is_clean`: all of its sound was answered."""
        apart = self._options.transcription_model.startswith(_APART)
        if not (is_clean and apart and self._sessions.give(session)):
            await session.close()

    async def _open_warm(self) -> Session:
        if self._is_absent():
            raise NoSession("OpenAI has no realtime sessions here", lasting=False)
        return await self._open(self._session)

    async def _open(self, session: Mapping[str, object]) -> Session:
        try:
            return await open_session(self._connection(), self._options, session)
        except NoSession as error:
            if error.lasting:
                self._absent_until_s = asyncio.get_running_loop().time() + ABSENT_S
            raise

    def _is_absent(self) -> bool:
        return asyncio.get_running_loop().time() < self._absent_until_s

    def _connection(self) -> AsyncOpenAI:
        if self._client is None:
            self._client = client_of(self._options)
        return self._client

    def written(
        self, sound: bytes, language: str, expected: Sequence[str]
    ) -> AsyncGenerator[str | Written, None]:
        """What is said in 16 kHz sound, heard as a file. Raises `EngineError`."""
        return self._files.written(sound, language, expected)

    def failure(self, error: VendorError) -> EngineError:
        """What an error in the midst of a session means for us."""
        words = without_keys(str(error), self._options)
        logger.warning("a transcription failed: %s %s: %s", error.kind, error.code, words)
        if error.kind == "invalid_request_error" and error.code != "invalid_api_key":
            return NoSession("OpenAI refuses what the session was asked for", lasting=False)
        return refusal(0, error.code or error.kind)


class _Utterance:
    """One stream of sound on its way. `listen` and `transcripts` run side by side."""

    def __init__(
        self, engine: OpenAISpeechToText, patience_s: float, language: str,
        expected: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._engine, self._patience_s = engine, patience_s
        self._language, self._expected = language, expected
        self._hearing = Hearing()
        self._session: Session | None = None
        self._reading: asyncio.Task[None] | None = None
        self._joined = False
        # Whoever holds it may make requests, and sends them before others make theirs.
        self._sending = asyncio.Lock()
        # What the vendor says; None: look again at what there is to wait for.
        self._inbox: asyncio.Queue[Event | Dropped | None] = asyncio.Queue(INBOX_MAX)

    # Sound in.

    async def listen(self, audio: AsyncIterator[PcmFrame]) -> None:
        """Take the sound as it comes. Raises what its source does, and `EngineError`."""
        async for frame in audio:
            async with self._sending:
                await self._send(self._hearing.hear(frame.samples))
        async with self._sending:
            await self._send(self._hearing.end())

    def wake(self) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._inbox.put_nowait(None)

    async def _send(self, requests: Sequence[Request]) -> None:
        """What cannot be sent is kept in the hearing: it goes over the next connection."""
        if requests and (self._session is None or Commit() in requests):
            self.wake()
        if self._session is None:
            return
        try:
            async with asyncio.timeout(self._patience_s):
                for request in requests:
                    await self._session.do(request)
        except Dropped:
            pass  # Who reads notices, too.
        except TimeoutError:
            raise EngineError("OpenAI took too long") from None

    # Words out.

    async def transcripts(self, listening: asyncio.Task[None]) -> AsyncGenerator[Transcript, None]:
        """Raises `EngineError`, and what `listening` raises."""
        try:
            async with contextlib.aclosing(self._heard(listening)) as transcripts:
                async for transcript in transcripts:
                    yield transcript
        finally:
            await self._part(is_clean=self._hearing.over)
        if not self._hearing.answered:
            yield self._hearing.nothing()

    async def _heard(self, listening: asyncio.Task[None]) -> AsyncGenerator[Transcript, None]:
        reconnects = RECONNECTS_MAX
        while not self._hearing.over:
            if not self._hearing.begun:
                # Nothing was said that must be asked.
                await self._next(listening)
                continue
            try:
                await self._join()
                async with contextlib.aclosing(self._answers(listening)) as answers:
                    async for transcript in answers:
                        reconnects = RECONNECTS_MAX if transcript.final else reconnects
                        yield transcript
            except NoSession as error:
                logger.info("%s; the sound goes as files", error)
                async with contextlib.aclosing(self._from_files(listening)) as transcripts:
                    async for transcript in transcripts:
                        yield transcript
            except Dropped:
                await self._part(is_clean=False)
                if not self._hearing.begun:
                    continue
                if not reconnects:
                    raise EngineError("OpenAI cannot be reached, or broke off") from None
                reconnects -= 1
                logger.info("the transcription session dropped; trying again")

    async def _join(self) -> None:
        """Be in a session that knows all that was not answered."""
        session = await self._engine.session(self._language, self._expected, fresh=self._joined)
        self._joined, self._session = True, session
        self._hearing.ignored = frozenset(session.items)
        self._inbox = asyncio.Queue(INBOX_MAX)
        self._reading = asyncio.create_task(self._read(session, self._inbox))
        async with self._sending:
            await self._send(self._hearing.again())
        self.wake()

    async def _answers(self, listening: asyncio.Task[None]) -> AsyncGenerator[Transcript, None]:
        while not self._hearing.over:
            event = await self._next(listening)
            if isinstance(event, Dropped):
                raise event
            if event is None:
                continue
            try:
                transcripts = self._hearing.receive(event)
            except VendorError as error:
                if error.code == "session_expired":
                    raise Dropped from None
                raise self._engine.failure(error) from None
            for transcript in transcripts:
                yield transcript

    async def _from_files(self, listening: asyncio.Task[None]) -> AsyncGenerator[Transcript, None]:
        await self._part(is_clean=False)
        self._hearing.again()
        while not self._hearing.over:
            stretch = self._hearing.file()
            if stretch is None:
                await self._next(listening)
                continue
            written = self._engine.written(bytes(stretch.sound), self._language, self._expected)
            async with contextlib.aclosing(written) as pieces:
                async for piece in pieces:
                    if isinstance(piece, str):
                        transcripts = self._hearing.guess(piece)
                    else:
                        transcripts = self._hearing.answer(piece.text, piece.words)
                    for transcript in transcripts:
                        yield transcript

    async def _next(self, listening: asyncio.Task[None]) -> Event | Dropped | None:
        """What happened. Raises `EngineError` when the vendor owes an answer for too long."""
        owes = self._session is not None and self._hearing.waits
        try:
            async with asyncio.timeout(self._patience_s if owes else None):
                event = await self._inbox.get()
        except TimeoutError:
            raise EngineError("OpenAI took too long") from None
        if listening.done():
            listening.result()
        return event

    async def _read(self, session: Session, inbox: asyncio.Queue[Event | Dropped | None]) -> None:
        try:
            while True:
                await inbox.put(await session.receive())
        except Dropped as dropped:
            await inbox.put(dropped)

    async def _part(self, *, is_clean: bool) -> None:
        """Leave the session, if there is one."""
        session, self._session = self._session, None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if session is not None:
            session.items |= self._hearing.items
            await self._engine.leave(session, is_clean=is_clean)
