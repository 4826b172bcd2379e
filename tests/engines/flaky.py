"""Engines that fail on cue, in this process: at any moment, in any way.

What they give can be told apart, and they write down what they were asked and how it ended, so a
test can say of every word who gave it and that nothing was left running.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

from engines.failover.continuing import GO_ON
from engines.failover.health import Health, HealthRules
from engines.failover.speaking import Sound
from engines.failover.work import Candidate, E, Terms
from engines.speech import (
    PCM_FRAME_BYTES,
    PCM_FRAME_MS,
    CallPiece,
    DialogueOutput,
    EngineError,
    EngineRefused,
    EngineSettings,
    EngineUse,
    Entry,
    OpusFrame,
    PcmFrame,
    Spent,
    Transcript,
    Turn,
    Word,
    WordTime,
)

from .virtual_time import clock_ms

FRAMES_PER_WORD = 12
SOUND_FRAMES_PER_WORD = 10


class Fault(enum.Enum):
    NONE = "none"
    ERROR = "error"
    # It has a mistake of its own.
    BUG = "bug"
    REFUSED = "refused"
    STALL = "stall"
    # It ends as if all had been said.
    END = "end"


@dataclass
class Flaky:
    """`after` so many pieces of its answer the fault comes, of the first `times` requests. `slow_s`
    before the first piece, `pace_s` before every one."""

    name: str
    fault: Fault = Fault.NONE
    after: int = 0
    times: int = 1_000_000
    slow_s: float = 0.0
    pace_s: float = 0.0
    retry_after_s: float | None = None
    # How long it takes to say farewell when it is left.
    farewell_s: float = 0.0
    open: int = 0
    closed: int = 0
    pieces: int = 0

    async def step(self) -> bool:
        """Before each piece; False: that was all."""
        if self.pieces == 0 and self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.pace_s:
            await asyncio.sleep(self.pace_s)
        if self.fault is not Fault.NONE and self.pieces == self.after and self.times > 0:
            self.times -= 1
            if self.fault is Fault.END:
                return False
            await self.fails()
        self.pieces += 1
        return True

    async def fails(self) -> None:
        match self.fault:
            case Fault.ERROR:
                error = EngineError(f"{self.name} is broken")
                error.retry_after_s = self.retry_after_s
                raise error
            case Fault.REFUSED:
                raise EngineRefused(f"{self.name} does not want to")
            case Fault.BUG:
                raise ValueError("a secret of the engine")
            case Fault.STALL:
                await asyncio.Event().wait()

    def begin(self) -> None:
        self.open += 1
        self.pieces = 0

    async def end(self) -> None:
        self.open -= 1
        self.closed += 1
        if self.farewell_s:
            await asyncio.sleep(self.farewell_s)


@dataclass
class Voice(Flaky):
    """240 ms for each word. `times_of`: how it tells where words lie: as they come, all of them
    ahead, reckoned, or not at all."""

    times_of: str = "coming"
    voices: tuple[str, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[Sound, None]:
        self.asked.append((text, voice))
        if voice and voice not in self.voices:
            raise EngineRefused(f"{self.name} has no voice {voice}")
        self.begin()
        try:
            for piece in spoken(self.name, text, self.times_of):
                if not await self.step():
                    return
                yield piece
            if self.fault is not Fault.NONE and self.after >= self.pieces and self.times > 0:
                self.after = self.pieces
                await self.step()
        finally:
            await self.end()


def places(text: str) -> list[tuple[int, int]]:
    found, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        found.append((at, at + len(word)))
        at += len(word)
    return found


def spoken(name: str, text: str, times_of: str) -> list[Sound]:
    pieces = list[Sound]()
    step_ms = FRAMES_PER_WORD * 20
    words = [
        WordTime(begin, end, index * step_ms, estimated=times_of == "reckoned")
        for index, (begin, end) in enumerate(places(text))
    ]
    if times_of in ("ahead", "reckoned"):
        pieces += words
    for word in words:
        if times_of == "coming":
            pieces.append(word)
        said = text[word.char_start : word.char_end]
        pieces += [OpusFrame(f"{name} {said} {n}".encode()) for n in range(FRAMES_PER_WORD)]
    return pieces


@dataclass
class Talker(Flaky):
    """Gives its outputs. One that goes on for another says what of `reply` was not said yet; with
    `says_again` it begins so many words earlier."""

    outputs: Sequence[DialogueOutput] = ()
    reply: str = ""
    says_again: int = 0
    token_chars: int = 4
    spent: int = 0
    asked: list[Sequence[Entry]] = field(default_factory=list)

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        self.asked.append(history)
        self.begin()
        try:
            for output in self.outputs or self._rest(history):
                if not await self.step():
                    return
                yield output
            if self.fault is not Fault.NONE and self.after >= self.pieces and self.times > 0:
                self.after = self.pieces
                if not await self.step():
                    return
            if self.spent:
                yield Spent((("tokens_out", self.spent),))
        finally:
            await self.end()

    def _rest(self, history: Sequence[Entry]) -> list[str]:
        said = ""
        if history[-1] == Turn(GO_ON, "") and isinstance(before := history[-2], Turn):
            said = before.agent
        words, count = self.reply.split(), len(said.split())
        rest = " ".join(words[max(count - self.says_again, 0) :])
        size = self.token_chars
        return [rest[at : at + size] for at in range(0, len(rest), size)]


@dataclass
class Ear(Flaky):
    """Hears the words of `sound_of`. Partials as words end; a final after each `stretch` words
    (0: none before the end) and at the end. `tells_times`: whether finals say where they end."""

    words: Sequence[str] = ()
    stretch: int = 0
    tells_times: bool = True
    # It takes no sound at all.
    deaf: bool = False
    final_s: float = 0.0
    asked: int = 0
    heard: int = 0
    languages: list[str] = field(default_factory=list)

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        self.asked += 1
        self.languages.append(language)
        self.begin()
        got = list[int]()
        try:
            if self.deaf:
                await asyncio.Event().wait()
            async for frame in audio:
                if not await self.step():
                    return
                self.heard += 1
                got.append(int.from_bytes(frame.samples[:4], "little"))
                if (got[-1] + 1) % SOUND_FRAMES_PER_WORD == 0:
                    yield self._transcript(got, final=False)
                    last = (got[-1] + 1) // SOUND_FRAMES_PER_WORD
                    if self.stretch and last % self.stretch == 0:
                        yield self._transcript(got, final=True)
                        got = [-1 for _ in got]
            await asyncio.sleep(self.final_s)
            if self.fault is not Fault.NONE and self.after >= self.pieces and self.times > 0:
                self.after = self.pieces
                if not await self.step():
                    return
            yield self._transcript(got, final=True)
        finally:
            await self.end()

    def _transcript(self, got: list[int], *, final: bool) -> Transcript:
        """The words that lie wholly in the sound since the last final; -1 was final before."""
        size = SOUND_FRAMES_PER_WORD
        words = list[Word]()
        for at, frame in enumerate(got):
            if frame % size == size - 1 and frame >= 0 and at >= size - 1:
                begin = at - size + 1
                if got[begin] == frame - size + 1 and frame // size < len(self.words):
                    words.append(
                        Word(
                            self.words[frame // size],
                            begin * PCM_FRAME_MS, (at + 1) * PCM_FRAME_MS,
                        )
                    )  # fmt: skip
        ended = next((at for at, frame in enumerate(got) if frame >= 0), len(got))
        start_ms = words[0].start_ms if words else ended * PCM_FRAME_MS
        end_ms = len(got) * PCM_FRAME_MS
        text = " ".join(word.text for word in words)
        if not self.tells_times:
            return Transcript(text, final)
        return Transcript(text, final, min(start_ms, end_ms), end_ms, tuple(words))


def frame_of(number: int) -> PcmFrame:
    return PcmFrame(number.to_bytes(4, "little").ljust(PCM_FRAME_BYTES, b"\0"))


async def sound_of(words: Sequence[str], every_s: float = 0.0) -> AsyncIterator[PcmFrame]:
    for number in range(len(words) * SOUND_FRAMES_PER_WORD):
        await asyncio.sleep(every_s)
        yield frame_of(number)


class Record:
    """What was reported, and the health of all."""

    def __init__(self, rules: HealthRules | None = None) -> None:
        self.health, self.uses = Health(rules), list[EngineUse]()

    def terms(self, hedge_ms: int = 0) -> Terms:
        return Terms(self.health, self.uses.append, clock_ms, hedge_ms)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(use.engine, use.outcome) for use in self.uses]


def candidates(*engines: E) -> list[Candidate[E]]:
    return [candidate(engine) for engine in engines]


def candidate(
    engine: E, *, languages: tuple[str, ...] | None = None, patience_ms: int | None = None,
    continues: bool = True, name: str = "",
) -> Candidate[E]:  # fmt: skip
    name = name or str(getattr(engine, "name", ""))
    return Candidate(name, f"{name}-1", lambda: engine, languages, patience_ms, continues)


def call_piece(arguments: str = "{}") -> CallPiece:
    return CallPiece("call_1", "look", arguments)
