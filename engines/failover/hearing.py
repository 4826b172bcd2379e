"""Several recognisers as one: what was said in an utterance is heard, whoever hears it.

Words that were called final stand, and the sound that they cover is let go; all sound after it is
kept. When a recogniser fails, closes before its time, or gives no final soon after the sound has
ended, the next one hears that sound again as fast as it can, and then what else comes. While it
catches up, what the first had understood is not replaced by less.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from ..speech import PCM_FRAME_MS, EngineError, PcmFrame, SpeechToText, Transcript
from .tape import Listener, Tape
from .work import Asked, Candidate, Ended, Failover, Terms, Work

_Asked = Asked[SpeechToText, Transcript]
_Work = Work[SpeechToText, Transcript]


@dataclass(frozen=True, slots=True)
class HearingPatience:
    """How long after the end of the sound, or after the last final that came since, a recogniser
    may take for its next final while another stands by. None: for ever, for who does not listen
    live."""

    final_ms: int | None = 1_000


class FailoverSpeechToText(Failover[SpeechToText]):
    """A `SpeechToText`."""

    role = "speech_to_text"
    says = (Transcript,)

    def __init__(
        self, candidates: Sequence[Candidate[SpeechToText]], terms: Terms,
        patience: HearingPatience | None = None,
    ) -> None:  # fmt: skip
        super().__init__(candidates, terms)
        self.patience = patience or HearingPatience()

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        async with Work[SpeechToText, Transcript](self, self.line(language)) as work:
            hearing = _Hearing(self, work, language, tuple(expected))
            async with Tape(audio, hearing.sound_ended) as tape:
                hearing.tape = tape
                while not hearing.over:
                    for each in await hearing.next():
                        yield each


@dataclass(eq=False, slots=True)
class _Ear:
    """One recogniser and where it listens. `behind`: how many words another had understood
    where this one began to listen; until it has as many it is catching up."""

    listener: Listener
    behind: int
    asked: _Asked = field(init=False)
    has_final: bool = False

    def heard(self) -> None:
        self.asked.add("audio_ms", PCM_FRAME_MS)


class _Hearing:
    """One utterance while it is heard. `over`: nothing more comes."""

    tape: Tape

    def __init__(
        self, owner: FailoverSpeechToText, work: _Work, language: str, expected: tuple[str, ...]
    ) -> None:
        self._owner, self._work = owner, work
        self._language, self._expected = language, expected
        # Who is listened to; behind them one more, who may have the final first.
        self._ears: list[_Ear] = []
        self._ended_ms: int | None = None
        # When the latest final came after the sound had ended.
        self._final_ms = 0
        # The latest words that are not final, and where words that are final end.
        self._shown = ""
        self._said_ms = 0
        self.over = False

    def sound_ended(self) -> None:
        self._ended_ms = self._work.now_ms()
        if (until_ms := self._until_ms()) is not None:
            self._work.hurry(until_ms)

    async def next(self) -> list[Transcript]:
        """What is understood next. Raises `EngineError` when nobody can go on."""
        if not self._ears:
            self._ask()
        try:
            asked, said = await self._work.take(self._until_ms())
        except TimeoutError:
            self._lose_patience()
            return []
        ear = next(each for each in self._ears if each.asked is asked)
        if isinstance(said, Ended):
            self._end(ear, said.error)
            return []
        return self._understand(ear, said)

    # Who listens.

    def _ask(self) -> None:
        ear = _Ear(self.tape.listen(lambda: ear.heard()), len(self._shown.split()))
        frames = ear.listener.frames()
        ear.asked = self._work.ask(
            lambda candidate: candidate.engine().transcribe(
                frames, language=self._language, expected=self._expected
            )
        )
        self._ears.append(ear)
        self.tape.keeps = self._work.waiting > 0

    def _end(self, ear: _Ear, error: Exception | None) -> None:
        """A recogniser has ended; the next is asked unless it was at the end of the sound."""
        if (failure := self.tape.failure()) is not None:
            raise failure  # It is the sound that failed.
        if error is None and (self._work.waiting or len(self._ears) > 1):
            if not self.tape.ended or ear.listener.position < self.tape.end:
                error = EngineError("it stopped listening in the middle")
            elif self._shown and not ear.has_final:
                error = EngineError("it ended without a final")
        if error is not None:
            self._fail(ear, error)
            return
        if ear.has_final and ear.asked.first_ms is None:
            ear.asked.first_ms = 0
        self._work.done(ear.asked)
        self._prefer(ear)
        self.over = True

    def _fail(self, ear: _Ear, error: Exception) -> None:
        self._drop(ear)
        self._work.fail(ear.asked, error)
        # Nobody is asked to hear nothing.
        self.over = ear.has_final and self.tape.is_over

    def _drop(self, ear: _Ear) -> None:
        self._ears.remove(ear)
        self.tape.leave(ear.listener)

    def _prefer(self, ear: _Ear) -> None:
        """This one was first."""
        for other in self._ears[:]:
            if other is not ear:
                self._drop(other)
                self._work.leave(other.asked, lost=True)

    # How long.

    def _until_ms(self) -> int | None:
        ends = [self._ends_ms(ear) for ear in self._ears]
        ends.append(self._hedges_ms())
        return min((end for end in ends if end is not None), default=None)

    def _ends_ms(self, ear: _Ear) -> int | None:
        """When patience with this one ends; None while there is nobody else."""
        own = ear.asked.candidate.patience_ms
        patience_ms = own if own is not None else self._owner.patience.final_ms
        if patience_ms is None or self._ended_ms is None:
            return None
        if len(self._ears) == 1 and not self._work.stands_by(ear.asked):
            return None
        return max(self._ended_ms, self._final_ms, ear.asked.begun_ms) + patience_ms

    def _hedges_ms(self) -> int | None:
        hedge_ms = self._owner.terms.hedge_ms
        if not hedge_ms or self._ended_ms is None or len(self._ears) != 1:
            return None
        if not self._work.stands_by():
            return None
        begun_ms = self._ears[0].asked.begun_ms
        return max(self._ended_ms, self._final_ms, begun_ms) + hedge_ms

    def _lose_patience(self) -> None:
        now_ms, hedges_ms = self._work.now_ms(), self._hedges_ms()
        for ear in self._ears[:]:
            ends_ms = self._ends_ms(ear)
            if ends_ms is not None and ends_ms <= now_ms:
                self._fail(ear, EngineError("it gave no final in time"))
        if self._ears and hedges_ms is not None and hedges_ms <= now_ms:
            self._ask()

    # What was understood.

    def _understand(self, ear: _Ear, transcript: Transcript) -> list[Transcript]:
        shifted = _shifted(transcript, ear.listener.begin_ms, self._said_ms)
        if shifted.final:
            self._prefer(ear)
            self._call_final(ear, transcript)
            self._said_ms, self._shown, ear.behind = shifted.end_ms, "", 0
            return [shifted]
        if ear is not self._ears[0] or len(shifted.text.split()) < ear.behind:
            return []
        ear.behind = 0
        self._shown = shifted.text.strip()
        return [shifted]

    def _call_final(self, ear: _Ear, transcript: Transcript) -> None:
        """The sound of these words need not be heard again: up to where they end or, where the
        recogniser does not say, all that it has heard."""
        ear.has_final = True
        covered = ear.listener.position
        if transcript.end_ms > 0:
            covered = min(covered, ear.listener.begin + transcript.end_ms // PCM_FRAME_MS)
        self.tape.forget(covered)
        if self._ended_ms is not None:
            self._final_ms = self._work.now_ms()
            if ear.asked.first_ms is None:
                ear.asked.first_ms = self._final_ms - max(self._ended_ms, 0)


def _shifted(transcript: Transcript, by_ms: int, from_ms: int) -> Transcript:
    """The same in times of the whole sound, and not before what was final already."""
    if not by_ms:
        return transcript
    words = tuple(
        replace(word, start_ms=word.start_ms + by_ms, end_ms=word.end_ms + by_ms)
        for word in transcript.words
    )
    start_ms = max(transcript.start_ms + by_ms, from_ms)
    end_ms = max(transcript.end_ms + by_ms, start_ms)
    return replace(transcript, start_ms=start_ms, end_ms=end_ms, words=words)
