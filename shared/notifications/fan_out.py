"""Announcing a file: one delivery for every subscription that wants it, exactly once in the ledger.

The rows and the file's ``announced`` mark are one transaction; then the messages are sent. Whatever crashes
in between, the next run of the same event sees the mark and sends the messages of deliveries still queued;
the queue drops those it has seen.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Protocol

from shared.errors import EntityChangedError, EntityExistsError
from shared.files import file as files
from shared.files import intake
from shared.files.file import FileStatus
from shared.files.tracing import works_on
from shared.ledger.ranges import rows
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import Delivery, DeliveryStatus
from shared.notifications.filter import FilterSubject, compile_filter
from shared.notifications.message import DeliveryMessage, file_event
from shared.notifications.subscription import EventType
from shared.ports import MAX_TRANSACTION_CHANGES, Insert, Replace
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure
from shared.telemetry.spans import position, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.files.file import File
    from shared.notifications.subscription import Subscription
    from shared.ports import Change, Clock, MessageQueue, TableStore

MAX_TRIES = 4
"""Races against another run of the same event that are fought here; then the event is delivered again."""


_OF_WHAT_IS_KNOWN = frozenset({EventType.FILE_UPDATED, EventType.FILE_DELETED})
"""Events of files that subscribers have been told of before."""


class Arrivals(Protocol):
    """Tells which file a blob is."""

    async def file_at(self, blob_name: str) -> File | None:
        """The published file whose blob has just been made; None when that blob is no file."""
        ...


class Gate(Protocol):
    """Keeps files from being announced."""

    async def lets_pass(self, file: File) -> bool:
        """Whether the stored file may be announced; otherwise the gate has it looked at again."""
        ...


class HistoryNotes(Protocol):
    """Sees to it that deliveries are forgotten in time."""

    async def note(self, owner: str, file_id: str) -> None:
        """To be called before their rows are written."""
        ...


class FanOut:
    """Turns a stored file into deliveries and messages.

    Args:
        gate: What a file has to pass before anybody is told of it; None: nothing.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        tables: TableStore,
        queue: MessageQueue,
        clock: Clock,
        *,
        public_url: str,
        history: HistoryNotes | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._arrivals = arrivals
        self._tables = tables
        self._queue = queue
        self._clock = clock
        self._public_url = public_url
        self._history = history
        self._gate = gate

    async def announce(self, blob_name: str) -> None:
        """Carry out what a BlobCreated event asks for; safe to run any number of times, also at once."""
        file = await self._arrivals.file_at(blob_name)
        if file is None:
            return
        works_on(file)
        tell(correlation_id=file.correlation_id)
        if not await self._passes(file):
            return
        is_new = file.status is FileStatus.STORED
        pending = await self._announced(file)
        await self._send(file, EventType.FILE_STORED, pending)
        since_accepted = self._clock.now() - file.accepted_at
        if is_new:
            measure(Metric.TIME_TO_ANNOUNCED, since_accepted.total_seconds())
        record(
            Event.FILE_ANNOUNCED,
            file_id=file.id,
            trace_id=file.trace_id,
            correlation_id=file.correlation_id,
            deliveries=len(pending),
            since_accepted_ms=round(since_accepted / timedelta(milliseconds=1)) if is_new else None,
        )

    async def tell(self, file: File, event_type: EventType) -> None:
        """Make and send the deliveries of any other event; safe to run again, as ``announce`` is.

        Of a file at the gate only its rejection is told: who has not heard of it hears of no change either.
        """
        if self._gate is not None and event_type in _OF_WHAT_IS_KNOWN and file.announced_at is None:
            return
        for tries_left in reversed(range(MAX_TRIES)):
            wanted = [
                self._delivery(file, event_type, each) for each in await self._wanting(file, event_type)
            ]
            known = {delivery.id: delivery for delivery in await deliveries_of(self._tables, file)}
            missing = [delivery for delivery in wanted if delivery.id not in known]
            await self._note(file, missing)
            try:
                for some in batched(missing, MAX_TRANSACTION_CHANGES, strict=False):
                    await self._tables.apply([Insert(deliveries.to_entity(delivery)) for delivery in some])
            except EntityExistsError:
                if not tries_left:
                    raise
            else:
                made = [*missing, *(known[each.id] for each in wanted if each.id in known)]
                await self._send(file, event_type, _queued(made))
                return

    async def look(self, owner: str, file_id: str) -> datetime | None:
        """See to a file whose event should have come by now: announce it if it has not been.

        Also sends the messages of deliveries that are still queued; the queue drops those it has seen.
        """
        file = await self._arrivals.file_at(files.blob_name(owner, file_id))
        if file is not None and file.status is not FileStatus.SETTLED:
            if not await self._passes(file):
                return None
            if file.status is FileStatus.STORED:
                record(
                    Event.EVENT_MISSED,
                    level=logging.WARNING,
                    file_id=file.id,
                    trace_id=file.trace_id,
                    correlation_id=file.correlation_id,
                )
                measure(Metric.SWEEP_FINDINGS, kind=files.ANNOUNCE)
            await self.announce(files.blob_name(owner, file_id))
        return None

    async def look_again(self, owner: str, file_id: str) -> None:
        """See to a file that the gate has kept: announce it if it may pass now."""
        await self.announce(files.blob_name(owner, file_id))

    async def _passes(self, file: File) -> bool:
        return self._gate is None or file.status is not FileStatus.STORED or await self._gate.lets_pass(file)

    async def _announced(self, file: File) -> Sequence[Delivery]:
        """Make the deliveries unless they are there; returns those whose message may have to be sent."""
        for tries_left in reversed(range(MAX_TRIES)):
            known = [
                delivery
                for delivery in await deliveries_of(self._tables, file)
                if deliveries.is_about(delivery, EventType.FILE_STORED)
            ]
            if file.status is not FileStatus.STORED:
                return _queued(known)
            stored = EventType.FILE_STORED
            wanted = [self._delivery(file, stored, each) for each in await self._wanting(file, stored)]
            made = {delivery.id for delivery in known}
            missing = [delivery for delivery in wanted if delivery.id not in made]
            status = FileStatus.ANNOUNCED if wanted or known else FileStatus.SETTLED
            mark = file.moved_to(status, self._clock.now())
            await self._note(file, missing)
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

    async def _note(self, file: File, missing: Sequence[Delivery]) -> None:
        if missing and self._history is not None:
            await self._history.note(file.owner, file.id)

    async def _wanting(self, file: File, event_type: EventType) -> Sequence[Subscription]:
        """Subscriptions of the owner, and those of the whole tenant, that want to be told."""
        first, end = subscriptions.ROW_KEYS
        subject = FilterSubject(file.name, file.content_type, file.size_bytes, file.labels, file.owner)
        found = []
        for partition in (file.owner, *([file.tenant] if file.tenant else [])):
            async for entity in rows(self._tables, partition, first_row_key=first, end_row_key=end):
                each = subscriptions.from_entity(entity)
                if each.wants(event_type) and (
                    each.filter is None or compile_filter(each.filter).matches(subject)
                ):
                    found.append(each)
        return found

    def _delivery(self, file: File, event_type: EventType, subscription: Subscription) -> Delivery:
        return Delivery(
            id=deliveries.delivery_id(file.id, event_type, subscription.id, revision=file.revision),
            owner=file.owner,
            file_id=file.id,
            subscription_id=subscription.id,
            subscription_owner=subscription.owner if subscription.owner != file.owner else "",
            status=DeliveryStatus.QUEUED,
            attempt=1,
            epoch=0,
            created_at=self._clock.now(),
        )

    async def _send(self, file: File, event_type: EventType, pending: Sequence[Delivery]) -> None:
        event = file_event(file, event_type, source=self._public_url)
        here = position()
        messages = [
            DeliveryMessage(
                owner=file.owner,
                file_id=file.id,
                subscription_id=delivery.subscription_id,
                delivery_id=delivery.id,
                attempt=delivery.attempt,
                correlation_id=file.correlation_id,
                event=event,
                # Another request's own work, such as a change of the file, has a trace of its own.
                traceparent=here.traceparent if here and here.trace_id == file.trace_id else None,
                asked_by=here.traceparent if here and here.trace_id != file.trace_id else None,
            )
            for delivery in pending
        ]
        if messages:
            await self._queue.send([message.to_queue() for message in messages])


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
