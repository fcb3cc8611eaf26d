"""Uploads that are taken up again: what counts, who may write, and how each ends."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryBlobs
from shared.errors import (
    ChecksumMismatchError,
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files.file import FileStatus
from shared.files.quota import QuotaPolicy
from shared.files.upload import UploadStatus
from shared.files.uploading import Checksum, OffsetMismatchError
from tests.unit.shared.uploads_world import MAX_FILE_BYTES, OWNER, World, chunks, sha256

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from shared.files.upload import Upload
    from shared.ports import BlobProperties

CONTENT = random.Random(4).randbytes(95)


@pytest.fixture
def world() -> World:
    return World()


async def expect_file(world: World, upload: Upload, content: bytes) -> None:
    file = await world.file(upload)
    assert file is not None
    assert (file.sha256, file.size_bytes, file.status) == (sha256(content), len(content), FileStatus.STORED)
    assert await world.content(files.blob_name(OWNER, upload.id)) == content


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


# Several writers


class Gate:
    """A body that stops in the middle until it is let go on."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def body(self) -> AsyncIterator[bytes]:
        yield self._before
        self.reached.set()
        await self.go_on.wait()
        yield self._after


async def test_a_slow_writer_that_is_overtaken_mixes_nothing_in(world: World) -> None:
    upload = await world.create(95)
    slow = Gate(b"a" * 25, b"a" * 70)
    writing = asyncio.create_task(world.append(upload, b"", at=0, body=slow.body()))
    await slow.reached.wait()
    await asyncio.sleep(0)

    kept_bytes = await world.offset(upload)
    assert kept_bytes in {10, 20}
    await world.append(upload, b"b" * 30, at=kept_bytes)
    slow.go_on.set()
    with pytest.raises(ConflictError) as overtaken:
        await writing
    assert overtaken.value.code == "upload-overtaken"
    upload = await world.append(upload, b"c" * (65 - kept_bytes), at=kept_bytes + 30)
    await expect_file(world, upload, b"a" * kept_bytes + b"b" * 30 + b"c" * (65 - kept_bytes))


@pytest.mark.parametrize("writers", [2, 20])
async def test_of_writers_at_one_offset_one_wins(world: World, writers: int) -> None:
    upload = await world.create(95)
    instances = [world.another_instance() for _ in range(writers)]
    contents = [bytes([65 + number]) * 95 for number in range(writers)]

    async def write(instance: World, content: bytes) -> object:
        try:
            return await instance.append(upload, b"", at=0, body=chunks(content))
        except ProblemError as error:
            return error

    results = await asyncio.gather(*map(write, instances, contents))
    winners = [index for index, result in enumerate(results) if not isinstance(result, ProblemError)]
    assert len(winners) <= 1
    assert all(isinstance(result, ConflictError) for result in results if isinstance(result, ProblemError))
    if not winners:  # the last one was still contending: the upload can be taken up again
        at = await world.offset(upload)
        await world.append(upload, b"z" * (95 - at), at=at)
    file = await world.file(upload)
    assert file is not None
    content = await world.content(files.blob_name(OWNER, upload.id))
    assert sha256(content) == file.sha256
    if winners:
        assert content == contents[winners[0]]


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_writers_do_the_bytes_are_those_that_were_acknowledged(seed: int) -> None:
    """Writers of several instances race, are cut and overtaken; each writes what belongs at its offset."""
    chance = random.Random(seed)
    world = World()
    upload = await world.create(95)

    async def jumpy(content: bytes, cut: bool) -> AsyncIterator[bytes]:
        async for chunk in chunks(content, size_bytes=chance.randint(1, 30), cut=cut):
            for _ in range(chance.randint(0, 4)):
                await asyncio.sleep(0)
            yield chunk

    async def client() -> None:
        instance = world.another_instance()
        for _ in range(6):
            try:
                at = await instance.offset(upload)
                if at == 95:
                    return
                end = chance.randint(at + 1, 95)
                cut = chance.random() < 0.3
                await instance.append(upload, b"", at=at, body=jumpy(CONTENT[at:end], cut))
            except (ConflictError, UploadIncompleteError):
                continue
            except TooLargeError:  # cut into too many pieces by chance
                return

    await asyncio.gather(*(client() for _ in range(4)))
    try:
        at = await world.offset(upload)
        await world.append(upload, CONTENT[at:], at=at)
    except TooLargeError:
        return
    await expect_file(world, upload, CONTENT)


# Crashes


