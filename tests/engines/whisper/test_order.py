"""Finals first, nobody starved, and batches only where they pay."""

from __future__ import annotations

from engines.whisper.order import (
    BATCH_MAX,
    PARTIAL_PATIENCE_MS,
    Ticket,
    batch_that_pays,
    next_batch,
)

EN, RU = "en", "ru"


def final(asked_ms: int, kind: str = EN) -> Ticket:
    return Ticket(True, (True, kind), asked_ms)


def partial(asked_ms: int, kind: str = EN) -> Ticket:
    return Ticket(False, (False, kind), asked_ms)


def test_nobody_waits_for_nothing() -> None:
    assert next_batch([], 4) == []


def test_finals_go_before_partials_in_the_order_of_asking() -> None:
    waiting = [partial(0), final(30), partial(10), final(20)]
    assert next_batch(waiting, 1) == [3]
    assert next_batch(waiting, 4) == [3, 1]


def test_only_looks_of_a_kind_go_together() -> None:
    waiting = [final(0, RU), final(1, EN), final(2, RU), partial(3, RU)]
    assert next_batch(waiting, 4) == [0, 2]
    assert next_batch(waiting[1:], 4) == [0]


def test_a_batch_is_no_larger_than_it_may_be() -> None:
    assert next_batch([final(n) for n in range(9)], 4) == [0, 1, 2, 3]


def test_a_partial_that_has_waited_too_long_goes_first() -> None:
    waiting = [partial(0), final(PARTIAL_PATIENCE_MS - 1)]
    assert next_batch(waiting, 4) == [1]
    waiting = [partial(0), final(PARTIAL_PATIENCE_MS + 1)]
    assert next_batch(waiting, 4) == [0]


def test_a_stream_that_always_asks_starves_nobody() -> None:
    """One stream has its next look waiting the moment the last one is done; a look takes 300 ms.
    Four others, finals and partials, are all served, and within a bound."""
    now_ms, served = 0, list[int]()
    others = {1: final(0), 2: partial(0), 3: final(0, RU), 4: partial(0, RU)}
    greedy = final(0)
    while others:
        names = [0, *others]
        chosen = next_batch([greedy, *others.values()], 1)[0]
        now_ms += 300
        if chosen == 0:
            greedy = final(now_ms)
        else:
            served.append(names[chosen])
            del others[names[chosen]]
    assert sorted(served) == [1, 2, 3, 4]
    assert now_ms <= PARTIAL_PATIENCE_MS + 8 * 300


def test_a_batch_pays_where_it_is_done_before_the_middle_one_of_a_row() -> None:
    # Measured on two cores with weights of the tiny model's shape: no batch pays there.
    cores = {1: 0.343, 2: 0.644, 4: 1.257, 8: 3.258}
    assert batch_that_pays(cores.__getitem__) == 1
    # A machine for which four are as quick as one, and more are not.
    assert batch_that_pays(lambda n: 0.05 * max(1, n / 4)) >= 4
    assert batch_that_pays(lambda n: 0.05 if n <= 4 else 0.05 * n) == 4
    assert batch_that_pays(lambda n: 0.05) == BATCH_MAX
