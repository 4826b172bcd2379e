"""Local Whisper through faster-whisper: better ears, once somebody has pulled the weights.

One model is shared by all streams and lives in a small pool of threads of its own (CTranslate2
lets go of the GIL). Whisper hears whole stretches, not streams; so the stretch so far is heard
again about every second, words that two hearings agree on are shown, and once more after its
end for the final.

    sound ──► stretch, at most 28 s ──every second──► hear again ──► agreement ──► partial
                 │ trimmed behind confirmed words
                 └── pause after 20 s, or the end of the sound ──► hear once more ──► final

Looks of several streams wait in one queue (`engines.whisper.order`): finals before partials,
each stream in its turn, and together where the machine makes a batch sooner than its looks one
by one, which is measured when the weights are loaded. Nothing is looked at before the detector
of voices has heard one in it, and what is heard must be believable (`engines.whisper.trust`).

Nothing here touches the network: weights that are not whole on the disk are an error that says
how to pull them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..models import directory_of, missing_from
from ..speech import EngineError, EngineRefused, PcmFrame, Transcript, Word
from .model import LANGUAGE_MS_MAX, Listener, load
from .order import Ticket, next_batch
from .stretch import Asking, Hearing, Stretch
from .trust import Trust
from .voicing import Voicing

HOTWORDS_CHARS = 200
DETECT_FRAMES_MAX = LANGUAGE_MS_MAX // 32
# How long an idle model waits for company, where it works in batches.
GATHER_MS = 10
# How often a final goes on where the model stopped too early.
AGAIN_MAX = 2

_log = logging.getLogger(__name__)


class WhisperSpeechToText:
    """A `SpeechToText`. `model` is a name ("base") or a directory of converted weights.

    `decoders` batches are heard at once, each on its share of the cores; a batch is of
    `batch_max` looks at most, measured when it is None. Without `partials` only finals are
    heard: half the work, for whoever does not listen live. `nice`: how far its threads stand
    back behind others, 0 to 19. `device`: auto, cpu or cuda."""

    def __init__(
        self, model: str, models_dir: Path, *, decoders: int = 1, trust: Trust | None = None,
        partials: bool = True, nice: int = 0, batch_max: int | None = None, device: str = "auto",
    ) -> None:  # fmt: skip
        self._name, self._directory = model, directory_of(model, models_dir)
        self._decoders, self._trust, self._partials = decoders, trust or Trust(), partials
        self._batch_max, self._device = batch_max, device
        self._threads = ThreadPoolExecutor(
            decoders, thread_name_prefix="whisper", initializer=_stand_back, initargs=(nice,)
        )
        self._desk: _Desk | None = None
        self._loading: asyncio.Future[tuple[Listener, int]] | None = None

    @property
    def device(self) -> str:
        """What does the work, cpu or cuda; empty before the weights are loaded."""
        return self._desk.listener.device if self._desk else ""

    async def start(self) -> None:
        """Load the weights. Raises `EngineError`; a later call tries again."""
        await self._ready()

    async def close(self) -> None:
        """Let go of the model; what is being heard is given up between two steps."""
        if self._desk is not None:
            self._desk.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._desk = None

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
        desk = await self._ready()
        if not desk.listener.multilingual:
            return "en"
        sound = b"".join(frame.samples for frame in frames[:DETECT_FRAMES_MAX])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, desk.listener.language, sound)

    async def _heard_as(
        self, task: str, audio: AsyncIterator[PcmFrame], language: str, expected: Sequence[str]
    ) -> AsyncGenerator[Transcript, None]:
        desk = await self._ready()
        asking = Asking(
            task, self._understood(desk.listener, task, language),
            ", ".join(expected)[:HOTWORDS_CHARS],
        )  # fmt: skip
        stretch = Stretch(asking, Voicing(desk.listener.network))
        guess: _Look | None = None
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
                    yield await _final(desk, stretch)
                    stretch = rest
                elif guess is None and self._partials and stretch.is_due():
                    guess = desk.look(stretch, final=False)
            _give_up(guess)
            last = await _final(desk, stretch)
            if last.text or not stretch.follows:
                yield last
        finally:
            _give_up(guess)

    def _understood(self, listener: Listener, task: str, language: str) -> str:
        """The language by the name that the model has for it. Raises `EngineRefused`."""
        code = language.casefold().partition("-")[0]
        if not listener.multilingual and code != "en":
            raise EngineRefused(f"The weights of {self._name} understand English only.")
        if not listener.multilingual and task == "translate":
            raise EngineRefused(f"The weights of {self._name} cannot translate.")
        if code not in listener.languages:
            raise EngineRefused(f"Whisper does not understand {language[:20]!r}.")
        return code

    async def _ready(self) -> _Desk:
        if self._desk is not None:
            return self._desk
        if missing := missing_from(self._directory):
            raise EngineError(
                f"Whisper's weights are not here ({', '.join(missing)} missing). "
                f"Fetch them with: voice-server models pull {self._name}"
            )
        if self._loading is None or self._loading.done():
            loop = asyncio.get_running_loop()
            self._loading = loop.run_in_executor(self._threads, self._load)
        # Shielded: the caller who happened to come first may leave.
        listener, batch_max = await asyncio.shield(self._loading)
        if self._desk is None:
            self._desk = _Desk(listener, self._threads, self._decoders, batch_max)
        return self._desk

    def _load(self) -> tuple[Listener, int]:
        listener = load(
            self._directory, decoders=self._decoders, trust=self._trust, device=self._device
        )
        batch_max = self._batch_max or listener.batch_that_pays()
        _log.info(
            "Whisper %s works on %s, %d looks at a time", self._name, listener.device, batch_max
        )
        return listener, batch_max


async def _final(desk: _Desk, stretch: Stretch) -> Transcript:
    """The last of a stretch; heard on from its last word where somebody still speaks there."""
    words: list[Word] = []
    if not stretch.is_silent():
        look = desk.look(stretch, final=True)
        for _ in range(1 + AGAIN_MAX):
            try:
                found = await look.words
            finally:
                _give_up(look)
            words += found
            rest = stretch.left_out(look.hearing, found) if look.hearing else None
            if rest is None:
                break
            look = desk.ask(rest.asking, _given(rest), final=True)
    return stretch.final(words)


def _given(hearing: Hearing) -> Callable[[], Hearing]:
    return lambda: hearing


@dataclass(eq=False, slots=True)
class _Look:
    """A look that waits or is under way. Its sound is taken when its turn has come."""

    ticket: Ticket
    make: Callable[[], Hearing]
    words: asyncio.Future[list[Word]]
    hearing: Hearing | None = None


def _give_up(look: _Look | None) -> None:
    if look is not None:
        if look.hearing is not None:
            look.hearing.left.set()
        if not look.words.cancel() and not look.words.cancelled():
            look.words.exception()  # Nobody else will ask whether it failed.


class _Desk:
    """Where looks of all streams wait for a decoder. Lives in the event loop."""

    def __init__(
        self, listener: Listener, threads: ThreadPoolExecutor, decoders: int, batch_max: int
    ) -> None:
        self.listener = listener
        self._threads, self._decoders, self._batch_max = threads, decoders, batch_max
        self._waiting: list[_Look] = []
        self._busy: list[list[_Look]] = []
        self._gathering: asyncio.TimerHandle | None = None

    def look(self, stretch: Stretch, *, final: bool) -> _Look:
        return self.ask(stretch.asking, lambda: stretch.hearing(final=final), final=final)

    def ask(self, asking: Asking, make: Callable[[], Hearing], *, final: bool) -> _Look:
        """A look at what `make` gives when its turn has come."""
        loop = asyncio.get_running_loop()
        ticket = Ticket(final, (final, asking.task, asking.language), round(loop.time() * 1_000))
        look = _Look(ticket, make, loop.create_future())
        self._waiting.append(look)
        if self._batch_max == 1 or len(self._waiting) >= self._batch_max:
            self._begin()
        elif self._gathering is None:
            self._gathering = loop.call_later(GATHER_MS / 1_000, self._begin)
        return look

    def _begin(self) -> None:
        """Give every idle decoder what goes next."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._waiting = [look for look in self._waiting if not look.words.done()]
        while self._waiting and len(self._busy) < self._decoders:
            places = next_batch([look.ticket for look in self._waiting], self._batch_max)
            batch = [self._waiting[place] for place in places]
            self._waiting = [look for look in self._waiting if look not in batch]
            self._hear(batch)

    def _hear(self, batch: list[_Look]) -> None:
        hearings = []
        for look in batch:
            look.hearing = look.make()
            hearings.append(look.hearing)
        loop = asyncio.get_running_loop()
        try:
            job = loop.run_in_executor(self._threads, self.listener.hear, hearings)
        except RuntimeError:
            for look in batch:
                _fail(look, EngineError("The recogniser is shutting down."))
            return
        self._busy.append(batch)
        job.add_done_callback(lambda done: self._heard(batch, done))

    def _heard(self, batch: list[_Look], job: asyncio.Future[list[list[Word]]]) -> None:
        self._busy.remove(batch)
        error = None if job.cancelled() else job.exception()
        for place, look in enumerate(batch):
            if job.cancelled():
                _fail(look, EngineError("The recogniser is shutting down."))
            elif error is not None:
                _fail(look, error)
            elif not look.words.done():
                look.words.set_result(job.result()[place])
        self._begin()

    def close(self) -> None:
        """Fail what waits, and give up what is under way."""
        waiting, self._waiting = self._waiting, []
        for look in waiting:
            _fail(look, EngineError("The recogniser is shutting down."))
        for look in itertools.chain(*self._busy):
            if look.hearing is not None:
                look.hearing.left.set()
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None


def _fail(look: _Look, error: BaseException) -> None:
    if not look.words.done():
        look.words.set_exception(error)


def _stand_back(nice: int) -> None:
    """Begin a thread of the pool. On Linux a thread's niceness is its own, and that of the
    threads which it begins."""
    if nice and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
