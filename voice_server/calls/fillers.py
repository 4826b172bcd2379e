"""Nobody who waits for a reply is left in silence: fillers, and in the end an apology. Pure.

A filler is said once the silence has lasted for `filler_ms`: since the user's last sound, or the
last sound of a reply that has not come to its end.

    words awaited ─► a notice beside the turn, which waits for its words as a challenger does,
                     and is told when they are given up
    reply awaited ─► a piece of that reply's sound: its text is told, and the memory leaves it out
    none is left  ─► the reply has failed, and who waits is told so

Who only reads, who asked beside the conversation and who hears a notice is not kept company.
"""

from __future__ import annotations

from engines.speech import Fill

from .floor import Floor
from .phases import NEVER_MS, Phase
from .reply import OpenTurn

# A pause before the endpoint that is longer than this was for the user to think, by the rules.
PAUSE_HEEDED_MS = 1_200


def waits_since(turn: OpenTurn, now_ms: int, *, manual: bool) -> int:
    """From when on the silence counts for whoever has just finished speaking."""
    return now_ms if manual else max(turn.marks.speech_ended_ms, now_ms - PAUSE_HEEDED_MS)


def due_ms(floor: Floor) -> int:
    """When something must be said."""
    rules, turn = floor.rules, floor.open
    if not (rules.filler_ms and rules.notices.fillers):
        return NEVER_MS
    match floor.phase:
        case Phase.TRANSCRIBING:
            waits = turn.fillers < len(rules.notices.fillers) and _owes_sound(floor)
        case Phase.THINKING | Phase.SPEAKING:
            waits = _keeps_waiting(floor)
        case _:
            waits = False
    if not waits:
        return NEVER_MS
    quiet_since_ms = max(turn.waits_since_ms, turn.reply.sound_ends_ms, turn.filled_at_ms)
    return quiet_since_ms + rules.filler_ms


def fill(floor: Floor) -> None:
    """It is due: break the silence."""
    turn, texts = floor.open, floor.rules.notices.fillers
    if turn.fillers >= len(texts):
        floor.fail_to_reply()
        return
    text = texts[turn.fillers]
    turn.fillers, turn.filled_at_ms = turn.fillers + 1, floor.now_ms
    if floor.phase is Phase.TRANSCRIBING:
        _say_beside(floor, text)
    else:
        floor.do(Fill(turn.number, text))


def _owes_sound(floor: Floor) -> bool:
    """Whether the words that are awaited will be answered aloud."""
    turn = floor.open
    settings = turn.asked.settings if turn.asked and turn.asked.settings else floor.settings
    speaks = settings.speaks and floor.settings.speaks
    return speaks and floor.wants_reply(turn) and turn.awaited > turn.unwanted


def _keeps_waiting(floor: Floor) -> bool:
    """Whether more sound of this reply is to come. What is written of the call of a tool while
    nothing can be said any more is waited for as long as it grows."""
    turn, reply = floor.open, floor.open.reply
    if not turn.replying or reply.made or not reply.speaks or turn.notice or turn.aside:
        return False
    return not (reply.calls and turn.fillers >= len(floor.rules.notices.fillers))


def _say_beside(floor: Floor, text: str) -> None:
    """The turn that waits for its words goes on waiting while this is said."""
    waiting, ends_ms = floor.open, floor.phase_ends_ms
    if not waiting.user:
        ends_ms = waiting.marks.endpoint_ms + floor.rules.wordless_ms_max
    floor.begin_notice(text, waited=True)
    floor.open.filler = True
    floor.challenger = waiting
    floor.enter(Phase.CHALLENGED, 0)
    floor.phase_ends_ms = ends_ms
    floor.reply_ends_ms = floor.now_ms + floor.rules.filler_ms
