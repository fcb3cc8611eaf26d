"""What can happen to a file that somebody may want to be told of."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared.files.file import File


class EventType(StrEnum):
    """What a subscriber can be told of."""

    FILE_STORED = "file.stored"
    """Told by way of the blob's own event (``shared.notifications.fan_out``)."""
    FILE_UPDATED = "file.updated"
    FILE_DELETED = "file.deleted"
    FILE_REJECTED = "file.rejected"
    UPLOAD_EXPIRED = "upload.expired"


class EventWriter(Protocol):
    """Tells of what happens, though the teller may crash: noted before, told after."""

    async def will(self, owner: str, file_id: str, event: EventType, revision: int) -> None:
        """Note that this is about to happen to the file, which then has at least that revision."""
        ...

    async def happened(self, file: File, event: EventType) -> None:
        """Tell of it. Raises nothing: what cannot be told now is told by the sweep."""
        ...


class Silence:
    """Tells nobody."""

    async def will(self, owner: str, file_id: str, event: EventType, revision: int) -> None:
        """See ``EventWriter``."""

    async def happened(self, file: File, event: EventType) -> None:
        """See ``EventWriter``."""
