from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.allowance import Allowance, Due
from voice_server.calls.rules import Rules

RULES = Rules(call_ms_max=180_000)


def test_nothing_is_due_before_media_flows() -> None:
    allowance = Allowance(RULES)
    assert allowance.due(10**9) == [] and allowance.deadline_ms() is None
    assert allowance.elapsed_ms(10**9) == 0


def test_everything_falls_due_once_and_in_order() -> None:
    allowance = Allowance(RULES)
    allowance.begin(1_000)
    assert allowance.due(61_000) == [Due.MINUTE]
    assert allowance.due(61_000) == []
    assert allowance.due(121_000) == [Due.MINUTE, Due.WARNING]
    assert allowance.due(175_500) == [Due.FAREWELL]
    assert allowance.due(10**9) == [Due.MINUTE, Due.END]


def test_an_extension_takes_the_warning_back() -> None:
    allowance = Allowance(RULES)
    allowance.begin(0)
    allowance.due(130_000)
    allowance.extend(400_000)
    assert allowance.due(339_999) == [Due.MINUTE] * 3
    assert allowance.due(340_000) == [Due.WARNING]


def test_an_extension_never_shortens() -> None:
    allowance = Allowance(RULES)
    allowance.begin(0)
    allowance.extend(1_000)
    assert allowance.left_ms(0) == 180_000


def test_a_shortened_call_cannot_be_extended() -> None:
    allowance = Allowance(RULES)
    allowance.begin(0)
    allowance.shorten(20_000, 10_000, "draining")
    allowance.extend(10**9)
    assert allowance.left_ms(10_000) == 20_000 and allowance.end_reason == "draining"


@given(st.lists(st.integers(0, 50_000), max_size=60))
def test_minutes_are_exact_and_deadlines_never_miss(steps: list[int]) -> None:
    allowance, now_ms, minutes = Allowance(RULES), 0, 0
    allowance.begin(0)
    for step in steps:
        now_ms += step
        deadline_ms = allowance.deadline_ms()
        due = allowance.due(now_ms)
        assert bool(due) == (deadline_ms is not None and deadline_ms <= now_ms)
        minutes += due.count(Due.MINUTE)
        assert minutes == min(now_ms, 180_000) // 60_000
        if Due.END in due:
            return
