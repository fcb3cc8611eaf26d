from __future__ import annotations

import pytest

from local.event_grid.retry_policy import (
    EVENT_GRID_SCHEDULE_SECONDS,
    Delivered,
    GiveUp,
    RetryPolicy,
    Step,
    TryAgain,
    next_step,
)

EVENT_GRID = RetryPolicy()
QUICK = RetryPolicy(max_attempts=4, time_to_live_seconds=60, schedule_seconds=(0.2, 0.5), minimum_seconds={})


@pytest.mark.parametrize(
    ("policy", "status", "attempts", "age_seconds", "step"),
    [
        (EVENT_GRID, 200, 1, 0, Delivered()),
        (EVENT_GRID, 202, 30, 90_000, Delivered()),
        (EVENT_GRID, 204, 1, 0, Delivered()),
        (EVENT_GRID, 205, 1, 0, TryAgain(10)),
        (EVENT_GRID, 302, 1, 0, TryAgain(10)),
        (EVENT_GRID, None, 1, 0, TryAgain(10)),
        (EVENT_GRID, 500, 2, 10, TryAgain(30)),
        (EVENT_GRID, 500, 7, 1000, TryAgain(3600)),
        (EVENT_GRID, 500, 29, 1000, TryAgain(43_200)),
        (EVENT_GRID, 500, 30, 0, GiveUp("MaxDeliveryAttemptsExceeded")),
        (EVENT_GRID, 500, 10, 80_000, GiveUp("TimeToLiveExceeded")),
        (EVENT_GRID, 404, 1, 0, TryAgain(300)),
        (EVENT_GRID, 404, 6, 0, TryAgain(1800)),
        (EVENT_GRID, 408, 1, 0, TryAgain(120)),
        (EVENT_GRID, 503, 1, 0, TryAgain(30)),
        (EVENT_GRID, 400, 1, 0, GiveUp("UndeliverableDueToHttpBadRequest")),
        (EVENT_GRID, 401, 1, 0, GiveUp("UndeliverableDueToHttpUnauthorized")),
        (EVENT_GRID, 403, 1, 0, GiveUp("UndeliverableDueToHttpForbidden")),
        (EVENT_GRID, 413, 1, 0, GiveUp("UndeliverableDueToHttpRequestEntityTooLarge")),
        (QUICK, 404, 1, 0, TryAgain(0.2)),
        (QUICK, 503, 3, 0, TryAgain(0.5)),
        (QUICK, 503, 4, 0, GiveUp("MaxDeliveryAttemptsExceeded")),
        (QUICK, None, 1, 59.9, GiveUp("TimeToLiveExceeded")),
        (QUICK, 400, 1, 0, GiveUp("UndeliverableDueToHttpBadRequest")),
    ],
)
def test_what_follows_an_attempt(
    policy: RetryPolicy, status: int | None, attempts: int, age_seconds: float, step: Step
) -> None:
    assert next_step(policy, status, attempts, age_seconds) == step


def test_the_schedule_never_gets_shorter() -> None:
    assert list(EVENT_GRID_SCHEDULE_SECONDS) == sorted(EVENT_GRID_SCHEDULE_SECONDS)
