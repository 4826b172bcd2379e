"""What can happen to a call, and what a call can ask to be done."""

from __future__ import annotations

from dataclasses import dataclass

from engines.speech import (
    CallPiece,
    Command,
    EngineSettings,
    Entry,
    Event,
    OpusFrame,
    PcmFrame,
    Turn,
)

from .rules import Rules
from .waterfall import Latency as Latency

# Where something of the conversation comes from, and so where it is kept: the words of the
# user in a turn, what was replied in it, a tool that reply asked for, or, as a string, the id
# of what a client put there itself.


@dataclass(frozen=True, slots=True)
class Spoken:
    """`text`: None: these words have not come yet."""

    turn: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Replied:
    turn: int


@dataclass(frozen=True, slots=True)
class CalledIn:
    turn: int
    call_id: str


Source = Spoken | Replied | CalledIn | str
FIRST = ""


# Inputs that do not come from an engine.


@dataclass(frozen=True, slots=True)
class Connected:
    """Media flows; the bill starts here."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One microphone frame and the chance that it is speech."""

    frame: PcmFrame
    speech: float


@dataclass(frozen=True, slots=True)
class Typed:
    """The user wrote instead of speaking. `answer`: begin a reply at once."""

    text: str
    answer: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """The user let go of the push-to-talk key: the utterance ends here."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """Forget the sound that has not been committed yet."""


@dataclass(frozen=True, slots=True)
class Added:
    """The client put something into the conversation. `after`: what it stands behind; `FIRST`:
    before everything; None: behind what has been said and done so far."""

    item_id: str
    entry: Entry
    after: Source | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The client put something into the conversation that it recorded before; the words of it
    are still to be recognised. `written`: what it wrote beside it."""

    item_id: str
    frames: tuple[PcmFrame, ...]
    written: str = ""
    after: Source | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The client took something out of the conversation."""

    source: Source


@dataclass(frozen=True, slots=True)
class Asked:
    """The client wants a reply now (`response.create`).

    `tag` is the client's name for this wish, given back when the reply starts or is refused;
    0: it has none. `settings` are for this reply only. `context` is answered instead of the
    conversation. `aside`: neither question nor answer become part of the conversation; one
    that is only read goes on beside whatever else is said.
    """

    tag: int = 0
    settings: EngineSettings | None = None
    context: tuple[Entry, ...] | None = None
    aside: bool = False

    @property
    def apart(self) -> bool:
        """It answers something else than the conversation, or is not to become part of it."""
        return self.aside or self.context is not None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The client pressed stop (`response.cancel`). `turn`: of this reply; None: of the one
    that belongs to the conversation."""

    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """The listener has heard this much of the turn's reply."""

    turn: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class Truncated:
    """The client says how much of a turn's reply was really heard."""

    turn: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """The answer to a `JudgeTurn`: the chance, 0 to 1, that the user has finished."""

    turn: int
    pause: int
    probability: float


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """Turn-taking follows these rules from now on; the allowance is not touched."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The engines follow these settings from the next turn on."""

    settings: EngineSettings


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call is paid for until this much of it has passed."""

    call_ms_max: int


@dataclass(frozen=True, slots=True)
class EndWithin:
    """The server must stop: the call ends politely when this much time has passed, and no
    later extension of the allowance changes that."""

    left_ms: int
    reason: str = "draining"


@dataclass(frozen=True, slots=True)
class HungUp:
    reason: str = "hung_up"


@dataclass(frozen=True, slots=True)
class Tick:
    """Only time has passed."""


# What a client asks for besides being heard.
Wish = Typed | Added | Recorded | Forgotten | Asked | Stopped | Truncated

Input = (
    Wish
    | Connected
    | Heard
    | Committed
    | Cleared
    | Played
    | TurnJudged
    | RulesChanged
    | SettingsChanged
    | Allowed
    | EndWithin
    | HungUp
    | Tick
    | Event
)


# Actions for the link. The order in which they come is the order in which a client may
# be told of them.


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user takes the floor with the utterance of `turn`; it began `start_ms` into the
    sound received so far (pre-roll included)."""

    turn: int
    start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The utterance ended `end_ms` into the sound received; its words are on their way."""

    turn: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SpeechDiscarded:
    """The utterance of `turn` was noise, or was cleared: no words will come of it."""

    turn: int


@dataclass(frozen=True, slots=True)
class PartialText:
    """All the words of the turn so far; they may still change."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class FinalText:
    """All the words of the turn. `utterance` is what the last stretch of speech added;
    it is empty when that stretch held no words."""

    turn: int
    text: str
    utterance: str


