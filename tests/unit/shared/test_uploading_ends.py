"""How uploads end: joined, called off, expired, finished by the sweep; and what they count for."""

from __future__ import annotations

import asyncio

import pytest

from shared.adapters.memory import MemoryBlobs
from shared.errors import (
    ConflictError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
from shared.files.quota import ROW_KEY, QuotaPolicy
from shared.files.upload import Upload, UploadStatus
from shared.ports import Delete
from tests.unit.shared.uploads_world import (
    CONTENT,
    OWNER,
    Dying,
    World,
    chunks,
    expect_file,
    part,
    sha256,
)


@pytest.fixture
def world() -> World:
    return World()


# Joining


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


async def test_of_many_who_join_the_same_parts_one_makes_the_file() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=95))
    order = [(await part(world, content)).id for content in (CONTENT[:40], CONTENT[40:])]

    async def join() -> object:
        instance = world.another_instance()
        return await instance.uploads.concatenate(world.new(None), order)

    results = await asyncio.gather(*(join() for _ in range(5)), return_exceptions=True)

    (joined,) = [result for result in results if not isinstance(result, BaseException)]
    assert isinstance(joined, Upload)
    losers = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(loser, ConflictError) for loser in losers), losers
    await expect_file(world, joined, CONTENT)
    blobs = world.blobs
    assert isinstance(blobs, MemoryBlobs)
    assert set(blobs.contents) == {joined.blob_name}
    with pytest.raises(TooLargeError):
        await world.create(1)


async def test_a_join_that_crashed_can_be_asked_for_again() -> None:
    blobs = Dying()
    world = World(blobs=blobs, quota_policy=QuotaPolicy(max_bytes=95))
    order = [(await part(world, content)).id for content in (CONTENT[:40], CONTENT[40:])]
    joining = asyncio.create_task(world.uploads.concatenate(world.new(None), order))
    blobs.hangs = True
    await asyncio.wait_for(blobs.reached.wait(), 1)
    joining.cancel()  # as when the process dies
    await asyncio.wait([joining])
    blobs.hangs = False

    await expect_file(world, await world.uploads.concatenate(world.new(None), order), CONTENT)
    with pytest.raises(TooLargeError):
        await world.create(1)


async def test_a_join_that_was_complete_when_it_crashed_is_finished_by_the_next_request() -> None:
    blobs = Dying()
    world = World(blobs=blobs)
    parts = [await part(world, content) for content in (CONTENT[:40], CONTENT[40:])]
    order = [each.id for each in parts]
    joining = asyncio.create_task(world.uploads.concatenate(world.new(None), order))
    blobs.hangs_at_commit = True
    await asyncio.wait_for(blobs.reached.wait(), 1)
    joining.cancel()
    await asyncio.wait([joining])
    blobs.hangs_at_commit = False

    with pytest.raises(ConflictError):
        await world.uploads.concatenate(world.new(None), order[::-1])
    joined = await world.uploads.concatenate(world.new(None), order)
    await expect_file(world, joined, CONTENT)
    for each in parts:
        assert await world.blobs.properties(each.blob_name) is None


async def test_parts_that_could_not_be_joined_count_for_themselves_again() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=95))
    order = [(await part(world, content)).id for content in (b"MZ", CONTENT[2:])]
    with pytest.raises(UnsupportedMediaTypeError):
        await world.uploads.concatenate(world.new(None), order)
    with pytest.raises(TooLargeError):
        await world.create(1)
    for each in order:
        await world.uploads.terminate(OWNER, each)
    await world.create(95)


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


@pytest.mark.parametrize("ends", ["asked for", "called off"])
async def test_what_a_crash_left_complete_and_is_refused_ends(ends: str) -> None:
    blobs = Dying()
    world = World(blobs=blobs)
    upload = await world.create(95, sha256=sha256(b"something else"))
    blobs.dies_at_commit = True
    with pytest.raises(UnavailableError):
        await world.append(upload, CONTENT, at=0)
    blobs.dies_at_commit = False

    if ends == "asked for":
        assert (await world.uploads.offset(OWNER, upload.id)).status is UploadStatus.REJECTED
    else:
        await world.uploads.terminate(OWNER, upload.id)
        with pytest.raises(NotFoundError):
            await world.offset(upload)
    assert blobs.contents == {}


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


async def test_a_length_that_is_told_late_counts_before_a_byte_is_read() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=50))
    upload = await world.create(None)
    body = chunks(CONTENT[:51])
    with pytest.raises(TooLargeError) as refused:
        await world.append(upload, b"", at=0, length_bytes=51, body=body)
    assert refused.value.code == "quota-exceeded"
    assert await anext(body) == CONTENT[:7]
    await world.append(upload, CONTENT[:10], at=0, length_bytes=50)
    with pytest.raises(TooLargeError):
        await world.create(1)


@pytest.mark.parametrize("announced", [True, False])
async def test_what_came_of_one_of_unknown_length_counts(announced: bool) -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=50))
    upload = await world.create(None)
    body = None if announced else chunks(CONTENT[:30])
    await world.append(upload, CONTENT[:30], at=0, complete=False, body=body)
    with pytest.raises(TooLargeError):
        await world.create(21)
    body = chunks(CONTENT[30:60])
    with pytest.raises(TooLargeError) as refused:
        await world.uploads.append(
            OWNER,
            upload.id,
            body,
            offset_bytes=30,
            announced_size_bytes=30 if announced else None,
            complete=False,
        )
    assert refused.value.code == "quota-exceeded"
    assert b"".join([chunk async for chunk in body]) == (CONTENT[30:60] if announced else b"")
    assert await world.offset(upload) == 30
    await world.uploads.terminate(OWNER, upload.id)
    await world.create(50)


async def test_bytes_that_did_not_come_do_not_count() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=50))
    upload = await world.create(None)
    with pytest.raises(UploadIncompleteError):
        await world.uploads.append(
            OWNER,
            upload.id,
            chunks(CONTENT[:10], cut=True),
            offset_bytes=0,
            announced_size_bytes=50,
            complete=False,
        )
    await world.create(40)


async def test_a_count_that_is_made_anew_is_the_same() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=100))
    await part(world, CONTENT[:20])
    await world.append(await world.create(30), CONTENT[:10], at=0)
    await world.append(await world.create(40), CONTENT[:40], at=0)
    (entity,) = [row for row in world.tables.rows.values() if row.row_key == ROW_KEY]  # type: ignore[attr-defined]  # the memory twin's
    await world.tables.apply([Delete(entity)])
    with pytest.raises(TooLargeError):
        await world.create(11)
    await world.create(10)


async def test_joining_needs_no_more_than_the_parts_do() -> None:
    world = World(quota_policy=QuotaPolicy(max_bytes=95))
    parts = [await part(world, CONTENT[:40]), await part(world, CONTENT[40:])]
    joined = await world.uploads.concatenate(world.new(None), [each.id for each in parts])
    await expect_file(world, joined, CONTENT)
    with pytest.raises(TooLargeError):
        await world.create(1)
