"""The bytes of one request on their way into staged blocks: counted, digested, a few blocks at a time."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import TooLargeError, UploadIncompleteError
from shared.files.blocks import block_id, in_blocks
from shared.files.in_flight import BlocksInFlight
from shared.files.upload_errors import length_exceeded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from shared.files.upload import Upload
    from shared.ports import BlobStore

CHECK_EVERY_BLOCKS = 8
"""So often a writer looks whether it was overtaken, and stops early."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the body of one request must be."""

    algorithm: str
    """By its name in ``hashlib``."""
    digest: bytes


class RunningDigests:
    """Digests of uploads in the making, for as long as their requests meet the same process.

    A digest is kept with the offset it covers, put there only after exactly these bytes were settled. Where a
    request meets another process, the digest is missing there, and the file is read once before it appears.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def at(self, upload: Upload) -> hashlib._Hash | None:
        """A digest of the bytes up to the upload's offset, to go on with; None when it is not known here."""
        if upload.offset_bytes == 0:
            return hashlib.sha256()
        offset_bytes, digest = self._kept.get(upload.id, (0, None))
        return digest.copy() if digest is not None and offset_bytes == upload.offset_bytes else None

    def keep(self, upload: Upload, digest: hashlib._Hash | None) -> None:
        """Remember the digest of the bytes up to the upload's offset, or forget the upload."""
        self._kept.pop(upload.id, None)
        if digest is not None and not upload.is_complete:
            self._kept[upload.id] = (upload.offset_bytes, digest)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)


class Body:
    """The bytes of one request, counted and digested as they pass."""

    def __init__(
        self, body: AsyncIterator[bytes], *, room_bytes: int, digests: Sequence[hashlib._Hash | None]
    ) -> None:
        self._body = body
        self._room_bytes = room_bytes
        self._digests = [digest for digest in digests if digest is not None]
        self.size_bytes = 0
        self.cut: UploadIncompleteError | None = None

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The bytes; where the connection is cut they just end, and ``cut`` says so."""
        try:
            async for chunk in self._body:
                self.size_bytes += len(chunk)
                if self.size_bytes > self._room_bytes:
                    raise length_exceeded()
                for digest in self._digests:
                    digest.update(chunk)
                yield chunk
        except UploadIncompleteError as error:
            self.cut = error


async def stage(
    blobs: BlobStore,
    upload: Upload,
    body: Body,
    *,
    block_bytes: int,
    max_blocks: int,
    look_at_first: Callable[[bytes], None],
    still_writing: Callable[[], Awaitable[None]],
) -> int:
    """Stage ``body`` at the upload's end; returns how many blocks the upload has then.

    ``look_at_first`` gets the first block of the upload before it is staged, ``still_writing`` is asked now
    and then; what they raise ends the staging. Raises TooLargeError (``too-many-parts``), too.
    """
    offset_bytes, blocks = upload.offset_bytes, upload.blocks
    async with BlocksInFlight() as in_flight, aclosing(in_blocks(body.chunks(), block_bytes)) as content:
        async for block in content:
            if offset_bytes == 0:
                look_at_first(block)
            if blocks >= max_blocks:
                raise TooLargeError(
                    "The upload came in too many small pieces; begin anew with larger ones.",
                    code="too-many-parts",
                )
            name = block_id(upload.epoch, offset_bytes)
            await in_flight.send(blobs.stage(upload.blob_name, name, block))
            offset_bytes, blocks = offset_bytes + len(block), blocks + 1
            if (blocks - upload.blocks) % CHECK_EVERY_BLOCKS == 0:
                await still_writing()
    return blocks
