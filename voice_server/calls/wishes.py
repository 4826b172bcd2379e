"""What a client asks of a call besides being heard: words, replies, an end to them. Pure."""

from __future__ import annotations

from engines.speech import Note

from . import events as ev
from .floor import Floor
from .memory import Kept
from .phases import NEVER_MS, Phase


def obey(floor: Floor, wish: ev.Wish) -> None:
    """Do it, or answer why it cannot be done now."""
    if _is_from_the_user(wish):
        floor.idle_prompts, floor.idle_prompt_at_ms = 0, NEVER_MS
    match wish:
        case ev.Typed(text, answer) if text.strip():
            _type(floor, text.strip(), answer)
        case ev.Added(item_id, entry, after):
            floor.add(Kept(item_id, entry), after)
        case ev.Recorded():
            _take_recording(floor, wish)
        case ev.Forgotten(source):
            floor.forget(source)
            if isinstance(source, str):
                floor.recordings.forget(source)
                answer_recording(floor)
        case ev.Asked(aside=True):
            _ask_aside(floor, wish)
        case ev.Asked():
            _ask(floor, wish)
        case ev.Stopped(turn):
            _stop(floor, turn)
        case ev.Truncated(turn, heard_ms):
            _truncate(floor, turn, heard_ms)


def _is_from_the_user(wish: ev.Wish) -> bool:
    """Whether somebody is there. What else a client wishes it may wish by itself."""
    match wish:
        case ev.Added(_, Note("user")) | ev.Typed() | ev.Recorded():
            return True
    return False


def _type(floor: Floor, text: str, answer: bool) -> None:
    if not answer:
        floor.add(Kept("", Note("user", text)), None)
        return
    floor.take("client_cancelled")
    floor.begin_turn()
    floor.open.said.append(text)
    floor.respond()


def _take_recording(floor: Floor, recorded: ev.Recorded) -> None:
    """Its place in the conversation is settled now, and its words come later."""
    if floor.recordings.full:
        floor.do(ev.RecordingHeard(recorded.item_id, "", "too many recordings at once"))
        return
    floor.add(Kept(recorded.item_id, Note("user", recorded.written)), recorded.after)
    floor.recordings.begin(
        floor.next_number(), recorded.item_id, recorded.written, recorded.frames, floor.now_ms
    )


def answer_recording(floor: Floor) -> None:
    """All words are known: who waited for them is answered."""
    asked = floor.recordings.asked
    if asked is not None and not floor.recordings.awaited:
        floor.recordings.asked = None
        _ask(floor, asked)


def _ask(floor: Floor, asked: ev.Asked) -> None:
    if floor.recordings.awaited and asked.context is None:
        if floor.recordings.asked is None:
            floor.recordings.asked = asked
        else:
            floor.do(ev.Refused("response_active", asked.tag))
        return
    if floor.phase is Phase.LISTENING:
        floor.begin_turn()
        floor.open.asked = asked
        floor.respond()
    elif floor.open.asked or floor.ear.asked or floor.answering:
        floor.do(ev.Refused("response_active", asked.tag))
    elif floor.phase is Phase.TRANSCRIBING and floor.rules.answers_sound:
        floor.open.asked = asked
        floor.respond()
    else:  # Once the words have come, or the sound of what is made or a notice has ended.
        floor.open.asked = asked
        floor.open.waits_since_ms = max(floor.open.waits_since_ms, floor.now_ms)


def _ask_aside(floor: Floor, asked: ev.Asked) -> None:
    """Beside the conversation if it is only read; what is heard needs the floor."""
    speaks = (asked.settings or floor.settings).speaks
    if speaks and floor.phase is not Phase.LISTENING:
        floor.do(ev.Refused("response_active", asked.tag))
    elif speaks:
        floor.begin_turn()
        floor.open.asked, floor.open.aside = asked, True
        floor.respond()
    elif floor.asides.full:
        floor.do(ev.Refused("asides_full", asked.tag))
    else:
        history = floor.history_aside(asked)
        ends_ms = floor.now_ms + floor.rules.thinking_ms_max
        floor.asides.begin(floor.next_number(), asked, history, ends_ms)


def _stop(floor: Floor, turn: int | None) -> None:
    if turn is not None and turn in floor.asides:
        floor.asides.stop(turn)
        return
    wanted = turn is None or turn == floor.open.number
    if wanted and floor.open.replying and not floor.parting:
        floor.end_reply("cancelled", "client_cancelled")
        floor.leave_floor()
    else:
        floor.do(ev.Refused("response_not_active"))


def _truncate(floor: Floor, turn: int, heard_ms: int) -> None:
    reply = floor.open.reply
    if turn == floor.open.number and floor.open.replying and reply.sound_ms:
        reply.truncate(heard_ms)
        floor.end_reply("cancelled", "client_cancelled")
        floor.leave_floor()
    if past := floor.memory.turn(turn):
        past.reply.truncate(heard_ms)
        floor.do(ev.ReplyCut(turn, past.reply.heard()))


def prompt_idle(floor: Floor, sound_in_ms: int) -> None:
    """Nobody has spoken since the last reply: the agent speaks again."""
    floor.idle_prompt_at_ms = NEVER_MS
    if not floor.prompts_idle:  # The rules have changed meanwhile.
        return
    floor.idle_prompts += 1
    floor.begin_turn()
    start_ms = max(sound_in_ms - floor.rules.idle_prompt_ms, 0)
    floor.do(ev.IdleTimedOut(floor.open.number, start_ms, sound_in_ms))
    floor.respond()
