"""Timer functions: fire on the second, never twice at the same time, remember what a stop made them miss."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.functions_host.functions import FunctionDefinition, FunctionError
from local.functions_host.invocation import Invocation
from local.functions_host.schedule import Interval, Schedule, ScheduleError, parse_schedule
from local.functions_host.settings import SettingsError, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo
    from pathlib import Path

    from local.functions_host.invocation import Invoker, Outcome

MONITOR_FROM_SECONDS = 60.0
"""Schedules that fire more often than this are not monitored, as in Azure."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScheduleStatus:
    """When a timer last fired and was to fire next."""

    last: datetime | None
    next: datetime | None
    last_updated: datetime | None = None

    def as_json(self) -> dict[str, str | None]:
        """The names that the host uses."""
        return {
            "Last": self.last.isoformat() if self.last else "0001-01-01T00:00:00",
            "Next": self.next.isoformat() if self.next else None,
            "LastUpdated": (self.last_updated or self.last or datetime.now(UTC)).isoformat(),
        }


class TimerTrigger:
    """Runs one timer function."""

    def __init__(
        self,
        definition: FunctionDefinition,
        invoker: Invoker,
        environment: Mapping[str, str],
        status_file: Path | None,
        now: Callable[[tzinfo], datetime] = datetime.now,
    ) -> None:
        """Prepare to run.

        Raises:
            FunctionError: the schedule or the time zone cannot be used.
        """
        trigger = definition.trigger
        try:
            self._schedule: Schedule = parse_schedule(resolve(trigger.text("schedule"), environment))
            self._zone = _zone(environment.get("WEBSITE_TIME_ZONE"))
        except (ScheduleError, SettingsError) as error:
            raise FunctionError(f"Function '{definition.name}': {error}") from error
        self._definition = definition
        self._invoker = invoker
        self._runs_on_startup = trigger.settings.get("runOnStartup") is True
        self._now = now
        is_monitored = trigger.settings.get("useMonitor") is not False and not self._is_frequent()
        self._is_monitored = is_monitored
        self._status_file = status_file if is_monitored else None
        self._status = _read_status(self._status_file)

    async def run(self, stop: asyncio.Event) -> None:
        """Fire until asked to stop; a run under way is finished, and never overlaps with the next one."""
        now = self._now(self._zone)
        is_past_due = bool(self._status.next and self._status.next < now)
        if is_past_due or self._runs_on_startup:
            await self._fire(now, is_past_due=is_past_due)
        last = self._now(self._zone)
        while not stop.is_set():
            due = self._schedule.next_after(last)
            self._note(ScheduleStatus(self._status.last, due))
            if not await self._wait_until(due, stop):
                return
            await self._fire(due, is_past_due=False)
            # What fell due while the function ran is skipped; an interval counts from when it last fired.
            last = max(due, self._now(self._zone)) if not isinstance(self._schedule, Interval) else due
            if isinstance(self._schedule, Interval) and self._schedule.next_after(last) < self._now(
                self._zone
            ):
                last = self._now(self._zone)

    async def run_by_hand(self, _content: str) -> Outcome:
        """Run the function now."""
        return await self._invoke(is_past_due=False)

    async def _wait_until(self, due: datetime, stop: asyncio.Event) -> bool:
        """Sleep until ``due``; false when asked to stop first."""
        while (seconds := (due - self._now(self._zone)).total_seconds()) > 0:
            with contextlib.suppress(TimeoutError):
                # In pieces, so that a clock that is set, or a laptop that slept, does not delay the timer
                # by hours.
                await asyncio.wait_for(stop.wait(), min(seconds, 60.0))
                return False
        return not stop.is_set()

    async def _fire(self, due: datetime, *, is_past_due: bool) -> None:
        await self._invoke(is_past_due=is_past_due)
        self._note(ScheduleStatus(due, self._schedule.next_after(max(due, self._now(self._zone)))))

    async def _invoke(self, *, is_past_due: bool) -> Outcome:
        info: dict[str, Any] = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": self._status.as_json() if self._is_monitored else None,
            "IsPastDue": is_past_due,
        }
        return await self._invoker.run(
            Invocation(
                function=self._definition,
                inputs={self._definition.trigger.name: {"json": json.dumps(info)}},
                reason=f"Timer fired at {self._now(self._zone).isoformat()}",
            )
        )

    def _note(self, status: ScheduleStatus) -> None:
        self._status = status
        if self._status_file is None:
            return
        self._status_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._status_file.with_suffix(".tmp")
        draft.write_text(json.dumps({"last": _iso(status.last), "next": _iso(status.next)}), encoding="utf-8")
        os.replace(draft, self._status_file)  # noqa: PTH105 - the same call, and known to be atomic

    def _is_frequent(self) -> bool:
        first = self._schedule.next_after(self._now(self._zone))
        return self._schedule.next_after(first) - first < timedelta(seconds=MONITOR_FROM_SECONDS)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _read_status(path: Path | None) -> ScheduleStatus:
    if path is None or not path.exists():
        return ScheduleStatus(None, None)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        last, following = document["last"], document["next"]
        return ScheduleStatus(
            datetime.fromisoformat(last) if last else None,
            datetime.fromisoformat(following) if following else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("The timer status in %s cannot be read and is ignored: %s", path, error)
        return ScheduleStatus(None, None)


def _zone(name: str | None) -> tzinfo:
    """The time zone of schedules: UTC unless the setting names another one."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ScheduleError(f"WEBSITE_TIME_ZONE: there is no time zone '{name}'.") from error
