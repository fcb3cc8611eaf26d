"""What happens to a file after it was stored, told to subscribers: changed, deleted, rejected, expired.

Noted in the due book before it happens, told at once when it has, and told by the sweep where the teller
crashed or the queue did not answer. A delivery's id is made of what it is about, so nobody is told twice.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import StoreError, UnavailableError
from shared.files import intake
from shared.files.events import EventType
from shared.files.file import FileStatus
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from datetime import datetime

    from shared.files.file import File
    from shared.ledger.due import DueBook
    from shared.notifications.fan_out import FanOut
    from shared.ports import Clock, TableStore

DUE_KIND = "event"
"""Entries of the due book that ``Happenings.look`` works off; the id is ``<file id>|<event>|<revision>``."""
LOOK_SECONDS = 60
"""What happens and is told at once is told by then."""


class Happenings:
    """Tells of events."""

    def __init__(self, fan_out: FanOut, tables: TableStore, due: DueBook, clock: Clock) -> None:
        self._fan_out = fan_out
        self._tables = tables
        self._due = due
        self._clock = clock

    async def will(self, owner: str, file_id: str, event: EventType, revision: int) -> None:
        """Note that this is about to happen to the file, which then has at least that revision."""
        at = self._clock.now() + timedelta(seconds=LOOK_SECONDS)
        await self._due.put(DUE_KIND, owner, f"{file_id}|{event.value}|{revision}", at)

    async def happened(self, file: File, event: EventType) -> None:
        """Tell of it now. What cannot be told is told by the sweep; the caller's own work is done."""
        try:
            await self._fan_out.tell(file, event)
        except (StoreError, UnavailableError) as error:
            record(
                Event.EVENT_MISSED,
                level=logging.WARNING,
                file_id=file.id,
                trace_id=file.trace_id,
                correlation_id=file.correlation_id,
                reason=type(error).__name__,
            )

    async def look(self, owner: str, id_: str) -> datetime | None:
        """Tell of what was noted, if it has happened."""
        file_id, event, revision = id_.split("|")
        file = await intake.find(self._tables, owner, file_id)
        if file is not None and file.revision >= int(revision) and _fits(file, EventType(event)):
            await self._fan_out.tell(file, EventType(event))
        return None


def _fits(file: File, event_type: EventType) -> bool:
    """Whether the file is in a state in which such an event can have happened."""
    match event_type:
        case EventType.FILE_DELETED:
            return file.status is FileStatus.DELETED
        case EventType.FILE_REJECTED:
            return file.status is FileStatus.REJECTED
        case _:
            return True
