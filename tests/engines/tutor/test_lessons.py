"""Both lessons are whole, parallel, speakable, and understand their own words."""

from __future__ import annotations

import dataclasses

import pytest

from engines.tutor.lesson_en import ENGLISH
from engines.tutor.lesson_ru import RUSSIAN
from engines.tutor.lessons import Intent, Script, Step
from engines.tutor.matching import fit, named, words_of

SCRIPTS = pytest.mark.parametrize("script", [ENGLISH, RUSSIAN], ids=["en", "ru"])


def sentences(script: Script) -> list[str]:
    said = [*script.greeting, script.ready, *script.closing, script.once_more, *script.facts]
    for step in script.steps:
        said += [*step.teach, step.ask, step.hint, step.example, *step.explain]
    for field in dataclasses.fields(script.lines):
        value = getattr(script.lines, field.name)
        said += [value] if isinstance(value, str) else [*value]
    return [*said, *(term.meaning for term in script.terms)]


def test_the_lessons_are_parallel() -> None:
    assert 4 <= len(ENGLISH.steps) == len(RUSSIAN.steps) <= 6
    for one, other in zip(ENGLISH.steps, RUSSIAN.steps, strict=True):
        assert len(one.choices) == len(other.choices)
    assert list(ENGLISH.intents) == list(RUSSIAN.intents)
    assert set(ENGLISH.intents) == set(Intent)


@SCRIPTS
def test_sentences_are_short_enough_to_speak(script: Script) -> None:
    for sentence in sentences(script):
        assert 1 < len(sentence) <= 130, sentence


@SCRIPTS
def test_every_choice_is_heard_and_is_no_command(script: Script) -> None:
    for step in script.steps:
        for choice in step.choices:
            assert named(step.choices, words_of(choice)) == (choice,)
            assert choice in step.ask
            for intent, phrases in script.intents.items():
                assert not fit(phrases, words_of(choice)), (choice, intent)


@SCRIPTS
def test_the_answer_a_step_explains_is_one_of_its_choices(script: Script) -> None:
    def mentions(step: Step) -> bool:
        return bool(named(step.choices, words_of(" ".join(step.explain))))

    assert all(mentions(step) for step in script.steps if step.choices)


@SCRIPTS
def test_each_phrase_means_its_own_intent(script: Script) -> None:
    for intent, phrases in script.intents.items():
        for phrase in phrases:
            fits = {i: fit(each, words_of(phrase)) for i, each in script.intents.items()}
            assert max(fits, key=lambda i: fits[i]) is intent, (phrase, fits)


@SCRIPTS
def test_what_to_listen_for_is_understood(script: Script) -> None:
    understood = [p for phrases in script.intents.values() for p in phrases]
    assert all(fit(understood, words_of(control)) for control in script.controls)


@SCRIPTS
def test_nobody_is_graded(script: Script) -> None:
    verdicts = {
        "wrong", "incorrect", "mistake", "well done", "bravo", "ошибка", "неправильно", "неверно",
        "молодец", "отлично",
    }  # fmt: skip
    for sentence in sentences(script):
        assert not any(" ".join(words_of(v)) in " ".join(words_of(sentence)) for v in verdicts)


@SCRIPTS
def test_offers_read_as_one_says_them(script: Script) -> None:
    assert script.offered(("one",)) == "one"
    assert script.offered(("one", "two", "six")) == f"one, two {script.lines.either} six"
