"""The ends of an upload: it becomes a file or a part, it is called off, it expires."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.errors import (
    EntityChangedError,
    EntityExistsError,
    EntityMissingError,
    InternalError,
    ProblemError,
    UnavailableError,
)
from shared.files import file as files
from shared.files import upload as uploads
from shared.files.blocks import in_order
from shared.files.events import EventType, Silence
from shared.files.file import File, FileStatus
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.ports import Delete, Replace
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from shared.files.events import EventWriter
    from shared.files.publication import Publication
    from shared.files.quota import Quota
    from shared.ports import BlobStore, Clock, TableStore

DUE_KIND = "upload"
"""Entries of the due book that ``UploadEnds.look`` works off."""


class UploadEnds:
    """Finishes and ends uploads; every step can be taken again after a crash."""

    def __init__(
        self,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        quota: Quota,
        publication: Publication,
        keep_seconds: float,
        events: EventWriter | None = None,
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._publication = publication
        self._keep_seconds = keep_seconds
        self._events = events or Silence()

    async def finish(self, upload: Upload) -> Upload:
        """Make the file of a complete upload, or carry on where somebody who did so was interrupted."""
        if upload.status is UploadStatus.FINISHED:
            return upload
        await self._committed(upload)
        if upload.partial:
            done = upload.moved_to(UploadStatus.FINISHED, self._clock.now())
            try:
                (etag,) = await self._tables.apply([Replace(uploads.to_entity(done))])
                return replace(done, etag=etag)
            except EntityChangedError:  # somebody else was quicker
                return replace(upload, status=UploadStatus.FINISHED)
        await self._publication.publish(upload)
        return replace(upload, status=UploadStatus.FINISHED)

    async def _finish_or_reject(self, upload: Upload) -> None:
        try:
            if upload.kind is UploadKind.DIRECT:
                await self._publication.publish(upload)
            else:
                await self.finish(upload)
        except (UnavailableError, InternalError):
            raise
        except ProblemError:
            return  # rejected: the row says so

    async def _committed(self, upload: Upload) -> None:
        """Make the blob of the blocks, unless that was done before."""
        length_bytes = upload.offset_bytes
        ids = in_order(await self._blobs.staged(upload.blob_name), length_bytes)
        if ids is not None:
            try:
                await self._blobs.commit(
                    upload.blob_name,
                    ids,
                    content_type=upload.content_type,
                    metadata=files.to_blob_metadata(
                        upload.name,
                        sha256=upload.sha256,
                        correlation_id=upload.correlation_id,
                        traceparent=upload.traceparent,
                        accepted_at=upload.created_at,
                        stored_at=upload.updated_at,
                        tenant=upload.tenant,
                    ),
                )
            except (EntityExistsError, EntityMissingError):
                pass  # somebody else was quicker
            else:
                return
        blob = await self._blobs.properties(upload.blob_name)
        if blob is None or blob.size_bytes != length_bytes:
            raise InternalError(
                "Some bytes of this upload are not there any more; begin a new one.", reason="blocks-missing"
            )

    async def end(self, upload: Upload) -> None:
        """Take the row's right away first, then what is stored, then the row."""
        ended = upload
        if upload.status is not UploadStatus.ENDED:
            held = upload.status in uploads.UNDER_WAY or upload.partial
            ended = replace(upload.moved_to(UploadStatus.ENDED, self._clock.now()), charged_bytes=0)
            (etag,) = await self._quota.apply(
                upload.owner,
                [Replace(uploads.to_entity(ended))],
                bytes_delta=-upload.charged_bytes if held else 0,
                files_delta=-upload.charged_files if held else 0,
            )
            ended = replace(ended, etag=etag)
        if not await self._is_of_file(upload):
            await self._blobs.delete(upload.blob_name)
        try:
            await self._tables.apply([Delete(uploads.to_entity(ended))])
        except (EntityMissingError, EntityChangedError):
            return

    async def after_writing(self, upload: Upload) -> None:
        """Throw away what a writer has staged since its upload ended; nobody else knows of it."""
        with suppress(UnavailableError):  # storage throws away what nobody commits in the end
            present = await self._tables.get(upload.owner, uploads.row_key(upload.id))
            if present is None and not await self._is_of_file(upload):
                await self._blobs.delete(upload.blob_name)

    async def _is_of_file(self, upload: Upload) -> bool:
        """Whether the blob that the upload wrote to is that of a file, which outlives the upload."""
        if upload.blob_name != files.blob_name(upload.owner, upload.id):
            return False
        entity = await self._tables.get(upload.owner, files.row_key(upload.id))
        return entity is not None and files.from_entity(entity).status is not FileStatus.REJECTED

    async def look(self, owner: str, upload_id: str) -> datetime | None:
        """See to an upload that is due: end what expired, finish what a crash left.

        Returns when to look again, None when nothing is left of it.
        """
        entity = await self._tables.get(owner, uploads.row_key(upload_id))
        if entity is None:
            return None
        upload = uploads.from_entity(entity)
        now = self._clock.now()
        if upload.status is UploadStatus.COMPLETE:
            await self._finish_or_reject(upload)
            return now + timedelta(seconds=self._keep_seconds)
        is_open = upload.status is UploadStatus.OPEN
        if is_open and upload.kind is UploadKind.DIRECT and await self._blobs.properties(upload.blob_name):
            await self._finish_or_reject(upload)  # the event of its blob was missed
            return now + timedelta(seconds=self._keep_seconds)
        if upload.status is not UploadStatus.ENDED and now < upload.expires_at:
            return upload.expires_at
        if is_open and not upload.partial:
            await self._events.happened(_as_file(upload), EventType.UPLOAD_EXPIRED)
            record(
                Event.UPLOAD_ENDED, file_id=upload.id, correlation_id=upload.correlation_id, reason="expired"
            )
        await self.end(upload)
        return None


def _as_file(upload: Upload) -> File:
    """What an upload that came to nothing would have been, for those who are told of it."""
    return File(
        id=upload.id,
        owner=upload.owner,
        name=upload.name,
        content_type=upload.content_type,
        size_bytes=upload.length_bytes or upload.offset_bytes,
        sha256="",
        status=FileStatus.RECEIVING,
        correlation_id=upload.correlation_id,
        traceparent=upload.traceparent,
        accepted_at=upload.created_at,
        stored_at=upload.updated_at,
        updated_at=upload.updated_at,
        tenant=upload.tenant,
    )
