from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.service_bus.due_times import DueTimes


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 100)), max_size=400), st.integers(0, 100)
)
def test_keys_come_out_when_they_are_due_and_in_order(
    operations: list[tuple[int, int | None]], now_ms: int
) -> None:
    due_times: DueTimes[int] = DueTimes()
    expected: dict[int, int] = {}
    for key, due_ms in operations:
        if due_ms is None:
            due_times.discard(key)
            expected.pop(key, None)
        else:
            due_times.set(key, due_ms)
            expected[key] = due_ms
    assert due_times.next_due_ms() == min(expected.values(), default=None)
    popped = list(due_times.pop_due(now_ms))
    assert sorted(popped) == sorted(key for key, due_ms in expected.items() if due_ms <= now_ms)
    assert [expected[key] for key in popped] == sorted(expected[key] for key in popped)
    assert len(due_times) == len(expected) - len(popped)


def test_renewing_one_key_for_ever_does_not_grow_the_heap() -> None:
    due_times: DueTimes[str] = DueTimes()
    for due_ms in range(10_000):
        due_times.set("lock", due_ms)
    assert len(due_times._heap) < 200
