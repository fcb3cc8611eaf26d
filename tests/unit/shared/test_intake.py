from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import (
    DropbellError,
    InvalidRequestError,
    TooLargeError,
    UnavailableError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files import intake
from shared.files.file import FileStatus
from shared.files.intake import Intake, Upload
from shared.ports import Insert
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, OWNER, chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from shared.ports import BlobProperties

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
    blob = await blobs.properties(name)
    assert blob is not None
    file = await intake.catalogued(tables, files.from_blob(blob))
    assert await intake.find(tables, OWNER, file.id) == file


async def test_a_file_is_found_by_its_owner_only() -> None:
    place = Place()
    file = await place.intake.accept(UPLOAD, chunks(b"hello"))
    assert await intake.find(place.tables, "f" * 32, file.id) is None
    assert await intake.find(place.tables, OWNER, file.id.upper() + "x") is None
    assert await intake.find(place.tables, OWNER, sample.FILE_ID) is None
