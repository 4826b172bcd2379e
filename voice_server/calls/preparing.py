"""The reply is thought of while the user may still go on. Pure.

In the pause after some words it is likely that they were the last. The dialogue is then asked in
secret (`Prepare`): if they were, the reply has begun before the pause was over and before the
recogniser was sure; if not, it is forgotten, and nothing of it was told to anybody.

    words unchanged for `prepare_ms`, in a pause as long ─► Prepare, once
    words known, while a filler is said to who spoke     ─► Prepare, once
    they change, or will not be answered                 ─► Prepare of nothing

Prepared is only what would be answered without being asked for again: not while the words sound
unfinished, not under push-to-talk, and not where the engine answers sound and not words.
"""

from __future__ import annotations

from engines.speech import Prepare

from . import events as ev
from .floor import Floor
from .phases import NEVER_MS, Phase
from .reply import Prepared
from .words import alike, sounds_unfinished

# How many utterances' words may still change.
_AWAITED = {Phase.HEARING: 0, Phase.TRANSCRIBING: 1, Phase.CHALLENGED: 0}

def due_ms(floor: Floor) -> int:
    """When time alone makes it worth while to prepare a reply."""
    if floor.phase is not Phase.TRANSCRIBING or floor.prepared or not _words(floor):
        return NEVER_MS
    return floor.ear.partial_ms + floor.rules.prepare_ms


def keep(floor: Floor) -> None:
    """Something has happened: forget what was prepared in vain, and prepare what is due."""
    prepared, turn = floor.prepared, floor.ear
    if prepared is None and floor.phase not in _AWAITED:
        return  # Asked after every frame of sound.
    words = _words(floor)
    if prepared and not (
        words and prepared.turn == turn.number and alike(prepared.words, words)
    ):
        floor.prepared = None
        if not floor.open.replying:  # Otherwise the engine has been told what became of it.
            floor.do(Prepare(prepared.turn, ()))
    if words and floor.prepared is None and _is_due(floor):
        floor.prepared = Prepared(turn.number, words)
        asked = turn.asked or ev.Asked()
        floor.do(Prepare(turn.number, floor.history_for(asked, words), asked.settings))


def _words(floor: Floor) -> str:
    """The words that will be answered if the user says no more; empty: none will be."""
    rules, turn = floor.rules, floor.ear
    filled = floor.phase is Phase.CHALLENGED
    if not rules.prepare_ms or turn.deaf or turn.awaited != _AWAITED.get(floor.phase):
        return ""
    if filled != floor.open.filler or not (filled or turn.partial):
        return ""
    if not rules.answers or rules.endpointing.manual or rules.answers_sound:
        return ""
    # What was added meanwhile will stand between these words and the answer.
    return "" if floor.later or turn.unwanted else turn.user


def _is_due(floor: Floor) -> bool:
    rules, turn = floor.rules, floor.ear
    if floor.phase is Phase.CHALLENGED:
        return True
    if floor.now_ms < turn.partial_ms + rules.prepare_ms:
        return False
    if floor.phase is Phase.TRANSCRIBING:
        return True
    if floor.patience.expects_more:
        return False
    unfinished = sounds_unfinished(turn.user, punctuated=floor.punctuated)
    pause_ms = rules.endpointing.pause_ms if unfinished else rules.prepare_ms
    return floor.endpointer.silence_ms >= pause_ms
