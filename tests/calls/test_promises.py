"""The promises of a call hold for any order of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from engines.speech import (
    CallPiece,
    EngineFailed,
    EngineSettings,
    FunctionResult,
    Note,
    OpusFrame,
    ReplyAudio,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Transcribed,
    Transcript,
)
from voice_server.calls import events as ev
from voice_server.calls.conversation import Conversation
from voice_server.calls.rules import MINUTE_MS, Endpointing, Interruption, Judging, Rules

from . import simulate
from .playbook import FRAME


@pytest.mark.parametrize("batch", range(10))
def test_a_thousand_random_calls_keep_their_promises(batch: int) -> None:
    for seed in range(batch * 100, batch * 100 + 100):
        simulate.run(seed)


def test_the_calls_reach_every_corner() -> None:
    """What is promised of something that never happens is not worth much."""
    seen, calls, words = Counter[str](), 0, 0
    for seed in range(300):
        promises, _ = simulate.play(seed)
        seen += promises.seen
        calls += len(promises.told.calls)
        words += len(promises.told.words)
    ends = {f"{kind} {end}" for kind in ("reply", "aside") for end in ("completed", "failed")}
    corners = ends | {
        "IdleTimedOut", "ReplyCut", "RecordingHeard", "Resume", "reply cancelled", "ReplyHeard",
        "JudgeTurn", "SpeechDiscarded", "EndingSoon", "Refused",
    }  # fmt: skip
    assert corners <= set(seen), corners - set(seen)
    assert calls > 50 and words > 500


class Call(RuleBasedStateMachine):
    """Hypothesis looks for the shortest call that breaks a promise."""

    @initialize(
        interruption=st.sampled_from(Interruption),
        manual=st.booleans(),
        judging=st.sampled_from([None, Judging()]),
        answers=st.booleans(),
        sound=st.booleans(),
        greets=st.booleans(),
        minutes=st.integers(1, 5),
        idle_ms=st.sampled_from([0, 5_000]),
    )
    def begin(
        self,
        interruption: Interruption,
        manual: bool,
        judging: Judging | None,
        answers: bool,
        sound: bool,
        greets: bool,
        minutes: int,
        idle_ms: int,
    ) -> None:
        rules = Rules(
            endpointing=Endpointing(manual=manual, judging=judging),
            interruption=interruption,
            answers=answers,
            answers_sound=sound,
            greets=greets,
            call_ms_max=minutes * MINUTE_MS,
            idle_prompt_ms=idle_ms,
        )
        self.now_ms = self.count = 0
        self.call = Conversation(rules, now_ms=0)
        self.promises = simulate.Promises(self.call, allowed_ms=rules.call_ms_max)
        self.happens(ev.Connected())

    def happens(self, *events: ev.Input, each_ms: int = 0) -> None:
        for event in events:
            self.now_ms += each_ms
            simulate._catch_up(self.call, self.promises, self.now_ms)
            self.promises.happens(event, self.now_ms)

    def alive(self) -> bool:
        return self.promises.closed is None

    @precondition(alive)
    @rule(frames=st.integers(1, 60), speech=st.sampled_from([0.95, 0.4, 0.02]))
    def hears(self, frames: int, speech: float) -> None:
        self.happens(*[ev.Heard(FRAME, speech)] * frames, each_ms=32)

    @precondition(alive)
    @rule(ago=st.integers(-1, 2), text=st.sampled_from(simulate._WORDS), final=st.booleans())
    def words_come(self, ago: int, text: str, final: bool) -> None:
        turn = max(0, self.call.turn - ago)
        self.happens(Transcribed(turn, Transcript(self.marked(text), final)))

    def marked(self, words: str) -> str:
        self.count += 1
        return f"{words} u{self.count}" if " " in words else words

    @precondition(alive)
    @rule(ago=st.integers(0, 2), frames=st.integers(0, 100), done=st.booleans())
    def reply_comes(self, ago: int, frames: int, done: bool) -> None:
        turn = max(0, self.call.turn - ago)
        sound = ReplyAudio(turn, OpusFrame(str(turn).encode()))
        self.happens(ReplyText(turn, "one two three"), *[sound] * frames)
        if done:
            self.happens(ReplyDone(turn))

    @precondition(alive)
    @rule(ago=st.integers(0, 2), played_ms=st.integers(0, 4_000))
    def plays(self, ago: int, played_ms: int) -> None:
        self.happens(ev.Played(max(0, self.call.turn - ago), played_ms))

    @precondition(alive)
    @rule(ago=st.integers(0, 1), earlier=st.integers(0, 1), chance=st.sampled_from([0.1, 0.9]))
    def pause_is_judged(self, ago: int, earlier: int, chance: float) -> None:
        turn, pause = self.call.turn - ago, self.promises.pause - earlier
        self.happens(ev.TurnJudged(turn, pause, chance))

    @precondition(alive)
    @rule(ago=st.integers(-1, 2))
    def engine_fails(self, ago: int) -> None:
        self.happens(EngineFailed(max(0, self.call.turn - ago), "503"))

    @precondition(alive)
    @rule(
        event=st.sampled_from([
            ev.Asked(), ev.Stopped(), ev.Committed(), ev.Cleared(), ev.Typed("hello"),
            ev.Typed("later", answer=False), ev.Truncated(1, 100), ev.EndWithin(10_000),
        ])
    )  # fmt: skip
    def client_does(self, event: ev.Input) -> None:
        self.happens(event)

    @precondition(alive)
    @rule(
        item=st.integers(0, 3), note=st.booleans(),
        after=st.sampled_from([None, ev.FIRST, "k0", "k1", ev.Replied(1), ev.Spoken(1, "hello")]),
    )  # fmt: skip
    def client_adds(self, item: int, note: bool, after: ev.Source | None) -> None:
        entry = Note("user", self.marked("and you")) if note else FunctionResult("a", "1")
        self.happens(ev.Added(f"k{item}", entry, after))

    @precondition(alive)
    @rule(
        ago=st.integers(0, 2),
        what=st.sampled_from([ev.Replied, lambda turn: ev.Spoken(turn, None), lambda turn: "k0"]),
    )
    def client_forgets(self, ago: int, what: Callable[[int], ev.Source]) -> None:
        self.happens(ev.Forgotten(what(max(0, self.call.turn - ago))))

    @precondition(alive)
    @rule(writes=st.booleans(), aside=st.booleans(), elsewhere=st.booleans())
    def client_asks(self, writes: bool, aside: bool, elsewhere: bool) -> None:
        settings = EngineSettings(speaks=not writes)
        context = (simulate.ELSEWHERE,) if elsewhere else None
        self.happens(ev.Asked(1, settings, context, aside))

    @precondition(alive)
    @rule(ahead=st.integers(-1, 2), done=st.booleans(), cut=st.booleans())
    def tool_is_called(self, ahead: int, done: bool, cut: bool) -> None:
        turn = max(0, self.call.turn + ahead)
        self.happens(ReplyCall(turn, CallPiece(f"{turn}a", "look", "{}")))
        if done:
            self.happens(ReplyDone(turn, cut=cut))

    @precondition(alive)
    @rule(minutes=st.integers(1, 10))
    def allowance_grows(self, minutes: int) -> None:
        self.promises.allowed_ms = max(self.promises.allowed_ms, minutes * MINUTE_MS)
        self.happens(ev.Allowed(minutes * MINUTE_MS))

    @precondition(alive)
    @rule(ms=st.sampled_from([1, 20, 700, 3_000, 30_000, 130_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms
        simulate._catch_up(self.call, self.promises, self.now_ms)

    @rule()
    def nothing_follows_the_end(self) -> None:
        if not self.alive():
            assert self.call.receive(ev.Typed("hello?"), self.now_ms) == []
            assert self.call.deadline_ms() is None

    def teardown(self) -> None:
        if hasattr(self, "call"):
            self.promises.check(self.call.receive(ev.HungUp(), self.now_ms))
            assert self.promises.closed is not None


Call.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCall = Call.TestCase
