"""Deliveries: the record of telling one subscriber about one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from dropbell.answers import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Attempt:
    """One try to deliver."""

    number: int
    started_at: datetime | None
    duration_ms: int | None
    outcome: str
    status_code: int | None
    detail: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "attempt")
        return cls(
            number=fields.integer("number"),
            started_at=fields.optional_time("started_at"),
            duration_ms=fields.optional_integer("duration_ms"),
            outcome=fields.text("outcome"),
            status_code=fields.optional_integer("status_code"),
            detail=fields.optional_text("detail"),
            extra=fields.rest,
        )


@dataclass(frozen=True)
class Delivery:
    """A delivery; ``status`` is queued, delivering, retrying, delivered, dead or suppressed."""

    id: str
    file_id: str
    subscription_id: str
    status: str
    attempts: tuple[Attempt, ...]
    next_attempt_at: datetime | None
    reason: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "delivery")
        return cls(
            id=fields.text("id"),
            file_id=fields.text("file_id"),
            subscription_id=fields.text("subscription_id"),
            status=fields.text("status"),
            attempts=tuple(Attempt.from_json(attempt) for attempt in fields.array("attempts")),
            next_attempt_at=fields.optional_time("next_attempt_at"),
            reason=fields.optional_text("reason"),
            extra=fields.rest,
        )
