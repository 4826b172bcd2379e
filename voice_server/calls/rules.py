"""The rules of one call: turn-taking, patience and limits. Pure; times in milliseconds."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from engines.speech import PCM_FRAME_MS

MINUTE_MS = 60_000


class Interruption(enum.Enum):
    """What speech does to a reply that is being spoken."""

    RESUMES = "resumes"  # Pause; drop the reply when words come, go on when none do.
    CANCELS = "cancels"  # Drop the reply at once. For clients that empty their own buffer.
    WAITS = "waits"  # The reply goes on; the words are answered after it.


@dataclass(frozen=True, slots=True)
class Notices:
    """What is spoken on the server's behalf; an empty text is not spoken.

    `warning_short` is for the caller who never had a whole minute to be warned of; `stopping`
    is the farewell of a server that must stop while there is time left; `deaf`
    for words that could not be recognised, `apology` for a reply that could not be given.
    `fillers` are said one after the other to who waits for a reply, each once.
    """

    warning: str
    warning_short: str
    farewell: str
    stopping: str
    deaf: str
    apology: str
    fillers: tuple[str, ...] = ()


ENGLISH = Notices(
    warning="We have one minute left.",
    warning_short="We are almost out of time.",
    farewell="Our time is up. Goodbye!",
    stopping="I have to stop here. Please call again in a moment. Goodbye!",
    deaf="Sorry, I could not hear that. You can also write to me.",
    apology="Sorry, something went wrong. Please say that again.",
    fillers=("One moment, please.", "I am still thinking about it."),
)
RUSSIAN = Notices(
    warning="У нас осталась одна минута.",
    warning_short="Наше время почти закончилось.",
    farewell="Наше время вышло. До свидания!",
    stopping="Мне нужно прерваться. Позвоните снова через минуту. До свидания!",
    deaf="Извините, я не расслышал. Вы можете мне и написать.",
    apology="Извините, что-то пошло не так. Повторите, пожалуйста.",
    fillers=("Секунду, пожалуйста.", "Я ещё думаю."),
)
SILENT = Notices("", "", "", "", "", "")


def notices_in(language: str) -> Notices:
    """The notices in an ISO 639-1 language; in English where we have no better."""
    return {"ru": RUSSIAN}.get(language, ENGLISH)


@dataclass(frozen=True, slots=True)
class Judging:
    """A pause of `after_ms` is judged by how the words before it sound: a chance of at least
    `ended_above` that they were the last ends the utterance at once, a smaller one lets the
    pause last up to `patience_ms`."""

    after_ms: int = 192
    ended_above: float = 0.5
    patience_ms: int = 4_000

    def __post_init__(self) -> None:
        assert 0 < self.after_ms < self.patience_ms
        assert 0 < self.ended_above <= 1


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When an utterance begins and ends.

    `manual`: push-to-talk; silence never ends an utterance, `Committed` does. `judging`: pauses
    are not only measured; None: they are.
    """

    speech_above: float = 0.50
    silence_below: float = 0.35
    onset_ms: int = 96
    # Over a reply a little more speech is needed than in silence: enough to tell a voice from a
    # click, and little enough for who speaks to notice no delay. A cough costs a pause.
    barge_in_ms: int = 160
    pause_ms: int = 600
    pause_unfinished_ms: int = 1_200
    utterance_ms_max: int = 30_000
    pre_roll_ms: int = 320
    # Push-to-talk keeps this much sound that nobody has committed yet.
    uncommitted_ms_max: int = 60_000
    manual: bool = False
    judging: Judging | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.silence_below < self.speech_above <= 1
        assert 0 < self.onset_ms <= self.barge_in_ms
        assert 0 < self.pause_ms <= self.pause_unfinished_ms

    @property
    def kept_frames(self) -> int:
        """How many frames to keep from before anybody noticed that they matter."""
        if self.manual:
            return self.uncommitted_ms_max // PCM_FRAME_MS
        return (self.pre_roll_ms + self.barge_in_ms) // PCM_FRAME_MS + 1


@dataclass(frozen=True, slots=True)
class Rules:
    """How a call goes.

    Nobody who waits for a reply hears nothing for three seconds. Counted from the user's last
    sound, with an endpoint after 0.6 s (1.2 s where more words seemed to follow):

        0.6   a recogniser that stalls has a second before another is asked, which needs about
              half a second for what was said: the words come at 2.1, or are settled at 2.6
        2.2   filler_ms: "One moment, please." where nothing else is heard yet. Later, and a voice
              that needs half a second would begin too late; sooner, and it would be said before
              answers that are on their way: a good one on the network is heard at 1.5 to 2
        5.6   its end (3.4) and filler_ms again: the second filler
        8.6   wordless_ms_max after the endpoint: who was not heard is told so
        9.1   the end of the second filler (6.9) and filler_ms again: the apology. An answer that
              has not begun by then is as late as thinking_ms_max allows where nothing is said
    """

    endpointing: Endpointing = Endpointing()
    interruption: Interruption = Interruption.RESUMES
    # The agent speaks first.
    greets: bool = False
    # An endpoint asks for a reply by itself; otherwise only `Asked` does.
    answers: bool = True
    # A speech-to-speech engine needs no words before it answers.
    answers_sound: bool = False
    connect_ms_max: int = 15_000
    frame_gap_ms_max: int = 2_000
    # How long to wait for the last words: with some in hand, and with none.
    transcribing_ms_max: int = 2_000
    wordless_ms_max: int = 8_000
    thinking_ms_max: int = 10_000
    # Who waits for a reply hears nothing for so long, and then a filler or, when all of these
    # have been said, an apology; 0: neither.
    filler_ms: int = 2_200
    # A reply is prepared in a pause once its words have not changed for so long. What it saves is
    # most of the pause and of the wait for the last words; what it costs is a reply that is
    # thrown away wherever the user speaks on. 0: never.
    prepare_ms: int = 200
    playout_slack_ms: int = 1_500
    # A paused reply goes on when this long after the noise no words have come.
    resume_ms: int = 2_000
    # This much speech over a paused reply is an interruption even before words come.
    insist_ms: int = 1_200
    idle_ms_max: int = 120_000
    # The agent speaks again when nobody has spoken for so long after a reply; 0: never.
    idle_prompt_ms: int = 0
    # Beyond so many tokens (estimated) the oldest of the conversation is left out, until this
    # share of them is left; 0: never.
    context_tokens_max: int = 32_000
    context_share_kept: float = 1.0
    call_ms_max: int = 30 * MINUTE_MS
    warn_before_end_ms: int = 60_000
    farewell_before_end_ms: int = 6_000
    notices: Notices = ENGLISH

    @property
    def silence_ms_max(self) -> int:
        """How long a microphone may send nothing in the midst of an utterance. With
        push-to-talk only the user ends it, and a muted microphone sends nothing."""
        return self.idle_ms_max if self.endpointing.manual else self.frame_gap_ms_max
