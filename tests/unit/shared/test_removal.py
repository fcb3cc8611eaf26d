from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryTables
from shared.errors import NotFoundError
from shared.files import file as files
from shared.files import share_link
from shared.files.catalogue import FilePatch
from shared.files.file import FileStatus
from shared.files.removal import EXPIRY, WRITE_SECONDS, note
from shared.files.share_link import ShareLink
from shared.ports import Entity, Insert, Replace
from tests.unit.shared import sample
from tests.unit.web.shelf import KEEP_SECONDS, Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.files.file import File
    from shared.ports import Change


def anything(_file: File) -> bool:
    return True


async def test_a_deleted_file_is_gone_for_readers_and_kept_for_a_while() -> None:
    shelf = Shelf()
    await shelf.put()
    await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)
    row = await shelf.row()
    assert (row.status, row.deleted_at, row.revision) == (FileStatus.DELETED, sample.NOW, 1)
    with pytest.raises(NotFoundError):
        await shelf.catalogue.find(sample.OWNER, sample.FILE_ID)
    with pytest.raises(NotFoundError):
        await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)
    await shelf.sweep(seconds=KEEP_SECONDS - 1)
    assert shelf.blobs.contents
    await shelf.sweep(seconds=2)
    assert not shelf.blobs.contents
    assert not any(key.startswith("file|") for _, key in shelf.memory.rows)


async def usage(shelf: Shelf) -> tuple[int, int]:
    row = await shelf.memory.get(sample.OWNER, "quota|")
    assert row is not None
    return int(str(row.values["bytes"])), int(str(row.values["files"]))


@pytest.mark.parametrize(
    ("status", "expected"), [(FileStatus.SETTLED, (7, 1)), (FileStatus.REJECTED, (12, 2))]
)
async def test_what_is_deleted_counts_no_more(status: FileStatus, expected: tuple[int, int]) -> None:
    """A rejected file never counted."""
    shelf = Shelf()
    await shelf.put(b"hello", status=status)
    count = Entity(sample.OWNER, "quota|", {"bytes": 12, "files": 2})
    await shelf.memory.apply([Insert(count)])
    await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)
    assert await usage(shelf) == expected


async def with_everything(shelf: Shelf) -> None:
    await shelf.put()
    await sample.insert(shelf.memory, *(sample.delivery(number) for number in range(1, 121)))
    for number in range(3):
        link = ShareLink(f"{number:032x}", sample.OWNER, sample.FILE_ID, sample.NOW, sample.NOW)
        await shelf.memory.apply([Insert(share_link.to_entity(link))])


async def test_a_purge_leaves_nothing_of_the_file_and_all_of_the_others() -> None:
    shelf = Shelf()
    await with_everything(shelf)
    other = await shelf.put(id="019cacff-0000-7000-8000-000000000002")
    await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything, purge=True)
    assert [key for owner, key in shelf.memory.rows if owner == sample.OWNER and key != "quota|"] == [
        files.row_key(other.id)
    ]
    assert list(shelf.blobs.contents) == [f"{sample.OWNER}/{other.id}"]


async def test_a_deleted_file_can_still_be_purged_once() -> None:
    shelf = Shelf()
    await shelf.put()
    await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)
    await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything, purge=True)
    assert not shelf.blobs.contents
    with pytest.raises(NotFoundError):
        await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything, purge=True)


class CrashError(Exception):
    """The process ends here."""


class CrashingTables(MemoryTables):
    """Crashes instead of its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if self.writes_left == 0:
            raise CrashError
        if self.writes_left is not None:
            self.writes_left -= 1
        return await super().apply(changes)


@pytest.mark.parametrize("writes", range(8))
async def test_wherever_a_purge_crashes_the_sweep_ends_it(writes: int) -> None:
    tables = CrashingTables()
    shelf = Shelf(tables=tables)
    shelf.memory = tables
    await with_everything(shelf)
    tables.writes_left = writes
    try:
        await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything, purge=True)
    except CrashError:
        tables.writes_left = None
        if (await shelf.row()).status is not FileStatus.DELETED:
            assert len(shelf.blobs.contents) == 1
            await shelf.removal.delete(sample.OWNER, sample.FILE_ID, wanted=anything)
    tables.writes_left = None
    await shelf.sweep(seconds=KEEP_SECONDS + 1)
    assert not shelf.blobs.contents
    assert {key.partition("|")[0] for owner, key in tables.rows if owner == sample.OWNER} <= {"quota"}


async def test_a_file_deletes_itself_when_its_time_has_come() -> None:
    shelf = Shelf()
    await shelf.put()
    soon = sample.NOW + timedelta(seconds=30)
    await shelf.catalogue.update(sample.OWNER, sample.FILE_ID, FilePatch(expires_at=soon), wanted=anything)
    await shelf.sweep(seconds=29)
    assert (await shelf.row()).status is FileStatus.STORED
    await shelf.sweep(seconds=2)
    assert (await shelf.row()).status is FileStatus.DELETED


@pytest.mark.parametrize("later", [None, sample.NOW + timedelta(seconds=90)])
async def test_an_expiry_that_was_moved_or_removed_is_followed(later: datetime | None) -> None:
    shelf = Shelf()
    await shelf.put()
    for expires_at in (sample.NOW + timedelta(seconds=30), later):
        await shelf.catalogue.update(
            sample.OWNER, sample.FILE_ID, FilePatch(expires_at=expires_at), wanted=anything
        )
    await shelf.sweep(seconds=60)
    assert (await shelf.row()).status is FileStatus.STORED
    await shelf.sweep(seconds=60)
    assert (await shelf.row()).status is (FileStatus.DELETED if later else FileStatus.STORED)


async def test_a_sweep_that_is_quicker_than_the_row_loses_no_expiry() -> None:
    shelf = Shelf()
    before = await shelf.put()
    soon = sample.NOW + timedelta(seconds=1)
    await note(shelf.due, EXPIRY, sample.OWNER, before.id, soon, now=sample.NOW)
    await shelf.sweep(seconds=2)
    row = FilePatch(expires_at=soon).applied(before, sample.NOW)
    await shelf.memory.apply([Replace(files.to_entity(row))])
    await shelf.sweep(seconds=WRITE_SECONDS)
    assert (await shelf.row()).status is FileStatus.DELETED
