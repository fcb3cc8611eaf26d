"""The catalogue: finding files, listing them, changing what people may change of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Literal

from shared.errors import (
    EntityChangedError,
    EntityMissingError,
    InvalidRequestError,
    UnavailableError,
)
from shared.files import file as files
from shared.files import intake
from shared.files.events import EventType, Silence
from shared.files.file import PUBLISHED, FileStatus
from shared.files.labels import merged
from shared.files.removal import EXPIRY, changed, has_expired, is_visible, not_found, note
from shared.ledger import conditional
from shared.ledger.ranges import admitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.files.events import EventWriter
    from shared.files.file import File
    from shared.ledger.due import DueWriter
    from shared.ports import Clock, Entity, TableStore

MAX_EXPIRY = timedelta(days=3653)
"""Ten years."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files to list; None does not narrow."""

    statuses: frozenset[FileStatus] = PUBLISHED
    content_type: str | None = None
    """A media type without parameters, or a range of them such as ``image/*``, in lower case."""
    name_prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    """Both exclusive, and compared to the millisecond, as ``created_at`` is told."""

    def admits(self, file: File, now: datetime) -> bool:
        """Whether the file is in the list at ``now``."""
        created_at = file.accepted_at.replace(microsecond=file.accepted_at.microsecond // 1000 * 1000)
        return (
            file.status in self.statuses
            and not has_expired(file, now)
            and (self.content_type is None or _is_of_type(file.content_type, self.content_type))
            and (self.name_prefix is None or file.name.startswith(self.name_prefix))
            and (self.created_after is None or created_at > self.created_after)
            and (self.created_before is None or created_at < self.created_before)
        )

    def row_keys(self) -> tuple[str, str]:
        """The range ``first <= key < end`` that holds every file between the instants, and few others.

        A row key is the complement of a UUIDv7, whose first 48 bits are milliseconds since 1970.
        """
        first, end = files.ROW_KEYS
        if self.created_before is not None:
            first = _row_key_before(_milliseconds(self.created_before) + 2)
        if self.created_after is not None:
            end = _row_key_before(_milliseconds(self.created_after) - 1)
        return first, end


@dataclass(frozen=True, slots=True)
class FilePage:
    """Some files, newest first. It can be empty and still not be the last."""

    files: Sequence[File]
    next_row_key: str | None
    """Where the following page starts; None on the last one."""


class Leave(Enum):
    """The part of a patch that says nothing."""

    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What shall be different; the name is a checked one."""

    name: str | Literal[Leave.LEAVE] = Leave.LEAVE
    labels: Mapping[str, str | None] | Literal[Leave.LEAVE] | None = Leave.LEAVE
    """Merged into those that are there (see ``shared.files.labels``)."""
    expires_at: datetime | Literal[Leave.LEAVE] | None = Leave.LEAVE

    def applied(self, file: File, now: datetime) -> File:
        """The file as it shall be; raises InvalidRequestError for labels that cannot be taken."""
        return replace(
            file,
            name=file.name if self.name is Leave.LEAVE else self.name,
            labels=file.labels if self.labels is Leave.LEAVE else merged(file.labels, self.labels),
            expires_at=file.expires_at if self.expires_at is Leave.LEAVE else self.expires_at,
            revision=file.revision + 1,
            updated_at=now,
        )


class Catalogue:
    """The files of every owner, as their owner sees them."""

    def __init__(
        self, tables: TableStore, clock: Clock, *, due: DueWriter, events: EventWriter | None = None
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._due = due
        self._events = events or Silence()

    async def find(self, owner: str, file_id: str) -> File:
        """The file; raises NotFoundError when it is not there, was deleted or has expired."""
        return self._visible(await intake.find(self._tables, owner, file_id))

    async def find_published(self, owner: str, file_id: str) -> File:
        """The file, if it has content; raises NotFoundError otherwise."""
        file = await self.find(owner, file_id)
        if file.status not in PUBLISHED:
            raise not_found()
        return file

    async def page(
        self, owner: str, wanted: FileFilter, *, limit: int, first_row_key: str | None = None
    ) -> FilePage:
        """The newest files that the filter admits, from ``first_row_key`` on (see ``ranges.admitted``)."""
        now = self._clock.now()
        first, end = wanted.row_keys()

        def read(entity: Entity) -> File | None:
            file = files.from_entity(entity)
            return file if wanted.admits(file, now) else None

        found, next_row_key = await admitted(
            self._tables,
            owner,
            first_row_key=first_row_key or first,
            end_row_key=end,
            limit=limit,
            read=read,
        )
        return FilePage(found, next_row_key)

    async def update(
        self, owner: str, file_id: str, patch: FilePatch, *, wanted: Callable[[File], bool]
    ) -> File:
        """Change the file if it is ``wanted``: in a revision that the editor has seen.

        Progress of deliveries on the same row is waited out. Raises NotFoundError, PreconditionFailedError
        when somebody else was quicker, InvalidRequestError for a patch that cannot be taken.
        """
        now = self._clock.now()
        if isinstance(patch.expires_at, datetime):
            check_expiry(patch.expires_at, now, MAX_EXPIRY)
            await note(self._due, EXPIRY, owner, file_id, patch.expires_at, now=now)

        def decide(entity: Entity) -> tuple[Entity, None]:
            file = self._visible(files.from_entity(entity))
            check(file, wanted)
            return files.to_entity(patch.applied(file, now)), None

        seen = await self.find(owner, file_id)
        check(seen, wanted)
        if seen.status in PUBLISHED:
            await self._events.will(owner, file_id, EventType.FILE_UPDATED, seen.revision + 1)
        try:
            entity, _ = await conditional.update(self._tables, owner, files.row_key(file_id), decide)
        except EntityMissingError:
            raise not_found() from None
        except EntityChangedError:
            raise UnavailableError(
                "The file is changing too fast; try again in a moment.", reason="file-race"
            ) from None
        changed_file = files.from_entity(entity)
        if changed_file.status in PUBLISHED:
            await self._events.happened(changed_file, EventType.FILE_UPDATED)
        return changed_file

    def _visible(self, file: File | None) -> File:
        if file is None or not is_visible(file, self._clock.now()):
            raise not_found()
        return file


def check(file: File, wanted: Callable[[File], bool]) -> None:
    """Raise PreconditionFailedError when the file is not in a revision that the editor has seen."""
    if not wanted(file):
        raise changed()


def check_expiry(expires_at: datetime, now: datetime, longest: timedelta) -> None:
    """Raise InvalidRequestError (``invalid-body``) for an instant that has gone or is too far away."""
    if expires_at <= now:
        raise InvalidRequestError("expires_at: must be in the future.", code="invalid-body")
    if expires_at - now > longest:
        raise InvalidRequestError(
            f"expires_at: must be within {longest.days} days from now.", code="invalid-body"
        )


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _row_key_before(milliseconds: int) -> str:
    """The smallest row key of files made before that millisecond since 1970."""
    prefix, _ = files.ROW_KEYS
    return f"{prefix}{(1 << 128) - (milliseconds << 80):032x}" if milliseconds > 0 else f"{prefix}~"


def _is_of_type(content_type: str, wanted: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if wanted.endswith("/*"):
        return wanted == "*/*" or media_type.startswith(wanted[:-1])
    return media_type == wanted
