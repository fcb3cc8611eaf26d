"""From bytes that are all there to a file that can be seen: checked first, then published in one step.

Whoever comes first does it: the request that brought the last byte, the client's word that it is done, the
blob trigger, or the sweep. All of them can do it at once; one of them writes the row.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

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
from shared.files import intake
from shared.files import upload as uploads
from shared.files.file import File, FileStatus
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.ports import BlobProperties, Delete, Insert, Replace
from shared.telemetry.events import Event, record

if TYPE_CHECKING:
    from shared.files.quota import Quota
    from shared.ports import BlobStore, Clock, TableStore

HEAD_BYTES = 4096
"""So much of the content is looked at to tell what it is."""
MAX_TRIES = 4
"""Races against another publication of the same upload."""
_REJECTIONS: dict[int, type[ProblemError]] = {
    413: TooLargeError,
    415: UnsupportedMediaTypeError,
    422: UnprocessableError,
}
"""How an upload can be refused when all of it is there; the row keeps status, code and sentence."""


class ContentCheck(Protocol):
    """Which content is taken."""

    def check_content(self, content_type: str, head: bytes) -> None:
        """Raise UnsupportedMediaTypeError for content that is not taken, or not what it is said to be."""
        ...


class DueWriter(Protocol):
    """Notes what has to be looked at later."""

    async def put(self, kind: str, owner: str, id_: str, at: datetime) -> None:
        """Note that ``id_`` has to be looked at."""
        ...


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
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._content = content
        self._due = due

    async def publish(self, upload: Upload) -> File:
        """The file that the upload becomes; safe to ask for again, also at once.

        Its digest is that of the writing where one request, or one process, saw all bytes; otherwise the blob
        is read once as a stream. What clients write themselves is read in one certain state, and that state
        is copied to where they cannot write.

        Raises:
            UnprocessableError: ``size-mismatch``, ``digest-mismatch``; the upload is rejected.
            UnsupportedMediaTypeError: The content is not taken, or not what it is said to be; rejected.
            TooLargeError: ``quota-exceeded``; rejected.
            ConflictError: ``not-uploaded``: there is no blob yet.
            NotFoundError: The upload has ended, or its file was deleted.
        """
        for _ in range(MAX_TRIES):
            match upload.status:
                case UploadStatus.FINISHED:
                    return await self._file_of(upload)
                case UploadStatus.REJECTED:
                    raise _rejection(upload)
                case UploadStatus.ENDED:
                    raise NotFoundError("This upload has ended.")
            try:
                published = await self._published(upload, await self._checked(upload))
            except tuple(_REJECTIONS.values()) as error:
                await self._rejected(upload, error)
                published = None
            if published is not None:
                return published
            upload = await self._again(upload)
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
        return replace(told, etag=etag)

    async def _checked(self, upload: Upload) -> BlobProperties:
        """The blob of the file to be, with its digest among the metadata, after all checks."""
        final_name = files.blob_name(upload.owner, upload.id)
        final = await self._blobs.properties(final_name)
        if upload.kind is UploadKind.RESUMABLE:
            if final is None:
                raise ConflictError("The bytes are not there yet.", code="not-uploaded")
            if upload.sha256 is not None and upload.expected_sha512 is None:
                _check_digest(upload.sha256, upload.expected_sha256)
                return _with_sha256(final, upload.sha256)
            return _with_sha256(final, await self._inspected(upload, final))
        if final is not None:
            return final  # checked and copied by somebody who did not get further
        source = await self._blobs.properties(upload.blob_name)
        if source is None:
            raise ConflictError(
                "The bytes are not there yet; send them to upload_url first.", code="not-uploaded"
            )
        if source.size_bytes != upload.length_bytes:
            raise UnprocessableError(
                f"{source.size_bytes} bytes arrived, {upload.length_bytes} were announced.",
                code="size-mismatch",
            )
        sha256 = await self._inspected(upload, source)
        try:
            return await self._blobs.copy(
                source.name,
                final_name,
                source_etag=source.etag,
                content_type=upload.content_type,
                metadata=files.to_blob_metadata(
                    upload.name,
                    sha256=sha256,
                    correlation_id=upload.correlation_id,
                    traceparent=upload.traceparent,
                    accepted_at=upload.created_at,
                    stored_at=self._clock.now(),
                ),
            )
        except EntityExistsError:
            final = await self._blobs.properties(final_name)
            if final is None:
                raise _changed_meanwhile() from None
            return final
        except (EntityChangedError, EntityMissingError):
            raise _changed_meanwhile() from None

    async def _inspected(self, upload: Upload, blob: BlobProperties) -> str:
        """Read the blob once; returns its SHA-256 when it is what was announced."""
        sha256, sha512 = hashlib.sha256(), hashlib.sha512()
        head = b""
        try:
            async with aclosing(self._blobs.read(blob.name, etag=blob.etag)) as content:
                async for chunk in content:
                    sha256.update(chunk)
                    if upload.expected_sha512 is not None:
                        sha512.update(chunk)
                    if len(head) < HEAD_BYTES:
                        head += chunk[: HEAD_BYTES - len(head)]
        except (EntityChangedError, EntityMissingError):
            raise _changed_meanwhile() from None
        self._content.check_content(upload.content_type, head)
        _check_digest(sha256.hexdigest(), upload.expected_sha256)
        _check_digest(sha512.hexdigest(), upload.expected_sha512)
        return sha256.hexdigest()

    async def _published(self, upload: Upload, blob: BlobProperties) -> File | None:
        """Write the file's row; None when somebody else changed the upload's first."""
        file = files.from_blob(blob)
        look_at = self._clock.now() + timedelta(seconds=files.ANNOUNCE_SECONDS)
        await self._due.put(files.ANNOUNCE, file.owner, file.id, look_at)  # its event may be missed
        done = replace(
            upload.moved_to(UploadStatus.FINISHED, self._clock.now()),
            offset_bytes=file.size_bytes,
            charged_bytes=0,
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
            reason=f"{error.code}: {error.detail}",
        )
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


def _check_digest(actual: str, expected: str | None) -> None:
    if expected is not None and not hmac.compare_digest(actual, expected):
        raise UnprocessableError(
            "The bytes that arrived have another digest than announced.", code="digest-mismatch"
        )


def _changed_meanwhile() -> ConflictError:
    return ConflictError(
        "The bytes were written again while they were checked.", code="changed-while-checked"
    )


def _rejection(upload: Upload) -> ProblemError:
    """The error that the upload was refused with."""
    status, code, detail = (upload.reason or "422 unprocessable The upload was refused.").split(" ", 2)
    return _REJECTIONS.get(int(status), UnprocessableError)(detail, code=code)
