"""One call on a vendor's speech-to-speech sessions, and on a cascade where there is none. Pure.

The call gives commands; the vendor's connection (a link) gives events; so do the cascade and the
clock. What is to be done comes back as actions, in order.

    opening ──ready──► current ──lost──► opening ──failed──► down: the cascade talks
                         ▲  │                                  │
                         │  └── too old ► spare ── idle ──┐    └── now and then ► spare ── idle ──┐
                         └────────────────────────────────┴───────────────────────────────────────┘

What a link was told can be told to another: the conversation as text (`Mirror`), and as sound
what was said and is not answered yet (`Utterances`). So between turns a link is exchanged and
nobody hears it, and one that is lost before it has answered costs a moment. A reply that breaks
off in the midst has failed. Where no link can be had the cascade answers: it is told the words,
and so it waits for them.

`clock`: milliseconds that never run backwards, given with whatever happens.
"""

from __future__ import annotations

from ..speech import (
    Cancel,
    Command,
    Configure,
    EndUtterance,
    EngineFailed,
    EngineSettings,
    Event,
    Fill,
    Hear,
    PcmFrame,
    Prepare,
    ReplyDone,
    Respond,
    Say,
    Transcribe,
    Transcribed,
)
from . import realtime_events
from .realtime_answer import Answer, Told, text_in
from .realtime_fillers import Fillers
from .realtime_lines import (
    RETRY_MS,
    WORDS_SHARE,
    Action,
    Append,
    Ask,
    Close,
    Hush,
    Lines,
    Link,
)
from .realtime_reply import InStep
from .realtime_requests import Terms, speed_of, voice_of

NEVER_MS = 1 << 62
STALLED = "the speech model fell silent"


