"""Who has the floor, as a caller can tell from what it is told. Pure: a fold over events.

A test person waits for the greeting to end, says its piece, and hangs up when the answer has
been heard. `Dialog` knows what "ended" and "answered" mean: the server's events say when a
reply is being made, and a playout clock says until when it is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .caller import Happening, ServerEvent, Sound, Told

# After its last sound a reply is over for a listener; a stream with a pause in it is not.
QUIET_US = 400_000


@dataclass(slots=True)
class Line:
    """Something that was said. `who`: you, or agent. `status`: of a reply, completed, cancelled,
    failed or interrupted. `parts` are milliseconds of latency."""

    who: str
    text: str = ""
    final: bool = False
    status: str = ""
    # Nothing more of it will be heard.
    over: bool = False
    heard_chars: int | None = None
    parts: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        found: dict[str, object] = {"who": self.who, "text": self.text, "status": self.status}
        return found | ({"latency": self.parts} if self.parts else {})


class Dialog:
    """The state of a call after the happenings it was given, in their order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.notices: list[str] = []
        self.engines: ServerEvent = {}
        self.heard_until_us = 0
        self.first_sound_us = 0
        self.replies_begun = 0
        self.answers_begun = 0
        self.user_speaks = False
        self.agent_speaks = False
        # The user's words are with the server and their answer has not begun.
        self.answer_owed = False
        self._words_given = False
        self._items: dict[str, Line] = {}
        self._replies: dict[str, Line] = {}

    def happened(self, happening: Happening) -> None:
        if isinstance(happening, Sound):
            begins_us = max(self.heard_until_us, happening.at_us)
            self.heard_until_us = begins_us + happening.duration_ms * 1_000
            self.first_sound_us = self.first_sound_us or happening.at_us
            return
        self._told(happening)

    def is_quiet(self, at_us: int) -> bool:
        """Nobody speaks, nothing is being made, and all sound has been heard."""
        waiting = self.user_speaks or self.agent_speaks or self.answer_owed
        return not waiting and at_us >= self.heard_until_us + QUIET_US

    def _told(self, told: Told) -> None:
        event = told.event
        match event.get("type"):
            case "input_audio_buffer.speech_started":
                self.user_speaks = True
            case "input_audio_buffer.speech_stopped":
                self.user_speaks, self.answer_owed = False, True
            case "input_audio_buffer.cleared":
                self.user_speaks = self.answer_owed = False
            case "conversation.item.input_audio_transcription.delta":
                self._item(event).text += str(event.get("delta", ""))
            case "conversation.item.input_audio_transcription.completed":
                self._finish_item(event)
            case "conversation.item.input_audio_transcription.failed":
                self.answer_owed = False
                self._complain(event)
            case "conversation.item.deleted":
                self.user_speaks = self.answer_owed = False
            case "response.created" | "response.done" as kind:
                self._respond(event, begins=kind == "response.created")
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self._reply(str(event.get("response_id"))).text += str(event.get("delta", ""))
            case "voice_server.engines":
                self.engines = event
                if notice := event.get("notice"):
                    self.notices.append(str(notice))
            case "output_audio_buffer.stopped":
                self._reply(str(event.get("response_id"))).over = True
            case "output_audio_buffer.cleared":
                reply = self._reply(str(event.get("response_id")))
                reply.over, reply.status = True, "interrupted"
            case "voice_server.reply_heard":
                chars = event.get("chars")
                reply = self._reply(str(event.get("response_id")))
                reply.heard_chars = chars if isinstance(chars, int) else None
            case "voice_server.latency":
                parts = {n: v for n, v in event.items() if n.endswith("_ms") and isinstance(v, int)}
                self._reply(str(event.get("response_id"))).parts = parts
            case "error":
                self.answer_owed = False
                self._complain(event)

    def _item(self, event: ServerEvent) -> Line:
        name = str(event.get("item_id"))
        if name not in self._items:
            self._items[name] = Line("you")
            self.lines.append(self._items[name])
        return self._items[name]

    def _finish_item(self, event: ServerEvent) -> None:
        text = str(event.get("transcript", "")).strip()
        if not text:
            # Noise, or its words stand with an earlier stretch of the same turn.
            self.answer_owed = self.answer_owed and self._words_given
            if line := self._items.pop(str(event.get("item_id")), None):
                self.lines.remove(line)
            return
        line = self._item(event)
        line.text, line.final = text, True
        self._words_given = True

    def _reply(self, name: str) -> Line:
        if name not in self._replies:
            self._replies[name] = Line("agent")
            self.lines.append(self._replies[name])
        return self._replies[name]

    def _respond(self, event: ServerEvent, *, begins: bool) -> None:
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        line = self._reply(str(response.get("id")))
        self.agent_speaks = begins
        if begins:
            self.replies_begun += 1
            self.answers_begun += self.answer_owed
            self.answer_owed = self._words_given = False
        else:
            line.final, line.status = True, line.status or str(response.get("status", ""))

    def _complain(self, event: ServerEvent) -> None:
        error = event.get("error")
        error = error if isinstance(error, dict) else {}
        said = str(error.get("message") or error.get("code") or "an error without words")
        self.notices.append(said)
