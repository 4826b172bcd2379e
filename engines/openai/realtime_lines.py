"""The lines of one speech-to-speech call: who makes its replies, and how it passes on. Pure.

`Lines` holds what a call needs of its vendor's connections and of the cascade behind them, and
the moves that change it; `RealtimeCall` decides when to make them. Every move appends the actions
it costs. A link that is ready is the current one (`link`); one that is being opened to take its
place is the `spare`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..speech import (
    Cancel,
    Command,
    EngineFailed,
    EngineSettings,
    EngineUse,
    Event,
    PcmFrame,
    ReplyDone,
    Respond,
    Transcribe,
    Turn,
)
from .realtime_answer import Answer, Sound
from .realtime_items import ASSISTANT, CALL, USER, Item, Json, Mirror
from .realtime_requests import Terms, amounts_of, response_create, session_update, voice_of
from .realtime_utterances import Utterance, Utterances

ENGINE = "openai"
# How soon another link is tried where none could be had: doubled each time, up to the latter.
RETRY_MS, RETRY_MS_MAX = 2_000, 60_000
# Words that have not come after this share of the vendor's patience are asked of the cascade.
WORDS_SHARE = 0.6
# Links that are lost so often in a row, without an answer, are no links.
LOSSES_MAX = 2
TURNS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Open:
    link: int


@dataclass(frozen=True, slots=True)
class Close:
    link: int


@dataclass(frozen=True, slots=True)
class Send:
    link: int
    event: Json


@dataclass(frozen=True, slots=True)
class Append:
    """Sound of the microphone."""

    link: int
    frame: PcmFrame


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for the call."""

    event: Event


@dataclass(frozen=True, slots=True)
class Hush:
    """What was to be told of this turn's reply is not wanted any more."""

    turn: int


@dataclass(frozen=True, slots=True)
class Used:
    """What a request of this turn was."""

    turn: int
    use: EngineUse


@dataclass(frozen=True, slots=True)
class Ask:
    """A command for the cascade."""

    command: Command


Action = Open | Close | Send | Append | Tell | Sound | Hush | Ask | Used


@dataclass(slots=True)
class Link:
    """`ready_by_ms`: when it must have taken our settings. `active`: the reply of the vendor's
    conversation that it is making. `voiced`: it has spoken, and keeps its voice."""

    number: int
    ready_by_ms: int
    opened_ms: int = 0
    ready: bool = False
    active: str = ""
    voice: str = ""
    voiced: bool = False


