from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryTables
from shared.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from shared.files import file as files
from shared.files.catalogue import FileFilter, FilePatch
from shared.files.file import FileStatus
from shared.files.labels import MAX_LABELS, merged
from shared.ledger.ranges import MAX_ROWS_READ
from shared.ports import Insert, Replace
from tests.unit.shared import sample
from tests.unit.web.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.files.file import File
    from shared.ports import Change

PNG = "image/png"


def anything(_file: File) -> bool:
    return True


async def filled(count: int, **changes: Any) -> Shelf:
    """A shelf with files made a second apart, the newest last."""
    shelf = Shelf()
    for number in range(count):
        made_at = sample.NOW + timedelta(seconds=number)
        file = sample.file(
            id=files.new_file_id(made_at), accepted_at=made_at, name=f"{number}.txt", **changes
        )
        await shelf.memory.apply([Insert(files.to_entity(file))])
    return shelf


async def names(shelf: Shelf, wanted: FileFilter | None = None, *, limit: int = 200) -> list[str]:
    page = await shelf.catalogue.page(sample.OWNER, wanted or FileFilter(), limit=limit)
    return [file.name for file in page.files]


async def test_pages_follow_each_other_from_the_newest_to_the_oldest() -> None:
    shelf = await filled(7)
    told: list[str] = []
    start = None
    for size in (3, 3, 1):
        page = await shelf.catalogue.page(sample.OWNER, FileFilter(), limit=3, first_row_key=start)
        assert len(page.files) == size
        told += [file.name for file in page.files]
        start = page.next_row_key
    assert start is None
    assert told == [f"{number}.txt" for number in reversed(range(7))]


async def test_a_rare_file_is_looked_for_in_a_bounded_number_of_rows() -> None:
    shelf = Shelf()
    rare = sample.file(id=files.new_file_id(sample.NOW), content_type=PNG)
    await shelf.memory.apply([Insert(files.to_entity(rare))])
    for number in range(MAX_ROWS_READ + 1):
        file = sample.file(id=files.new_file_id(sample.NOW + timedelta(seconds=number + 1)))
        await shelf.memory.apply([Insert(files.to_entity(file))])
    wanted = FileFilter(content_type=PNG)
    first = await shelf.catalogue.page(sample.OWNER, wanted, limit=50)
    assert not first.files
    assert first.next_row_key is not None
    second = await shelf.catalogue.page(sample.OWNER, wanted, limit=50, first_row_key=first.next_row_key)
    assert [file.id for file in second.files] == [rare.id]
    assert second.next_row_key is None


async def test_a_page_that_is_full_within_a_batch_goes_on_right_behind_it() -> None:
    shelf = await filled(300)
    for entity in list(shelf.memory.rows.values()):
        file = files.from_entity(entity)
        if int(file.name.removesuffix(".txt")) % 3:
            await shelf.memory.apply(
                [Replace(files.to_entity(FilePatch(name="other").applied(file, sample.NOW)))]
            )
    told: list[str] = []
    start = None
    while True:
        page = await shelf.catalogue.page(
            sample.OWNER, FileFilter(name_prefix="other"), limit=7, first_row_key=start
        )
        told += [file.id for file in page.files]
        start = page.next_row_key
        if start is None:
            break
    assert len(told) == len(set(told)) == 200


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"created_after": 2}, ["4.txt", "3.txt"]),
        ({"created_before": 2}, ["1.txt", "0.txt"]),
        ({"created_after": 0, "created_before": 3}, ["2.txt", "1.txt"]),
        ({"created_after": 3, "created_before": 1}, []),
        ({"created_after": -1, "created_before": 99}, [f"{n}.txt" for n in reversed(range(5))]),
    ],
)
async def test_a_list_can_be_narrowed_to_a_time(wanted: dict[str, int], expected: list[str]) -> None:
    shelf = await filled(5)
    instants = {name: sample.NOW + timedelta(seconds=seconds) for name, seconds in wanted.items()}
    assert await names(shelf, FileFilter(**instants)) == expected  # type: ignore[arg-type]  # instants only


