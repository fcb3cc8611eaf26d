"""A delivery as the ledger knows it: its states, its attempts, its row, and the pure decisions on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from shared.files.events import EventType
from shared.files.file import newest_first
from shared.ledger.newer import newer
from shared.ports import Entity, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DeliveryStatus(StrEnum):
    """Where a delivery is.

    ::

        queued ──▶ delivering ──▶ delivered
                    │  ▲   ├────▶ dead
                    ▼  │   └────▶ suppressed
                   retrying

    What is settled (the three on the right) comes back to ``queued`` by a redrive, which begins a new round
    of attempts.
    """

    QUEUED = "queued"
    """Its first attempt's message is on the queue, or about to be."""
    DELIVERING = "delivering"
    """A worker holds the lease and is sending."""
    RETRYING = "retrying"
    """The last attempt failed; the next is scheduled."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; its message goes to the dead-letter queue."""
    SUPPRESSED = "suppressed"
    """Not wanted any more: the subscription is gone or disabled."""


TRANSITIONS: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.QUEUED: frozenset({DeliveryStatus.DELIVERING}),
    DeliveryStatus.RETRYING: frozenset({DeliveryStatus.DELIVERING}),
    DeliveryStatus.DELIVERING: frozenset(
        {
            DeliveryStatus.DELIVERING,  # another worker takes over when the lease has run out
            DeliveryStatus.RETRYING,
            DeliveryStatus.DELIVERED,
            DeliveryStatus.DEAD,
            DeliveryStatus.SUPPRESSED,
        }
    ),
    DeliveryStatus.DELIVERED: frozenset({DeliveryStatus.QUEUED}),
    DeliveryStatus.DEAD: frozenset({DeliveryStatus.QUEUED}),
    DeliveryStatus.SUPPRESSED: frozenset({DeliveryStatus.QUEUED}),
}
SETTLED = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.DEAD, DeliveryStatus.SUPPRESSED})
"""Nothing follows by itself, only when somebody asks for a redrive."""

MAX_ATTEMPTS_CARRIED = 10
"""Attempts of earlier rounds that a redrive keeps in the row, the latest; a property holds 32 Ki characters
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model)."""


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It may go better later."""
    REJECTED = "rejected"
    """It will never go."""
    HELD = "held"
    """Nothing was sent: the target has been failing, and others find out whether it still is."""
    INTERRUPTED = "interrupted"
    """The worker was gone before it could say."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to tell one subscriber."""

    number: int
    started_at: datetime
    duration_ms: int
    outcome: AttemptOutcome
    status_code: int | None = None
    detail: str | None = None
    answer_start: str | None = None
    """The first characters of the target's answer, for the owner's eyes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (file event, subscription)."""

    id: str
    owner: str
    file_id: str
    subscription_id: str
    status: DeliveryStatus
    attempt: int
    """The number of the attempt that is due or under way, from 1; it goes on over redrives."""
    epoch: int
    """Counts the claims; a worker whose epoch is behind has been overtaken."""
    created_at: datetime
    attempts: Sequence[Attempt] = ()
    queued_at: datetime | None = None
    """When the queue took the first message."""
    claimed_at: datetime | None = None
    lease_ends_at: datetime | None = None
    next_attempt_at: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    first_attempt: int = 1
    """The number of this round's first attempt; a redrive begins a round, and the retry schedule anew."""
    redrives: int = 0
    redriven_at: datetime | None = None
    redriven_by: str | None = None
    """Who asked for the latest redrive."""
    held_since: datetime | None = None
    """Since when the attempt that is due has been waiting for a failing target."""
    subscription_owner: str = ""
    """The partition of the subscription; empty when it is the delivery's own."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    @property
    def subscription_partition(self) -> str:
        """Where its subscription is."""
        return self.subscription_owner or self.owner

    @property
    def attempt_of_round(self) -> int:
        """``attempt`` as the retry schedule counts it: from 1 in every round."""
        return self.attempt - self.first_attempt + 1

    def moved_to(self, status: DeliveryStatus) -> Delivery:
        """The delivery in its next state; raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a delivery cannot go from {self.status} to {status}")
        return replace(self, status=status, lease_ends_at=None, next_attempt_at=None)


