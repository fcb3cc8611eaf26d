"""Where each delivery stands, for people and tests who look at ``GET /events``."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.event_grid.events import Event

MAX_SHOWN_EVENTS = 1000


class DeliveryState(StrEnum):
    """States of the delivery of one event to one subscription.

    ``pending → delivering → delivered | retrying | dead_lettered``; ``retrying → delivering``;
    ``pending → dropped`` when a test asked for it.
    """

    PENDING = "pending"
    DELIVERING = "delivering"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD_LETTERED = "dead_lettered"
    DROPPED = "dropped"


TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset({DeliveryState.DELIVERING, DeliveryState.DROPPED}),
        DeliveryState.DELIVERING: frozenset(
            {DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD_LETTERED}
        ),
        DeliveryState.RETRYING: frozenset({DeliveryState.DELIVERING}),
        DeliveryState.DELIVERED: frozenset(),
        DeliveryState.DEAD_LETTERED: frozenset(),
        DeliveryState.DROPPED: frozenset(),
    }
)


class IllegalTransitionError(RuntimeError):
    """A delivery was moved to a state that cannot follow its own."""


@dataclass(slots=True)
class DeliveryRecord:
    """One delivery as it is shown."""

    attempts: int = 0
    state: DeliveryState = DeliveryState.PENDING
    last_status: int | None = None
    reason: str | None = None

    def move(self, state: DeliveryState) -> None:
        """Go to ``state``.

        Raises:
            IllegalTransitionError: It cannot follow the present one.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"{self.state} → {state}")
        self.state = state

    def to_json(self) -> dict[str, object]:
        """Return the record as it is shown."""
        return {
            "state": self.state,
            "attempts": self.attempts,
            "last_status": self.last_status,
            "reason": self.reason,
        }


@dataclass(slots=True)
class EventRecord:
    """One event and its deliveries by subscription."""

    event: Event
    deliveries: dict[str, DeliveryRecord] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the record as it is shown."""
        return {
            "event": self.event,
            "deliveries": [
                {"subscription": name} | record.to_json() for name, record in self.deliveries.items()
            ],
        }


class RecentEvents:
    """The newest events, oldest first."""

    def __init__(self, limit: int = MAX_SHOWN_EVENTS) -> None:
        self._records: deque[EventRecord] = deque(maxlen=limit)

    def __iter__(self) -> Iterator[EventRecord]:
        return iter(self._records)

    def add(self, record: EventRecord) -> None:
        """Show one more event, and the oldest no longer."""
        self._records.append(record)

    def latest_about(self, subject: str) -> EventRecord | None:
        """Return the newest event about ``subject``."""
        return next((r for r in reversed(self._records) if r.event["subject"] == subject), None)
