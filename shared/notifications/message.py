"""What travels: the CloudEvent a subscriber gets, and the queue message that carries it to a delivery."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shared.errors import DeadLetterError
from shared.files.file import is_file_id
from shared.notifications.delivery_record import event_of
from shared.notifications.subscription import EventType
from shared.ports import QueueMessage

if TYPE_CHECKING:
    from shared.files.file import File
    from shared.notifications.delivery_record import Delivery

SCHEMA_VERSION: Literal[1] = 1
EVENT_TYPE_PREFIX = "dropbell."
EVENT_TYPE_SUFFIX = ".v1"


class CloudEvent(BaseModel):
    """A CloudEvents 1.0 event in structured JSON form (https://github.com/cloudevents/spec, v1.0.2)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str
    data: dict[str, Any]


def file_event(file: File, event_type: EventType, *, source: str) -> CloudEvent:
    """The event that tells of ``file``: facts and a link that needs a token, no bytes.

    ``source`` is the public base URL of the service. The same file in the same state gives the same event,
    whoever makes it.
    """
    revision = f".{file.revision}" if event_type is EventType.FILE_UPDATED else ""
    return CloudEvent(
        id=f"{file.id}.{event_type.value}{revision}",
        source=source,
        type=f"{EVENT_TYPE_PREFIX}{event_type.value}{EVENT_TYPE_SUFFIX}",
        subject=file.id,
        time=(file.stored_at if event_type is EventType.FILE_STORED else file.updated_at).astimezone(UTC),
        traceparent=file.traceparent,
        data={
            "file": {
                "id": file.id,
                "name": file.name,
                "content_type": file.content_type,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256 or None,
                "labels": dict(file.labels),
                "created_at": file.accepted_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "trace_id": file.trace_id,
                "correlation_id": file.correlation_id,
                "url": f"{source.rstrip('/')}/api/v1/files/{file.id}",
                **({"reason": file.reason} if file.reason else {}),
            }
        },
    )


def _checked_file_id(file_id: str) -> str:
    if not is_file_id(file_id):
        raise ValueError("not a file id")
    return file_id


class DeliveryMessage(BaseModel):
    """One attempt of one delivery, on the queue. Fields of a newer version go on into the next message."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: Literal[1] = SCHEMA_VERSION
    owner: str
    file_id: Annotated[str, AfterValidator(_checked_file_id)]
    subscription_id: str
    delivery_id: str
    attempt: int
    """From 1."""
    looks: int = 0
    """How often this message was put off because another worker's lease still ran."""
    correlation_id: str
    event: CloudEvent
    traceparent: str | None = None
    """Where in the trace the file was announced: every attempt is a child of that.

    None in messages that an earlier version sent; the file's own position does then.
    """
    asked_by: str | None = None
    """The span of the request that asked for this round of attempts; None for the first round."""

    def to_queue(self, *, not_before: datetime | None = None) -> QueueMessage:
        """The queue's message.

        Its id is ``<delivery id>:<attempt>``, so that the queue's duplicate detection drops a second send of
        the same attempt. A look is never a duplicate: one that came, and came to nothing, must not stand in
        the way of the next.
        """
        looks = f":look-{secrets.token_hex(8)}" if self.looks else ""
        return QueueMessage(
            message_id=f"{self.delivery_id}:{self.attempt}{looks}",
            body=self.model_dump_json().encode(),
            properties={
                "file_id": self.file_id,
                "delivery_id": self.delivery_id,
                "correlation_id": self.correlation_id,
                "traceparent": self.parent,
                "schema_version": str(self.schema_version),
            },
            not_before=not_before,
        )

    @property
    def accepted_at(self) -> datetime:
        """When the file was accepted; as far as the event tells, otherwise when the event happened."""
        try:
            return datetime.fromisoformat(str(self.event.data["file"]["created_at"]))
        except (KeyError, TypeError, ValueError):
            return self.event.time

    @property
    def parent(self) -> str:
        """The ``traceparent`` that attempts are children of."""
        return self.traceparent or self.event.traceparent

    def for_round(self, attempt: int, *, asked_by: str | None) -> DeliveryMessage:
        """The message of the first attempt of another round."""
        return self.for_attempt(attempt).model_copy(update={"asked_by": asked_by})

    def for_attempt(self, attempt: int) -> DeliveryMessage:
        """The message of another attempt of the same delivery."""
        return self.model_copy(update={"attempt": attempt, "looks": 0})

    def for_another_time(self) -> DeliveryMessage:
        """The message of the same attempt, which has not been made yet; its id has never been used."""
        return self.model_copy(update={"looks": max(self.looks, 1)})

    def for_look(self) -> DeliveryMessage:
        """The message that comes back later to look again."""
        return self.model_copy(update={"looks": self.looks + 1})

    @classmethod
    def from_queue(cls, body: bytes) -> DeliveryMessage:
        """Read a message; raises DeadLetterError for one that cannot be read."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, e["loc"])) or "body" for e in error.errors()}))
            raise DeadLetterError(f"the message cannot be read; at fault: {fields}") from None


def message_of(
    delivery: Delivery, file: File, *, source: str, asked_by: str | None = None
) -> DeliveryMessage:
    """The message of the attempt that is due; it tells of the file as it is now.

    ``source`` is the service's public base URL, ``asked_by`` the ``traceparent`` of whoever asked for it.
    """
    return DeliveryMessage(
        owner=delivery.owner,
        file_id=delivery.file_id,
        subscription_id=delivery.subscription_id,
        delivery_id=delivery.id,
        attempt=delivery.attempt,
        correlation_id=file.correlation_id,
        event=file_event(file, event_of(delivery), source=source),
        asked_by=asked_by,
    )