def requeued(delivery: Delivery, now: datetime, by: str) -> Delivery:
    """A settled delivery put back for another round, as ``by`` asked.

    The new attempt's number has never been used, so its message's id has not either: the queue's duplicate
    detection lets it through. Raises ValueError for a delivery that is not settled.
    """
    following = delivery.attempt + 1
    return replace(
        delivery.moved_to(DeliveryStatus.QUEUED),
        attempt=following,
        first_attempt=following,
        attempts=tuple(delivery.attempts[-MAX_ATTEMPTS_CARRIED:]),
        redrives=delivery.redrives + 1,
        redriven_at=now,
        redriven_by=by,
        settled_at=None,
        reason=None,
    )


def delivery_id(
    file_id: str, event_type: EventType, subscription_id: str, *, revision: int | None = None
) -> str:
    """Made of what it is about, so that whoever fans out the same event makes the same delivery.

    A change happens once in each revision, everything else once in a file's life.

    Free of full stops: it becomes the ``webhook-id``, and Standard Webhooks joins the signed parts with them.
    """
    what = event_type.value.replace(".", "-")
    if event_type is EventType.FILE_UPDATED and revision is not None:
        what += f"-{revision}"
    return f"{file_id}_{what}_{subscription_id}"


def is_about(delivery: Delivery, event_type: EventType) -> bool:
    """Whether the delivery tells of such an event."""
    what = delivery.id.split("_")[1]
    name = event_type.value.replace(".", "-")
    return what == name or what.startswith(f"{name}-")


def event_of(delivery: Delivery) -> EventType:
    """What the delivery tells of."""
    return next(each for each in EventType if is_about(delivery, each))


def row_key(file_id: str, delivery: str) -> str:
    """The row of a delivery, within its owner's partition."""
    return f"delivery|{newest_first(file_id)}|{delivery}"


def row_keys_of_file(file_id: str) -> tuple[str, str]:
    """The range of row keys that holds a file's deliveries: ``first <= key < end``."""
    start = f"delivery|{newest_first(file_id)}"
    return f"{start}|", f"{start}}}"


class Turn(Enum):
    """What the holder of a message may do."""

    SEND = "send"
    """The claim is ours: send."""
    GIVE_UP = "give up"
    """The claim is ours, but the interrupted attempt was the last one: settle as dead."""
    FINISH = "finish"
    """Nothing to do: settled already, or this message is behind."""
    SCHEDULE_NEXT = "schedule next"
    """The attempt that is due has another message, which may be missing: send it (again)."""
    LOOK_LATER = "look later"
    """Another worker's lease still runs: come back at its end."""
    DEAD_LETTER = "dead-letter"
    """Given up: the message must end in the dead-letter queue."""


def take_turn(
    delivery: Delivery, *, attempt: int, now: datetime, lease_seconds: float, max_attempts: int
) -> tuple[Delivery | None, Turn]:
    """Decide what the holder of the message for ``attempt`` may do; the new row where it makes a claim."""
    match delivery.status:
        case DeliveryStatus.QUEUED | DeliveryStatus.RETRYING if attempt < delivery.attempt:
            return None, Turn.SCHEDULE_NEXT
        case _ if attempt < delivery.first_attempt:
            # A message from before a redrive: whatever became of the delivery since is not its concern.
            return None, Turn.FINISH
        case DeliveryStatus.DEAD:
            return None, Turn.DEAD_LETTER
        case DeliveryStatus.DELIVERED | DeliveryStatus.SUPPRESSED:
            return None, Turn.FINISH
        case DeliveryStatus.DELIVERING if delivery.lease_ends_at is not None and now < delivery.lease_ends_at:
            return None, Turn.LOOK_LATER
        case DeliveryStatus.DELIVERING:
            return _take_over(delivery, now, lease_seconds, max_attempts)
        case _:
            return _claim(delivery, now, lease_seconds), Turn.SEND


def _claim(delivery: Delivery, now: datetime, lease_seconds: float) -> Delivery:
    return replace(
        delivery.moved_to(DeliveryStatus.DELIVERING),
        epoch=delivery.epoch + 1,
        claimed_at=now,
        lease_ends_at=now + timedelta(seconds=lease_seconds),
    )


def _take_over(
    delivery: Delivery, now: datetime, lease_seconds: float, max_attempts: int
) -> tuple[Delivery, Turn]:
    """A worker vanished in mid-attempt: its attempt counts, so that one that kills workers ends some time."""
    started_at = delivery.claimed_at or now
    interrupted = Attempt(
        number=delivery.attempt,
        started_at=started_at,
        duration_ms=round((now - started_at) / timedelta(milliseconds=1)),
        outcome=AttemptOutcome.INTERRUPTED,
        detail="the worker was gone before the attempt ended",
    )
    claimed = _claim(delivery, now, lease_seconds)
    if delivery.attempt not in {attempt.number for attempt in delivery.attempts}:
        claimed = replace(claimed, attempts=(*delivery.attempts, interrupted))
    if delivery.attempt_of_round >= max_attempts:
        return claimed, Turn.GIVE_UP
    return replace(claimed, attempt=delivery.attempt + 1), Turn.SEND


