"""The floor: which turn has it, which turn wants it, and how it passes on. Pure.

`Floor` holds the state of a call's turns and the moves that change it; `Conversation` decides
when to make them. Every move appends the actions it costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from engines.speech import (
    Cancel,
    EngineSettings,
    Entry,
    Hear,
    Note,
    PcmFrame,
    Respond,
    Say,
    Transcript,
    Turn,
)

from . import events as ev
from .allowance import Allowance
from .asides import Asides
from .endpointing import Endpointer
from .late_words import LateWords
from .memory import Kept, Memory, fold
from .patience import Patience
from .phases import NEVER_MS, NEXT, Phase
from .recordings import Recordings
from .reply import OpenTurn, PastTurn, Prepared, Reply
from .rules import Rules
from .words import is_backchannel, is_punctuated

LATER_MAX = 64
# A user who says nothing is spoken to so often, and then left in peace.
IDLE_PROMPTS_MAX = 3


class Floor:
    def __init__(self, rules: Rules, *, now_ms: int) -> None:
        self.rules = rules
        self.now_ms = now_ms
        self.phase = Phase.CONNECTING
        self.phase_ends_ms = now_ms + rules.connect_ms_max
        self.reply_ends_ms = NEVER_MS
        self.endpointer = Endpointer(rules.endpointing)
        self.patience = Patience(self.endpointer)
        self.allowance = Allowance(rules)
        self.open = OpenTurn(0)
        self.challenger: OpenTurn | None = None
        self.paused_at_ms: int | None = None
        self.prepared: Prepared | None = None
        self.memory = Memory()
        # What the client adds while a turn is open stands behind that turn.
        self.later: list[Kept] = []
        self.asides = Asides(self.do)
        self.recordings = Recordings(self.do, self.amend)
        self.late_words = LateWords(self.do)
        self.settings = EngineSettings()
        self.idle_prompt_at_ms = NEVER_MS
        self.idle_prompts = 0
        # The last reply asked for a tool; until that answers, the silence is not the user's.
        self.awaits_tool = False
        self.notice = ""
        self.parting = False
        # Whether the recogniser of this call sets sentence ends while there is speech.
        self.punctuated = False
        self.actions: list[ev.Action] = []
        self._last_turn = 0

    def do(self, action: ev.Action) -> None:
        self.actions.append(action)

    def enter(self, phase: Phase, lasts_ms: int) -> None:
        assert phase in NEXT[self.phase], f"{self.phase} cannot become {phase}"
        self.phase = phase
        self.phase_ends_ms = self.now_ms + lasts_ms

    def hear(self, frame: PcmFrame) -> None:
        """A frame of the utterance that is being spoken."""
        self.do(Hear(self.ear.number, frame))
        self.patience.keep(self.ear.number, frame)

    @property
    def ear(self) -> OpenTurn:
        """The turn to which the sound of the microphone belongs."""
        return self.challenger or self.open

    @property
    def answering(self) -> bool:
        """An answer is still being made. A notice is none: whoever asks is answered after it."""
        return self.open.replying and not self.open.reply.made and not self.open.notice

    @property
    def history(self) -> list[Turn]:
        return self.memory.turns()

    # Turns begin.

    def next_number(self) -> int:
        self._last_turn += 1
        return self._last_turn

    def begin_turn(self) -> None:
        self.remember()
        self.open = OpenTurn(self.next_number())

    def wants_reply(self, turn: OpenTurn) -> bool:
        return self.rules.answers or turn.asked is not None

    def respond_or_listen(self) -> None:
        if self.open.user and self.wants_reply(self.open):
            self.respond()
        else:  # A cough, or words that nobody is to answer yet.
            self.listen()

    def respond(self) -> None:
        """Ask the engine for the reply to all that was said and added up to now."""
        turn, asked = self.open, self.open.asked or ev.Asked()
        turn.asked = None
        if turn.user and self.later and not turn.awaited:
            self._set_words_apart()
        self._add_what_came_later()
        if not turn.marks.endpoint_ms:
            turn.marks.speech_ended_ms = turn.marks.endpoint_ms = turn.marks.words_ms = self.now_ms
            turn.waits_since_ms = self.now_ms
        # What was said last of the words may be said again of the answer.
        turn.fillers = min(turn.fillers, 1)
        turn.reply.speaks = (asked.settings or self.settings).speaks
        self._await_reply(asked.tag)
        history = self.history_for(asked, turn.user)
        self.do(Respond(turn.number, history, asked.settings, asked.apart))

    def _set_words_apart(self) -> None:
        """What the user said stands before what the client added behind it, and that before
        the reply to both."""
        turn = self.open
        self.memory.remember(PastTurn(turn.number, turn.user, Reply(), False, turn.earlier))
        turn.said, turn.partial, turn.earlier = [], "", ()

    def history_for(self, asked: ev.Asked, user: str) -> tuple[Entry, ...]:
        """What the engine is to answer: the conversation, or what the client gave instead."""
        return self._history(asked, user, ())

    def history_aside(self, asked: ev.Asked) -> tuple[Entry, ...]:
        """The same for a reply beside the conversation, which knows of what is going on now."""
        going_on = [kept.entry for kept in self.later]
        if self.challenger and self.open.filler:
            going_on.insert(0, self.challenger.going_on())
        elif not (self.open.notice or self.open.aside):
            going_on.insert(0, self.open.going_on())
        if self.challenger and not self.open.filler:
            going_on.append(self.challenger.going_on())
        return self._history(asked, "", going_on)

    def _history(
        self, asked: ev.Asked, user: str, going_on: Sequence[Entry]
    ) -> tuple[Entry, ...]:
        if asked.context is not None:
            return fold(asked.context, "")
        return self.memory.history(
            user, going_on, tokens_max=self.rules.context_tokens_max,
            share_kept=self.rules.context_share_kept,
        )  # fmt: skip

    def say_notice(self) -> None:
        """Speak on the server's behalf as soon as nobody else does."""
        if not self.notice or self.phase is not Phase.LISTENING:
            return
        text, self.notice = self.notice, ""
        self.begin_notice(text)

    def begin_notice(self, text: str, *, waited: bool = False) -> None:
        self.open = OpenTurn(self.next_number(), notice=True)
        self.open.reply.speaks = self.settings.speaks
        self._await_reply()
        self.do(Say(self.open.number, text, waited=waited))

    def _await_reply(self, tag: int = 0) -> None:
        self.open.replying = self.open.answered = True
        self.idle_prompt_at_ms = NEVER_MS
        self.enter(Phase.THINKING, self.rules.thinking_ms_max)
        self.reply_ends_ms = self.phase_ends_ms
        speaks = self.open.reply.speaks
        self.do(ev.ReplyStarted(self.open.number, self.open.notice, tag, speaks))

    # Words come.

    def take_words(self, turn: OpenTurn, transcript: Transcript) -> None:
        text = transcript.text.strip()
        if not turn.awaited:  # Some set sentence ends only once they have heard all of it.
            self.punctuated = self.punctuated or is_punctuated(text)
        if transcript.final and turn.awaited:
            turn.awaited -= 1
            turn.hear(text)
            if not turn.replying:  # Otherwise nobody waited for them.
                turn.marks.words_ms = self.now_ms
            self.do(ev.FinalText(turn.number, turn.user, text))
        elif not transcript.final and text != turn.partial and self._hears(turn):
            turn.partial, turn.partial_ms = text, self.now_ms
            self.do(ev.PartialText(turn.number, turn.user))

    def _hears(self, turn: OpenTurn) -> bool:
        """Whether words of this turn can still come."""
        return bool(turn.awaited) or (turn is self.ear and self.endpointer.speaking)

    def settle_words(self, turn: OpenTurn) -> None:
        """No more words will be waited for; a late final finds nobody waiting."""
        text = turn.partial
        turn.hear(text)
        for index in range(turn.awaited):
            self.do(ev.FinalText(turn.number, turn.user, "" if index else text))
        turn.awaited = turn.unwanted = 0
        turn.marks.words_ms = self.now_ms

    def words_overdue(self) -> None:
        """The final never came, and what we have will do. Where we have nothing, hurry serves
        nobody: a recogniser that is merely slow gets more time, and the user may speak on."""
        turn = self.open
        last_ms = turn.marks.endpoint_ms + self.rules.wordless_ms_max
        if self.now_ms < last_ms and not turn.user:
            self.phase_ends_ms = last_ms
            return
        if not (turn.user or turn.unwanted) and self.rules.answers:
            self.not_heard(turn)
        self.settle_words(turn)
        self.respond_or_listen()

    def not_heard(self, turn: OpenTurn) -> None:
        """Whoever spoke in this turn and waits for an answer is told that nothing was heard,
        unless there will be an answer all the same."""
        if not turn.asked:
            self.notice = self.notice or self.rules.notices.deaf

    # A reply sounds.

    def finish_if_played(self) -> None:
        reply = self.open.reply
        if not (reply.made and self.open.replying) or self.paused_at_ms is not None:
            return
        if reply.finished:
            self.finish_reply()
        else:
            left_ms = reply.sound_ms - reply.played_ms + self.rules.playout_slack_ms
            self.reply_lasts_until(self.now_ms + left_ms)

    def reply_lasts_until(self, ends_ms: int) -> None:
        self.reply_ends_ms = ends_ms
        if self.phase in (Phase.THINKING, Phase.SPEAKING):
            self.phase_ends_ms = ends_ms

    def grow(self) -> None:
        """Something of the reply came that is not heard; whoever makes it gets more time."""
        if not self.open.reply.sound_ms:
            self.reply_lasts_until(self.now_ms + self.rules.thinking_ms_max)

    # A reply ends.

    def finish_reply(self) -> None:
        """The reply was heard to its end."""
        reply = self.open.reply
        reply.played_ms = reply.sound_ms
        self.end_reply("completed", "")
        self._await_the_user()
        if self.parting and self.open.notice:
            self.close(self.allowance.end_reason)
        elif reply.hangs_up and not self.challenger:
            self.close("goodbye")
        else:
            self.leave_floor()

    def _await_the_user(self) -> None:
        if not self.open.notice:
            self.awaits_tool = bool(self.open.reply.asked_for)
        if self.prompts_idle and not self.awaits_tool:
            self.idle_prompt_at_ms = self.now_ms + self.rules.idle_prompt_ms

    @property
    def prompts_idle(self) -> bool:
        """Whether a user who says nothing is spoken to."""
        rules = self.rules
        wanted = rules.idle_prompt_ms and rules.answers and not rules.endpointing.manual
        return bool(wanted) and self.idle_prompts < IDLE_PROMPTS_MAX

    def fail_to_reply(self) -> None:
        """Whoever makes the reply has taken too long."""
        began = self.open.reply.answer_at_ms is not None
        self.fail("the reply broke off" if began else "the reply took too long")

    def fail(self, reason: str) -> None:
        """What the open turn asked for is lost; the user has the floor, and is told."""
        notices = self.rules.notices
        sorry = notices.apology if self.open.replying else notices.deaf
        self.do(ev.Failed(self.open.number, reason))
        self.end_reply("failed", reason)
        self.abandon_utterance()
        if not self.open.notice and not self.challenger:
            self.notice = self.notice or sorry
        self.leave_floor()

    def give_up_words(self, turn: OpenTurn) -> None:
        """Nobody could hear them. Said only now: who speaks is not spoken to."""
        if turn is self.challenger:
            self.do(ev.Failed(turn.number, turn.deaf))
            self.dismiss_challenger()
        else:
            self.fail(turn.deaf)

    def end_reply(self, status: str, reason: str) -> None:
        turn = self.open
        if not turn.replying:
            return
        turn.replying = False
        self.reply_ends_ms = NEVER_MS
        played_ms = turn.reply.played_ms
        if turn.marks.filled_ms is not None and not turn.timed:
            self.do(turn.marks.latency(turn.number, None))
        if status != "completed":
            if turn.reply.sound_ms:
                self.do(ev.Flush(turn.number))
            self.do(Cancel(turn.number, played_ms))
        heard = turn.reply.heard()
        self.do(ev.ReplyFinished(turn.number, status, reason, heard, played_ms))

    # The floor passes on.

    def take(self, reason: str) -> None:
        """Stop everybody, and remember what was said."""
        self._drop_challenger()
        self.paused_at_ms = None
        self.end_reply("cancelled", reason)
        if self.open.late:
            self.endpointer.reset()
        else:
            self.abandon_utterance()
        self.remember()

    def leave_floor(self) -> None:
        """The reply is over: the floor goes to the one who spoke over it, or to nobody."""
        if self.challenger:
            self.promote_challenger()
        else:
            self.listen()

    def listen(self) -> None:
        asked = self.open.asked
        self.remember()
        if self.phase is not Phase.LISTENING:
            self.enter(Phase.LISTENING, self.rules.idle_ms_max)
        if asked:  # Whoever asked is owed a reply, whatever became of the words.
            self.begin_turn()
            self.open.asked = asked
            self.respond()
        else:
            self.say_notice()

    def abandon_utterance(self) -> None:
        """The sound or the words of the open turn are no longer wanted."""
        if self.phase is Phase.HEARING or self.open.awaited:
            self.do(Cancel(self.open.number, 0))
            self.do(ev.SpeechDiscarded(self.open.number))
            self.open.awaited = 0
        if not self.challenger:
            self.endpointer.reset()

    def remember(self) -> None:
        """Move the open turn into the past. Notices are not part of the talk."""
        turn, reply = self.open, self.open.reply
        partial, turn.partial = turn.partial, ""
        said = turn.user or reply.heard(fillers=False) or reply.asked_for or turn.late
        if said and not (turn.notice or turn.aside):
            past = turn.past()
            self.memory.remember(past)
            if turn.late:
                ends_ms = self.now_ms + self.rules.wordless_ms_max
                self.late_words.wait_for(past, turn, partial, ends_ms)
            for source in turn.forgotten:
                self.memory.forget(source)
        self.open = OpenTurn(turn.number, notice=True)
        self._add_what_came_later()

    def add(self, kept: Kept, after: ev.Source | None) -> None:
        """Put it where the client wants it; behind everything where that place is unknown."""
        if after is not None and self.memory.add(kept, after):
            return
        turn, waiting = self.open, [each.item_id for each in self.later]
        if after in waiting:
            self.later.insert(waiting.index(str(after)) + 1, kept)
        elif turn.user or turn.awaited or turn.replying:
            self.later.append(kept)
        else:
            self.memory.add(kept)
        if len(self.later) > LATER_MAX:
            self._add_what_came_later()

    def amend(self, kept: Kept) -> None:
        """Put this in the place of what has its id; nothing, where that was taken out."""
        self.memory.amend(kept)
        self.later = [kept if each.item_id == kept.item_id else each for each in self.later]

    def forget(self, source: ev.Source) -> None:
        self.later = [kept for kept in self.later if kept.item_id != source]
        if self.late_words.forget(source):
            return
        if not self.memory.forget(source):
            for turn in filter(None, (self.open, self.challenger)):
                turn.forget(source)

    def _add_what_came_later(self) -> None:
        for kept in self.later:
            self.memory.add(kept)
        self.later.clear()

    def close(self, reason: str) -> None:
        self.take("client_cancelled")
        self.asides.close()
        self.recordings.close()
        self.late_words.close()
        duration_ms = self.allowance.elapsed_ms(self.now_ms)
        self.phase = Phase.CLOSED
        self.do(ev.Closed(reason, duration_ms, tuple(self.history)))

    # The challenger: someone speaks over the reply.

    def challenge(self, start_ms: int, *, pauses: bool) -> None:
        self.challenger = OpenTurn(self.next_number())
        self.do(ev.SpeechStarted(self.challenger.number, start_ms))
        if pauses:
            self.paused_at_ms = self.now_ms
            self.do(ev.Pause(self.open.number))
        self.enter(Phase.CHALLENGED, 0)

    def yield_to_challenger(self) -> None:
        self.end_reply("cancelled", "turn_detected")
        self.promote_challenger()

    def dismiss_challenger(self) -> None:
        """It was a cough or a nod: the reply goes on where it stopped."""
        if self.open.filler and self.challenger:
            self.open.asked = self.open.asked or self.challenger.asked
            self.not_heard(self.open)
        self._drop_challenger()
        reply = self.open.reply
        if self.paused_at_ms is not None:
            reply.sound_ends_ms += self.now_ms - self.paused_at_ms
            self.reply_ends_ms += self.now_ms - self.paused_at_ms
            self.paused_at_ms = None
            self.do(ev.Resume(self.open.number))
        self.enter(Phase.SPEAKING if reply.sound_ms else Phase.THINKING, 0)
        self.phase_ends_ms = self.reply_ends_ms
        self.finish_if_played()

    def promote_challenger(self) -> None:
        """The reply is over; the turn that spoke over it has the floor."""
        assert self.challenger is not None
        self.challenger.asked = self.challenger.asked or self.open.asked
        left_ms = self.rules.transcribing_ms_max
        if self.open.filler:
            left_ms = self._end_filler(self.challenger)
        else:
            free_ms = self.now_ms if self.paused_at_ms is None else self.paused_at_ms
            self.challenger.marks.not_before(free_ms)
            self.challenger.waits_since_ms = max(self.challenger.waits_since_ms, free_ms)
            self.remember()
        self.open, self.challenger = self.challenger, None
        self.paused_at_ms = None
        if self.endpointer.speaking:
            self.enter(Phase.HEARING, self.rules.silence_ms_max)
        elif self.open.awaited:
            self.enter(Phase.TRANSCRIBING, left_ms)
        else:
            self.respond_or_listen()

    def _end_filler(self, waiting: OpenTurn) -> int:
        """For how long this turn will still wait for its words. What a client added meanwhile
        stands behind them, so nothing is moved into the past."""
        if self.open.reply.sound_ms:
            waiting.waits_since_ms = self.now_ms
        rules = self.rules
        limit_ms = rules.transcribing_ms_max if waiting.user else rules.wordless_ms_max
        return max(0, waiting.marks.endpoint_ms + limit_ms - self.now_ms)

    def _drop_challenger(self) -> None:
        challenger, self.challenger = self.challenger, None
        if challenger is None:
            return
        if challenger.awaited or self.endpointer.speaking:
            self.do(Cancel(challenger.number, 0))
            self.do(ev.SpeechDiscarded(challenger.number))
        if not is_backchannel(words := " ".join(challenger.said)):
            self.later.append(Kept("", Note("user", words)))  # They were told, and not answered.
        self.endpointer.reset()