async def test_a_time_is_compared_as_it_is_told() -> None:
    shelf = Shelf()
    made_at = sample.NOW + timedelta(microseconds=123_456)
    file = sample.file(id=files.new_file_id(made_at), accepted_at=made_at)
    await shelf.memory.apply([Insert(files.to_entity(file))])
    told = sample.NOW + timedelta(milliseconds=123)
    assert not await names(shelf, FileFilter(created_after=told))
    assert not await names(shelf, FileFilter(created_before=told))
    assert await names(shelf, FileFilter(created_after=told - timedelta(milliseconds=1)))
    assert await names(shelf, FileFilter(created_before=told + timedelta(milliseconds=1)))


@pytest.mark.parametrize("instant", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
async def test_the_ends_of_time_are_no_trouble(instant: datetime) -> None:
    shelf = await filled(1)
    early = instant.year == 1
    assert bool(await names(shelf, FileFilter(created_after=instant))) is early
    assert bool(await names(shelf, FileFilter(created_before=instant))) is not early


async def test_the_range_of_rows_is_as_narrow_as_the_time() -> None:
    shelf = await filled(60)
    first, end = FileFilter(
        created_after=sample.NOW + timedelta(seconds=10), created_before=sample.NOW + timedelta(seconds=20)
    ).row_keys()
    page = await shelf.memory.query(sample.OWNER, first_row_key=first, end_row_key=end, limit=100)
    assert 9 <= len(page.entities) <= 11


@pytest.mark.parametrize(
    ("content_type", "wanted", "expected"),
    [
        ("image/png", "image/png", True),
        ("Image/PNG; q=1", "image/png", True),
        ("image/png", "image/*", True),
        ("imagex/png", "image/*", False),
        ("image/png", "text/*", False),
        ("image/png", "*/*", True),
    ],
)
async def test_a_list_can_be_narrowed_to_types(content_type: str, wanted: str, expected: bool) -> None:
    shelf = await filled(1, content_type=content_type)
    assert bool(await names(shelf, FileFilter(content_type=wanted))) is expected


@pytest.mark.parametrize("status", FileStatus)
async def test_only_published_files_are_listed_unless_others_are_asked_for(status: FileStatus) -> None:
    shelf = await filled(1, status=status)
    assert bool(await names(shelf)) is (status in files.PUBLISHED)
    assert await names(shelf, FileFilter(statuses=frozenset({status})))


async def test_an_expired_file_is_out_of_sight_before_any_sweep() -> None:
    shelf = Shelf()
    await shelf.put(expires_at=sample.NOW + timedelta(seconds=5))
    assert await names(shelf)
    shelf.clock.advance(5)
    assert not await names(shelf)
    with pytest.raises(NotFoundError):
        await shelf.catalogue.find(sample.OWNER, sample.FILE_ID)


async def test_an_edit_changes_what_it_names_and_nothing_else() -> None:
    shelf = Shelf()
    before = await shelf.put(labels={"a": "1", "b": "2"})
    shelf.clock.advance(10)
    after = await shelf.catalogue.update(
        sample.OWNER, before.id, FilePatch(labels={"a": None, "c": "3"}), wanted=anything
    )
    assert after == await shelf.row()
    assert (after.labels, after.name, after.expires_at) == ({"b": "2", "c": "3"}, before.name, None)
    assert (after.revision, after.updated_at) == (1, shelf.clock.now())


async def test_an_edit_that_is_refused_changes_nothing() -> None:
    shelf = Shelf()
    before = await shelf.put()
    with pytest.raises(PreconditionFailedError):
        await shelf.catalogue.update(
            sample.OWNER, before.id, FilePatch(name="new"), wanted=lambda _file: False
        )
    assert await shelf.row() == before


@pytest.mark.parametrize("expires_in", [timedelta(0), timedelta(days=-1), timedelta(days=3654)], ids=str)
async def test_an_expiry_lies_in_the_future_and_within_ten_years(expires_in: timedelta) -> None:
    shelf = Shelf()
    await shelf.put()
    with pytest.raises(InvalidRequestError, match="expires_at"):
        await shelf.catalogue.update(
            sample.OWNER, sample.FILE_ID, FilePatch(expires_at=sample.NOW + expires_in), wanted=anything
        )


class Interfering(MemoryTables):
    """Before each of the first writes of the file's row, the row is written by somebody else."""

    def __init__(self, times: int, *, edits: bool = False) -> None:
        super().__init__()
        self._times = times
        self._edits = edits

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        key = (sample.OWNER, files.row_key(sample.FILE_ID))
        if self._times and key in self.rows and any(change.entity.row_key == key[1] for change in changes):
            self._times -= 1
            file = files.from_entity(self.rows[key])
            other = FilePatch(name="theirs").applied(file, sample.NOW) if self._edits else file
            await super().apply([Replace(files.to_entity(other))])
        return await super().apply(changes)


async def interfered(tables: Interfering) -> Shelf:
    shelf = Shelf(tables=tables)
    shelf.memory = tables
    await shelf.put()
    return shelf


async def test_progress_of_deliveries_does_not_stop_an_edit() -> None:
    shelf = await interfered(Interfering(3))
    first = await shelf.row()
    after = await shelf.catalogue.update(
        sample.OWNER, first.id, FilePatch(name="mine"), wanted=lambda file: file.revision == first.revision
    )
    assert (after.name, after.revision) == ("mine", 1)


async def test_another_edit_does() -> None:
    shelf = await interfered(Interfering(1, edits=True))
    with pytest.raises(PreconditionFailedError, match="reload it"):
        await shelf.catalogue.update(
            sample.OWNER, sample.FILE_ID, FilePatch(name="mine"), wanted=lambda file: file.revision == 0
        )
    assert (await shelf.row()).name == "theirs"


async def test_a_row_that_never_rests_is_a_matter_of_trying_again() -> None:
    shelf = await interfered(Interfering(1000))
    with pytest.raises(UnavailableError):
        await shelf.catalogue.update(sample.OWNER, sample.FILE_ID, FilePatch(name="mine"), wanted=anything)
    with pytest.raises(UnavailableError):
        await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)


