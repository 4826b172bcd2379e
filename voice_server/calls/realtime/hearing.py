"""What a client is told of the user's speech: utterances, their items and their words. Pure.

Each utterance gets one item id, from `speech_started` to the last of its words. Words come in
two shapes that do not fit each other: the call says all the words of a turn so far, which may
still change; the protocol wants pieces that are only ever added to one utterance. So a piece is
sent only while it goes on where the pieces before it ended. When earlier words were rewritten
nothing more is sent until the words fit again, and the transcript at the end is the truth.

A turn may hold several utterances; their finals come in the order in which they ended. A turn
may also begin with words that another one already had, when the user spoke on before a reply
sounded (`Inherited`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .items import Item, Items
from .server_events import Events, JsonObject, ServerEvent, message

AWAITED_MAX = 64
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Utterance:
    turn: int
    item_id: str
    start_ms: int
    # Whether the client was told that it began, and so must be told that it ended.
    told: bool
    end_ms: int = 0
    sent: str = ""
    item: Item | None = None


@dataclass(slots=True)
class Inherited:
    """Which words a turn began with, and which it will begin with if it comes now.

    The words of a turn whose reply nobody has heard yet go on in the next turn.
    """

    said: dict[int, str] = field(default_factory=dict)
    thinking: str = ""

    def begin(self, turn: int) -> None:
        if turn not in self.said:
            self.said, self.thinking = {turn: self.thinking}, ""

    def asked(self, turn: int) -> None:
        """A reply was asked for; until it sounds, speaking on takes these words along."""
        self.thinking, self.said = self.said.get(turn, ""), {}

    def settle(self) -> None:
        """The reply sounds, or is over: these words have been answered."""
        self.thinking = ""


class Hearing:
    """Turns the call's actions about the user's speech into server events.

    `told` is whether the client wants transcripts; `manual` whether it marks utterances itself,
    and so is not told when speech starts and stops. Both may change at any time.
    """

    def __init__(self, events: Events, items: Items, *, told: bool, manual: bool) -> None:
        self.told, self.manual = told, manual
        # How much speech has been heard since somebody last asked, in milliseconds.
        self.speech_ms = 0
        self.inherited = Inherited()
        self._events, self._items = events, items
        self._open: Utterance | None = None
        self._awaited: deque[Utterance] = deque(maxlen=AWAITED_MAX)
        self._recorded: dict[str, Utterance] = {}

    def started(self, turn: int, start_ms: int) -> list[ServerEvent]:
        self.inherited.begin(turn)
        self._open = Utterance(turn, self._events.new_id("item"), start_ms, not self.manual)
        if self.manual:
            return []
        started = self._events.make(
            "input_audio_buffer.speech_started",
            item_id=self._open.item_id, audio_start_ms=start_ms,
        )  # fmt: skip
        return [started]

    def stopped(self, turn: int, end_ms: int) -> list[ServerEvent]:
        """The utterance ended: it becomes an item, whose words are still to come."""
        if self._open is None or self._open.turn != turn:
            self.started(turn, end_ms)
        utterance, self._open = self._open, None
        assert utterance is not None
        utterance.end_ms = max(end_ms, utterance.start_ms)
        self.speech_ms += utterance.end_ms - utterance.start_ms
        self._awaited.append(utterance)
        return [*self._stopped(utterance), *self._committed(utterance)]

    def _stopped(self, utterance: Utterance) -> list[ServerEvent]:
        if not utterance.told:
            return []
        stopped = self._events.make(
            "input_audio_buffer.speech_stopped",
            item_id=utterance.item_id, audio_end_ms=utterance.end_ms,
        )  # fmt: skip
        return [stopped]

    def _committed(self, utterance: Utterance) -> list[ServerEvent]:
        body = message(utterance.item_id, "user", _sound(None))
        utterance.item = Item(body, turn=utterance.turn)
        previous_id = self._items.append(utterance.item)
        events, item_id = self._events, utterance.item_id
        return [
            events.make(
                "input_audio_buffer.committed", item_id=item_id, previous_item_id=previous_id
            ),
            events.item("conversation.item.added", body, previous_id),
            events.item("conversation.item.done", body, previous_id),
        ]

    def idle(self, turn: int, start_ms: int, end_ms: int) -> list[ServerEvent]:
        """The user said nothing for so long that the agent speaks again. The silence is an
        item of its own."""
        self.inherited.begin(turn)
        silence = Utterance(turn, self._events.new_id("item"), start_ms, told=False)
        timed_out = self._events.make(
            "input_audio_buffer.timeout_triggered",
            item_id=silence.item_id, audio_start_ms=start_ms, audio_end_ms=end_ms,
        )  # fmt: skip
        return [timed_out, *self._committed(silence)]

    def recorded(self, item: Item, duration_ms: float) -> None:
        """The client made this item of sound; its words are still to come."""
        self.speech_ms += int(duration_ms)
        self._recorded[item.id] = Utterance(
            0, item.id, 0, told=False, end_ms=int(duration_ms), item=item
        )

    def recording_heard(self, item_id: str, text: str, failure: str) -> list[ServerEvent]:
        utterance = self._recorded.pop(item_id, None)
        if utterance is None or utterance.item is None:
            return []
        if failure:
            return self._failed([utterance], failure)
        content = utterance.item.body["content"]
        assert isinstance(content, list)
        told, (part,) = self._completed(utterance, text), _sound(text)
        heard = [part if each["type"] == "input_audio" else each for each in content]
        self._items.update(utterance.item, content=heard)
        return told

    def discarded(self, turn: int) -> list[ServerEvent]:
        """It was noise, or it was cleared. What the client was told to expect is closed."""
        told: list[ServerEvent] = []
        self.inherited.said.pop(turn, None)
        if self._open and self._open.turn == turn:
            utterance, self._open = self._open, None
            utterance.end_ms = utterance.start_ms
            told += self._stopped(utterance)
        for utterance in self._take_awaited(turn):
            told += self._completed(utterance, "")
        return told

    def partial(self, turn: int, text: str) -> list[ServerEvent]:
        """All the words of the turn so far."""
        waiting = [each for each in (*self._awaited, self._open) if each and each.turn == turn]
        if len(waiting) != 1 or not self.told:
            return []  # Of two utterances nobody can say whose words these are.
        return self._delta(waiting[0], _after(self.inherited.said.get(turn, ""), text))

    def final(self, turn: int, text: str, utterance: str) -> list[ServerEvent]:
        """The words of the oldest utterance of the turn that still waits for them."""
        self.inherited.said[turn] = text
        for waiting in self._awaited:
            if waiting.turn == turn:
                self._awaited.remove(waiting)
                return [*self._delta(waiting, utterance), *self._completed(waiting, utterance)]
        return []

    def failed(self, turn: int, reason: str) -> list[ServerEvent]:
        """No words will come of what this turn still waits for."""
        return self._failed(self._take_awaited(turn), reason)

    def _failed(self, utterances: list[Utterance], reason: str) -> list[ServerEvent]:
        for each in utterances:
            if each.item and each.item.turn is not None:
                each.item.spoken = ""
        error = {"type": "server_error", "code": "transcription_failed", "message": reason}
        failed = [
            self._events.make(
                f"{TRANSCRIPTION}.failed", item_id=each.item_id, content_index=0, error=error
            )
            for each in utterances
        ]
        return failed if self.told else []

    def _take_awaited(self, turn: int) -> list[Utterance]:
        taken = [each for each in self._awaited if each.turn == turn]
        for each in taken:
            self._awaited.remove(each)
        return taken

    def _delta(self, utterance: Utterance, words: str) -> list[ServerEvent]:
        if not self.told or not words.startswith(utterance.sent) or words == utterance.sent:
            return []
        delta, utterance.sent = words[len(utterance.sent) :], words
        told = self._events.make(
            f"{TRANSCRIPTION}.delta", item_id=utterance.item_id, content_index=0, delta=delta
        )
        return [told]

    def _completed(self, utterance: Utterance, words: str) -> list[ServerEvent]:
        if utterance.item and utterance.item.turn is not None:
            utterance.item.spoken = words
        if not self.told:
            return []
        if utterance.item:
            self._items.update(utterance.item, content=_sound(words))
        seconds = (utterance.end_ms - utterance.start_ms) / 1_000
        told = self._events.make(
            f"{TRANSCRIPTION}.completed", item_id=utterance.item_id, content_index=0,
            transcript=words, usage={"type": "duration", "seconds": seconds},
        )  # fmt: skip
        return [told]


def _sound(words: str | None) -> list[JsonObject]:
    # Null and not absent: a published client insists on the field before there are words.
    return [{"type": "input_audio", "transcript": words}]


def _after(before: str, text: str) -> str:
    """The words of a turn without those it had before."""
    rest = text.removeprefix(before)
    began = before and rest != text and (not rest or rest.startswith(" "))
    return rest.lstrip() if began else text