_KNOWN = frozenset(each.name for each in fields(Delivery))


def to_entity(delivery: Delivery) -> Entity:
    """The delivery's row."""
    values: dict[str, Value | None] = {
        **delivery.newer,
        "id": delivery.id,
        "file_id": delivery.file_id,
        "subscription_id": delivery.subscription_id,
        "status": delivery.status.value,
        "attempt": delivery.attempt,
        "epoch": delivery.epoch,
        "created_at": delivery.created_at,
        "attempts": json.dumps([_attempt_to_json(attempt) for attempt in delivery.attempts]),
        "queued_at": delivery.queued_at,
        "claimed_at": delivery.claimed_at,
        "lease_ends_at": delivery.lease_ends_at,
        "next_attempt_at": delivery.next_attempt_at,
        "settled_at": delivery.settled_at,
        "reason": delivery.reason,
        "first_attempt": delivery.first_attempt,
        "redrives": delivery.redrives,
        "redriven_at": delivery.redriven_at,
        "redriven_by": delivery.redriven_by,
        "held_since": delivery.held_since,
        "subscription_owner": delivery.subscription_owner or None,
    }
    return Entity(
        delivery.owner,
        row_key(delivery.file_id, delivery.id),
        {name: value for name, value in values.items() if value is not None},
        delivery.etag,
    )


def from_entity(entity: Entity) -> Delivery:
    """Read a delivery's row."""
    values = entity.values
    return Delivery(
        id=str(values["id"]),
        owner=entity.partition_key,
        file_id=str(values["file_id"]),
        subscription_id=str(values["subscription_id"]),
        status=DeliveryStatus(str(values["status"])),
        attempt=int(str(values["attempt"])),
        epoch=int(str(values["epoch"])),
        created_at=_required_instant(values, "created_at"),
        attempts=tuple(_attempt_from_json(item) for item in json.loads(str(values["attempts"]))),
        queued_at=_instant(values, "queued_at"),
        claimed_at=_instant(values, "claimed_at"),
        lease_ends_at=_instant(values, "lease_ends_at"),
        next_attempt_at=_instant(values, "next_attempt_at"),
        settled_at=_instant(values, "settled_at"),
        reason=str(values["reason"]) if "reason" in values else None,
        first_attempt=int(str(values.get("first_attempt", 1))),
        redrives=int(str(values.get("redrives", 0))),
        redriven_at=_instant(values, "redriven_at"),
        redriven_by=str(values["redriven_by"]) if "redriven_by" in values else None,
        held_since=_instant(values, "held_since"),
        subscription_owner=str(values.get("subscription_owner", "")),
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )


def _instant(values: Mapping[str, Value], name: str) -> datetime | None:
    value = values.get(name)
    if value is not None and not isinstance(value, datetime):
        raise TypeError(f"{name} is not a time")
    return value


def _required_instant(values: Mapping[str, Value], name: str) -> datetime:
    value = _instant(values, name)
    if value is None:
        raise TypeError(f"{name} is missing")
    return value


def _attempt_to_json(attempt: Attempt) -> dict[str, str | int]:
    fields: dict[str, str | int | None] = {
        "number": attempt.number,
        "started_at": attempt.started_at.isoformat(),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome.value,
        "status_code": attempt.status_code,
        "detail": attempt.detail,
        "answer_start": attempt.answer_start,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _attempt_from_json(fields: Mapping[str, str | int]) -> Attempt:
    status_code = fields.get("status_code")
    detail, answer_start = fields.get("detail"), fields.get("answer_start")
    return Attempt(
        number=int(fields["number"]),
        started_at=datetime.fromisoformat(str(fields["started_at"])),
        duration_ms=int(fields["duration_ms"]),
        outcome=AttemptOutcome(str(fields["outcome"])),
        status_code=None if status_code is None else int(status_code),
        detail=None if detail is None else str(detail),
        answer_start=None if answer_start is None else str(answer_start),
    )


def is_under_way(entity: Entity) -> bool:
    """Whether the row is that of a delivery that is not settled."""
    return entity.row_key.startswith("delivery|") and entity.values["status"] not in SETTLED
