"""What became of deliveries: one by its id, lists from the newest file on, and forgetting after a while.

Forgetting is one entry in the due book for each file and day on which deliveries were made for it, noted
before their rows are written. A file is looked at once a day at most, at a time of day of its own, so that
not all files of a day fall due together; nothing else is ever searched for what is old.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from shared.errors import EntityChangedError, EntityMissingError, NotFoundError, UnavailableError
from shared.files import intake
from shared.files.file import FileStatus, is_file_id
from shared.ledger.ranges import admitted
from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import SETTLED, Delivery, DeliveryStatus
from shared.ports import MAX_TRANSACTION_CHANGES, Delete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.files.events import EventType
    from shared.ledger.due import DueWriter
    from shared.ports import Clock, Entity, TableStore

DUE_KIND: Final = "history"
"""Entries of the due book that ``History.forget`` works off; the id is the file's."""
KEEP_DELIVERIES_SECONDS: Final = 90 * 86_400.0
LEAST_KEEP_SECONDS: Final = 3600.0
"""By then the rows that an entry is about were written, or never will be."""
ROW_KEYS: Final = ("delivery|", "delivery}")
"""The range of all deliveries of a partition, those of the newest file first: ``first <= key < end``."""
MAX_TRIES: Final = 8
"""Races against others who change the same rows."""
_DELIVERY_ID = re.compile(r"([0-9a-f-]{36})_[a-z0-9-]{1,40}_[0-9a-f]{32}")
"""As ``delivery_record.delivery_id`` makes it."""
_DAY = timedelta(days=1)
_ANY_DAY = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; what is left out does not narrow."""

    statuses: frozenset[DeliveryStatus] = frozenset(DeliveryStatus)
    subscription_id: str | None = None
    event: EventType | None = None

    def admits(self, delivery: Delivery) -> bool:
        """Whether the delivery is in the list."""
        return (
            delivery.status in self.statuses
            and self.subscription_id in {None, delivery.subscription_id}
            and (self.event is None or deliveries.is_about(delivery, self.event))
        )


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Some deliveries, those of the newest file first. It can be empty and still not be the last."""

    deliveries: Sequence[Delivery]
    next_row_key: str | None
    """Where the following page starts; None on the last one."""


class History:
    """The deliveries of every owner.

    Args:
        tables: Where the rows are.
        clock: Tells what is old.
        due: Takes down when to look.
        keep_deliveries_seconds: From a delivery's end until it is forgotten, give or take a day.
    """

    def __init__(
        self,
        tables: TableStore,
        clock: Clock,
        due: DueWriter,
        *,
        keep_deliveries_seconds: float = KEEP_DELIVERIES_SECONDS,
    ) -> None:
        if keep_deliveries_seconds < LEAST_KEEP_SECONDS:
            raise ValueError(f"deliveries are kept for {LEAST_KEEP_SECONDS:g} s at least")
        self._tables = tables
        self._clock = clock
        self._due = due
        self._keep = timedelta(seconds=keep_deliveries_seconds)

    async def find(self, owner: str, delivery_id: str) -> Delivery:
        """The delivery; raises NotFoundError when it is not there, or not any more."""
        made_of = _DELIVERY_ID.fullmatch(delivery_id)
        if made_of is None or not is_file_id(made_of[1]):
            raise _not_found()
        entity = await self._tables.get(owner, deliveries.row_key(made_of[1], delivery_id))
        if entity is None:
            raise _not_found()
        return deliveries.from_entity(entity)

    async def page(
        self,
        owner: str,
        wanted: DeliveryFilter,
        *,
        limit: int,
        file_id: str | None = None,
        first_row_key: str | None = None,
    ) -> DeliveryPage:
        """The deliveries that the filter admits, of one file or of all (see ``ranges.admitted``)."""
        first, end = ROW_KEYS if file_id is None else deliveries.row_keys_of_file(file_id)

        def read(entity: Entity) -> Delivery | None:
            delivery = deliveries.from_entity(entity)
            return delivery if wanted.admits(delivery) else None

        found, next_row_key = await admitted(
            self._tables,
            owner,
            first_row_key=first_row_key or first,
            end_row_key=end,
            limit=limit,
            read=read,
        )
        return DeliveryPage(found, next_row_key)

    async def note(self, owner: str, file_id: str) -> None:
        """Have deliveries forgotten in time; to be called before their rows are written."""
        at = look_at(file_id, self._clock.now() + self._keep)
        await self._due.put(DUE_KIND, owner, file_id, at)

    async def forget(self, owner: str, file_id: str) -> datetime | None:
        """Delete what was settled long enough ago; returns when to look again, None when nothing is left.

        Raises UnavailableError when others changed the rows time and again.
        """
        now = self._clock.now()
        file = await intake.find(self._tables, owner, file_id)
        if file is not None and file.status is FileStatus.STORED:
            return look_at(file_id, now + _DAY)  # who finishes the announcement looks for what was made
        first, end = deliveries.row_keys_of_file(file_id)
        next_row_key: str | None = first
        ends: list[datetime] = []
        while next_row_key is not None:
            kept, next_row_key = await self._forget_some(owner, next_row_key, end, now)
            ends += kept
        return look_at(file_id, min(ends)) if ends else None

    async def _forget_some(
        self, owner: str, first_row_key: str, end_row_key: str, now: datetime
    ) -> tuple[Sequence[datetime], str | None]:
        """One batch: when those that are left may go, and where the next batch starts."""
        for _ in range(MAX_TRIES):
            page = await self._tables.query(
                owner, first_row_key=first_row_key, end_row_key=end_row_key, limit=MAX_TRANSACTION_CHANGES
            )
            ends = [(entity, self._ends_at(entity, now)) for entity in page.entities]
            old = [Delete(entity) for entity, at in ends if at <= now]
            try:
                if old:
                    await self._tables.apply(old)
            except (EntityChangedError, EntityMissingError):
                continue  # put back by a redrive, or purged with its file
            return [at for _, at in ends if at > now], page.next_row_key
        raise UnavailableError("The deliveries are changing too fast.", reason="history-race")

    def _ends_at(self, entity: Entity, now: datetime) -> datetime:
        """From when on the row may go."""
        delivery = deliveries.from_entity(entity)
        if delivery.status not in SETTLED:
            return now + _DAY
        return (delivery.settled_at or delivery.created_at) + self._keep


def look_at(file_id: str, earliest: datetime) -> datetime:
    """The file's time of day, at ``earliest`` or next after it.

    Whatever is noted for one file within a day becomes one entry.
    """
    time_of_day = timedelta(seconds=zlib.crc32(file_id.encode()) % 86_400)
    return earliest + (_ANY_DAY + time_of_day - earliest) % _DAY


def _not_found() -> NotFoundError:
    return NotFoundError("You have no delivery of this id.")
