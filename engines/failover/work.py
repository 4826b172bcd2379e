"""One engine that stands for several: what is the same whatever they do.

A piece of work is asked of the first engine that is well; when that one fails, is silent for too
long, or was not sooner than another, the next is asked. Each engine that is asked answers in a
task of its own, so that a slow farewell of one keeps nobody from asking the next, and all answers
come through one inbox, so that what an engine still says after it was left is not heard:

    Asked, its task ──┐
                      ├──► inbox ──► take() ──► whoever asked
    Asked, left  ──X──┘

`engines.failover.hearing`, `engines.failover.dialogue` and `engines.failover.speaking` say for
their role what silence is too long, and what the next engine is asked to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Generic, TypeVar

from ..speech import EngineError, EngineRefused, EngineUse, Report, Spent, unreported
from .health import Health, Outcome, Ticket

logger = logging.getLogger(__name__)

E = TypeVar("E")
# Whoever gives a kind of engine gives an engine.
E_co = TypeVar("E_co", covariant=True)
T = TypeVar("T")
# Answers that wait to be taken; an engine that is further ahead waits.
INBOX_MAX = 16
# An engine that has just failed somebody is asked last by the same, though its circuit is closed.
AVOIDED_MS = 10_000
# Whoever is told so late that the time is over gives the engine as long again.
HELD_UP_MS = 100
# An engine that has not gone after so long is told again, which ends its farewells; after so many
# times it never will, and nobody waits for it any more.
FAREWELL_S, FAREWELLS_MAX = 0.3, 10


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True)
class Candidate(Generic[E_co]):
    """An engine that may be asked. `engine` gives it, and may raise `EngineError`. `languages`
    (ISO 639-1) it understands or speaks; None: every one. `patience_ms`: how long it may be
    silent before it begins to answer, while another stands by; None: as long as its role allows.
    `continues`: a dialogue that can go on where another broke off; one that follows a script
    cannot."""

    name: str
    version: str
    engine: Callable[[], E_co]
    languages: tuple[str, ...] | None = None
    patience_ms: int | None = None
    continues: bool = True

    def understands(self, language: str) -> bool:
        return self.languages is None or language.casefold().partition("-")[0] in self.languages


# How a candidate is asked; it may raise `EngineError`.
Make = Callable[[Candidate[E]], AsyncGenerator[T, None]]


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine has nothing more to say: all of it was said, or why not."""

    error: Exception | None = None


@dataclass(eq=False, slots=True)
class Asked(Generic[E, T]):
    """A request to an engine. `over`: what it says from now on is not heard."""

    candidate: Candidate[E]
    ticket: Ticket
    begun_ms: int
    # Whether its engine was known to be unwell, and was asked because there is nobody better.
    although_unwell: bool
    over: bool = False
    first_ms: int | None = None
    amounts: dict[str, int] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    def add(self, unit: str, amount: int) -> None:
        self.amounts[unit] = self.amounts.get(unit, 0) + amount


@dataclass(frozen=True, slots=True)
class Terms:
    """What all roles share: the health of all engines, who is told of each that was asked, and
    any clock that does not go back. `hedge_ms`: when the first engine has not begun to answer
    after so long, the next is asked as well, and the first to answer is listened to; 0: never.
    `lately`: when an engine last failed this caller, by role and name; `refused_voices`: which
    (engine, voice) it does not have."""

    health: Health
    report: Report = unreported
    clock_ms: Callable[[], int] = monotonic_ms
    hedge_ms: int = 0
    lately: dict[tuple[str, str], int] = field(default_factory=dict)
    refused_voices: set[tuple[str, str]] = field(default_factory=set)


class Failover(Generic[E]):
    """The engines of a role in the order of preference. `says`: what they may answer."""

    role = ""
    says: tuple[type, ...] = (object,)

    def __init__(self, candidates: Sequence[Candidate[E]], terms: Terms) -> None:
        self.candidates, self.terms = tuple(candidates), terms

    def line(self, language: str) -> list[Candidate[E]]:
        """Who understands the language, in the order of preference; who failed here just now
        comes last. Raises `EngineRefused` where there is nobody."""
        found = [each for each in self.candidates if each.understands(language)]
        if not found and self.candidates:
            names = ", ".join(each.name for each in self.candidates)
            raise EngineRefused(f"{language[:20]!r} is not a language of {names}; choose another")
        return sorted(found, key=self.is_avoided)

    def failed(self, candidate: Candidate[E]) -> None:
        self.terms.lately[self.role, candidate.name] = self.terms.clock_ms()

    def is_avoided(self, candidate: Candidate[E]) -> bool:
        """Whether it failed here just now."""
        failed_ms = self.terms.lately.get((self.role, candidate.name))
        return failed_ms is not None and self.terms.clock_ms() - failed_ms < AVOIDED_MS


