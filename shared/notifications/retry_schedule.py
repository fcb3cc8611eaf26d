"""When a delivery is tried again: data, and one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_DELAYS_SECONDS: Sequence[float] = (5, 30, 120, 900, 3600, 14400, 43200, 86400)
"""5 s, 30 s, 2 min, 15 min, 1 h, 4 h, 12 h, 24 h: nine attempts over about a day and three quarters."""
JITTER = 0.1
"""A delay is lengthened by up to this share of itself, so that a target's recovery is not met by a burst."""
RETRY_AFTER_LIMIT = 2.0
"""A target's Retry-After counts between once and this many times the schedule's own delay, which is the most
that it is waited for, jitter included."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays between attempts; one more attempt than delays."""

    delays_seconds: Sequence[float] = DEFAULT_DELAYS_SECONDS

    @property
    def max_attempts(self) -> int:
        """How often a delivery is tried at the most."""
        return len(self.delays_seconds) + 1

    def patience_seconds(self, attempt: int) -> float:
        """How long attempt number ``attempt`` (from 1) may wait for a failing target, then it has failed.

        As long as the next attempt would wait, so that a delivery ends after twice the schedule at most.
        """
        return self.delays_seconds[min(attempt, len(self.delays_seconds)) - 1] if self.delays_seconds else 0.0

    def delay_seconds(
        self, failed_attempt: int, *, chance: float, retry_after_seconds: float | None = None
    ) -> float | None:
        """How long to wait after attempt number ``failed_attempt`` (from 1); None when it was the last.

        ``chance`` in [0, 1) picks the jitter. ``retry_after_seconds`` is what the target asked for.
        """
        if failed_attempt >= self.max_attempts:
            return None
        step = self.delays_seconds[failed_attempt - 1]
        asked = max(retry_after_seconds or 0.0, step)
        return min(asked * (1 + JITTER * chance), step * RETRY_AFTER_LIMIT)
