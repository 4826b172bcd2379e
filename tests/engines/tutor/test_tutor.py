"""The lesson, played through; and what holds for any learner whatever."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from engines.speech import DialogueOutput, EngineSettings, Expect, HangUp, Pace, Turn
from engines.tutor.lesson_en import ENGLISH
from engines.tutor.lesson_ru import RUSSIAN
from engines.tutor.matching import words_of
from engines.tutor.tutor import CUTS_MAX, SCRIPTS, TRIES_MAX, Tutor, reply_to


class Learner:
    """Talks to the tutor and remembers what was heard of its replies."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self.history: list[Turn] = []
        self.outputs: tuple[DialogueOutput, ...] = ()

    def says(self, text: str, *, hears: int | None = None) -> str:
        """Hear the whole reply, or its first `hears` words before breaking in."""
        self.outputs = reply_to([*self.history, Turn(text, "")], self.language)
        reply = "".join(each for each in self.outputs if isinstance(each, str))
        heard = reply if hears is None else " ".join(reply.split()[:hears])
        self.history.append(Turn(text, heard, interrupted=hears is not None))
        return reply

    def reaches(self, *, step: int) -> Learner:
        self.says("")
        self.says("yes" if self.language == "en" else "да")
        for _ in range(step):
            self.says("skip" if self.language == "en" else "пропусти")
        return self

    @property
    def expected(self) -> tuple[str, ...]:
        return next((each.phrases for each in self.outputs if isinstance(each, Expect)), ())

    @property
    def pace(self) -> float:
        return next((each.speed for each in self.outputs if isinstance(each, Pace)), 1.0)

    @property
    def hangs_up(self) -> bool:
        return HangUp() in self.outputs


# The lesson, played through.


def test_the_english_lesson() -> None:
    learner = Learner()
    assert learner.says("") == " ".join((*ENGLISH.greeting, ENGLISH.ready))
    assert learner.says("yes") == (
        "Let us begin. First, nouns. A noun is a name: it names a person, a place or a thing. "
        "Listen: the old bridge is open. Which word is the noun: old, bridge or open?"
    )
    assert learner.expected == (*ENGLISH.steps[0].choices, *ENGLISH.controls)
    assert learner.says("the breach") == "I heard “bridge”. Did I get that right?"
    reply = learner.says("yes")
    assert "So bridge is the noun." in reply
    assert reply.endswith("Which word is the verb: children, sing or loudly?")
    assert learner.says("I think sing") == "I think you said “sing”. Was that it?"
    assert learner.says("no").endswith("Which word is the verb: children, sing or loudly?")
    assert learner.says("the children").startswith("I think you said “children”.")
    reply = learner.says("yes, I said children")
    assert "sing is the verb" in reply
    assert learner.says("yellow").startswith("What reached me was “yellow”.")
    assert learner.says("that's right").endswith(
        "Which word is the adverb: quietly, opened or door?"
    )
    assert learner.says("quietly").startswith("I heard “quietly”.")
    assert learner.says("yes").endswith("Is kindness a noun, a verb, an adjective or an adverb?")
    assert learner.says("a verb").startswith("I think you said “verb”.")
    assert learner.says("no, I said noun").startswith("I heard “noun”.")
    assert learner.expected == ()  # Any sentence will do: no few phrases to listen for.
    assert "“roses grow in the garden”" in learner.says("Roses grow in the garden.").casefold()
    assert learner.says("yes").endswith(ENGLISH.once_more)
    assert not learner.hangs_up
    assert learner.says("goodbye") == " ".join(ENGLISH.lines.goodbye)
    assert learner.hangs_up


def test_the_russian_lesson() -> None:
    learner = Learner("ru")
    assert learner.says("") == " ".join((*RUSSIAN.greeting, RUSSIAN.ready))
    assert learner.says("да").endswith(
        "Какое слово здесь существительное: старый, мост или открыт?"
    )
    assert learner.says("Мост!") == "Мне слышится: «мост». Всё верно?"
    reply = learner.says("да")
    assert "Значит, мост — существительное." in reply
    assert reply.endswith("Какое слово здесь глагол: дети, громко или поют?")
    assert "«поют»" in learner.says("по-моему, поют")
    assert learner.says("верно").endswith(RUSSIAN.steps[2].ask)
    assert "«жёлтый»" in learner.says("желтый")
    assert learner.says("да").endswith(RUSSIAN.steps[3].ask)
    assert learner.says("пока не знаю").endswith(RUSSIAN.steps[4].ask)
    assert "«существительное»" in learner.says("существительное")
    assert learner.says("да").endswith(RUSSIAN.steps[5].ask)
    assert "«в саду растут яблони»" in learner.says("В саду растут яблони.").casefold()
    assert learner.says("да").endswith(RUSSIAN.once_more)
    assert learner.says("до свидания") == " ".join(RUSSIAN.lines.goodbye)
    assert learner.hangs_up


