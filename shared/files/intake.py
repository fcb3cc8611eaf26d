"""Accepting a file: one streamed request becomes one blob and one catalogue row, or nothing.

Order matters. The blob is committed first, with all that is known of the file in its metadata; then, in one
transaction, the row is inserted, the owner's quota counted, and whatever the request wants to be true
together with the file. A crash before the commit leaves nothing visible. A crash after it leaves a blob whose
BlobCreated event makes the blob trigger insert the very same row.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from shared.errors import (
    EntityChangedError,
    EntityExistsError,
    EntityMissingError,
    InvalidRequestError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files.blocks import BLOCK_BYTES
from shared.files.digest import RunningDigest
from shared.files.tracing import became_visible
from shared.ports import Delete, Insert

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from shared.files.file import File
    from shared.files.inspection import ContentCheck
    from shared.ledger.due import DueWriter
    from shared.ports import BlobStore, Change, Clock, TableStore

HEAD_BYTES = 4096
"""So much of the content is looked at to tell what it is."""
_REFUSALS = (
    InvalidRequestError,
    TooLargeError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
"""Errors that leave no blob; some of its bytes may be staged."""
MAX_LABELS_METADATA_BYTES = 6 * 1024
"""All metadata of a blob has 8 KiB: https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources"""


class QuotaCount(Protocol):
    """How much an owner may keep."""

    @property
    def enabled(self) -> bool:
        """Whether there is a limit at all."""
        ...

    async def check(self, owner: str, *, bytes_delta: int, files_delta: int) -> None:
        """Raise TooLargeError (``quota-exceeded``) early, without writing."""
        ...

    async def apply(
        self, owner: str, changes: Sequence[Change], *, bytes_delta: int, files_delta: int
    ) -> Sequence[str]:
        """Carry out ``changes`` and count them, all or none; returns their ETags."""
        ...


class Companion(Protocol):
    """What becomes true in the same transaction as the file, and guards it until then."""

    async def keep(self) -> None:
        """Called for every chunk, and before bytes are taken back; raises when the request must stop."""
        ...

    def changes(self, file: File) -> Sequence[Change]:
        """To be made together with the file's row."""
        ...


class Alone:
    """The companion of a file that has none."""

    async def keep(self) -> None:
        """See ``Companion``."""

    def changes(self, file: File) -> Sequence[Change]:  # noqa: ARG002 - the signature is the protocol's
        """See ``Companion``."""
        return ()


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
    labels: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    """The partition of the owner's tenant."""
    least_size_bytes: int = 1
    """What the file has at least, where its size is not announced."""
    file_id: str | None = None
    """Of an earlier try of the same request; None for a new one."""


