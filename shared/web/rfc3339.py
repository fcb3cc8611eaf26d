"""Instants as text (RFC 3339 §5.6)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII | re.IGNORECASE,
)


def parsed(text: str) -> datetime:
    """The instant in UTC; raises ValueError for what is none, and for one without a zone."""
    try:
        if _DATE_TIME.fullmatch(text) is None:
            raise ValueError("not a date-time")
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time with its zone, such as 2030-01-31T12:00:00Z (RFC 3339)") from None
