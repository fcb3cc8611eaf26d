"""Who did what to other people's deliveries, and when: one row for each bulk action, and one wide event.

The row is written before the first letter is touched, so that nothing is done without a trace; what came of
it is added at the end. A row without a result tells of an action that was cut off.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.errors import StoreError, UnavailableError
from shared.ports import Entity, Insert, Replace
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from shared.ports import Clock, TableStore, Value

PARTITION = "audit"
ROW_KEYS = ("audit|", "audit}")
"""The range of row keys that holds all records, the oldest first: ``first <= key < end``."""
MAX_SELECTION_CHARACTERS = 8 * 1024


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One action."""

    id: str
    at: datetime
    action: str
    by: str
    """``<tenant id>/<object id>`` of the caller."""
    selection: str
    """What was chosen: ids, or a filter, as JSON; cut at ``MAX_SELECTION_CHARACTERS``."""
    matched: int
    done: int | None = None
    """How many letters it was done to; None while it runs, and for ever when it was cut off."""
    etag: str = ""


class AuditLog:
    """Writes the records."""

    def __init__(self, tables: TableStore, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def begin(self, action: str, *, by: str, selection: str, matched: int) -> AuditRecord:
        """Write down what is about to be done; raises UnavailableError, and then it must not be done."""
        made = AuditRecord(
            id=secrets.token_hex(8),
            at=self._clock.now(),
            action=action,
            by=by,
            selection=selection[:MAX_SELECTION_CHARACTERS],
            matched=matched,
        )
        (etag,) = await self._tables.apply([Insert(to_entity(made))])
        return replace(made, etag=etag)

    async def end(self, begun: AuditRecord, *, done: int) -> None:
        """Add what came of it; that it was asked for stands already, so a failure here fails nothing."""
        ended = replace(begun, done=done)
        _tell(ended)
        with suppress(StoreError, UnavailableError):
            await self._tables.apply([Replace(to_entity(ended))])


def _tell(audit: AuditRecord) -> None:
    record(
        Event.AUDIT,
        id=audit.id,
        action=audit.action,
        by=audit.by,
        matched=audit.matched,
        done=audit.done,
    )


def to_entity(audit: AuditRecord) -> Entity:
    """The record's row."""
    values: dict[str, Value] = {
        "id": audit.id,
        "at": audit.at,
        "action": audit.action,
        "by": audit.by,
        "selection": audit.selection,
        "matched": audit.matched,
    }
    if audit.done is not None:
        values["done"] = audit.done
    time = audit.at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return Entity(PARTITION, f"audit|{time}|{audit.id}", values, audit.etag)


def from_entity(entity: Entity) -> AuditRecord:
    """Read a record's row."""
    values = entity.values
    at = values["at"]
    if not isinstance(at, datetime):
        raise TypeError("the row has no time")
    return AuditRecord(
        id=str(values["id"]),
        at=at,
        action=str(values["action"]),
        by=str(values["by"]),
        selection=str(values["selection"]),
        matched=int(str(values["matched"])),
        done=int(str(values["done"])) if "done" in values else None,
        etag=entity.etag,
    )
