from __future__ import annotations

import pytest

from voice_server.calls.words import is_backchannel, is_punctuated, sounds_unfinished


@pytest.mark.parametrize("text", ["", "mm-hm", "Uh-huh.", "yeah yeah", "Угу", "ну да", "Hmm…"])
def test_nods(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["stop", "yes but why", "no", "нет", "да подожди", "ok ok ok ok"])
def test_not_nods(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize("text", ["my name is", "I like apples,", "я хочу чтобы", "well -"])
def test_leads_on(text: str) -> None:
    assert sounds_unfinished(text, punctuated=False)


@pytest.mark.parametrize("text", ["", "a verb", "Is it?", "это глагол", "The end."])
def test_may_be_the_end(text: str) -> None:
    assert not sounds_unfinished(text, punctuated=False)


def test_a_missing_full_stop_counts_only_for_those_who_set_one() -> None:
    assert sounds_unfinished("a verb", punctuated=True)
    assert not sounds_unfinished("a verb", punctuated=False)
    assert is_punctuated("Yes. And") and not is_punctuated("yes and")
