from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.files import file as files
from shared.files.file import TRANSITIONS, FileStatus
from shared.ports import BlobProperties
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW

instants = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@given(instants)
def test_a_file_id_is_a_uuid_of_version_7_that_holds_the_time(now: datetime) -> None:
    value = uuid.UUID(files.new_file_id(now))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(now.timestamp() * 1000)


def test_ids_made_in_the_same_instant_differ() -> None:
    assert len({files.new_file_id(NOW) for _ in range(1000)}) == 1000


@given(instants, instants)
def test_younger_files_sort_first(one: datetime, other: datetime) -> None:
    older, younger = sorted((one, other))
    if younger - older < timedelta(milliseconds=1):
        return
    assert files.row_key(files.new_file_id(younger)) < files.row_key(files.new_file_id(older))


def test_row_keys_have_one_length_so_that_they_sort_as_numbers() -> None:
    assert len({len(files.newest_first(str(uuid.UUID(int=n)))) for n in (0, 1, 1 << 64, (1 << 128) - 1)}) == 1


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        (sample.FILE_ID, True),
        (sample.FILE_ID.upper().replace("0", "A"), False),
        (sample.FILE_ID.replace("-", ""), False),
        ("{" + sample.FILE_ID + "}", False),
        ("urn:uuid:" + sample.FILE_ID, False),
        ("\u0660" + sample.FILE_ID[1:], False),
        (sample.FILE_ID + "\n", False),
        ("", False),
        ("../x", False),
    ],
)
def test_an_id_has_one_spelling(text: str, is_id: bool) -> None:
    assert files.is_file_id(text) is is_id


@pytest.mark.parametrize("before", FileStatus)
@pytest.mark.parametrize("after", FileStatus)
def test_only_steps_of_the_table_are_taken(before: FileStatus, after: FileStatus) -> None:
    file = sample.file(status=before)
    if after in TRANSITIONS[before]:
        assert file.moved_to(after, NOW).status is after
    else:
        with pytest.raises(ValueError, match="cannot go from"):
            file.moved_to(after, NOW)


def test_each_step_leaves_its_time() -> None:
    announced = sample.file().moved_to(FileStatus.ANNOUNCED, NOW)
    settled = announced.moved_to(FileStatus.SETTLED, NOW + timedelta(seconds=9))
    assert (announced.announced_at, announced.settled_at) == (NOW, None)
    assert (settled.announced_at, settled.settled_at) == (NOW, NOW + timedelta(seconds=9))
    assert settled.updated_at == settled.settled_at


def test_a_file_that_nobody_wants_is_announced_and_settled_at_once() -> None:
    settled = sample.file().moved_to(FileStatus.SETTLED, NOW)
    assert settled.announced_at == settled.settled_at == NOW


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"labels": {"project": "x", "ünï": "c"}},
        {"status": FileStatus.ANNOUNCED, "announced_at": NOW},
        {"status": FileStatus.SETTLED, "announced_at": NOW, "settled_at": NOW},
        {"size_bytes": 2**40, "name": "日本語", "etag": 'W/"7"'},
    ],
)
def test_the_row_gives_the_file_back(changes: dict[str, object]) -> None:
    file = sample.file(**changes)
    assert files.from_entity(files.to_entity(file)) == file


def test_a_row_whose_time_is_no_time_is_not_read() -> None:
    entity = files.to_entity(sample.file())
    with pytest.raises(TypeError):
        files.from_entity(replace(entity, values={**entity.values, "stored_at": "yesterday"}))


def blob(**changes: object) -> BlobProperties:
    file = sample.file()
    metadata = files.to_blob_metadata(
        file.name,
        sha256=file.sha256,
        correlation_id=file.correlation_id,
        traceparent=file.traceparent,
        accepted_at=file.accepted_at,
        stored_at=file.stored_at,
    )
    made = BlobProperties(files.blob_name(file.owner, file.id), '"1"', 5, file.content_type, metadata)
    return replace(made, **changes)  # type: ignore[arg-type]  # any field


def test_the_blob_alone_gives_the_file_back() -> None:
    assert files.from_blob(blob()) == sample.file()


def test_blob_metadata_is_ascii() -> None:
    assert all(f"{key}{value}".isascii() for key, value in blob().metadata.items())


@pytest.mark.parametrize(
    "name", ["", "x", "/", f"{sample.OWNER}/report.pdf", f"{sample.OWNER}/a/{sample.FILE_ID}"]
)
def test_a_blob_of_another_name_is_not_ours(name: str) -> None:
    with pytest.raises(ValueError, match="file id"):
        files.from_blob(blob(name=name))


@pytest.mark.parametrize("missing", blob().metadata)
def test_a_blob_without_our_metadata_is_not_ours(missing: str) -> None:
    metadata = {key: value for key, value in blob().metadata.items() if key != missing}
    with pytest.raises(ValueError, match=missing):
        files.from_blob(blob(metadata=metadata))


@pytest.mark.parametrize("field", ["accepted_at", "stored_at"])
def test_a_blob_with_a_time_that_is_none_is_not_ours(field: str) -> None:
    with pytest.raises(ValueError, match="isoformat"):
        files.from_blob(blob(metadata={**blob().metadata, field: "yesterday"}))
