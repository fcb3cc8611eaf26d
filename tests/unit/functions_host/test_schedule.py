from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.functions_host.schedule import ScheduleError, parse_schedule

WEDNESDAY = datetime(2026, 1, 14, 10, 20, 30, 500_000, UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * * *", "2026-01-14T10:20:31"),
        ("*/15 * * * * *", "2026-01-14T10:20:45"),
        ("0 */5 * * * *", "2026-01-14T10:25:00"),
        ("*/5 * * * *", "2026-01-14T10:25:00"),
        ("0 0 * * * *", "2026-01-14T11:00:00"),
        ("0 30 9 * * *", "2026-01-15T09:30:00"),
        ("0 0 9-17/4 * * *", "2026-01-14T13:00:00"),
        ("0 0 22/1 * * *", "2026-01-14T22:00:00"),
        ("0 30 9 * * 1-5", "2026-01-15T09:30:00"),
        ("0 30 9 * * Sun", "2026-01-18T09:30:00"),
        ("0 30 9 * Jan,Mar Monday", "2026-01-19T09:30:00"),
        ("0 0 0 1 * *", "2026-02-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 0 13 * 5", "2026-02-13T00:00:00"),  # a Friday the 13th: both day fields must fit
        ("0 0 0 31 12 *", "2026-12-31T00:00:00"),
        ("30 20 10 14 1 *", "2027-01-14T10:20:30"),
        ("00:00:10", "2026-01-14T10:20:40.500000"),
        ("1.00:00:00", "2026-01-15T10:20:30.500000"),
    ],
)
def test_next_time(schedule: str, due: str) -> None:
    assert parse_schedule(schedule).next_after(WEDNESDAY) == datetime.fromisoformat(f"{due}+00:00")


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "5-1 * * * * *",
        "*/0 * * * * *",
        "a * * * * *",
        "1,,2 * * * * *",
        "0 0 0 30 2 *",
        "00:00:00",
        "25:00:00",
        "-00:01:00",
    ],
)
def test_bad_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ScheduleError):
        parse_schedule(schedule)
