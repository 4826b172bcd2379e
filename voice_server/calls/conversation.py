"""Who has the floor.

A call is one pure state machine. It owns no socket, no task and no clock: whatever happened
is passed to `receive()` together with the time, and what must now be done comes back as a
list of actions. The shell performs them in order, then waits for the next event or for
`deadline_ms()`, whichever is sooner.

    LISTENING ──onset──► HEARING ──endpoint──► TRANSCRIBING ──final──► THINKING
        ▲                  ▲ ▲                      │                     │
        │                  │ └──────── speaks on ───┘                first sound
        │                  └── words came ── CHALLENGED ◄──barge-in──┐    ▼
        └───────────────────── played out ──────│─────────────────── SPEAKING
                                                └── a cough ───────────►┘

A turn is one or more utterances and at most one reply. Speaking on before the words are known
continues the turn; speaking on after a reply was asked for begins the next turn, which
inherits the words. Speaking over a reply opens a challenger: the reply pauses, and only the
challenger's words (or its insistence) take the floor; a cough gives it back.

Rule 1: every engine event carries its turn; an event of any other turn is dropped.
        A late answer can therefore never reach the listener.
Rule 2: nothing waits. A wait is a phase with a deadline.
Rule 3: `Closed` is the last action, and it is issued once.
Rule 4: every `ReplyStarted` is followed by exactly one `ReplyFinished`.
"""

from __future__ import annotations

from collections import deque

from engines.speech import (
    PCM_FRAME_MS,
    Configure,
    EndUtterance,
    EngineFailed,
    Event,
    PcmFrame,
    Transcribed,
    Turn,
)

from . import events as ev
from . import fillers, preparing, replies, wishes
from .allowance import Due
from .endpointing import Edge
from .floor import Floor
from .phases import NEVER_MS, Phase
from .reply import OpenTurn
from .rules import Interruption, Rules
from .words import is_backchannel, sounds_unfinished

# A "yes" said this close to the end of a reply answers it; before that it is a nod.
NODS_UNTIL_LEFT_MS = 1_500
COMMIT_MS_MIN = 96  # A tenth of a second, in whole frames.
WARNING_TRUE_ABOVE_MS = 45_000  # With less left, "one minute" would be a lie.


