"""The words every engine and every call share.

Nothing here does anything: these are the frames, the commands a call gives an engine, the
events an engine gives back, and the protocols an engine may keep. Only the standard library
is imported, so any room may import this module.

One currency in and one out: 16 kHz mono PCM in 32 ms frames goes to every ear, and 20 ms
Opus packets come from every mouth. Each adapter converts at its own edge.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

PCM_RATE_HZ = 16_000
PCM_FRAME_MS = 32  # 512 samples: the window Silero was trained on.
PCM_FRAME_BYTES = 1_024
OPUS_RATE_HZ = 48_000
OPUS_FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class PcmFrame:
    """32 ms of mono sound: 512 little-endian signed 16-bit samples at 16 kHz, 1,024 bytes."""

    samples: bytes


@dataclass(frozen=True, slots=True)
class OpusFrame:
    """One 20 ms Opus packet, mono, without any container."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word and where it lies in its stream, in milliseconds."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said between two moments of a stream; a partial may still change."""

    text: str
    final: bool
    start_ms: int = 0
    end_ms: int = 0
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word of the text being spoken begins `start_ms` into that text's sound.

    `char_start` and `char_end` (exclusive) are 0-based offsets into the text that was given
    to `synthesize`. Yielded before the frame that holds the word's first sound. `estimated`:
    the voice did not say when; it was reckoned from the text and the voice's pace.
    """

    char_start: int
    char_end: int
    start_ms: int
    estimated: bool = False


# What was said and done so far, as a dialogue engine is told it.


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The agent asked for a tool. `arguments` is JSON text, as the engine wrote it."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What a tool answered, in whatever words the client chose."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something a client put into the conversation. `role`: system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what the user said, how much of the reply was heard, and which tools it
    asked for after that."""

    user: str
    agent: str
    interrupted: bool = False
    calls: tuple[FunctionCall, ...] = ()


Entry = Turn | Note | FunctionCall | FunctionResult


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the agent may ask for. `parameters` is a JSON Schema as JSON text, or empty."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engines a call uses and how it should sound. A change holds from the next turn.

    `speed` is a factor, 0.25 to 4.0. `language` is ISO 639-1. An empty `voice` means the
    language's default voice. `tool_choice` is auto, none or required, or `tool_named` is the
    one tool that must be called. `speaks`: replies are made into sound, and not only into
    text. `output_tokens_max` bounds one reply; 0: as many as it takes.
    """

    speech_to_text: str = "auto"
    dialogue: str = "tutor"
    text_to_speech: str = "espeak"
    voice: str = ""
    language: str = "en"
    speed: float = 1.0
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    tool_named: str = ""
    parallel_tools: bool = True
    speaks: bool = True
    output_tokens_max: int = 0


# What a dialogue engine says besides words.


@dataclass(frozen=True, slots=True)
class Pace:
    """Speak this reply at `speed` times the caller's own setting."""

    speed: float


@dataclass(frozen=True, slots=True)
class Expect:
    """The next answer is probably one of these phrases; a recogniser may use them."""

    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once this reply has been heard."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """The next piece of a function call's arguments, JSON text. The first piece of a `call_id`
    begins the call, and may be empty; the call is whole when the reply is."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The last of a reply that would have gone on, had it been allowed to. Its calls of tools
    may not be whole."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the work cost its engine, where it says so: (unit, amount), as in `EngineUse`."""

    amounts: tuple[tuple[str, int], ...]


SpeechOutput = OpusFrame | WordTime | Spent
DialogueOutput = str | Pace | Expect | HangUp | CallPiece | Cut | Spent


# What was asked of an engine, for the turn's record.


@dataclass(frozen=True, slots=True)
class EngineUse:
    """One request to one engine, told once when it is over.

    `role`: speech_to_text, dialogue, text_to_speech or speech_to_speech. `version`: the model
    that was asked. `outcome`: done; failed, and then `error` says why; or left, when the caller
    no longer wanted it. `first_ms`: from the request (of a recogniser: from the end of the
    sound) to the first piece of the answer (of a recogniser: to the final); None: none came.
    `amounts`: (unit, amount) in audio_ms, characters, tokens_in, tokens_cached (of these),
    tokens_out, audio_tokens_in, audio_tokens_cached (of these), audio_tokens_out; what is not
    known is not there.
    """

    role: str
    engine: str
    version: str
    outcome: str
    took_ms: int
    first_ms: int | None = None
    error: str = ""
    amounts: tuple[tuple[str, int], ...] = ()


Report = Callable[[EngineUse], None]


# Commands: what a call asks of its engine.


@dataclass(frozen=True, slots=True)
class Configure:
    settings: EngineSettings


@dataclass(frozen=True, slots=True)
class Hear:
    turn: int
    frame: PcmFrame


