"""What Yandex SpeechKit's answers mean, and where a long stream may be cut. Pure.

The vendor first says a final as it recognised it, in small letters and with numbers as words,
and a little later with punctuation and digits: the refinement. A final waits for it, but not for
long. The vendor takes five minutes of sound at a time, and nobody wants a final of five minutes:
so long speech is cut in its pauses into stretches with a final each, and where a stretch ends
late enough, the next begins in a new session.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..speech import PCM_FRAME_MS, Transcript, Word

_LETTERS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class SessionRules:
    """A pause of `pause_ms` ends a stretch of `stretch_ms`; it never grows beyond
    `stretch_ms_max`. The stretch that ends after `session_ms` is its session's last: with the
    longest stretch the vendor's five minutes are not reached, nor its ten megabytes. A session
    that gets no sound for `idle_ms` is ended before the vendor ends it, after five seconds."""

    pause_ms: int = 256
    stretch_ms: int = 18_000
    stretch_ms_max: int = 28_000
    session_ms: int = 250_000
    idle_ms: int = 4_000


class Cutter:
    """Says after each frame whether the stretch, or the session, should end there."""

    # A pause is this much softer than the stretch has been at its loudest, which fades.
    SOFTER, FADING = 0.1, 0.998

    def __init__(self, rules: SessionRules) -> None:
        self._rules = rules
        self._session_ms = self._stretch_ms = self._quiet_ms = 0
        self._loudest = 0.0

    def ends_after(self, loudness: float) -> bool:
        """Whether the stretch ends with the frame that is so loud, on any linear scale."""
        rules = self._rules
        self._session_ms += PCM_FRAME_MS
        self._stretch_ms += PCM_FRAME_MS
        self._loudest = max(loudness, self._loudest * self.FADING)
        quiet = loudness <= self._loudest * self.SOFTER
        self._quiet_ms = self._quiet_ms + PCM_FRAME_MS if quiet else 0
        paused = self._stretch_ms >= rules.stretch_ms and self._quiet_ms >= rules.pause_ms
        return paused or self._stretch_ms + PCM_FRAME_MS > rules.stretch_ms_max

    def cut(self) -> bool:
        """The stretch has ended; whether its session should end too."""
        self._stretch_ms = 0
        return self._session_ms >= self._rules.session_ms

    def renew(self) -> None:
        """What comes next is a new session's."""
        self._session_ms = self._stretch_ms = 0


@dataclass(slots=True)
class _Awaited:
    """The ends of utterances that a session was told of and has not answered yet.
    `settles_ms`: when its latest final counts as the answer, whatever else it still says."""

    count: int = 0
    since_ms: int = 0
    settles_ms: int | None = None

    def answered(self) -> None:
        self.count, self.settles_ms = max(0, self.count - 1), None


@dataclass(frozen=True, slots=True)
class _Final:
    session: int
    index: int
    transcript: Transcript
    until_ms: int


