"""Who begins to answer first: one engine after another, or two at once.

The next engine is asked when the one before has failed or has been silent for too long, and, where
that is wanted, already when it has been silent for a little while (`hedge_ms`): then the first to
answer is listened to and the other is left at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from ..speech import EngineError
from .work import Asked, E, Ended, Make, T, Work


@dataclass(frozen=True)
class Begun(Generic[E, T]):
    """Who answers, and all it has said so far. `ended`: it has nothing more to say, and is still
    to be called `done`."""

    asked: Asked[E, T]
    said: list[T]
    ended: bool


@dataclass(frozen=True)
class Race(Generic[E, T]):
    """How work is asked for. `amounts`: what asking somebody costs. `counts`: whether
    this begins an answer. `is_empty`: what is wrong where somebody ended with only this.
    `patience_ms`: how long one may be silent while another stands by; None: for ever. `hurried`:
    since when the listener has waited for too long, and how long one may still be silent then;
    whoever loses by that was not given the time that it needs, and has not failed."""

    make: Make[E, T]
    counts: Callable[[T], bool]
    is_empty: Callable[[Sequence[T]], EngineError | None]
    patience_ms: int | None
    hedge_ms: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)
    hurried: Callable[[], tuple[int, int] | None] = lambda: None

    async def run(self, work: Work[E, T]) -> Begun[E, T]:
        """The first to answer. Raises `EngineError` when all have failed."""
        racing: dict[Asked[E, T], list[T]] = {}
        while True:
            if not racing:
                self._ask(work, racing)
            try:
                asked, said = await work.take(self._until_ms(work, racing))
            except TimeoutError:
                self._lose_patience(work, racing)
                continue
            if isinstance(said, Ended):
                heard = racing.pop(asked)
                if error := said.error or self.is_empty(heard):
                    work.fail(asked, error)
                    continue
                return _won(work, Begun(asked, heard, ended=True), racing)
            racing[asked].append(said)
            if self.counts(said):
                asked.first_ms = work.now_ms() - asked.begun_ms
                return _won(work, Begun(asked, racing.pop(asked), ended=False), racing)

    def _until_ms(self, work: Work[E, T], racing: dict[Asked[E, T], list[T]]) -> int | None:
        ends = [self._ends_ms(work, asked, len(racing)) for asked in racing]
        ends += [self._hurries_ms(work, asked, len(racing)) for asked in racing]
        ends.append(self._hedges_ms(work, racing))
        return min((end for end in ends if end is not None), default=None)

    def _ends_ms(self, work: Work[E, T], asked: Asked[E, T], count: int) -> int | None:
        """When patience with this one ends; None while there is nobody else."""
        own = asked.candidate.patience_ms
        patience_ms = own if own is not None else self.patience_ms
        if patience_ms is None or (count == 1 and not work.stands_by(asked)):
            return None
        return asked.begun_ms + patience_ms

    def _hurries_ms(self, work: Work[E, T], asked: Asked[E, T], count: int) -> int | None:
        """When somebody must answer who can do so at once; None while there is nobody else."""
        hurried = self.hurried()
        if hurried is None or (count == 1 and not work.stands_by(asked)):
            return None
        return max(asked.begun_ms, hurried[0]) + hurried[1]

    def _hedges_ms(self, work: Work[E, T], racing: dict[Asked[E, T], list[T]]) -> int | None:
        """When the next one is asked as well: one who is well, for it is only in case."""
        if not self.hedge_ms or len(racing) != 1 or not work.stands_by():
            return None
        return next(iter(racing)).begun_ms + self.hedge_ms

    def _lose_patience(self, work: Work[E, T], racing: dict[Asked[E, T], list[T]]) -> None:
        now_ms = work.now_ms()
        hedges_ms = self._hedges_ms(work, racing)
        for asked in list(racing):
            ends_ms = self._ends_ms(work, asked, len(racing))
            hurries_ms = self._hurries_ms(work, asked, len(racing))
            if ends_ms is not None and ends_ms <= now_ms:
                del racing[asked]
                work.fail(asked, EngineError("it took too long to begin"))
            elif hurries_ms is not None and hurries_ms <= now_ms:
                del racing[asked]
                work.leave(asked, lost=True)
        if racing and hedges_ms is not None and hedges_ms <= now_ms:
            self._ask(work, racing)

    def _ask(self, work: Work[E, T], racing: dict[Asked[E, T], list[T]]) -> None:
        racing[work.ask(self.make, self.amounts)] = []


def _won(
    work: Work[E, T], begun: Begun[E, T], others: Iterable[Asked[E, T]]
) -> Begun[E, T]:
    for other in others:
        work.leave(other, lost=True)
    return begun
