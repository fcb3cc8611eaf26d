from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import (
    ConflictError,
    DropbellError,
    InvalidRequestError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaTypeError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files import intake, quota
from shared.files.file import FileStatus
from shared.files.intake import Intake, Upload
from shared.files.publication import Publication
from shared.files.quota import Quota, QuotaPolicy
from shared.ledger.due import DueBook
from shared.ports import Entity, Insert
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, OWNER, chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from shared.ports import BlobProperties, Change

MAX_BYTES = 10
UPLOAD = Upload(OWNER, "a.txt", "text/plain", None, "correlation-1", sample.TRACEPARENT)


class Place:
    def __init__(self, blobs: MemoryBlobs | None = None) -> None:
        self.blobs = blobs or MemoryBlobs()
        self.tables = MemoryTables()
        self.intake = Intake(self.blobs, self.tables, MemoryClock(NOW), max_file_bytes=MAX_BYTES)

    @property
    def is_empty(self) -> bool:
        return not self.blobs.contents and not self.tables.rows


async def test_the_blob_and_the_row_tell_the_same_of_the_file() -> None:
    place = Place()
    file = await place.intake.accept(UPLOAD, chunks(b"hel", b"", b"lo"))
    blob = await place.blobs.properties(f"{OWNER}/{file.id}")
    assert place.blobs.contents == {f"{OWNER}/{file.id}": b"hello"}
    assert file.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert (file.size_bytes, file.status, file.accepted_at) == (5, FileStatus.STORED, NOW)
    assert await intake.find(place.tables, OWNER, file.id) == file
    assert blob is not None
    assert files.from_blob(blob) == replace(file, etag="")


async def test_the_announced_size_may_be_the_largest() -> None:
    file = await Place().intake.accept(
        replace(UPLOAD, announced_size_bytes=MAX_BYTES), chunks(b"x" * MAX_BYTES)
    )
    assert file.size_bytes == MAX_BYTES


@pytest.mark.parametrize(
    ("announced_size_bytes", "parts", "error", "code"),
    [
        (None, (), InvalidRequestError, "body-missing"),
        (None, (b"", b""), InvalidRequestError, "body-missing"),
        (0, (b"x",), InvalidRequestError, "body-missing"),
        (MAX_BYTES + 1, (b"x",), TooLargeError, "too-large"),
        (None, (b"x" * 6, b"x" * 5), TooLargeError, "too-large"),
        (3, (b"x" * (MAX_BYTES + 1),), TooLargeError, "too-large"),
        (5, (b"xxxx",), UploadIncompleteError, "upload-incomplete"),
        (5, (b"xxx", b"xxx"), UploadIncompleteError, "upload-incomplete"),
        (5, (), InvalidRequestError, "body-missing"),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_leaves_nothing(
    announced_size_bytes: int | None, parts: tuple[bytes, ...], error: type[DropbellError], code: str
) -> None:
    place = Place()
    with pytest.raises(error) as caught:
        await place.intake.accept(replace(UPLOAD, announced_size_bytes=announced_size_bytes), chunks(*parts))
    assert getattr(caught.value, "code", None) == code
    assert place.is_empty


async def test_a_file_that_is_announced_too_large_is_refused_before_a_byte_is_read() -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"x"

    with pytest.raises(TooLargeError, match=f"at most {MAX_BYTES} bytes"):
        await Place().intake.accept(replace(UPLOAD, announced_size_bytes=MAX_BYTES + 1), body())
    assert not read


async def test_no_more_is_read_of_a_body_once_it_is_too_large() -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"xxx"

    with pytest.raises(TooLargeError):
        await Place().intake.accept(UPLOAD, endless())
    assert given == 4


@pytest.mark.parametrize("error", [UploadIncompleteError("cut off"), OSError("reset"), KeyboardInterrupt()])
async def test_an_exception_out_of_the_body_passes_through_and_leaves_nothing(error: BaseException) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise error

    place = Place()
    with pytest.raises(type(error)):
        await place.intake.accept(UPLOAD, body())
    assert place.is_empty


class QuickTrigger(MemoryBlobs):
    """The blob trigger sees each blob before its request goes on."""

    tables: MemoryTables

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        made = await super().create(name, content, content_type=content_type, metadata=metadata)
        entity = files.to_entity(files.from_blob(made).moved_to(FileStatus.SETTLED, NOW))
        await self.tables.apply([Insert(entity)])
        return made


async def test_the_request_takes_the_row_that_the_trigger_was_quicker_to_insert() -> None:
    blobs = QuickTrigger()
    place = Place(blobs)
    blobs.tables = place.tables
    file = await place.intake.accept(UPLOAD, chunks(b"hello"))
    assert file.status is FileStatus.SETTLED
    assert file.etag
    assert len(place.tables.rows) == 1


class FailingTables(MemoryTables):
    async def apply(self, changes: object) -> list[str]:
        raise UnavailableError("no answer")


async def test_a_blob_whose_row_could_not_be_written_is_found_by_the_trigger() -> None:
    blobs, tables = MemoryBlobs(), MemoryTables()
    broken = Intake(blobs, FailingTables(), MemoryClock(NOW), max_file_bytes=MAX_BYTES)
    with pytest.raises(UnavailableError):
        await broken.accept(UPLOAD, chunks(b"hello"))
    (name,) = blobs.contents
    clock = MemoryClock(NOW)
    publication = Publication(
        blobs,
        tables,
        clock,
        quota=Quota(tables, QuotaPolicy()),
        content=sample.AnyContent(),
        due=DueBook(tables, clock),
    )
    file = await publication.file_at(name)
    assert file is not None
    assert await intake.find(tables, OWNER, file.id) == file


async def test_a_file_is_found_by_its_owner_only() -> None:
    place = Place()
    file = await place.intake.accept(UPLOAD, chunks(b"hello"))
    assert await intake.find(place.tables, "f" * 32, file.id) is None
    assert await intake.find(place.tables, OWNER, file.id.upper() + "x") is None
    assert await intake.find(place.tables, OWNER, sample.FILE_ID) is None


class NoExecutables:
    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def check_declared(self, content_type: str) -> None:
        if content_type == "application/x-msdownload":
            raise UnsupportedMediaTypeError("not taken", code="content-type-not-allowed")

    def check_content(self, content_type: str, head: bytes) -> None:
        self.heads.append(head)
        if head.startswith(b"MZ"):
            raise UnsupportedMediaTypeError("not taken", code="content-type-not-allowed")


class Guarded(Place):
    """An intake with a content policy and a quota."""

    def __init__(self, blobs: MemoryBlobs | None = None, *, max_bytes: int = 8, max_files: int = 2) -> None:
        super().__init__(blobs)
        self.content = NoExecutables()
        self.quota = Quota(self.tables, QuotaPolicy(max_bytes=max_bytes, max_files=max_files))
        self.intake = Intake(
            self.blobs,
            self.tables,
            MemoryClock(NOW),
            max_file_bytes=10_000,
            content=self.content,
            quota=self.quota,
        )

    @property
    def files(self) -> list[str]:
        return [key for _, key in self.tables.rows if key.startswith("file|")]

    async def counted(self) -> tuple[object, object]:
        row = await self.tables.get(OWNER, quota.ROW_KEY)
        assert row is not None
        return row.values["bytes"], row.values["files"]


def one_byte_each(content: bytes) -> AsyncIterator[bytes]:
    return chunks(*(content[at : at + 1] for at in range(len(content))))


async def test_content_is_looked_at_once_from_its_beginning_and_before_it_is_visible() -> None:
    place = Guarded(max_bytes=100_000)
    for content in (b"MZ", b"MZ" + bytes(intake.HEAD_BYTES)):
        with pytest.raises(UnsupportedMediaTypeError):
            await place.intake.accept(UPLOAD, one_byte_each(content))
    assert place.is_empty
    await place.intake.accept(UPLOAD, chunks(bytes(intake.HEAD_BYTES + 100)))
    assert [len(head) for head in place.content.heads] == [2, intake.HEAD_BYTES, intake.HEAD_BYTES]


async def test_no_more_is_read_of_content_that_is_not_taken() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"MZ" + bytes(intake.HEAD_BYTES)
        raise AssertionError("more was asked for")

    with pytest.raises(UnsupportedMediaTypeError):
        await Guarded().intake.accept(UPLOAD, body())


class Unread:
    """A body that must not be asked for."""

    def __aiter__(self) -> Unread:
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body was read")


async def test_what_is_refused_by_its_type_or_its_size_is_not_read() -> None:
    place = Guarded()
    with pytest.raises(UnsupportedMediaTypeError):
        await place.intake.accept(replace(UPLOAD, content_type="application/x-msdownload"), Unread())
    with pytest.raises(TooLargeError) as caught:
        await place.intake.accept(replace(UPLOAD, announced_size_bytes=9), Unread())
    assert caught.value.code == "quota-exceeded"
    assert place.is_empty


async def test_what_goes_over_the_quota_without_saying_so_is_taken_back() -> None:
    place = Guarded()
    await place.intake.accept(UPLOAD, chunks(b"12345"))
    with pytest.raises(TooLargeError) as caught:
        await place.intake.accept(UPLOAD, chunks(b"1234"))
    assert caught.value.code == "quota-exceeded"
    assert len(place.blobs.contents) == len(place.files) == 1
    await place.intake.accept(UPLOAD, chunks(b"123"))
    with pytest.raises(TooLargeError):
        await place.intake.accept(UPLOAD, Unread())  # two files


async def test_the_quota_holds_for_many_at_once() -> None:
    place = Guarded(max_bytes=30, max_files=100)
    asked = [place.intake.accept(UPLOAD, chunks(b"x" * 5)) for _ in range(10)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, files.File) for each in outcomes) == 6
    assert sum(isinstance(each, TooLargeError) for each in outcomes) == 4
    assert len(place.blobs.contents) == len(place.files) == 6


class LateTrigger(MemoryBlobs):
    """The blob trigger inserts and counts the row, just before the request takes the blob back."""

    quota: Quota

    async def delete(self, name: str) -> None:
        blob = await self.properties(name)
        assert blob is not None
        insert = Insert(files.to_entity(files.from_blob(blob)))
        await self.quota.apply(OWNER, [insert], bytes_delta=blob.size_bytes, files_delta=1)
        await super().delete(name)


async def test_a_row_that_the_trigger_made_of_bytes_taken_back_goes_with_them() -> None:
    blobs = LateTrigger()
    place = Guarded(blobs)
    blobs.quota = Quota(place.tables, QuotaPolicy(max_bytes=100))  # something else was deleted meanwhile
    await place.quota.apply(OWNER, [], bytes_delta=5, files_delta=0)
    with pytest.raises(TooLargeError):
        await place.intake.accept(UPLOAD, chunks(b"1234"))
    assert not blobs.contents
    assert not place.files
    assert await place.counted() == (5, 0)


async def test_a_row_that_the_trigger_inserted_is_counted_once() -> None:
    blobs = QuickTrigger()
    place = Guarded(blobs)
    blobs.tables = place.tables
    await place.quota.apply(OWNER, [], bytes_delta=1, files_delta=0)
    await place.intake.accept(UPLOAD, chunks(b"12345"))
    assert await place.counted() == (1, 0)  # by whoever inserts it, which this trigger leaves out


class Beside:
    """Inserts a row together with the file's."""

    def __init__(self, row_key: str = "beside") -> None:
        self.row = Entity(OWNER, row_key, {"n": 1})
        self.kept = 0

    async def keep(self) -> None:
        self.kept += 1

    def changes(self, file: files.File) -> Sequence[Change]:
        return [Insert(replace(self.row, values={"file_id": file.id}))]


@pytest.mark.parametrize("blobs", [MemoryBlobs, QuickTrigger])
async def test_the_companion_comes_true_together_with_the_file(blobs: type[MemoryBlobs]) -> None:
    place = Place(blobs())
    if isinstance(place.blobs, QuickTrigger):
        place.blobs.tables = place.tables
    companion = Beside()
    file = await place.intake.accept(UPLOAD, one_byte_each(b"hello"), companion=companion)
    row = await place.tables.get(OWNER, "beside")
    assert row is not None
    assert row.values["file_id"] == file.id
    assert companion.kept >= 5


class Overtaken(Beside):
    async def keep(self) -> None:
        await super().keep()
        if self.kept == 3:
            raise ConflictError("overtaken")


async def test_a_request_that_its_companion_stops_leaves_nothing() -> None:
    place = Place()
    with pytest.raises(ConflictError):
        await place.intake.accept(UPLOAD, one_byte_each(b"hello"), companion=Overtaken())
    assert place.is_empty


async def test_two_tries_of_one_request_make_one_file() -> None:
    place = Place()
    upload = replace(UPLOAD, file_id=sample.FILE_ID)
    first = await place.intake.accept(upload, chunks(b"hello"))
    second = await place.intake.accept(replace(upload, correlation_id="2"), chunks(b"other"))
    assert first == second
    assert place.blobs.contents == {f"{OWNER}/{sample.FILE_ID}": b"hello"}


async def test_the_blob_tells_the_labels_too() -> None:
    place = Place()
    file = await place.intake.accept(replace(UPLOAD, labels={"a": "ü"}), chunks(b"hello"))
    assert file.labels == {"a": "ü"}
    assert await place.intake.stored_before(OWNER, file.id) == replace(file, etag="")


async def test_what_is_accepted_is_noted_to_be_looked_at_and_what_is_refused_is_not() -> None:
    place = Place()
    clock = MemoryClock(NOW)
    due = DueBook(place.tables, clock)
    noting = Intake(place.blobs, place.tables, clock, max_file_bytes=MAX_BYTES, due=due)
    looked: list[str] = []

    async def look(_owner: str, file_id: str) -> None:
        looked.append(file_id)

    with pytest.raises(TooLargeError):
        await noting.accept(UPLOAD, chunks(b"x" * (MAX_BYTES + 1)))
    assert place.is_empty
    file = await noting.accept(UPLOAD, chunks(b"hello"))
    clock.advance(files.ANNOUNCE_SECONDS + 1)
    await due.work_off({files.ANNOUNCE: look})
    assert looked == [file.id]


async def test_labels_are_on_the_blob_so_that_whoever_makes_the_row_knows_them() -> None:
    place = Place()
    file = await place.intake.accept(replace(UPLOAD, labels={"projekt": "Größe"}), chunks(b"x"))
    blob = await place.blobs.properties(f"{OWNER}/{file.id}")
    assert blob is not None
    assert files.from_blob(blob).labels == {"projekt": "Größe"}
