"""tus 1.0 by plain HTTP over the whole stack, each extension once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
import requests

from tests.end_to_end.raw_upload import OFFSET, Uploader, checksum, encoded
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.raw_upload import Headers
    from tests.end_to_end.running_stack import RunningStack

HALF = MEBIBYTE // 2


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path, size_bytes=MEBIBYTE + 7)


@pytest.fixture
def alice(stack: RunningStack) -> Uploader:
    return Uploader(stack)


def named(file: SentFile) -> Headers:
    return {"upload_metadata": f"filename {encoded(file.path.name.encode())}"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 400),
        ("POST", {"tus_resumable": "0.2.2", "upload_length": "5"}, 412),
        ("POST", {"tus_resumable": "1.0.0"}, 400),
        ("POST", {"tus_resumable": "1.0.0", "upload_length": str(2**40)}, 413),
        ("POST", {"tus_resumable": "1.0.0", "upload_length": "5", "upload_metadata": "filename ?"}, 400),
        ("PATCH", {"tus_resumable": "1.0.0", "upload_offset": "0"}, 415),
        ("PATCH", {"tus_resumable": "1.0.0", "content_type": OFFSET}, 400),
        ("PATCH", {"tus_resumable": "1.0.0", "content_type": OFFSET, "upload_offset": "3"}, 409),
    ],
)
def test_bad_requests_are_answered_with_a_problem(
    alice: Uploader, method: str, headers: Headers, status: int
) -> None:
    url = alice.begin(5) if method == "PATCH" else ""

    answer = alice.send(method, url, **headers)

    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert answer.headers.get("Tus-Resumable") == ("1.0.0" if "tus_resumable" in headers else None)


@pytest.mark.parametrize("path", ["/uploads", "/uploads/019cacff-0000-7000-8000-000000000001"])
def test_options_tells_what_is_spoken(stack: RunningStack, path: str) -> None:
    answer = requests.options(stack.url(path), timeout=HTTP_TIMEOUT_SECONDS)

    assert answer.status_code in {200, 204}
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert "concatenation" in answer.headers["Tus-Extension"]
    assert answer.headers["Tus-Checksum-Algorithm"].startswith("sha1,")
    assert answer.headers["Upload-Limit"] == f"max-size={answer.headers['Tus-Max-Size']}"


def test_begun_continued_and_finished(stack: RunningStack, alice: Uploader, file: SentFile) -> None:
    url = alice.begin(len(file.content), **named(file))
    first = alice.append(url, 0, file.content[:HALF])
    state = alice.send("HEAD", url, tus_resumable="1.0.0")
    last = alice.append(url, HALF, file.content[HALF:])

    assert (first.status_code, first.headers["Upload-Offset"]) == (204, str(HALF))
    assert first.headers["Upload-Expires"].endswith(" GMT")
    assert state.headers["Upload-Metadata"] == named(file)["upload_metadata"]
    assert "no-store" in state.headers["Cache-Control"]
    assert last.status_code == 204
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])
    assert alice.offset(url) == len(file.content)


def test_an_empty_file(stack: RunningStack, alice: Uploader) -> None:
    answer = alice.send("POST", tus_resumable="1.0.0", upload_length="0")

    file = stack.get(f"/files/{answer.headers['Dropbell-File-Id']}").json()
    assert (file["size_bytes"], file["sha256"]) == (0, hashlib.sha256().hexdigest())


def test_a_length_that_is_told_later(stack: RunningStack, alice: Uploader, file: SentFile) -> None:
    made = alice.send("POST", tus_resumable="1.0.0", upload_defer_length="1", **named(file))
    url = made.headers["Location"]
    alice.append(url, 0, file.content[:HALF])
    assert alice.send("HEAD", url, tus_resumable="1.0.0").headers["Upload-Defer-Length"] == "1"

    last = alice.append(url, HALF, file.content[HALF:], upload_length=str(len(file.content)))

    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])


def test_a_wrong_checksum_and_then_the_right_one(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    url = alice.begin(len(file.content), **named(file))
    right = checksum("sha1", file.content)

    refused = alice.append(url, 0, bytes(len(file.content)), upload_checksum=right)
    assert (refused.status_code, alice.offset(url)) == (460, 0)
    assert alice.append(url, 0, b"x", upload_checksum="crc32 AAAA").status_code == 400

    last = alice.append(url, 0, file.content, upload_checksum=right)
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])


def test_parts_with_absolute_and_relative_addresses_become_one_file(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    urls = []
    for part in (file.content[:HALF], file.content[HALF:]):
        given: Headers = {"upload_length": str(len(part)), "upload_concat": "partial", "content_type": OFFSET}
        made = alice.send("POST", "", part, tus_resumable="1.0.0", **given)
        assert made.headers["Upload-Offset"] == str(len(part))
        urls.append(made.headers["Location"])
    assert Uploader(stack, "bob").send("HEAD", urls[0], tus_resumable="1.0.0").status_code == 404
    concat = f"final;{urljoin(stack.url('/uploads'), urls[0])} {urls[1]}"

    joined = alice.send("POST", tus_resumable="1.0.0", upload_concat=concat, **named(file))

    assert joined.status_code == 201, joined.text
    file.assert_arrived(stack, joined.headers["Dropbell-File-Id"])
    state = alice.send("HEAD", joined.headers["Location"], tus_resumable="1.0.0")
    assert state.headers["Upload-Concat"] == concat


@pytest.mark.parametrize("override", [False, True])
def test_an_upload_that_was_given_up_is_gone(alice: Uploader, file: SentFile, override: bool) -> None:
    url = alice.begin(len(file.content))
    alice.append(url, 0, file.content[:HALF])

    if override:
        ended = alice.send("POST", url, tus_resumable="1.0.0", x_http_method_override="DELETE")
    else:
        ended = alice.send("DELETE", url, tus_resumable="1.0.0")

    assert ended.status_code == 204
    assert alice.append(url, HALF, file.content[HALF:]).status_code in {404, 410}
    assert alice.send("HEAD", url, tus_resumable="1.0.0").status_code in {404, 410}
