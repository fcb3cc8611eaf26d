"""What the Azure adapters make of a storage service, or a network, that fails."""

from __future__ import annotations

import asyncio
import time
import traceback
import uuid
from typing import TYPE_CHECKING

import pytest

from local.azurite import ACCOUNT_KEY
from shared.adapters.azure_transport import ANSWER, Patience
from shared.adapters.blobs import BLOCK_BYTES
from shared.errors import EntityExistsError, UnavailableError
from shared.ports import Delete, Entity, Insert, Replace
from tests.conformance.adapters.backends import azure_blobs, azure_tables, in_chunks
from tests.conformance.adapters.middleman import Middleman, Mischief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from local.azurite import StoragePorts
    from shared.adapters.azure_transport import AzureTransport
    from shared.adapters.blobs import AzureBlobs
    from shared.adapters.tables import AzureTables
    from shared.ports import BlobProperties, Change

PROMPTLY_SECONDS = 3
ROW = Entity(uuid.uuid4().hex, "row", {})
OLD_ROW = Entity(ROW.partition_key, "row", {}, 'W/"old"')


def upload(blobs: AzureBlobs, name: str, size_bytes: int = 5) -> Awaitable[BlobProperties]:
    return blobs.create(
        name, in_chunks(bytes(size_bytes), 1_000_000), content_type="text/plain", metadata=lambda: {"n": name}
    )


TABLE_CALLS: dict[str, Callable[[AzureTables], Awaitable[object]]] = {
    "get": lambda tables: tables.get("p", "r"),
    "query": lambda tables: tables.query("p", first_row_key="a", end_row_key="b", limit=10),
    "insert": lambda tables: tables.apply([Insert(ROW)]),
    "replace": lambda tables: tables.apply([Replace(OLD_ROW)]),
    "delete": lambda tables: tables.apply([Delete(OLD_ROW)]),
    "transaction": lambda tables: tables.apply([Insert(ROW), Insert(Entity(ROW.partition_key, "2", {}))]),
    "check": lambda tables: tables.check(),
}
BLOB_CALLS: dict[str, Callable[[AzureBlobs], Awaitable[object]]] = {
    "properties": lambda blobs: blobs.properties("missing"),
    "small upload": lambda blobs: upload(blobs, "small"),
    "large upload": lambda blobs: upload(blobs, "large", 3 * BLOCK_BYTES),
    "check": lambda blobs: blobs.check(),
}


@pytest.mark.parametrize("call", TABLE_CALLS.values(), ids=TABLE_CALLS.keys())
async def test_a_missing_table_is_no_missing_row(
    storage: StoragePorts, transport: AzureTransport, call: Callable[[AzureTables], Awaitable[object]]
) -> None:
    with pytest.raises(UnavailableError):
        await call(azure_tables(storage, transport, "nosuchtable"))


@pytest.mark.parametrize("call", BLOB_CALLS.values(), ids=BLOB_CALLS.keys())
async def test_a_missing_container_is_no_missing_blob(
    storage: StoragePorts, transport: AzureTransport, call: Callable[[AzureBlobs], Awaitable[object]]
) -> None:
    with pytest.raises(UnavailableError):
        await call(azure_blobs(storage, transport, "no-such-container"))


async def test_tables_that_are_down_are_reported_promptly_and_without_secrets(
    no_storage: StoragePorts, transport: AzureTransport
) -> None:
    tables = azure_tables(no_storage, transport)
    await asyncio.gather(*(reports_unavailable(call(tables)) for call in TABLE_CALLS.values()))


async def test_blobs_that_are_down_are_reported_promptly_and_without_secrets(
    no_storage: StoragePorts, transport: AzureTransport
) -> None:
    blobs = azure_blobs(no_storage, transport)
    await asyncio.gather(*(reports_unavailable(call(blobs)) for call in BLOB_CALLS.values()))


async def reports_unavailable(call: Awaitable[object]) -> None:
    started_seconds = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        await call
    assert time.monotonic() - started_seconds < PROMPTLY_SECONDS
    assert ACCOUNT_KEY not in "".join(traceback.format_exception(raised.value))
    assert "127.0.0.1" not in raised.value.detail


@pytest.fixture
async def blob_middleman(storage: StoragePorts) -> AsyncIterator[Middleman]:
    middleman = Middleman(storage.blob)
    async with middleman.running():
        yield middleman


@pytest.fixture
async def blobs(blob_middleman: Middleman, storage: StoragePorts, transport: AzureTransport) -> AzureBlobs:
    return azure_blobs(storage._replace(blob=blob_middleman.port), transport)


@pytest.fixture
async def table_middleman(storage: StoragePorts) -> AsyncIterator[Middleman]:
    middleman = Middleman(storage.table)
    async with middleman.running():
        yield middleman


@pytest.fixture
async def tables(table_middleman: Middleman, storage: StoragePorts, transport: AzureTransport) -> AzureTables:
    return azure_tables(storage._replace(table=table_middleman.port), transport)