@dataclass(frozen=True, slots=True)
class RecordingHeard:
    """The words of what a client recorded, or why there are none."""

    item_id: str
    text: str
    failure: str


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A reply has been asked for; its text and sound will follow. `notice`: it is the server
    that speaks, and not the answer to what anybody asked. `tag`: of the `Asked` it answers.
    `speaks`: it is made into sound, and not only to be read."""

    turn: int
    notice: bool = False
    tag: int = 0
    speaks: bool = True


@dataclass(frozen=True, slots=True)
class ReplySaid:
    """The next piece of the reply's text."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The reply asks for a tool; the arguments come in pieces."""

    turn: int
    piece: CallPiece


@dataclass(frozen=True, slots=True)
class Play:
    turn: int
    frame: OpusFrame


@dataclass(frozen=True, slots=True)
class Pause:
    """Fall silent, but keep every frame of this turn that is not yet heard."""

    turn: int


@dataclass(frozen=True, slots=True)
class Resume:
    """It was a cough; go on where the sound stopped."""

    turn: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Forget every frame of this turn that is not yet heard."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyMade:
    """The engine has made the whole reply; some of it may not have been heard yet. `cut`: it
    was longer than the client allows."""

    turn: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ReplyHeard:
    """The first `chars` characters of the reply's text (its pieces joined by a space)
    have begun to be heard."""

    turn: int
    chars: int


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """The reply is over. `status`: completed, cancelled or failed; `reason`: empty,
    turn_detected, client_cancelled or the engine's error. `heard` is the text that reached
    the listener, `heard_ms` its sound."""

    turn: int
    status: str
    reason: str
    heard: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class ReplyCut:
    """A reply that is over is remembered as no more than this, because the client said how much
    of it was heard."""

    turn: int
    heard: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What the client asked for cannot be done now; the call goes on. `code` is one of
    commit_empty, response_active, response_not_active, asides_full. `tag`: of the `Asked`."""

    code: str
    tag: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An engine failed in this turn; the floor is the user's again."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class IdleTimedOut:
    """The user has said nothing since the last reply ended; the agent speaks again, in `turn`.
    The times are places in the sound received so far."""

    turn: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class EndingSoon:
    """The call ends when `left_ms` have passed, unless the allowance is extended."""

    left_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The last action. `reason`: hung_up, link_lost, goodbye, idle, allowance_spent,
    never_connected, abandoned, draining, lease_lost, engine_stalled, unheard_fault."""

    reason: str
    duration_ms: int
    turns: tuple[Turn, ...]


# An action for whoever can hear whether somebody has finished. It may go unanswered.


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """The user pauses; is the turn over? `frames` is its sound up to now, the last eight seconds
    of it. `pause` counts the pauses that were asked about."""

    turn: int
    pause: int
    frames: tuple[PcmFrame, ...]


# An action for the switchboard.


@dataclass(frozen=True, slots=True)
class MinuteElapsed:
    minute: int


Action = (
    SpeechStarted
    | SpeechStopped
    | SpeechDiscarded
    | PartialText
    | FinalText
    | RecordingHeard
    | ReplyStarted
    | ReplySaid
    | Called
    | Play
    | Pause
    | Resume
    | Flush
    | ReplyMade
    | ReplyHeard
    | ReplyFinished
    | ReplyCut
    | Latency
    | Refused
    | Failed
    | IdleTimedOut
    | EndingSoon
    | Closed
    | JudgeTurn
    | MinuteElapsed
    | Command
)
