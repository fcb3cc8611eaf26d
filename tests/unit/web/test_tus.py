"""Reading and writing the header fields of tus."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from starlette.datastructures import Headers

from shared.errors import (
    ConflictError,
    InvalidRequestError,
    PermissionDeniedError,
    UnsupportedMediaTypeError,
)
from shared.files.appending import Checksum
from shared.files.upload import Upload, UploadKind, UploadStatus
from shared.files.upload_errors import OffsetMismatchError
from shared.web import tus
from shared.web.tus import Metadata, Tus, UnsupportedVersionError, read_checksum, read_concat
from shared.web.upload_protocol import Fields

if TYPE_CHECKING:
    from shared.web.upload_protocol import Append, Creation

UPLOAD_ID = "019cacff-0000-7000-8000-000000000001"
UPLOAD = Upload(
    id=UPLOAD_ID,
    owner="o",
    kind=UploadKind.RESUMABLE,
    status=UploadStatus.OPEN,
    name="a",
    content_type="text/plain",
    length_bytes=10,
    correlation_id="c",
    traceparent="t",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    updated_at=datetime(2026, 3, 1, tzinfo=UTC),
    expires_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    offset_bytes=4,
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def creation(**headers: str) -> Creation:
    return Tus("1.0.0").creation(fields(**headers))


def append(**headers: str) -> Append:
    return Tus("1.0.0").append(fields(**{"content_type": tus.MEDIA_TYPE, "upload_offset": "0"} | headers))


def fields(**headers: str) -> Fields:
    return Fields(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


# Bad input


@pytest.mark.parametrize("version", ["", "0.2.2", "1.0", "1.0.0, 1.0.0", "2.0.0"])
def test_another_version_is_refused_with_the_right_one(version: str) -> None:
    with pytest.raises(UnsupportedVersionError) as refused:
        Tus(version)
    assert (refused.value.status, refused.value.headers) == (412, {"Tus-Version": "1.0.0"})


@pytest.mark.parametrize(
    "text",
    [
        "filename not-base64!",
        "filename YQ",  # without its padding
        "filename YQ==,filename YQ==",
        "filename YQ==,",
        ",filename YQ==",
        "file\tname YQ==",
        "fïlename YQ==",
        "filename YQ== YQ==",
        "filename YQ==\x00",
        "filename YQ==\x1c",
        "filename YQ==\xa0",
        "x" * 8193,
    ],
)
def test_metadata_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Metadata.read(text)


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "a\\b", "a\x00b", ".", "x" * 256])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        creation(upload_length="1", upload_metadata=f"filename {encoded(name)}")
    assert refused.value.code == "invalid-name"


def test_a_name_in_no_known_encoding_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        creation(upload_length="1", upload_metadata=f"filename {base64.b64encode(b'\xff').decode()}")


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        creation(upload_length="1", upload_metadata=f"filetype {encoded('a type')}")


@pytest.mark.parametrize(
    "text", ["", "sha1", "sha1 ", "sha1  ", "sha1 ???", "crc32 AAAA", "SHA1 AAAA", "md4 AAAA", "sha1,AAAA"]
)
def test_a_checksum_that_cannot_be_checked_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_checksum(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "part",
        "partial;",
        "final",
        "final;",
        "final; ",
        "final;a",
        "final;/api/v1/files/a",
        "final;/uploads/a/b",
        "final;http://[/uploads/a",
        "Final;/uploads/a",
        "final;/uploads/a\x1c/uploads/b",
        "final;/ü/uploads/a",
        f"final;{'/' * 16_384}uploads/a",
    ],
)
def test_a_concatenation_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_concat(text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"upload_length": "-1"},
        {"upload_length": "1.5"},
        {"upload_length": "٣"},
        {"upload_length": "1, 1"},
        {"upload_length": "9" * 19},
        {"upload_defer_length": "0"},
        {"upload_defer_length": "true"},
        {"upload_length": "1", "upload_defer_length": "1"},
        {"upload_concat": "final;/uploads/a", "upload_length": "1"},
        {"upload_concat": "final;/uploads/a", "upload_defer_length": "1"},
        {"upload_concat": "final;/uploads/a", "content_length": "1"},
        {"upload_length": "1", "content_length": "x", "content_type": tus.MEDIA_TYPE},
    ],
    ids=str,
)
def test_a_creation_that_makes_no_sense_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        creation(**{name: value.encode().decode("latin-1") for name, value in headers.items()})


@pytest.mark.parametrize("offset", ["", "-1", "a", "0x1", "1, 2"])
def test_an_offset_that_is_no_number_is_refused(offset: str) -> None:
    with pytest.raises(InvalidRequestError):
        append(upload_offset=offset)


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "application/partial-upload", ";"])
def test_bytes_of_another_type_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as refused:
        append(content_type=content_type)
    assert refused.value.headers == {"Accept-Patch": tus.MEDIA_TYPE}
    with pytest.raises(UnsupportedMediaTypeError):
        creation(upload_length="9", content_length="1", content_type=content_type)


# What is read


@pytest.mark.parametrize(
    ("pairs", "name", "content_type"),
    [
        ("filename {a}", "a.txt", None),
        ("name {a},type {t}", "a.txt", "text/css"),
        ("name eA==,filename {a},contentType {t}", "a.txt", "text/css"),
        ("filename {a}, filetype {t}", "a.txt", "text/css"),
        ("filename,filetype", None, None),
        ("filename ,name {a}", "a.txt", None),
        ("is_confidential", None, None),
    ],
)
def test_what_clients_call_the_name_and_the_type(pairs: str, name: str | None, content_type: str) -> None:
    metadata = Metadata.read(pairs.format(a=encoded("a.txt"), t=encoded("text/css")))
    assert (metadata.name, metadata.content_type) == (name, content_type)


def test_a_creation_without_metadata_has_a_name_and_a_type() -> None:
    made = creation(upload_length="7")
    assert (made.name, made.content_type, made.length_bytes) == ("unnamed", "application/octet-stream", 7)
    assert made.first is None


def test_a_length_can_be_told_later() -> None:
    assert creation(upload_defer_length="1").length_bytes is None
    assert append(upload_length="12").length_bytes == 12


@pytest.mark.parametrize("body", [{"content_length": "3"}, {"transfer_encoding": "chunked"}])
def test_first_bytes_come_along(body: dict[str, str]) -> None:
    first = creation(
        upload_length="7", content_type=tus.MEDIA_TYPE, upload_checksum="sha1 YQ==", **body
    ).first
    assert first is not None
    assert (first.offset_bytes, first.complete, first.checksum) == (0, None, Checksum("sha1", b"a"))


def test_a_body_of_unknown_length_and_type_is_none() -> None:
    assert creation(upload_length="7", transfer_encoding="chunked").first is None


def test_parts_are_named_by_absolute_and_relative_urls() -> None:
    urls = f"/api/v1/uploads/{UPLOAD_ID} https://bell.example/api/v1/uploads/b uploads/c"
    assert read_concat(f"final;{urls}") == (False, (UPLOAD_ID, "b", "c"))
    assert read_concat("partial") == (True, ())


def test_a_content_digest_does_as_a_checksum() -> None:
    assert append(content_digest=f"sha-256=:{base64.b64encode(b'd' * 32).decode()}:").checksum == Checksum(
        "sha256", b"d" * 32
    )


# What is answered


def test_metadata_and_concatenation_are_told_again_as_they_were_sent() -> None:
    sent = {
        "upload_metadata": "filename YQ==, is_confidential",
        "upload_concat": "final;/uploads/a /uploads/b",
    }
    kept = replace(UPLOAD, client_metadata=creation(**sent).client_metadata)
    told = Tus("1.0.0").state(kept).headers
    assert (told["Upload-Metadata"], told["Upload-Concat"]) == tuple(sent.values())


def test_a_part_is_told_to_be_one() -> None:
    kept = replace(
        UPLOAD, client_metadata=creation(upload_length="3", upload_concat="partial").client_metadata
    )
    told = Tus("1.0.0").state(kept).headers
    assert told["Upload-Concat"] == "partial"
    assert "Upload-Metadata" not in told


def test_an_unfinished_upload_tells_when_it_expires() -> None:
    told = Tus("1.0.0").appended(UPLOAD)
    assert (told.status, told.headers) == (
        204,
        {"Upload-Offset": "4", "Upload-Expires": "Mon, 02 Mar 2026 12:00:00 GMT"},
    )


def test_a_finished_upload_tells_its_file_and_a_part_has_none() -> None:
    done = replace(UPLOAD, status=UploadStatus.FINISHED, offset_bytes=10)
    assert Tus("1.0.0").appended(done).headers == {"Upload-Offset": "10", "Dropbell-File-Id": UPLOAD_ID}
    assert Tus("1.0.0").appended(replace(done, partial=True)).headers == {"Upload-Offset": "10"}


def test_an_unknown_length_is_said_to_be_deferred() -> None:
    told = Tus("1.0.0").state(replace(UPLOAD, length_bytes=None)).headers
    assert told["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in told


def test_a_conflict_tells_the_offset() -> None:
    protocol = Tus("1.0.0")
    assert protocol.worded(OffsetMismatchError(4, 9), UPLOAD).headers == {"Upload-Offset": "4"}
    done = replace(UPLOAD, status=UploadStatus.FINISHED, offset_bytes=10)
    assert protocol.worded(ConflictError("x", code="upload-complete"), done).headers == {
        "Upload-Offset": "10"
    }
    assert protocol.worded(ConflictError("x", code="upload-overtaken"), done).headers == {}


def test_a_joined_upload_takes_no_bytes() -> None:
    joined = replace(UPLOAD, status=UploadStatus.FINISHED, parts=("a", "b"))
    assert isinstance(
        Tus("1.0.0").worded(ConflictError("x", code="upload-complete"), joined), PermissionDeniedError
    )


def test_the_capabilities_are_told() -> None:
    assert tus.capabilities(1000) == {
        "Tus-Resumable": "1.0.0",
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,creation-with-upload,creation-defer-length,"
        "checksum,expiration,termination,concatenation",
        "Tus-Max-Size": "1000",
        "Tus-Checksum-Algorithm": "sha1,sha256,sha512,md5",
    }
