"""Removing files: hidden at once, kept for a while, then purged; by their owner or when they expire.

What a crash could lose is noted in the due book before it is decided in the file's row. A purge takes the
bytes first, then the rows that belong to the file, then the file's own row: until the last step the row says
that there is something to purge, so that whoever comes next goes on.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from shared.errors import (
    EntityChangedError,
    EntityMissingError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from shared.files import file as files
from shared.files import intake
from shared.files.events import EventType, Silence
from shared.files.file import PUBLISHED, FileStatus
from shared.ports import MAX_TRANSACTION_CHANGES, Delete, Replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from shared.files.events import EventWriter
    from shared.files.file import File
    from shared.ledger.due import DueWriter
    from shared.ports import BlobStore, Change, Clock, Entity, TableStore

EXPIRY = "file-expiry"
PURGE = "file-purge"
"""Kinds of entries in the due book."""
PURGE_AGAIN = timedelta(minutes=10)
"""Until a purge that could not delete all rows is carried on."""
MAX_TRIES = 8
"""Races against others who change the same rows."""
WRITE_SECONDS = 60
"""By then a note's row was written, or never will be."""


class Quota(Protocol):
    """Counts what each owner keeps."""

    async def apply(
        self, owner: str, changes: Sequence[Change], *, bytes_delta: int, files_delta: int
    ) -> Sequence[str]:
        """Carry out ``changes`` and count them, all or none; returns their ETags."""
        ...


async def note(due: DueWriter, kind: str, owner: str, file_id: str, at: datetime, *, now: datetime) -> None:
    """Have the file looked at then; to be called before its row says why.

    A sweep may look before the row is written, and strikes out what it finds no reason for. A note for a near
    instant is therefore made once more, for when the row is sure to be there.
    """
    await due.put(kind, owner, file_id, at)
    written_at = now + timedelta(seconds=WRITE_SECONDS)
    if at < written_at:
        await due.put(kind, owner, file_id, written_at)


