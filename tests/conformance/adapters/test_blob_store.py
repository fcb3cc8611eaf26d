"""What every blob store does, in memory and on Azure Blob Storage."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from shared.adapters.blobs import BLOCK_BYTES
from shared.errors import EntityExistsError
from tests.conformance.adapters.backends import create, in_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests.conformance.adapters.backends import BlobBackend


@contextmanager
def unchanged_tasks() -> Iterator[None]:
    """No task is left running that was not there before."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("size_bytes", "chunk_bytes"),
    [
        pytest.param(0, 1, id="nothing"),
        pytest.param(5, 2, id="a few bytes"),
        pytest.param(BLOCK_BYTES - 1, 65_536, id="a byte less than a block"),
        pytest.param(BLOCK_BYTES, 65_536, id="one block"),
        pytest.param(BLOCK_BYTES + 1, 65_536, id="a byte more than a block"),
        pytest.param(3 * BLOCK_BYTES + 17, 99_991, id="several blocks of odd chunks"),
        pytest.param(2 * BLOCK_BYTES, 2 * BLOCK_BYTES, id="a chunk of two blocks"),
    ],
)
async def test_what_is_stored_is_what_was_sent(
    backend: BlobBackend, name: str, size_bytes: int, chunk_bytes: int
) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    told = await create(backend.store, name, in_chunks(content, chunk_bytes))
    stored = await backend.content(name)
    assert stored is not None
    assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
    assert told.size_bytes == size_bytes
    assert await backend.store.properties(name) == told


async def test_empty_chunks_make_no_difference(backend: BlobBackend, name: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"", b"one", b"", b"", b"two", b""):
            yield chunk

    await create(backend.store, name, chunks())
    assert await backend.content(name) == b"onetwo"


@pytest.mark.parametrize("size_bytes", [9, 2 * BLOCK_BYTES])
async def test_metadata_is_asked_for_once_and_after_the_last_byte(
    backend: BlobBackend, name: str, size_bytes: int
) -> None:
    events: list[str] = []

    async def content() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(bytes(size_bytes), 65_536):
            yield chunk
        events.append("last byte")

    def metadata() -> Mapping[str, str]:
        events.append("metadata")
        return {}

    await backend.store.create(name, content(), content_type="text/plain", metadata=metadata)
    assert events == ["last byte", "metadata"]


@pytest.mark.parametrize("size_bytes", [9, 2 * BLOCK_BYTES])
async def test_properties_bring_back_type_and_metadata(
    backend: BlobBackend, name: str, size_bytes: int
) -> None:
    metadata = {"name": "report%20%C3%A9%3B.pdf", "sha256": "ab" * 32, "at": "2026-01-02T03:04:05.678901Z"}
    told = await backend.store.create(
        name,
        in_chunks(bytes(size_bytes), 65_536),
        content_type="application/pdf; x=y",
        metadata=lambda: metadata,
    )
    found = await backend.store.properties(name)
    assert found == told
    assert found.name == name
    assert found.content_type == "application/pdf; x=y"
    assert found.metadata == metadata
    assert found.etag


async def test_a_missing_blob_has_no_properties(backend: BlobBackend, name: str) -> None:
    assert await backend.store.properties(name) is None


@pytest.mark.parametrize("size_bytes", [9, 2 * BLOCK_BYTES])
async def test_a_name_is_taken_once(backend: BlobBackend, name: str, size_bytes: int) -> None:
    first = await create(backend.store, name, in_chunks(b"first", 5), writer="1")
    with pytest.raises(EntityExistsError):
        await create(backend.store, name, in_chunks(bytes(size_bytes), 65_536), writer="2")
    assert await backend.content(name) == b"first"
    assert await backend.store.properties(name) == first


async def test_the_same_write_again_is_the_same_blob(backend: BlobBackend, name: str) -> None:
    first = await create(backend.store, name, in_chunks(b"first", 5), sha256="ab")
    assert await create(backend.store, name, in_chunks(b"first", 5), sha256="ab") == first
    with pytest.raises(EntityExistsError):
        await create(backend.store, name, in_chunks(b"longer", 5), sha256="ab")


@pytest.mark.parametrize("size_bytes", [100, 2 * BLOCK_BYTES + 1])
async def test_one_of_two_writers_wins_with_all_of_its_content(
    backend: BlobBackend, name: str, size_bytes: int
) -> None:
    contents = {"a": b"a" * size_bytes, "b": b"b" * size_bytes}
    results = await asyncio.gather(
        *(create(backend.store, name, in_chunks(c, 500_000), writer=w) for w, c in contents.items()),
        return_exceptions=True,
    )
    (lost,) = [result for result in results if isinstance(result, BaseException)]
    (won,) = [result for result in results if not isinstance(result, BaseException)]
    assert isinstance(lost, EntityExistsError)
    assert await backend.store.properties(name) == won
    assert await backend.content(name) == contents[won.metadata["writer"]]


@pytest.mark.parametrize("size_bytes", [9, 3 * BLOCK_BYTES + 9])
async def test_an_exception_out_of_the_content_leaves_nothing(
    backend: BlobBackend, name: str, size_bytes: int
) -> None:
    broken = ConnectionResetError("the client went away")

    async def content() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(bytes(size_bytes), 65_536):
            yield chunk
        raise broken

    with unchanged_tasks(), pytest.raises(ConnectionResetError) as raised:
        await create(backend.store, name, content())
    assert raised.value is broken
    assert await backend.content(name) is None
    assert await backend.store.properties(name) is None


@pytest.mark.parametrize("size_bytes", [9, 2 * BLOCK_BYTES])
async def test_an_exception_out_of_the_metadata_leaves_nothing(
    backend: BlobBackend, name: str, size_bytes: int
) -> None:
    def metadata() -> Mapping[str, str]:
        raise ValueError("the digest is not the announced one")

    with unchanged_tasks(), pytest.raises(ValueError, match="digest"):
        await backend.store.create(
            name, in_chunks(bytes(size_bytes), 65_536), content_type="text/plain", metadata=metadata
        )
    assert await backend.store.properties(name) is None


async def test_a_cancelled_upload_leaves_nothing(backend: BlobBackend, name: str) -> None:
    underway = asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield bytes(3 * BLOCK_BYTES)
        underway.set()
        await asyncio.Event().wait()

    with unchanged_tasks():
        upload = asyncio.create_task(create(backend.store, name, content()))
        await underway.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    assert await backend.store.properties(name) is None
