"""Uploads straight to the blob: what is asked for, and what becomes of what clients write there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryBlobs, MemoryUrlSigner
from shared.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
)
from shared.files import file as files
from shared.files.direct import (
    MAX_BLOCKS,
    MAX_SINGLE_PUT_BYTES,
    MEBIBYTE,
    DirectUpload,
    DirectUploadPolicy,
    DirectUploads,
    NewDirectUpload,
    block_bytes,
)
from shared.files.file import FileStatus
from shared.files.quota import QuotaPolicy
from tests.unit.shared.uploads_world import (
    MAX_FILE_BYTES,
    OWNER,
    TRACEPARENT,
    NoExecutables,
    World,
    chunks,
    sha256,
)

if TYPE_CHECKING:
    from shared.ports import BlobProperties, UrlSigner

CONTENT = b"ding dong, says the bell"
POLICY = DirectUploadPolicy(MAX_FILE_BYTES, url_seconds=900, grace_seconds=3600)


class Desk:
    """Direct uploads, and the client who writes blobs."""

    def __init__(self, world: World | None = None, *, signer: UrlSigner | None = None) -> None:
        self.world = world or World()
        self.direct = DirectUploads(
            self.world.tables,
            signer or MemoryUrlSigner(),
            self.world.clock,
            quota=self.world.quota,
            publication=self.world.publication,
            content=NoExecutables(),
            due=self.world.due,
            policy=POLICY,
        )

    async def create(self, **changes: Any) -> DirectUpload:
        told: dict[str, Any] = {"name": "bell.txt", "content_type": "text/plain", "size_bytes": len(CONTENT)}
        return await self.direct.create(
            NewDirectUpload(OWNER, **(told | changes), correlation_id="c-1", traceparent=TRACEPARENT)
        )

    async def write(self, made: DirectUpload, content: bytes = CONTENT) -> None:
        """As the URL lets the client: what was there is overwritten."""
        name = made.upload.blob_name
        await self.world.blobs.delete(name)
        await self.world.blobs.create(name, chunks(content), content_type="x/y", metadata=dict)

    async def is_visible(self, made: DirectUpload) -> bool:
        return await self.world.file(made.upload) is not None


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Bad input


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "a/b"}, InvalidRequestError),
        ({"name": ""}, InvalidRequestError),
        ({"size_bytes": 0}, InvalidRequestError),
        ({"size_bytes": -1}, InvalidRequestError),
        ({"size_bytes": MAX_FILE_BYTES + 1}, TooLargeError),
        ({"size_bytes": 10**400}, TooLargeError),
        ({"content_type": "application/x-msdownload"}, UnsupportedMediaTypeError),
    ],
)
async def test_what_is_not_taken_is_refused_before_anything_is_written(
    desk: Desk, changes: dict[str, Any], error: type[ProblemError]
) -> None:
    with pytest.raises(error):
        await desk.create(**changes)

    assert not desk.world.tables.rows  # type: ignore[attr-defined]  # MemoryTables


async def test_over_the_quota_there_is_no_leave() -> None:
    desk = Desk(World(quota_policy=QuotaPolicy(max_bytes=len(CONTENT) * 2, max_files=5)))
    await desk.create()
    await desk.create()

    with pytest.raises(TooLargeError) as refused:
        await desk.create()

    assert refused.value.code == "quota-exceeded"


async def test_without_a_url_there_is_no_upload() -> None:
    class NoKey(MemoryUrlSigner):
        async def upload_url(self, name: str, **when: Any) -> str:
            raise UnavailableError("no key")

    desk = Desk(signer=NoKey())

    with pytest.raises(UnavailableError):
        await desk.create()

    assert not desk.world.tables.rows  # type: ignore[attr-defined]  # MemoryTables


@pytest.mark.parametrize("upload_id", ["", "7", "../x", "00000000-0000-7000-8000-000000000000"])
async def test_an_unknown_upload_is_not_found(desk: Desk, upload_id: str) -> None:
    with pytest.raises(NotFoundError):
        await desk.direct.complete(OWNER, upload_id)


async def test_somebody_elses_upload_is_not_found(desk: Desk) -> None:
    made = await desk.create()
    await desk.write(made)

    with pytest.raises(NotFoundError):
        await desk.direct.complete("f" * 32, made.upload.id)

    assert not await desk.is_visible(made)


async def test_a_resumable_upload_is_none_of_these(desk: Desk) -> None:
    upload = await desk.world.create(5)

    with pytest.raises(NotFoundError):
        await desk.direct.complete(OWNER, upload.id)


# What may be written, and for how long


async def test_the_url_is_for_the_clients_own_blob_and_ends_in_time(desk: Desk) -> None:
    made = await desk.create()

    assert made.url_expires_at == desk.world.clock.now() + timedelta(seconds=900)
    assert f"incoming/{OWNER}/{made.upload.id}" in made.url
    assert made.upload.expires_at == made.url_expires_at + timedelta(seconds=3600)
    assert not await desk.is_visible(made)


def test_the_url_of_a_file_of_many_puts_lives_longer_but_not_for_ever() -> None:
    policy = DirectUploadPolicy(10**15, url_seconds=900)

    assert policy.url_life(MAX_SINGLE_PUT_BYTES) == timedelta(seconds=900)
    assert policy.url_life(MAX_SINGLE_PUT_BYTES + 1) == timedelta(seconds=1800)
    assert policy.url_life(10**15) == timedelta(days=1)


@pytest.mark.parametrize("size_bytes", [1, 5000 * MEBIBYTE, 190 * 1024 * 1024 * MEBIBYTE])
def test_blocks_are_as_large_as_they_have_to_be(size_bytes: int) -> None:
    block = block_bytes(size_bytes)

    assert block % MEBIBYTE == 0
    assert block * MAX_BLOCKS >= size_bytes
    assert 8 * MEBIBYTE <= block <= 4000 * MEBIBYTE


# What becomes of it


async def test_the_word_that_it_is_done_makes_a_file_and_can_be_said_again(desk: Desk) -> None:
    made = await desk.create(sha256=sha256(CONTENT))
    await desk.write(made)

    file = await desk.direct.complete(OWNER, made.upload.id)

    assert (file.id, file.name, file.content_type) == (made.upload.id, "bell.txt", "text/plain")
    assert (file.sha256, file.size_bytes) == (sha256(CONTENT), len(CONTENT))
    assert await desk.direct.complete(OWNER, made.upload.id) == file
    assert await desk.world.content(files.blob_name(OWNER, file.id)) == CONTENT
    assert await desk.world.blobs.properties(made.upload.blob_name) is None


async def test_said_too_early_it_can_be_said_again_later(desk: Desk) -> None:
    made = await desk.create()
    with pytest.raises(ConflictError) as refused:
        await desk.direct.complete(OWNER, made.upload.id)
    assert refused.value.code == "not-uploaded"

    await desk.write(made)

    assert (await desk.direct.complete(OWNER, made.upload.id)).size_bytes == len(CONTENT)


@pytest.mark.parametrize(
    ("content", "changes", "error", "code"),
    [
        (CONTENT[:-1], {}, UnprocessableError, "size-mismatch"),
        (CONTENT + b"!", {}, UnprocessableError, "size-mismatch"),
        (b"", {}, UnprocessableError, "size-mismatch"),
        (CONTENT.upper(), {"sha256": sha256(CONTENT)}, UnprocessableError, "digest-mismatch"),
        (b"MZ" + CONTENT[2:], {}, UnsupportedMediaTypeError, "content-type-not-allowed"),
    ],
)
async def test_other_content_than_announced_is_rejected_for_good(
    content: bytes, changes: dict[str, Any], error: type[ProblemError], code: str
) -> None:
    desk = Desk(World(quota_policy=QuotaPolicy(max_bytes=len(CONTENT), max_files=1)))
    made = await desk.create(**changes)
    await desk.write(made, content)

    for _ in range(2):
        with pytest.raises(error) as refused:
            await desk.direct.complete(OWNER, made.upload.id)
        assert refused.value.code == code

    file = await desk.world.file(made.upload)
    assert file is not None
    assert file.status is FileStatus.REJECTED
    for name in (made.upload.blob_name, files.blob_name(OWNER, made.upload.id)):
        assert await desk.world.blobs.properties(name) is None
    await desk.create()  # what it held of the quota is free again


async def test_the_blob_trigger_finishes_what_nobody_said_was_done(desk: Desk) -> None:
    made = await desk.create()
    await desk.write(made)

    assert (
        await desk.world.publication.file_at(made.upload.blob_name) is None
    )  # the copy's own event announces

    file = await desk.world.file(made.upload)
    assert file is not None
    assert await desk.world.publication.file_at(files.blob_name(OWNER, file.id)) == file
    assert await desk.direct.complete(OWNER, made.upload.id) == file


async def test_the_word_and_the_trigger_at_once_make_one_file_and_count_it_once() -> None:
    desk = Desk(World(quota_policy=QuotaPolicy(max_bytes=2 * len(CONTENT), max_files=2)))
    made = await desk.create()
    await desk.write(made)

    async def trigger() -> None:
        await desk.world.publication.file_at(made.upload.blob_name)

    told = await asyncio.gather(*(desk.direct.complete(OWNER, made.upload.id) for _ in range(5)), trigger())

    assert len({file.etag for file in told if file is not None}) == 1
    await desk.create()  # there is room for just one more
    with pytest.raises(TooLargeError):
        await desk.create()


async def test_who_finds_the_blob_gone_because_it_was_published_gets_the_file() -> None:
    class OvertakenBlobs(MemoryBlobs):
        """The trigger publishes in the moment in which the client's word is being carried out."""

        overtake = False

        async def properties(self, name: str) -> BlobProperties | None:
            found = await super().properties(name)
            if self.overtake:
                self.overtake = False
                await desk.world.publication.file_at(made.upload.blob_name)
            return found

    blobs = OvertakenBlobs()
    desk = Desk(World(blobs))
    made = await desk.create()
    await desk.write(made)
    blobs.overtake = True

    file = await desk.direct.complete(OWNER, made.upload.id)

    assert file == await desk.world.file(made.upload)


