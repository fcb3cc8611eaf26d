"""Uploads that are taken up again: what counts of what comes in."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryBlobs
from shared.errors import (
    ChecksumMismatchError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
from shared.files.appending import Checksum
from shared.files.file import FileStatus
from shared.files.upload import UploadStatus
from shared.files.upload_errors import OffsetMismatchError
from tests.unit.shared.uploads_world import (
    CONTENT,
    MAX_FILE_BYTES,
    OWNER,
    World,
    chunks,
    expect_file,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
def world() -> World:
    return World()


# Bad input


async def test_one_that_is_too_long_is_not_begun(world: World) -> None:
    with pytest.raises(TooLargeError):
        await world.create(MAX_FILE_BYTES + 1)


async def test_a_type_that_is_not_taken_is_refused_before_any_byte(world: World) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        await world.create(10, content_type="application/x-msdownload")


@pytest.mark.parametrize("upload_id", ["", "nothing", "01890a5d-ac96-774b-bcce-b302099a8057"])
async def test_there_is_nothing_under_a_made_up_id(world: World, upload_id: str) -> None:
    with pytest.raises(NotFoundError):
        await world.uploads.offset(OWNER, upload_id)


async def test_somebody_else_s_upload_is_not_there(world: World) -> None:
    upload = await world.create(10)
    with pytest.raises(NotFoundError):
        await world.uploads.offset("f" * 32, upload.id)


@pytest.mark.parametrize("at", [1, 40, 95])
async def test_bytes_begin_at_the_end_or_nowhere(world: World, at: int) -> None:
    upload = await world.create(95)
    with pytest.raises(OffsetMismatchError) as refused:
        await world.append(upload, CONTENT, at=at)
    assert (refused.value.expected_bytes, refused.value.given_bytes) == (0, at)
    assert await world.offset(upload) == 0


@pytest.mark.parametrize("announced", [True, False])
async def test_more_bytes_than_the_length_do_not_count(world: World, announced: bool) -> None:
    upload = await world.create(50)
    with pytest.raises(TooLargeError):
        await world.append(upload, CONTENT, at=0, body=None if announced else chunks(CONTENT))
    assert await world.offset(upload) == 0


async def test_more_bytes_than_a_file_can_have_do_not_count(world: World) -> None:
    upload = await world.create(None)
    with pytest.raises(TooLargeError):
        await world.append(upload, b"", at=0, body=chunks(b"x" * (MAX_FILE_BYTES + 1)))
    assert await world.offset(upload) == 0


async def test_content_that_is_not_taken_is_refused_at_its_first_bytes(world: World) -> None:
    upload = await world.create(95)
    with pytest.raises(UnsupportedMediaTypeError):
        await world.append(upload, b"MZ" + CONTENT[2:], at=0)
    assert await world.offset(upload) == 0
    await world.append(upload, CONTENT, at=0)
    await expect_file(world, upload, CONTENT)


async def test_too_many_small_pieces_are_refused(world: World) -> None:
    upload = await world.create(95)
    for at in range(50):
        await world.append(upload, CONTENT[at : at + 1], at=at)
    with pytest.raises(TooLargeError) as refused:
        await world.append(upload, CONTENT[50:], at=50)
    assert refused.value.code == "too-many-parts"


@pytest.mark.parametrize("second_bytes", [49, 90, 96])
async def test_the_length_does_not_change(world: World, second_bytes: int) -> None:
    upload = await world.create(None)
    await world.append(upload, CONTENT[:50], at=0, length_bytes=95)
    with pytest.raises(InvalidRequestError):
        await world.append(upload, CONTENT[50:], at=50, length_bytes=second_bytes)


async def test_complete_with_another_length_than_announced_does_not_count(world: World) -> None:
    upload = await world.create(95)
    with pytest.raises(InvalidRequestError) as refused:
        await world.append(upload, CONTENT[:50], at=0, complete=True)
    assert refused.value.code == "inconsistent-length"
    assert await world.offset(upload) == 0


async def test_nothing_is_added_to_a_complete_one(world: World) -> None:
    upload = await world.create(95)
    await world.append(upload, CONTENT, at=0)
    with pytest.raises(ConflictError) as refused:
        await world.append(upload, b"more", at=95)
    assert refused.value.code == "upload-complete"


# Bytes that come in pieces


@pytest.mark.parametrize("piece_bytes", [2, 9, 10, 11, 40, 95])
async def test_pieces_of_any_size_make_the_file(piece_bytes: int) -> None:
    world = World()
    upload = await world.create(95)
    for at in range(0, 95, piece_bytes):
        assert await world.file(upload) is None
        upload = await world.append(upload, CONTENT[at : at + piece_bytes], at=at)
    assert upload.status is UploadStatus.FINISHED
    await expect_file(world, upload, CONTENT)


async def test_no_byte_at_all_is_a_file_too(world: World) -> None:
    await expect_file(world, await world.create(0), b"")


@pytest.mark.parametrize("tenth", range(10))
async def test_a_cut_at_any_tenth_leaves_what_came(world: World, tenth: int) -> None:
    upload = await world.create(95)
    came = CONTENT[: 95 * tenth // 10]
    with pytest.raises(UploadIncompleteError):
        await world.append(upload, came, at=0, cut=True)
    assert await world.offset(upload) == len(came)
    await world.append(upload, CONTENT[len(came) :], at=len(came))
    await expect_file(world, upload, CONTENT)


async def test_a_cut_after_the_last_byte_still_makes_the_file(world: World) -> None:
    upload = await world.create(95)
    with pytest.raises(UploadIncompleteError):
        await world.append(upload, CONTENT, at=0, cut=True)
    assert await world.offset(upload) == 95
    upload = await world.append(upload, b"", at=95)
    await expect_file(world, upload, CONTENT)


async def test_the_length_can_be_told_at_the_end(world: World) -> None:
    upload = await world.create(None)
    upload = await world.append(upload, CONTENT[:30], at=0)
    upload = await world.append(upload, CONTENT[30:], at=30, complete=True)
    assert upload.length_bytes == 95
    await expect_file(world, upload, CONTENT)


async def test_complete_is_only_what_is_said_to_be(world: World) -> None:
    upload = await world.create(95)
    upload = await world.append(upload, CONTENT, at=0, complete=False)
    assert upload.status is UploadStatus.OPEN
    upload = await world.append(upload, b"", at=95, complete=True)
    await expect_file(world, upload, CONTENT)


async def test_the_digest_needs_no_second_read_within_one_process() -> None:
    class Unread(MemoryBlobs):
        def read(
            self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
        ) -> AsyncGenerator[bytes]:
            raise AssertionError("the blob was read")

    world = World(blobs=Unread())
    upload = await world.create(95, sha256=sha256(CONTENT))
    for at in range(0, 95, 20):
        upload = await world.append(upload, CONTENT[at : at + 20], at=at)
    assert upload.status is UploadStatus.FINISHED


async def test_instances_can_take_turns(world: World) -> None:
    other = world.another_instance()
    upload = await world.create(95)
    for turn, at in enumerate(range(0, 95, 20)):
        upload = await (world, other)[turn % 2].append(upload, CONTENT[at : at + 20], at=at)
    await expect_file(world, upload, CONTENT)


async def test_who_publishes_while_another_reads_waits_for_it() -> None:
    being_read = asyncio.Event()

    class Counting(MemoryBlobs):
        reads = 0

        async def read(
            self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
        ) -> AsyncGenerator[bytes]:
            self.reads += 1
            pieces = super().read(name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag=etag)
            async for piece in pieces:
                being_read.set()
                await asyncio.sleep(0)
                yield piece

    blobs = Counting()
    world = World(blobs=blobs)
    upload = await world.create(95)
    await world.append(upload, CONTENT[:50], at=0)
    finishing = asyncio.create_task(world.another_instance().append(upload, CONTENT[50:], at=50))
    await being_read.wait()
    file = await world.publication.file_at(upload.blob_name)
    assert (await finishing).status is UploadStatus.FINISHED
    assert file is not None
    assert blobs.reads == 1
    await expect_file(world, upload, CONTENT)


# Digests


async def test_bytes_that_differ_from_their_checksum_do_not_count(world: World) -> None:
    upload = await world.create(95)
    wrong = Checksum("sha1", hashlib.sha1(b"else").digest())
    with pytest.raises(ChecksumMismatchError):
        await world.append(upload, CONTENT, at=0, checksum=wrong)
    assert await world.offset(upload) == 0
    await world.append(upload, CONTENT, at=0, checksum=Checksum("sha1", hashlib.sha1(CONTENT).digest()))
    await expect_file(world, upload, CONTENT)


async def test_a_cut_under_a_checksum_keeps_nothing(world: World) -> None:
    upload = await world.create(95)
    checksum = Checksum("sha256", hashlib.sha256(CONTENT).digest())
    with pytest.raises(UploadIncompleteError):
        await world.append(upload, CONTENT[:60], at=0, cut=True, checksum=checksum)
    assert await world.offset(upload) == 0


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_whole_with_another_digest_is_rejected_and_its_bytes_go(world: World, algorithm: str) -> None:
    wrong = hashlib.new(algorithm, b"else").hexdigest()
    upload = await world.create(95, **{algorithm: wrong})  # type: ignore[arg-type]  # a digest
    with pytest.raises(UnprocessableError) as refused:
        await world.append(upload, CONTENT, at=0)
    assert refused.value.code == "digest-mismatch"
    file = await world.file(upload)
    assert file is not None
    assert (file.status, file.reason and file.reason.split(":")[0]) == (
        FileStatus.REJECTED,
        "digest-mismatch",
    )
    assert await world.blobs.properties(upload.blob_name) is None


async def test_a_whole_with_the_right_digests_is_a_file(world: World) -> None:
    upload = await world.create(95, sha256=sha256(CONTENT), sha512=hashlib.sha512(CONTENT).hexdigest())
    await world.append(upload, CONTENT, at=0)
    await expect_file(world, upload, CONTENT)