class Conversation:
    """Everything that decides in one call. Feed it what happens; do what it returns."""

    def __init__(self, rules: Rules, *, now_ms: int) -> None:
        self._floor = Floor(rules, now_ms=now_ms)
        self._rules = rules
        self._roll: deque[PcmFrame] = deque(maxlen=rules.endpointing.kept_frames)
        self._sound_in_ms = 0

    # The way in and the way out.

    def receive(self, event: ev.Input, now_ms: int) -> list[ev.Action]:
        """Take one event; return everything that must now be done, in order."""
        floor = self._floor
        assert now_ms >= floor.now_ms, "time runs backwards"
        floor.now_ms = now_ms
        if floor.phase is not Phase.CLOSED:
            self._keep_time()
        if floor.phase is not Phase.CLOSED:
            self._dispatch(event)
        if floor.phase is not Phase.CLOSED:
            self._keep_phase()
        if floor.phase is not Phase.CLOSED:
            preparing.keep(floor)
        actions, floor.actions = floor.actions, []
        return actions

    def deadline_ms(self) -> int | None:
        """When to call `receive(Tick())` if nothing else happens first."""
        floor = self._floor
        if floor.phase is Phase.CLOSED:
            return None
        due_ms = floor.phase_ends_ms
        if floor.phase is Phase.CHALLENGED and floor.paused_at_ms is None:
            due_ms = min(due_ms, floor.reply_ends_ms)
        if floor.phase is Phase.LISTENING:
            due_ms = min(due_ms, floor.idle_prompt_at_ms)
        due_ms = min(due_ms, fillers.due_ms(floor), preparing.due_ms(floor))
        due_ms = min(due_ms, floor.asides.deadline_ms, floor.recordings.deadline_ms)
        due_ms = min(due_ms, floor.late_words.deadline_ms)
        allowance_ms = floor.allowance.deadline_ms()
        return due_ms if allowance_ms is None else min(due_ms, allowance_ms)

    @property
    def phase(self) -> Phase:
        return self._floor.phase

    @property
    def turn(self) -> int:
        """The number of the turn that has the floor."""
        return self._floor.open.number

    @property
    def history(self) -> list[Turn]:
        return self._floor.history

    @property
    def unheard_ms(self) -> int:
        """How much of the reply has been made and not been heard."""
        reply = self._floor.open.reply
        return reply.sound_ms - reply.played_ms

    def elapsed_ms(self, now_ms: int) -> int:
        """How long media has flowed, within the allowance; 0 before it did."""
        return self._floor.allowance.elapsed_ms(now_ms)

    @property
    def connected(self) -> bool:
        """Whether media ever flowed; only then is there something to bill."""
        return self._floor.allowance.began

    def _dispatch(self, event: ev.Input) -> None:
        floor = self._floor
        match event:
            case ev.HungUp(reason):
                floor.close(reason)
            case ev.Connected():
                self._connected()
            case ev.RulesChanged(rules):
                self._change_rules(rules)
            case ev.SettingsChanged(settings):
                floor.settings = settings
                floor.do(Configure(settings))
            case ev.Allowed(call_ms_max):
                floor.allowance.extend(call_ms_max)
            case ev.EndWithin(left_ms, reason):
                self._end_within(left_ms, reason)
            case ev.Added() | ev.Recorded() | ev.Forgotten():
                wishes.obey(floor, event)
            case _ if floor.phase is Phase.CONNECTING:
                pass  # Sound before the bill starts is not ours to hear.
            case ev.Heard():
                self._heard(event)
            case ev.TurnJudged():
                if floor.patience.ends(event, floor.ear):
                    self._end_utterance()
            case ev.Committed():
                self._committed()
            case ev.Cleared():
                self._cleared()
            case ev.Typed() | ev.Asked() | ev.Stopped() | ev.Truncated():
                wishes.obey(floor, event)
            case ev.Tick():
                pass
            case Transcribed(turn) | EngineFailed(turn) if turn in floor.late_words:
                floor.late_words.receive(event)
            case _ if event.turn == floor.open.number:
                self._answered(event)
            case _ if floor.challenger and event.turn == floor.challenger.number:
                self._challenger_answered(floor.challenger, event)
            case _ if event.turn in floor.asides and not isinstance(event, ev.Played):
                floor.asides.receive(event, floor.now_ms + self._rules.thinking_ms_max)
            case _ if event.turn in floor.recordings and not isinstance(event, ev.Played):
                floor.recordings.receive(event)
                wishes.answer_recording(floor)

    # Time.

    def _keep_time(self) -> None:
        allowance, now_ms = self._floor.allowance, self._floor.now_ms
        due_ms = allowance.deadline_ms()
        if due_ms is None or now_ms < due_ms:
            return
        for due in allowance.due(now_ms):
            match due:
                case Due.MINUTE:
                    self._floor.do(ev.MinuteElapsed(allowance.minutes))
                case Due.WARNING:
                    self._warn(allowance.left_ms(now_ms))
                case Due.FAREWELL:
                    self._bid_farewell()
                case Due.END:
                    self._floor.close(allowance.end_reason)

    def _keep_phase(self) -> None:
        """No phase outlives its deadline."""
        floor = self._floor
        if floor.now_ms >= floor.asides.deadline_ms:
            floor.asides.keep_time(floor.now_ms)
        if floor.now_ms >= floor.late_words.deadline_ms:
            floor.late_words.keep_time(floor.now_ms)
        if floor.now_ms >= floor.recordings.deadline_ms:
            floor.recordings.keep_time(floor.now_ms)
            wishes.answer_recording(floor)
        plays_on = floor.phase is Phase.CHALLENGED and floor.paused_at_ms is None
        if plays_on and floor.now_ms >= floor.reply_ends_ms:
            self._reply_overdue()
        elif floor.now_ms >= floor.phase_ends_ms:
            self._phase_overdue()
        elif floor.phase is Phase.LISTENING and floor.now_ms >= floor.idle_prompt_at_ms:
            wishes.prompt_idle(floor, self._sound_in_ms)
        elif floor.now_ms >= fillers.due_ms(floor):
            fillers.fill(floor)

    def _phase_overdue(self) -> None:
        match self._floor.phase:
            case Phase.CONNECTING:
                self._floor.close("never_connected")
            case Phase.LISTENING:
                self._floor.close("idle")
            case Phase.HEARING if self._rules.endpointing.manual:
                self._floor.close("idle")  # The key was never let go of.
            case Phase.HEARING:  # The microphone fell silent without a word.
                self._end_utterance()
            case Phase.TRANSCRIBING:
                self._floor.words_overdue()
            case Phase.THINKING | Phase.SPEAKING:
                self._reply_overdue()
            case Phase.CHALLENGED:
                self._challenge_overdue()

    def _reply_overdue(self) -> None:
        reply = self._floor.open.reply
        if reply.made:
            self._floor.finish_reply()
        else:
            self._floor.fail_to_reply()

    def _end_within(self, left_ms: int, reason: str) -> None:
        floor = self._floor
        if floor.phase is Phase.CONNECTING:
            floor.close(reason)
        else:
            floor.allowance.shorten(left_ms, floor.now_ms, reason)
            self._keep_time()

    def _warn(self, left_ms: int) -> None:
        rules, true = self._rules, left_ms > WARNING_TRUE_ABOVE_MS
        self._floor.do(ev.EndingSoon(left_ms))
        notices = rules.notices
        self._floor.notice = notices.warning if true else notices.warning_short
        self._floor.say_notice()

    def _bid_farewell(self) -> None:
        """The end is near enough: whoever has the floor, the agent says goodbye."""
        floor = self._floor
        notices, spent = self._rules.notices, floor.allowance.end_reason == "allowance_spent"
        farewell = notices.farewell if spent else notices.stopping
        if farewell and not floor.parting:
            floor.take("turn_detected")
            floor.notice, floor.parting = farewell, True
            floor.listen()

    # The user.

    def _connected(self) -> None:
        floor = self._floor
        if floor.phase is not Phase.CONNECTING:
            return
        floor.allowance.begin(floor.now_ms)
        if self._rules.greets:
            floor.begin_turn()
            floor.respond()
        else:
            floor.enter(Phase.LISTENING, self._rules.idle_ms_max)
        self._keep_time()

    def _change_rules(self, rules: Rules) -> None:
        self._rules = self._floor.rules = rules
        self._floor.endpointer.rules = rules.endpointing
        self._roll = deque(self._roll, maxlen=rules.endpointing.kept_frames)

    def _heard(self, event: ev.Heard) -> None:
        floor, rules = self._floor, self._rules.endpointing
        self._roll.append(event.frame)
        self._sound_in_ms += PCM_FRAME_MS
        if floor.parting:
            return
        if rules.manual and floor.phase not in (Phase.LISTENING, Phase.HEARING):
            return  # Push-to-talk keeps the sound until somebody commits it.
        edge = floor.endpointer.hear(
            event.speech,
            onset_ms=rules.barge_in_ms if self._sounds else rules.onset_ms,
            pause_ms=floor.patience.pause_ms(
                unfinished=self._unfinished(), has_floor=floor.phase is Phase.HEARING
            ),
        )
        if edge is Edge.ONSET:
            self._begin_utterance(rules.pre_roll_ms + floor.endpointer.utterance_ms)
        elif floor.endpointer.speaking or edge is Edge.ENDPOINT:
            if not floor.ear.deaf:
                floor.hear(event.frame)
            floor.phase_ends_ms = floor.now_ms + self._rules.silence_ms_max
            if edge is Edge.ENDPOINT:
                self._end_utterance()
                return
            self._insist()
            if (question := floor.patience.question(floor.ear)) is not None:
                floor.do(question)

    @property
    def _sounds(self) -> bool:
        """Whether the caller's own loudspeaker may be what is heard."""
        return self._floor.phase is Phase.SPEAKING or self._floor.open.filler

    def _unfinished(self) -> bool:
        return sounds_unfinished(self._floor.ear.user, punctuated=self._floor.punctuated)

    def _begin_utterance(self, roll_ms: int) -> None:
        """The user takes the floor, or challenges the reply that has it."""
        floor = self._floor
        frames = list(self._roll)[-(roll_ms // PCM_FRAME_MS) :]
        self._roll.clear()
        start_ms = self._sound_in_ms - len(frames) * PCM_FRAME_MS
        floor.idle_prompts = 0
        if floor.open.filler and floor.challenger:  # Who is still speaking needs no company.
            floor.yield_to_challenger()
        match floor.phase:
            case Phase.THINKING | Phase.SPEAKING if self._challengeable():
                pauses = self._rules.interruption is Interruption.RESUMES
                floor.challenge(start_ms, pauses=pauses)
            case Phase.THINKING | Phase.SPEAKING:
                self._interrupt(start_ms)
            case Phase.CHALLENGED:
                floor.do(ev.SpeechStarted(floor.ear.number, start_ms))
            case _:
                if floor.phase is Phase.LISTENING:
                    floor.begin_turn()
                floor.do(ev.SpeechStarted(floor.open.number, start_ms))
                if floor.phase is not Phase.HEARING:
                    floor.enter(Phase.HEARING, 0)
        floor.phase_ends_ms = floor.now_ms + self._rules.silence_ms_max
        for frame in frames:
            floor.hear(frame)

    def _challengeable(self) -> bool:
        match self._rules.interruption:
            case Interruption.WAITS:
                return True
            case Interruption.RESUMES:
                return self._floor.phase is Phase.SPEAKING
            case Interruption.CANCELS:
                return False

    def _interrupt(self, start_ms: int) -> None:
        """The reply ends here. One that was not heard yet answered too early: its question
        goes on in the new turn, and a notice that was not heard is said later."""
        floor, old = self._floor, self._floor.open
        unheard = floor.phase is Phase.THINKING and not old.reply.heard(fillers=False)
        number = floor.next_number()
        floor.do(ev.SpeechStarted(number, start_ms))
        floor.end_reply("cancelled", "turn_detected")
        if unheard and old.notice:
            floor.notice = floor.notice or old.reply.text
        goes_on = unheard and old.user and not old.late
        if not goes_on:
            floor.remember()
        said = [old.user] if goes_on else []
        earlier = (*old.earlier, old.number) if said else ()
        floor.open = OpenTurn(number, said=said, asked=old.asked, earlier=earlier)
        floor.enter(Phase.HEARING, 0)

    def _end_utterance(self) -> None:
        floor, turn = self._floor, self._floor.ear
        silence_ms = floor.endpointer.silence_ms
        floor.endpointer.reset()
        self._roll.clear()  # No sound is heard twice.
        floor.do(ev.SpeechStopped(turn.number, self._sound_in_ms - silence_ms))
        turn.awaited += 1
        if turn.deaf:
            floor.give_up_words(turn)
            return
        turn.marks.speech_ended_ms = floor.now_ms - silence_ms
        turn.marks.endpoint_ms = turn.marks.words_ms = floor.now_ms
        manual = self._rules.endpointing.manual
        turn.waits_since_ms = fillers.waits_since(turn, floor.now_ms, manual=manual)
        floor.do(EndUtterance(turn.number))
        if floor.phase is Phase.CHALLENGED:
            paused = floor.paused_at_ms is not None
            wait_ms = self._rules.resume_ms if paused else self._rules.transcribing_ms_max
            floor.phase_ends_ms = floor.now_ms + wait_ms
        elif self._rules.answers_sound and floor.wants_reply(turn):
            turn.unasked = turn.asked is None
            floor.respond()
        else:
            floor.enter(Phase.TRANSCRIBING, self._rules.transcribing_ms_max)

    def _committed(self) -> None:
        if self._floor.endpointer.speaking:
            self._end_utterance()
        elif len(self._roll) * PCM_FRAME_MS < COMMIT_MS_MIN:
            self._floor.do(ev.Refused("commit_empty"))
        else:
            self._commit_roll()

    def _commit_roll(self) -> None:
        """All that was kept is an utterance, although nobody noticed it begin."""
        floor, roll_ms = self._floor, len(self._roll) * PCM_FRAME_MS
        if floor.phase in (Phase.THINKING, Phase.SPEAKING):
            floor.challenge(self._sound_in_ms - roll_ms, pauses=False)
            for frame in self._roll:
                floor.hear(frame)
            self._roll.clear()
        else:
            self._begin_utterance(roll_ms)
        self._end_utterance()

    def _cleared(self) -> None:
        floor = self._floor
        self._roll.clear()
        if floor.endpointer.speaking and floor.challenger:
            floor.dismiss_challenger()
        elif floor.endpointer.speaking:
            floor.abandon_utterance()
            floor.listen()

    # The challenger.

    def _insist(self) -> None:
        floor = self._floor
        if floor.phase is not Phase.CHALLENGED or floor.paused_at_ms is None or floor.ear.deaf:
            return
        if floor.endpointer.utterance_ms - floor.endpointer.silence_ms >= self._rules.insist_ms:
            floor.yield_to_challenger()

    def _challenger_answered(self, challenger: OpenTurn, event: Event | ev.Played) -> None:
        match event:
            case Transcribed(_, transcript):
                self._floor.take_words(challenger, transcript)
                self._judge(challenger)
            case EngineFailed(_, reason):
                challenger.deaf = reason
                if not self._floor.endpointer.speaking:
                    self._floor.give_up_words(challenger)

    def _judge(self, challenger: OpenTurn) -> None:
        """Do these words take the floor, give it back, or wait for more?"""
        floor, words = self._floor, challenger.user
        paused = floor.paused_at_ms is not None
        may_nod = self.unheard_ms > NODS_UNTIL_LEFT_MS or not floor.open.reply.made
        if paused and words and not (may_nod and is_backchannel(words)):
            floor.yield_to_challenger()
        elif challenger.awaited or floor.endpointer.speaking:
            return
        elif paused or not words:
            floor.dismiss_challenger()
        else:
            floor.phase_ends_ms = NEVER_MS  # Its words wait until the reply is over.

    def _challenge_overdue(self) -> None:
        floor, challenger = self._floor, self._floor.challenger
        assert challenger is not None
        if floor.endpointer.speaking:
            self._end_utterance()
        elif floor.paused_at_ms is not None:
            floor.dismiss_challenger()
        else:
            floor.settle_words(challenger)
            self._judge(challenger)

    # The engine.

    def _answered(self, event: Event | ev.Played) -> None:
        """An answer to the turn that has the floor; any other was dropped above."""
        floor, turn = self._floor, self._floor.open
        match event:
            case Transcribed(_, transcript):
                floor.take_words(turn, transcript)
                if floor.phase is Phase.TRANSCRIBING and not turn.awaited:
                    floor.respond_or_listen()
                elif floor.phase is Phase.THINKING and turn.was_noise:
                    floor.end_reply("cancelled", "turn_detected")
                    floor.listen()
            case EngineFailed(_, reason) if floor.phase is Phase.HEARING:
                turn.deaf = reason
            case EngineFailed(_, reason) if floor.phase is not Phase.LISTENING:
                floor.fail(reason)
            case _ if turn.replying:
                replies.take(floor, event)
