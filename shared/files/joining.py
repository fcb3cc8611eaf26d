"""Parts on their way into the one upload that joins them (tus concatenation).

Parts serve one join. The transaction that begins it writes in their rows which one that is, and what they
count against the quota goes over to it. A request that comes later ends the join of one that is still at it,
or has crashed, and so takes its right to write away; of a join that is complete it gets the outcome.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import ConflictError, EntityMissingError, ProblemError, StoreError
from shared.files import upload as uploads
from shared.files.upload import Upload, UploadStatus
from shared.files.upload_errors import invalid_parts
from shared.ports import Replace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from shared.files.quota import Quota
    from shared.files.upload_end import UploadEnds
    from shared.ports import BlobStore, TableStore

MAX_PARTS = 90
"""Parts that can be joined: their rows and that of the whole change in one transaction."""


class Joins:
    """What becomes of parts while they are joined, and after it."""

    def __init__(self, blobs: BlobStore, tables: TableStore, *, quota: Quota, ends: UploadEnds) -> None:
        self._blobs = blobs
        self._tables = tables
        self._quota = quota
        self._ends = ends

    async def before(self, parts: Sequence[Upload]) -> Upload | None:
        """What an earlier request made of these parts; one that is not complete is ended.

        Raises ConflictError (``upload-complete``) where a part went into something else, EntityChangedError
        where the earlier request got on meanwhile.
        """
        made = None
        for join_id in {part.joined_by for part in parts if part.joined_by}:
            entity = await self._tables.get(parts[0].owner, uploads.row_key(join_id))
            earlier = None if entity is None else uploads.from_entity(entity)
            if earlier is not None and earlier.status is UploadStatus.OPEN:
                with suppress(EntityMissingError):
                    await self._ends.end(earlier)
            elif earlier is not None and earlier.is_complete:
                if earlier.parts != tuple(part.id for part in parts):
                    raise ConflictError("A part was joined with others already.", code="upload-complete")
                made = earlier
        return made

    async def contents(self, parts: Sequence[Upload]) -> AsyncGenerator[bytes]:
        """The bytes of all parts, each read once; raises InvalidRequestError (``invalid-parts``)."""
        for part in parts:
            try:
                async with aclosing(self._blobs.read(part.blob_name)) as content:
                    async for chunk in content:
                        yield chunk
            except EntityMissingError:
                raise invalid_parts("A part is not there any more.") from None

    async def let_go(self, parts: Sequence[Upload]) -> None:
        """End parts whose bytes are in a file; those of which that fails expire."""
        for part in parts:
            with suppress(ProblemError, StoreError):
                entity = await self._tables.get(part.owner, uploads.row_key(part.id))
                if entity is not None:
                    await self._ends.end(uploads.from_entity(entity))

    async def give_up(self, made: Upload, parts: Sequence[Upload]) -> None:
        """End a join that came to nothing; its parts count for themselves again, and can be joined again.

        Where that fails, the join expires, or ends with the next one of its parts.
        """
        with suppress(ProblemError, StoreError):
            entity = await self._tables.get(made.owner, uploads.row_key(made.id))
            if entity is not None:
                await self._ends.end(uploads.from_entity(entity))
            found = [await self._tables.get(part.owner, uploads.row_key(part.id)) for part in parts]
            present = [uploads.from_entity(entity) for entity in found if entity is not None]
            back = [
                replace(part, charged_bytes=part.offset_bytes, joined_by="")
                for part in present
                if part.joined_by == made.id
            ]
            if back:
                await self._quota.apply(
                    made.owner,
                    [Replace(uploads.to_entity(part)) for part in back],
                    bytes_delta=sum(part.charged_bytes for part in back),
                    files_delta=0,
                )


def taken(parts: Sequence[Upload], join_id: str) -> Sequence[Upload]:
    """The parts as they are once that join has them."""
    return [replace(part, charged_bytes=0, joined_by=join_id) for part in parts]


def check_count(part_ids: Sequence[str]) -> None:
    """Raise InvalidRequestError (``invalid-parts``) for none, too many, or one that is named twice."""
    if not 1 <= len(part_ids) <= MAX_PARTS or len(set(part_ids)) != len(part_ids):
        raise invalid_parts(f"One to {MAX_PARTS} different uploads can be joined.")


def check_finished(parts: Sequence[Upload]) -> None:
    """Raise InvalidRequestError (``invalid-parts``) unless all of them are finished parts."""
    if not all(part.partial and part.status is UploadStatus.FINISHED for part in parts):
        raise invalid_parts("Only finished partial uploads can be joined.")
