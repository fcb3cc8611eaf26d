"""The JSON bodies of deliveries. No secret is in them, and no target: that is the subscription's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field

from shared.files.events import EventType
from shared.files.file import FileStatus
from shared.notifications.delivery_record import SETTLED, event_of
from shared.web.bodies import FileBody, Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.files.file import File
    from shared.notifications.delivery_record import Attempt, Delivery


class AttemptBody(BaseModel):
    """One attempt of a delivery."""

    number: int
    started_at: Instant
    duration_ms: int
    outcome: str
    status_code: int | None = None
    detail: str | None = None
    answer_start: str | None = Field(
        None,
        description="How the target's answer began; left out when it gave none, and where the subscription "
        "is somebody else's.",
        exclude_if=lambda answer: answer is None,
    )

    @classmethod
    def of(cls, attempt: Attempt, *, with_answer: bool) -> Self:
        """The answer for ``attempt``."""
        return cls(
            number=attempt.number,
            started_at=attempt.started_at,
            duration_ms=attempt.duration_ms,
            outcome=attempt.outcome.value,
            status_code=attempt.status_code,
            detail=attempt.detail,
            answer_start=attempt.answer_start if with_answer else None,
        )


class DeliveryBody(BaseModel):
    """A delivery and all its attempts."""

    id: str
    file_id: str
    subscription_id: str
    event: str = Field(
        description="What is told of the file.",
        json_schema_extra={"enum": [each.value for each in EventType]},
    )
    status: str
    attempts: list[AttemptBody]
    queued_at: Instant | None
    next_attempt_at: Instant | None
    settled_at: Instant | None
    reason: str | None
    redrives: int = Field(description="How often it was begun anew after it had been settled.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """What the file's owner is told: of subscriptions of the whole tenant not what their targets say."""
        is_own = delivery.subscription_partition == delivery.owner
        return cls(
            id=delivery.id,
            file_id=delivery.file_id,
            subscription_id=delivery.subscription_id,
            event=event_of(delivery).value,
            status=delivery.status.value,
            attempts=[AttemptBody.of(attempt, with_answer=is_own) for attempt in delivery.attempts],
            queued_at=delivery.queued_at,
            next_attempt_at=delivery.next_attempt_at,
            settled_at=delivery.settled_at,
            reason=delivery.reason,
            redrives=delivery.redrives,
        )


class DeliveryList(BaseModel):
    """A page of deliveries, those of the newest file first. It can be short and still not be the last."""

    items: list[DeliveryBody] = Field(description="The deliveries.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null after the last one."
    )


class FileProgress(BaseModel):
    """A file and who has been told of it, at one moment."""

    file: FileBody = Field(description="The file.")
    deliveries: list[DeliveryBody] = Field(description="All its deliveries.")
    settled: bool = Field(description="Whether nothing is under way any more.")

    @classmethod
    def of(cls, file: File, deliveries: Iterable[Delivery]) -> Self:
        """The answer for ``file`` and its ``deliveries``."""
        told = list(deliveries)
        return cls(
            file=FileBody.of(file),
            deliveries=[DeliveryBody.of(delivery) for delivery in told],
            settled=is_settled(file, told),
        )


def is_settled(file: File, deliveries: Iterable[Delivery]) -> bool:
    """Whether there is nothing to wait for: all who want the file are known, and none is being told."""
    return file.status not in {FileStatus.RECEIVING, FileStatus.STORED, FileStatus.ANNOUNCED} and all(
        delivery.status in SETTLED for delivery in deliveries
    )
