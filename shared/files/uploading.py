"""Uploads that can be taken up again: bytes are appended in any number of requests, by any instance.

All state is one row and the blob's staged blocks, so a request can go to any instance and none has to be
locked. Who wants to write takes the right to by a conditional write that counts ``epoch`` up; the writer
before loses it at that moment. Blocks are named by epoch and offset, and what counts is decided by
conditional writes of the row, so an overtaken writer can never mix its bytes in. A crash loses nothing that
was staged: the next request finds from the blocks how far the crashed one came.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from shared.errors import (
    ChecksumMismatchError,
    ConflictError,
    EntityChangedError,
    EntityMissingError,
    GoneError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files import upload as uploads
from shared.files.appending import Body, Checksum, RunningDigests, stage
from shared.files.blocks import end_of_writing
from shared.files.joining import Joins, check_count, check_finished, taken
from shared.files.publication import REJECTIONS
from shared.files.tracing import works_on
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.files.upload_end import DUE_KIND
from shared.files.upload_errors import (
    OffsetMismatchError,
    contended,
    inconsistent_length,
    length_exceeded,
    not_found,
    overtaken,
)
from shared.ports import Insert, Replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.files.inspection import ContentCheck
    from shared.files.new_upload import NewUpload, UploadPolicy
    from shared.files.quota import Quota
    from shared.files.upload_end import UploadEnds
    from shared.ledger.due import DueWriter
    from shared.ports import BlobStore, Clock, TableStore

HEAD_BYTES = 4096
"""So much of the content is looked at to tell what it is."""
MAX_TRIES = 8
"""Races for the right to write that are fought here."""
RECOVERY_SECONDS = 120
"""A complete upload that is no file by then was left by a crash."""


class Uploads:
    """Creates uploads, appends to them, joins them, and ends them."""

    def __init__(
        self,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        quota: Quota,
        content: ContentCheck,
        due: DueWriter,
        ends: UploadEnds,
        policy: UploadPolicy,
    ) -> None:
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._content = content
        self._due = due
        self._ends = ends
        self._digests = RunningDigests()
        self._joins = Joins(blobs, tables, quota=quota, ends=ends)
        self.policy = policy

    async def create(self, new: NewUpload) -> Upload:
        """Begin an upload; one of no bytes is a file at once.

        Raises TooLargeError (also ``quota-exceeded``) or UnsupportedMediaTypeError.
        """
        made = await self._created(new)
        if made.length_bytes == 0:
            return await self._ends.finish(await self._settle(made, 0, 0, hashlib.sha256(), complete=True))
        return made

    async def find(self, owner: str, upload_id: str) -> Upload:
        """The upload as its row tells it; raises NotFoundError, or GoneError for one that has ended."""
        if not files.is_file_id(upload_id):
            raise not_found()
        entity = await self._tables.get(owner, uploads.row_key(upload_id))
        if entity is None:
            raise not_found()
        upload = uploads.from_entity(entity)
        expired = upload.status is UploadStatus.OPEN and upload.expires_at <= self._clock.now()
        if upload.kind is not UploadKind.RESUMABLE:
            raise not_found()
        if upload.status is UploadStatus.ENDED or expired:
            raise GoneError("This upload has ended; begin a new one.", code="upload-ended")
        return upload

    async def offset(self, owner: str, upload_id: str) -> Upload:
        """The upload with an offset that stays until somebody takes the right to write.

        Whoever is writing loses the right: its client has gone, or asks because it believes so. What a crash
        left complete is finished.
        """
        for _ in range(MAX_TRIES):
            upload = await self.find(owner, upload_id)
            works_on(upload)
            if upload.status is UploadStatus.COMPLETE:
                return await self._carried_on(upload)
            if not upload.writing:
                return upload
            taken = replace(await self._recovered(upload), epoch=upload.epoch + 1, writing=False)
            try:
                return await self._replaced(taken)
            except EntityChangedError:
                continue
        raise contended()

    async def append(
        self,
        owner: str,
        upload_id: str,
        body: AsyncIterator[bytes],
        *,
        offset_bytes: int,
        announced_size_bytes: int | None,
        length_bytes: int | None = None,
        complete: bool | None = None,
        checksum: Checksum | None = None,
    ) -> Upload:
        """Add ``body`` at ``offset_bytes``, which must be the upload's end.

        Args:
            owner: Whose upload it is.
            upload_id: Which one.
            body: The bytes. Where it raises UploadIncompleteError, what came before is kept, unless a
                checksum covers it.
            offset_bytes: Where the body begins.
            announced_size_bytes: The body's Content-Length; None when it is not known.
            length_bytes: The length of the whole, where this request tells it.
            complete: Whether the upload is complete with this body. None: when its length is reached.
            checksum: What the body must be.

        Raises:
            OffsetMismatchError: The upload ends elsewhere.
            ConflictError: Somebody took over (``upload-overtaken``), or the upload is complete already.
            TooLargeError: More bytes than the upload, a file or a quota can have; none of them counts.
            ChecksumMismatchError: None of the bytes counts.
            InvalidRequestError: ``inconsistent-length``.
            UploadIncompleteError: The connection was cut.
            ProblemError: The upload is complete and was rejected (see ``Publication.publish``).
        """
        upload = await self._claimed(
            owner,
            upload_id,
            offset_bytes,
            length_bytes,
            all_or_nothing=checksum is not None,
            announced_size_bytes=announced_size_bytes,
        )
        if upload.is_complete:
            return await self._ends.finish(upload)
        try:
            settled = await self._written(upload, body, complete=complete, checksum=checksum)
        except UnavailableError:
            raise  # what was staged counts: the next request finds it
        except ConflictError:  # overtaken
            await self._ends.after_writing(upload)
            raise
        except ProblemError as error:
            if not (isinstance(error, UploadIncompleteError) and checksum is None):
                await self._give_back(upload)
            raise
        return await self._ends.finish(settled) if settled.is_complete else settled

    async def concatenate(self, new: NewUpload, part_ids: Sequence[str]) -> Upload:
        """Join finished parts into one file, by reading each once and staging it; the parts go then.

        Asked for once more, it is the join of the later request that counts (see ``joining``). Raises
        InvalidRequestError (``invalid-parts``), ConflictError, and what ``create`` and ``append`` raise.
        """
        check_count(part_ids)
        for _ in range(MAX_TRIES):
            parts = [await self.find(new.owner, part_id) for part_id in part_ids]
            check_finished(parts)
            length_bytes = sum(part.offset_bytes for part in parts)
            try:
                made = await self._joins.before(parts)
                if made is not None:
                    joined = await self._ends.finish(made)
                    break
                made = await self._created(replace(new, length_bytes=length_bytes), parts)
            except (EntityChangedError, EntityMissingError):  # another request joins them, or has done so
                continue
            joined = await self._joined(made, parts)
            break
        else:
            raise contended()
        await self._joins.let_go(parts)
        return joined

    async def _joined(self, made: Upload, parts: Sequence[Upload]) -> Upload:
        try:
            return await self.append(
                made.owner,
                made.id,
                self._joins.contents(parts),
                offset_bytes=0,
                announced_size_bytes=made.length_bytes,
                complete=True,
            )
        except ProblemError:
            await self._joins.give_up(made, parts)
            raise

    async def terminate(self, owner: str, upload_id: str) -> None:
        """End an upload and free what it holds; the file that a finished one became stays.

        Raises NotFoundError, GoneError, or ConflictError while the last byte is being turned into a file.
        """
        for _ in range(MAX_TRIES):
            upload = await self.find(owner, upload_id)
            works_on(upload)
            if upload.status is UploadStatus.COMPLETE:
                upload = await self._carried_on(upload)
            try:
                await self._ends.end(upload)
            except EntityChangedError:
                continue
            return
        raise contended()

    async def _carried_on(self, upload: Upload) -> Upload:
        """Finish what a crash left complete; where it is refused, the row says so, and its owner was told."""
        try:
            return await self._ends.finish(upload)
        except REJECTIONS:
            return await self.find(upload.owner, upload.id)

    async def _created(self, new: NewUpload, parts: Sequence[Upload] = ()) -> Upload:
        if not new.partial:
            self._content.check_declared(new.content_type)
        if new.length_bytes is not None and new.length_bytes > self.policy.max_file_bytes:
            raise self._too_large()
        now = self._clock.now()
        upload = Upload(
            id=files.new_file_id(now),
            owner=new.owner,
            kind=UploadKind.RESUMABLE,
            status=UploadStatus.OPEN,
            name=new.name,
            content_type=new.content_type,
            length_bytes=new.length_bytes,
            correlation_id=new.correlation_id,
            traceparent=new.traceparent,
            created_at=now,
            updated_at=now,
            expires_at=self._expiry(now),
            partial=new.partial,
            parts=tuple(part.id for part in parts),
            expected_sha256=new.expected_sha256,
            expected_sha512=new.expected_sha512,
            client_metadata=new.client_metadata,
            tenant=new.tenant,
            charged_bytes=new.length_bytes or 0,
        )
        await self._due.put(DUE_KIND, upload.owner, upload.id, upload.expires_at)
        freed = taken(parts, upload.id)
        etag, *_ = await self._quota.apply(
            upload.owner,
            [Insert(uploads.to_entity(upload)), *(Replace(uploads.to_entity(part)) for part in freed)],
            bytes_delta=upload.charged_bytes - sum(part.charged_bytes for part in parts),
            files_delta=upload.charged_files,
        )
        return replace(upload, etag=etag)

    async def _claimed(
        self,
        owner: str,
        upload_id: str,
        offset_bytes: int,
        length_bytes: int | None,
        *,
        all_or_nothing: bool,
        announced_size_bytes: int | None,
    ) -> Upload:
        """Take the right to write at the upload's end; a complete upload is returned for an empty request."""
        for _ in range(MAX_TRIES):
            upload = await self.find(owner, upload_id)
            works_on(upload)
            if upload.is_complete and announced_size_bytes == 0 and upload.offset_bytes == offset_bytes:
                return upload
            if upload.status is not UploadStatus.OPEN:
                raise ConflictError("The upload is complete; nothing can be added.", code="upload-complete")
            current = await self._recovered(upload)
            if current.offset_bytes != offset_bytes:
                raise OffsetMismatchError(current.offset_bytes, offset_bytes)
            if length_bytes is not None:
                current = self._of_length(current, length_bytes)
            self._check_room(current, announced_size_bytes)
            claim = replace(current, epoch=upload.epoch + 1, writing=True, all_or_nothing=all_or_nothing)
            try:
                return await self._charged(claim, offset_bytes + (announced_size_bytes or 0))
            except EntityChangedError:
                continue
        raise contended()

    def _of_length(self, upload: Upload, length_bytes: int) -> Upload:
        if upload.length_bytes not in {None, length_bytes} or length_bytes < upload.offset_bytes:
            raise inconsistent_length(
                "The length of the upload is another one already, or less than what was sent."
            )
        if length_bytes > self.policy.max_file_bytes:
            raise self._too_large()
        return replace(upload, length_bytes=length_bytes)

    async def _recovered(self, upload: Upload) -> Upload:
        """The upload with all that the one who writes or crashed has staged without a gap."""
        if not upload.writing or upload.all_or_nothing:
            return upload
        end_bytes, blocks = end_of_writing(
            await self._blobs.staged(upload.blob_name),
            epoch=upload.epoch,
            offset_bytes=upload.offset_bytes,
            blocks=upload.blocks,
        )
        return replace(upload, offset_bytes=end_bytes, blocks=blocks)

    def _check_room(self, upload: Upload, announced_size_bytes: int | None) -> None:
        if announced_size_bytes is not None and announced_size_bytes > self._room_bytes(upload):
            raise length_exceeded()

    def _room_bytes(self, upload: Upload) -> int:
        most_bytes = self.policy.max_file_bytes if upload.length_bytes is None else upload.length_bytes
        return most_bytes - upload.offset_bytes

    async def _written(
        self, upload: Upload, body: AsyncIterator[bytes], *, complete: bool | None, checksum: Checksum | None
    ) -> Upload:
        """Stage the body and settle how far the upload is now."""
        digest = self._digests.at(upload)
        summed = hashlib.new(checksum.algorithm) if checksum else None
        source = Body(body, room_bytes=self._room_bytes(upload), digests=(digest, summed))
        blocks = await stage(
            self._blobs,
            upload,
            source,
            block_bytes=self.policy.block_bytes,
            max_blocks=self.policy.max_blocks,
            look_at_first=partial(self._check_content, upload),
            still_writing=partial(self._check_still_writing, upload),
        )
        end_bytes = upload.offset_bytes + source.size_bytes
        if checksum is not None and summed is not None:
            if source.cut is not None:
                raise source.cut
            if not hmac.compare_digest(summed.digest(), checksum.digest):
                raise ChecksumMismatchError("The bytes are not those of the checksum; send them again.")
        if complete and source.cut is None and upload.length_bytes not in {None, end_bytes}:
            raise inconsistent_length(
                "The upload is said to be complete and has another length than announced."
            )
        whole = end_bytes == upload.length_bytes if complete is None else complete
        settled = await self._settle(upload, end_bytes, blocks, digest, complete=whole and source.cut is None)
        if source.cut is not None and not settled.is_complete:
            raise source.cut
        return settled

    def _check_content(self, upload: Upload, first_block: bytes) -> None:
        if not upload.partial:
            self._content.check_content(upload.content_type, first_block[:HEAD_BYTES])

    async def _check_still_writing(self, upload: Upload) -> None:
        entity = await self._tables.get(upload.owner, uploads.row_key(upload.id))
        if entity is None or entity.etag != upload.etag:
            raise overtaken()

    async def _settle(
        self,
        upload: Upload,
        end_bytes: int,
        blocks: int,
        digest: hashlib._Hash | None,
        *,
        complete: bool,
    ) -> Upload:
        """Make the bytes up to ``end_bytes`` count, and give the right to write back."""
        now = self._clock.now()
        settled = replace(
            upload,
            offset_bytes=end_bytes,
            blocks=blocks,
            writing=False,
            updated_at=now,
            expires_at=self._expiry(now),
        )
        if complete:
            settled = replace(
                settled.moved_to(UploadStatus.COMPLETE, now),
                length_bytes=end_bytes,
                sha256=digest.hexdigest() if digest is not None else None,
            )
            again_at = now + timedelta(seconds=RECOVERY_SECONDS)
            await self._due.put(DUE_KIND, upload.owner, upload.id, again_at)
        is_file = complete and not upload.partial  # whose publication counts it
        try:
            settled = await (self._replaced(settled) if is_file else self._charged(settled, end_bytes))
        except (EntityChangedError, EntityMissingError):
            raise overtaken() from None
        self._digests.keep(settled, digest)
        return settled

    async def _give_back(self, upload: Upload) -> None:
        """Settle an upload at the offset where its writer began: nothing that it staged counts."""
        try:
            await self._charged(replace(upload, writing=False), upload.offset_bytes)
        except (EntityChangedError, EntityMissingError):
            return  # somebody has taken over already
        except UnavailableError:
            return  # then what was staged is found to be the writer's; the client will see the offset

    async def _charged(self, upload: Upload, sent_bytes: int) -> Upload:
        """Write the row, and count against the quota the length, or so much as is sent while that is unknown.

        Raises TooLargeError (``quota-exceeded``), or what ``TableStore.apply`` raises.
        """
        charged_bytes = sent_bytes if upload.length_bytes is None else upload.length_bytes
        charged = replace(upload, charged_bytes=charged_bytes)
        (etag,) = await self._quota.apply(
            upload.owner,
            [Replace(uploads.to_entity(charged))],
            bytes_delta=charged_bytes - upload.charged_bytes,
            files_delta=0,
        )
        return replace(charged, etag=etag)

    async def _replaced(self, upload: Upload) -> Upload:
        (etag,) = await self._tables.apply([Replace(uploads.to_entity(upload))])
        return replace(upload, etag=etag)

    def _expiry(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.policy.expires_seconds)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"A file can have at most {self.policy.max_file_bytes} bytes here.")
