"""How a subscriber is told: one file for each channel, one outcome type for all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared.notifications.message import CloudEvent
    from shared.notifications.subscription import Subscription


class Verdict(Enum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"
    TRY_AGAIN = "try again"
    REJECTED = "rejected for good"


class Fault(Enum):
    """Who has to do something about an attempt that failed."""

    TARGET = "target"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, as its channel saw it."""

    verdict: Verdict
    detail: str
    """For the subscriber's eyes: what happened, in a few words, without anything the target sent."""
    status_code: int | None = None
    retry_after_seconds: float | None = None
    """How long the target asked to be left alone."""
    answer_start: str | None = None
    """The first characters of what the target said; only the owner gets to see it."""
    whose_fault: Fault = Fault.TARGET
    """Whose, when it did not go well: only the target's own failures count against it."""
    target_gone: bool = False
    """The target asked never to be told again: the subscription ends."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What is handed to a channel."""

    delivery_id: str
    subscription: Subscription
    event: CloudEvent
    correlation_id: str
    traceparent: str
    """The span of this attempt."""


class Channel(Protocol):
    """Tells one subscriber."""

    async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """Try once, within ``timeout_seconds``; every failure of the target is an outcome, not an error."""
        ...
