"""When Event Grid tries again, and when it gives up.

Source: learn.microsoft.com/azure/event-grid/delivery-and-retry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_TIMEOUT_SECONDS = 30.0
SUCCESSES = range(200, 205)
EVENT_GRID_SCHEDULE_SECONDS = (10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0, 21600.0, 43200.0)
EVENT_GRID_MINIMUM_SECONDS: Mapping[int, float] = MappingProxyType(
    {404: 300.0, 408: 120.0, 503: 30.0}  # by status; every other failure waits for its step only
)
REFUSALS: Mapping[int, str] = MappingProxyType(
    {
        400: "UndeliverableDueToHttpBadRequest",
        401: "UndeliverableDueToHttpUnauthorized",
        403: "UndeliverableDueToHttpForbidden",
        413: "UndeliverableDueToHttpRequestEntityTooLarge",
    }
)
"""Statuses that no repetition can mend, with the reason in the dead letter."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits of one subscription and the schedule of the topic.

    The last step of ``schedule_seconds`` repeats. ``minimum_seconds`` holds, by status, the least wait.
    """

    max_attempts: int = 30
    time_to_live_seconds: float = 1440 * 60.0
    schedule_seconds: tuple[float, ...] = EVENT_GRID_SCHEDULE_SECONDS
    minimum_seconds: Mapping[int, float] = field(default_factory=lambda: EVENT_GRID_MINIMUM_SECONDS)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The subscriber has the event."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The next attempt is due after ``delay_seconds``."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The event is dead-lettered, or dropped where no dead-letter destination is set."""

    reason: str


type Step = Delivered | TryAgain | GiveUp


def next_step(policy: RetryPolicy, status: int | None, attempts: int, age_seconds: float) -> Step:
    """Decide what follows an attempt.

    Args:
        policy: Limits and schedule.
        status: HTTP status of the answer; None when none came.
        attempts: Attempts made so far, this one included: 1 or more.
        age_seconds: Time since the event was published.
    """
    if status in SUCCESSES:
        return Delivered()
    if status is not None and (refusal := REFUSALS.get(status)):
        return GiveUp(refusal)
    if attempts >= policy.max_attempts:
        return GiveUp("MaxDeliveryAttemptsExceeded")
    step_seconds = policy.schedule_seconds[min(attempts, len(policy.schedule_seconds)) - 1]
    delay_seconds = max(step_seconds, policy.minimum_seconds.get(status or 0, 0.0))
    if age_seconds + delay_seconds > policy.time_to_live_seconds:
        return GiveUp("TimeToLiveExceeded")
    return TryAgain(delay_seconds)
