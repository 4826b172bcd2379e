"""What an engine says of the reply that has the floor. Pure."""

from __future__ import annotations

from engines.speech import (
    Event,
    ReplyAudio,
    ReplyBegun,
    ReplyCall,
    ReplyDone,
    ReplyText,
    ReplyWord,
)

from . import events as ev
from .floor import Floor


def take(floor: Floor, event: Event | ev.Played) -> None:
    """The next of the reply, or of what is known of it."""
    turn, reply, marks = floor.open, floor.open.reply, floor.open.marks
    match event:
        case ReplyAudio():
            floor.speak(event)
        case ev.Played(_, played_ms):
            floor.played(played_ms)
        case ReplyBegun():
            marks.token_ms = floor.now_ms
        case ReplyText(_, text) if reply.add_text(text):
            if marks.sentence_ms is None:
                marks.sentence_ms = floor.now_ms
            floor.grow()
            floor.do(ev.ReplySaid(turn.number, text))
        case ReplyCall(_, piece) if reply.add_call(piece):
            floor.grow()
            floor.do(ev.Called(turn.number, piece))
        case ReplyText() | ReplyCall():
            floor.fail("the reply is too long")
        case ReplyWord(_, word):
            reply.add_word(word)
        case ReplyDone(_, hangs_up, cut) if not reply.made:
            reply.made, reply.hangs_up, reply.cut = True, hangs_up, cut
            floor.do(ev.ReplyMade(turn.number, cut))
            floor.finish_if_played()
