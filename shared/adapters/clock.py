"""The system's clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """``Clock`` by the operating system."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)
