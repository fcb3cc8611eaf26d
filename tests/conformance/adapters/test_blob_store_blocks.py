"""What every blob store does with staged blocks, in memory and on Azure Blob Storage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.adapters.blob_arguments import MAX_BLOCK_ID_CHARACTERS, MAX_BLOCKS
from shared.errors import EntityExistsError, EntityMissingError, UnavailableError
from shared.ports import StagedBlock
from tests.conformance.adapters.backends import put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import BlobProperties, BlobStore
    from tests.conformance.adapters.backends import AzureBackend, BlobBackend

FIRST, SECOND, THIRD = (f"00000001{offset:016x}" for offset in (0, 5, 9))


async def commit(store: BlobStore, name: str, block_ids: Sequence[str], **metadata: str) -> BlobProperties:
    return await store.commit(name, block_ids, content_type="text/plain", metadata=metadata)


async def staged(store: BlobStore, name: str) -> dict[str, int]:
    return {block.block_id: block.size_bytes for block in await store.staged(name)}


@pytest.mark.parametrize("block_id", ["", "ä", "0" * (MAX_BLOCK_ID_CHARACTERS + 1)])
async def test_a_block_id_that_no_service_takes_is_refused(
    backend: BlobBackend, name: str, block_id: str
) -> None:
    with pytest.raises(ValueError, match="block id"):
        await backend.store.stage(name, block_id, b"content")
    with pytest.raises(ValueError, match="block id"):
        await commit(backend.store, name, [block_id])
    assert await staged(backend.store, name) == {}


async def test_an_empty_block_is_refused(backend: BlobBackend, name: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        await backend.store.stage(name, FIRST, b"")


async def test_block_ids_of_two_lengths_are_refused(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, "0001", b"content")
    with pytest.raises(ValueError, match="length"):
        await backend.store.stage(name, "00002", b"content")
    assert await staged(backend.store, name) == {"0001": 7}


async def test_too_many_blocks_are_refused(backend: BlobBackend, name: str) -> None:
    with pytest.raises(ValueError, match="blocks"):
        await commit(backend.store, name, [FIRST] * (MAX_BLOCKS + 1))


async def test_nothing_is_staged_where_nobody_staged(backend: BlobBackend, name: str) -> None:
    assert await backend.store.staged(name) == ()
    await put(backend.store, name, b"content")
    assert await backend.store.staged(name) == ()


async def test_staged_blocks_are_told_and_not_visible(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, SECOND, b"two")
    await backend.store.stage(name, FIRST, b"first")
    assert set(await backend.store.staged(name)) == {StagedBlock(FIRST, 5), StagedBlock(SECOND, 3)}
    assert await backend.store.properties(name) is None
    assert await backend.content(name) is None


@pytest.mark.parametrize("block_id", ["x", "a b+/=", "0" * MAX_BLOCK_ID_CHARACTERS])
async def test_block_ids_come_back_as_they_were(backend: BlobBackend, name: str, block_id: str) -> None:
    await backend.store.stage(name, block_id, b"content")
    assert await staged(backend.store, name) == {block_id: 7}
    await commit(backend.store, name, [block_id])
    assert await backend.content(name) == b"content"


async def test_the_same_block_again_takes_the_place_of_the_first(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, FIRST, b"wrong")
    await backend.store.stage(name, FIRST, b"right!")
    assert await staged(backend.store, name) == {FIRST: 6}
    await commit(backend.store, name, [FIRST])
    assert await backend.content(name) == b"right!"


async def test_a_commit_takes_the_blocks_of_the_list_in_its_order(backend: BlobBackend, name: str) -> None:
    for block_id, content in ((FIRST, b"1st"), (SECOND, b"2nd"), (THIRD, b"left out")):
        await backend.store.stage(name, block_id, content)
    metadata = {"sha256": "ab" * 32, "name": "report%20%C3%A9.pdf"}
    told = await backend.store.commit(
        name, [SECOND, FIRST], content_type="application/pdf; x=y", metadata=metadata
    )
    assert await backend.content(name) == b"2nd1st"
    assert (told.size_bytes, told.content_type, told.metadata) == (6, "application/pdf; x=y", metadata)
    assert await backend.store.properties(name) == told
    assert await backend.store.staged(name) == ()


async def test_a_commit_of_no_block_makes_an_empty_blob(backend: BlobBackend, name: str) -> None:
    told = await commit(backend.store, name, [], n="1")
    assert told.size_bytes == 0
    assert await backend.content(name) == b""
    assert await commit(backend.store, name, [], n="1") == told


async def test_a_commit_of_a_block_that_is_not_there_changes_nothing(backend: BlobBackend, name: str) -> None:
    with pytest.raises(EntityMissingError):
        await commit(backend.store, name, [FIRST])
    await backend.store.stage(name, FIRST, b"first")
    with pytest.raises(EntityMissingError):
        await commit(backend.store, name, [FIRST, SECOND])
    assert await backend.store.properties(name) is None
    assert await staged(backend.store, name) == {FIRST: 5}


async def test_the_same_commit_again_is_the_same_blob(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, FIRST, b"first")
    told = await commit(backend.store, name, [FIRST], sha256="ab")
    assert await commit(backend.store, name, [FIRST], sha256="ab") == told


@pytest.mark.parametrize("with_block", [True, False])
async def test_a_commit_after_somebody_elses_is_refused(
    backend: BlobBackend, name: str, *, with_block: bool
) -> None:
    await backend.store.stage(name, FIRST, b"first")
    first = await commit(backend.store, name, [FIRST], writer="1")
    if with_block:
        await backend.store.stage(name, SECOND, b"second")
    with pytest.raises(EntityExistsError):
        await commit(backend.store, name, [SECOND], writer="2")
    with pytest.raises(EntityExistsError):
        await commit(backend.store, name, [], writer="1")
    assert await backend.content(name) == b"first"
    assert await backend.store.properties(name) == first


async def test_one_of_two_concurrent_commits_wins(backend: BlobBackend, name: str) -> None:
    blocks = {"1": FIRST, "2": SECOND}
    for writer, block_id in blocks.items():
        await backend.store.stage(name, block_id, writer.encode())
    results = await asyncio.gather(
        *(commit(backend.store, name, [block_id], writer=writer) for writer, block_id in blocks.items()),
        return_exceptions=True,
    )
    (lost,) = [result for result in results if isinstance(result, BaseException)]
    (won,) = [result for result in results if not isinstance(result, BaseException)]
    assert isinstance(lost, EntityExistsError)
    assert await backend.content(name) == won.metadata["writer"].encode()


async def test_a_block_that_comes_late_does_not_change_the_blob(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, FIRST, b"first")
    told = await commit(backend.store, name, [FIRST], n="1")
    await backend.store.stage(name, FIRST, b"late!")
    assert await backend.content(name) == b"first"
    assert await backend.store.properties(name) == told
    assert await staged(backend.store, name) == {FIRST: 5}
    assert await commit(backend.store, name, [FIRST], n="1") == told
    assert await backend.content(name) == b"first"


async def test_deleting_nothing_is_no_error(backend: BlobBackend, name: str) -> None:
    await backend.store.delete(name)
    await backend.store.delete(name)
    assert await backend.store.properties(name) is None


async def test_a_deleted_blob_is_gone_and_its_name_free(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, b"content", n="1")
    await backend.store.delete(name)
    assert await backend.store.properties(name) is None
    assert await backend.content(name) is None
    await put(backend.store, name, b"another", n="2")
    assert await backend.content(name) == b"another"


@pytest.mark.parametrize("committed", [True, False])
async def test_deleting_throws_staged_blocks_away(
    backend: BlobBackend, name: str, *, committed: bool
) -> None:
    if committed:
        await put(backend.store, name, b"content")
    await backend.store.stage(name, FIRST, b"first")
    await backend.store.delete(name)
    assert await backend.store.staged(name) == ()
    assert await backend.store.properties(name) is None
    assert await backend.content(name) is None
    await backend.store.stage(name, SECOND, b"second")
    assert await staged(backend.store, name) == {SECOND: 6}
    with pytest.raises(EntityMissingError):
        await commit(backend.store, name, [FIRST])


async def test_two_who_delete_get_along(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, FIRST, b"first")
    await asyncio.gather(*(backend.store.delete(name) for _ in range(4)))
    assert await backend.store.staged(name) == ()
    assert await backend.content(name) is None


async def test_a_commit_that_races_with_a_delete_is_whole_or_not_at_all(
    backend: BlobBackend, name: str
) -> None:
    await backend.store.stage(name, FIRST, b"first")
    committed, deleted = await asyncio.gather(
        commit(backend.store, name, [FIRST]), backend.store.delete(name), return_exceptions=True
    )
    assert deleted is None
    assert await backend.store.staged(name) == ()
    assert await backend.content(name) in {None, b"first"}
    if isinstance(committed, BaseException):
        assert isinstance(committed, EntityMissingError | EntityExistsError | UnavailableError)


async def test_snapshots_go_with_the_blob(azure_backend: AzureBackend, name: str) -> None:
    await put(azure_backend.store, name, b"content")
    await azure_backend.container.get_blob_client(name).create_snapshot()
    await azure_backend.store.delete(name)
    left = azure_backend.container.list_blobs(name_starts_with=name, include=["snapshots"])
    assert [blob.name async for blob in left] == []


async def test_blocks_of_foreign_clients_are_told_and_can_be_thrown_away(
    azure_backend: AzureBackend, name: str
) -> None:
    """Whoever writes with a signed URL names blocks as he likes: here by bytes that are no text."""
    await azure_backend.container.get_blob_client(name).stage_block("\u00e4\u20ac", b"content")
    assert [block.size_bytes for block in await azure_backend.store.staged(name)] == [7]
    await azure_backend.store.delete(name)
    assert await azure_backend.store.staged(name) == ()
