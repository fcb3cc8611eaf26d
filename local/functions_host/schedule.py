"""When a timer fires: six-field NCRONTAB expressions and fixed intervals.

A field is ``*``, a value, a range ``a-b``, a step ``*/n``, ``a-b/n`` or ``a/n`` (from a on), or a list of
these. Months and days of the week may be named. Five fields mean second 0. A day must fit both the
day-of-month and the day-of-week field, as in the NCrontab library that Azure uses (classic cron would
take either).

Source: learn.microsoft.com, "Timer trigger for Azure Functions", NCRONTAB expressions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from local.functions_host.timespan import parse_seconds

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SEARCH_YEARS = 9
"""Longer than the longest gap between two 29ths of February."""


class ScheduleError(ValueError):
    """A schedule cannot be used; the sentence says why."""


class Schedule(Protocol):
    """When something is due."""

    def next_after(self, moment: datetime) -> datetime:
        """The first due time after ``moment``, in the same time zone."""


@dataclass(frozen=True)
class Interval:
    """Every so many seconds, counted from the last time."""

    seconds: float

    def next_after(self, moment: datetime) -> datetime:
        """See ``Schedule``."""
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Cron:
    """A parsed NCRONTAB expression: the allowed values of each field."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime:
        """See ``Schedule``.

        Raises:
            ScheduleError: there is no such time, such as a 30th of February.
        """
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        midnight = start.replace(hour=0, minute=0, second=0)
        for offset in range(_SEARCH_YEARS * 366):
            day = midnight + timedelta(days=offset)
            if not self._has_day(day):
                continue
            first = (start.hour, start.minute, start.second) if offset == 0 else (0, 0, 0)
            time = self._time_from(first)
            if time is not None:
                hour, minute, second = time
                return day.replace(hour=hour, minute=minute, second=second)
        raise ScheduleError("The schedule never comes due.")

    def _has_day(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and (day.weekday() + 1) % 7 in self.weekdays

    def _time_from(self, first: tuple[int, int, int]) -> tuple[int, int, int] | None:
        return min(
            (
                (hour, minute, second)
                for hour in self.hours
                if hour >= first[0]
                for minute in self.minutes
                if (hour, minute) >= first[:2]
                for second in self.seconds
                if (hour, minute, second) >= first
            ),
            default=None,
        )


def parse_schedule(text: str) -> Schedule:
    """Parse an NCRONTAB expression or a time span.

    Raises:
        ScheduleError: it is neither, or never comes due.
    """
    text = text.strip()
    if ":" in text:
        try:
            seconds = parse_seconds(text)
        except ValueError as error:
            raise ScheduleError(str(error)) from error
        if seconds <= 0:
            raise ScheduleError(f"The interval '{text}' must be above zero.")
        return Interval(seconds)
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ScheduleError(
            f"The schedule '{text}' must have 6 fields (second minute hour day month weekday)."
        )
    second, minute, hour, day, month, weekday = fields
    cron = Cron(
        seconds=_values(second, 0, 59, ()),
        minutes=_values(minute, 0, 59, ()),
        hours=_values(hour, 0, 23, ()),
        days=frozenset(_values(day, 1, 31, ())),
        months=frozenset(_values(month, 1, 12, _MONTHS)),
        weekdays=frozenset(_values(weekday, 0, 6, _DAYS)),
    )
    cron.next_after(datetime(2024, 1, 1))  # noqa: DTZ001 - only to see that it comes due at all
    return cron


_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def _values(field: str, low: int, high: int, names: tuple[str, ...]) -> tuple[int, ...]:
    values: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ScheduleError(f"'{part}' is no part of a schedule.")
        star, first, last, step = match.groups()
        start = low if star else _value(first, low, high, names)
        open_end = high if star or step else start
        end = _value(last, low, high, names) if last else open_end
        every = int(step) if step else 1
        if every < 1 or end < start:
            raise ScheduleError(f"'{part}' is no part of a schedule: it selects nothing.")
        values.update(range(start, end + 1, every))
    return tuple(sorted(values))


def _value(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text[:3].lower() in names and text.isalpha():
        return low + names.index(text[:3].lower())
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ScheduleError(f"'{text}' must be between {low} and {high}.")
    return int(text)