async def test_writing_again_after_publication_changes_nothing(desk: Desk) -> None:
    made = await desk.create()
    await desk.write(made)
    file = await desk.direct.complete(OWNER, made.upload.id)

    await desk.write(made, CONTENT.upper())
    await desk.world.publication.file_at(made.upload.blob_name)

    assert await desk.direct.complete(OWNER, made.upload.id) == file
    assert await desk.world.content(files.blob_name(OWNER, file.id)) == CONTENT
    assert await desk.world.blobs.properties(made.upload.blob_name) is None


# The end


async def test_nothing_was_written_in_time(desk: Desk) -> None:
    made = await desk.create()
    desk.world.clock.advance(900 + 3600)

    with pytest.raises(GoneError) as refused:
        await desk.direct.complete(OWNER, made.upload.id)

    assert refused.value.code == "upload-ended"


async def test_what_came_in_time_and_was_said_late_is_a_file(desk: Desk) -> None:
    made = await desk.create()
    await desk.write(made)
    desk.world.clock.advance(900 + 3600)

    assert (await desk.direct.complete(OWNER, made.upload.id)).size_bytes == len(CONTENT)


@pytest.mark.parametrize("written", [True, False])
async def test_the_sweep_ends_what_was_forgotten_and_finishes_what_was_missed(
    desk: Desk, *, written: bool
) -> None:
    made = await desk.create()
    if written:
        await desk.write(made)
    desk.world.clock.advance(900 + 3600 + 1)

    await desk.world.due.work_off({"upload": desk.world.ends.look})

    assert await desk.is_visible(made) is written
    if not written:
        with pytest.raises(NotFoundError):
            await desk.direct.complete(OWNER, made.upload.id)
