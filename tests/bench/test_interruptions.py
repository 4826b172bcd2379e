"""What counts as an obeyed interruption, when a reply has ended, and when it was answered."""

from __future__ import annotations

import json
import math

import pytest

from voice_server.bench.figures import Tally
from voice_server.bench.interruptions import Interruption, Spread, Verdict, count


def interruption(*, by_silence: bool = False, status: str = "cancelled") -> Interruption:
    """A reply that sounds from 1,000 ms on, a voice over it from 2,000 to 3,000, the news of its
    end at 2,210, and an answer at 3,700. The last of its sound came at 2,180."""
    found = Interruption(by_silence)
    found.heard(900_000, 20)  # Of the reply before: nobody has asked yet.
    found.told("response.created", {"id": "long"}, 990_000)
    for at_ms in range(1_000, 2_200, 20):
        found.heard(at_ms * 1_000, 20)
    found.voice_us, found.speech_ended_us = 2_000_000, 3_000_000
    found.told("response.done", {"id": "long", "status": status}, 2_210_000)
    found.told("response.created", {"id": "answer"}, 3_690_000)
    found.heard(3_700_000, 20)
    found.heard(3_720_000, 20)
    found.told("response.done", {"id": "answer", "status": "completed"}, 3_730_000)
    return found


def test_a_client_with_a_buffer_stops_when_it_is_told() -> None:
    found = interruption()
    assert found.sounded_us == 1_000_000 and found.answer_done
    assert (found.stopped_us, found.answered_us) == (2_210_000, 3_700_000)
    assert found.verdict is Verdict.OBEYED


def test_a_client_that_plays_what_arrives_stops_when_it_hears_nothing() -> None:
    found = interruption(by_silence=True)
    assert (found.stopped_us, found.answered_us) == (2_200_000, 3_700_000)
    # An event that comes early silences nobody.
    found.done_us = 2_050_000
    assert found.stopped_us == 2_200_000 and found.verdict is Verdict.OBEYED


def test_sound_may_overtake_the_news_of_it() -> None:
    found = interruption(by_silence=True)
    found.answer_created_us = 3_710_000
    assert (found.stopped_us, found.answered_us) == (2_200_000, 3_700_000)


def test_a_reply_that_goes_on_has_ignored_the_voice() -> None:
    assert interruption(status="completed").verdict is Verdict.IGNORED
    waiting = Interruption(False)
    waiting.told("response.created", {"id": "long"}, 1)
    waiting.voice_us = 2
    assert waiting.verdict is Verdict.IGNORED and waiting.answered_us == 0


@pytest.mark.parametrize("by_silence", [False, True])
def test_a_reply_that_ends_before_the_voice_was_not_asked_to(by_silence: bool) -> None:
    found = interruption(by_silence=by_silence)
    found.voice_us = 2_300_000
    assert found.verdict is Verdict.UNASKED


def test_the_tally_counts_from_the_voice_and_from_the_end_of_speech() -> None:
    tally = Tally()
    count(tally, interruption(), silence_ms=608)
    assert (tally.interruptions, tally.obeyed, tally.unasked) == (1, 1, 0)
    assert tally.stopped_us == [210_000] and tally.added_us == [92_000]
    count(tally, interruption(status="completed"), silence_ms=608)
    assert (tally.interruptions, tally.obeyed, tally.unasked) == (2, 1, 0)
    assert tally.stopped_us == [210_000] and tally.added_us == [92_000]
    early = interruption()
    early.voice_us = 2_300_000
    count(tally, early, silence_ms=608)
    assert (tally.interruptions, tally.obeyed, tally.unasked) == (3, 1, 1)
    assert tally.stopped_us == [210_000]


def test_answers_that_never_came_or_came_too_soon_are_no_figure() -> None:
    tally, mute, hasty = Tally(), interruption(), interruption()
    del mute.sounds[-2:]
    count(tally, mute, silence_ms=608)
    hasty.speech_ended_us = 3_705_000
    count(tally, hasty, silence_ms=608)
    assert (tally.obeyed, tally.lost, tally.early, tally.added_us) == (2, 1, 1, [])


def test_tallies_of_interruptions_add_up() -> None:
    one = Tally(stopped_us=[1], interruptions=2, obeyed=1, unasked=1)
    one.add(Tally(stopped_us=[2, 3], interruptions=3, obeyed=2))
    assert (one.stopped_us, one.interruptions, one.obeyed, one.unasked) == ([1, 2, 3], 5, 3, 1)


def test_a_spread_is_in_milliseconds() -> None:
    assert Spread.of([1_000 * n for n in range(1, 101)]) == Spread(100, 50.0, 95.0, 100.0)
    nothing = Spread.of([])
    assert nothing.count == 0 and math.isnan(nothing.max_ms)
    assert json.loads(json.dumps(nothing.as_json(), allow_nan=False))["p95_ms"] is None
