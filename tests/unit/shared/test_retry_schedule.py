from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.notifications.retry_schedule import (
    DEFAULT_DELAYS_SECONDS,
    JITTER,
    RetrySchedule,
)

SCHEDULE = RetrySchedule((10, 60))


@pytest.mark.parametrize(
    ("failed_attempt", "retry_after_seconds", "delay_seconds"),
    [
        (1, None, 10),
        (2, None, 60),
        (3, None, None),
        (4, None, None),
        (1, 0, 10),
        (1, 3, 10),
        (1, 15, 15),
        (1, 20, 20),
        (1, 3600, 20),
        (1, float("inf"), 20),
        (2, 90, 90),
        (3, 90, None),
    ],
)
def test_the_delay_follows_the_table_and_what_the_target_asked_for(
    failed_attempt: int, retry_after_seconds: float | None, delay_seconds: float | None
) -> None:
    found = SCHEDULE.delay_seconds(failed_attempt, chance=0, retry_after_seconds=retry_after_seconds)
    assert found == delay_seconds


@given(
    attempt=st.integers(1, len(DEFAULT_DELAYS_SECONDS)),
    chance=st.floats(0, 1, exclude_max=True),
    retry_after_seconds=st.none() | st.floats(0, allow_nan=False),
)
def test_a_delay_is_never_shorter_than_its_step_and_bounded(
    attempt: int, chance: float, retry_after_seconds: float | None
) -> None:
    step = DEFAULT_DELAYS_SECONDS[attempt - 1]
    delay = RetrySchedule().delay_seconds(attempt, chance=chance, retry_after_seconds=retry_after_seconds)
    assert delay is not None
    if retry_after_seconds is None:
        assert step <= delay <= step * (1 + JITTER)
    else:
        assert min(max(retry_after_seconds, step), 2 * step) <= delay <= 2 * step


def test_there_is_one_attempt_more_than_delays() -> None:
    assert SCHEDULE.max_attempts == 3
    assert RetrySchedule(()).max_attempts == 1
    assert RetrySchedule(()).delay_seconds(1, chance=0) is None


def test_the_default_schedule_goes_from_seconds_to_a_day() -> None:
    second, minute, hour = 1, 60, 3600
    assert list(DEFAULT_DELAYS_SECONDS) == [
        *(5 * second, 30 * second),
        *(2 * minute, 15 * minute),
        *(1 * hour, 4 * hour, 12 * hour, 24 * hour),
    ]
    assert RetrySchedule().delays_seconds == DEFAULT_DELAYS_SECONDS
