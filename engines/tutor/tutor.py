"""The scripted tutor: a small real lesson that needs no key and no network.

It keeps nothing between turns. Where the lesson stands is worked out afresh from the history,
by replaying it: each past turn says what the learner said and how much of the reply was
heard, and *what was not heard did not happen*. So an interrupted question has not been asked,
an unheard explanation can be finished, and the same history always gives the same reply.

    FRESH ──greeting──► READY ──► ASKED ──an answer──► CONFIRMING ──► ASKED … ──► DONE
                                    ▲  no, say it again ──┘  explains, asks the next question

Rules:
1. Nobody is graded. The recogniser is weak, so the tutor says back what it heard, asks
   whether that is right, and then gives its own answer, in words that fit any.
2. Every step ends after a few tries, whatever is heard: no sentence is said for ever.
3. A reply is short sentences, the first the shortest, so that the sound can start early.
4. A client's tools come first: what they are asked for and what they answered is seen to
   before the lesson, which does not notice.
5. A turn whose reply is not ours (the server's own warning, another engine's words, a
   history that lost its beginning) changes nothing, unless it asks one of our questions.

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from ..speech import DialogueOutput, EngineSettings, Entry, Expect, HangUp, Pace, Turn
from .lesson_en import ENGLISH
from .lesson_ru import RUSSIAN
from .lessons import Intent, Script, Step
from .matching import alike, clip, fit, named, place_of, words_of
from .offline_tools import tool_turn, without_tools

SCRIPTS = {"en": ENGLISH, "ru": RUSSIAN}
PACES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3)
PACE_NORMAL = 4  # The index of 1.0.
PACE_STEP = 2
TRIES_MAX = 3
CUTS_MAX = 3
CHARS_HEEDED = 400  # Of what the learner said: half a minute of speech.


class Phase(enum.Enum):
    FRESH = "fresh"
    READY = "ready"
    ASKED = "asked"
    CONFIRMING = "confirming"
    DONE = "done"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the lesson stands.

    `heard`: the answer to be confirmed. `tries`: answers of this step that led nowhere.
    `said`: what "repeat" repeats; `unheard`: what was cut off the last reply. `cuts`: replies
    interrupted in a row. `turns`: replies so far, to vary the wording. `pace` indexes PACES."""

    phase: Phase = Phase.FRESH
    step: int = 0
    heard: str = ""
    tries: int = 0
    said: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    cuts: int = 0
    turns: int = 0
    pace: int = PACE_NORMAL


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say, and where the lesson stands once all of it has been heard. `lead` is the
    opening that is not worth repeating."""

    after: Standing
    lead: tuple[str, ...]
    body: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return self.lead + self.body


@dataclass(frozen=True, slots=True)
class Said:
    """What the learner said last, and what seems to be meant by it."""

    text: str
    words: tuple[str, ...]
    intent: Intent | None


class Tutor:
    """A `Dialogue`. Speaks Russian to a Russian setting and English to any other."""

    async def respond(
        self, history: Sequence[Entry], settings: EngineSettings
    ) -> AsyncGenerator[DialogueOutput, None]:
        tools = tool_turn(history, settings)
        for first in tools.outputs:
            yield first
        if tools.goes_on:
            for output in reply_to(without_tools(history), settings.language):
                yield output


def reply_to(history: Sequence[Turn], language: str) -> tuple[DialogueOutput, ...]:
    """The reply to the last turn of the history; an empty history counts as a greeting.

    The words come as one string for each sentence, to be joined as they are."""
    lesson = Lesson(SCRIPTS.get(language.casefold()[:2], ENGLISH))
    standing = Standing()
    for turn in history[:-1]:
        standing = lesson.after(standing, turn)
    reply = lesson.answer(standing, history[-1].user if history else "")
    outputs: list[DialogueOutput] = []
    if reply.after.pace != PACE_NORMAL:
        outputs.append(Pace(PACES[reply.after.pace]))
    *most, last = reply.sentences
    outputs += [*(f"{sentence} " for sentence in most), last]
    if reply.after.phase is Phase.GONE:
        return (*outputs, HangUp())
    expected = lesson.expected(reply.after)
    return (*outputs, Expect(expected)) if expected else tuple(outputs)


class Lesson:
    """One script, and what is said at each place of it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lines = script.lines

    # The past.

    def after(self, before: Standing, turn: Turn) -> Standing:
        """Where the lesson stands after a past turn."""
        reply = self.answer(before, turn.user)
        ours, heard = words_of(" ".join(reply.sentences)), words_of(turn.agent)
        # Pace, and that a turn has passed, hold even when nothing of the reply was heard.
        unmoved = replace(before, pace=reply.after.pace, turns=before.turns + 1)
        if not heard:
            return replace(unmoved, cuts=before.cuts + 1)
        if not _begins_alike(ours, heard):
            return self._asked_in(turn.agent, unmoved)
        unheard = _unheard(reply.sentences, len(heard)) if len(heard) < len(ours) else ()
        if not unheard:
            return reply.after
        if reply.after.phase is Phase.GONE:  # The learner spoke into the farewell, and stays.
            return replace(unmoved, cuts=before.cuts + 1)
        return replace(reply.after, said=reply.body, unheard=unheard, cuts=before.cuts + 1)

    def _asked_in(self, agent: str, unmoved: Standing) -> Standing:
        """Pick up the lesson from somebody's words that hold one of its questions."""
        words = " ".join(words_of(agent))
        for script in SCRIPTS.values():
            for index, step in enumerate(script.steps):
                if " ".join(words_of(step.ask)) in words:
                    return replace(
                        unmoved, phase=Phase.ASKED, step=index, heard="", tries=0, unheard=(),
                        said=(*self._script.steps[index].teach, self._script.steps[index].ask),
                    )  # fmt: skip
        return unmoved

    # The present.

    def expected(self, standing: Standing) -> tuple[str, ...]:
        """What the next answer is likely to be; empty where any sentence will do."""
        controls = self._script.controls
        match standing.phase:
            case Phase.ASKED | Phase.CONFIRMING:
                choices = self._step(standing).choices
                open_question = standing.phase is Phase.ASKED and not choices
                return () if open_question else (*choices, *controls)
            case Phase.READY | Phase.DONE:
                return controls
            case _:
                return ()

    def answer(self, standing: Standing, user: str) -> Reply:
        """The reply to what the learner said last."""
        words = words_of(user[:CHARS_HEEDED])
        now = replace(standing, turns=standing.turns + 1)
        if now.phase is Phase.GONE:
            return Reply(now, (), (self._lines.gone,))
        if meaning := self._meaning(words):
            return self._aside(now, meaning)
        said = Said(user, words, self._intent(now, words))
        reply = self._obey(now, said.intent) if said.intent else None
        return reply or self._take(now, said)

    def _intent(self, standing: Standing, words: Sequence[str]) -> Intent | None:
        """What the learner wants, unless it is one of the answers to choose from."""
        if not words:
            return None
        asked = standing.phase is Phase.ASKED
        if asked and self._is_choice(standing, words):
            return None
        fits = {intent: fit(said, words) for intent, said in self._script.intents.items()}
        meant = max(fits, key=lambda intent: fits[intent])
        if fits[meant]:
            return meant
        for intent in (Intent.NO, Intent.YES):  # "Yes, that is what I meant to say."
            if words[0] in self._script.intents[intent] and len(words) <= 8:
                return intent
        return None

    def _is_choice(self, standing: Standing, words: Sequence[str]) -> bool:
        return bool(named(self._step(standing).choices, words))

    def _meaning(self, words: Sequence[str]) -> str | None:
        """The answer to a question about a word of the trade, such as "what is a verb"."""
        if len(words) > 12:
            return None
        asks = [words_of(phrase) for phrase in self._script.asks_meaning]
        at = [place for ask in asks if (place := place_of(ask, words)) is not None]
        if not at:
            return None
        about = words[min(at) :]
        for term in self._script.terms:
            if any(place_of(words_of(name), about) is not None for name in term.names):
                return term.meaning
        return None

    # Wishes, which may be spoken at any time.

    def _obey(self, now: Standing, intent: Intent) -> Reply | None:
        """The reply to a wish; None when the words are an answer rather than a wish."""
        lines = self._lines
        match intent:
            case Intent.GOODBYE:
                return Reply(replace(now, phase=Phase.GONE, unheard=()), (), lines.goodbye)
            case Intent.WHO:
                return self._aside(now, *lines.who)
            case Intent.WHERE:
                return self._aside(now, self._where(now))
            case Intent.WELLBEING:
                return self._aside(now, lines.wellbeing)
            case Intent.HELP:
                return self._aside(now, *lines.help)
            case Intent.THANKS:
                return self._aside(now, lines.welcome)
            case Intent.HELLO if now.phase is not Phase.FRESH:
                return self._aside(now, lines.hello)
            case Intent.SLOWER | Intent.FASTER | Intent.NORMAL:
                return self._change_pace(now, intent)
            case Intent.RESTART:
                return self._teach(now, 0, lines.restart)
            case Intent.REPEAT if now.said:
                return self._plain(now, (_turned(lines.repeat, now),), now.said)
            case Intent.WAIT if now.phase is not Phase.FRESH:
                return self._wait(now)
            case Intent.CONTINUE if now.unheard:
                return self._resume(replace(now, cuts=0), ())
            case Intent.CONTINUE | Intent.SKIP | Intent.UNSURE:
                return self._move_on(now, intent)
            case Intent.HINT | Intent.EXAMPLE:
                return self._assist(now, intent)
            case _:
                return None

    def _change_pace(self, now: Standing, intent: Intent) -> Reply:
        lines, last = self._lines, len(PACES) - 1
        match intent:
            case Intent.SLOWER:
                pace, lead = max(0, now.pace - PACE_STEP), lines.slower
                lead = lines.slowest if now.pace == 0 else lead
            case Intent.FASTER:
                pace, lead = min(last, now.pace + PACE_STEP), lines.faster
                lead = lines.fastest if now.pace == last else lead
            case _:
                pace, lead = PACE_NORMAL, lines.normal
        changed = replace(now, pace=pace)
        if now.phase is Phase.FRESH:
            return self._greet(changed, lead)
        return self._plain(changed, (lead,), now.said or self._question(now))

    def _wait(self, now: Standing) -> Reply:
        """Hold the floor open, and keep what was unheard for later."""
        lines = self._lines
        hold = lines.stopped if now.unheard else _turned(lines.take_your_time, now)
        return Reply(replace(now, cuts=0), (hold,), ())

    def _move_on(self, now: Standing, intent: Intent) -> Reply | None:
        lead = self._lines.unsure if intent is Intent.UNSURE else self._lines.skip
        if now.phase in (Phase.ASKED, Phase.CONFIRMING):
            return self._explain(now, _turned(lead, now))
        return self._teach(now, 0, self._lines.begin) if now.phase is Phase.READY else None

    def _assist(self, now: Standing, intent: Intent) -> Reply | None:
        if now.phase is Phase.CONFIRMING and intent is Intent.HINT:
            return self._aside(now, self._lines.no_hint)
        if now.phase not in (Phase.ASKED, Phase.CONFIRMING):
            return None
        step = self._step(now)
        return self._aside(now, step.hint if intent is Intent.HINT else step.example)

    def _where(self, now: Standing) -> str:
        steps = len(self._script.steps)
        match now.phase:
            case Phase.FRESH | Phase.READY:
                return self._lines.where_ready.format(steps=steps)
            case Phase.DONE:
                return self._lines.where_done.format(steps=steps)
            case _:
                name = self._step(now).name
                return self._lines.where.format(step=now.step + 1, steps=steps, name=name)

    # Answers, one method for each phase.

    def _take(self, now: Standing, said: Said) -> Reply:
        match now.phase:
            case Phase.FRESH:
                return self._greet(now)
            case Phase.READY:
                return self._take_ready(now, said)
            case Phase.ASKED:
                return self._take_choice(now, said)
            case Phase.CONFIRMING:
                return self._take_confirmation(now, said)
            case _:
                return self._take_done(now, said)

    def _take_ready(self, now: Standing, said: Said) -> Reply:
        if now.unheard and said.intent is not Intent.YES:
            return self._resume(now, self._echo(now, said))
        if said.intent is Intent.NO:
            return self._plain(now, (_turned(self._lines.no_hurry, now),), (self._script.ready,))
        if not said.words and not now.tries:
            lead = _turned(self._lines.nothing_heard, now)
            return self._plain(replace(now, tries=1), (lead,), (self._script.ready,))
        return self._teach(now, 0, *self._echo(now, said), self._lines.begin)

    def _take_choice(self, now: Standing, said: Said) -> Reply:
        step = self._step(now)
        chosen = named(step.choices, said.words)
        if len(chosen) == 1:
            return self._confirm(now, chosen[0])
        if now.unheard and not chosen:
            return self._resume(now, self._echo(now, said))
        if said.words and not step.choices and said.intent is None:
            return self._confirm(now, clip(said.text))
        if now.tries + 1 >= TRIES_MAX:
            return self._explain(now, *self._echo(now, said), self._never_mind(now))
        tried = replace(now, tries=now.tries + 1)
        if chosen:
            opening = (self._lines.heard_two.format(self._quoted(*chosen)),)
            return self._plain(tried, opening, (self._lines.which,))
        return self._steer(tried, said)

    def _steer(self, tried: Standing, said: Said) -> Reply:
        """Back to the question, in other words than the last time."""
        step, lines = self._step(tried), self._lines
        if not said.words:
            return self._plain(tried, (_turned(lines.nothing_heard, tried),), (step.ask,))
        aid = _turned(lines.unsure_of_it, tried) if tried.tries == 1 else step.hint
        offer = lines.choose.format(self._script.offered(step.choices)) if step.choices else ""
        return self._plain(tried, self._echo(tried, said), (aid, offer or step.ask))

    def _take_confirmation(self, now: Standing, said: Said) -> Reply:
        chosen = named(self._step(now).choices, said.words)
        if len(chosen) == 1 and chosen[0] != now.heard:  # "No, I said bridge."
            corrected = self._lines.heard[0].format(self._quoted(chosen[0]))
            return self._explain(now, corrected)
        if said.intent is Intent.YES or chosen:
            return self._explain(now, _turned(self._lines.thanks_for_answer, now))
        if now.unheard and said.intent is not Intent.NO:
            return self._resume(now, self._echo(now, said))
        if now.tries + 1 < TRIES_MAX and (said.intent is Intent.NO or not said.words):
            return self._ask_again(replace(now, tries=now.tries + 1), said)
        return self._explain(now, *self._echo(now, said), self._never_mind(now))

    def _ask_again(self, tried: Standing, said: Said) -> Reply:
        if not said.words:
            lead = _turned(self._lines.nothing_heard, tried)
            return self._plain(tried, (lead,), self._question(tried))
        asked = replace(tried, phase=Phase.ASKED, heard="")
        return self._plain(asked, (_turned(self._lines.say_again, tried),), self._question(asked))

    def _take_done(self, now: Standing, said: Said) -> Reply:
        if now.unheard and said.intent not in (Intent.YES, Intent.NO):
            return self._resume(now, self._echo(now, said))
        if said.intent is Intent.YES:
            return self._teach(now, 0, self._lines.restart)
        if said.intent is Intent.NO:
            return self._plain(now, (), (self._lines.done_no,))
        heard = self._echo(now, said) or (_turned(self._lines.nothing_heard, now),)
        return self._plain(now, heard, (_turned(self._script.facts, now), self._script.once_more))

    # Replies.

    def _greet(self, now: Standing, *lead: str) -> Reply:
        ready = replace(now, phase=Phase.READY)
        return self._plain(ready, lead, (*self._script.greeting, self._script.ready))

    def _teach(self, now: Standing, index: int, *lead: str) -> Reply:
        """Begin a step, or close the lesson after the last one."""
        fresh = replace(now, heard="", tries=0)
        if index == len(self._script.steps):
            body = (*self._script.closing, self._script.once_more)
            return self._plain(replace(fresh, phase=Phase.DONE), lead, body)
        step = self._script.steps[index]
        asked = replace(fresh, phase=Phase.ASKED, step=index)
        return self._plain(asked, lead, (*step.teach, step.ask))

    def _confirm(self, now: Standing, heard: str) -> Reply:
        asked = replace(now, phase=Phase.CONFIRMING, heard=heard)
        return self._plain(asked, (), self._question(asked))

    def _explain(self, now: Standing, *lead: str) -> Reply:
        """The tutor's own answer, right whatever the learner's was, and the next question."""
        step = self._step(now)
        mine = (_turned(self._lines.my_answer, now),) if step.choices else ()
        following = self._teach(now, now.step + 1)
        # Heard to its end, only the new question is worth repeating; `after` sees to the rest.
        return Reply(following.after, lead, (*mine, *step.explain, *following.body))

    def _aside(self, now: Standing, *words: str) -> Reply:
        """A short answer to something else, and back to where we were."""
        if now.phase is Phase.FRESH:
            return self._greet(now, *words)
        back = now.unheard or self._question(now)
        return self._plain(now, words, back)

    def _resume(self, now: Standing, lead: tuple[str, ...]) -> Reply:
        """Go on with what was not heard, from the sentence in which it was cut."""
        if now.cuts >= CUTS_MAX:  # Somebody keeps talking: let them.
            return Reply(replace(now, cuts=0), (*lead, self._lines.not_again), ())
        opening = _turned(self._lines.resume, now)
        return Reply(replace(now, unheard=(), cuts=0), (*lead, opening), now.unheard)

    def _plain(self, after: Standing, lead: tuple[str, ...], body: tuple[str, ...]) -> Reply:
        return Reply(replace(after, said=body, unheard=(), cuts=0), lead, body)

    # Pieces.

    def _step(self, standing: Standing) -> Step:
        return self._script.steps[standing.step]

    def _question(self, standing: Standing) -> tuple[str, ...]:
        """The question that is open, alone."""
        match standing.phase:
            case Phase.ASKED:
                return (self._step(standing).ask,)
            case Phase.CONFIRMING:
                heard = self._lines.heard[standing.step % len(self._lines.heard)]
                confirm = self._lines.confirm[standing.step % len(self._lines.confirm)]
                return (heard.format(self._quoted(standing.heard)), confirm)
            case Phase.DONE:
                return (self._script.once_more,)
            case _:
                return (self._script.ready,)

    def _echo(self, now: Standing, said: Said) -> tuple[str, ...]:
        """What was heard, said back; nothing where the words were understood."""
        if not said.words or said.intent is not None:
            return ()
        return (_turned(self._lines.heard, now).format(self._quoted(clip(said.text))),)

    def _quoted(self, *words: str) -> str:
        return ", ".join(self._script.quoted(word) for word in words)

    def _never_mind(self, now: Standing) -> str:
        return _turned(self._lines.never_mind, now)


def _turned(wordings: Sequence[str], now: Standing) -> str:
    """One of the wordings, another one each turn."""
    return wordings[now.turns % len(wordings)]


def _begins_alike(ours: Sequence[str], heard: Sequence[str]) -> bool:
    """Whether what was heard is our reply or its beginning. The last word may be torn, and
    more may follow: the server's own warning is appended to a reply."""
    size = min(len(ours), len(heard))
    whole = size - 1 if len(heard) <= len(ours) and size > 1 else size
    if tuple(ours[:whole]) != tuple(heard[:whole]):
        return False
    torn, meant = heard[size - 1], ours[size - 1]
    return whole == size or meant.startswith(torn) or alike(meant, torn)


def _unheard(sentences: Sequence[str], words_heard: int) -> tuple[str, ...]:
    """The sentences from the one in which the sound was cut."""
    for index, sentence in enumerate(sentences):
        words_heard -= len(words_of(sentence))
        if words_heard < 0:
            return tuple(sentences[index:])
    return ()
