"""Reading and writing the header fields of the IETF draft, in each of its revisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryClock
from shared.errors import (
    ChecksumMismatchError,
    ConflictError,
    InvalidRequestError,
    ProblemError,
    TooLargeError,
    UnprocessableError,
    UnsupportedMediaTypeError,
)
from shared.files.upload import UploadStatus
from shared.files.upload_errors import OffsetMismatchError
from shared.web.resumable_draft import (
    MEDIA_TYPE,
    NEWEST,
    REVISIONS,
    Draft,
    Revision,
    is_spoken,
    on_every_answer,
    revision_of,
)
from tests.unit.web.test_tus import UPLOAD, UPLOAD_ID, encoded, fields

if TYPE_CHECKING:
    from shared.web.upload_protocol import Append, Creation

NEW = (7, 8, 9)
OLD = (3, 4, 5, 6)
CLOCK = MemoryClock(UPLOAD.expires_at - timedelta(seconds=90))
DONE = replace(UPLOAD, status=UploadStatus.FINISHED, offset_bytes=10)


def draft(version: int = 9) -> Draft:
    return Draft(REVISIONS[version], CLOCK, max_size_bytes=1000)


def creation(version: int = 9, **headers: str) -> Creation:
    return draft(version).creation(fields(**headers))


def append(version: int = 9, **headers: str) -> Append:
    given = {"content_type": MEDIA_TYPE, "upload_offset": "0", "upload_complete": "?0"} | headers
    return draft(version).append(fields(**{name: value for name, value in given.items() if value}))


# Bad input


@pytest.mark.parametrize("version", ["2", "10", "0", "-9", "9.0", "nine", "", "9, 9", "?1"])
def test_a_revision_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(InvalidRequestError, match="3, 4, 5, 6, 7, 8, 9"):
        revision_of(fields(upload_draft_interop_version=version))


@pytest.mark.parametrize("flag", ["", "1", "true", "?2", "?1, ?1", '"?1"', "?"])
def test_a_flag_that_is_none_counts_as_if_it_was_not_sent(flag: str) -> None:
    with pytest.raises(InvalidRequestError, match="Upload-Complete is missing"):
        creation(upload_complete=flag)
    with pytest.raises(InvalidRequestError, match="Upload-Complete is missing"):
        append(upload_complete=flag)


@pytest.mark.parametrize("offset", ["", "-1", "1.0", "?1", '"1"', "1, 1", "0x1"])
def test_an_offset_that_is_none_counts_as_if_it_was_not_sent(offset: str) -> None:
    with pytest.raises(InvalidRequestError, match="Upload-Offset is missing"):
        append(upload_offset=offset)


@pytest.mark.parametrize("length", ["-1", "ten", "1.5"])
def test_a_length_that_is_none_counts_as_if_it_was_not_sent(length: str) -> None:
    assert creation(upload_complete="?0", upload_length=length).length_bytes is None


@pytest.mark.parametrize(
    "headers",
    [
        {"content_disposition": 'inline; filename="../x"'},
        {"content_disposition": "inline; filename*=UTF-8''a%2Fb"},
        {"upload_metadata": f"filename {encoded('a/b')}"},
    ],
    ids=str,
)
def test_a_name_that_no_file_can_have_is_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        creation(upload_complete="?0", **headers)
    assert refused.value.code == "invalid-name"


def test_two_lengths_that_differ_are_refused() -> None:
    for read in (
        lambda: creation(upload_complete="?1", content_length="5", upload_length="6"),
        lambda: append(upload_complete="?1", upload_offset="5", content_length="5", upload_length="5"),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            read()
        assert refused.value.code == "inconsistent-length"
        assert str(refused.value.type_uri).endswith("#inconsistent-upload-length")


@pytest.mark.parametrize("version", [6, 7, 8, 9])
@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "application/offset+octet-stream"])
def test_bytes_of_another_type_are_refused(version: int, content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as refused:
        append(version, content_type=content_type)
    assert refused.value.headers == {"Accept-Patch": MEDIA_TYPE}


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        (3, {"upload-offset", "upload-incomplete"}),
        (4, {"upload-offset", "upload-complete"}),
        (5, {"upload-offset", "upload-complete"}),
        (6, {"upload-offset", "upload-complete", "upload-length"}),
        (7, set()),
        (8, set()),
        (9, set()),
    ],
)
def test_old_revisions_refuse_fields_where_nothing_is_sent(version: int, refused: set[str]) -> None:
    for name in ("upload-offset", "upload-complete", "upload-incomplete", "upload-length"):
        if name in refused:
            with pytest.raises(InvalidRequestError, match="no place"):
                draft(version).check_bare(fields(**{name: "0"}))
        else:
            draft(version).check_bare(fields(**{name: "0"}))


# Which revision


@pytest.mark.parametrize("version", REVISIONS)
def test_the_revision_that_is_named_counts(version: int) -> None:
    named = fields(upload_draft_interop_version=str(version), upload_complete="?1")
    assert revision_of(named) is REVISIONS[version]


@pytest.mark.parametrize(
    ("headers", "revision"),
    [
        ({}, NEWEST),
        ({"upload_complete": "?1"}, NEWEST),
        ({"upload_incomplete": "?1"}, REVISIONS[3]),
        ({"upload_incomplete": "?0", "upload_complete": "?1"}, NEWEST),
    ],
    ids=str,
)
def test_without_a_name_it_is_the_newest_that_knows_the_fields(
    headers: dict[str, str], revision: Revision
) -> None:
    assert revision_of(fields(**headers)) is revision


@pytest.mark.parametrize(
    ("headers", "spoken"),
    [
        ({}, False),
        ({"upload_length": "5"}, False),
        ({"content_type": "application/octet-stream"}, False),
        ({"upload_complete": "?0"}, True),
        ({"upload_incomplete": "?0"}, True),
        ({"upload_draft_interop_version": "9"}, True),
        ({"content_type": "Application/Partial-Upload; a=b"}, True),
    ],
    ids=str,
)
def test_the_draft_is_told_by_its_fields(headers: dict[str, str], spoken: bool) -> None:
    assert is_spoken(fields(**headers)) is spoken


# What is read


@pytest.mark.parametrize("version", REVISIONS)
def test_a_creation_says_whether_all_bytes_come_along(version: int) -> None:
    flag, values = ("upload_incomplete", ("?0", "?1")) if version == 3 else ("upload_complete", ("?1", "?0"))
    for value, complete in zip(values, (True, False), strict=True):
        made = creation(version, **{flag: value}, content_length="5")
        assert made.first is not None
        assert (made.first.complete, made.length_bytes) == (complete, 5 if complete else None)


@pytest.mark.parametrize(("flag", "first"), [("?0", False), ("?1", True)])
def test_a_creation_can_bring_nothing(flag: str, first: bool) -> None:
    made = creation(upload_complete=flag, content_length="0")
    assert (made.first is not None) is first


@pytest.mark.parametrize(("version", "complete"), [(3, True), (4, False), (5, False), (6, False)])
def test_what_an_append_without_the_flag_means(version: int, complete: bool) -> None:
    assert append(version, upload_complete="").complete is complete


@pytest.mark.parametrize("version", [3, 4, 5])
def test_before_the_sixth_an_append_needs_no_type(version: int) -> None:
    assert append(version, content_type="").offset_bytes == 0


def test_the_last_append_tells_the_length() -> None:
    assert append(upload_complete="?1", upload_offset="7", content_length="3").length_bytes == 10
    assert append(upload_complete="?1", upload_offset="7", transfer_encoding="chunked").length_bytes is None
    assert append(upload_complete="?0", upload_offset="7", content_length="3").length_bytes is None
    assert append(upload_complete="?0", upload_offset="7", upload_length="99").length_bytes == 99


def test_parameters_of_a_field_are_passed_over() -> None:
    assert append(upload_complete="?1;a=1", upload_offset="7;b").offset_bytes == 7


def test_name_and_type_are_those_of_the_representation() -> None:
    made = creation(
        upload_complete="?1", content_disposition='inline; filename="a.css"', content_type="text/css"
    )
    assert (made.name, made.content_type) == ("a.css", "text/css")


def test_name_and_type_can_come_as_tus_clients_send_them() -> None:
    metadata = f"filename {encoded('a.css')},filetype {encoded('text/css')}"
    for content_type in ({}, {"content_type": MEDIA_TYPE}):
        made = creation(5, upload_complete="?0", upload_metadata=metadata, **content_type)
        assert (made.name, made.content_type, made.client_metadata) == ("a.css", "text/css", metadata)
    made = creation(
        upload_complete="?0", content_disposition='inline; filename="b"', upload_metadata=metadata
    )
    assert made.name == "b"


def test_without_either_they_are_unknown() -> None:
    made = creation(upload_complete="?1")
    assert (made.name, made.content_type) == ("unnamed", "application/octet-stream")


# What is answered


@pytest.mark.parametrize(
    ("version", "flag", "limit", "kept"),
    [
        (3, {"Upload-Incomplete": "?1"}, None, 201),
        (4, {"Upload-Complete": "?0"}, None, 201),
        (5, {"Upload-Complete": "?0"}, None, 201),
        (6, {"Upload-Complete": "?0"}, "max-size=1000, expires=90", 201),
        (7, {"Upload-Complete": "?0"}, "max-size=1000, max-age=90", 204),
        (8, {"Upload-Complete": "?0"}, "max-size=1000, max-age=90", 204),
        (9, {"Upload-Complete": "?0"}, "max-size=1000, max-age=90", 204),
    ],
)
def test_the_answer_to_an_append(version: int, flag: dict[str, str], limit: str | None, kept: int) -> None:
    told = draft(version).appended(UPLOAD)
    assert (told.status, told.with_file) == (kept, False)
    expected = {"Upload-Offset": "4"} | flag | ({"Upload-Limit": limit} if limit else {})
    assert told.headers == expected


@pytest.mark.parametrize("version", REVISIONS)
def test_the_last_answer_is_that_of_a_creation(version: int) -> None:
    for told in (draft(version).appended(DONE), draft(version).created(DONE)):
        assert (told.status, told.with_file) == (201, True)
        assert told.headers["Dropbell-File-Id"] == UPLOAD_ID
        assert told.headers["Upload-Offset"] == "10"
        assert told.headers.get("Upload-Complete", "?1") == "?1"
        assert told.headers.get("Upload-Incomplete", "?0") == "?0"


@pytest.mark.parametrize("version", REVISIONS)
def test_a_creation_is_answered_with_the_address(version: int) -> None:
    told = draft(version).created(UPLOAD)
    assert (told.status, told.headers["Location"]) == (201, f"/api/v1/uploads/{UPLOAD_ID}")


def test_the_state() -> None:
    told = draft().state(UPLOAD)
    assert (told.status, told.headers) == (
        204,
        {
            "Upload-Offset": "4",
            "Upload-Complete": "?0",
            "Upload-Length": "10",
            "Upload-Limit": "max-size=1000, max-age=90",
        },
    )
    assert "Upload-Length" not in draft().state(replace(UPLOAD, length_bytes=None)).headers


def test_another_offset_is_answered_with_the_registered_problem() -> None:
    told = draft().worded(OffsetMismatchError(4, 9), UPLOAD)
    assert told.status == 409
    assert told.type_uri == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    assert told.extensions == {"expected-offset": 4, "provided-offset": 9}
    assert told.headers == {"Upload-Offset": "4", "Upload-Complete": "?0"}


@pytest.mark.parametrize(("version", "problem"), [(8, "completed-upload"), (9, "inconsistent-upload-length")])
def test_bytes_after_the_end_are_answered_with_the_registered_problem(version: int, problem: str) -> None:
    told = draft(version).worded(ConflictError("x", code="upload-complete"), DONE)
    assert (told.status, told.code) == (400, "upload-complete")
    assert told.type_uri == f"https://iana.org/assignments/http-problem-types#{problem}"
    assert told.headers == {"Upload-Offset": "10", "Upload-Complete": "?0"}


def test_a_writer_that_was_overtaken_is_told_so_even_if_the_upload_is_complete_by_now() -> None:
    told = draft().worded(ConflictError("x", code="upload-overtaken"), DONE)
    assert (told.status, told.code, told.headers) == (409, "upload-overtaken", {"Upload-Complete": "?0"})


def test_another_length_is_answered_with_the_registered_problem() -> None:
    told = draft().worded(InvalidRequestError("x", code="inconsistent-length"), UPLOAD)
    assert told.type_uri == "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"


def test_a_checksum_has_no_status_of_its_own() -> None:
    told = draft().worded(ChecksumMismatchError("x"), UPLOAD)
    assert (told.status, told.code, told.headers) == (422, "digest-mismatch", {"Upload-Complete": "?0"})


@pytest.mark.parametrize("version", [6, 7, 8, 9])
def test_too_much_is_answered_with_the_limit(version: int) -> None:
    assert draft(version).worded(TooLargeError("x"), None).headers["Upload-Limit"] == "max-size=1000"


@pytest.mark.parametrize(
    ("version", "status", "flag"),
    [
        (9, UploadStatus.REJECTED, {"Upload-Complete": "?1"}),
        (9, UploadStatus.OPEN, {"Upload-Complete": "?0"}),
        (3, UploadStatus.REJECTED, {"Upload-Incomplete": "?0"}),
        (3, UploadStatus.OPEN, {"Upload-Incomplete": "?1"}),
    ],
)
def test_an_error_says_whether_going_on_would_help(
    version: int, status: UploadStatus, flag: dict[str, str]
) -> None:
    error: ProblemError = UnprocessableError("x")
    assert draft(version).worded(error, replace(UPLOAD, status=status)).headers == flag


def test_every_answer_names_the_revision_and_every_error_says_incomplete() -> None:
    spoken = fields(upload_draft_interop_version="3")
    assert on_every_answer(spoken, 201) == {"Upload-Draft-Interop-Version": "3"}
    assert on_every_answer(spoken, 401) == {
        "Upload-Draft-Interop-Version": "3",
        "Upload-Incomplete": "?1",
    }
    assert on_every_answer(fields(upload_complete="?1"), 500) == {"Upload-Complete": "?0"}
    assert on_every_answer(fields(upload_draft_interop_version="10"), 400)["Upload-Complete"] == "?0"