async def test_respond_is_the_same_function() -> None:
    history = [Turn("", "Hello!"), Turn("yes", "")]
    outputs = [each async for each in Tutor().respond(history, EngineSettings(language="ru"))]
    assert tuple(outputs) == reply_to(history, "ru")


def test_other_languages_and_tags_find_a_script() -> None:
    assert reply_to([Turn("", "")], "ru-RU")[0] == "Здравствуйте! "
    assert reply_to([], "de")[0] == "Hello! "


def test_a_caller_who_speaks_first_is_answered() -> None:
    reply = Learner().says("What is a verb?")
    assert reply.startswith("A verb says what somebody does, or what happens.")
    assert reply.endswith("Are you ready?")


# Wishes.


def test_repeat_repeats_the_question_and_not_the_opening() -> None:
    learner = Learner().reaches(step=0)
    step = ENGLISH.steps[0]
    for _ in range(3):
        assert learner.says("could you repeat that").endswith(" ".join((*step.teach, step.ask)))
    assert "begin" not in learner.says("repeat")


def test_slower_persists_and_has_an_end() -> None:
    learner = Learner().reaches(step=0)
    assert learner.pace == 1.0
    learner.says("slower please")
    first = learner.pace
    assert first < 1.0
    learner.says("bridge")
    assert learner.pace == first
    assert ENGLISH.lines.slower in learner.says("more slowly")
    assert learner.pace < first
    slowest = learner.pace
    assert ENGLISH.lines.slowest in learner.says("slow down")
    assert learner.pace == slowest
    learner.says("normal speed")
    assert learner.pace == 1.0
    learner.says("faster")
    assert learner.pace > 1.0


def test_a_wish_for_slower_speech_holds_even_when_its_reply_was_not_heard() -> None:
    learner = Learner().reaches(step=0)
    learner.says("slower", hears=0)
    learner.says("bridge")
    assert learner.pace < 1.0


def test_a_pause_to_think_is_granted_and_the_answer_still_counts() -> None:
    learner = Learner().reaches(step=0)
    reply = learner.says("let me think")
    assert len(reply.split()) <= 6
    assert learner.expected[:3] == ENGLISH.steps[0].choices
    assert "“bridge”" in learner.says("bridge")


def test_where_who_help_hint_and_example_come_back_to_the_question() -> None:
    learner = Learner().reaches(step=1)
    step = ENGLISH.steps[1]
    assert "step 2 of 6: verbs" in learner.says("where are we")
    assert ENGLISH.lines.who[0] in learner.says("who are you")
    assert ENGLISH.lines.help[0] in learner.says("help")
    assert step.hint in learner.says("give me a hint")
    assert step.example in learner.says("an example please")
    assert "he, she, it" in learner.says("what is a pronoun")
    reply = learner.says("how are you")
    assert reply.endswith(step.ask)


def test_not_knowing_is_answered_with_the_explanation() -> None:
    learner = Learner().reaches(step=0)
    assert "So bridge is the noun." in learner.says("I don't know")


def test_start_over() -> None:
    assert Learner().reaches(step=3).says("start over").endswith(ENGLISH.steps[0].ask)


def test_a_long_sentence_with_a_farewell_in_it_does_not_hang_up() -> None:
    learner = Learner().reaches(step=5)
    learner.says("she said goodbye to the garden and walked slowly home in the rain")
    assert not learner.hangs_up


# Weak ears.


def test_two_answers_at_once_are_asked_about() -> None:
    learner = Learner().reaches(step=0)
    reply = learner.says("the bridge or old")
    assert "“old”, “bridge”" in reply
    assert reply.endswith(ENGLISH.lines.which)


def test_nonsense_is_said_back_and_ends_within_a_few_tries() -> None:
    learner = Learner().reaches(step=0)
    replies = [learner.says("potato salad") for _ in range(TRIES_MAX)]
    assert all("“potato salad”" in reply for reply in replies)
    assert len(set(replies)) == TRIES_MAX
    assert replies[-1].endswith(ENGLISH.steps[1].ask)


def test_a_learner_who_always_says_no_gets_on_too() -> None:
    learner = Learner().reaches(step=0)
    seen = [learner.says(each) for each in ["bridge", "no", "bridge", "no", "bridge", "no"]]
    assert any("So bridge is the noun." in reply for reply in seen)


# Interruptions: what was not heard did not happen.


def test_a_cut_explanation_goes_on_from_the_sentence_in_which_it_was_cut() -> None:
    learner = Learner().reaches(step=0)
    learner.says("bridge")
    learner.says("yes", hears=13)
    reply = learner.says("mm")
    assert "A bridge is a thing, and bridge is its name." in reply
    assert "Thank you" not in reply
    assert reply.endswith(ENGLISH.steps[1].ask)


def test_repeat_after_a_cut_begins_the_explanation_again() -> None:
    learner = Learner().reaches(step=0)
    learner.says("bridge")
    learner.says("yes", hears=25)
    reply = learner.says("repeat")
    assert "A bridge is a thing, and bridge is its name." in reply
    assert reply.endswith(ENGLISH.steps[1].ask)