class Work(Generic[E, T]):
    """One piece of work, and all who are asked to do it. Enter it with `async with`; when it
    is left, nothing of any request is."""

    def __init__(self, owner: Failover[E], waiting: Sequence[Candidate[E]]) -> None:
        self._owner, self._terms, self._waiting = owner, owner.terms, list(waiting)
        self._inbox: asyncio.Queue[tuple[Asked[E, T], T | Ended]] = asyncio.Queue(INBOX_MAX)
        self._asked: list[Asked[E, T]] = []
        self._errors: list[tuple[str, Exception]] = []
        self._limit: asyncio.Timeout | None = None

    async def __aenter__(self) -> Work[E, T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for asked in self._asked:
            self.leave(asked)
        await gone([asked.task for asked in self._asked if asked.task is not None])

    def now_ms(self) -> int:
        return self._terms.clock_ms()

    # Who is asked.

    @property
    def waiting(self) -> int:
        """How many could still be asked."""
        return len(self._waiting)

    @property
    def going(self) -> int:
        """How many are at it."""
        return sum(not asked.over for asked in self._asked)

    @property
    def errors(self) -> list[Exception]:
        return [error for _, error in self._errors]

    def stands_by(
        self, asked: Asked[E, T] | None = None,
        may: Callable[[Candidate[E]], bool] = lambda _: True,
    ) -> bool:  # fmt: skip
        """Whether there is somebody to turn to, who `may` be turned to: one who is well or, when
        even the one that was asked is not, anybody."""
        anybody = asked is not None and asked.although_unwell
        return any(may(each) and (anybody or self._is_well(each)) for each in self._waiting)

    def dismiss(self, unfit: Callable[[Candidate[E]], bool]) -> None:
        """These cannot do what is left of the work."""
        self._waiting = [each for each in self._waiting if not unfit(each)]

    def ask(
        self, make: Make[E, T], amounts: Mapping[str, int] = MappingProxyType({})
    ) -> Asked[E, T]:
        """Ask the next engine that is well, or the next one where none is; it costs `amounts` at
        least. Raises `EngineError` when all have been asked."""
        if not self._waiting:
            raise self._nobody()
        candidate = next(filter(self._is_well, self._waiting), self._waiting[0])
        self._waiting.remove(candidate)
        although_unwell, now_ms = not self._is_well(candidate), self.now_ms()
        ticket = self._terms.health.ask(
            self._owner.role, candidate.name, now_ms, although_open=True
        )
        assert ticket is not None
        asked = Asked[E, T](candidate, ticket, now_ms, although_unwell, amounts=dict(amounts))
        asked.task = asyncio.create_task(self._answer(asked, make))
        self._asked.append(asked)
        return asked

    def _is_well(self, candidate: Candidate[E]) -> bool:
        admits = self._terms.health.admits(self._owner.role, candidate.name, self.now_ms())
        return admits and not self._owner.is_avoided(candidate)

    async def _answer(self, asked: Asked[E, T], make: Make[E, T]) -> None:
        error: Exception | None = None
        try:
            async with contextlib.aclosing(make(asked.candidate)) as stream:
                async for each in stream:
                    if not isinstance(each, self._owner.says):
                        raise TypeError(f"it answered with {type(each)}")
                    await self._inbox.put((asked, each))
        except EngineError as failure:
            error = failure
        except Exception as failure:
            # An engine with a fault of its own is one more that failed; the call goes on.
            logger.exception("%s failed unexpectedly", asked.candidate.name)
            error = failure
        await self._inbox.put((asked, Ended(error)))

    # What they say.

    async def take(self, until_ms: float | None = None) -> tuple[Asked[E, T], T | Ended]:
        """The next that is said by anybody who was not left. Raises `TimeoutError` at
        `until_ms` of the clock."""
        while True:
            if (heard := self.at_hand()) is not None:
                return heard
            wait_s = None if until_ms is None else max(0, until_ms - self.now_ms()) / 1_000
            try:
                async with asyncio.timeout(wait_s) as self._limit:
                    came = await self._inbox.get()
            except TimeoutError:
                if until_ms is None or self.now_ms() - until_ms < HELD_UP_MS:
                    raise
                # It was this process that was busy: what came meanwhile is still on its way.
                until_ms = self.now_ms() + HELD_UP_MS
                continue
            finally:
                self._limit = None
            if self._is_heard(*came):
                return came

    def at_hand(self) -> tuple[Asked[E, T], T | Ended] | None:
        """The next that was said already, if anything was: sound comes in crowds, and a clock
        for every packet would cost more than the packet."""
        while not self._inbox.empty():
            came = self._inbox.get_nowait()
            if self._is_heard(*came):
                return came
        return None

    def _is_heard(self, asked: Asked[E, T], said: T | Ended) -> bool:
        """Whether it is for whoever waits; what it cost is only for the accounts."""
        if isinstance(said, Spent):
            asked.amounts.update(said.amounts)
            return False
        return not asked.over

    def hurry(self, until_ms: float) -> None:
        """Whoever waits in `take` waits no longer than until then."""
        if self._limit is None or self._limit.expired():
            return
        ends_s = asyncio.get_running_loop().time() + max(0, until_ms - self.now_ms()) / 1_000
        planned_s = self._limit.when()
        if planned_s is None or ends_s < planned_s:
            self._limit.reschedule(ends_s)

    # How it ends.

    def done(self, asked: Asked[E, T]) -> None:
        self._end(asked, Outcome.DONE)

    def leave(self, asked: Asked[E, T], *, lost: bool = False) -> None:
        """Nobody wants its answer any more. `lost`: because another was sooner; it stands by
        again."""
        if lost:
            self._waiting.append(asked.candidate)
        self._end(asked, Outcome.LOST if lost else Outcome.LEFT)

    def fail(self, asked: Asked[E, T], error: Exception) -> None:
        """It could not do it; `EngineRefused`: by no fault of its own."""
        self._errors.append((asked.candidate.name, error))
        refused = isinstance(error, EngineRefused)
        if not refused:
            self._owner.failed(asked.candidate)
        self._end(asked, Outcome.REFUSED if refused else Outcome.FAILED, error)

    def _end(self, asked: Asked[E, T], outcome: Outcome, error: Exception | None = None) -> None:
        if asked.over:
            return
        asked.over = True
        if asked.task is not None:
            asked.task.cancel()
        now_ms = self.now_ms()
        why = _plain(error) if error is not None else ""
        self._terms.health.tell(
            asked.ticket, outcome, now_ms, error=why,
            retry_after_s=error.retry_after_s if isinstance(error, EngineError) else None,
        )  # fmt: skip
        self._terms.report(
            EngineUse(
                self._owner.role, asked.candidate.name, asked.candidate.version, _TOLD[outcome],
                now_ms - asked.begun_ms, asked.first_ms, why, tuple(asked.amounts.items()),
            )
        )  # fmt: skip

    def _nobody(self) -> EngineError:
        """What the caller is told when everybody failed."""
        if not self._errors:
            return EngineError("nobody is configured for this; see the settings")
        last = self._errors[-1][1]
        if len(self._errors) == 1 and isinstance(last, EngineError):
            return last
        kind = EngineError
        if all(isinstance(error, EngineRefused) for _, error in self._errors):
            kind = EngineRefused
        told = "; ".join(f"{name}: {_plain(error)}" for name, error in self._errors)
        failure = kind(f"none of the engines could do it ({told}). {_WHAT_TO_DO[kind]}")
        waits = [error.retry_after_s for _, error in self._errors if isinstance(error, EngineError)]
        failure.retry_after_s = min((wait for wait in waits if wait is not None), default=None)
        return failure


def _plain(error: Exception) -> str:
    """Why, for people; what an unexpected error says is only for the log."""
    return str(error) if isinstance(error, EngineError) else "it has a fault of its own"


async def gone(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until tasks that were cancelled have ended, even when told not to wait."""
    told: asyncio.CancelledError | None = None
    farewells = 0
    while left := [task for task in tasks if not task.done()]:
        if farewells == FAREWELLS_MAX:
            logger.error("an engine does not go when it is told to; it is left where it is")
            break
        try:
            _, left_behind = await asyncio.wait(left, timeout=FAREWELL_S)
        except asyncio.CancelledError as cancelled:
            told = cancelled
        else:
            farewells += 1
            for task in left_behind:
                task.cancel()
    if told is not None:
        raise told


_TOLD = {
    Outcome.DONE: "done", Outcome.FAILED: "failed", Outcome.REFUSED: "failed",
    Outcome.LEFT: "left", Outcome.LOST: "left",
}  # fmt: skip
_WHAT_TO_DO: dict[type[EngineError], str] = {
    EngineError: "Try again in a minute, or choose another engine.",
    EngineRefused: "Choose another voice or language, or say it in fewer words.",
}
