"""Several dialogues as one: a reply is given to its end, whoever begins it.

Nothing of a dialogue counts before its first word or its first call of a tool, so up to there the
next one is simply asked. After words were given they stand, for they may have been heard: the
next dialogue that can is told what was said and goes on from there, which a listener notices
less than half an answer and an apology. Not so after a tool was called: nobody knows whether the
call was whole, and to ask for it twice may be to do it twice; such a reply ends as a failure.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import get_args

from ..speech import (
    CallPiece,
    Cut,
    Dialogue,
    DialogueOutput,
    EngineError,
    EngineSettings,
    Entry,
    Expect,
    Pace,
)
from .continuing import Seam, WholeWords, going_on
from .hedging import Race
from .work import Asked, Candidate, Ended, Failover, Terms, Work

_Asked = Asked[Dialogue, DialogueOutput]
_Work = Work[Dialogue, DialogueOutput]


@dataclass(frozen=True, slots=True)
class ReplyingPatience:
    """How long a dialogue may be silent while another stands by: before its first word, and
    between two. None: for ever."""

    first_ms: int | None = 1_500
    stall_ms: int | None = 2_000


class FailoverDialogue(Failover[Dialogue]):
    """A `Dialogue`. What a reply `Spent` is told to the report and not given on."""

    role = "dialogue"
    says = get_args(DialogueOutput)

    def __init__(
        self, candidates: Sequence[Candidate[Dialogue]], terms: Terms,
        patience: ReplyingPatience | None = None,
    ) -> None:  # fmt: skip
        super().__init__(candidates, terms)
        self.patience = patience or ReplyingPatience()

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        async with Work[Dialogue, DialogueOutput](self, self.line(settings.language)) as work:
            replying = _Replying(self, work, history, settings)
            while not replying.over:
                for each in await replying.next():
                    yield each


class _Replying:
    """One reply while it is thought of. `over`: nothing more comes."""

    def __init__(
        self, owner: FailoverDialogue, work: _Work, history: Sequence[Entry],
        settings: EngineSettings,
    ) -> None:  # fmt: skip
        self._owner, self._work = owner, work
        self._history, self._settings = history, settings
        self._asked: _Asked | None = None
        self._said, self._last_ms = "", 0
        self._called = False
        self._words, self._seam = WholeWords(), Seam("")
        self.over = False

    async def next(self) -> list[DialogueOutput]:
        """What is given next. Raises `EngineError` when nobody can go on."""
        if self._asked is None:
            return await self._begin()
        try:
            _, said = await self._work.take(self._until_ms())
        except TimeoutError:
            self._break_off(self._asked, EngineError("it fell silent in the middle"))
            return []
        if not isinstance(said, Ended):
            return self._give(said)
        if said.error is not None:
            self._break_off(self._asked, said.error)
            return []
        self._work.done(self._asked)
        self.over = True
        return self._rest()

    async def _begin(self) -> list[DialogueOutput]:
        history = going_on(self._history, self._said)
        race = Race[Dialogue, DialogueOutput](
            make=lambda candidate: candidate.engine().respond(history, self._settings),
            counts=lambda output: isinstance(output, CallPiece) or _is_words(output),
            is_empty=self._is_nothing,
            patience_ms=self._owner.patience.first_ms,
            hedge_ms=self._owner.terms.hedge_ms,
        )
        begun = await race.run(self._work)
        self._words, self._seam = WholeWords(), Seam(self._said)
        given = [output for each in begun.said for output in self._give(each)]
        if begun.ended:
            self._work.done(begun.asked)
            self.over = True
            return given
        self._asked = begun.asked
        return given

    def _give(self, output: DialogueOutput) -> list[DialogueOutput]:
        self._last_ms = self._work.now_ms()
        match output:
            case str():
                words = self._words.feed(output)
                if not self._work.waiting:  # Nobody could go on: no word need be whole.
                    words += self._words.rest()
                return self._say(self._seam.feed(words))
            case CallPiece():
                self._called = True
                return [*self._rest(), output]
            case Cut():
                return [*self._rest(), output]
        return [output]

    def _say(self, words: str) -> list[DialogueOutput]:
        self._said += words
        return [words] if words else []

    def _rest(self) -> list[DialogueOutput]:
        return self._say(self._seam.feed(self._words.rest()) + self._seam.rest())

    def _break_off(self, asked: _Asked, error: Exception) -> None:
        """The next dialogue goes on, if it may and can."""
        self._work.fail(asked, error)
        self._asked = None
        if self._called:
            self._work.dismiss(lambda _: True)
        elif self._said.strip():
            self._work.dismiss(lambda candidate: not candidate.continues)

    def _until_ms(self) -> int | None:
        stall_ms = self._owner.patience.stall_ms
        if stall_ms is None or self._called or not self._work.stands_by(self._asked, self._may):
            return None
        return self._last_ms + stall_ms

    def _may(self, candidate: Candidate[Dialogue]) -> bool:
        return candidate.continues or not self._said.strip()

    def _is_nothing(self, outputs: Sequence[DialogueOutput]) -> EngineError | None:
        """A reply without a word leaves the caller in silence, unless enough was said before."""
        said = any(not isinstance(each, str | Pace | Expect) for each in outputs)
        return None if said or self._said.strip() else EngineError("it said nothing")


def _is_words(output: DialogueOutput) -> bool:
    return isinstance(output, str) and bool(output.strip())
