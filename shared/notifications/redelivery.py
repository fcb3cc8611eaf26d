"""An owner has one of its deliveries made again, whatever became of it.

The delivery's row is put back first, then the message is sent. In between stands an entry in the due book,
written before both: the sweep sends what a crash has left unsent.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import ConflictError, EntityChangedError, EntityMissingError, NotFoundError
from shared.files import intake
from shared.files.file import is_file_id
from shared.ledger import conditional
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import SETTLED, Delivery, DeliveryStatus, requeued
from shared.notifications.message import message_of
from shared.notifications.subscription import SubscriptionStatus
from shared.notifications.target_guard import start_afresh
from shared.telemetry.spans import traceparent

if TYPE_CHECKING:
    from datetime import datetime

    from shared.files.file import File
    from shared.ledger.due import DueBook
    from shared.notifications.target_guard import FreshStarts
    from shared.ports import Clock, Entity, MessageQueue, TableStore

DUE_KIND = "redelivery"
"""Entries of the due book that ``Redelivery.look`` works off; the id is the delivery's."""
LOOK_SECONDS = 60
"""What is put back and sent at once is sent by then."""
_FILE_ID_CHARACTERS = 36
_DELIVERY_ID = re.compile(r"[0-9a-f-]{36}_[a-z0-9-]{1,40}_[0-9a-f]{32}")
"""As ``delivery_record.delivery_id`` makes it."""


class Redelivery:
    """Makes deliveries again."""

    def __init__(
        self,
        tables: TableStore,
        queue: MessageQueue,
        clock: Clock,
        due: DueBook,
        *,
        public_url: str,
        targets: FreshStarts | None = None,
    ) -> None:
        self._targets = targets
        self._tables = tables
        self._queue = queue
        self._clock = clock
        self._due = due
        self._public_url = public_url

    async def redeliver(self, owner: str, delivery_id: str, *, by: str) -> Delivery:
        """Begin a new round of attempts for a settled delivery; returns it as it stands then.

        Raises NotFoundError, ConflictError (``delivery-under-way``: not settled yet;
        ``subscription-not-active``) or UnavailableError, after which it may be under way all the same.
        """
        delivery, file = await self._find(owner, delivery_id)
        _check_settled(delivery)
        await self._check_subscription(delivery)
        at = self._clock.now() + timedelta(seconds=LOOK_SECONDS)
        await self._due.put(DUE_KIND, owner, delivery_id, at)

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            present = deliveries.from_entity(entity)
            _check_settled(present)
            return deliveries.to_entity(requeued(present, self._clock.now(), by)), None

        row_key = deliveries.row_key(delivery.file_id, delivery.id)
        try:
            entity, _ = await conditional.update(self._tables, owner, row_key, decide)
        except EntityMissingError:
            raise _not_found() from None
        except EntityChangedError:
            raise _under_way() from None
        put_back = deliveries.from_entity(entity)
        await self._send(put_back, file)
        return put_back

    async def look(self, owner: str, delivery_id: str) -> datetime | None:
        """Send the message of a delivery that is still queued; the queue drops it if it has seen it."""
        try:
            delivery, file = await self._find(owner, delivery_id)
        except NotFoundError:
            return None
        if delivery.status is DeliveryStatus.QUEUED:
            await self._send(delivery, file)
        return None

    async def _find(self, owner: str, delivery_id: str) -> tuple[Delivery, File]:
        file_id = delivery_id[:_FILE_ID_CHARACTERS]
        if not is_file_id(file_id) or _DELIVERY_ID.fullmatch(delivery_id) is None:
            raise _not_found()
        entity = await self._tables.get(owner, deliveries.row_key(file_id, delivery_id))
        file = await intake.find(self._tables, owner, file_id)
        if entity is None or file is None:
            raise _not_found()
        return deliveries.from_entity(entity), file

    async def _check_subscription(self, delivery: Delivery) -> None:
        entity = await self._tables.get(
            delivery.subscription_partition, subscriptions.row_key(delivery.subscription_id)
        )
        subscription = None if entity is None else subscriptions.from_entity(entity)
        status = None if subscription is None else subscription.status
        if status is not SubscriptionStatus.ACTIVE:
            raise ConflictError(
                f"The subscription is {status or 'deleted'}; only an active one is told.",
                code="subscription-not-active",
            )
        if self._targets is not None and subscription is not None:
            await start_afresh(self._targets, subscription)

    async def _send(self, delivery: Delivery, file: File) -> None:
        message = message_of(delivery, file, source=self._public_url, asked_by=traceparent())
        await self._queue.send([message.to_queue()])


def _check_settled(delivery: Delivery) -> None:
    if delivery.status not in SETTLED:
        raise _under_way()


def _under_way() -> ConflictError:
    return ConflictError(
        "This delivery is under way; it can be made again when it is settled.", code="delivery-under-way"
    )


def _not_found() -> NotFoundError:
    return NotFoundError("You have no delivery of this id.")
