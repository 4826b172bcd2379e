"""Throw seeded nonsense at a conversation and hold it to its promises.

`python -m tests.calls.simulate 400` runs 400 calls and says how fast.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from engines.speech import (
    CallPiece,
    Cancel,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Entry,
    Fill,
    FunctionResult,
    Hear,
    Note,
    OpusFrame,
    Prepare,
    ReplyAudio,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Respond,
    Say,
    Transcribed,
    Transcript,
    Turn,
    WordTime,
)
from voice_server.calls import events as ev
from voice_server.calls.asides import ASIDES_MAX
from voice_server.calls.conversation import Conversation
from voice_server.calls.floor import IDLE_PROMPTS_MAX
from voice_server.calls.memory import ENTRIES_MAX
from voice_server.calls.phases import Phase
from voice_server.calls.rules import Endpointing, Interruption, Judging, Rules

from .playbook import FRAME
from .told import Told, marked

_WORDS = ("", "a b c", "Yes.", "mm-hm", "my name is", "Stop now!")


WRITES = EngineSettings(speaks=False)
_JUDGING = (None, Judging(), Judging(ended_above=0.7, patience_ms=8_000))
# What a reply is sometimes asked to answer instead of the conversation.
ELSEWHERE = Note("system", "elsewhere")
# What is said while a reply is awaited.
FILLER = "hold on"
# Forgetting the oldest is tested elsewhere; in shorter histories everything must be there.
ENTRIES_SOME = ENTRIES_MAX // 2


def _entry(rng: random.Random) -> Entry:
    note = Note("user", marked(rng, "and you?"))
    return rng.choice((note, Note("system", "Be kind."), FunctionResult("a", "1")))


def _id(rng: random.Random) -> str:
    return f"k{rng.randrange(9)}"


def _source(rng: random.Random, turn: int) -> ev.Source | None:
    some: tuple[ev.Source | None, ...] = (
        None, ev.FIRST, _id(rng), ev.Spoken(turn, "a b c"), ev.Spoken(turn, None),
        ev.Replied(turn), ev.CalledIn(turn, f"{turn}a"),
    )  # fmt: skip
    return rng.choice(some)


def _answer(rng: random.Random, turn: int) -> list[ev.Input]:
    """A whole reply, mostly heard to its end."""
    text = ReplyText(turn, "one two three")
    sound = [ReplyAudio(turn, OpusFrame(str(turn).encode()))] * rng.choice((0, 5, 200))
    names = rng.choice(("", "", "a", "ab"))
    calls = [ReplyCall(turn, CallPiece(f"{turn}{name}", "look", "{}")) for name in names]
    done = ReplyDone(turn, cut=rng.random() < 0.1)
    return [text, *sound, *calls, done, *[ev.Played(turn, 1 << 40)] * rng.choice((0, 1, 1))]


def happenings(rng: random.Random, turn: int, pause: int = 0) -> list[ev.Input]:
    """One thing that may happen, often to a turn that is past or not yet there. `pause`: the
    latest that was to be judged."""
    number = max(0, turn + rng.choice((0, 0, 0, 0, 1, 2, -1, -2)))
    kinds: dict[str, float] = {
        "heard": 60, "words": 9, "text": 5, "sound": 13, "word": 2, "begun": 2, "done": 4,
        "played": 5, "answer": 6, "failed": 0.7, "typed": 1.5, "stopped": 1, "asked": 1,
        "committed": 1, "cleared": 0.5, "truncated": 0.7, "added": 1, "forgotten": 0.7, "judged": 3,
        "filled": 1, "aside": 0.7, "call": 0.7, "recorded": 0.4, "rules": 0.3, "allowed": 0.2,
        "end": 0.02, "tick": 3, "hung": 0.05,
    }  # fmt: skip
    match rng.choices(list(kinds), list(kinds.values()))[0]:
        case "heard":
            return [ev.Heard(FRAME, rng.choice((0.95, 0.02, 0.4)))] * rng.randint(1, 40)
        case "words":
            words = marked(rng, rng.choice(_WORDS))
            return [Transcribed(number, Transcript(words, rng.random() < 0.6))]
        case "text":
            return [ReplyText(number, "one two three")]
        case "sound":
            return [ReplyAudio(number, OpusFrame(str(number).encode()))] * rng.randint(1, 60)
        case "filled":
            sound = [ReplyAudio(number, OpusFrame(str(number).encode()))] * rng.choice((0, 9))
            return [ReplyText(number, FILLER, filler=True), *sound]
        case "word":
            return [ReplyWord(number, WordTime(4, 7, rng.randint(0, 900)))]
        case "begun":
            return [ReplyBegun(number)]
        case "done":
            return [ReplyDone(number, rng.random() < 0.03, rng.random() < 0.1)]
        case "call":
            return [ReplyCall(number, CallPiece(f"{number}{rng.choice('ab')}", "look", "{}"))]
        case "answer":
            return _answer(rng, number)
        case "played":
            return [ev.Played(number, rng.randint(0, 3_000))]
        case "judged":
            earlier = rng.choice((0, 0, 0, 1))
            return [ev.TurnJudged(number, pause - earlier, rng.choice((0.1, 0.6, 0.9)))]
        case "failed":
            return [EngineFailed(number, "x")]
        case "typed":
            return [ev.Typed(marked(rng, "hello you"), rng.random() < 0.5)]
        case "stopped":
            return [ev.Stopped(rng.choice((None, number)))]
        case "asked":
            context = rng.choice((None, None, None, (ELSEWHERE,)))
            settings = rng.choice((None, WRITES, EngineSettings()))
            return [ev.Asked(settings=settings, context=context)]
        case "added":
            return [ev.Added(_id(rng), _entry(rng), _source(rng, number))]
        case "recorded":
            return [ev.Recorded(_id(rng), (FRAME,) * 9, after=_source(rng, number))]
        case "forgotten":
            return [ev.Forgotten(_source(rng, number) or _id(rng))]
        case "aside":
            wish = ev.Asked(7, rng.choice((WRITES, WRITES, EngineSettings())), aside=True)
            return [wish] * rng.choice((1, 1, 2, ASIDES_MAX + 1))
        case "committed":
            return [ev.Committed()]
        case "cleared":
            return [ev.Cleared()]
        case "truncated":
            return [ev.Truncated(number, rng.randint(0, 3_000))]
        case "rules":
            return [ev.RulesChanged(some_rules(rng))]
        case "allowed":
            return [ev.Allowed(rng.randint(60_000, 400_000))]
        case "end":
            return [ev.EndWithin(rng.randint(0, 20_000))]
        case "hung":
            return [ev.HungUp()]
        case _:
            return [ev.Tick()]


def some_rules(rng: random.Random) -> Rules:
    return Rules(
        endpointing=Endpointing(manual=rng.random() < 0.2, judging=rng.choice(_JUDGING)),
        interruption=rng.choice(list(Interruption)),
        greets=rng.random() < 0.3,
        answers=rng.random() < 0.8,
        idle_prompt_ms=rng.choice((0, 5_000, 5_000)),
        answers_sound=rng.random() < 0.2,
        call_ms_max=rng.choice((45_000, 180_000, 1_800_000)),
        filler_ms=rng.choice((0, 2_200, 2_200)),
        prepare_ms=rng.choice((0, 200, 200)),
    )


@dataclass
class Promises:
    """What must hold for the actions of one call, whatever happens to it."""

    call: Conversation
    told: Told = field(default_factory=Told)
    seen: Counter[str] = field(default_factory=Counter)
    dead: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)
    # Replies that go on beside the conversation, and those that the server gave by itself.
    beside: set[int] = field(default_factory=set)
    notices: set[int] = field(default_factory=set)
    fillers: Counter[int] = field(default_factory=Counter)
    # How often the silent user was spoken to since the last sign of life.
    prompts: int = 0
    awaits_tool: bool = False
    heard: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    sounding: set[int] = field(default_factory=set)
    flushed: set[int] = field(default_factory=set)
    awaited: dict[int, int] = field(default_factory=dict)
    # The pause that is to be judged, and of which turn; None: speech made it void.
    question: tuple[int, int] | None = None
    pause: int = 0
    minutes: int = 0
    allowed_ms: int = 0
    closed: ev.Closed | None = None

    def happens(self, event: ev.Input, now_ms: int) -> None:
        """Let the call take one event, and check what it does."""
        if isinstance(event, ev.Heard) and event.speech > 0.5:
            self.question = None
        taken = isinstance(event, ev.Added | ev.Recorded) and event.item_id in self.told.ids
        if taken:
            return  # The dialect sees to it that no id is given twice.
        if self.closed is None:
            self.told.see(event)
        match event:
            case ev.Added(_, Note("user")) | ev.Recorded() | ev.Typed():
                self.prompts = 0
        actions = self.call.receive(event, now_ms)
        if isinstance(event, ev.TurnJudged) and (event.turn, event.pause) != self.question:
            assert not [a for a in actions if isinstance(a, EndUtterance)], "judged too late"
        self.check(actions)

    def check(self, actions: list[ev.Action]) -> None:
        for action in actions:
            assert self.closed is None, "an action after Closed"
            self.seen[type(action).__name__] += 1
            self._check_engine(action)
            self._check_link(action)
            self._check_idle(action)
            self.told.learn(action)

    def _check_idle(self, action: ev.Action) -> None:
        match action:
            case ev.SpeechStarted():
                self.prompts = 0
            case ev.IdleTimedOut(turn, start_ms, end_ms):
                self.prompts += 1
                assert self.prompts <= IDLE_PROMPTS_MAX, "who says nothing is left in peace"
                assert not self.awaits_tool, "it is not the user that is waited for"
                assert turn not in self.asked and 0 <= start_ms <= end_ms
            case ev.ReplyFinished(turn, "completed") if turn not in self.notices | self.beside:
                self.awaits_tool = any(key[0] == turn for key in self.told.pieces)
                self.awaits_tool = self.awaits_tool and turn in self.told.made

    def _check_engine(self, action: ev.Action) -> None:
        match action:
            case Hear(turn, _):
                assert turn not in self.dead, "sound for a turn that is over"
                self.heard.add(turn)
            case EndUtterance(turn):
                assert turn in self.heard and turn not in self.dead
                self.awaited[turn] = self.awaited.get(turn, 0) + 1
            case Respond(turn, history):
                assert turn in self.asked and turn not in self.dead
                assert len(history) <= 257 and isinstance(history[-1], Turn)
                assert not (history[-1].agent or history[-1].calls), "it is answered already"
                self._check_history(history)
            case Prepare(turn, history) if history:
                assert turn not in self.asked | self.dead, "thought of too late"
                self._check_history(history)
                self.seen["prepared"] += 1
            case Fill(turn, text):
                assert turn in self.asked - self.finished - self.notices - self.beside - self.dead
                self.fillers[turn] += 1
                fillers = self.call._rules.notices.fillers
                assert self.fillers[turn] <= len(fillers) and text in fillers
            case Say(turn, _):
                assert turn in self.asked and turn not in self.dead
            case Cancel(turn, heard_ms):
                assert heard_ms >= 0
                self.dead.add(turn)
                playing = turn in self.sounding - self.finished
                assert not playing or turn in self.flushed, "cancelled but left playing"

    def _check_history(self, history: tuple[Entry, ...]) -> None:
        agents = [entry.agent for entry in history if isinstance(entry, Turn)]
        assert not any(FILLER in agent for agent in agents), "nobody answered that"
        if history[0] != ELSEWHERE and len(history) < ENTRIES_SOME:
            self.told.check(history)

    def _check_link(self, action: ev.Action) -> None:
        match action:
            case ev.ReplyStarted(turn, notice):
                assert turn not in self.asked, "a turn is answered once"
                self._check_beside(turn)
                self.asked.add(turn)
                if notice:
                    self.notices.add(turn)
                    self.told.beside.add(turn)
            case ev.Called(turn, _) | ev.ReplySaid(turn, _):
                assert turn in self.asked - self.finished and turn not in self.dead
            case ev.ReplyFinished(turn, status, _, _, heard_ms):
                assert turn in self.asked and turn not in self.finished, "finished twice"
                assert heard_ms >= 0 and status in {"completed", "cancelled", "failed"}
                self.seen[f"{'aside' if turn in self.beside else 'reply'} {status}"] += 1
                self.finished.add(turn)
                self.paused.discard(turn)
            case ev.Play(turn, frame):
                assert turn in self.asked - self.finished - self.beside - self.dead
                assert int(frame.packet) == turn, "stale sound reached the listener"
                self.sounding.add(turn)
            case ev.Pause(turn):
                assert turn not in self.paused and turn in self.asked - self.finished
                self.paused.add(turn)
            case ev.Resume(turn):
                self.paused.remove(turn)
            case ev.Flush(turn):
                assert turn in self.sounding
                self.flushed.add(turn)
            case ev.SpeechStarted(_, start_ms):
                assert start_ms >= 0
            case ev.FinalText(turn, _, _):
                assert self.awaited.get(turn, 0) > 0, "words that nobody awaits"
                self.awaited[turn] -= 1
            case ev.SpeechDiscarded(turn):
                self.awaited[turn] = 0
            case ev.SpeechStopped():
                self.question = None
            case ev.JudgeTurn(turn, pause, frames):
                assert turn in self.heard - self.dead and pause == self.pause + 1
                assert 0 < len(frames) <= 250
                self.question, self.pause = (turn, pause), pause
            case ev.Latency():
                parts = [
                    action.endpointing_ms,
                    action.transcript_ms,
                    action.first_token_ms,
                    action.first_sentence_ms,
                    action.first_audio_ms,
                    action.first_packet_ms,
                ]
                assert min(parts) >= 0 and sum(parts) == action.gap_ms
                assert action.answer_ms is None or action.answer_ms >= action.gap_ms
            case ev.MinuteElapsed(minute):
                assert minute == self.minutes + 1
                self.minutes = minute
            case ev.Closed(_, duration_ms, _):
                assert self.minutes == duration_ms // 60_000, (self.minutes, duration_ms)
                assert duration_ms <= self.allowed_ms, "longer than was paid for"
                assert self.asked == self.finished, "a reply without an end"
                self.closed = action


    def _check_beside(self, turn: int) -> None:
        asides = self.call._floor.asides
        if turn in asides:
            self.beside.add(turn)
            assert len(self.beside - self.finished) <= ASIDES_MAX
        else:
            assert self.asked - self.beside <= self.finished, "two replies at once"
        if turn in asides or self.call._floor.open.aside:
            self.told.beside.add(turn)


def run(seed: int) -> int:
    """Play one random call to its end; return how many events it took."""
    return play(seed)[1]


def play(
    seed: int, begin: Callable[[Rules], Conversation] = lambda rules: Conversation(rules, now_ms=0)
) -> tuple[Promises, int]:
    """Play one random call to its end; return what was seen of it, and the count of events."""
    rng = random.Random(seed)
    rules = some_rules(rng)
    call = begin(rules)
    promises = Promises(call, allowed_ms=rules.call_ms_max)
    now_ms, count = 0, 0
    # Some users say next to nothing, and are waited for.
    silent = rng.random() < 0.25
    promises.check(call.receive(ev.Connected(), now_ms))
    while promises.closed is None:
        for event in happenings(rng, call.turn, promises.pause):
            if silent and isinstance(event, ev.Heard):
                continue
            now_ms += 32 if isinstance(event, ev.Heard) else rng.choice((0, 0, 1, 5, 20))
            count += _catch_up(call, promises, now_ms)
            if isinstance(event, ev.Allowed):
                promises.allowed_ms = max(promises.allowed_ms, event.call_ms_max)
            promises.happens(event, now_ms)
            count += 1
        if silent and rng.random() < 0.2:
            count += _catch_up(call, promises, now_ms)
            for event in _answer(rng, call.turn):
                promises.happens(event, now_ms)
            now_ms += rng.choice((500, 3_000, 6_000))
        elif rng.random() < 0.02:
            now_ms += rng.choice((500, 3_000, 30_000, 200_000))
    assert call.receive(ev.Typed("x"), now_ms + 1) == [] and call.deadline_ms() is None
    return promises, count


def _catch_up(call: Conversation, promises: Promises, now_ms: int) -> int:
    """Wake the call at every deadline up to now, as its shell would."""
    count = 0
    while (due_ms := call.deadline_ms()) is not None and due_ms <= now_ms:
        before = (call.phase, due_ms, call.turn)
        actions = call.receive(ev.Tick(), max(due_ms, call._floor.now_ms))
        promises.check(actions)
        moved = (call.phase, call.deadline_ms(), call.turn) != before
        assert moved, f"a deadline that does not move in {call.phase}"
        count += 1
    if promises.closed is None:
        hearing = call.phase in (Phase.HEARING, Phase.CHALLENGED)
        assert not call._floor.endpointer.speaking or hearing
        assert (call.phase is Phase.CHALLENGED) == (call._floor.challenger is not None)
    return count


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    began = time.perf_counter()
    total = 0
    for seed in range(calls):
        try:
            total += run(seed)
        except AssertionError:
            print("seed", seed)
            raise
    took = time.perf_counter() - began
    print(f"{calls} calls, {total} events, {took:.1f} s, {1e6 * took / total:.1f} us an event")


if __name__ == "__main__":
    main()
