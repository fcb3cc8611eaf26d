"""Resumable uploads by several instances of the service over one storage account.

Each instance has its own connections and shares nothing with the others but the account, as in Azure.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from shared.adapters.azure_transport import AzureTransport
from shared.adapters.memory import MemoryClock
from shared.errors import ConflictError, GoneError, NotFoundError, ProblemError, TooLargeError
from shared.files import file as files
from shared.files.quota import QuotaPolicy
from tests.conformance.adapters.backends import azure_blobs, azure_tables
from tests.unit.shared.uploads_world import CONTENT, World, chunks, part, sha256

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from local.azurite import StoragePorts
    from shared.files.upload import Upload

    type Instances = Callable[..., World]

NO_LIMIT = QuotaPolicy()
LIMIT = QuotaPolicy(max_bytes=100)


@pytest.fixture
async def instance(storage: StoragePorts) -> AsyncIterator[Instances]:
    """Starts one more instance; all of a test work for the same new owner."""
    owner, clock = f"{random.getrandbits(128):032x}", MemoryClock()
    transports: list[AzureTransport] = []

    def start(quota: QuotaPolicy = NO_LIMIT) -> World:
        transports.append(transport := AzureTransport())
        blobs, tables = azure_blobs(storage, transport), azure_tables(storage, transport)
        return World(blobs, tables, clock, quota, owner)

    yield start
    for transport in transports:
        await transport.close()


def outcomes(results: list[Upload | BaseException]) -> tuple[list[Upload], list[BaseException]]:
    won = [result for result in results if not isinstance(result, BaseException)]
    return won, [result for result in results if isinstance(result, BaseException)]


async def stored(world: World, upload: Upload) -> bytes:
    """The file's bytes, which are those of its digest."""
    file = await world.file(upload)
    assert file is not None
    content = await world.content(files.blob_name(world.owner, upload.id))
    assert (file.sha256, file.size_bytes) == (sha256(content), len(content))
    return content


async def test_of_writers_at_one_offset_one_wins(instance: Instances) -> None:
    worlds = [instance() for _ in range(6)]
    upload = await worlds[0].create(95)
    contents = [bytes([65 + number]) * 95 for number in range(len(worlds))]

    results = await asyncio.gather(
        *(
            world.append(upload, b"", at=0, body=chunks(content))
            for world, content in zip(worlds, contents, strict=True)
        ),
        return_exceptions=True,
    )

    won, lost = outcomes(results)
    assert all(isinstance(loser, ConflictError) for loser in lost), lost
    assert len(won) <= 1
    at = await worlds[0].offset(upload)
    if not won:  # the last one was contending to the end; what it staged counts
        await worlds[0].append(upload, b"z" * (95 - at), at=at)
    content = await stored(worlds[0], upload)
    if won:
        assert content in contents
    assert len(set(content.rstrip(b"z"))) <= 1


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_writers_do_the_bytes_are_those_that_were_acknowledged(
    instance: Instances, seed: int
) -> None:
    chance = random.Random(seed)
    worlds = [instance() for _ in range(3)]
    upload = await worlds[0].create(95)

    async def client(world: World) -> None:
        for _ in range(5):
            try:
                at = await world.offset(upload)
                if at == 95:
                    return
                end = chance.randint(at + 1, 95)
                body = chunks(CONTENT[at:end], size_bytes=chance.randint(5, 30), cut=chance.random() < 0.3)
                await world.append(upload, b"", at=at, body=body)
            except ProblemError:
                continue

    await asyncio.gather(*map(client, worlds))
    at = await worlds[0].offset(upload)
    await worlds[0].append(upload, CONTENT[at:], at=at)
    assert await stored(worlds[0], upload) == CONTENT


async def test_of_those_who_join_the_same_parts_one_makes_the_file(instance: Instances) -> None:
    worlds = [instance() for _ in range(4)]
    order = [(await part(worlds[0], content)).id for content in (CONTENT[:40], CONTENT[40:])]

    results = await asyncio.gather(
        *(world.uploads.concatenate(world.new(None), order) for world in worlds), return_exceptions=True
    )

    joined, lost = outcomes(results)
    assert len({each.id for each in joined}) == 1  # who comes late gets what was made
    assert all(isinstance(loser, (ConflictError, NotFoundError)) for loser in lost), lost
    assert await stored(worlds[0], joined[0]) == CONTENT


async def test_an_abandoned_upload_expires_and_its_blocks_go(instance: Instances) -> None:
    world = instance()
    upload = await world.create(95)
    await world.append(upload, CONTENT[:50], at=0)
    assert len(await world.blobs.staged(upload.blob_name)) == 5

    world.clock.advance(3601)
    with pytest.raises(GoneError):
        await world.offset(upload)
    await world.due.work_off({"upload": world.ends.look})

    assert await world.blobs.staged(upload.blob_name) == ()
    with pytest.raises(NotFoundError):
        await world.offset(upload)


async def test_a_quota_is_kept_when_instances_count_at_once(instance: Instances) -> None:
    worlds = [instance(LIMIT) for _ in range(4)]

    results = await asyncio.gather(
        *(world.create(10) for world in worlds for _ in range(5)), return_exceptions=True
    )

    made, refused = outcomes(results)
    assert len(made) == 10, refused
    assert {type(each) for each in refused} == {TooLargeError}
    for each in made[:3]:
        await worlds[0].uploads.terminate(worlds[0].owner, each.id)
    await worlds[1].create(30)
    with pytest.raises(TooLargeError):
        await worlds[2].create(1)
