"""The promises of the protocol hold for whatever a call decides and whatever a client sends.

The real conversation is fed with seeded nonsense from both sides; the listener checks every
server event against the published types and against all that went before it.
"""

from __future__ import annotations

import random

import pytest

from voice_server.calls import events as ev

from .. import simulate
from .listener import Listener
from .talk import Talk

STEPS_MAX = 400


def client_event(rng: random.Random, listener: Listener) -> dict[str, object]:
    """Something a client may send; its ids are sometimes right."""
    items = sorted(listener.laws.items) or ["item_none"]
    item_id = rng.choice([*items[-3:], "item_none"])
    detection = rng.choice((None, {"type": "semantic_vad"}, {"interrupt_response": False}))
    choices: list[dict[str, object]] = [
        {"type": "response.create"},
        {"type": "response.create", "response": {"metadata": {"n": str(rng.random())}}},
        {"type": "response.create", "response": {"instructions": "Be brief."}},
        {"type": "response.create", "response": _aside(item_id, rng)},
        {"type": "response.cancel", "response_id": rng.choice([*listener.laws.open, "resp_none"])},
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "a", "output": "7"},
        },
        {"type": "response.cancel"},
        {"type": "output_audio_buffer.clear"},
        {"type": "input_audio_buffer.clear"},
        {"type": "input_audio_buffer.commit"},
        {"type": "conversation.item.create", "item": _item("Hello", rng)},
        {
            "type": "conversation.item.create",
            "item": _item("Hello", rng),
            "previous_item_id": rng.choice((item_id, "root")),
        },
        {"type": "conversation.item.delete", "item_id": item_id},
        {"type": "conversation.item.retrieve", "item_id": item_id},
        {
            "type": "conversation.item.truncate",
            "item_id": item_id,
            "content_index": 0,
            "audio_end_ms": rng.randint(0, 400),
        },
        {
            "type": "session.update",
            "session": {
                "audio": {"input": {"turn_detection": detection}},
                "output_modalities": rng.choice((["audio"], ["audio"], ["text"])),
                "voice_server": {"events": rng.random() < 0.5},
            },
        },
    ]
    return rng.choice(choices)


def _aside(item_id: str, rng: random.Random) -> dict[str, object]:
    return {
        "conversation": "none",
        "output_modalities": rng.choice((["text"], ["text"], ["audio"])),
        "input": rng.choice(([], [{"type": "item_reference", "id": item_id}])),
        "tools": [{"type": "function", "name": "look"}],
    }


def _item(text: str, rng: random.Random) -> dict[str, object]:
    content = [{"type": "input_text", "text": text}]
    item: dict[str, object] = {"type": "message", "role": "user", "content": content}
    return item | ({"id": f"mine_{rng.randint(0, 5)}"} if rng.random() < 0.3 else {})


class Play(Talk):
    """One random call."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rules = simulate.some_rules(self.rng)
        super().__init__(rules, webrtc=self.rng.random() < 0.5)

    def step(self) -> None:
        if self.rng.random() < 0.2:
            self.send(client_event(self.rng, self.listener))
            return
        for event in simulate.happenings(self.rng, self.call.turn):
            self.now_ms += 32 if isinstance(event, ev.Heard) else self.rng.choice((0, 1, 20))
            self.happen(event)

    def run(self) -> None:
        self.happen(ev.Connected())
        for _ in range(STEPS_MAX):
            if self.closed:
                break
            self.step()
        self.happen(ev.HungUp())
        self.listener.close({"billed_minutes": 1})


@pytest.mark.parametrize("batch", range(5))
def test_random_calls_keep_the_protocol(batch: int) -> None:
    for seed in range(batch * 20, batch * 20 + 20):
        play = Play(seed)
        try:
            play.run()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        laws = play.listener.laws
        assert not laws.open, f"seed {seed}: a response without an end"
        assert laws.sounding is None, f"seed {seed}: sound without an end"
        assert laws.speaking is None, f"seed {seed}: speech without an end"
        assert laws.stopped <= laws.items | laws.deleted | laws.stopped


def test_a_second_question_does_not_wait_for_the_first_answer_to_be_played() -> None:
    """A client that keeps its own buffer knows `response.done`, and not what we think it has
    heard by now."""
    talk = Talk().happen(ev.Connected())
    for _ in range(2):
        talk.forget().say("Hello").create().reply("one two three", frames=100)
        assert "response.created" in talk.kinds
        assert talk.kinds[-1] == "response.done"
    assert [turn.agent for turn in talk.call.history] == ["one two three", ""]


def test_the_calls_say_much() -> None:
    """The promises above are worth nothing unless the random calls reach every corner."""
    told: set[str] = set()
    for seed in range(30):
        play = Play(seed)
        play.run()
        told |= set(play.listener.kinds)
    corners = {
        "input_audio_buffer.speech_stopped", "response.done", "response.output_text.done",
        "conversation.item.truncated", "conversation.item.deleted", "error",
        "output_audio_buffer.started", "output_audio_buffer.stopped",
        "output_audio_buffer.cleared", "response.output_audio.delta", "voice_server.bill",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        "response.function_call_arguments.done",
    }  # fmt: skip
    assert corners <= told, corners - told
