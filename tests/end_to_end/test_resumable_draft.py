"""The IETF draft by plain HTTP over the whole stack, in every interop version."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.raw_upload import PARTIAL, Uploader
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.raw_upload import Headers
    from tests.end_to_end.running_stack import RunningStack

HALF = MEBIBYTE // 2
VERSIONS = range(3, 10)


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path, size_bytes=MEBIBYTE + 7)


@pytest.fixture
def alice(stack: RunningStack) -> Uploader:
    return Uploader(stack)


def said(version: int, *, complete: bool) -> Headers:
    """The fields of a request that sends bytes."""
    named = {"upload_draft_interop_version": str(version)}
    if version == 3:
        return named | {"upload_incomplete": f"?{int(not complete)}"}
    return named | {"upload_complete": f"?{int(complete)}"}


def named(file: SentFile) -> Headers:
    return {"content_disposition": f"inline; filename={file.path.name}", "content_type": "audio/wav"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload_draft_interop_version": "2", "upload_complete": "?0"}, 400),
        ({"upload_draft_interop_version": "8"}, 400),
        ({"upload_draft_interop_version": "8", "upload_complete": "yes"}, 400),
        ({"upload_complete": "?0", "content_type": "nonsense"}, 415),
        ({"upload_complete": "?0", "upload_length": str(2**40)}, 413),
        ({"upload_complete": "?1", "upload_length": "9"}, 400),
    ],
)
def test_bad_requests_are_answered_with_a_problem(alice: Uploader, headers: Headers, status: int) -> None:
    answer = alice.send("POST", "", b"ring", **headers)

    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Upload-Complete"] == "?0"


@pytest.mark.parametrize("version", VERSIONS)
def test_begun_continued_and_finished(
    stack: RunningStack, alice: Uploader, file: SentFile, version: int
) -> None:
    made = alice.send("POST", "", file.content[:HALF], **said(version, complete=False), **named(file))
    url = made.headers["Location"]
    state = alice.send("HEAD", url, upload_draft_interop_version=str(version))
    got = alice.send("GET", url, upload_draft_interop_version=str(version))
    given: Headers = {"upload_offset": str(HALF), "content_type": PARTIAL}
    last = alice.send("PATCH", url, file.content[HALF:], **said(version, complete=True), **given)

    flag, complete, incomplete = (
        ("Upload-Incomplete", "?0", "?1") if version == 3 else ("Upload-Complete", "?1", "?0")
    )
    assert made.status_code == 201
    assert (made.headers[flag], made.headers["Upload-Offset"]) == (incomplete, str(HALF))
    assert (got.status_code, got.content) == (204, b"")
    for each in (state, got):
        assert (each.headers[flag], each.headers["Upload-Offset"]) == (incomplete, str(HALF))
        assert "no-store" in each.headers["Cache-Control"]
    assert (last.status_code, last.headers[flag]) == (201, complete)
    told = file.assert_arrived(stack, last.headers["Dropbell-File-Id"])
    assert (told["content_type"], last.json()["id"]) == ("audio/wav", told["id"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_in_one_request(stack: RunningStack, alice: Uploader, file: SentFile, version: int) -> None:
    answer = alice.send("POST", "", file.content, **said(version, complete=True), **named(file))

    assert answer.status_code == 201, answer.text
    file.assert_arrived(stack, answer.headers["Dropbell-File-Id"])


def test_a_client_of_the_rfc_to_be_names_no_version(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    made = alice.send("POST", upload_complete="?0", upload_length=str(len(file.content)), **named(file))
    url = made.headers["Location"]
    given: Headers = {"content_type": PARTIAL, "upload_offset": "0", "upload_complete": "?0"}
    kept = alice.send("PATCH", url, file.content, **given)
    state = alice.send("HEAD", url)
    last = alice.send(
        "PATCH", url, **given | {"upload_offset": str(len(file.content)), "upload_complete": "?1"}
    )

    assert (kept.status_code, kept.headers["Upload-Complete"]) == (204, "?0")
    assert (state.status_code, state.headers["Upload-Complete"]) == (204, "?0")
    assert state.headers["Upload-Length"] == str(len(file.content))
    assert "max-age=" in state.headers["Upload-Limit"]
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])
    assert alice.send("DELETE", url).status_code == 204
    assert alice.send("HEAD", url).status_code in {404, 410}


def test_a_digest_of_the_whole_that_is_wrong_makes_no_file(alice: Uploader, file: SentFile) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"another").digest()).decode()

    answer = alice.send("POST", "", file.content, upload_complete="?1", repr_digest=f"sha-256=:{wrong}:")

    assert (answer.status_code, answer.headers["Upload-Complete"]) == (422, "?1")
    assert answer.json()["type"] == "/api/problems/digest-mismatch"


def test_an_upload_begun_by_one_protocol_goes_on_by_the_other(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    made = alice.send("POST", "", file.content[:HALF], upload_complete="?0", **named(file))
    url = made.headers["Location"]
    assert alice.offset(url) == HALF

    last = alice.append(url, HALF, file.content[HALF:], upload_length=str(len(file.content)))

    assert last.status_code == 204
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])
    assert alice.send("HEAD", url).headers["Upload-Complete"] == "?1"