class Lines:
    def __init__(self, terms: Terms, settings: EngineSettings) -> None:
        self.terms, self.settings = terms, settings
        self.now_ms = 0
        self.link: Link | None = None
        self.spare: Link | None = None
        # No link could be had: the cascade talks, and the next link is tried then.
        self.down, self.retry_ms = False, 0
        self.losses = 0
        self.mirror = Mirror()
        self.utterances = Utterances()
        # Replies that somebody waits for, by their turns; and all that the vendor is making.
        self.answers: dict[int, Answer] = {}
        self.making: dict[str, Answer] = {}
        # Utterances whose commits the vendor has not confirmed; None: nobody wants it any more.
        self.commits: list[Utterance | None] = []
        # Turns that a reply was asked for.
        self.answered: dict[int, None] = {}
        self.actions: list[Action] = []
        self._links = self._asks = 0

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def tell(self, *events: Event) -> None:
        self.actions += [Tell(event) for event in events]

    def send(self, *events: Json) -> None:
        """To the vendor, if there is one: what it must know is told to every new link."""
        if self.link is not None:
            self.actions += [Send(self.link.number, event) for event in events]

    # Links.

    def open_spare(self) -> None:
        self._links += 1
        ready_by_ms = self.now_ms + self.terms.connect_ms + self.terms.patience_ms
        self.spare = Link(self._links, ready_by_ms)
        self.do(Open(self._links))

    def greet(self, spare: Link) -> None:
        """The link is open: it is told how we want to talk."""
        spare.opened_ms = self.now_ms
        spare.ready_by_ms = self.now_ms + self.terms.patience_ms
        self.configure(spare)

    def configure(self, link: Link) -> None:
        """A session that has spoken keeps its voice."""
        if not link.voiced:
            link.voice = voice_of(self.settings, self.terms)
        update = session_update(self.settings, self.terms, link.voice)
        self.do(Send(link.number, update))

    @property
    def idle(self) -> bool:
        """Nothing goes on that another link would not know of."""
        return self.utterances.idle and not self.answers and not self.making

    def exchange_if_idle(self) -> None:
        """A spare that is ready takes over as soon as nobody can hear it."""
        ready = self.spare is not None and self.spare.ready
        if ready and (self.idle or not (self.link or self.down)):
            self._exchange()

    def _exchange(self) -> None:
        if self.link is not None:
            self.do(Close(self.link.number))
        self.link, self.spare, self.down = self.spare, None, False
        self.commits.clear()
        self.send(*self.mirror.renew())
        for utterance in (*self.utterances, self.utterances.open):
            if utterance is not None and not utterance.live:
                self._replay(utterance)
        for answer in list(self.answers.values()):
            self.ask(answer)

    def _replay(self, utterance: Utterance) -> None:
        assert self.link is not None
        utterance.item_id = ""
        self.actions += [Append(self.link.number, frame) for frame in utterance.frames]
        if utterance.ended_ms is not None:
            self.commit(utterance)

    def commit(self, utterance: Utterance) -> None:
        self.commits.append(utterance)
        self.send({"type": "input_audio_buffer.commit", "event_id": "commit"})

    def lose(self, reason: str, *, hopeless: bool = False) -> None:
        """The current link is gone. What it had not begun to answer is answered by the next; or,
        where that is hopeless, by the cascade."""
        self.link, self.losses = None, self.losses + 1
        self.commits.clear()
        for answer in list(self.making.values()):
            self.report(answer, "left" if answer.over else "failed", reason)
            if answer.begun and not answer.over:
                self.fail(answer, reason)
            answer.unsend()
        self.making.clear()
        if hopeless or self.losses >= LOSSES_MAX:
            self.go_down(0)
        elif self.spare is None:
            self.open_spare()
        self.exchange_if_idle()

    def go_down(self, retry_after_ms: int) -> None:
        """The cascade takes over."""
        wait_ms = min(RETRY_MS << min(max(self.losses - 1, 0), 8), RETRY_MS_MAX)
        self.down, self.retry_ms = True, self.now_ms + max(wait_ms, retry_after_ms)
        for utterance in self.utterances:
            self.hear_aside(utterance)
        for answer in list(self.answers.values()):
            self.ask(answer)

    # Replies.

    def begin(self, answer: Answer) -> None:
        self.answers[answer.turn] = answer
        self.answered[answer.turn] = None
        while len(self.answered) > TURNS_KEPT:
            del self.answered[next(iter(self.answered))]
        self.ask(answer)

    def ask(self, answer: Answer) -> None:
        """Ask for this reply, if it is time to, whoever can give it."""
        if answer.by_aside or answer.sent_ms is not None:
            return
        if self.down:
            self.ask_aside(answer)
        elif self.link is not None and (answer.apart or not self.link.active):
            self._asks += 1
            answer.send(f"{answer.turn}.{self._asks}", self.now_ms)
            self.making[answer.ask] = answer
            if not answer.apart:
                self.link.active = answer.ask
                self._agree(answer)
            self.send(
                response_create(
                    answer.ask, answer.history, answer.settings,
                    own=answer.own, apart=answer.apart,
                )
            )  # fmt: skip

    def _agree(self, answer: Answer) -> None:
        """The vendor's conversation becomes what is to be answered. Words of which it has no
        sound are written."""
        turn, said = answer.turn, self.utterances.words(answer.turn)
        comes = any(each is not None and each.turn == turn for each in self.commits)
        if comes or self.mirror.of_turn(turn, USER):
            self.send(*self.mirror.agree(answer.history, turn, said))
        else:
            self.send(*self.mirror.agree(answer.answering(said), turn, ""))

    def ask_next(self) -> None:
        """The vendor makes one reply of a conversation at a time; it has made one."""
        for answer in list(self.answers.values()):
            self.ask(answer)

    def ask_aside(self, answer: Answer) -> None:
        """Have the cascade give this reply, once the words are known that it answers."""
        answer.by_aside, answer.spoke = True, self.utterances.spoke(answer.turn)
        for utterance in self.utterances:
            if utterance.turn == answer.turn:
                self.hear_aside(utterance)
        self.try_aside(answer)

    def try_aside(self, answer: Answer) -> None:
        turn = answer.turn
        if answer.asked_aside or (self.utterances.awaits(turn) and not answer.apart):
            return
        history = answer.answering(self.utterances.words(turn))
        last = history[-1]
        if answer.spoke and not answer.apart and isinstance(last, Turn) and not last.user:
            del self.answers[turn]  # It was noise.
            self.tell(ReplyDone(turn))
            return
        if not answer.apart and self.link is None:
            self.mirror.assume(history)
        answer.asked_aside = True
        self.do(Ask(Respond(turn, history, answer.settings, apart=answer.apart)))

    def hear_aside(self, utterance: Utterance) -> None:
        """Have the cascade say what the words of this are."""
        if utterance.ended_ms is not None and not utterance.aside:
            utterance.aside = True
            self.do(Ask(Transcribe(utterance.turn, tuple(utterance.frames))))

    def leave_aside(self, utterance: Utterance) -> None:
        """The vendor was faster: what the cascade would now say, or that it cannot, is not to be
        taken for something else of the turn."""
        if utterance.aside and not utterance.live:
            self.do(Ask(Cancel(utterance.turn, 0)))
            for each in self.utterances:
                each.aside = each.aside and each.turn != utterance.turn

    def settle(self, utterance: Utterance, words: str) -> None:
        """The words have come, from whomever."""
        if item := self.mirror.find(utterance.item_id):
            item.text = " ".join(words.split())
        self.tell(*self.utterances.settle(utterance, words))
        answer = self.answers.get(utterance.turn)
        if answer is not None and answer.by_aside:
            self.try_aside(answer)

    def fail(self, answer: Answer, reason: str) -> None:
        """The reply is lost; of what was said nobody waits for words any more."""
        self.answers.pop(answer.turn, None)
        answer.over = True
        self.forget_words(answer.turn)
        self.tell(EngineFailed(answer.turn, reason))

    def forget_words(self, turn: int) -> None:
        """What was said in this turn is not wanted: it was noise, or nobody will answer it. The
        vendor is to forget it too."""
        gone = self.utterances.forget(turn)
        if any(each.live for each in gone):
            self.do(Ask(Cancel(turn, 0)))
        self.commits = [None if each in gone else each for each in self.commits]
        for utterance in gone:
            if item := self.mirror.find(utterance.item_id):
                self.send(self.mirror.delete(item))

    def trim(self, turn: int, heard_ms: int, *, making: bool) -> None:
        """No more of this turn's reply was heard, in the vendor's conversation either. What is
        still being made can be cut, and not yet be taken out."""
        for item in self.mirror.of_turn(turn, ASSISTANT):
            unheard = heard_ms < item.sound_ms or not item.sound_ms
            if item.aside and heard_ms <= 0:
                self.send(self.mirror.delete(item))
            elif unheard and not (item.read or item.cut or (making and heard_ms <= 0)):
                self.send(self.mirror.cut(item, heard_ms))
            heard_ms = max(heard_ms - item.sound_ms, 0)

    def drop_calls(self, turn: int) -> None:
        """The tools that a reply asked for before it was cut short were not asked for."""
        self.send(*[self.mirror.delete(item) for item in self.mirror.of_turn(turn, CALL)])

    def report(self, answer: Answer, outcome: str, error: str = "", usage: object = None) -> None:
        """Keep a record of a request for a reply."""
        assert answer.sent_ms is not None
        first_ms = None if answer.first_ms is None else answer.first_ms - answer.sent_ms
        use = EngineUse(
            "speech_to_speech", ENGINE, self.terms.model, outcome,
            self.now_ms - answer.sent_ms, first_ms, error, amounts_of(usage),
        )  # fmt: skip
        self.do(Used(answer.turn, use))

    def item_of(self, answer: Answer, item_id: str) -> Item | None:
        item = self.mirror.find(item_id)
        return item if item is not None and item.turn == answer.turn else None
