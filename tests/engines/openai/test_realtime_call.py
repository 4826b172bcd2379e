"""The machine behind realtime calls keeps its promises whatever happens, in whatever order."""

from __future__ import annotations

import base64
import random

import pytest

from engines.openai.realtime_answer import Sound
from engines.openai.realtime_call import NEVER_MS, RealtimeCall
from engines.openai.realtime_lines import Action, Append, Ask, Close, Open, Send, Tell
from engines.openai.realtime_requests import Terms
from engines.speech import (
    Cancel,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Event,
    Fill,
    Hear,
    PcmFrame,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Transcribe,
    Transcribed,
    Transcript,
    Turn,
)

FRAME = PcmFrame(bytes(1_024))
TERMS = Terms("m", "t", "marin", session_ms_max=60_000, connect_ms=5_000, patience_ms=5_000)
AUDIO = base64.b64encode(bytes(4_800)).decode()


class Play:
    """Random calls: a vendor that answers, or not, and a cascade that does."""

    def __init__(self, seed: int) -> None:
        self.rng, self.now_ms = random.Random(seed), 0
        self.call = RealtimeCall(TERMS, EngineSettings())
        self.links, self.ever, self.turn, self.events = set[int](), set[int](), 0, 0
        self.sent: list[tuple[int, dict[str, object]]] = []
        self.asked: list[object] = []
        self.ended, self.finals = dict[int, int](), dict[int, int]()
        self.over, self.lost, self.hearing = set[int](), set[int](), False
        # Turns whose fillers the cascade is asked to say.
        self.filling = set[int]()
        self.take(self.call.begin(0))

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Open(link):
                    assert link not in self.ever, "a link has a number of its own"
                    self.ever.add(link)
                    self.links.add(link)
                    assert len(self.links) <= 2, "one link, and one that takes its place"
                case Close(link):
                    self.links.discard(link)
                case Send(link, event):
                    assert link in self.links, "said to nobody"
                    self.sent.append((link, event))
                case Append(link):
                    assert link in self.links, "said to nobody"
                case Ask(command):
                    self.asked.append(command)
                    self.ask(command)
                case Tell(event):
                    self.check(event)
                case Sound(turn):
                    assert turn not in self.over, "sound of a reply that is over"
                    assert turn not in self.filling, "a reply is told into its filler"

    def ask(self, command: object) -> None:
        match command:
            case Say(turn, _, True):
                assert turn not in self.filling, "one filler at a time"
                self.filling.add(turn)
            case Respond(turn):
                assert turn not in self.filling, "a reply is made into its filler"
            case Cancel(turn):
                self.filling.discard(turn)

    def check(self, event: Event) -> None:
        if event.turn in self.filling:
            told = isinstance(event, Transcribed) or getattr(event, "filler", False)
            assert told, "a reply is told into its filler"
        match event:
            case Transcribed(turn, transcript) if transcript.final:
                self.finals[turn] = self.finals.get(turn, 0) + 1
                assert self.finals[turn] <= self.ended.get(turn, 0), "one final an utterance"
            case Transcribed():
                pass
            case ReplyDone(turn) | EngineFailed(turn):
                assert turn not in self.over, "it has ended already"
                self.over.add(turn)
                if isinstance(event, EngineFailed):
                    self.lost.add(turn)
            case _:
                assert event.turn not in self.over, "a late event of a reply that is over"

    # What happens.

    def step(self) -> None:
        self.now_ms += self.rng.choice((0, 1, 20, 200, 1_500))
        if self.call.deadline_ms() <= self.now_ms:
            before = self.call.deadline_ms()
            self.take(self.call.tick(self.now_ms))
            assert self.call.deadline_ms() != before, "a deadline that does not move"
        self.rng.choice((
            self.speak, self.speak, self.answer, self.answer, self.answer, self.answer,
            self.cascade, self.cascade, self.cascade, self.break_link, self.cancel, self.say,
            self.fill,
        ))()  # fmt: skip

    def command(self, command: object) -> None:
        self.take(self.call.command(command, self.now_ms))  # type: ignore[arg-type]

    def speak(self) -> None:
        if not self.hearing:
            self.turn, self.hearing = self.turn + 1, True
        if self.rng.random() < 0.7:
            self.command(Hear(self.turn, FRAME))
            return
        self.hearing = False
        self.ended[self.turn] = self.ended.get(self.turn, 0) + 1
        self.command(EndUtterance(self.turn))
        history = [Turn("a b", "c d", self.rng.random() < 0.5) for _ in range(self.turn % 3)]
        self.command(Respond(self.turn, (*history, Turn("", ""))))

    def cancel(self) -> None:
        if self.turn and self.turn not in self.lost:
            self.over.add(self.turn)
            self.filling.discard(self.turn)
            self.command(Cancel(self.turn, self.rng.choice((0, 80, 9_000))))
            self.turn, self.hearing = self.turn + 1, False
            self.over.discard(self.turn)

    def say(self) -> None:
        if not self.hearing:
            self.turn += 1
            self.command(Say(self.turn, "Well."))

    def fill(self) -> None:
        if self.turn and not self.hearing and self.turn not in self.over:
            self.command(Fill(self.turn, "One moment."))

    def break_link(self) -> None:
        if self.links and self.rng.random() < 0.3:
            link = self.rng.choice(sorted(self.links))
            self.links.discard(link)
            self.sent = [each for each in self.sent if each[0] != link]
            self.take(self.call.lost(link, "gone", self.now_ms))
        elif self.links and self.rng.random() < 0.5:
            self.take(self.call.opened(self.rng.choice(sorted(self.links)), self.now_ms))

    def answer(self) -> None:
        """The vendor obeys the oldest thing that it was asked, or says something odd."""
        if self.rng.random() < 0.1:
            odd: dict[str, object] = {
                "type": self.rng.choice(("response.done", "error", "response.created", 7)),
                "response": None, "item_id": 3, "error": "no",
            }  # fmt: skip
            for link in sorted(self.links):
                self.take(self.call.received(link, odd, self.now_ms))
        if not self.sent:
            return
        link, asked = self.sent.pop(0)
        for event in self.events_of(asked):
            if link in self.links:
                self.take(self.call.received(link, event, self.now_ms))

    def events_of(self, asked: dict[str, object]) -> list[dict[str, object]]:
        self.events += 1
        item = f"i{self.events}"
        match asked["type"]:
            case "session.update":
                return [{"type": "session.updated"}]
            case "input_audio_buffer.commit":
                done = "conversation.item.input_audio_transcription.completed"
                told: list[dict[str, object]] = [
                    {"type": "input_audio_buffer.committed", "item_id": item},
                    {"type": done, "item_id": item, "transcript": "e f"},
                ]
                return told[: self.rng.choice((1, 2, 2))]
            case "response.create":
                return self.reply(asked["response"], item)
        return []

    def reply(self, asked: object, item: str) -> list[dict[str, object]]:
        assert isinstance(asked, dict)
        about = {"response_id": f"r{item}", "item_id": item}
        told = {"id": f"r{item}", "metadata": asked["metadata"]}
        status = self.rng.choice(("completed", "completed", "failed", "incomplete"))
        made: list[dict[str, object]] = [
            {"type": "response.created", "response": told},
            {"type": "response.output_item.added", **about, "item": {"id": item}},
            {"type": "response.output_audio_transcript.delta", **about, "delta": "Well, then. "},
            {"type": "response.output_audio.delta", **about, "delta": AUDIO},
            {"type": "response.done", "response": {**told, "status": status}},
        ]
        if self.rng.random() < 0.3:
            return made[: self.rng.randrange(5)]
        return made if self.rng.random() < 0.7 else [made[0], made[-1]]

    def cascade(self) -> None:
        if not self.asked:
            return
        command = self.asked.pop(0)
        turn = getattr(command, "turn", 0)
        if any(isinstance(each, Cancel) and each.turn == turn for each in self.asked):
            return
        match command:
            case Transcribe(turn) | EndUtterance(turn):
                if self.rng.random() < 0.2:
                    self.aside(EngineFailed(turn, "deaf"))
                else:
                    self.aside(Transcribed(turn, Transcript("g h", final=True)))
            case Say(turn, text, True):
                self.aside(ReplyText(turn, text, filler=True))
                self.filling.discard(turn)  # What was held back is told now.
                self.aside(ReplyDone(turn) if self.rng.random() < 0.9 else EngineFailed(turn, ""))
            case Respond(turn) | Say(turn):
                self.aside(ReplyText(turn, "Aside."))
                self.aside(ReplyDone(turn))

    def aside(self, event: Event) -> None:
        self.take(self.call.aside(event, self.now_ms))


@pytest.mark.parametrize("block", range(10))
def test_random_calls_keep_their_promises(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        play = Play(seed)
        try:
            for _ in range(200):
                play.step()
        except Exception:
            print("seed", seed)
            raise


def test_what_nobody_waits_for_has_no_deadline() -> None:
    play = Play(1)
    for event in ({"type": "session.updated"},):
        play.take(play.call.opened(1, 0))
        play.take(play.call.received(1, event, 0))
    assert play.call.deadline_ms() == TERMS.session_ms_max
    play.take(play.call.tick(TERMS.session_ms_max))
    assert play.ever == {1, 2}
    assert play.call.deadline_ms() < NEVER_MS
