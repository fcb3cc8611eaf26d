"""What reading, staging, committing and deleting blobs make of a service that fails."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from shared.adapters.blob_reading import RANGE_BYTES
from shared.errors import EntityChangedError, EntityExistsError, UnavailableError
from tests.conformance.adapters.backends import AzureBackend, azure_blobs, put
from tests.conformance.adapters.middleman import Middleman, Mischief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from local.azurite import StoragePorts
    from shared.adapters.azure_transport import AzureTransport
    from shared.adapters.blobs import AzureBlobs
    from shared.ports import BlobProperties

PASS, LOSE, CUT, BUSY = Mischief.PASS, Mischief.LOSE_ANSWER, Mischief.CUT_ANSWER, Mischief.BUSY
BLOCK = "0" * 24
CONTENT = uuid.uuid4().bytes * (RANGE_BYTES // 8)
"""Two ranges."""


async def read(blobs: AzureBlobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(name)])


def commit(blobs: AzureBlobs, name: str) -> Awaitable[BlobProperties]:
    return blobs.commit(name, [BLOCK], content_type="text/plain", metadata={"n": name})


CALLS: dict[str, Callable[[AzureBlobs], Awaitable[object]]] = {
    "read": lambda blobs: read(blobs, "n"),
    "stage": lambda blobs: blobs.stage("n", BLOCK, b"content"),
    "staged": lambda blobs: blobs.staged("n"),
    "commit": lambda blobs: commit(blobs, "n"),
    "delete": lambda blobs: blobs.delete("n"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_missing_container_is_no_missing_blob(
    storage: StoragePorts, transport: AzureTransport, call: Callable[[AzureBlobs], Awaitable[object]]
) -> None:
    with pytest.raises(UnavailableError):
        await call(azure_blobs(storage, transport, "no-such-container"))


async def test_a_service_that_is_down_is_reported(
    no_storage: StoragePorts, transport: AzureTransport
) -> None:
    blobs = azure_blobs(no_storage, transport)
    results = await asyncio.gather(*(call(blobs) for call in CALLS.values()), return_exceptions=True)
    assert [type(result) for result in results] == [UnavailableError] * len(CALLS)


@pytest.fixture
async def middleman(storage: StoragePorts) -> AsyncIterator[Middleman]:
    middleman = Middleman(storage.blob)
    async with middleman.running():
        yield middleman


@pytest.fixture
async def blobs(middleman: Middleman, storage: StoragePorts, transport: AzureTransport) -> AzureBlobs:
    return azure_blobs(storage._replace(blob=middleman.port), transport)


@pytest.mark.parametrize("mischief", [LOSE, CUT, BUSY])
@pytest.mark.parametrize("passing_before", [0, 1])
async def test_reading_goes_on_after_a_cut_without_losing_or_doubling_a_byte(
    blobs: AzureBlobs, middleman: Middleman, name: str, mischief: Mischief, passing_before: int
) -> None:
    await put(blobs, name, CONTENT)
    middleman.script.extend([PASS] * passing_before + [mischief])
    assert await read(blobs, name) == CONTENT


async def test_a_range_asked_for_again_is_still_of_the_first_state(
    blobs: AzureBlobs, middleman: Middleman, azure_backend: AzureBackend, name: str
) -> None:
    await put(blobs, name, CONTENT)
    pieces = blobs.read(name)
    middleman.script.extend([PASS, BUSY])
    assert await anext(pieces) == CONTENT[:RANGE_BYTES]
    await azure_backend.overwrite(name, b"other")
    with pytest.raises(EntityChangedError):
        await anext(pieces)


async def test_a_service_that_stays_busy_ends_the_reading(
    blobs: AzureBlobs, middleman: Middleman, name: str
) -> None:
    await put(blobs, name, CONTENT)
    pieces = blobs.read(name)
    middleman.script.extend([PASS] + [BUSY] * 3)
    await anext(pieces)
    with pytest.raises(UnavailableError):
        await anext(pieces)


@pytest.mark.parametrize("script", [[LOSE], [BUSY], [PASS, LOSE]])
async def test_staging_and_committing_survive_lost_answers(
    blobs: AzureBlobs, middleman: Middleman, name: str, script: list[Mischief]
) -> None:
    middleman.script.extend(script)
    await blobs.stage(name, BLOCK, b"content")
    middleman.script.clear()
    middleman.script.extend(script)
    told = await commit(blobs, name)
    assert told.size_bytes == 7
    assert told == await blobs.properties(name)
    assert await read(blobs, name) == b"content"


async def test_a_lost_answer_does_not_make_somebody_elses_blob_ours(
    blobs: AzureBlobs, middleman: Middleman, name: str
) -> None:
    await put(blobs, name, b"theirs!", n="x")
    middleman.script.append(LOSE)
    with pytest.raises(EntityExistsError):
        await commit(blobs, name)


@pytest.mark.parametrize(
    ("staged", "requests_before"), [(True, 0), (True, 1), (True, 2), (True, 3), (False, 0), (False, 1)]
)
@pytest.mark.parametrize("mischief", [LOSE, BUSY])
async def test_deleting_survives_a_lost_answer(
    blobs: AzureBlobs,
    middleman: Middleman,
    azure_backend: AzureBackend,
    name: str,
    *,
    staged: bool,
    requests_before: int,
    mischief: Mischief,
) -> None:
    if staged:
        await blobs.stage(name, BLOCK, b"content")
    else:
        await put(blobs, name, b"content")
    middleman.script.extend([PASS] * requests_before + [mischief])
    await blobs.delete(name)
    assert await azure_backend.content(name) is None
    assert await blobs.staged(name) == ()


async def test_what_a_broken_off_delete_leaves_is_not_shown_and_goes_with_the_next(
    blobs: AzureBlobs, middleman: Middleman, azure_backend: AzureBackend, name: str
) -> None:
    """The empty blob that takes the blocks away stays, for the service is busy when it is to be deleted."""
    await blobs.stage(name, BLOCK, b"content")
    middleman.script.extend([PASS, PASS, PASS] + [BUSY] * 3)
    with pytest.raises(UnavailableError):
        await blobs.delete(name)
    assert await azure_backend.content(name) == b""
    assert await blobs.properties(name) is None
    with pytest.raises(UnavailableError):
        await commit(blobs, name)
    await blobs.delete(name)
    assert await azure_backend.content(name) is None