class Dying(MemoryBlobs):
    """A store that is gone from a certain call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left = 10**9
        self.dies_at_commit = False

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise UnavailableError("gone")
        await super().stage(name, block_id, content)

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        if self.dies_at_commit:
            raise UnavailableError("gone")
        return await super().commit(name, block_ids, content_type=content_type, metadata=metadata)


@pytest.mark.parametrize("calls", range(11))
async def test_after_a_crash_what_was_staged_counts(calls: int) -> None:
    blobs = Dying()
    world = World(blobs=blobs)
    upload = await world.create(95)
    blobs.calls_left = calls
    if calls < 10:
        with pytest.raises(UnavailableError):
            await world.append(upload, CONTENT, at=0)
    else:
        await world.append(upload, CONTENT, at=0)
    blobs.calls_left = 10**9

    at = await world.another_instance().offset(upload)
    assert at >= 10 * (calls - 3)
    if at < 95:
        await world.another_instance().append(upload, CONTENT[at:], at=at)
    await expect_file(world, upload, CONTENT)


# Joining


async def part(world: World, content: bytes) -> Upload:
    return await world.append(await world.create(len(content), partial=True), content, at=0)


async def test_parts_are_joined_in_the_order_asked_for(world: World) -> None:
    parts = [await part(world, CONTENT[start : start + 40]) for start in (40, 0, 80)]
    order = [parts[1].id, parts[0].id, parts[2].id]
    joined = await world.uploads.concatenate(world.new(None), order)
    await expect_file(world, joined, CONTENT)
    for each in parts:
        assert await world.file(each) is None
        assert await world.blobs.properties(each.blob_name) is None
        with pytest.raises(NotFoundError):
            await world.offset(each)


@pytest.mark.parametrize("which", ["none", "the same twice", "one unfinished", "a whole", "made up"])
async def test_what_cannot_be_joined_is_refused(world: World, which: str) -> None:
    one = await part(world, CONTENT)
    ids = {
        "none": [],
        "the same twice": [one.id, one.id],
        "one unfinished": [one.id, (await world.create(5, partial=True)).id],
        "a whole": [one.id, (await world.append(await world.create(95), CONTENT, at=0)).id],
        "made up": [one.id, "01890a5d-ac96-774b-bcce-b302099a8057"],
    }[which]
    with pytest.raises((InvalidRequestError, NotFoundError)):
        await world.uploads.concatenate(world.new(None), ids)
    assert await world.blobs.properties(one.blob_name) is not None


async def test_what_cannot_be_joined_in_the_end_takes_nothing_and_can_be_tried_again() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=95))
    parts = [await part(world, CONTENT[:40]), await part(world, CONTENT[40:])]
    order = [each.id for each in parts]
    with pytest.raises(UnprocessableError):
        await world.uploads.concatenate(world.new(None, sha256=sha256(b"else")), order)
    blobs = world.blobs
    assert isinstance(blobs, MemoryBlobs)
    assert set(blobs.contents) == {each.blob_name for each in parts}
    await expect_file(world, await world.uploads.concatenate(world.new(None), order), CONTENT)


# Endings


async def test_one_that_is_called_off_is_gone_with_its_blocks(world: World) -> None:
    upload = await world.create(95)
    await world.append(upload, CONTENT[:50], at=0)
    await world.uploads.terminate(OWNER, upload.id)
    assert await world.blobs.staged(upload.blob_name) == ()
    with pytest.raises(NotFoundError):
        await world.offset(upload)


async def test_calling_off_a_finished_one_leaves_the_file(world: World) -> None:
    upload = await world.append(await world.create(95), CONTENT, at=0)
    await world.uploads.terminate(OWNER, upload.id)
    await expect_file(world, upload, CONTENT)


async def test_one_that_is_abandoned_expires_with_its_blocks(world: World) -> None:
    upload = await world.create(95)
    world.clock.advance(3000)
    await world.append(upload, CONTENT[:50], at=0)
    works = {"upload": world.ends.look}

    world.clock.advance(3000)  # later than the expiry at first, and put off by the bytes
    await world.due.work_off(works)
    assert await world.offset(upload) == 50
    world.clock.advance(3601)
    with pytest.raises(GoneError):
        await world.offset(upload)
    await world.due.work_off(works)
    assert await world.blobs.staged(upload.blob_name) == ()
    with pytest.raises(NotFoundError):
        await world.offset(upload)
    assert world.tables.rows == {}  # type: ignore[attr-defined]  # the memory twin's


async def test_the_sweep_finishes_what_a_crash_left_complete() -> None:
    blobs = Dying()
    world = World(blobs=blobs)
    upload = await world.create(95)
    await world.append(upload, CONTENT[:50], at=0)

    blobs.dies_at_commit = True
    with pytest.raises(UnavailableError):
        await world.append(upload, CONTENT[50:], at=50)
    blobs.dies_at_commit = False
    assert await world.file(upload) is None
    world.clock.advance(121)
    assert await world.due.work_off({"upload": world.ends.look}) == {"upload": 1}
    await expect_file(world, upload, CONTENT)


# Quota


async def test_uploads_under_way_count_against_the_quota_and_give_back_when_they_end() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=100))
    upload = await world.create(95)
    with pytest.raises(TooLargeError) as refused:
        await world.create(10)
    assert refused.value.code == "quota-exceeded"
    await world.uploads.terminate(OWNER, upload.id)
    upload = await world.create(95)
    await world.append(upload, CONTENT, at=0)
    with pytest.raises(TooLargeError):
        await world.create(10)
    await world.create(5)


async def test_of_many_at_once_as_many_as_fit_are_begun() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=100))
    instances = [world.another_instance() for _ in range(30)]
    results = await asyncio.gather(*(each.create(10) for each in instances), return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 10


async def test_one_of_unknown_length_that_is_over_the_quota_in_the_end_is_rejected() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=50))
    upload = await world.create(None)
    with pytest.raises(TooLargeError) as refused:
        await world.append(upload, CONTENT, at=0, complete=True)
    assert refused.value.code == "quota-exceeded"
    assert await world.blobs.properties(upload.blob_name) is None
    await world.create(50)


async def test_joining_needs_no_more_than_the_parts_do() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=95))
    parts = [await part(world, CONTENT[:40]), await part(world, CONTENT[40:])]
    joined = await world.uploads.concatenate(world.new(None), [each.id for each in parts])
    await expect_file(world, joined, CONTENT)
    with pytest.raises(TooLargeError):
        await world.create(1)
