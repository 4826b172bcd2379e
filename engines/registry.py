"""The engines of a server: what its calls and its doors ask for by name.

    name, or list ──order──► those who can ──shelf──► engines ──► one that stands for all

`order` says who is asked, `shelf` has them running, `offers` tells clients what there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from . import roster, turn_weights
from .call_engines import CallEngines
from .cascade import Cascade
from .failover.health import Health, State
from .failover.work import Terms
from .file_engines import FileEars, FileVoice, Led
from .offers import Offers
from .order import Order
from .roster import (
    DIALOGUE,
    LANGUAGES,
    SPEECH_TO_SPEECH,
    SPEECH_TO_TEXT,
    TEXT_TO_SPEECH,
    EngineOptions,
)
from .shelf import Shelf
from .speech import (
    Dialogue,
    EndOfTurn,
    EngineError,
    EngineSettings,
    EngineUse,
    SpeechToSpeech,
    SpeechToText,
    TextToSpeech,
)
from .spoken_text import Normalised
from .started import StartedEars, StartedVoice
from .timed_voice import Timed

logger = logging.getLogger(__name__)

ROLES = (SPEECH_TO_TEXT, DIALOGUE, TEXT_TO_SPEECH)
# A server that has somebody for a role waits no longer for who stands by: weights are read by
# then, and a vendor that cannot be reached may be reached later.
START_S = 30.0


class Registry:
    """Keeps `speech.Engines`. Use `start` to warm the defaults, `close` to let go of all.
    `start_s`: how long an engine may take to start where another stands by."""

    def __init__(
        self, options: EngineOptions,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        start_s: float = START_S,
    ) -> None:  # fmt: skip
        self._options, self._shelf, self._clock_ms = options, Shelf(options), clock_ms
        self._start_s = start_s
        self.order = Order(options)
        self._health = Health()
        self._dressed: dict[tuple[str, str], Any] = {}
        self.offers = Offers(options, self.order, self._made, self._how_is)

    # Life.

    async def start(self) -> None:
        """Have the default engines ready. Raises `EngineError` when a role has nobody left."""
        for language in LANGUAGES:
            name, notice = self.order.hears(self._options.speech_to_text, language)
            logger.info("%s is heard by %s. %s", language, name or "nobody", notice)
        logger.info("semantic_vad: %s", _TURN_NOTICES[self.end_of_turn() is not None])
        for kind in (*ROLES, SPEECH_TO_SPEECH):
            for name in self.order.configured(kind):
                if (line := roster.listing(kind, name)) and (why := line.missing(self._options)):
                    logger.warning("%s: %s is passed over. %s", kind, name, why)
        await asyncio.gather(*(self._start(role) for role in ROLES))

    async def _start(self, role: str) -> None:
        """Warm the configured engines of a role; one that can work is enough."""
        language = LANGUAGES[0] if role == SPEECH_TO_TEXT else ""
        names, trouble = self.order.candidates(role, "", language)
        troubles = await self._troubles(role, names)
        if all(troubles):
            raise EngineError(next(iter(troubles), trouble))

    async def _troubles(self, role: str, names: Sequence[str]) -> list[str]:
        """What keeps each engine from working; those that take too long to say are left out as
        soon as there is another."""
        tasks = {name: asyncio.create_task(self._trouble(role, name)) for name in names}
        late = set(tasks.values())
        try:
            if late:
                _, late = await asyncio.wait(late, timeout=self._start_s)
            while late and all(task.result() for task in tasks.values() if task.done()):
                _, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks.values():
                task.cancel()
        for name in (name for name, task in tasks.items() if task in late):
            logger.warning("%s: %s is still starting, and is not waited for", role, name)
        return [task.result() for task in tasks.values() if task not in late]

    async def _trouble(self, role: str, name: str) -> str:
        """What keeps an engine from working; empty once it is ready."""
        try:
            await self._shelf.ready(self._made(role, name))
        except EngineError as error:
            logger.warning("%s: %s is not ready: %s", role, name, error)
            return str(error) or "it does not start"
        return ""

    async def close(self) -> None:
        self._dressed.clear()
        await self._shelf.close()

    async def ready(self, engine: object) -> None:
        """Wait until an engine that was given here can work. Raises `EngineError`; of several
        that are as one nobody is to blame before all have been asked."""
        if isinstance(engine, Led):
            with contextlib.suppress(EngineError):
                await self.ready(engine.first)
        for (kind, name), dressed in self._dressed.items():
            if dressed is engine:
                await self._shelf.ready(self._made(kind, name))
                return

    # Engines that stand for all who could be asked.

    def for_call(self) -> CallEngines:
        """The engines of one call."""
        terms = Terms(self._health, clock_ms=self._clock_ms, hedge_ms=self._options.hedge_ms)
        return CallEngines(self._options, self.order, self._asked, terms)

    def speech_to_speech(
        self, settings: EngineSettings, report: Callable[[int, EngineUse], None]
    ) -> SpeechToSpeech:
        """Who hears and speaks in a call that begins with these settings."""
        cascade = Cascade(self.for_call(), settings, report)
        names, _ = self.order.candidates(SPEECH_TO_SPEECH, "")
        if not names:
            return cascade
        talks = self._made(SPEECH_TO_SPEECH, names[0])
        return cast(SpeechToSpeech, talks.speech(settings, cascade, report))

    @property
    def answers_sound(self) -> bool:
        """Whether replies may begin before anybody knows the user's words."""
        return bool(self.order.candidates(SPEECH_TO_SPEECH, "")[0])

    # Engines for files.

    def file_ears(self, name: str, language: str) -> SpeechToText:
        """Whoever can write down a file, as one. Raises `EngineError`."""
        first = self.ears(name, language)
        return FileEars(first, self._for_files().speech_to_text(name, language))

    def file_voice(self, name: str) -> TextToSpeech:
        """Whoever can speak a text to its end, as one. Raises `EngineError`."""
        return FileVoice(self.voice(name), self._for_files().text_to_speech(name))

    def _for_files(self) -> CallEngines:
        terms = Terms(self._health, clock_ms=self._clock_ms)
        return CallEngines(self._options, self.order, self._asked, terms, live=False)

    # Engines alone.

    def ears(self, name: str, language: str) -> SpeechToText:
        """The recogniser itself; nobody stands by. Raises `EngineError`."""
        return cast(SpeechToText, self._first(SPEECH_TO_TEXT, name, language))

    def mind(self, name: str) -> Dialogue:
        """The dialogue itself; nobody stands by. Raises `EngineError`."""
        return cast(Dialogue, self._first(DIALOGUE, name))

    def voice(self, name: str) -> TextToSpeech:
        """The voice itself; nobody stands by. Raises `EngineError`."""
        return cast(TextToSpeech, self._first(TEXT_TO_SPEECH, name))

    def undressed(self, kind: str, name: str) -> Any:
        """The engine with nothing around it, for whoever measures what is. Raises
        `EngineError`."""
        return self._made(kind, name)

    def end_of_turn(self) -> EndOfTurn | None:
        """Who can hear that a user has finished; None where the weights for it are not here."""
        weights = turn_weights.find(self._options.models_dir)
        if weights is None and turn_weights.NAME not in self._shelf:
            return None
        turns = importlib.import_module("engines.turns")
        made = self._shelf.keep(turn_weights.NAME, lambda: turns.SmartTurn(weights))
        return cast(EndOfTurn, made)

    def describe(self, settings: EngineSettings) -> Mapping[str, object]:
        """What these settings mean, for people: names, and an honest notice."""
        end_of_turn = turn_weights.NAME if self.end_of_turn() else "pauses"
        return self.offers.describe(settings, end_of_turn)

    def _first(self, kind: str, name: str, language: str = "") -> Any:
        names, trouble = self.order.candidates(kind, name, language)
        if not names:
            raise EngineError(trouble)
        return self._asked(kind, names[0])

    def _asked(self, kind: str, name: str) -> Any:
        """An engine as it is asked: it is waited for, is given numbers in words where it does
        not read them, and says when its words begin."""
        if (kind, name) not in self._dressed:
            engine = self._made(kind, name)
            if kind == SPEECH_TO_TEXT:
                engine = StartedEars(engine, self._shelf.ready)
            elif kind == TEXT_TO_SPEECH:
                line = roster.listing(kind, name)
                engine = self._voice(engine, reads=line is None or line.reads)
            self._dressed[kind, name] = engine
        return self._dressed[kind, name]

    def _voice(self, engine: TextToSpeech, *, reads: bool) -> TextToSpeech:
        voice: TextToSpeech = StartedVoice(engine, self._shelf.ready)
        return Timed(voice if reads else Normalised(voice))

    def _how_is(self, kind: str, name: str) -> Mapping[str, object]:
        """An engine's health, for clients; times are counted back from now."""
        now_ms = self._clock_ms()
        health = self._health.of(kind, name, now_ms)
        retry_ms = health.retry_ms
        return {
            "state": _HEALTH[health.state],
            "last_error": health.last_error,
            "retry_in_ms": None if retry_ms is None else max(0, retry_ms - now_ms),
        }

    def _made(self, kind: str, name: str) -> Any:
        line = roster.listing(kind, name)
        if line is None:
            raise EngineError(f"no engine is configured for {name[:40]!r}")
        return self._shelf.take(line)


_HEALTH = {State.CLOSED: "well", State.OPEN: "resting", State.HALF_OPEN: "on trial"}
_TURN_NOTICES = {
    True: "Smart Turn hears whether a turn has ended.",
    False: (
        "turns end by pauses and last words alone, for Smart Turn's weights are not here; fetch "
        f"them with: voice-server models pull {turn_weights.NAME}"
    ),
}
