"""The real upload logic over memory adapters, and shorthands to drive it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import UnavailableError, UnsupportedMediaTypeError, UploadIncompleteError
from shared.files import file as files
from shared.files import intake
from shared.files.file import FileStatus
from shared.files.new_upload import NewUpload, UploadPolicy
from shared.files.publication import Publication
from shared.files.quota import Quota, QuotaPolicy
from shared.files.upload_end import UploadEnds
from shared.files.uploading import Uploads
from shared.ledger.due import DueBook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from shared.files.appending import Checksum
    from shared.files.file import File
    from shared.files.upload import Upload
    from shared.ports import BlobProperties, BlobStore, TableStore

OWNER = "0123456789abcdef0123456789abcdef"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BLOCK_BYTES = 10
MAX_FILE_BYTES = 1000
CONTENT = random.Random(4).randbytes(95)


class NoExecutables:
    """A content policy of two rules."""

    def check_declared(self, content_type: str) -> None:
        if content_type == "application/x-msdownload":
            raise UnsupportedMediaTypeError("not taken")

    def check_content(self, content_type: str, head: bytes) -> None:
        if head.startswith(b"MZ"):
            raise UnsupportedMediaTypeError("not taken", code="content-type-not-allowed")


async def chunks(content: bytes, *, size_bytes: int = 7, cut: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size_bytes):
        yield content[start : start + size_bytes]
    if cut:
        raise UploadIncompleteError("the connection ended")


@dataclass
class World:
    """One instance of the service; several can share the stores."""

    blobs: BlobStore = field(default_factory=MemoryBlobs)
    tables: TableStore = field(default_factory=MemoryTables)
    clock: MemoryClock = field(default_factory=MemoryClock)
    quota_policy: QuotaPolicy = field(default_factory=QuotaPolicy)
    owner: str = OWNER

    def __post_init__(self) -> None:
        content = NoExecutables()
        self.quota = Quota(self.tables, self.quota_policy)
        self.due = DueBook(self.tables, self.clock)
        self.publication = Publication(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=content,
            due=self.due,
            pause=self.pause,
        )
        self.ends = UploadEnds(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            publication=self.publication,
            keep_seconds=3600,
        )
        self.uploads = Uploads(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=content,
            due=self.due,
            ends=self.ends,
            policy=UploadPolicy(MAX_FILE_BYTES, expires_seconds=3600, block_bytes=BLOCK_BYTES, max_blocks=50),
        )

    async def pause(self, seconds: float) -> None:
        """Waiting takes no time but the clock's."""
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def another_instance(self) -> World:
        return World(self.blobs, self.tables, self.clock, self.quota_policy, self.owner)

    async def create(
        self,
        length_bytes: int | None,
        *,
        content_type: str = "text/plain",
        partial: bool = False,
        sha256: str | None = None,
        sha512: str | None = None,
    ) -> Upload:
        return await self.uploads.create(self.new(length_bytes, content_type, partial, sha256, sha512))

    def new(
        self,
        length_bytes: int | None,
        content_type: str = "text/plain",
        partial: bool = False,
        sha256: str | None = None,
        sha512: str | None = None,
    ) -> NewUpload:
        return NewUpload(
            owner=self.owner,
            name="notes.txt",
            content_type=content_type,
            length_bytes=length_bytes,
            correlation_id="c-1",
            traceparent=TRACEPARENT,
            partial=partial,
            expected_sha256=sha256,
            expected_sha512=sha512,
        )

    async def append(
        self,
        upload: Upload,
        content: bytes,
        *,
        at: int,
        cut: bool = False,
        length_bytes: int | None = None,
        complete: bool | None = None,
        checksum: Checksum | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> Upload:
        return await self.uploads.append(
            self.owner,
            upload.id,
            body or chunks(content, cut=cut),
            offset_bytes=at,
            announced_size_bytes=None if body else len(content),
            length_bytes=length_bytes,
            complete=complete,
            checksum=checksum,
        )

    async def offset(self, upload: Upload) -> int:
        return (await self.uploads.offset(self.owner, upload.id)).offset_bytes

    async def file(self, upload: Upload) -> File | None:
        return await intake.find(self.tables, self.owner, upload.id)

    async def content(self, name: str) -> bytes:
        return b"".join([chunk async for chunk in self.blobs.read(name)])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def expect_file(world: World, upload: Upload, content: bytes) -> None:
    file = await world.file(upload)
    assert file is not None
    assert (file.sha256, file.size_bytes, file.status) == (sha256(content), len(content), FileStatus.STORED)
    assert await world.content(files.blob_name(world.owner, upload.id)) == content


async def part(world: World, content: bytes) -> Upload:
    return await world.append(await world.create(len(content), partial=True), content, at=0)


class Dying(MemoryBlobs):
    """A store that is gone from a certain call on, or does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left = 10**9
        self.dies_at_commit = False
        self.hangs = self.hangs_at_commit = False
        self.reached = asyncio.Event()
        """Somebody waits for an answer."""

    async def _hang(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        if self.hangs:
            await self._hang()
        self.calls_left -= 1
        if self.calls_left < 0:
            raise UnavailableError("gone")
        await super().stage(name, block_id, content)

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        if self.hangs_at_commit:
            await self._hang()
        if self.dies_at_commit:
            raise UnavailableError("gone")
        return await super().commit(name, block_ids, content_type=content_type, metadata=metadata)
