"""One stream of sound in a realtime transcription session: what to send, and what came of it.

    sound ──► quiet? held back │ loud: a stretch begins ──► append … append ──► commit
                                     └── 20 s and a pause, or 28 s, or the end of the sound ──┘
    item of the commit ──► deltas ──► partial of the oldest stretch; completed ──► final

The sound of a stretch is kept until it was answered: on a new connection it is sent again, and
where there is no connection at all it can be sent as a file. Nothing is sent of silence. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..speech import PCM_FRAME_MS, Transcript, Word

BYTES_PER_MS = 32
# A peak below this, of 32,767, is silence however one turns it.
QUIET = 100
# How much of the quiet before a voice is sent with it.
LEAD_FRAMES = 10
# The vendor refuses to hear less than 100 ms.
COMMIT_MS_MIN = 128
# Speech beside which a moment counts as a pause is this much louder.
LOUDER = 20
TEXT_CHARS_MAX = 20_000
KEYWORDS_MAX, KEYWORD_CHARS_MAX, HINT_CHARS_MAX = 50, 100, 600
_KEYWORDED = ("gpt-transcribe", "gpt-live-transcribe")
_UNPROMPTED = ("gpt-realtime-whisper", "gpt-4o-transcribe-diarize")
_TRANSCRIPTION = "conversation.item.input_audio_transcription."

Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RollOver:
    """When somebody speaks on and on: a stretch is ended in a pause of `pause_ms` once it is
    `stretch_ms` long, in a breath of `breath_ms` from `hurry_ms` on, and anywhere at the last."""

    stretch_ms: int = 20_000
    hurry_ms: int = 24_000
    stretch_ms_max: int = 28_000
    pause_ms: int = 400
    breath_ms: int = 160

    def is_due(self, length_ms: int, quiet_ms: int) -> bool:
        if length_ms >= self.stretch_ms_max:
            return True
        if length_ms >= self.hurry_ms:
            return quiet_ms >= self.breath_ms
        return length_ms >= self.stretch_ms and quiet_ms >= self.pause_ms


@dataclass(frozen=True, slots=True)
class Append:
    """16 kHz mono s16le, to be added to the vendor's buffer."""

    sound: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What is in the buffer is to be written down."""


Request = Append | Commit


class VendorError(Exception):
    """The vendor says that something went wrong."""

    def __init__(self, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.code = kind, code


@dataclass(slots=True)
class Stretch:
    """Sound that is written down in one piece, and what is known of its words."""

    start_ms: int
    sound: bytearray = field(default_factory=bytearray)
    committed: bool = False
    # The vendor's name of it; `named` once the vendor has said so, and not only used it.
    item_id: str = ""
    named: bool = False
    text: str = ""
    words: tuple[Word, ...] = ()
    answered: bool = False
    loudest: int = 0
    quiet_frames: int = 0

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.sound) // BYTES_PER_MS

    def add(self, samples: bytes, peak: int) -> None:
        self.sound += samples
        self.loudest = max(self.loudest, peak)
        quiet = peak < max(QUIET, self.loudest // LOUDER)
        self.quiet_frames = self.quiet_frames + 1 if quiet else 0

    def transcript(self) -> Transcript:
        text = " ".join(self.text.split())
        return Transcript(text, self.answered, self.start_ms, self.end_ms, self.words)


class Hearing:
    """`ignored`: ids of items that this session wrote down for others."""

    def __init__(self, *, ignored: Container[str] = (), rolls: RollOver | None = None) -> None:
        self.ignored, self._rolls = ignored, rolls or RollOver()
        self._stretches: deque[Stretch] = deque()
        self._lead: deque[bytes] = deque(maxlen=LEAD_FRAMES)
        self._heard_ms = 0
        self._told = ""
        # Whether all the sound is here, and whether any final has been given.
        self.ended = self.answered = False
        self.items: set[str] = set()

    # What is asked.

    @property
    def begun(self) -> bool:
        """Whether there is anything that must be asked."""
        return bool(self._stretches)

    @property
    def waits(self) -> bool:
        """Whether the vendor owes an answer."""
        return any(stretch.committed for stretch in self._stretches)

    @property
    def over(self) -> bool:
        return self.ended and not self._stretches

    @property
    def is_clean(self) -> bool:
        """Whether nothing of this sound is left at the vendor that is not written down."""
        return not self._stretches

    def hear(self, samples: bytes) -> list[Request]:
        """The next 32 ms."""
        peak = _peak(samples)
        self._heard_ms += PCM_FRAME_MS
        stretch = self._open()
        if stretch is None:
            if peak < QUIET:
                self._lead.append(samples)
                return []
            return self._begin(samples, peak)
        stretch.add(samples, peak)
        length_ms = stretch.end_ms - stretch.start_ms
        if self._rolls.is_due(length_ms, stretch.quiet_frames * PCM_FRAME_MS):
            return [Append(samples), *self._commit(stretch)]
        return [Append(samples)]

    def end(self) -> list[Request]:
        """There is no more sound."""
        self.ended = True
        stretch = self._open()
        return self._commit(stretch) if stretch is not None else []

    def again(self) -> list[Request]:
        """All that was not answered, for a connection that knows nothing of it."""
        made: list[Request] = []
        self.items = set()  # Which may use the same names for other things.
        for stretch in self._stretches:
            stretch.item_id, stretch.named = "", False
        for stretch in self._unanswered():
            stretch.text = ""
            made.append(Append(bytes(stretch.sound)))
            if stretch.committed:
                made += self._commit(stretch)
        return made

    def _unanswered(self) -> list[Stretch]:
        return [stretch for stretch in self._stretches if not stretch.answered]

    def _open(self) -> Stretch | None:
        if self._stretches and not self._stretches[-1].committed:
            return self._stretches[-1]
        return None

    def _begin(self, samples: bytes, peak: int) -> list[Request]:
        before = b"".join(self._lead)
        self._lead.clear()
        start_ms = self._heard_ms - PCM_FRAME_MS - len(before) // BYTES_PER_MS
        stretch = Stretch(start_ms, bytearray(before))
        stretch.add(samples, peak)
        self._stretches.append(stretch)
        return [Append(before + samples)]

    def _commit(self, stretch: Stretch) -> list[Request]:
        stretch.committed = True
        short = COMMIT_MS_MIN * BYTES_PER_MS - len(stretch.sound)
        return [Append(bytes(short)), Commit()] if short > 0 else [Commit()]

    # What is answered.

    def receive(self, event: Event) -> list[Transcript]:
        """An event of the vendor's. Raises `VendorError`."""
        kind, item = _text(event, "type"), _text(event, "item_id")
        if kind == "error":
            raise _error(event)
        if not item or item in self.ignored:
            return []
        if kind == "input_audio_buffer.committed":
            self._name(item)
        elif kind == f"{_TRANSCRIPTION}delta":
            return self._grow(item, _text(event, "delta"))
        elif kind == f"{_TRANSCRIPTION}completed":
            return self._finish(self._of(item), _text(event, "transcript"))
        elif kind == f"{_TRANSCRIPTION}failed":
            raise _error(event)
        return []

    def file(self) -> Stretch | None:
        """The oldest stretch that can be sent as a file: all of its sound is here."""
        first = self._stretches[0] if self._stretches else None
        return first if first is not None and first.committed else None

    def guess(self, text: str) -> list[Transcript]:
        """More words of the oldest stretch."""
        stretch = self._stretches[0]
        stretch.text = (stretch.text + text)[:TEXT_CHARS_MAX]
        return self._given()

    def answer(self, text: str, words: Sequence[Word] = ()) -> list[Transcript]:
        """All words of the oldest stretch. Times of `words` count from its start."""
        return self._finish(self._stretches[0], text, words)

    def _name(self, item: str) -> None:
        """The commits are answered in their order."""
        for stretch in self._unanswered():
            if stretch.committed and not stretch.named:
                stretch.item_id, stretch.named = item, True
                self.items.add(item)
                return

    def _of(self, item: str) -> Stretch | None:
        """The stretch of an item. An item that is new is the oldest stretch that has none yet:
        models that write while they hear begin before the commit."""
        for stretch in self._stretches:
            if stretch.item_id == item:
                return stretch
        if item in self.items:
            return None
        for stretch in self._unanswered():
            if not stretch.item_id:
                stretch.item_id = item
                self.items.add(item)
                return stretch
        return None

    def _grow(self, item: str, delta: str) -> list[Transcript]:
        stretch = self._of(item)
        if stretch is None or stretch.answered:
            return []
        stretch.text = (stretch.text + delta)[:TEXT_CHARS_MAX]
        return self._given() if stretch is self._stretches[0] else []

    def _finish(
        self, stretch: Stretch | None, text: str, words: Sequence[Word] = ()
    ) -> list[Transcript]:
        if stretch is None or not stretch.committed or stretch.answered:
            return []
        stretch.answered, stretch.text = True, text[:TEXT_CHARS_MAX]
        placed = tuple(_placed(words, stretch.start_ms, stretch.end_ms))
        # Words that are not those of the text would be worse than none.
        said = " ".join(word.text for word in placed).split()
        stretch.words = placed if said == stretch.text.split() else ()
        return self._given()

    def _given(self) -> list[Transcript]:
        """Finals of the stretches that were answered, in order; then what is known of the next."""
        given = []
        while self._stretches and self._stretches[0].answered:
            final = self._stretches.popleft().transcript()
            self._told = ""
            if final.text:
                given.append(final)
                self.answered = True
        if self._stretches:
            partial = self._stretches[0].transcript()
            if partial.text and partial.text != self._told:
                self._told = partial.text
                given.append(partial)
        return given

    def nothing(self) -> Transcript:
        """The final of a stream in which nothing was said."""
        return Transcript("", final=True, end_ms=self._heard_ms)


