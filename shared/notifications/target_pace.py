"""How fast a target is told: at most so many deliveries per second, counted in the process.

A count that all processes share would cost a write for each delivery, all to one row. So each process grants
the whole rate: with n workers a target can get up to n times as much.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from shared.ports import Clock

MAX_TARGETS = 10_000
"""Targets whose pace is kept; one that is forgotten may have a burst again."""
MAX_QUEUE_SECONDS = 300.0
"""As far ahead as places in the line are given out."""
LANE_WAIT_SECONDS = 0.25
LANE_AGAIN_SECONDS = 2.0
"""When a delivery for which there was no lane comes back."""
_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """``per_second`` deliveries to one target, ``burst`` of them at once; None for as many as come."""

    per_second: float | None = 50.0
    burst: int = 50
    max_in_flight: int = 4
    """Attempts that a process makes at the same time where one that hangs would hang all
    (``target_guard.lane_of``)."""

    def __post_init__(self) -> None:
        if min(self.burst, self.max_in_flight) < 1 or (
            self.per_second is not None and not self.per_second > 0
        ):
            raise ValueError("a pace needs more than no deliveries per second, and a burst of at least one")


@dataclass(slots=True)
class _Line:
    """Both in seconds since the pacer began."""

    full_at: float
    """When the whole burst is there again (the generic cell rate algorithm)."""
    last_place: float
    """The time that was given last to somebody who has to come back."""


class Pacer:
    """Counts deliveries to each target."""

    def __init__(self, clock: Clock, policy: PacePolicy, *, max_targets: int = MAX_TARGETS) -> None:
        self._clock = clock
        self._policy = policy
        self._began_at = clock.now()
        self._max_targets = max_targets
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        """The target that was told last comes last."""

    def take(self, key: str) -> datetime | None:
        """Count one delivery to the target ``key``; None: it may go now, else when to come back.

        Those who must come back are told times one after the other, so that they do not come all at once.
        """
        if self._policy.per_second is None:
            return None
        step = 1.0 / self._policy.per_second
        window = step * self._policy.burst
        now = (self._clock.now() - self._began_at).total_seconds()
        line = self._lines.setdefault(key, _Line(now, now))
        self._lines.move_to_end(key)
        if len(self._lines) > self._max_targets:
            self._lines.popitem(last=False)
        # Never more than the window, also when the clock was set back.
        missing = min(max(line.full_at - now, 0.0), window)
        line.full_at = now + missing
        if missing + step <= window + _ROUNDING_SECONDS:
            line.full_at += step
            return None
        free_at = now + missing + step - window
        place = max(line.last_place + step, free_at)
        line.last_place = place if place <= now + MAX_QUEUE_SECONDS else free_at
        return self._began_at + timedelta(seconds=line.last_place)


class Lanes:
    """Counts the attempts that are under way to each target.

    For a target that answers at once there is always room within a moment, and that moment is waited for; for
    one that hangs there is none, and its deliveries come back later.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    async def enter(self, key: str) -> bool:
        """Take a lane, or say that there is none; whoever has one must ``leave``."""
        lane = self._lanes.setdefault(key, asyncio.Semaphore(self._max_in_flight))
        self._users[key] += 1
        try:
            async with asyncio.timeout(LANE_WAIT_SECONDS):
                await lane.acquire()
        except TimeoutError:
            self._forget(key)
            return False
        except BaseException:
            self._forget(key)
            raise
        return True

    def leave(self, key: str) -> None:
        """Give the lane back."""
        self._lanes[key].release()
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key], self._lanes[key]
