"""Who wants to know: a subscription, its rules and its row."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.files.events import EventType
from shared.ledger.newer import newer
from shared.ports import Entity, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBSCRIPTIONS_PER_OWNER = 500
"""Keeps one owner's file from becoming a flood; up to 99 are served by one table transaction."""
ROW_KEYS = ("subscription|", "subscription}")
"""The range of row keys that holds an owner's subscriptions: ``first <= key < end``."""


class ChannelKind(StrEnum):
    """How a subscriber is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    CHAT = "chat"


class SubscriptionStatus(StrEnum):
    """Whether deliveries are made.

    ::

        pending ──▶ active ◀──▶ paused
           │          │ ▲          │
           │          ▼ │          │
           └──────▶ disabled ◀─────┘
    """

    PENDING = "pending"
    """Its target has not proved yet that it wants to be told."""
    ACTIVE = "active"
    PAUSED = "paused"
    """Its owner wants nothing for a while; what happens meanwhile is not told later."""
    DISABLED = "disabled"
    """The target is gone or has failed for days, or its reader unsubscribed; ``status_reason`` says which."""


TRANSITIONS: Mapping[SubscriptionStatus, frozenset[SubscriptionStatus]] = {
    SubscriptionStatus.PENDING: frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.DISABLED}),
    SubscriptionStatus.ACTIVE: frozenset({SubscriptionStatus.PAUSED, SubscriptionStatus.DISABLED}),
    SubscriptionStatus.PAUSED: frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.DISABLED}),
    SubscriptionStatus.DISABLED: frozenset({SubscriptionStatus.PENDING, SubscriptionStatus.ACTIVE}),
}


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A signing secret, as ``SecretBox`` sealed it."""

    sealed: str
    retires_at: datetime | None = None
    """After a rotation the one before signs, too, until then; None: it does not retire."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One wish to be told."""

    id: str
    owner: str
    """Its partition: that of its owner, or of a whole tenant."""
    channel: ChannelKind
    target: str
    """Where to: a URL, or for e-mail an address."""
    events: frozenset[EventType]
    status: SubscriptionStatus
    secrets: tuple[SealedSecret, ...]
    """The newest first. E-mail and chat have one, too; it signs the links to unsubscribe."""
    created_at: datetime
    updated_at: datetime
    filter: str | None = None
    """Which files (``shared.notifications.filter``); None for all."""
    status_reason: str | None = None
    is_tenant_wide: bool = False
    """It is told of the files of everybody in the tenant."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    def wants(self, event_type: EventType) -> bool:
        """Whether this subscription is told of such events; its filter is another question."""
        return self.status is SubscriptionStatus.ACTIVE and event_type in self.events

    def live_secrets(self, now: datetime) -> tuple[str, ...]:
        """The sealed secrets that sign now, the newest first."""
        return tuple(each.sealed for each in self.secrets if each.retires_at is None or now < each.retires_at)

    def moved_to(
        self, status: SubscriptionStatus, now: datetime, *, reason: str | None = None
    ) -> Subscription:
        """The subscription in another status; raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a subscription cannot go from {self.status} to {status}")
        return replace(self, status=status, updated_at=now, status_reason=reason)


_SEALED_SECRET = "sealed_secret"  # noqa: S105 - the name of a property of the first version's rows
_KNOWN = frozenset({_SEALED_SECRET, *(each.name for each in fields(Subscription))})


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
    values: dict[str, Value] = {
        **subscription.newer,
        "id": subscription.id,
        "channel": subscription.channel.value,
        "target": subscription.target,
        "events": json.dumps(sorted(subscription.events)),
        "status": subscription.status.value,
        "secrets": json.dumps(
            [
                {"sealed": each.sealed, "retires_at": each.retires_at and each.retires_at.isoformat()}
                for each in subscription.secrets
            ]
        ),
        "created_at": subscription.created_at,
        "updated_at": subscription.updated_at,
        "is_tenant_wide": subscription.is_tenant_wide,
    }
    if subscription.filter is not None:
        values["filter"] = subscription.filter
    if subscription.status_reason is not None:
        values["status_reason"] = subscription.status_reason
    return Entity(subscription.owner, row_key(subscription.id), values, subscription.etag)


def from_entity(entity: Entity) -> Subscription:
    """Read a subscription's row."""
    values = entity.values
    created_at = _instant(values["created_at"])
    return Subscription(
        id=str(values["id"]),
        owner=entity.partition_key,
        channel=ChannelKind(str(values["channel"])),
        target=str(values["target"]),
        events=frozenset(EventType(event) for event in json.loads(str(values["events"]))),
        status=SubscriptionStatus(str(values["status"])),
        secrets=_secrets(values),
        created_at=created_at,
        updated_at=_instant(values.get("updated_at", created_at)),
        filter=str(values["filter"]) if "filter" in values else None,
        status_reason=str(values["status_reason"]) if "status_reason" in values else None,
        is_tenant_wide=bool(values.get("is_tenant_wide", False)),
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )


def _secrets(values: Mapping[str, Value]) -> tuple[SealedSecret, ...]:
    if "secrets" not in values:  # a row of the first version
        return (SealedSecret(str(values[_SEALED_SECRET])),)
    return tuple(
        SealedSecret(
            each["sealed"], datetime.fromisoformat(each["retires_at"]) if each["retires_at"] else None
        )
        for each in json.loads(str(values["secrets"]))
    )


def _instant(value: Value) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"a time was expected in the row, not {type(value).__name__}")
    return value


__all__ = [
    "ROW_KEYS",
    "TRANSITIONS",
    "ChannelKind",
    "EventType",
    "SealedSecret",
    "Subscription",
    "SubscriptionStatus",
    "from_entity",
    "is_subscription_id",
    "new_subscription_id",
    "row_key",
    "to_entity",
]
