"""What became of each delivery of a trace, told by the wide events of its attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.app_insights.envelopes import Envelope, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTEMPT = "dropbell.delivery.attempt"
DELIVERED = "delivered"


@dataclass(slots=True)
class Delivery:
    """One delivery and its attempts, in the order in which they were made."""

    id: str
    channel: str
    attempts: list[Envelope] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """The outcome of the last attempt."""
        return self.attempts[-1].properties.get("outcome", "unknown")


def deliveries_of(envelopes: Iterable[Envelope]) -> list[Delivery]:
    """Return the deliveries, in the order of their first attempts."""
    found: dict[str, Delivery] = {}
    events = (each for each in envelopes if each.kind is Kind.EVENT and each.name == ATTEMPT)
    for event in sorted(events, key=lambda each: each.started_at):
        identifier = event.properties.get("delivery_id", "")
        channel = event.properties.get("channel", "")
        found.setdefault(identifier, Delivery(identifier, channel)).attempts.append(event)
    return list(found.values())
