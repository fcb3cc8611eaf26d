"""How every blob store copies, in memory and on Azure Blob Storage."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from shared.adapters.blobs import BLOCK_BYTES
from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError
from tests.conformance.adapters.backends import put

if TYPE_CHECKING:
    from shared.ports import BlobProperties, BlobStore
    from tests.conformance.adapters.backends import BlobBackend


@pytest.fixture
def target(name: str) -> str:
    return f"{name}-copy"


async def copy(store: BlobStore, source: str, target: str, etag: str, **metadata: str) -> BlobProperties:
    return await store.copy(source, target, source_etag=etag, content_type="image/png", metadata=metadata)


async def test_a_missing_source_is_told(backend: BlobBackend, name: str, target: str) -> None:
    with pytest.raises(EntityMissingError):
        await copy(backend.store, name, target, '"0x1"')
    assert await backend.store.properties(target) is None


@pytest.mark.parametrize("size_bytes", [0, 5])
async def test_a_changed_source_is_not_copied(
    backend: BlobBackend, name: str, target: str, size_bytes: int
) -> None:
    before = await put(backend.store, name, bytes(size_bytes))
    await backend.overwrite(name, b"x" * size_bytes)
    with pytest.raises(EntityChangedError):
        await copy(backend.store, name, target, before.etag)
    assert await backend.store.properties(target) is None


async def test_a_source_that_changes_meanwhile_is_copied_whole_or_not_at_all(
    backend: BlobBackend, name: str, target: str
) -> None:
    before = await put(backend.store, name, b"a" * (3 * BLOCK_BYTES))
    copied, _ = await asyncio.gather(
        copy(backend.store, name, target, before.etag),
        backend.overwrite(name, b"b" * (3 * BLOCK_BYTES)),
        return_exceptions=True,
    )
    content = await backend.content(target)
    if isinstance(copied, BaseException):
        assert isinstance(copied, EntityChangedError | EntityMissingError)
        assert content is None
    else:
        assert content == b"a" * (3 * BLOCK_BYTES)


@pytest.mark.parametrize("size_bytes", [0, 5, 2 * BLOCK_BYTES + 1])
async def test_the_copy_has_the_content_and_what_was_asked_for(
    backend: BlobBackend, name: str, target: str, size_bytes: int
) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    source = await put(backend.store, name, content, from_client="1")
    told = await copy(backend.store, name, target, source.etag, sha256="ab")
    assert (told.name, told.size_bytes, told.content_type) == (target, size_bytes, "image/png")
    assert told.metadata == {"sha256": "ab"}
    assert await backend.content(target) == content
    assert await backend.store.properties(target) == told
    assert await backend.store.properties(name) == source


async def test_the_same_copy_again_is_the_same_blob(backend: BlobBackend, name: str, target: str) -> None:
    source = await put(backend.store, name, b"content")
    told = await copy(backend.store, name, target, source.etag, n="1")
    assert await copy(backend.store, name, target, source.etag, n="1") == told


@pytest.mark.parametrize("size_bytes", [5, 2 * BLOCK_BYTES + 1])
async def test_a_taken_target_stays_as_it_is(
    backend: BlobBackend, name: str, target: str, size_bytes: int
) -> None:
    source = await put(backend.store, name, bytes(size_bytes))
    await put(backend.store, target, b"theirs")
    with pytest.raises(EntityExistsError):
        await copy(backend.store, name, target, source.etag, n="1")
    assert await backend.content(target) == b"theirs"