PASS, LOSE, CUT, BUSY = Mischief.PASS, Mischief.LOSE_ANSWER, Mischief.CUT_ANSWER, Mischief.BUSY


@pytest.mark.parametrize("mischief", [LOSE, BUSY])
async def test_a_small_upload_survives_a_lost_answer(
    blobs: AzureBlobs, blob_middleman: Middleman, mischief: Mischief
) -> None:
    name = str(uuid.uuid4())
    blob_middleman.script.append(mischief)
    told = await upload(blobs, name)
    assert told == await blobs.properties(name)


@pytest.mark.parametrize("script", [[LOSE], [PASS, LOSE], [PASS, PASS, PASS, LOSE], [BUSY, PASS, PASS, BUSY]])
async def test_a_large_upload_survives_lost_answers(
    blobs: AzureBlobs, blob_middleman: Middleman, script: list[Mischief]
) -> None:
    name = str(uuid.uuid4())
    blob_middleman.script.extend(script)
    told = await upload(blobs, name, 2 * BLOCK_BYTES + 1)
    assert told == await blobs.properties(name)


async def test_a_lost_answer_does_not_make_somebody_elses_blob_ours(
    blobs: AzureBlobs, blob_middleman: Middleman
) -> None:
    name = str(uuid.uuid4())
    await blobs.create(name, in_chunks(b"theirs", 6), content_type="text/plain", metadata=lambda: {"n": "x"})
    blob_middleman.script.append(LOSE)
    with pytest.raises(EntityExistsError):
        await upload(blobs, name)


@pytest.mark.parametrize("mischief", [LOSE, CUT, BUSY])
async def test_reads_survive_a_lost_answer(
    tables: AzureTables, table_middleman: Middleman, mischief: Mischief
) -> None:
    row = Entity(uuid.uuid4().hex, "row", {"n": 1})
    await tables.apply([Insert(row)])
    table_middleman.script.append(mischief)
    assert await tables.get(row.partition_key, "row") is not None
    table_middleman.script.append(mischief)
    page = await tables.query(row.partition_key, first_row_key="a", end_row_key="z", limit=5)
    assert [found.row_key for found in page.entities] == ["row"]


def changes_of(stored: Entity) -> dict[str, list[Change]]:
    changed = Entity(stored.partition_key, stored.row_key, {"n": 2}, stored.etag)
    new = Entity(stored.partition_key, "new", {})
    return {
        "insert": [Insert(new)],
        "replace": [Replace(changed)],
        "delete": [Delete(stored)],
        "transaction": [Replace(changed), Insert(new)],
    }


async def stored_row(tables: AzureTables) -> Entity:
    row = Entity(uuid.uuid4().hex, "row", {"n": 1})
    (etag,) = await tables.apply([Insert(row)])
    return Entity(row.partition_key, row.row_key, row.values, etag)


@pytest.mark.parametrize("kind", ["insert", "replace", "delete", "transaction"])
async def test_a_write_whose_answer_is_lost_is_not_sent_again(
    tables: AzureTables, table_middleman: Middleman, kind: str
) -> None:
    """Sent again it would meet itself, and be reported as somebody else's."""
    changes = changes_of(await stored_row(tables))[kind]
    sent_before = table_middleman.requests
    table_middleman.script.append(LOSE)
    with pytest.raises(UnavailableError):
        await tables.apply(changes)
    assert table_middleman.requests == sent_before + 1


@pytest.mark.parametrize("kind", ["insert", "replace", "delete", "transaction"])
async def test_a_write_that_is_turned_away_is_sent_again(
    tables: AzureTables, table_middleman: Middleman, kind: str
) -> None:
    changes = changes_of(await stored_row(tables))[kind]
    table_middleman.script.append(BUSY)
    assert len(await tables.apply(changes)) == len(changes)


async def test_a_store_that_stays_busy_is_given_up(tables: AzureTables, table_middleman: Middleman) -> None:
    sent_before = table_middleman.requests
    table_middleman.script.extend([BUSY] * 10)
    with pytest.raises(UnavailableError):
        await tables.get("p", "r")
    assert table_middleman.requests == sent_before + 1 + len(ANSWER.pauses_seconds)


async def test_a_silent_store_is_not_waited_for_long(
    table_middleman: Middleman, storage: StoragePorts, transport: AzureTransport
) -> None:
    patience = Patience(try_seconds=0.4, total_seconds=0.8, pauses_seconds=(0.1, 0.1, 0.1))
    tables = azure_tables(storage._replace(table=table_middleman.port), transport, patience=patience)
    table_middleman.script.extend([Mischief.SILENCE] * 10)
    for call, requests in ((tables.apply([Insert(ROW)]), 1), (tables.get("p", "r"), 2)):
        sent_before = table_middleman.requests
        started_seconds = time.monotonic()
        with pytest.raises(UnavailableError):
            await call
        assert time.monotonic() - started_seconds < patience.total_seconds + 1
        assert table_middleman.requests == sent_before + requests
