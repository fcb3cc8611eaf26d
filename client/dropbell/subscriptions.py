"""Subscriptions: who is told, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from dropbell.answers import Fields
from dropbell.connection import checked_id, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dropbell.connection import Connection


@dataclass(frozen=True)
class Subscription:
    """A subscription. ``secret`` verifies webhook signatures; the service tells it once, on creation."""

    id: str
    channel: str
    target: str
    events: tuple[str, ...]
    filter: str | None
    status: str
    secret: str | None = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "subscription")
        return cls(
            id=fields.text("id"),
            channel=fields.text("channel"),
            target=fields.text("target"),
            events=fields.texts("events"),
            filter=fields.optional_text("filter"),
            status=fields.text("status"),
            secret=fields.optional_text("secret"),
            extra=fields.rest,
        )


def subscribe(connection: Connection, channel: str, target: str, events: Sequence[str]) -> Subscription:
    """Have ``target`` told about events; keep the ``secret`` of the answer, it is told this once.

    Args:
        connection: The service.
        channel: ``webhook``, ``email`` or ``chat``.
        target: A URL or an e-mail address, as the channel needs.
        events: Event names, ``file.stored``.

    Raises:
        DropbellError: As ``Connection.request`` does.
    """
    wanted = {"channel": channel, "target": target, "events": list(events)}
    return Subscription.from_json(decoded(connection.request("POST", "/subscriptions", json=wanted)))


def show(connection: Connection, subscription_id: str) -> Subscription:
    """Look at one subscription, without its secret; raises as ``Connection.request`` does."""
    path = f"/subscriptions/{checked_id(subscription_id, 'subscription')}"
    return Subscription.from_json(decoded(connection.request("GET", path)))


def unsubscribe(connection: Connection, subscription_id: str) -> None:
    """End and forget a subscription; raises as ``Connection.request`` does."""
    connection.request("DELETE", f"/subscriptions/{checked_id(subscription_id, 'subscription')}")
