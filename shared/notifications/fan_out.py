"""Announcing a file: one delivery for every subscription that wants it, exactly once in the ledger.

The rows and the file's ``announced`` mark are one transaction; then the messages are sent. Whatever crashes
in between, the next run of the same event sees the mark and sends the messages of deliveries still queued;
the queue drops those it has seen.
"""

from __future__ import annotations

import logging
from itertools import batched
from typing import TYPE_CHECKING, Protocol

from shared.errors import EntityChangedError, EntityExistsError
from shared.files import file as files
from shared.files import intake
from shared.files.file import FileStatus
from shared.ledger.ranges import rows
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import Delivery, DeliveryStatus
from shared.notifications.message import DeliveryMessage, file_event
from shared.notifications.subscription import EventType
from shared.ports import MAX_TRANSACTION_CHANGES, Insert, Replace
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.files.file import File
    from shared.notifications.subscription import Subscription
    from shared.ports import Change, Clock, MessageQueue, TableStore

MAX_TRIES = 4
"""Races against another run of the same event that are fought here; then the event is delivered again."""


class Arrivals(Protocol):
    """Tells which file a blob is."""

    async def file_at(self, blob_name: str) -> File | None:
        """The published file whose blob has just been made; None when that blob is no file."""
        ...


class FanOut:
    """Turns a stored file into deliveries and messages."""

    def __init__(
        self, arrivals: Arrivals, tables: TableStore, queue: MessageQueue, clock: Clock, *, public_url: str
    ) -> None:
        self._arrivals = arrivals
        self._tables = tables
        self._queue = queue
        self._clock = clock
        self._public_url = public_url

    async def announce(self, blob_name: str) -> None:
        """Carry out what a BlobCreated event asks for; safe to run any number of times, also at once."""
        file = await self._arrivals.file_at(blob_name)
        if file is None:
            return
        pending = await self._announced(file)
        messages = [self._message(file, delivery) for delivery in pending]
        if messages:
            await self._queue.send([message.to_queue() for message in messages])
        record(
            Event.FILE_ANNOUNCED,
            file_id=file.id,
            trace_id=file.trace_id,
            correlation_id=file.correlation_id,
            deliveries=len(messages),
        )

    async def look(self, owner: str, file_id: str) -> datetime | None:
        """See to a file whose event should have come by now: announce it if it has not been.

        Also sends the messages of deliveries that are still queued; the queue drops those it has seen.
        """
        file = await self._arrivals.file_at(files.blob_name(owner, file_id))
        if file is not None and file.status is not FileStatus.SETTLED:
            if file.status is FileStatus.STORED:
                record(
                    Event.EVENT_MISSED,
                    level=logging.WARNING,
                    file_id=file.id,
                    trace_id=file.trace_id,
                    correlation_id=file.correlation_id,
                )
            await self.announce(files.blob_name(owner, file_id))
        return None

    async def _announced(self, file: File) -> Sequence[Delivery]:
        """Make the deliveries unless they are there; returns those whose message may have to be sent."""
        for tries_left in reversed(range(MAX_TRIES)):
            known = await deliveries_of(self._tables, file)
            if file.status is not FileStatus.STORED:
                return _queued(known)
            wanted = [self._delivery(file, subscription) for subscription in await self._wanting(file)]
            made = {delivery.id for delivery in known}
            missing = [delivery for delivery in wanted if delivery.id not in made]
            status = FileStatus.ANNOUNCED if wanted or known else FileStatus.SETTLED
            mark = file.moved_to(status, self._clock.now())
            try:
                for changes in transactions(missing, mark):
                    await self._tables.apply(changes)
            except (EntityChangedError, EntityExistsError):
                if not tries_left:
                    raise
                file = await intake.find(self._tables, file.owner, file.id) or mark
            else:
                return [*missing, *_queued(known)]
        raise AssertionError("unreachable: the last lost race raises")

    async def _wanting(self, file: File) -> Sequence[Subscription]:
        first, end = subscriptions.ROW_KEYS
        everyone = rows(self._tables, file.owner, first_row_key=first, end_row_key=end)
        found = [subscriptions.from_entity(entity) async for entity in everyone]
        return [subscription for subscription in found if subscription.wants(EventType.FILE_STORED)]

    def _delivery(self, file: File, subscription: Subscription) -> Delivery:
        return Delivery(
            id=deliveries.delivery_id(file.id, EventType.FILE_STORED, subscription.id),
            owner=file.owner,
            file_id=file.id,
            subscription_id=subscription.id,
            status=DeliveryStatus.QUEUED,
            attempt=1,
            epoch=0,
            created_at=self._clock.now(),
        )

    def _message(self, file: File, delivery: Delivery) -> DeliveryMessage:
        return DeliveryMessage(
            owner=file.owner,
            file_id=file.id,
            subscription_id=delivery.subscription_id,
            delivery_id=delivery.id,
            attempt=delivery.attempt,
            correlation_id=file.correlation_id,
            event=file_event(file, EventType.FILE_STORED, source=self._public_url),
        )


def _queued(found: Sequence[Delivery]) -> Sequence[Delivery]:
    return [delivery for delivery in found if delivery.status is DeliveryStatus.QUEUED]


def transactions(missing: Sequence[Delivery], mark: File) -> Sequence[Sequence[Change]]:
    """The inserts in as few transactions as the limit allows, the file's mark in the last."""
    changes: list[Change] = [Insert(deliveries.to_entity(delivery)) for delivery in missing]
    changes.append(Replace(files.to_entity(mark)))
    return list(batched(changes, MAX_TRANSACTION_CHANGES, strict=False))


async def deliveries_of(tables: TableStore, file: File) -> Sequence[Delivery]:
    """All deliveries of the file."""
    first, end = deliveries.row_keys_of_file(file.id)
    found = rows(tables, file.owner, first_row_key=first, end_row_key=end)
    return [deliveries.from_entity(entity) async for entity in found]
