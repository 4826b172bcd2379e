"""Live calls by id: admitted, metered, run, drained.

    place ─► admit (draining? busy? too many of this caller's?) ─► hold money
          ─► session.run, with a heartbeat that renews lease and hold
          ─► settle (shielded) ─► tell the caller the bill

An unexpected error ends its own call only: it is logged with the call's id, and the bill is
settled all the same. This is one of the few places that may catch everything, because it owns
the tasks of strangers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol

from billing.engine_prices import PUBLIC, EnginePrices
from billing.pricing import PerMinute
from billing.turn_facts import TurnFacts
from billing.usage import Bill, LeaseLost, Meter, Usage
from engines.speech import (
    EndOfTurn,
    EngineSettings,
    EngineUse,
    SpeechToSpeech,
    VoiceActivityDetector,
)

from .directory import Directory
from .events import Allowed, EndWithin, HungUp
from .rules import Rules
from .session import Link, Session, Summary
from .turn_log import TurnLog

logger = logging.getLogger(__name__)

LINK_CLOSE_S_MAX = 5.0
PUBLIC_PRICES = EnginePrices(PUBLIC)
# Who hears and speaks in a call that begins with these settings, and tells of each engine that
# it asked, and in which turn.
MakeEngine = Callable[[EngineSettings, Callable[[int, EngineUse], None]], SpeechToSpeech]


class CallRefused(Exception):
    """A call that may not begin. `code` is for programs, the message for people."""

    code = "refused"
    retry_after_s: int | None = None


class Busy(CallRefused):
    code = "busy"
    retry_after_s = 5


class Draining(CallRefused):
    code = "draining"
    retry_after_s = 10


class TooManyCalls(CallRefused):
    code = "too_many_calls"
    retry_after_s = 5


@dataclass(frozen=True, slots=True)
class Caller:
    user_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    calls_max: int
    calls_per_user_max: int
    call_minutes_max: int
    # How often a live call writes its counter and renews its lease.
    heartbeat_s: float


class VoiceStream(VoiceActivityDetector, Protocol):
    def close(self) -> None: ...


class Ears(Protocol):
    def open(self) -> VoiceStream: ...


class LiveCall:
    """A call that was placed. `finished()` gives its summary once it is over."""

    def __init__(self, caller: Caller) -> None:
        self.id = f"call_{secrets.token_hex(16)}"
        self.caller = caller
        self.session: Session | None = None
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._summary: asyncio.Future[Summary] = asyncio.get_running_loop().create_future()

    async def finished(self) -> Summary:
        return await asyncio.shield(self._summary)

    def hang_up(self, reason: str = "hung_up") -> None:
        if self.session is not None and self.session.closed is None:
            self.session.post(HungUp(reason))


class Switchboard:
    """Use as an async context manager; leaving it drains at once what still lives. When a call
    begins `engine` makes who hears and speaks in it, and `end_of_turn` gives whoever can hear
    the end of a turn, or nobody. `keep_turns` is given the turns that are over while a call
    lives, and the rest before it is billed; it may not wait."""

    def __init__(
        self,
        *,
        usage: Usage,
        directory: Directory,
        engine: MakeEngine,
        ears: Ears,
        tariff: Callable[[Caller], PerMinute],
        limits: Limits,
        prices: EnginePrices = PUBLIC_PRICES,
        keep_turns: Callable[[Iterable[TurnFacts]], None] = lambda _: None,
        end_of_turn: Callable[[], EndOfTurn | None] = lambda: None,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        moment: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._prices, self._keep_turns, self._moment = prices, keep_turns, moment
        self._usage, self._directory, self._tariff = usage, directory, tariff
        self._engine, self._ears, self._limits = engine, ears, limits
        self._end_of_turn, self._clock_ms = end_of_turn, clock_ms
        self._calls: dict[str, LiveCall] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._draining = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def calls(self) -> Mapping[str, LiveCall]:
        return MappingProxyType(self._calls)

    @property
    def draining(self) -> bool:
        return self._draining

    async def __aenter__(self) -> Switchboard:
        self._keeper = asyncio.create_task(self._keep_directory())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain(0)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    # Calls begin.

    async def place(
        self,
        caller: Caller,
        connect: Callable[[LiveCall], Link],
        *,
        settings: EngineSettings,
        rules: Rules,
        media_flows: bool = False,
    ) -> LiveCall:
        """Admit a call and let it run in a task of its own.

        `connect` is called once the money is held. `media_flows`: the caller is connected
        as soon as it is admitted (a WebSocket), so that from then on even a crash leaves a
        bill; otherwise that begins with the link's `Connected`.

        Raises `CallRefused` or `billing.pricing.InsufficientFunds`; nothing is then held.
        """
        if self._draining:
            raise Draining("the server is shutting down; call again in a moment")
        if len(self._calls) >= self._limits.calls_max:
            raise Busy("all lines are in use; call again in a moment")
        call = LiveCall(caller)
        self._calls[call.id] = call
        task = asyncio.create_task(
            self._keep(call, connect, settings, rules, media_flows), name=f"call {call.id}"
        )
        self._tasks[call.id] = task
        try:
            await asyncio.shield(call._admitted)
        except asyncio.CancelledError:
            task.cancel()
            raise
        return call

    async def _keep(
        self,
        call: LiveCall,
        connect: Callable[[LiveCall], Link],
        settings: EngineSettings,
        rules: Rules,
        media_flows: bool,
    ) -> None:
        """Own one call from its admission to its bill."""
        try:
            async with self._entered(call):
                await self._meter(call, connect, settings, rules, media_flows)
        except Exception as error:
            if call._admitted.done():
                logger.exception("call %s broke", call.id)
            else:
                call._admitted.set_exception(error)
        finally:
            del self._calls[call.id], self._tasks[call.id]
            if not call._admitted.done():
                call._admitted.cancel()
            if not call._summary.done():
                duration_ms = call.session.duration_ms if call.session else 0
                call._summary.set_result(Summary(call.id, "abandoned", duration_ms, None))

    @contextlib.asynccontextmanager
    async def _entered(self, call: LiveCall) -> AsyncIterator[None]:
        user_id, limit = call.caller.user_id, self._limits.calls_per_user_max
        if not await self._directory.enter(call.id, user_id, limit):
            raise TooManyCalls(f"at most {limit} calls at a time; hang one up first")
        try:
            yield
        finally:
            await asyncio.shield(self._directory.leave(call.id, user_id))

    async def _meter(
        self,
        call: LiveCall,
        connect: Callable[[LiveCall], Link],
        settings: EngineSettings,
        rules: Rules,
        media_flows: bool,
    ) -> None:
        link: Link | None = None
        meter: Meter | None = None
        try:
            async with self._usage.metered(
                call.caller.user_id,
                kind="call",
                tariff=self._tariff(call.caller),
                minutes_max=self._limits.call_minutes_max,
                usage_id=call.id,
            ) as meter:
                if media_flows:
                    await meter.tick(0)
                link = connect(call)
                rules = replace(rules, call_ms_max=meter.allowance_ms)
                await self._talk(call, link, meter, settings, rules)
        finally:
            if link is not None:
                await asyncio.shield(self._say_goodbye(call, link, meter))

    async def _talk(
        self, call: LiveCall, link: Link, meter: Meter, settings: EngineSettings, rules: Rules
    ) -> None:
        log = TurnLog(call.id, self._prices)
        engine = self._engine(settings, lambda turn, use: log.used(turn, use, self._moment()))
        vad = self._ears.open()
        session = Session(
            link, engine, vad, rules, clock_ms=self._clock_ms, end_of_turn=self._end_of_turn(),
            on_action=lambda action: log.act(action, self._moment()),
        )  # fmt: skip
        call.session = session
        call._admitted.set_result(None)
        logger.info("call %s: begins, user %s", call.id, call.caller.user_id)
        try:
            async with asyncio.TaskGroup() as group:
                heartbeat = group.create_task(self._beat(call, session, meter, log))
                await session.run()
                heartbeat.cancel()
        finally:
            vad.close()
            closed = session.closed
            assert closed is not None, "a session always ends closed"
            detail = {
                "reason": closed.reason, "turns": len(closed.turns),
                "engine_cost_micros": dict(log.costs.micros),
                "engine_cost_unknown": log.costs.unknown,
            }  # fmt: skip
            meter.read(closed.duration_ms if session.connected else None, detail)
            self._keep_turns(log.rest())

    async def _beat(self, call: LiveCall, session: Session, meter: Meter, log: TurnLog) -> None:
        """Write the durable counter, keep the lease, pay for the next minutes, and have the
        turns written down that are over.

        The first tick comes as soon as media flows: from then on a crash leaves a bill.
        """
        while True:
            try:
                allowance_ms = await meter.tick(session.duration_ms if session.connected else None)
            except LeaseLost:
                logger.error("call %s: lease lost, closed by another server", call.id)
                session.post(HungUp("lease_lost"))
                return
            session.post(Allowed(allowance_ms))
            self._keep_turns(log.settled(self._moment()))
            if session.connected:
                await asyncio.sleep(self._limits.heartbeat_s)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.heartbeat_s):
                        await session.began.wait()

    async def _say_goodbye(self, call: LiveCall, link: Link, meter: Meter | None) -> None:
        closed = call.session.closed if call.session else None
        bill: Bill | None = meter.bill if meter is not None else None
        summary = Summary(
            call.id,
            closed.reason if closed else "abandoned",
            closed.duration_ms if closed else 0,
            bill,
        )
        if not call._summary.done():
            call._summary.set_result(summary)
        logger.info(
            "call %s: %s after %.1f s, %s",
            call.id,
            summary.reason,
            summary.duration_ms / 1000,
            f"{bill.billed_minutes} min billed" if bill else "nothing billed",
        )
        try:
            async with asyncio.timeout(LINK_CLOSE_S_MAX):
                await link.close(summary)
        except TimeoutError:
            logger.warning("call %s: the link did not close in time", call.id)

    # Calls end.

    async def hang_up(self, call_id: str, user_id: int) -> bool:
        """End a call of this user, wherever it lives; False when there is none such."""
        call = self._calls.get(call_id)
        if call is not None:
            if call.caller.user_id != user_id:
                return False
            call.hang_up()
            return True
        bill = await self._usage.owner(call_id)
        return bill == user_id and await self._directory.hang_up(call_id)

    async def drain(self, seconds: float) -> None:
        """Admit nobody, give live calls `seconds` to end, then end them; all are billed."""
        self._draining = True
        tasks = list(self._tasks.values())
        if tasks and seconds > 0:
            logger.info("draining: %d calls have %.0f s to end", len(tasks), seconds)
            for call in list(self._calls.values()):
                if call.session is not None:
                    call.session.post(EndWithin(int(seconds * 1000)))
            await asyncio.wait(tasks, timeout=seconds)
        for call in list(self._calls.values()):
            call.hang_up("draining")
        pending = [task for task in tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=LINK_CLOSE_S_MAX * 2)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _keep_directory(self) -> None:
        """Keep our calls listed, and hear of hang-ups that reached another server."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._directory.listen(self._hang_up_here))
            group.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._limits.heartbeat_s)
            if self._calls:
                await self._directory.renew(list(self._calls))

    def _hang_up_here(self, call_id: str) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            call.hang_up()
