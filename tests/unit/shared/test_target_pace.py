from __future__ import annotations

import heapq
from collections import Counter

import pytest

from shared.adapters.memory import MemoryClock
from shared.notifications.target_pace import MAX_QUEUE_SECONDS, PacePolicy, Pacer


def test_a_burst_goes_at_once_and_the_next_is_told_when() -> None:
    clock = MemoryClock()
    pacer = Pacer(clock, PacePolicy(per_second=10, burst=3))
    assert [pacer.take("a") for _ in range(3)] == [None] * 3
    not_before = pacer.take("a")
    assert not_before is not None
    assert (not_before - clock.now()).total_seconds() == pytest.approx(0.1)
    assert pacer.take("b") is None


def test_a_thousand_at_once_go_at_the_rate_and_each_asks_only_a_few_times() -> None:
    clock = MemoryClock()
    began_at = clock.now()
    pacer = Pacer(clock, PacePolicy(per_second=50, burst=10))
    waiting = [(began_at, number) for number in range(1000)]
    sent: Counter[int] = Counter()
    asked = 0
    while waiting:
        at, number = heapq.heappop(waiting)
        clock.advance(max(0.0, (at - clock.now()).total_seconds()))
        asked += 1
        not_before = pacer.take("a")
        if not_before is None:
            sent[int((clock.now() - began_at).total_seconds())] += 1
        else:
            assert not_before > clock.now()
            heapq.heappush(waiting, (not_before, number))
    assert max(sent.values()) <= 50 + 10
    assert len(sent) <= 1000 // 50 + 1
    assert asked <= 3 * 1000


def test_places_are_given_out_only_so_far_ahead() -> None:
    clock = MemoryClock()
    pacer = Pacer(clock, PacePolicy(per_second=1, burst=1))
    places = [pacer.take("a") for _ in range(1000)][1:]
    assert all(0 < (place - clock.now()).total_seconds() <= MAX_QUEUE_SECONDS for place in places if place)
    assert None not in places


def test_a_clock_that_was_set_back_stops_nobody_for_longer_than_a_burst_takes() -> None:
    clock = MemoryClock()
    pacer = Pacer(clock, PacePolicy(per_second=10, burst=5))
    for _ in range(5):
        pacer.take("a")
    clock.advance(-86_400)
    pacer.take("a")
    clock.advance(0.5)
    assert pacer.take("a") is None


def test_without_a_rate_everything_goes() -> None:
    pacer = Pacer(MemoryClock(), PacePolicy(per_second=None))
    assert {pacer.take("a") for _ in range(1000)} == {None}


def test_the_target_that_was_told_longest_ago_is_forgotten_first() -> None:
    pacer = Pacer(MemoryClock(), PacePolicy(per_second=1, burst=1), max_targets=2)
    for key in "abac":
        pacer.take(key)
    assert pacer.take("a") is not None
    assert pacer.take("b") is None


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_pace_that_lets_nothing_through_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="pace"):
        PacePolicy(per_second, burst)