@dataclass(slots=True)
class Answers:
    """Turns a stream's answers, in their order, into its transcripts.

    Sessions are numbered. Times are of any one clock, in milliseconds. After `source_over` the
    stream is `finished` as soon as nothing is awaited that could still change its words.
    """

    refinement_ms: int
    patience_ms: int
    source_over: bool = False
    _open: dict[int, _Awaited] = field(default_factory=dict)
    _final: _Final | None = None
    _partial: Transcript | None = None

    # What was asked.

    def opened(self, session: int) -> None:
        self._open[session] = _Awaited()

    def asked(self, session: int, now_ms: int) -> None:
        """The session was told that an utterance has ended."""
        if session in self._open:
            awaited = self._open[session]
            awaited.since_ms = awaited.since_ms if awaited.count else now_ms
            awaited.count += 1

    # What was answered. Each gives the transcripts that are known now.

    def partial(self, transcript: Transcript) -> list[Transcript]:
        if not transcript.text:
            return []
        if self._final is None:
            return [transcript]
        self._partial = transcript
        return []

    def final(
        self, session: int, index: int, transcript: Transcript, now_ms: int
    ) -> list[Transcript]:
        known, until_ms = self._release(), now_ms + self.refinement_ms
        self._final = _Final(session, index, transcript, until_ms)
        awaited = self._open.get(session)
        if awaited is not None and awaited.count:
            awaited.settles_ms = until_ms
        return known + self.tick(now_ms)

    def refined(self, session: int, index: int, transcript: Transcript) -> list[Transcript]:
        held = self._final
        if held is None or (held.session, held.index) != (session, index):
            return []  # Too late: the words have been given away as they were.
        if transcript.text:
            words = transcript.words or held.transcript.words
            better = replace(held.transcript, text=transcript.text, words=words)
            self._final = replace(held, transcript=fitted(better))
        return self._release()

    def answered(self, session: int) -> None:
        """The session knows of the end of an utterance; its finals have been said before."""
        if session in self._open:
            self._open[session].answered()

    def ended(self, session: int) -> list[Transcript]:
        """No more will be said in this session."""
        self._open.pop(session, None)
        held = self._final
        return self._release() if held is not None and held.session == session else []

    # Time.

    def tick(self, now_ms: int) -> list[Transcript]:
        for awaited in self._open.values():
            if awaited.settles_ms is not None and now_ms >= awaited.settles_ms:
                awaited.answered()
        held = self._final
        return self._release() if held is not None and now_ms >= held.until_ms else []

    def deadline_ms(self) -> int | None:
        deadlines = [
            awaited.since_ms + self.patience_ms for awaited in self._open.values() if awaited.count
        ]
        deadlines += [
            awaited.settles_ms for awaited in self._open.values() if awaited.settles_ms is not None
        ]
        if self._final is not None:
            deadlines.append(self._final.until_ms)
        return min(deadlines, default=None)

    def stalled(self, now_ms: int) -> bool:
        """Whether a session has owed an answer for longer than anybody should wait."""
        return any(
            awaited.count and now_ms - awaited.since_ms >= self.patience_ms
            for awaited in self._open.values()
        )

    def owes_nothing(self, session: int) -> bool:
        """Whether the session has no words to come for what it was asked."""
        awaited, held = self._open.get(session), self._final
        return not (awaited and awaited.count) and not (held and held.session == session)

    @property
    def finished(self) -> bool:
        owed = any(awaited.count for awaited in self._open.values())
        return self.source_over and not owed and self._final is None

    def _release(self) -> list[Transcript]:
        """The final that was held, with what was said after it."""
        held, partial = self._final, self._partial
        self._final = self._partial = None
        known = [held.transcript] if held is not None and held.transcript.text else []
        return known + ([partial] if partial is not None else [])


def fitted(transcript: Transcript) -> Transcript:
    """The same text with exactly its own words: the times of those that were recognised are laid
    over what normalising has made of them, "twenty five" over "25"."""
    texts = transcript.text.split()
    if [word.text for word in transcript.words] == texts or not transcript.words:
        return transcript
    return replace(transcript, words=laid_over(texts, transcript.words))


def laid_over(texts: Sequence[str], words: Sequence[Word]) -> tuple[Word, ...]:
    """Words of one text with the times of another's. Words that are the same but for letters'
    size and punctuation keep their times; between them, the time is shared by length."""
    ours, theirs = [_bare(text) for text in texts], [_bare(word.text) for word in words]
    found: list[Word] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, ours, theirs, False).get_opcodes():
        if tag == "equal":
            found += [
                Word(text, word.start_ms, word.end_ms)
                for text, word in zip(texts[i:j], words[k:m], strict=True)
            ]
        elif i < j:
            before_ms = found[-1].end_ms if found else words[0].start_ms
            start_ms, end_ms = (
                (words[k].start_ms, words[m - 1].end_ms) if k < m else (before_ms, before_ms)
            )
            found += _shared(texts[i:j], start_ms, end_ms)
    return tuple(found)


def _shared(texts: Sequence[str], start_ms: int, end_ms: int) -> list[Word]:
    letters, before, found = sum(map(len, texts)), 0, list[Word]()
    for text in texts:
        after = before + len(text)
        begins, ends = (start_ms + (end_ms - start_ms) * at // letters for at in (before, after))
        found.append(Word(text, begins, ends))
        before = after
    return found


def _bare(text: str) -> str:
    return "".join(_LETTERS.findall(text.casefold().replace("ё", "е"))) or text
