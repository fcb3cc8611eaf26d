"""What every blob store does when it is read, in memory and on Azure Blob Storage."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from shared.adapters.blob_reading import RANGE_BYTES
from shared.errors import EntityChangedError, EntityMissingError
from tests.conformance.adapters.backends import put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.ports import BlobStore
    from tests.conformance.adapters.backends import BlobBackend

SEVERAL_RANGES_BYTES = 3 * RANGE_BYTES + 17
CONTENT = random.Random(1).randbytes(SEVERAL_RANGES_BYTES)


async def whole(
    store: BlobStore,
    name: str,
    *,
    offset_bytes: int = 0,
    size_bytes: int | None = None,
    etag: str | None = None,
) -> bytes:
    pieces = store.read(name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag=etag)
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(("offset_bytes", "size_bytes"), [(-1, None), (0, -1), (-5, 10)])
async def test_a_negative_range_is_refused(
    backend: BlobBackend, name: str, offset_bytes: int, size_bytes: int
) -> None:
    await put(backend.store, name, b"content")
    with pytest.raises(ValueError, match="negative"):
        await whole(backend.store, name, offset_bytes=offset_bytes, size_bytes=size_bytes)


@pytest.mark.parametrize("size_bytes", [None, 0, 5])
@pytest.mark.parametrize("etag", [None, '"0x1"'])
async def test_a_missing_blob_cannot_be_read(
    backend: BlobBackend, name: str, size_bytes: int | None, etag: str | None
) -> None:
    with pytest.raises(EntityMissingError):
        await whole(backend.store, name, size_bytes=size_bytes, etag=etag)


async def test_staged_blocks_cannot_be_read(backend: BlobBackend, name: str) -> None:
    await backend.store.stage(name, "0", b"block")
    with pytest.raises(EntityMissingError):
        await whole(backend.store, name)


@pytest.mark.parametrize(
    ("content", "offset_bytes", "size_bytes"),
    [
        pytest.param(b"content", 0, None, id="something"),
        pytest.param(b"content", 0, 0, id="no byte of something"),
        pytest.param(b"content", 7, None, id="something, from its end"),
        pytest.param(b"", 0, None, id="nothing"),
    ],
)
async def test_another_state_than_the_one_asked_for_cannot_be_read(
    backend: BlobBackend, name: str, content: bytes, offset_bytes: int, size_bytes: int | None
) -> None:
    await put(backend.store, name, content)
    with pytest.raises(EntityChangedError):
        await whole(
            backend.store, name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag='"0x8DC0000000000"'
        )


@pytest.mark.parametrize(
    ("offset_bytes", "size_bytes"),
    [
        pytest.param(0, None, id="all"),
        pytest.param(0, SEVERAL_RANGES_BYTES, id="all, by size"),
        pytest.param(0, RANGE_BYTES, id="one range"),
        pytest.param(0, RANGE_BYTES + 1, id="a byte more than a range"),
        pytest.param(RANGE_BYTES - 1, 2, id="two bytes across the edge of a range"),
        pytest.param(5, 2 * RANGE_BYTES, id="from odd to odd"),
        pytest.param(SEVERAL_RANGES_BYTES - 3, None, id="the last bytes"),
        pytest.param(SEVERAL_RANGES_BYTES - 3, 99, id="beyond the end"),
        pytest.param(SEVERAL_RANGES_BYTES, None, id="from the end"),
        pytest.param(SEVERAL_RANGES_BYTES + 9, 9, id="from behind the end"),
        pytest.param(100, 0, id="no byte"),
    ],
)
async def test_what_is_read_is_the_range_cut_at_the_end(
    backend: BlobBackend, name: str, offset_bytes: int, size_bytes: int | None
) -> None:
    stored = await put(backend.store, name, CONTENT)
    expected = CONTENT[offset_bytes:] if size_bytes is None else CONTENT[offset_bytes:][:size_bytes]
    read = await whole(
        backend.store, name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag=stored.etag
    )
    assert read == expected


@pytest.mark.parametrize("offset_bytes", [0, 1])
async def test_an_empty_blob_has_nothing_to_read(backend: BlobBackend, name: str, offset_bytes: int) -> None:
    stored = await put(backend.store, name, b"")
    assert await whole(backend.store, name, offset_bytes=offset_bytes) == b""
    assert await whole(backend.store, name, offset_bytes=offset_bytes, etag=stored.etag) == b""


async def test_no_piece_is_larger_than_a_range(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    assert max([len(piece) async for piece in backend.store.read(name)]) <= RANGE_BYTES


async def read_on(pieces: AsyncIterator[bytes], read: list[bytes]) -> None:
    async for piece in pieces:
        read.append(piece)  # noqa: PERF401 - what was read counts even if reading fails


async def test_a_blob_replaced_in_the_middle_is_not_read_on(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    read: list[bytes] = []
    async with aclosing(backend.store.read(name)) as pieces:
        read.append(await anext(pieces))
        await backend.overwrite(name, bytes(SEVERAL_RANGES_BYTES))
        with pytest.raises(EntityChangedError):
            await read_on(pieces, read)
    assert CONTENT.startswith(b"".join(read))


async def test_a_blob_deleted_in_the_middle_is_missing(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    async with aclosing(backend.store.read(name)) as pieces:
        await anext(pieces)
        await backend.store.delete(name)
        with pytest.raises(EntityMissingError):
            await read_on(pieces, [])


async def test_a_reader_that_goes_away_leaves_no_task(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    before = asyncio.all_tasks()
    async with aclosing(backend.store.read(name)) as pieces:
        await anext(pieces)
    assert asyncio.all_tasks() == before


async def test_a_cancelled_reader_leaves_no_task(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    before = asyncio.all_tasks()
    begun = asyncio.Event()

    async def read_and_wait() -> None:
        async with aclosing(backend.store.read(name)) as pieces:
            await anext(pieces)
            begun.set()
            await asyncio.Event().wait()

    reader = asyncio.create_task(read_and_wait())
    await begun.wait()
    reader.cancel()
    await asyncio.wait([reader])
    assert asyncio.all_tasks() == before


async def test_two_readers_do_not_disturb_each_other(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, CONTENT)
    one, other = await asyncio.gather(whole(backend.store, name), whole(backend.store, name))
    assert one == other == CONTENT