async def test_of_many_editors_of_one_revision_one_wins() -> None:
    shelf = Shelf()
    await shelf.put()

    async def edit(number: int) -> File:
        patch = FilePatch(name=f"{number}.txt")
        return await shelf.catalogue.update(
            sample.OWNER, sample.FILE_ID, patch, wanted=lambda file: file.revision == 0
        )

    told = await asyncio.gather(*(edit(number) for number in range(10)), return_exceptions=True)
    assert [type(each).__name__ for each in told].count("PreconditionFailedError") == 9
    (winner,) = [each for each in told if not isinstance(each, BaseException)]
    assert (await shelf.row()).name == winner.name


@pytest.mark.parametrize(
    "patch",
    [
        {"UPPER": "x"},
        {"": "x"},
        {"a" * 64: "x"},
        {"a\n": "x"},
        {"a": "x" * 256},
        {"a": "\x00"},
        {f"k{number}": "x" for number in range(MAX_LABELS + 1)},
        {f"k{number}": "\U0001f514" * 255 for number in range(MAX_LABELS)},
    ],
    ids=lambda patch: str(patch)[:20],
)
def test_labels_that_cannot_be_taken(patch: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="labels"):
        merged({}, patch)


def test_the_largest_labels_fit_into_a_property_of_a_row() -> None:
    labels = merged({}, {f"{number:063}": "é" * 96 for number in range(MAX_LABELS)})
    row = files.to_entity(sample.file(labels=labels))
    assert len(str(row.values["labels"])) < 32 * 1024


def test_no_labels_at_all_is_a_patch_too() -> None:
    assert merged({"a": "1"}, None) == {}
