"""What its owner may change of a subscription: a pure decision from the present one and the wish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from shared.errors import ConflictError
from shared.notifications.subscription import SubscriptionStatus
from shared.notifications.unsubscribing import UNSUBSCRIBED

if TYPE_CHECKING:
    from datetime import datetime

    from shared.notifications.subscription import EventType, Subscription


class Leave(Enum):
    """The part of a patch that says nothing."""

    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class SubscriptionPatch:
    """What shall be different; target and filter are checked ones."""

    target: str | Literal[Leave.LEAVE] = Leave.LEAVE
    events: frozenset[EventType] | Literal[Leave.LEAVE] = Leave.LEAVE
    filter: str | Literal[Leave.LEAVE] | None = Leave.LEAVE
    """None: all files."""
    is_paused: bool | Literal[Leave.LEAVE] = Leave.LEAVE

    def applied(self, present: Subscription, now: datetime, *, must_prove_itself: bool) -> Subscription:
        """The subscription as it shall be; raises ConflictError for a status it cannot be brought to.

        ``must_prove_itself`` says that the target, the new one if there is one, has to pass a challenge
        before it is told anything.
        """
        changed = replace(
            present,
            events=present.events if self.events is Leave.LEAVE else self.events,
            filter=present.filter if self.filter is Leave.LEAVE else self.filter,
            updated_at=now,
        )
        if self.target is not Leave.LEAVE and self.target != present.target:
            changed = _aimed_at(self.target, changed, must_prove_itself=must_prove_itself)
            if changed.status is SubscriptionStatus.PENDING:
                return changed  # whether it is paused is settled once the new target has proved itself
        match self.is_paused:
            case True:
                return _paused(changed, now)
            case False:
                return _resumed(changed, now, must_prove_itself=must_prove_itself)
            case _:
                return changed

    def leaves_paused(self, present: Subscription) -> bool:
        """Whether the subscription shall be paused afterwards."""
        if self.is_paused is Leave.LEAVE:
            return present.status is SubscriptionStatus.PAUSED
        return self.is_paused


def proven(present: Subscription, now: datetime, *, then_paused: bool) -> Subscription:
    """The pending subscription, now that its target has passed the challenge."""
    active = present.moved_to(SubscriptionStatus.ACTIVE, now)
    return active.moved_to(SubscriptionStatus.PAUSED, now) if then_paused else active


def _aimed_at(target: str, changed: Subscription, *, must_prove_itself: bool) -> Subscription:
    """With another target it begins as a new subscription does; what the old one proved is worth nothing.

    No failure of the old target counts against the new one either: a disabled subscription comes back.
    """
    if must_prove_itself:
        status = SubscriptionStatus.PENDING
    elif changed.status is SubscriptionStatus.PAUSED:
        status = SubscriptionStatus.PAUSED
    else:
        status = SubscriptionStatus.ACTIVE
    return replace(changed, target=target, status=status, status_reason=None)


def _paused(changed: Subscription, now: datetime) -> Subscription:
    match changed.status:
        case SubscriptionStatus.PAUSED:
            return changed
        case SubscriptionStatus.ACTIVE:
            return changed.moved_to(SubscriptionStatus.PAUSED, now)
        case SubscriptionStatus.PENDING:
            raise ConflictError(
                "The subscription's target has not proved itself yet; there is nothing to pause.",
                code="target-not-proven",
            )
        case SubscriptionStatus.DISABLED:
            raise ConflictError(
                "The subscription is disabled; there is nothing to pause.", code="subscription-disabled"
            )


def _resumed(changed: Subscription, now: datetime, *, must_prove_itself: bool) -> Subscription:
    match changed.status:
        case SubscriptionStatus.ACTIVE | SubscriptionStatus.PENDING:
            return changed  # what is pending becomes active by the challenge that follows
        case SubscriptionStatus.PAUSED:
            return changed.moved_to(SubscriptionStatus.ACTIVE, now)
        case SubscriptionStatus.DISABLED if changed.status_reason == UNSUBSCRIBED:
            raise ConflictError(
                "Whom it was sent to has unsubscribed; only they can ask for it again.",
                code="subscription-disabled",
            )
        case SubscriptionStatus.DISABLED:
            following = SubscriptionStatus.PENDING if must_prove_itself else SubscriptionStatus.ACTIVE
            return changed.moved_to(following, now)
