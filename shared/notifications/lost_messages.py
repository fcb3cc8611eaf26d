"""Deliveries that nobody comes for: their message is lost, or was laid aside before they were settled.

A queue that was failed over to another region, made anew or emptied by hand has forgotten what it held. The
rows know what is due and since when. So the sweep looks at a file with deliveries under way when the next of
them should long have moved on, and sends a message of a new id for each that has not. What it costs follows
the deliveries that are under way for minutes; a file whose deliveries are settled by then costs one look.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from shared.files import intake
from shared.files.tracing import works_on
from shared.ledger.ranges import rows
from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import SETTLED, Delivery, DeliveryStatus
from shared.notifications.message import message_of
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    from shared.ledger.due import DueWriter, Work
    from shared.ports import Clock, MessageQueue, TableStore

DUE_KIND: Final = "under-way"
"""Entries of the due book that ``LostMessages.look`` works off; the id is the file's."""
PATIENCE: Final = timedelta(minutes=10)
"""A delivery that should have moved on so long ago has lost its message: longer than a message is ever put
off or locked. A queue with a backlog is slow, too, so each further look comes after twice the time."""
LONGEST_PAUSE: Final = timedelta(days=1)
_FILE_ID_CHARACTERS: Final = 36


class LostMessages:
    """Finds them and sends them again. ``public_url`` is the public base URL of the service."""

    def __init__(
        self, tables: TableStore, queue: MessageQueue, clock: Clock, due: DueWriter, *, public_url: str
    ) -> None:
        self._tables = tables
        self._queue = queue
        self._clock = clock
        self._due = due
        self._public_url = public_url

    async def note(self, owner: str, file_id: str) -> None:
        """To be called before a delivery of the file is put back to ``queued``."""
        await self._due.put(DUE_KIND, owner, file_id, self._clock.now() + PATIENCE)

    def after(self, work: Work) -> Work:
        """``work``; then the file that its id begins with is watched until its deliveries are settled."""

        async def look(owner: str, id_: str) -> datetime | None:
            again_at = await work(owner, id_)
            file_id = id_[:_FILE_ID_CHARACTERS]
            under_way = await self._under_way(owner, file_id)
            if under_way:
                await self._due.put(DUE_KIND, owner, file_id, min(map(due_since, under_way)) + PATIENCE)
            return again_at

        return look

    async def look(self, owner: str, file_id: str) -> datetime | None:
        """Send what has been lost; returns when to look again, None when everything is settled."""
        under_way = await self._under_way(owner, file_id)
        file = await intake.find(self._tables, owner, file_id) if under_way else None
        if file is None:
            return None
        now = self._clock.now()
        lost = [delivery for delivery in under_way if now >= due_since(delivery) + PATIENCE]
        if lost:
            works_on(file)
            measure(Metric.SWEEP_FINDINGS, len(lost), kind=DUE_KIND)
        for delivery in lost:
            record(
                Event.MESSAGE_LOST,
                level=logging.WARNING,
                delivery_id=delivery.id,
                file_id=file.id,
                attempt=delivery.attempt,
                trace_id=file.trace_id,
                correlation_id=file.correlation_id,
            )
        messages = [message_of(delivery, file, source=self._public_url) for delivery in lost]
        if messages:
            # Of new ids: the queue may remember those that it has lost.
            await self._queue.send([message.for_look().to_queue() for message in messages])
        return min(map(self._look_at, under_way))

    def _look_at(self, delivery: Delivery) -> datetime:
        now, since = self._clock.now(), due_since(delivery)
        if now < since + PATIENCE:
            return since + PATIENCE
        return now + min(now - since, LONGEST_PAUSE)

    async def _under_way(self, owner: str, file_id: str) -> list[Delivery]:
        first, end = deliveries.row_keys_of_file(file_id)
        found = rows(self._tables, owner, first_row_key=first, end_row_key=end)
        present = [deliveries.from_entity(entity) async for entity in found]
        return [delivery for delivery in present if delivery.status not in SETTLED]


def due_since(delivery: Delivery) -> datetime:
    """When a message should have come for the delivery, which is not settled; it can be still to come."""
    begun_at = delivery.redriven_at or delivery.created_at
    match delivery.status:
        case DeliveryStatus.RETRYING:
            return delivery.next_attempt_at or begun_at
        case DeliveryStatus.DELIVERING:
            return delivery.lease_ends_at or begun_at
        case _:
            return begun_at
