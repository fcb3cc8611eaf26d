"""What has to be looked at later: written down before the work starts, struck out when it is done.

The book is spread over a fixed number of partitions, ordered by time. Working it off reads what is due and
nothing else, so its cost follows the work at hand, not the number of files ever stored.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from shared.errors import DropbellError, EntityChangedError, EntityExistsError, EntityMissingError
from shared.ports import Delete, Entity, Insert
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.ports import Clock, TableStore

SHARDS = 16
PAGE_ENTRIES = 200
"""Most entries of one shard that one run works off; the next run goes on."""
_INSTANT = "%Y%m%d%H%M%S%f"


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be looked at: ``kind`` says by whom, ``owner`` and ``id`` say what."""

    kind: str
    owner: str
    id: str
    at: datetime
    etag: str = ""


type Work = Callable[[str, str], Awaitable[datetime | None]]
"""Looks at ``(owner, id)``; returns when to look again, None when there is nothing more to do."""


class DueWriter(Protocol):
    """Notes what has to be looked at later."""

    async def put(self, kind: str, owner: str, id_: str, at: datetime, /) -> None:
        """Note that ``id_`` has to be looked at; noting it twice for the same instant is the same note."""
        ...


class DueBook:
    """The entries of all kinds."""

    def __init__(self, tables: TableStore, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def put(self, kind: str, owner: str, id_: str, at: datetime) -> None:
        """Note that ``id_`` has to be looked at; noting it twice for the same instant is the same note."""
        try:
            await self._tables.apply([Insert(to_entity(Due(kind, owner, id_, at)))])
        except EntityExistsError:
            return

    async def work_off(self, works: Mapping[str, Work]) -> Mapping[str, int]:
        """Carry out what is due by now; returns how many entries of each kind were looked at.

        A work that fails stays in the book and does not keep the others from being done.
        """
        done: dict[str, int] = {}
        for shard in range(SHARDS):
            page = await self._tables.query(
                _partition(shard),
                first_row_key="",
                end_row_key=_key_time(self._clock.now()),
                limit=PAGE_ENTRIES,
            )
            for entity in page.entities:
                due = from_entity(entity)
                work = works.get(due.kind)
                if work is not None and await self._one(due, work):
                    done[due.kind] = done.get(due.kind, 0) + 1
        return done

    async def _one(self, due: Due, work: Work) -> bool:
        try:
            again_at = await work(due.owner, due.id)
            if again_at is not None:
                await self.put(due.kind, due.owner, due.id, again_at)
            await self._strike(due)
        except DropbellError as error:
            record(
                Event.DUE_FAILED,
                level=logging.WARNING,
                kind=due.kind,
                id=due.id,
                reason=getattr(error, "reason", None) or type(error).__name__,
            )
            measure(Metric.SWEEP_FINDINGS, kind="failed")
            return False
        return True

    async def _strike(self, due: Due) -> None:
        try:
            await self._tables.apply([Delete(to_entity(due))])
        except (EntityMissingError, EntityChangedError):
            return  # another run was quicker


def _partition(shard: int) -> str:
    return f"due|{shard:02}"


def _key_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime(_INSTANT)


def to_entity(due: Due) -> Entity:
    """The row of an entry."""
    shard = zlib.crc32(f"{due.owner}|{due.id}".encode()) % SHARDS
    values: dict[str, str | datetime] = {"kind": due.kind, "owner": due.owner, "id": due.id, "at": due.at}
    return Entity(_partition(shard), f"{_key_time(due.at)}|{due.kind}|{due.owner}|{due.id}", values, due.etag)


def from_entity(entity: Entity) -> Due:
    """Read the row of an entry."""
    values = entity.values
    at = values["at"]
    if not isinstance(at, datetime):
        raise TypeError("the row has no time")
    return Due(str(values["kind"]), str(values["owner"]), str(values["id"]), at, entity.etag)
