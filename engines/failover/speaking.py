"""Several voices as one: a sentence is said to its end, whoever begins it.

Sound that was given will be heard, so the next voice goes on from the first word whose sound was
not given in full. Its sound follows what was given, and its words are told by their places in
the whole text, so that what is highlighted, and what counts as heard, stays right.

A voice that falls silent is given up only when the listener is about to notice: not while more
sound lies ahead than its silence may last.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from ..speech import (
    OPUS_FRAME_MS,
    EngineError,
    EngineRefused,
    OpusFrame,
    SpeechOutput,
    TextToSpeech,
    WordTime,
)
from .hedging import Race
from .resuming import Spoken, is_speakable
from .work import Asked, Candidate, Ended, Failover, Terms, Work

# A call that wants ever new voices that are not there is answered all the same.
_REFUSED_MAX = 100

# What is given on; what it cost is told to the report.
Sound = OpusFrame | WordTime
_Asked = Asked[TextToSpeech, SpeechOutput]
_Work = Work[TextToSpeech, SpeechOutput]


@dataclass(frozen=True, slots=True)
class SpeakingPatience:
    """How long a voice may be silent while another stands by: before its first sound, and
    between two. None: for ever, for who does not listen live. `hurried_ms`: before its first
    sound once its listener has waited for so long that a call says something to fill the time,
    which is after 2.2 s; with what the embedded voice then needs it is less than three."""

    first_ms: int | None = 1_200
    stall_ms: int | None = 1_000
    hurried_ms: int = 500


@dataclass(frozen=True, slots=True)
class _Wish:
    text: str
    voice: str
    language: str
    speed: float


class Soundless(EngineRefused):
    """A voice that ends well without a sound may not know this script."""


class FailoverTextToSpeech(Failover[TextToSpeech]):
    """A `TextToSpeech`. Where an engine does not have the wanted voice, its default one speaks.
    What a text `Spent` is told to the report and not given on."""

    role = "text_to_speech"
    says = get_args(SpeechOutput)

    def __init__(
        self, candidates: Sequence[Candidate[TextToSpeech]], terms: Terms,
        patience: SpeakingPatience | None = None,
    ) -> None:  # fmt: skip
        super().__init__(candidates, terms)
        self.patience = patience or SpeakingPatience()
        self._works = set[_Work]()
        self._hurried_at_ms: int | None = None

    def hurry(self) -> None:
        """The listener has waited for long: whichever voice begins soon shall speak."""
        if self.patience.first_ms is not None and self._hurried_at_ms is None:
            self._hurried_at_ms = self.terms.clock_ms()
            for work in self._works:
                work.hurry(self._hurried_at_ms + self.patience.hurried_ms)

    @property
    def hurried(self) -> tuple[int, int] | None:
        """Since when, and how long a voice has then."""
        at_ms = self._hurried_at_ms
        return None if at_ms is None else (at_ms, self.patience.hurried_ms)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[Sound, None]:
        async with Work[TextToSpeech, SpeechOutput](self, self.line(language)) as work:
            self._works.add(work)
            reading = _Reading(self, work, _Wish(text, voice, language, speed))
            try:
                while not reading.over:
                    for each in await reading.next():
                        yield each
            finally:
                self._works.discard(work)


class _Reading:
    """One text while it is spoken. `over`: nothing more comes."""

    def __init__(self, owner: FailoverTextToSpeech, work: _Work, wish: _Wish) -> None:
        self._owner, self._work, self._wish = owner, work, wish
        self._spoken = Spoken(wish.text, wish.speed)
        self._voice: _Asked | None = None
        # When the listener began to hear, and when the last sound came.
        self._began_ms: int | None = None
        self._last_ms = 0
        self.over = False

    async def next(self) -> list[Sound]:
        """What is given next. Raises `EngineError` when nobody can go on."""
        if self._voice is None:
            return await self._begin()
        came = self._work.at_hand()
        try:
            _, said = came or await self._work.take(self._until_ms())
        except TimeoutError:
            return self._break_off(self._voice, EngineError("the voice fell silent"))
        if not isinstance(said, Ended):
            return self._give(self._voice, said)
        if said.error is not None:
            return self._break_off(self._voice, said.error)
        self._work.done(self._voice)
        self.over = True
        return [*self._spoken.rest()]

    async def _begin(self) -> list[Sound]:
        left = replace(self._wish, text=self._spoken.left)
        race = Race[TextToSpeech, SpeechOutput](
            make=lambda candidate: self._spoken_by(candidate, left),
            amounts={"characters": len(left.text)},
            counts=lambda sound: isinstance(sound, OpusFrame),
            is_empty=lambda said: self._is_silent(left.text),
            patience_ms=self._owner.patience.first_ms,
            hedge_ms=self._owner.terms.hedge_ms,
            hurried=lambda: self._owner.hurried,
        )
        begun = await race.run(self._work)
        if begun.ended:
            self._work.done(begun.asked)
            self.over = True
            return []
        self._voice = begun.asked
        return [sound for each in begun.said for sound in self._give(begun.asked, each)]

    def _give(self, voice: _Asked, sound: SpeechOutput) -> list[Sound]:
        if isinstance(sound, WordTime):
            self._spoken.place(sound)
        if not isinstance(sound, OpusFrame):
            return []
        voice.add("audio_ms", OPUS_FRAME_MS)
        self._last_ms = self._work.now_ms()
        if self._began_ms is None:
            self._began_ms = self._last_ms
        return [*self._spoken.give(), sound]

    def _break_off(self, voice: _Asked, error: Exception) -> list[Sound]:
        """The next voice goes on, if there is anything left to say."""
        self._work.fail(voice, error)
        self._voice = None
        late = self._spoken.break_off()
        self.over = not is_speakable(self._spoken.left)
        return [*late]

    def _until_ms(self) -> int | None:
        """When the listener is about to notice that no sound comes."""
        stall_ms = self._owner.patience.stall_ms
        if stall_ms is None or self._began_ms is None or not self._work.stands_by(self._voice):
            return None
        runs_dry_ms = self._began_ms + self._spoken.sound_ms
        return max(self._last_ms + stall_ms, runs_dry_ms - stall_ms)

    def _is_silent(self, text: str) -> EngineError | None:
        """Whether a voice that ended without a sound is to be followed by another. Where nobody
        makes a sound of a text, there may be none to be made."""
        others = [error for error in self._work.errors if not isinstance(error, Soundless)]
        if is_speakable(text) and (self._work.waiting or self._work.going > 1 or others):
            return Soundless("it made no sound of this text")
        return None

    async def _spoken_by(
        self, candidate: Candidate[TextToSpeech], wish: _Wish
    ) -> AsyncGenerator[SpeechOutput, None]:
        """The engine's voice that was wanted, or its own."""
        engine, refused = candidate.engine(), self._owner.terms.refused_voices
        voices = [wish.voice, ""] if wish.voice else [""]
        if (candidate.name, wish.voice) in refused:
            voices = [""]
        for voice in voices:
            stream = engine.synthesize(
                wish.text, voice=voice, language=wish.language, speed=wish.speed
            )
            begun = False
            try:
                async with contextlib.aclosing(stream) as sounds:
                    async for sound in sounds:
                        if not begun and voice != voices[0] and len(refused) < _REFUSED_MAX:
                            refused.add((candidate.name, wish.voice))
                        begun = True
                        yield sound
                return
            except EngineRefused:
                if begun or not voice:
                    raise
