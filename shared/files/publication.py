"""From bytes that are all there to a file that can be seen: checked first, then published in one step.

Whoever comes first does it: the request that brought the last byte, the client's word that it is done, the
blob trigger, or the sweep. All of them can do it at once; one of them writes the row.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import (
    ConflictError,
    EntityChangedError,
    EntityExistsError,
    EntityMissingError,
    NotFoundError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
)
from shared.files import file as files
from shared.files import intake, scanning
from shared.files import upload as uploads
from shared.files.events import EventType, Silence
from shared.files.file import File, FileStatus
from shared.files.inspection import Inspection, check_digest
from shared.files.tracing import became_visible, works_on
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.ports import BlobProperties, Delete, Insert, Replace
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from shared.files.events import EventWriter
    from shared.files.inspection import ContentCheck
    from shared.files.quota import Quota
    from shared.ledger.due import DueWriter
    from shared.ports import BlobStore, Clock, TableStore

MAX_TRIES = 4
"""Races against another publication of the same upload."""
POLL_SECONDS = 0.5
"""Between looks at an upload that somebody else is reading."""
CLAIM_SECONDS = 30
SLOWEST_BYTES_PER_SECOND = 8 * 1024 * 1024
"""A reader that needs longer than by this pace is believed to have crashed."""
REJECTIONS: tuple[type[ProblemError], ...] = (TooLargeError, UnsupportedMediaTypeError, UnprocessableError)
"""How an upload can be refused when all of it is there; the row keeps status, code and sentence."""


class Publication:
    """Makes files of uploads."""

    def __init__(
        self,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        quota: Quota,
        content: ContentCheck,
        due: DueWriter,
        events: EventWriter | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._content = content
        self._due = due
        self._events = events or Silence()
        self._pause = pause

    async def publish(self, upload: Upload) -> File:
        """The file that the upload becomes; safe to ask for again, also at once.

        Its digest is that of the writing where one request, or one process, saw all bytes; otherwise the blob
        is read once as a stream. What clients write themselves is read in one certain state, and copied to
        where they cannot write in the same pass.

        Raises:
            UnprocessableError: ``size-mismatch``, ``digest-mismatch``; the upload is rejected.
            UnsupportedMediaTypeError: The content is not taken, or not what it is said to be; rejected.
            TooLargeError: ``quota-exceeded``; rejected.
            ConflictError: ``not-uploaded``: there is no blob yet.
            NotFoundError: The upload has ended, or its file was deleted.
        """
        works_on(upload)
        tries_left = MAX_TRIES
        while tries_left:
            match upload.status:
                case UploadStatus.FINISHED:
                    return await self._file_of(upload)
                case UploadStatus.REJECTED:
                    raise _rejection(upload)
                case UploadStatus.ENDED:
                    raise NotFoundError("This upload has ended.")
            bytes_to_read = await self._bytes_to_read(upload)
            if bytes_to_read is None:
                published = await self._tried(upload)
            elif (claimed := await self._claimed(upload, bytes_to_read)) is not None:
                published = await self._tried(claimed)
            else:  # somebody is reading it just now
                await self._pause(POLL_SECONDS)
                upload = await self._again(upload)
                continue
            if published is not None:
                return published
            upload = await self._again(upload)
            tries_left -= 1
        raise UnavailableError(
            "The upload is being published; try again in a moment.", reason="publication-race"
        )

    async def file_at(self, blob_name: str) -> File | None:
        """The published file whose blob has just been made; None when that blob is no file.

        Asked by the blob trigger. A client's own blob is published here, and announced by the event of the
        blob that this makes.
        """
        incoming = blob_name.startswith(files.INCOMING)
        owner, _, file_id = blob_name.removeprefix(files.INCOMING).partition("/")
        if not files.is_file_id(file_id):
            record(Event.DELIVERY_SKIPPED, level=logging.WARNING, reason="a blob that is no file of ours")
            return None
        file = None if incoming else await intake.find(self._tables, owner, file_id)
        if file is not None and scanning.is_malware(file):
            await self._blobs.delete(blob_name)  # who rejected it may have crashed, or a client sent it again
        if file is not None:
            return file if file.status in files.PUBLISHED else None
        entity = await self._tables.get(owner, uploads.row_key(file_id))
        if entity is None and incoming:
            await self._blobs.delete(blob_name)  # written after its upload had ended
            return None
        if entity is None:
            return await self._from_blob_alone(blob_name)
        upload = uploads.from_entity(entity)
        if incoming and upload.kind is not UploadKind.DIRECT:
            return None  # a part of an upload
        if incoming and upload.status not in uploads.UNDER_WAY:
            await self._blobs.delete(blob_name)  # written once more after it was published
            return None
        try:
            file = await self.publish(upload)
        except UnavailableError:
            raise
        except ProblemError:
            return None  # rejected, or ended: the row says so
        return None if incoming else file

    async def _from_blob_alone(self, blob_name: str) -> File | None:
        """One request stored the blob and died before the row, or is just about to write it."""
        blob = await self._blobs.properties(blob_name)
        if blob is None:
            return None
        try:
            told = files.from_blob(blob)
        except ValueError as error:
            record(Event.DELIVERY_SKIPPED, level=logging.WARNING, reason=f"not a file of ours: {error}")
            return None
        entity = files.to_entity(told)
        try:
            (etag,) = await self._quota.apply(
                told.owner, [Insert(entity)], bytes_delta=told.size_bytes, files_delta=1
            )
        except (EntityExistsError, TooLargeError):  # refused: so is the request, and removes the blob
            return await intake.find(self._tables, told.owner, told.id)
        if self._quota.enabled and await self._blobs.properties(blob_name) is None:
            # The request was refused for the quota meanwhile, and took its blob back.
            await self._quota.apply(
                told.owner,
                [Delete(replace(entity, etag=etag))],
                bytes_delta=-told.size_bytes,
                files_delta=-1,
            )
            return None
        became_visible(told)
        return replace(told, etag=etag)

    async def _bytes_to_read(self, upload: Upload) -> int | None:
        """How much has to be read before there can be a file; None for nothing.

        Raises ConflictError (``not-uploaded``).
        """
        if upload.kind is UploadKind.RESUMABLE:
            known = upload.sha256 is not None and upload.expected_sha512 is None
            return None if known else upload.offset_bytes
        if await self._blobs.properties(files.blob_name(upload.owner, upload.id)) is not None:
            return None  # checked and copied by somebody who did not get further
        return (await self._source(upload)).size_bytes

    async def _claimed(self, upload: Upload, bytes_to_read: int) -> Upload | None:
        """Take the reading on, so that nobody does it twice; None while somebody else has it."""
        now = self._clock.now()
        if upload.claimed_until is not None and now < upload.claimed_until:
            return None
        lease_seconds = CLAIM_SECONDS + bytes_to_read / SLOWEST_BYTES_PER_SECOND
        claimed = replace(upload, claimed_until=now + timedelta(seconds=lease_seconds))
        try:
            (etag,) = await self._tables.apply([Replace(uploads.to_entity(claimed))])
        except (EntityChangedError, EntityMissingError):
            return None
        return replace(claimed, etag=etag)

    async def _tried(self, upload: Upload) -> File | None:
        """Check and publish, or reject; None when somebody else changed the upload first."""
        try:
            return await self._published(upload, await self._checked(upload))
        except REJECTIONS as error:
            await self._rejected(upload, error)
            return None
        except (ConflictError, UnavailableError):
            await self._released(upload)
            raise

    async def _released(self, upload: Upload) -> None:
        if upload.claimed_until is not None:
            with suppress(EntityChangedError, EntityMissingError, UnavailableError):  # it runs out by itself
                await self._tables.apply([Replace(uploads.to_entity(replace(upload, claimed_until=None)))])

    async def _checked(self, upload: Upload) -> BlobProperties:
        """The blob of the file to be, with its digest among the metadata, after all checks."""
        final_name = files.blob_name(upload.owner, upload.id)
        final = await self._blobs.properties(final_name)
        if upload.kind is UploadKind.RESUMABLE:
            if final is None:
                raise ConflictError("The bytes are not there yet.", code="not-uploaded")
            if upload.sha256 is not None and upload.expected_sha512 is None:
                check_digest(upload.sha256, upload.expected_sha256)
                return _with_sha256(final, upload.sha256)
            inspection = Inspection(upload, self._content)
            async for _ in self._inspected(final, inspection):
                pass
            return _with_sha256(final, inspection.sha256)
        return final or await self._copied(upload, final_name)

    async def _source(self, upload: Upload) -> BlobProperties:
        """The blob that the client wrote itself."""
        source = await self._blobs.properties(upload.blob_name)
        if source is None:
            raise ConflictError(
                "The bytes are not there yet; send them to upload_url first.", code="not-uploaded"
            )
        return source

    async def _copied(self, upload: Upload, final_name: str) -> BlobProperties:
        """What the client wrote, checked while it is copied to where the client cannot write."""
        source = await self._source(upload)
        if source.size_bytes != upload.length_bytes:
            raise UnprocessableError(
                f"{source.size_bytes} bytes arrived, {upload.length_bytes} were announced.",
                code="size-mismatch",
            )
        inspection = Inspection(upload, self._content)
        try:
            return await self._blobs.create(
                final_name,
                self._inspected(source, inspection),
                content_type=upload.content_type,
                metadata=lambda: files.to_blob_metadata(
                    upload.name,
                    sha256=inspection.sha256,
                    correlation_id=upload.correlation_id,
                    traceparent=upload.traceparent,
                    accepted_at=upload.created_at,
                    stored_at=self._clock.now(),
                    tenant=upload.tenant,
                ),
            )
        except EntityExistsError:
            final = await self._blobs.properties(final_name)
            if final is None:
                raise _changed_meanwhile() from None
            return final

    async def _inspected(self, blob: BlobProperties, inspection: Inspection) -> AsyncGenerator[bytes]:
        """The blob's bytes in one certain state; what they are is checked before the last of them is told."""
        try:
            async with aclosing(self._blobs.read(blob.name, etag=blob.etag)) as content:
                async for chunk in content:
                    inspection.see(chunk)
                    yield chunk
        except (EntityChangedError, EntityMissingError):
            raise _changed_meanwhile() from None
        inspection.check()

    async def _published(self, upload: Upload, blob: BlobProperties) -> File | None:
        """Write the file's row; None when somebody else changed the upload's first."""
        file = files.from_blob(blob)
        look_at = self._clock.now() + timedelta(seconds=files.ANNOUNCE_SECONDS)
        await self._due.put(files.ANNOUNCE, file.owner, file.id, look_at)  # its event may be missed
        done = replace(
            upload.moved_to(UploadStatus.FINISHED, self._clock.now()),
            offset_bytes=file.size_bytes,
            charged_bytes=0,
            claimed_until=None,
        )
        try:
            etag, _ = await self._quota.apply(
                upload.owner,
                [Insert(files.to_entity(file)), Replace(uploads.to_entity(done))],
                bytes_delta=file.size_bytes - upload.charged_bytes,
                files_delta=0,
            )
        except (EntityExistsError, EntityChangedError, EntityMissingError):
            return None
        became_visible(file)
        if upload.kind is UploadKind.DIRECT:
            await self._blobs.delete(upload.blob_name)
        return replace(file, etag=etag)

    async def _rejected(self, upload: Upload, error: ProblemError) -> None:
        """Write that the upload is refused, then let its bytes go."""
        now = self._clock.now()
        reason = f"{error.status} {error.code} {error.detail}"
        refused = replace(upload.moved_to(UploadStatus.REJECTED, now, reason=reason), charged_bytes=0)
        told = File(
            id=upload.id,
            owner=upload.owner,
            name=upload.name,
            content_type=upload.content_type,
            size_bytes=upload.length_bytes or 0,
            sha256=upload.sha256 or "",
            status=FileStatus.REJECTED,
            correlation_id=upload.correlation_id,
            traceparent=upload.traceparent,
            accepted_at=upload.created_at,
            stored_at=now,
            updated_at=now,
            tenant=upload.tenant,
            reason=f"{error.code}: {error.detail}",
        )
        await self._events.will(upload.owner, upload.id, EventType.FILE_REJECTED, 0)
        try:
            await self._quota.apply(
                upload.owner,
                [Insert(files.to_entity(told)), Replace(uploads.to_entity(refused))],
                bytes_delta=-upload.charged_bytes,
                files_delta=-1,
            )
        except (EntityExistsError, EntityChangedError, EntityMissingError):
            return
        record(
            Event.FILE_REJECTED,
            level=logging.WARNING,
            file_id=upload.id,
            trace_id=told.trace_id,
            correlation_id=upload.correlation_id,
            reason=error.code,
        )
        await self._events.happened(told, EventType.FILE_REJECTED)
        for name in {upload.blob_name, files.blob_name(upload.owner, upload.id)}:
            await self._blobs.delete(name)

    async def _again(self, upload: Upload) -> Upload:
        entity = await self._tables.get(upload.owner, uploads.row_key(upload.id))
        if entity is None:
            raise NotFoundError("This upload has ended.")
        return uploads.from_entity(entity)

    async def _file_of(self, upload: Upload) -> File:
        file = await intake.find(self._tables, upload.owner, upload.id)
        if file is None or file.status is FileStatus.DELETED:
            raise NotFoundError("You have no file of this id.")
        return file


def _with_sha256(blob: BlobProperties, sha256: str) -> BlobProperties:
    return replace(blob, metadata={**blob.metadata, "sha256": sha256})


def _changed_meanwhile() -> ConflictError:
    return ConflictError(
        "The bytes were written again while they were checked.", code="changed-while-checked"
    )


def _rejection(upload: Upload) -> ProblemError:
    """The error that the upload was refused with."""
    status, code, detail = (upload.reason or "422 unprocessable The upload was refused.").split(" ", 2)
    kinds = {kind.status: kind for kind in REJECTIONS}
    return kinds.get(int(status), UnprocessableError)(detail, code=code)
