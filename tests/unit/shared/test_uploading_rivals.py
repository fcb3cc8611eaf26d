"""Uploads that several write to, or whose writer crashes: no byte is mixed in, none is lost."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from shared.errors import (
    ConflictError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    UploadIncompleteError,
)
from shared.files import file as files
from tests.unit.shared.uploads_world import (
    CONTENT,
    OWNER,
    Dying,
    World,
    chunks,
    expect_file,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def world() -> World:
    return World()


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


async def test_a_writer_whose_upload_was_called_off_leaves_no_blocks(world: World) -> None:
    upload = await world.create(95)
    slow = Gate(b"a" * 25, b"a" * 70)
    writing = asyncio.create_task(world.append(upload, b"", at=0, body=slow.body()))
    await slow.reached.wait()

    await world.uploads.terminate(OWNER, upload.id)
    slow.go_on.set()
    with pytest.raises(ConflictError):
        await writing
    assert await world.blobs.staged(upload.blob_name) == ()


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
