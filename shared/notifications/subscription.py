"""Who wants to know: a subscription, its rules and its row."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.ports import Entity

MAX_SUBSCRIPTIONS_PER_OWNER = 500
"""Keeps one owner's file from becoming a flood; up to 99 are served by one table transaction."""
ROW_KEYS = ("subscription|", "subscription}")
"""The range of row keys that holds an owner's subscriptions: ``first <= key < end``."""


class ChannelKind(StrEnum):
    """How a subscriber is told. E-mail and chat join with their channels."""

    WEBHOOK = "webhook"


class EventType(StrEnum):
    """What a subscriber can be told of."""

    FILE_STORED = "file.stored"


class SubscriptionStatus(StrEnum):
    """Whether deliveries are made.

    ::

        active ──(the target answered 410 Gone)──▶ disabled
    """

    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One wish to be told, of one owner."""

    id: str
    owner: str
    channel: ChannelKind
    target: str
    """Where to: for a webhook its URL."""
    events: frozenset[EventType]
    status: SubscriptionStatus
    sealed_secret: str
    """The signing secret, as ``SecretBox`` sealed it."""
    created_at: datetime
    etag: str = ""

    def wants(self, event_type: EventType) -> bool:
        """Whether this subscription is told of such an event."""
        return self.status is SubscriptionStatus.ACTIVE and event_type in self.events


def new_subscription_id() -> str:
    """A random id."""
    return uuid.uuid4().hex


def is_subscription_id(text: str) -> bool:
    """Whether ``text`` has the form of a subscription id."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def row_key(subscription_id: str) -> str:
    """The row of a subscription, within its owner's partition."""
    return f"subscription|{subscription_id}"


def to_entity(subscription: Subscription) -> Entity:
    """The subscription's row."""
    return Entity(
        subscription.owner,
        row_key(subscription.id),
        {
            "id": subscription.id,
            "channel": subscription.channel.value,
            "target": subscription.target,
            "events": json.dumps(sorted(subscription.events)),
            "status": subscription.status.value,
            "sealed_secret": subscription.sealed_secret,
            "created_at": subscription.created_at,
        },
        subscription.etag,
    )


def from_entity(entity: Entity) -> Subscription:
    """Read a subscription's row."""
    values = entity.values
    created_at = values["created_at"]
    if not isinstance(created_at, datetime):
        raise TypeError("created_at is not a time")
    return Subscription(
        id=str(values["id"]),
        owner=entity.partition_key,
        channel=ChannelKind(str(values["channel"])),
        target=str(values["target"]),
        events=frozenset(EventType(event) for event in json.loads(str(values["events"]))),
        status=SubscriptionStatus(str(values["status"])),
        sealed_secret=str(values["sealed_secret"]),
        created_at=created_at,
        etag=entity.etag,
    )
