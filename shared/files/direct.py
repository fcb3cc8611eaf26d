"""Uploads that clients write straight to Blob Storage, by a URL that lets them write one blob for a while.

No byte passes through a function. The blob that the client writes is never the file: it is checked in one
certain state, and that state is copied to where the client cannot write (``Publication``). So the URL may
live on after the file is published, and writing to it again changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from shared.errors import ConflictError, GoneError, InvalidRequestError, NotFoundError, TooLargeError
from shared.files import file as files
from shared.files import upload as uploads
from shared.files.name import checked_name
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.files.upload_end import DUE_KIND
from shared.ports import Insert

if TYPE_CHECKING:
    from shared.files.file import File
    from shared.files.quota import Quota
    from shared.ledger.due import DueWriter
    from shared.ports import Clock, TableStore, UrlSigner

MEBIBYTE = 1024 * 1024
MAX_SINGLE_PUT_BYTES = 5000 * MEBIBYTE
"""Most that one Put Blob takes: learn.microsoft.com/azure/storage/blobs/scalability-targets"""
MAX_BLOCKS = 50_000
"""Most blocks that a blob can have (as above)."""
MIN_BLOCK_BYTES = 8 * MEBIBYTE
MAX_URL_SECONDS = 86_400.0
"""A user delegation key, which signs URLs, holds for 7 days at most; nobody needs that long."""


@dataclass(frozen=True, slots=True)
class NewDirectUpload:
    """What a client says of a file before it sends it."""

    owner: str
    name: str
    content_type: str
    size_bytes: int
    correlation_id: str
    traceparent: str
    tenant: str = ""
    """The partition of the owner's tenant."""
    sha256: str | None = None
    """64 hexadecimal digits in lower case; None: whatever arrives."""


@dataclass(frozen=True, slots=True)
class DirectUploadPolicy:
    """The limits of direct uploads."""

    max_file_bytes: int
    url_seconds: float = 900
    """How long a URL works for a file of one Put Blob. Storage looks at it when a request begins, so sending
    may take longer; larger files, which need many requests, get as much for each Put Blob they would need."""
    grace_seconds: float = 6 * 3600
    """After the URL has expired, so long a request that began in time may go on, and what came of the upload
    is remembered."""

    def url_life(self, size_bytes: int) -> timedelta:
        """How long the URL for a file of this size works."""
        seconds = self.url_seconds * math.ceil(size_bytes / MAX_SINGLE_PUT_BYTES)
        return timedelta(seconds=min(seconds, max(self.url_seconds, MAX_URL_SECONDS)))


@dataclass(frozen=True, slots=True)
class DirectUpload:
    """Leave to write a blob."""

    upload: Upload
    url: str
    """Whoever has it can write the blob: never to be logged."""
    url_expires_at: datetime


class DeclaredContentCheck(Protocol):
    """Which content is taken."""

    def check_declared(self, content_type: str) -> None:
        """Raise UnsupportedMediaTypeError for a type that is not taken."""
        ...


class Publisher(Protocol):
    """Makes files of uploads."""

    async def publish(self, upload: Upload) -> File:
        """See ``shared.files.publication.Publication``."""
        ...


class DirectUploads:
    """Gives leave to write a blob, and makes a file of what was written."""

    def __init__(
        self,
        tables: TableStore,
        signer: UrlSigner,
        clock: Clock,
        *,
        quota: Quota,
        publication: Publisher,
        content: DeclaredContentCheck,
        due: DueWriter,
        policy: DirectUploadPolicy,
    ) -> None:
        self._tables = tables
        self._signer = signer
        self._clock = clock
        self._quota = quota
        self._publication = publication
        self._content = content
        self._due = due
        self._policy = policy

    async def create(self, new: NewDirectUpload) -> DirectUpload:
        """Give leave to write one blob. Nothing is to be seen of it until it is checked and published.

        Raises InvalidRequestError (name, no bytes), TooLargeError (also ``quota-exceeded``) or
        UnsupportedMediaTypeError; then nothing was written.
        """
        name = checked_name(new.name)
        self._content.check_declared(new.content_type)
        if new.size_bytes <= 0:
            raise InvalidRequestError("Empty files are not taken.", code="body-missing")
        if new.size_bytes > self._policy.max_file_bytes:
            raise TooLargeError(f"A file can have at most {self._policy.max_file_bytes} bytes here.")
        now = self._clock.now()
        url_expires_at = now + self._policy.url_life(new.size_bytes)
        upload = Upload(
            id=files.new_file_id(now),
            owner=new.owner,
            kind=UploadKind.DIRECT,
            status=UploadStatus.OPEN,
            name=name,
            content_type=new.content_type,
            length_bytes=new.size_bytes,
            correlation_id=new.correlation_id,
            traceparent=new.traceparent,
            created_at=now,
            updated_at=now,
            expires_at=url_expires_at + timedelta(seconds=self._policy.grace_seconds),
            expected_sha256=new.sha256,
            charged_bytes=new.size_bytes,
            tenant=new.tenant,
        )
        url = await self._signer.upload_url(upload.blob_name, expires_at=url_expires_at)
        await self._due.put(DUE_KIND, upload.owner, upload.id, url_expires_at)  # its event may be missed
        await self._quota.apply(
            upload.owner,
            [Insert(uploads.to_entity(upload))],
            bytes_delta=upload.charged_bytes,
            files_delta=upload.charged_files,
        )
        return DirectUpload(upload, url, url_expires_at)

    async def complete(self, owner: str, upload_id: str) -> File:
        """The file of what the client wrote; asking again gives the same file, or the same rejection.

        Raises NotFoundError, GoneError (expired without a byte, or ended), ConflictError (``not-uploaded``,
        ``changed-while-checked``), and the errors of ``Publication.publish``.
        """
        upload = await self._find(owner, upload_id)
        try:
            return await self._publication.publish(upload)
        except ConflictError as error:
            now_told = await self._find(owner, upload_id)
            if now_told.status is not upload.status:  # somebody else finished it and took the blob away
                return await self._publication.publish(now_told)
            if error.code == "not-uploaded" and upload.expires_at <= self._clock.now():
                raise _ended() from None
            raise

    async def _find(self, owner: str, upload_id: str) -> Upload:
        entity = None
        if files.is_file_id(upload_id):
            entity = await self._tables.get(owner, uploads.row_key(upload_id))
        upload = None if entity is None else uploads.from_entity(entity)
        if upload is None or upload.kind is not UploadKind.DIRECT:
            raise NotFoundError("You have no direct upload of this id.")
        if upload.status is UploadStatus.ENDED:
            raise _ended()
        return upload


def block_bytes(size_bytes: int) -> int:
    """A size of blocks, in whole MiB, with which ``size_bytes`` need no more blocks than a blob can have."""
    return max(MIN_BLOCK_BYTES, math.ceil(size_bytes / MAX_BLOCKS / MEBIBYTE) * MEBIBYTE)


def _ended() -> GoneError:
    return GoneError("This upload has ended; begin a new one.", code="upload-ended")
