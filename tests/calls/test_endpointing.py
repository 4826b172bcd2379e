from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.endpointing import Edge, Endpointer
from voice_server.calls.rules import Endpointing

RULES = Endpointing()


def edges(probabilities: list[float], rules: Endpointing = RULES) -> list[tuple[int, Edge]]:
    endpointer = Endpointer(rules)
    found = []
    for index, probability in enumerate(probabilities):
        edge = endpointer.hear(probability, onset_ms=rules.onset_ms, pause_ms=rules.pause_ms)
        if edge:
            found.append((index, edge))
    return found


def test_onset_needs_enough_speech() -> None:
    assert edges([0.9, 0.9]) == []
    assert edges([0.9, 0.9, 0.9]) == [(2, Edge.ONSET)]


def test_one_soft_frame_does_not_cost_the_run() -> None:
    assert edges([0.9, 0.9, 0.1, 0.9, 0.9]) == [(4, Edge.ONSET)]


def test_between_the_thresholds_the_verdict_stands() -> None:
    assert edges([0.9] * 3 + [0.4] * 200) == [(2, Edge.ONSET)]
    assert edges([0.4] * 200) == []


def test_endpoint_after_the_pause() -> None:
    assert edges([0.9] * 3 + [0.0] * 19) == [(2, Edge.ONSET), (21, Edge.ENDPOINT)]


def test_a_word_in_the_pause_begins_it_anew() -> None:
    assert edges([0.9] * 3 + [0.0] * 18 + [0.9] + [0.0] * 18) == [(2, Edge.ONSET)]


def test_an_utterance_has_an_end() -> None:
    found = edges([0.9] * 1_000)
    assert found[:2] == [(2, Edge.ONSET), (2 + 30_000 // 32 - 2, Edge.ENDPOINT)]


def test_push_to_talk_is_not_ended_by_silence() -> None:
    assert edges([0.9] * 3 + [0.0] * 500, Endpointing(manual=True)) == [(2, Edge.ONSET)]


@given(st.lists(st.floats(0, 1), max_size=400))
def test_onsets_and_endpoints_alternate(probabilities: list[float]) -> None:
    kinds = [edge for _, edge in edges(probabilities)]
    assert kinds[::2] == [Edge.ONSET] * len(kinds[::2])
    assert kinds[1::2] == [Edge.ENDPOINT] * len(kinds[1::2])