class RealtimeCall:
    def __init__(self, terms: Terms, settings: EngineSettings) -> None:
        self._lines = Lines(terms, settings)
        # Turns that the cascade speaks, or hears for somebody else.
        self._said_aside: set[int] = set()
        self._recorded: set[int] = set()
        self._fillers = Fillers()

    # What happens.

    def begin(self, now_ms: int) -> list[Action]:
        lines = self._at(now_ms)
        lines.open_spare()
        return self._done()

    def command(self, command: Command, now_ms: int) -> list[Action]:
        lines = self._at(now_ms)
        match command:
            case Hear(turn, frame):
                self._hear(turn, frame)
            case EndUtterance(turn):
                self._end_utterance(turn)
            case Respond(turn, history, own, apart):
                settings = own or lines.settings
                step = InStep(speed_of(settings))
                answer = Answer(
                    turn, "", history, settings, own is not None, apart, now_ms, step=step
                )
                lines.begin(answer)
            case Say(turn, text):
                if lines.link is not None:
                    lines.send(lines.mirror.say_aside(text, turn))
                self._said_aside.add(turn)
                lines.do(Ask(command))
            case Transcribe(turn):
                self._recorded.add(turn)
                lines.do(Ask(command))
            case Cancel(turn, heard_ms):
                self._cancel(turn, heard_ms)
            case Configure(settings):
                self._configure(settings)
            case Fill(turn, text):
                waiting = lines.answers.get(turn)
                if waiting is not None and waiting.asked_aside:
                    lines.do(Ask(command))
                elif waiting is not None:
                    lines.actions += self._fillers.begin(turn, text, waiting.step.sound_ms)
            case Prepare():
                pass  # It thinks of nothing before it is asked.
        return self._done()

    def opened(self, link: int, now_ms: int) -> list[Action]:
        """The link is there; nothing was said on it."""
        lines = self._at(now_ms)
        if lines.spare is not None and lines.spare.number == link:
            lines.greet(lines.spare)
        return self._done()

    def received(self, link: int, event: Told, now_ms: int) -> list[Action]:
        lines = self._at(now_ms)
        spare, kind = lines.spare, text_in(event, "type")
        if lines.link is not None and lines.link.number == link:
            realtime_events.receive(lines, event)
        elif spare is not None and spare.number == link and kind == "session.updated":
            spare.ready = True
        elif spare is not None and spare.number == link and kind == "error":
            self._lose_spare(spare, 0)
        lines.exchange_if_idle()
        return self._done()

    def lost(self, link: int, reason: str, now_ms: int, retry_after_ms: int = 0) -> list[Action]:
        """The link is gone, or could not be had."""
        lines = self._at(now_ms)
        if lines.link is not None and lines.link.number == link:
            lines.lose(reason)
        elif lines.spare is not None and lines.spare.number == link:
            lines.spare = None
            self._without_spare(retry_after_ms)
        return self._done()

    def aside(self, event: Event, now_ms: int) -> list[Action]:
        """The cascade answers. Sound and words of its replies are told as they are."""
        lines = self._at(now_ms)
        if self._fillers.is_of(event) and not self._hears_aside(event):
            return self._fillers.take(event)
        if event.turn in self._recorded:
            lines.tell(event)
            if isinstance(event, Transcribed) and event.transcript.final:
                self._recorded.discard(event.turn)
        elif isinstance(event, Transcribed):
            self._heard_aside(event)
        elif isinstance(event, EngineFailed):
            self._failed_aside(event)
        else:
            lines.tell(event)
            if isinstance(event, ReplyDone):
                self._said_aside.discard(event.turn)
                lines.answers.pop(event.turn, None)
        lines.exchange_if_idle()
        return self._done()

    def tick(self, now_ms: int) -> list[Action]:
        """Time has passed."""
        lines = self._at(now_ms)
        spare = lines.spare
        if spare is not None and not spare.ready and now_ms >= spare.ready_by_ms:
            self._lose_spare(spare, 0)
        if any(now_ms >= self._patient_until_ms(each) for each in lines.making.values()):
            self._stall()
        for utterance in lines.utterances:
            if utterance.ended_ms is not None and now_ms >= self._words_by_ms(utterance.ended_ms):
                lines.hear_aside(utterance)
        if lines.spare is None and now_ms >= self._renewal_ms():
            lines.open_spare()
        lines.exchange_if_idle()
        return self._done()

    def deadline_ms(self) -> int:
        """When to call `tick` if nothing else happens first."""
        lines = self._lines
        due = [self._patient_until_ms(each) for each in lines.making.values()]
        due += [self._words_by_ms(each.ended_ms or 0) for each in lines.utterances
                if not each.aside]  # fmt: skip
        if lines.spare is None:
            due.append(self._renewal_ms())
        elif not lines.spare.ready:
            due.append(lines.spare.ready_by_ms)
        return min(due, default=NEVER_MS)

    def _at(self, now_ms: int) -> Lines:
        self._lines.now_ms = now_ms
        return self._lines

    def _done(self) -> list[Action]:
        actions, self._lines.actions = self._lines.actions, []
        return self._fillers.hold(actions)

    # The user.

    def _hear(self, turn: int, frame: PcmFrame) -> None:
        lines = self._lines
        utterance = lines.utterances.hear(turn, frame)
        if len(utterance.frames) == 1 and lines.down:
            utterance.aside = utterance.live = True
        if utterance.live:
            lines.do(Ask(Hear(turn, frame)))
        elif lines.link is not None:
            lines.do(Append(lines.link.number, frame))

    def _end_utterance(self, turn: int) -> None:
        lines = self._lines
        utterance, padding = lines.utterances.end(turn, lines.now_ms)
        if utterance is None:
            return
        if utterance.live:
            lines.do(Ask(EndUtterance(turn)))
        elif lines.link is not None:
            for frame in padding:
                lines.do(Append(lines.link.number, frame))
            lines.commit(utterance)
        elif lines.down:
            lines.hear_aside(utterance)

    def _cancel(self, turn: int, heard_ms: int) -> None:
        lines = self._lines
        heard_ms = self._fillers.own_ms(turn, heard_ms)
        self._fillers.leave(turn)
        lines.do(Hush(turn))
        gone = lines.utterances.abandon(turn)
        if gone is not None and gone.live:
            lines.do(Ask(Cancel(turn, 0)))
        elif gone is not None:
            lines.send({"type": "input_audio_buffer.clear"})
        if turn not in lines.answered:
            lines.forget_words(turn)
        answer = lines.answers.pop(turn, None)
        if turn in self._said_aside or (answer is not None and answer.asked_aside):
            self._said_aside.discard(turn)
            lines.do(Ask(Cancel(turn, heard_ms)))
        making = answer is not None and answer.ask in lines.making
        if answer is not None and making:
            answer.over, answer.heard_ms = True, heard_ms
            if answer.response_id:
                lines.send({"type": "response.cancel", "response_id": answer.response_id})
        lines.trim(turn, heard_ms, making=making)
        lines.exchange_if_idle()

    def _configure(self, settings: EngineSettings) -> None:
        lines = self._lines
        lines.settings = settings
        lines.do(Ask(Configure(settings)))
        if lines.link is not None:
            lines.configure(lines.link)
        if lines.spare is not None and lines.spare.opened_ms:
            lines.configure(lines.spare)
        elif lines.spare is None and self._needs_another_voice(lines.link):
            lines.open_spare()

    def _needs_another_voice(self, link: Link | None) -> bool:
        lines = self._lines
        voice = voice_of(lines.settings, lines.terms)
        return link is not None and link.voiced and link.voice != voice

    # The cascade.

    def _hears_aside(self, event: Event) -> bool:
        """Whether it is a recogniser that failed, and not the voice that says a filler."""
        failed = isinstance(event, EngineFailed)
        return failed and self._lines.utterances.of_aside(event.turn) is not None

    def _heard_aside(self, event: Transcribed) -> None:
        lines = self._lines
        utterance = lines.utterances.of_aside(event.turn)
        if utterance is None:
            return
        if event.transcript.final:
            lines.settle(utterance, event.transcript.text)
        elif utterance.live:
            lines.tell(event)

    def _failed_aside(self, event: EngineFailed) -> None:
        lines = self._lines
        answer = lines.answers.get(event.turn)
        utterance = lines.utterances.of_aside(event.turn)
        waits = answer is not None and answer.by_aside
        if event.turn in self._said_aside or (answer is not None and answer.asked_aside):
            self._said_aside.discard(event.turn)
            lines.answers.pop(event.turn, None)
            lines.tell(event)
        elif utterance is not None and event.turn in lines.answered and not waits:
            lines.settle(utterance, "")  # It is answered, or was, all the same.
        elif utterance is not None:
            lines.utterances.forget(event.turn)
            lines.utterances.abandon(event.turn)
            lines.answers.pop(event.turn, None)
            lines.tell(event)

    # Links and time.

    def _lose_spare(self, spare: Link, retry_after_ms: int) -> None:
        self._lines.do(Close(spare.number))
        self._lines.spare = None
        self._without_spare(retry_after_ms)

    def _without_spare(self, retry_after_ms: int) -> None:
        lines = self._lines
        if lines.link is None:
            lines.losses += 1
            lines.go_down(retry_after_ms)
        else:
            lines.retry_ms = lines.now_ms + max(RETRY_MS, retry_after_ms)

    def _stall(self) -> None:
        lines = self._lines
        if lines.link is not None:
            lines.do(Close(lines.link.number))
            lines.lose(STALLED, hopeless=True)

    def _patient_until_ms(self, answer: Answer) -> int:
        return answer.news_ms + self._lines.terms.patience_ms

    def _words_by_ms(self, ended_ms: int) -> int:
        return ended_ms + int(self._lines.terms.patience_ms * WORDS_SHARE)

    def _renewal_ms(self) -> int:
        """When another link is to be opened, where none is being opened yet."""
        lines = self._lines
        if lines.link is None:
            return lines.retry_ms if lines.down else NEVER_MS
        return max(lines.link.opened_ms + lines.terms.session_ms_max, lines.retry_ms)
