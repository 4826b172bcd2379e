"""The shell of one call: a link, an engine, and the conversation between them.

One inbox and one consumer: `post` takes whatever happened and performs, at once and in order,
what the conversation decides. Nothing waits between a decision and its actions; what happens
meanwhile stands in line. Three tasks feed the inbox: the link, the engine and the clock; and
while a pause is being judged, a fourth.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from engines.speech import (
    Cancel,
    Command,
    Configure,
    EndOfTurn,
    EndUtterance,
    EngineError,
    Event,
    Fill,
    Hear,
    PcmFrame,
    Prepare,
    ReplyAudio,
    Respond,
    Say,
    SpeechToSpeech,
    Transcribe,
    VoiceActivityDetector,
)

from .conversation import Conversation
from .events import (
    Action,
    Closed,
    Heard,
    HungUp,
    Input,
    JudgeTurn,
    MinuteElapsed,
    Tick,
    TurnJudged,
)
from .rules import Rules

if TYPE_CHECKING:
    from billing.usage import Bill

logger = logging.getLogger(__name__)

COMMANDS_MAX = 4_096
# An engine that makes sound faster than it is heard waits when it is this far ahead.
AHEAD_MS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Summary:
    """How a call ended, and its bill; no bill when media never flowed."""

    call_id: str
    reason: str
    duration_ms: int
    bill: Bill | None


class Link(Protocol):
    """A caller, however they are connected."""

    def inputs(self) -> AsyncIterator[Input | PcmFrame]:
        """What the caller does and says; ends when the caller is gone."""
        ...

    def perform(self, action: Action) -> None:
        """Do it or queue it; never wait. A link bounds its own buffers."""
        ...

    async def close(self, summary: Summary) -> None:
        """Called exactly once, after the bill: tell the caller, then let go. Bounded."""
        ...


class Session:
    """One call. `run` talks until it is closed and leaves nothing running. Without an
    `end_of_turn` nobody answers when the conversation asks whether a turn is over. `on_action`
    is told of everything that is done but the sound that is heard; it may not wait."""

    def __init__(
        self,
        link: Link,
        engine: SpeechToSpeech,
        vad: VoiceActivityDetector,
        rules: Rules,
        *,
        clock_ms: Callable[[], int],
        end_of_turn: EndOfTurn | None = None,
        on_action: Callable[[Action], None] = lambda _: None,
    ) -> None:
        self._link, self._engine, self._vad = link, engine, vad
        self._end_of_turn, self._judging_failed = end_of_turn, False
        self._judging: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._clock_ms, self._on_action = clock_ms, on_action
        self._conversation = Conversation(rules, now_ms=clock_ms())
        self._inbox: deque[Input] = deque()
        self._deciding = False
        self._commands: asyncio.Queue[Command] = asyncio.Queue(COMMANDS_MAX)
        self._over = asyncio.Event()
        self._earlier = asyncio.Event()
        self._heard = asyncio.Event()
        # Set when media begins to flow, or never.
        self.began = asyncio.Event()
        self._wakes_ms: int | None = None
        self.closed: Closed | None = None

    @property
    def connected(self) -> bool:
        return self._conversation.connected

    @property
    def duration_ms(self) -> int:
        """How long media has flowed, by the call's own monotonic clock."""
        if self.closed is not None:
            return self.closed.duration_ms
        return self._conversation.elapsed_ms(self._clock_ms())

    async def run(self) -> Closed:
        """Talk until the conversation is closed. However it ends, `closed` is set after."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._listen()),
                    group.create_task(self._converse()),
                    group.create_task(self._keep_time()),
                ]
                self._group = group
                await self._over.wait()
                for task in (*tasks, self._judging):
                    if task is not None:
                        task.cancel()
        finally:
            if self.closed is None:
                self._abandon()
        assert self.closed is not None
        return self.closed

    def post(self, event: Input) -> None:
        """Take one event and perform what follows from it."""
        self._inbox.append(event)
        if self._deciding:
            return  # Whoever is deciding will come to it.
        self._deciding = True
        try:
            while self._inbox:
                actions = self._conversation.receive(self._inbox.popleft(), self._clock_ms())
                for action in actions:
                    self._perform(action)
        finally:
            self._deciding = False
        self._rearm()

    def _perform(self, action: Action) -> None:
        match action:
            case Hear() | Transcribe():
                self._command(action)
                return  # Sound is not for the log.
            case JudgeTurn():
                self._ask(action)
                return
            case EndUtterance() | Prepare() | Respond() | Fill() | Say() | Cancel() | Configure():
                self._command(action)
            case MinuteElapsed():
                pass  # The heartbeat sees to the money.
            case Closed():
                self.closed = action
                self._over.set()
                self._link.perform(action)
            case _:
                self._link.perform(action)
        self._on_action(action)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", action)

    def _command(self, command: Command) -> None:
        try:
            self._commands.put_nowait(command)
        except asyncio.QueueFull:  # The engine stopped listening; the call cannot go on.
            self._inbox.append(HungUp("engine_stalled"))

    def _abandon(self) -> None:
        """Cancelled or broken: the bill is owed all the same. The link and the engine may be
        what broke, so they are asked nothing more."""
        for action in self._conversation.receive(HungUp("abandoned"), self._clock_ms()):
            self._on_action(action)
            if isinstance(action, Closed):
                self.closed = action

    # Those who feed the inbox.

    async def _listen(self) -> None:
        async for event in self._link.inputs():
            if isinstance(event, PcmFrame):
                event = Heard(event, await self._vad.probability(event))
            self.post(event)
        self.post(HungUp("link_lost"))

    async def _converse(self) -> None:
        await self._engine.converse(self._obey(), self._emit)

    async def _obey(self) -> AsyncIterator[Command]:
        while True:
            yield await self._commands.get()

    async def _emit(self, event: Event) -> None:
        self.post(event)
        while isinstance(event, ReplyAudio) and self._too_far_ahead(event.turn):
            self._heard.clear()
            await self._heard.wait()

    def _too_far_ahead(self, turn: int) -> bool:
        call = self._conversation
        return turn == call.turn and call.unheard_ms > AHEAD_MS_MAX and self.closed is None

    def _ask(self, question: JudgeTurn) -> None:
        """Have a pause judged; nobody wants to know any more of the one before it."""
        if self._end_of_turn is None or self._group is None:
            return
        if self._judging is not None:
            self._judging.cancel()
        self._judging = self._group.create_task(self._judge(self._end_of_turn, question))

    async def _judge(self, end_of_turn: EndOfTurn, question: JudgeTurn) -> None:
        sound = b"".join([frame.samples for frame in question.frames])
        try:
            probability = await end_of_turn.probability(sound)
        except EngineError as error:
            if not self._judging_failed:
                logger.warning("the call goes by the length of pauses: %s", error)
            self._judging_failed = True
        else:
            self.post(TurnJudged(question.turn, question.pause, probability))

    async def _keep_time(self) -> None:
        """Wake the conversation when it asked to be woken."""
        while self.closed is None:
            self._wakes_ms = self._conversation.deadline_ms()
            self._earlier.clear()
            if self._wakes_ms is None:
                return
            wait_s = max(0, self._wakes_ms - self._clock_ms()) / 1000
            try:
                async with asyncio.timeout(wait_s):
                    await self._earlier.wait()
            except TimeoutError:
                # A deadline that moved later meanwhile costs one wake-up and no event.
                due_ms = self._conversation.deadline_ms()
                if due_ms is not None and self._clock_ms() >= due_ms:
                    self.post(Tick())

    def _rearm(self) -> None:
        """Wake whoever waits for what has just changed."""
        due_ms = self._conversation.deadline_ms()
        if due_ms is not None and self._wakes_ms is not None and due_ms < self._wakes_ms:
            self._wakes_ms = due_ms
            self._earlier.set()
        self._heard.set()
        if self._conversation.connected:
            self.began.set()
