"""A conversation and its dialect, with nobody in between: what a client sends reaches the call,
and what the call does reaches the client."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engines.speech import Event, OpusFrame, PcmFrame, ReplyAudio, ReplyDone, ReplyText, Respond
from voice_server.calls import events as ev
from voice_server.calls.conversation import Conversation
from voice_server.calls.realtime.dialect import Received
from voice_server.calls.rules import Rules

from .listener import Listener

PCM = bytes(960)  # 20 ms at 24 kHz.
FRAMES = (PcmFrame(bytes(1_024)),) * 5


class Talk:
    """`webrtc`: sound goes over a track; otherwise in events."""

    def __init__(self, rules: Rules | None = None, *, webrtc: bool = False) -> None:
        self.rules = rules or Rules()
        self.listener = Listener(webrtc=webrtc, rules=self.rules)
        self.call = Conversation(self.rules, now_ms=0)
        self.now_ms = 0
        self.in_events = not webrtc
        self.closed = False
        self.commands: list[ev.Action] = []

    def happen(self, *events: ev.Input) -> Talk:
        for event in events:
            for action in self.call.receive(event, self.now_ms):
                self._do(action)
        return self

    def _do(self, action: ev.Action) -> None:
        self.commands.append(action)
        self.listener.act(action)
        if isinstance(action, ev.Play) and self.in_events:
            self.listener.sound(action.turn, PCM)
        self.closed = self.closed or isinstance(action, ev.Closed)

    def send(self, *events: object) -> Talk:
        """What a client sends."""
        for event in events:
            self.obey(self.listener.send(event))
        return self

    def obey(self, received: Received) -> None:
        """What a link does."""
        self.happen(*received.inputs)
        if received.recorded:
            self.happen(replace(received.recorded[0], frames=FRAMES))

    def after(self, ms: int) -> Talk:
        ends_ms = self.now_ms + ms
        while (due_ms := self.call.deadline_ms()) is not None and due_ms <= ends_ms:
            self.now_ms = max(due_ms, self.now_ms)
            self.happen(ev.Tick())
        self.now_ms = ends_ms
        return self

    # Common things.

    def create(self, **response: object) -> Talk:
        event = {"type": "response.create"}
        return self.send({**event, "response": response} if response else event)

    def say(self, text: str, **item: object) -> Talk:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **item}
        return self.send({"type": "conversation.item.create", "item": item})

    def delete(self, item_id: str) -> Talk:
        return self.send({"type": "conversation.item.delete", "item_id": item_id})

    def reply(self, *texts: str, frames: int = 1, done: bool = True) -> Talk:
        """The engine answers the turn that has the floor."""
        turn = self.call.turn
        made: list[Event] = []
        for text in texts:
            made += [ReplyText(turn, text), *[ReplyAudio(turn, OpusFrame(b"x"))] * frames]
        return self.happen(*made, *([ReplyDone(turn)] if done else []))

    def heard(self) -> Talk:
        """All that was made has been heard."""
        return self.happen(ev.Played(self.call.turn, 1 << 40))

    def forget(self) -> Talk:
        self.listener.forget()
        return self

    @property
    def kinds(self) -> list[str]:
        return self.listener.kinds

    @property
    def response(self) -> dict[str, Any]:
        """The response that is done."""
        response = self.listener.last("response.done")["response"]
        assert isinstance(response, dict)
        return response

    @property
    def output(self) -> list[dict[str, Any]]:
        """The items of the response that is done."""
        return list(self.response["output"])

    @property
    def asked(self) -> Respond:
        """What the engine was asked last."""
        return [each for each in self.commands if isinstance(each, Respond)][-1]

    @property
    def error(self) -> str:
        """The code of the error that was just told."""
        return str(self.listener.error()["code"])
