"""Accepting a file: one streamed request becomes one blob and one catalogue row, or nothing.

Order matters. The blob is committed first, with all that is known of the file in its metadata; then the row
is inserted. A crash before the commit leaves nothing visible. A crash after it leaves a blob whose
BlobCreated event makes the blob trigger insert the very same row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import EntityExistsError, InvalidRequestError, TooLargeError, UploadIncompleteError
from shared.files import file as files
from shared.ports import Insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.files.file import File
    from shared.ports import BlobStore, Clock, TableStore


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way in: all but its bytes."""

    owner: str
    name: str
    content_type: str
    announced_size_bytes: int | None
    """What Content-Length said; None when the length is not known beforehand."""
    correlation_id: str
    traceparent: str


class Intake:
    """Accepts files."""

    def __init__(self, blobs: BlobStore, tables: TableStore, clock: Clock, *, max_file_bytes: int) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._max_file_bytes = max_file_bytes

    def check_size(self, announced_size_bytes: int | None) -> None:
        """Refuse by the announced size, before a byte of the body is read."""
        if announced_size_bytes == 0:
            raise _empty()
        if announced_size_bytes is not None and announced_size_bytes > self._max_file_bytes:
            raise self._too_large()

    async def accept(self, upload: Upload, body: AsyncIterator[bytes]) -> File:
        """Store ``body`` as a new file of ``upload.owner``.

        Raises TooLargeError, InvalidRequestError (no body) or UploadIncompleteError; then nothing is visible.
        """
        self.check_size(upload.announced_size_bytes)
        accepted_at = self._clock.now()
        file_id = files.new_file_id(accepted_at)
        digest = hashlib.sha256()

        def metadata() -> dict[str, str]:
            return files.to_blob_metadata(
                upload.name,
                sha256=digest.hexdigest(),
                correlation_id=upload.correlation_id,
                traceparent=upload.traceparent,
                accepted_at=accepted_at,
                stored_at=self._clock.now(),
            )

        blob = await self._blobs.create(
            files.blob_name(upload.owner, file_id),
            self._checked(body, upload.announced_size_bytes, digest),
            content_type=upload.content_type,
            metadata=metadata,
        )
        return await catalogued(self._tables, files.from_blob(blob))

    async def _checked(
        self, body: AsyncIterator[bytes], announced_size_bytes: int | None, digest: hashlib._Hash
    ) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in body:
            size_bytes += len(chunk)
            if size_bytes > self._max_file_bytes:
                raise self._too_large()
            digest.update(chunk)
            yield chunk
        if size_bytes == 0:
            raise _empty()
        if announced_size_bytes is not None and size_bytes != announced_size_bytes:
            raise UploadIncompleteError(
                f"The body ended after {size_bytes} of {announced_size_bytes} bytes; nothing was stored."
            )

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"A file can have at most {self._max_file_bytes} bytes here.")


def _empty() -> InvalidRequestError:
    return InvalidRequestError(
        "The request has no body; send the file's bytes as the body.", code="body-missing"
    )


async def catalogued(tables: TableStore, file: File) -> File:
    """Insert the file's row, or take the one that the blob trigger was quicker to insert."""
    entity = files.to_entity(file)
    try:
        (etag,) = await tables.apply([Insert(entity)])
    except EntityExistsError:
        existing = await tables.get(entity.partition_key, entity.row_key)
        if existing is None:  # deleted in between: the file was there, and somebody removed it
            return file
        return files.from_entity(existing)
    return files.from_entity(type(entity)(entity.partition_key, entity.row_key, entity.values, etag))


async def find(tables: TableStore, owner: str, file_id: str) -> File | None:
    """The owner's file of that id."""
    if not files.is_file_id(file_id):
        return None
    entity = await tables.get(owner, files.row_key(file_id))
    return None if entity is None else files.from_entity(entity)
