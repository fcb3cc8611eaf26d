"""Moments and spans as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dropbell.errors import InputError
from dropbell.moments import parse_future, parse_past, parse_span

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "h", "24", "0h", "-1h", "1.5h", "1 h", "1y", "٣h", "999999999w"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a span"):
        parse_span(text)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "2026-01-02T25:00", "12/31/2026", "999999999w"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        parse_past(text, NOW)
    with pytest.raises(InputError, match="is not a time"):
        parse_future(text, NOW)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("2w", timedelta(14)),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


def test_moments() -> None:
    assert parse_past("7d", NOW) == NOW - timedelta(days=7)
    assert parse_future("7d", NOW) == NOW + timedelta(days=7)
    assert parse_past("2026-01-02T03:04:05Z", NOW) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_past("2026-01-02T03:04:05+02:00", NOW) == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    local_midnight = datetime(2026, 1, 2).astimezone()
    assert parse_past("2026-01-02", NOW) == local_midnight
