"""Moments and spans of time as people write them: ``2026-01-02``, ``2026-01-02T15:00Z``, ``24h``, ``7d``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dropbell.errors import InputError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


def parse_span(text: str) -> timedelta:
    """Read a span of time above zero: a number and one of s, m, h, d, w.

    Raises:
        InputError: It is none.
    """
    span = _span(text)
    if not span:
        raise InputError(f"{text!r} is not a span of time such as 30m, 24h or 7d.")
    return span


def parse_past(text: str, now: datetime) -> datetime:
    """Read a moment, or a span before ``now``; a time without an offset is this machine's.

    Raises:
        InputError: It is neither.
    """
    return _moment(text, now, -1)


def parse_future(text: str, now: datetime) -> datetime:
    """Read a moment, or a span from ``now`` on; a time without an offset is this machine's.

    Raises:
        InputError: It is neither.
    """
    return _moment(text, now, 1)


def _moment(text: str, now: datetime, direction: int) -> datetime:
    try:
        if (span := _span(text)) is not None:
            return now + direction * span
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text!r} is not a time such as 2026-01-02, 2026-01-02T15:00:00Z or 7d.") from error


def _span(text: str) -> timedelta | None:
    match = _SPAN.fullmatch(text.strip())
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    except OverflowError:
        return None