class Removal:
    """Deletes and purges files.

    Args:
        rows_of_file: The ranges of row keys, in the owner's partition, of what belongs to a file.
        keep_deleted_seconds: From deletion to purge.
        events: Tells of what is deleted.
        is_under_way: Whether such a row is still needed, because something is being told by it.
    """

    def __init__(
        self,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        quota: Quota,
        due: DueWriter,
        rows_of_file: Sequence[Callable[[str], tuple[str, str]]],
        keep_deleted_seconds: float,
        events: EventWriter | None = None,
        is_under_way: Callable[[Entity], bool] = lambda _: False,
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._due = due
        self._rows_of_file = rows_of_file
        self._keep = timedelta(seconds=keep_deleted_seconds)
        self._events = events or Silence()
        self._is_under_way = is_under_way

    async def delete(
        self, owner: str, file_id: str, *, wanted: Callable[[File], bool], purge: bool = False
    ) -> None:
        """Delete the file if it is ``wanted``: in a revision that the caller has seen.

        With ``purge``, nothing is kept, also of a file that was deleted before. Raises NotFoundError when the
        file is not there (any more), PreconditionFailedError when it is another revision.
        """
        for _ in range(MAX_TRIES):
            file = await intake.find(self._tables, owner, file_id)
            if file is None or not (purge or is_visible(file, self._clock.now())):
                raise not_found()
            if not wanted(file):
                raise changed()
            if file.status is FileStatus.DELETED or await self._mark(file):
                if purge and not await self._purge(owner, file_id):
                    await self._due.put(PURGE, owner, file_id, self._clock.now() + PURGE_AGAIN)
                return
        raise _too_fast()

    async def expire(self, owner: str, file_id: str) -> datetime | None:
        """Delete the file if its time has come; returns when to look again, None for never."""
        for _ in range(MAX_TRIES):
            file = await intake.find(self._tables, owner, file_id)
            if file is None or file.status is FileStatus.DELETED or file.expires_at is None:
                return None
            if not has_expired(file, self._clock.now()):
                return file.expires_at
            if await self._mark(file):
                return None
        raise _too_fast()

    async def purge_due(self, owner: str, file_id: str) -> datetime | None:
        """Purge the file if it was deleted long enough ago; returns when to look again, None for never."""
        file = await intake.find(self._tables, owner, file_id)
        if file is None or file.status is not FileStatus.DELETED:
            return None
        purge_at = (file.deleted_at or file.updated_at) + self._keep
        now = self._clock.now()
        is_begun = await self._blobs.properties(files.blob_name(owner, file_id)) is None
        if purge_at > now and not is_begun:
            return purge_at
        return None if await self._purge(owner, file_id) else now + PURGE_AGAIN

    async def _mark(self, file: File) -> bool:
        """Mark the file deleted and give its bytes back to the quota; False when its row was changed."""
        now = self._clock.now()
        await note(self._due, PURGE, file.owner, file.id, now + self._keep, now=now)
        counted = file.status in PUBLISHED
        deleted = replace(file.moved_to(FileStatus.DELETED, now), revision=file.revision + 1)
        if counted:
            await self._events.will(file.owner, file.id, EventType.FILE_DELETED, deleted.revision)
        try:
            await self._quota.apply(
                file.owner,
                [Replace(files.to_entity(deleted))],
                bytes_delta=-file.size_bytes if counted else 0,
                files_delta=-1 if counted else 0,
            )
        except (EntityChangedError, EntityMissingError):
            return False
        if counted:
            await self._events.happened(deleted, EventType.FILE_DELETED)
        return True

    async def _purge(self, owner: str, file_id: str) -> bool:
        """Let go of the bytes, then of the rows; False when rows have to stay until they are settled.

        What is under way is the news that the file is deleted, which its rows are needed to tell.
        """
        await self._blobs.delete(files.blob_name(owner, file_id))
        gone = [await self._delete_rows(owner, *row_keys(file_id)) for row_keys in self._rows_of_file]
        if not all(gone):
            return False
        for _ in range(MAX_TRIES):
            entity = await self._tables.get(owner, files.row_key(file_id))
            if entity is None:
                return True
            with suppress(EntityMissingError, EntityChangedError):
                await self._tables.apply([Delete(entity)])
        raise _too_fast()

    async def _delete_rows(self, owner: str, first_row_key: str, end_row_key: str) -> bool:
        """Delete the rows of the range; a batch that somebody interfered with is read again.

        False when some of them stay, because they are under way.
        """
        failures = 0
        all_gone = True
        while failures < MAX_TRIES:
            page = await self._tables.query(
                owner, first_row_key=first_row_key, end_row_key=end_row_key, limit=MAX_TRANSACTION_CHANGES
            )
            going = [entity for entity in page.entities if not self._is_under_way(entity)]
            try:
                if going:
                    await self._tables.apply([Delete(entity) for entity in going])
            except (EntityMissingError, EntityChangedError):
                failures += 1
                continue
            all_gone = all_gone and len(going) == len(page.entities)
            if page.next_row_key is None:
                return all_gone
            first_row_key = page.next_row_key
        raise _too_fast()


def has_expired(file: File, now: datetime) -> bool:
    """Whether its time has come. From then on nobody sees it, whenever the sweep comes to delete it."""
    return file.status is not FileStatus.DELETED and file.expires_at is not None and file.expires_at <= now


def is_visible(file: File, now: datetime) -> bool:
    """Whether its owner can ask for it by its id."""
    return file.status is not FileStatus.DELETED and not has_expired(file, now)


def not_found() -> NotFoundError:
    """No file, or none that its owner may see any more."""
    return NotFoundError("You have no file of this id.")


def changed() -> PreconditionFailedError:
    """Somebody else has edited the file since the caller read it."""
    return PreconditionFailedError("Changed by someone else; reload it and try again.")


def _too_fast() -> UnavailableError:
    return UnavailableError("The file is changing too fast; try again in a moment.", reason="file-race")