@dataclass(frozen=True, slots=True)
class EndUtterance:
    turn: int


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Hear all of this, which was recorded before; answered by one final, like an utterance."""

    turn: int
    frames: tuple[PcmFrame, ...]


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer the last entry of `history`, a turn whose `agent` is still empty; its `user` is
    empty too when the reply goes on from what a tool answered. `settings` are for this reply
    only; None: those that were configured last. `apart`: the history is not that of the call's
    conversation, or the reply is not to become part of it."""

    turn: int
    history: tuple[Entry, ...]
    settings: EngineSettings | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Prepare:
    """The user may be about to be answered: think of this reply, and tell nobody. A `Respond`
    of the same turn whose words are the same is answered with it; anything else forgets it,
    and so does the next `Prepare`. An empty history: there is nothing to think of any more."""

    turn: int
    history: tuple[Entry, ...]
    settings: EngineSettings | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Speak exactly this text as the turn's reply; no dialogue engine is asked. `filler`: it is
    told as one, and the turn's reply comes from elsewhere. `waited`: somebody has heard nothing
    for long, so whichever voice begins soon shall say it."""

    turn: int
    text: str
    filler: bool = False
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """The reply of the turn keeps its listener waiting: say this before it goes on. Told as a
    `ReplyText` that is a `filler`. Not obeyed when a piece of the reply is on its way to be
    heard, or by an engine that cannot."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Abandon the turn. The user heard the first `heard_ms` of the reply. Where it answers sound,
    the words of what it answers still come."""

    turn: int
    heard_ms: int


Command = Configure | Hear | EndUtterance | Transcribe | Prepare | Respond | Fill | Say | Cancel


# Events: what an engine answers. Each carries the turn that asked for it.


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The words of the turn's current utterance so far, or all of them when final.

    Every `EndUtterance` and every `Transcribe` is answered by exactly one final, empty when
    nothing was said.
    """

    turn: int
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class ReplyBegun:
    """The dialogue engine gave its first token."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The piece of the reply whose sound comes next. Of a reply that is only read, the next
    characters, spaces included. `filler`: it is no part of what the reply says."""

    turn: int
    text: str
    filler: bool = False


@dataclass(frozen=True, slots=True)
class ReplyWord:
    """Where a word lies in the latest `ReplyText` and when its sound begins within it."""

    turn: int
    word: WordTime


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    turn: int
    frame: OpusFrame


@dataclass(frozen=True, slots=True)
class ReplyCall:
    """The reply asks for a tool; its arguments come in pieces."""

    turn: int
    piece: CallPiece


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """All of the reply has been made. `hangs_up`: end the call once it has been heard. `cut`:
    it would have gone on beyond `output_tokens_max`."""

    turn: int
    hangs_up: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The turn's work is lost. `reason` may be shown to the caller."""

    turn: int
    reason: str


Event = (
    Transcribed
    | ReplyBegun
    | ReplyText
    | ReplyWord
    | ReplyAudio
    | ReplyCall
    | ReplyDone
    | EngineFailed
)

Emit = Callable[[Event], Awaitable[None]]


class EngineError(Exception):
    """An engine could not do its work; the call decides what that means.

    The message may reach the caller: no keys, no addresses, no stack. `retry_after_s`: the
    engine asked not to be asked again for so long.
    """

    retry_after_s: float | None = None


class EngineRefused(EngineError):
    """The engine is well and this request is at fault: a voice it does not have, a text too
    long. Another engine may be asked, and its health is not in doubt."""


# Protocols. Each is one method; a stream goes in and a stream comes out. Cancellation is
# closing the generator. `converse` is a coroutine and not a generator, because it owns
# tasks, and tasks must not be left hanging at a `yield`.


class VoiceActivityDetector(Protocol):
    """The chance, 0 to 1, that a frame is speech. Stateful: one per call, frames in order."""

    async def probability(self, frame: PcmFrame) -> float: ...


class EndOfTurn(Protocol):
    """The chance, 0 to 1, that whoever said this has finished, heard in the sound itself: 16 kHz
    mono, signed 16-bit, from the first word to the pause after the last. Raises `EngineError`."""

    async def probability(self, samples: bytes) -> float: ...


class SpeechToText(Protocol):
    """Words of one stream of sound; a file is only a stream that ends.

    Each transcript replaces the partial before it. A stream may yield several finals, one
    per stretch; their texts join with a space. `expected` names phrases that are likely.
    Raises `EngineError`.
    """

    def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]: ...


class Dialogue(Protocol):
    """The reply to the last entry of `history`, in pieces as they come: a `Turn` whose `agent`
    is empty. Raises `EngineError`."""

    def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]: ...


class TextToSpeech(Protocol):
    """The sound of one piece of text, where its words lie, and what it cost where the engine
    says so. Raises `EngineError`."""

    def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[SpeechOutput, None]: ...


@runtime_checkable
class Hurried(Protocol):
    """What a `TextToSpeech` may be as well: told that its listener has waited for long, it has
    another voice begin where its own does not at once."""

    def hurry(self) -> None: ...


class SpeechToSpeech(Protocol):
    """Obeys commands until they end, or until it is cancelled."""

    async def converse(self, commands: AsyncIterator[Command], emit: Emit) -> None: ...


def unreported(_: EngineUse) -> None:
    """Nobody keeps a record."""


class Engines(Protocol):
    """Finds engines by name: one name, or several in the order of preference, with commas. The
    engine that is given stands for all of them, and tells `report` of each that it asked.
    Raises `EngineError` for a name that is not configured."""

    def speech_to_text(
        self, name: str, language: str, report: Report = unreported
    ) -> SpeechToText: ...

    def dialogue(self, name: str, report: Report = unreported) -> Dialogue: ...

    def text_to_speech(self, name: str, report: Report = unreported) -> TextToSpeech: ...