class Intake:
    """Accepts files."""

    def __init__(
        self,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        max_file_bytes: int,
        content: ContentCheck | None = None,
        quota: QuotaCount | None = None,
        due: DueWriter | None = None,
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._content = content
        self._quota = quota if quota is not None and quota.enabled else None
        self._due = due
        self.max_file_bytes = max_file_bytes

    def check_size(self, announced_size_bytes: int | None) -> None:
        """Refuse by the announced size, before a byte of the body is read."""
        if announced_size_bytes == 0:
            raise _empty()
        if announced_size_bytes is not None and announced_size_bytes > self.max_file_bytes:
            raise self.too_large()

    def check(self, upload: Upload) -> None:
        """Refuse by all that is said of the file; raises as ``accept`` does."""
        self.check_size(upload.announced_size_bytes)
        if self._content is not None:
            self._content.check_declared(upload.content_type)
        _check_labels(upload.labels)

    def new_file_id(self) -> str:
        """An id for a file that starts now."""
        return files.new_file_id(self._clock.now())

    async def accept(
        self,
        upload: Upload,
        body: AsyncIterator[bytes],
        *,
        digest: RunningDigest | None = None,
        companion: Companion | None = None,
    ) -> File:
        """Store ``body`` as a new file of ``upload.owner``, and make the companion's changes with it.

        ``digest`` knows what the bytes are expected to be, and afterwards what they were.

        Where an earlier try of the same request has stored the file already, that one is returned.

        Raises:
            TooLargeError: Over the size limit, or ``quota-exceeded``.
            UnsupportedMediaTypeError: The type or the content is not taken.
            InvalidRequestError: No body.
            UploadIncompleteError: Less of it than announced.
            UnprocessableError: ``digest-mismatch``.
            EntityChangedError, EntityMissingError: The companion's changes do not fit any more.

        With each of them but the last two nothing is visible. UnavailableError leaves open whether there is
        a file.
        """
        digest, companion = digest or RunningDigest(), companion or Alone()
        self.check(upload)
        if self._quota is not None:
            least_bytes = upload.announced_size_bytes or upload.least_size_bytes
            await self._quota.check(upload.owner, bytes_delta=least_bytes, files_delta=1)
        accepted_at = self._clock.now()
        file_id = upload.file_id or files.new_file_id(accepted_at)
        name = files.blob_name(upload.owner, file_id)

        async def content() -> AsyncGenerator[bytes]:
            async for chunk in self._checked(upload, body, digest, companion):
                yield chunk
            if self._due is not None:  # the event of the blob that is made now may be missed
                look_at = self._clock.now() + timedelta(seconds=files.ANNOUNCE_SECONDS)
                await self._due.put(files.ANNOUNCE, upload.owner, file_id, look_at)

        def metadata() -> dict[str, str]:
            return files.to_blob_metadata(
                upload.name,
                sha256=digest.sha256,
                correlation_id=upload.correlation_id,
                traceparent=upload.traceparent,
                accepted_at=accepted_at,
                stored_at=self._clock.now(),
                labels=upload.labels,
                tenant=upload.tenant,
            )

        try:
            blob = await self._blobs.create(
                name,
                content(),
                content_type=upload.content_type,
                metadata=metadata,
            )
        except EntityExistsError:
            stored = await self.stored_before(upload.owner, name.rpartition("/")[2])
            if stored is None:
                raise
            return await self.publish(stored, companion)
        except _REFUSALS:
            # Other tries of the same request may be staging under the same name.
            if upload.file_id is None and digest.size_bytes > BLOCK_BYTES:
                with suppress(UnavailableError):  # storage throws away what nobody commits in the end
                    await self._blobs.delete(name)
            raise
        return await self.publish(files.from_blob(blob), companion)

    async def stored_before(self, owner: str, file_id: str) -> File | None:
        """What an earlier try has stored under this id, whether or not it got as far as the row."""
        blob = await self._blobs.properties(files.blob_name(owner, file_id))
        return None if blob is None else files.from_blob(blob)

    async def read(self, upload: Upload, body: AsyncIterator[bytes], digest: RunningDigest) -> None:
        """Read the body of a request whose file is there, and check it in the same way."""
        async for _ in self._checked(upload, body, digest, Alone()):
            pass

    async def find(self, owner: str, file_id: str) -> File | None:
        """The owner's file of that id."""
        return await find(self._tables, owner, file_id)

    async def publish(self, file: File, companion: Companion) -> File:
        """Insert the row of a file whose blob is there, count it, and make the companion's changes.

        The blob trigger may have inserted and counted the row before; then only the changes are made.
        """
        changes = companion.changes(file)
        try:
            etag, *_ = await self._counted(file, [Insert(files.to_entity(file)), *changes])
        except TooLargeError:
            await companion.keep()
            await self.take_back(file)
            raise
        except EntityExistsError:
            if changes:
                await self._tables.apply(changes)
            return await find(self._tables, file.owner, file.id) or file
        became_visible(file)
        return replace(file, etag=etag)

    async def take_back(self, file: File) -> None:
        """Remove the blob, and the row that the blob trigger may have made of it meanwhile."""
        await self._blobs.delete(files.blob_name(file.owner, file.id))
        while (row := await self._tables.get(file.owner, files.row_key(file.id))) is not None:
            try:
                await self._counted(file, [Delete(row)], sign=-1)
            except (EntityChangedError, EntityMissingError):
                continue  # a delivery got on meanwhile

    async def _counted(self, file: File, changes: Sequence[Change], *, sign: int = 1) -> Sequence[str]:
        """Make the changes, and count the file in or (``sign=-1``) out."""
        if self._quota is None:
            return await self._tables.apply(changes)
        return await self._quota.apply(
            file.owner, changes, bytes_delta=sign * file.size_bytes, files_delta=sign
        )

    async def _checked(
        self, upload: Upload, body: AsyncIterator[bytes], digest: RunningDigest, companion: Companion
    ) -> AsyncIterator[bytes]:
        """The body, and at its end all checks; the blob is committed after the last one."""
        head = b""
        is_checked = self._content is None
        async for chunk in body:
            digest.update(chunk)
            if digest.size_bytes > self.max_file_bytes:
                raise self.too_large()
            if not is_checked:
                head += chunk[: HEAD_BYTES - len(head)]
                if is_checked := len(head) == HEAD_BYTES:
                    self._check_content(upload, head)
            await companion.keep()
            yield chunk
        if digest.size_bytes == 0:
            raise _empty()
        announced_size_bytes = upload.announced_size_bytes
        if announced_size_bytes is not None and digest.size_bytes != announced_size_bytes:
            raise UploadIncompleteError(
                f"The body ended after {digest.size_bytes} of {announced_size_bytes} bytes; "
                "nothing was stored."
            )
        if not is_checked:
            self._check_content(upload, head)
        digest.check()
        await companion.keep()

    def _check_content(self, upload: Upload, head: bytes) -> None:
        if self._content is not None:
            self._content.check_content(upload.content_type, head)

    def too_large(self) -> TooLargeError:
        """The error for a file over the limit."""
        return TooLargeError(f"A file can have at most {self.max_file_bytes} bytes here.")


def _empty() -> InvalidRequestError:
    return InvalidRequestError(
        "The request has no body; send the file's bytes as the body.", code="body-missing"
    )


def _check_labels(labels: Mapping[str, str]) -> None:
    """Raise InvalidRequestError when there is no room for them beside the file's bytes."""
    if labels and len(files.labels_metadata(labels)) > MAX_LABELS_METADATA_BYTES:
        raise InvalidRequestError(
            "labels: too long to be sent with the file; add them afterwards with PATCH.", code="invalid-form"
        )


async def find(tables: TableStore, owner: str, file_id: str) -> File | None:
    """The owner's file of that id."""
    if not files.is_file_id(file_id):
        return None
    entity = await tables.get(owner, files.row_key(file_id))
    return None if entity is None else files.from_entity(entity)
