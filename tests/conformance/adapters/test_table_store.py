"""What every table store does, in memory and on Azure Table Storage."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryTables
from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError
from shared.ports import Delete, Entity, Insert, Replace
from tests.conformance.adapters.backends import azure_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.adapters.azure_transport import AzureTransport
    from shared.ports import Change, TableStore, Value

LAST = "\uffff"
"""After every row key in use."""


@pytest.fixture(params=["memory", "azure"])
async def tables(request: pytest.FixtureRequest, transport: AzureTransport) -> TableStore:
    if request.param == "memory":
        return MemoryTables()
    return azure_tables(request.getfixturevalue("storage"), transport)


@pytest.fixture
def partition() -> str:
    return uuid.uuid4().hex


async def insert(tables: TableStore, partition: str, row_key: str, **values: Value) -> Entity:
    (etag,) = await tables.apply([Insert(Entity(partition, row_key, values))])
    return Entity(partition, row_key, values, etag)


@pytest.mark.parametrize(
    "value",
    [
        "",
        'it\'s "quoted",\nover two lines, with é, 漢字 and 😀',
        "2026-01-02T03:04:05Z",
        "9007199254740993",
        0,
        -1,
        2**31,
        -(2**63),
        2**63 - 1,
        True,
        False,
        0.1,
        1.0,
        -1e300,
        datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2026, 1, 2, 3, 4, 5, 1, timezone(timedelta(hours=2))),
    ],
    ids=repr,
)
async def test_a_value_comes_back_as_it_went_in(tables: TableStore, partition: str, value: Value) -> None:
    await insert(tables, partition, "row", value=value)
    found = await tables.get(partition, "row")
    assert found is not None
    assert found.values == {"value": value}
    assert isinstance(found.values["value"], bool) is isinstance(value, bool)
    assert isinstance(found.values["value"], float) is isinstance(value, float)
    if isinstance(value, datetime):
        assert type(found.values["value"]) is datetime


async def test_a_missing_row_is_none(tables: TableStore, partition: str) -> None:
    assert await tables.get(partition, "row") is None


async def test_what_a_write_returns_is_the_rows_etag(tables: TableStore, partition: str) -> None:
    written = await insert(tables, partition, "row", n=1)
    assert await tables.get(partition, "row") == written
    (etag,) = await tables.apply([Replace(Entity(partition, "row", {"n": 2}, written.etag))])
    assert etag != written.etag
    assert await tables.get(partition, "row") == Entity(partition, "row", {"n": 2}, etag)


async def test_a_key_is_inserted_once(tables: TableStore, partition: str) -> None:
    first = await insert(tables, partition, "row", n=1)
    with pytest.raises(EntityExistsError):
        await insert(tables, partition, "row", n=2)
    assert await tables.get(partition, "row") == first


@pytest.mark.parametrize("change", [Replace, Delete])
async def test_a_stale_etag_changes_nothing(
    tables: TableStore, partition: str, change: type[Replace | Delete]
) -> None:
    first = await insert(tables, partition, "row", n=1)
    (etag,) = await tables.apply([Replace(Entity(partition, "row", {"n": 2}, first.etag))])
    with pytest.raises(EntityChangedError):
        await tables.apply([change(Entity(partition, "row", {"n": 3}, first.etag))])
    assert await tables.get(partition, "row") == Entity(partition, "row", {"n": 2}, etag)


@pytest.mark.parametrize("change", [Replace, Delete])
async def test_a_row_that_is_gone_is_missing(
    tables: TableStore, partition: str, change: type[Replace | Delete]
) -> None:
    row = await insert(tables, partition, "row")
    assert await tables.apply([Delete(row)]) == [""]
    with pytest.raises(EntityMissingError):
        await tables.apply([change(row)])
    assert await tables.get(partition, "row") is None


async def test_replace_drops_the_properties_that_are_gone(tables: TableStore, partition: str) -> None:
    row = await insert(tables, partition, "row", kept=1, dropped=2)
    await tables.apply([Replace(Entity(partition, "row", {"kept": 1}, row.etag))])
    found = await tables.get(partition, "row")
    assert found is not None
    assert found.values == {"kept": 1}


@pytest.mark.parametrize("count", [2, 99, 100])
async def test_a_transaction_makes_all_changes(tables: TableStore, partition: str, count: int) -> None:
    to_replace, to_delete = [await insert(tables, partition, key) for key in ("replaced", "deleted")]
    changes: list[Change] = [
        Delete(to_delete),
        Replace(Entity(partition, "replaced", {"n": 1}, to_replace.etag)),
    ]
    changes += [Insert(Entity(partition, f"new{number:03}", {"n": 1})) for number in range(count - 2)]
    etags = await tables.apply(changes)
    assert len(etags) == count
    assert etags[0] == ""
    found = await tables.query(partition, first_row_key="", end_row_key=LAST, limit=200)
    assert [row.values for row in found.entities] == [{"n": 1}] * (count - 1)
    by_key = {row.row_key: row.etag for row in found.entities}
    assert list(etags[1:]) == [by_key[change.entity.row_key] for change in changes[1:]]
    await tables.apply([Delete(row) for row in found.entities])  # the ETags are good for a next step


@pytest.mark.parametrize("at", [0, 50, 99], ids=["first", "middle", "last"])
@pytest.mark.parametrize("kind", [EntityExistsError, EntityMissingError, EntityChangedError])
async def test_a_conflict_anywhere_undoes_the_whole_transaction(
    tables: TableStore,
    partition: str,
    at: int,
    kind: type[EntityExistsError | EntityMissingError | EntityChangedError],
) -> None:
    there = await insert(tables, partition, "there", n=1)
    (etag,) = await tables.apply([Replace(Entity(partition, "there", {"n": 2}, there.etag))])
    conflicts: dict[type[Exception], Change] = {
        EntityExistsError: Insert(there),
        EntityMissingError: Replace(Entity(partition, "nowhere", {}, there.etag)),
        EntityChangedError: Replace(there),
    }
    changes: list[Change] = [Insert(Entity(partition, f"new{number:03}", {})) for number in range(99)]
    changes.insert(at, conflicts[kind])
    with pytest.raises(kind):
        await tables.apply(changes)
    found = await tables.query(partition, first_row_key="", end_row_key=LAST, limit=200)
    assert list(found.entities) == [Entity(partition, "there", {"n": 2}, etag)]


def row(partition: str, row_key: str = "row", etag: str = "") -> Entity:
    return Entity(partition, row_key, {}, etag)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([], id="none"),
        pytest.param([Insert(row("p", str(number))) for number in range(101)], id="101"),
        pytest.param([Insert(row("p", "1")), Insert(row("q", "2"))], id="two partitions"),
        pytest.param([Insert(row("p")), Insert(row("p"))], id="the same row twice"),
        pytest.param([Replace(row("p"))], id="replace without an ETag"),
        pytest.param([Insert(row("p", "1")), Delete(row("p", "2"))], id="delete without an ETag"),
    ],
)
async def test_what_no_transaction_can_be_is_refused(tables: TableStore, changes: Sequence[Change]) -> None:
    with pytest.raises(ValueError, match=r"a transaction|ETag"):
        await tables.apply(changes)
    assert await tables.get("p", "row") is None


async def test_a_range_has_its_first_key_and_not_its_end(tables: TableStore, partition: str) -> None:
    await tables.apply([Insert(row(partition, key)) for key in ("d", "b", "a", "c", "aa")])
    page = await tables.query(partition, first_row_key="aa", end_row_key="d", limit=10)
    assert [found.row_key for found in page.entities] == ["aa", "b", "c"]
    assert page.next_row_key is None


async def test_pages_follow_each_other_without_gap_or_overlap(tables: TableStore, partition: str) -> None:
    keys = [f"{number:02}" for number in range(10)]
    await tables.apply([Insert(row(partition, key)) for key in keys])
    seen: list[list[str]] = []
    next_row_key: str | None = ""
    while next_row_key is not None:
        page = await tables.query(partition, first_row_key=next_row_key, end_row_key=LAST, limit=4)
        seen.append([found.row_key for found in page.entities])
        next_row_key = page.next_row_key
    assert seen == [keys[:4], keys[4:8], keys[8:]]


async def test_a_page_that_holds_just_all_is_the_last(tables: TableStore, partition: str) -> None:
    await tables.apply([Insert(row(partition, key)) for key in ("a", "b")])
    page = await tables.query(partition, first_row_key="", end_row_key=LAST, limit=2)
    assert len(page.entities) == 2
    assert page.next_row_key is None


async def test_more_rows_than_the_service_returns_at_once(tables: TableStore, partition: str) -> None:
    keys = [f"{number:04}" for number in range(1001)]
    for start in range(0, len(keys), 100):
        await tables.apply([Insert(row(partition, key)) for key in keys[start : start + 100]])
    page = await tables.query(partition, first_row_key="", end_row_key=LAST, limit=1000)
    assert [found.row_key for found in page.entities] == keys[:1000]
    assert page.next_row_key == "1000"
    rest = await tables.query(partition, first_row_key="1000", end_row_key=LAST, limit=1000)
    assert [found.row_key for found in rest.entities] == ["1000"]
    assert rest.next_row_key is None


async def test_an_empty_range_is_an_empty_page(tables: TableStore, partition: str) -> None:
    await insert(tables, partition, "b")
    page = await tables.query(partition, first_row_key="c", end_row_key="d", limit=10)
    assert list(page.entities) == []
    assert page.next_row_key is None


async def test_other_partitions_are_not_seen(tables: TableStore, partition: str) -> None:
    for other in (f"{partition}0", partition[:-1], f"{partition}'"):
        await insert(tables, other, "row")
    mine = await insert(tables, partition, "row")
    page = await tables.query(partition, first_row_key="", end_row_key=LAST, limit=10)
    assert list(page.entities) == [mine]


@pytest.mark.parametrize(
    "key",
    ["o'neil's", "a''b", "100%25", "a%2Fb", "a b", '"q"', "file|é|ü", "漢字", "+a&b=c;d,e:f@g!h$i(j)k*l~m^"],
)
async def test_odd_characters_in_keys(tables: TableStore, partition: str, key: str) -> None:
    owner = f"{partition}-{key}"
    written = await insert(tables, owner, key, n=1)
    assert await tables.get(owner, key) == written
    page = await tables.query(owner, first_row_key=key, end_row_key=f"{key}0", limit=5)
    assert list(page.entities) == [written]
    (etag,) = await tables.apply([Replace(Entity(owner, key, {"n": 2}, written.etag))])
    in_one = await tables.apply([Replace(Entity(owner, key, {"n": 3}, etag)), Insert(row(owner, f"{key}2"))])
    await tables.apply([Delete(row(owner, key, in_one[0]))])
    assert await tables.get(owner, key) is None


async def test_of_many_writers_each_version_is_written_by_one(tables: TableStore, partition: str) -> None:
    await insert(tables, partition, "counter", count=0)

    async def add_one() -> None:
        while True:
            found = await tables.get(partition, "counter")
            assert found is not None
            count = found.values["count"]
            assert isinstance(count, int)
            try:
                await tables.apply([Replace(Entity(partition, "counter", {"count": count + 1}, found.etag))])
            except EntityChangedError:
                continue
            return

    await asyncio.gather(*(add_one() for _ in range(12)))
    found = await tables.get(partition, "counter")
    assert found is not None
    assert found.values == {"count": 12}


async def test_of_many_inserters_of_one_key_one_wins(tables: TableStore, partition: str) -> None:
    results = await asyncio.gather(
        *(insert(tables, partition, "row", n=number) for number in range(10)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, Entity)]
    assert won == [await tables.get(partition, "row")]
    assert sum(isinstance(result, EntityExistsError) for result in results) == 9