def test_go_on_says_only_what_is_left() -> None:
    learner = Learner()
    learner.says("", hears=16)
    reply = learner.says("go on")
    assert ENGLISH.greeting[1] not in reply
    assert reply.endswith(" ".join((*ENGLISH.greeting[2:], ENGLISH.ready)))


def test_an_answer_given_over_the_question_counts() -> None:
    learner = Learner()
    learner.says("")
    learner.says("yes", hears=20)
    assert "“bridge”" in learner.says("bridge")


def test_a_reply_that_was_not_heard_at_all_changed_nothing() -> None:
    learner = Learner().reaches(step=0)
    learner.says("bridge", hears=0)
    assert "“open”" in learner.says("open")


def test_a_wish_in_the_middle_comes_back_to_what_was_left() -> None:
    learner = Learner().reaches(step=0)
    learner.says("bridge")
    learner.says("yes", hears=13)
    reply = learner.says("who are you")
    assert "So bridge is the noun." in reply


def test_wait_keeps_what_was_left() -> None:
    learner = Learner().reaches(step=0)
    learner.says("bridge")
    learner.says("yes", hears=13)
    assert learner.says("stop") == ENGLISH.lines.stopped
    assert "So bridge is the noun." in learner.says("go on")


def test_somebody_who_keeps_talking_is_let_talk() -> None:
    learner = Learner().reaches(step=0)
    replies = [learner.says("blah", hears=12) for _ in range(CUTS_MAX + 2)]
    assert any(ENGLISH.lines.not_again in reply for reply in replies)


def test_breaking_into_the_farewell_keeps_the_lesson() -> None:
    learner = Learner().reaches(step=0)
    learner.says("goodbye", hears=1)
    assert not learner.hangs_up or learner.says("bridge")
    assert "“bridge”" in learner.history[-1].agent


# Replies that are not ours.


def test_a_warning_of_the_server_changes_nothing() -> None:
    learner = Learner().reaches(step=0)
    learner.history.append(Turn("", "We have one minute left."))
    assert "“bridge”" in learner.says("bridge")


def test_a_warning_appended_to_a_reply_does_not_hide_it() -> None:
    learner = Learner().reaches(step=0)
    last = learner.history.pop()
    learner.history.append(Turn(last.user, f"{last.agent} We have one minute left."))
    assert "“bridge”" in learner.says("bridge")


def test_a_history_without_its_beginning_is_picked_up_at_its_question() -> None:
    learner = Learner().reaches(step=2)
    learner.history = learner.history[-1:]
    assert "“yellow”" in learner.says("yellow")


def test_changing_the_language_keeps_the_place() -> None:
    learner = Learner().reaches(step=2)
    learner.language = "ru"
    assert "«жёлтый»" in learner.says("жёлтый")


# What holds for any learner.

LANGUAGES = st.sampled_from(["en", "ru", "xx"])
PHRASES = st.sampled_from(
    [p for s in SCRIPTS.values() for phrases in s.intents.values() for p in phrases]
    + [c for s in SCRIPTS.values() for step in s.steps for c in step.choices]
    + ["", "what is a noun", "что такое глагол", "potato salad", "no i said yellow"]
)
SAID = st.one_of(PHRASES, st.text(max_size=30))
HEARD = st.one_of(st.none(), st.integers(0, 40))


@settings(max_examples=80, deadline=None)
@given(LANGUAGES, st.lists(st.tuples(SAID, HEARD), max_size=12))
def test_any_learner_is_answered(language: str, talk: list[tuple[str, int | None]]) -> None:
    learner, again = Learner(language), Learner(language)
    gone = False
    for said, hears in talk:
        reply = learner.says(said, hears=hears)
        assert reply == again.says(said, hears=hears) and learner.outputs == again.outputs
        assert words_of(reply)
        pieces = [each for each in learner.outputs if isinstance(each, str)]
        assert all(piece.strip() for piece in pieces)
        assert learner.outputs.count(HangUp()) <= 1
        if HangUp() in learner.outputs:
            assert learner.outputs[-1] == HangUp()
        if gone:
            assert learner.hangs_up, "after a farewell that was heard there is nothing more"
        gone = gone or (learner.hangs_up and hears is None)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.builds(Turn, st.text(max_size=20), st.text(max_size=40), st.booleans())))
def test_any_history_is_answered(history: list[Turn]) -> None:
    outputs = reply_to(history, "en")
    assert any(isinstance(each, str) and each.strip() for each in outputs)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["en", "ru"]), st.text(alphabet="xyzъщ ", min_size=1, max_size=12))
def test_the_lesson_ends_whatever_is_heard(language: str, noise: str) -> None:
    learner, script = Learner(language), SCRIPTS[language]
    learner.says("")
    replies = [learner.says(noise) for _ in range(TRIES_MAX * len(script.steps) + 2)]
    assert any(script.closing[0] in reply for reply in replies)
    assert all(one != two for one, two in itertools.pairwise(replies))