def hints(model: str, language: str, expected: Sequence[str]) -> dict[str, object]:
    """What a model may be told of the sound: each has its own fields for it."""
    code = language.casefold().replace("_", "-").partition("-")[0]
    code = code if code.isascii() and code.isalpha() and len(code) in (2, 3) else ""
    phrases = list(_phrases(expected))
    told: dict[str, object] = {}
    if model.startswith(_KEYWORDED):
        if code:
            told["languages"] = [code]
        if phrases:
            told["keywords"] = phrases
        return told
    if code:
        told["language"] = code
    if phrases and not model.startswith(_UNPROMPTED):
        told["prompt"] = ", ".join(phrases)
    return told


def session_of(model: str, language: str, expected: Sequence[str]) -> dict[str, object]:
    """The session in which a stream of 24 kHz sound is written down: who ends a turn is us."""
    heard = {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {"model": model, **hints(model, language, expected)},
        "turn_detection": None,
    }
    return {"type": "transcription", "audio": {"input": heard}}


def _phrases(expected: Sequence[str]) -> Iterator[str]:
    """What is expected, each phrase once, in bounds that a vendor may have."""
    found: dict[str, None] = {}
    chars = 0
    for phrase in expected:
        plain = " ".join("".join(c if c.isprintable() else " " for c in phrase).split())
        if not plain or len(plain) > KEYWORD_CHARS_MAX or plain in found:
            continue
        chars += len(plain) + 2
        if chars > HINT_CHARS_MAX or len(found) == KEYWORDS_MAX:
            break
        found[plain] = None
    yield from found


def _placed(words: Sequence[Word], start_ms: int, end_ms: int) -> Iterator[Word]:
    """The words in the stream's time, in order and inside their stretch."""
    earliest_ms = start_ms
    for word in words:
        begins_ms = min(max(word.start_ms + start_ms, earliest_ms), end_ms)
        yield Word(word.text, begins_ms, min(max(word.end_ms + start_ms, begins_ms), end_ms))
        earliest_ms = begins_ms


def _error(event: Event) -> VendorError:
    told = event.get("error")
    told = told if isinstance(told, Mapping) else {}
    return VendorError(_text(told, "type"), _text(told, "code"), _text(told, "message"))


def _text(event: Mapping[str, object], name: str) -> str:
    found = event.get(name)
    return found if isinstance(found, str) else ""


def _peak(samples: bytes) -> int:
    """The loudest sample, 0 to 32,768."""
    view = memoryview(samples[: len(samples) // 2 * 2]).cast("h")
    return max(max(view, default=0), -min(view, default=0))
