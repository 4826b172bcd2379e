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
from .phases import Phase


def take(floor: Floor, event: Event | ev.Played) -> None:
    """The next of the reply, or of what is known of it."""
    turn, reply, marks = floor.open, floor.open.reply, floor.open.marks
    match event:
        case ReplyAudio():
            _sound(floor, event)
        case ev.Played(_, played_ms):
            _play(floor, played_ms)
        case ReplyBegun():
            marks.token_ms = floor.now_ms
        case ReplyText(_, text, filler) if reply.add_text(text, filler=filler):
            if marks.sentence_ms is None and not filler:
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


def _sound(floor: Floor, event: ReplyAudio) -> None:
    turn, reply, rules = floor.open, floor.open.reply, floor.rules
    if not reply.sound_ms and floor.phase is Phase.THINKING:
        floor.enter(Phase.SPEAKING, 0)
    reply.add_sound(floor.now_ms if floor.paused_at_ms is None else floor.paused_at_ms)
    if turn.marks.audio_ms is None and reply.answer_at_ms is not None:
        turn.marks.audio_ms = floor.now_ms
    patience_ms = rules.filler_ms if turn.filler else rules.thinking_ms_max
    played_out_ms = reply.sound_ends_ms + rules.playout_slack_ms
    floor.reply_lasts_until(max(floor.now_ms + patience_ms, played_out_ms))
    floor.do(ev.Play(turn.number, event.frame))


def _play(floor: Floor, played_ms: int) -> None:
    turn = floor.open
    if not (turn.replying and turn.reply.sound_ms):
        return
    turn.reply.play(played_ms)
    _time(floor)
    chars = turn.reply.begun_chars()
    if chars > turn.reply.told_chars:
        turn.reply.told_chars = chars
        floor.do(ev.ReplyHeard(turn.number, chars))
    floor.finish_if_played()


def _time(floor: Floor) -> None:
    """Note when the silence ended and, once the answer itself is heard, tell where it went."""
    turn, reply = floor.open, floor.open.reply
    answer_at_ms, began_ms = reply.answer_at_ms, floor.now_ms - reply.played_ms
    timed = floor.challenger if turn.filler else turn
    if timed is None or timed.timed or (turn.notice and not turn.filler):
        return
    if timed.marks.filled_ms is None and reply.played_ms and (turn.filler or answer_at_ms != 0):
        timed.marks.filled_ms = began_ms
    if turn.filler or answer_at_ms is None or reply.played_ms < answer_at_ms:
        return
    turn.timed = True
    floor.do(turn.marks.latency(turn.number, began_ms + answer_at_ms))
