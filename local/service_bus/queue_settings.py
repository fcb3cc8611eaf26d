"""How a queue behaves."""

from __future__ import annotations

from dataclasses import dataclass

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How a queue behaves; times in milliseconds, ``None`` where there is no limit."""

    name: str
    lock_duration_ms: int = 60_000
    max_delivery_count: int | None = 10
    default_time_to_live_ms: int | None = None
    dead_letter_on_expiration: bool = False
    requires_session: bool = False
    duplicate_window_ms: int | None = None

    def for_dead_letters(self) -> QueueSettings:
        """Dead letters never expire, are delivered without limit, and are not in sessions."""
        name = self.name + DEAD_LETTER_SUFFIX
        return QueueSettings(name, self.lock_duration_ms, max_delivery_count=None)
