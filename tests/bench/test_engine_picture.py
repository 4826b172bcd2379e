"""Bars as long as what they stand for, and a waterfall without holes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.bench.engine_figures import PARTS, Gap, TurnFigures, turn_figures
from voice_server.bench.engine_picture import recognisers_svg, turn_svg, voices_svg
from voice_server.bench.interruptions import Spread

from .test_engine_report import EARS, NOTHING, VENDOR, VOICE

_MS = st.integers(0, 20_000)


def rectangles(svg: str) -> list[tuple[float, float]]:
    """Where each bar begins and how long it is."""
    root = ElementTree.fromstring(svg)
    found = [each for each in root.iter() if each.tag.endswith("rect")][1:]
    return [(float(each.attrib["x"]), float(each.attrib["width"])) for each in found]


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [each.text or "" for each in root.iter() if each.tag.endswith("text")]


def test_a_voice_that_takes_longer_has_a_longer_bar() -> None:
    svg = voices_svg([VOICE, VENDOR])
    (_, espeak), (_, openai) = rectangles(svg)
    assert openai / espeak == pytest.approx(321 / 12.3, rel=0.02)
    assert {"espeak", "openai", "0.01 s per s"} <= set(texts(svg))


def test_what_was_not_measured_has_no_bar() -> None:
    svg = voices_svg([replace(VOICE, first=NOTHING)])
    assert rectangles(svg) == [] and "not measured" in texts(svg) and "nan" not in svg
    assert ElementTree.fromstring(voices_svg([])) is not None


def test_a_recogniser_has_a_bar_for_each_delay() -> None:
    svg = recognisers_svg([EARS])
    assert len(rectangles(svg)) == 3 and "25% of words wrong" in texts(svg)
    strange = replace(EARS, name="<script>", lag=Spread(1, math.nan, math.nan, math.nan))
    assert len(rectangles(recognisers_svg([strange]))) == 2


def turn(*parts_ms: int) -> TurnFigures:
    parts = dict(zip(PARTS, parts_ms, strict=True))
    return turn_figures(1, [Gap(sum(parts_ms), sum(parts_ms), parts)], {}, 1)


@given(st.tuples(*[_MS] * len(PARTS)))
def test_each_part_begins_where_the_one_before_it_ended(parts_ms: tuple[int, ...]) -> None:
    svg = turn_svg(turn(*parts_ms))
    found = rectangles(svg)
    assert len(found) == len(PARTS)
    for (x, width), (after, _) in pairwise(found):
        # A part of no length is still seen, as a line.
        assert after == pytest.approx(x + width, abs=1.2)
    assert f"{sum(parts_ms)} ms" in texts(svg)[0]


def test_a_turn_without_an_answer_has_no_bars() -> None:
    assert rectangles(turn_svg(turn_figures(1, [], {}, 0))) == []
