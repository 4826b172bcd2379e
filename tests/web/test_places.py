"""So many at once, and no more."""

from __future__ import annotations

import pytest

from voice_server.web.errors import Refusal
from voice_server.web.places import Places


def test_who_finds_no_place_is_told_when_to_come_back() -> None:
    places = Places(2, what="texts")
    with places.one():
        with places.one():
            with pytest.raises(Refusal) as refused, places.one():
                raise AssertionError("there was no place")
            assert (refused.value.status, refused.value.code) == (503, "busy")
            assert refused.value.retry_after_s
            with pytest.raises(Refusal):
                places.check()
        places.check()
    assert places.taken == 0


def test_a_place_is_given_back_however_it_ends() -> None:
    places = Places(1, what="texts")
    for _ in range(3):
        with pytest.raises(KeyError), places.one():
            raise KeyError
    assert places.taken == 0
