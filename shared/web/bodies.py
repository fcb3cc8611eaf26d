"""The JSON bodies of the API: what is taken and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, Field, PlainSerializer

from shared.notifications.subscription import ChannelKind, EventType
from shared.web.entity_tag import entity_tag, file_tag
from shared.web.json_body import JsonBody

if TYPE_CHECKING:
    from shared.files.file import File
    from shared.notifications.delivery_record import Attempt, Delivery
    from shared.notifications.subscription import Subscription


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


type Instant = Annotated[datetime, PlainSerializer(_rfc3339, when_used="json")]


class FileBody(BaseModel):
    """A file."""

    id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    status: str
    labels: dict[str, str]
    created_at: Instant
    stored_at: Instant
    announced_at: Instant | None
    settled_at: Instant | None
    updated_at: Instant
    expires_at: Instant | None
    deleted_at: Instant | None
    reason: str | None
    trace_id: str
    correlation_id: str
    etag: str

    @classmethod
    def of(cls, file: File) -> Self:
        """The answer for ``file``."""
        return cls(
            id=file.id,
            name=file.name,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            status=file.status.value,
            labels=dict(file.labels),
            created_at=file.accepted_at,
            stored_at=file.stored_at,
            announced_at=file.announced_at,
            settled_at=file.settled_at,
            updated_at=file.updated_at,
            expires_at=file.expires_at,
            deleted_at=file.deleted_at,
            reason=file.reason,
            trace_id=file.trace_id,
            correlation_id=file.correlation_id,
            etag=file_tag(file),
        )


class AttemptBody(BaseModel):
    """One attempt of a delivery."""

    number: int
    started_at: Instant
    duration_ms: int
    outcome: str
    status_code: int | None = None
    detail: str | None = None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """The answer for ``attempt``."""
        return cls(
            number=attempt.number,
            started_at=attempt.started_at,
            duration_ms=attempt.duration_ms,
            outcome=attempt.outcome.value,
            status_code=attempt.status_code,
            detail=attempt.detail,
        )


class DeliveryBody(BaseModel):
    """A delivery and all its attempts."""

    id: str
    file_id: str
    subscription_id: str
    status: str
    attempts: list[AttemptBody]
    queued_at: Instant | None
    next_attempt_at: Instant | None
    settled_at: Instant | None
    reason: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The answer for ``delivery``."""
        return cls(
            id=delivery.id,
            file_id=delivery.file_id,
            subscription_id=delivery.subscription_id,
            status=delivery.status.value,
            attempts=[AttemptBody.of(attempt) for attempt in delivery.attempts],
            queued_at=delivery.queued_at,
            next_attempt_at=delivery.next_attempt_at,
            settled_at=delivery.settled_at,
            reason=delivery.reason,
        )


class DeliveryList(BaseModel):
    """A page of deliveries."""

    items: list[DeliveryBody]
    next_cursor: str | None = None


class NewSubscription(JsonBody):
    """A wish to be told."""

    channel: Annotated[ChannelKind, Field(strict=False)]
    target: str
    events: Annotated[list[Annotated[EventType, Field(strict=False)]], Field(min_length=1)] = Field(
        default=[EventType.FILE_STORED]
    )
    filter: None = None
    """Not taken yet."""


class SubscriptionBody(BaseModel):
    """A subscription; ``secret`` only in the answer to its creation."""

    id: str
    channel: str
    target: str
    events: list[str]
    filter: None = None
    status: str
    created_at: Instant
    etag: str
    secret: str | None = None

    @classmethod
    def of(cls, subscription: Subscription, *, secret: str | None = None) -> Self:
        """The answer for ``subscription``."""
        return cls(
            id=subscription.id,
            channel=subscription.channel.value,
            target=subscription.target,
            events=sorted(event.value for event in subscription.events),
            status=subscription.status.value,
            created_at=subscription.created_at,
            etag=entity_tag(subscription.etag),
            secret=secret,
        )
