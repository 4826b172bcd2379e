"""What a dialogue engine must be told of a call, as far as it can be known from outside: every
word of the user that came, and every tool that was asked for, once each, until the client takes
them out."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from engines.speech import Entry, FunctionCall, Note, Turn
from voice_server.calls import events as ev

_MARK = re.compile(r"u\d+")


def marked(rng: random.Random, words: str) -> str:
    """The words with something among them by which they are known again, if they are several."""
    return f"{words} u{rng.randrange(10**9)}" if " " in words else words


@dataclass
class Told:
    """Holds the histories that an engine gets against what happened before."""

    # The marks of the user's words, by where they came from.
    words: dict[str, str | int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    # Turns of which the client took out words that had not come yet.
    unsure: set[str | int] = field(default_factory=set)
    pieces: dict[tuple[int, str], str] = field(default_factory=dict)
    made: set[int] = field(default_factory=set)
    # Turns that are no part of the conversation.
    beside: set[int] = field(default_factory=set)
    calls: set[FunctionCall] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)

    def see(self, event: ev.Input) -> None:
        """What a client puts into the conversation, and takes out of it."""
        match event:
            case ev.Typed(text):
                self._expect(text, "")
            case ev.Added(item_id, entry):
                self.ids.add(item_id)
                if isinstance(entry, Note):
                    self._expect(entry.text, item_id)
            case ev.Recorded(item_id):
                self.ids.add(item_id)
            case ev.Forgotten(str(item_id)) if item_id:
                self.ids.discard(item_id)
                self.gone |= {mark for mark, of in self.words.items() if of == item_id}
                self.words = {mark: of for mark, of in self.words.items() if of != item_id}
            case ev.Forgotten(ev.Spoken(turn, None)):
                self.unsure.add(turn)
            case ev.Forgotten(ev.CalledIn(_, call_id)):
                self.forgotten.add(call_id)

    def learn(self, action: ev.Action) -> None:
        """What came of it."""
        match action:
            case ev.FinalText(turn, _, text):
                self._expect(text, turn)
            case ev.RecordingHeard(item_id, text) if item_id in self.ids:
                self._expect(text, item_id)
            case ev.Called(turn, piece):
                key = turn, piece.call_id
                self.pieces[key] = self.pieces.get(key, "") + piece.arguments
            case ev.ReplyMade(turn, cut) if not cut:
                self.made.add(turn)
            case ev.ReplyFinished(turn):
                self.calls |= self.asked_for({turn})

    def _expect(self, text: str, source: str | int) -> None:
        self.words |= dict.fromkeys(_MARK.findall(text), source)

    def asked_for(self, turns: set[int]) -> set[FunctionCall]:
        """The whole calls of these turns that are part of the conversation."""
        made = turns & self.made - self.beside
        whole = {key: pieces for key, pieces in self.pieces.items() if key[0] in made}
        return {FunctionCall(call_id, "look", pieces) for (_, call_id), pieces in whole.items()}

    def check(self, history: tuple[Entry, ...]) -> None:
        users = [entry.user for entry in history if isinstance(entry, Turn)]
        marks = Counter(_MARK.findall(" ".join(users)))
        assert set(marks.values()) <= {1}, "the user said it once"
        assert not self.gone & set(marks), "the client took it out"
        lost = [mark for mark, source in self.words.items() if source not in self.unsure]
        assert set(lost) <= set(marks), "words were lost"
        calls = [call for entry in history if isinstance(entry, Turn) for call in entry.calls]
        assert len(calls) == len(set(calls)), "a tool is called once"
        remembered = {call for call in self.calls if call.call_id not in self.forgotten}
        assert remembered <= set(calls), "a call was lost"
        assert set(calls) <= self.asked_for(self.made), "a call that was none"
