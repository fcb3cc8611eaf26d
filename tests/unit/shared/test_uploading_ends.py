"""How uploads end: joined, called off, expired, finished by the sweep; and what they count for."""

from __future__ import annotations

import asyncio

import pytest

from shared.adapters.memory import MemoryBlobs
from shared.errors import (
    GoneError,
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
)
from shared.files.quota import QuotaPolicy
from tests.unit.shared.uploads_world import (
    CONTENT,
    OWNER,
    Dying,
    World,
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
