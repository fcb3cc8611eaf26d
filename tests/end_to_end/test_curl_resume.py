"""curl on its own: a file in one request, and the IETF draft's resumption by hand.

The draft: Resumable Uploads for HTTP, draft-ietf-httpbis-resumable-upload-12; interop version 9.
"""

from __future__ import annotations

import email
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.end_to_end.running_stack import RunningStack

INTEROP_VERSION = ("--header", "upload-draft-interop-version: 9")
PARTIAL_UPLOAD = ("--header", "content-type: application/partial-upload")
TIMEOUT_SECONDS = 30
TIMED_OUT = 28
"""curl's exit code when --max-time is over."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


class Curl:
    """curl, signed in as Alice."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        program = shutil.which("curl")
        assert program is not None, "curl is not installed, or not in PATH."
        self._command = [program, "--silent", "--show-error", "--max-time", str(TIMEOUT_SECONDS)]
        self._command += ["--header", f"authorization: Bearer {stack.token(user='alice')}"]
        self._head, self._body = folder / "head", folder / "body"

    def __call__(self, url: str, *arguments: object, content: bytes | None = None) -> Answer:
        ended = self._run(url, *arguments, content=content)
        assert ended.returncode == 0, ended.stderr
        *_interim, final = self._head.read_bytes().split(b"\r\n\r\n")[:-1]
        status_line, _, fields = final.partition(b"\r\n")
        headers = {name.lower(): value for name, value in email.message_from_bytes(fields).items()}
        return Answer(int(status_line.split()[1]), headers, self._body.read_bytes())

    def cut_off(self, url: str, *arguments: object, content: bytes, after_seconds: float) -> None:
        """Send slowly and end the connection before all is sent."""
        limits = ("--limit-rate", len(content) // 2, "--max-time", after_seconds)
        assert self._run(url, *limits, *arguments, content=content).returncode == TIMED_OUT

    def _run(self, url: str, *arguments: object, content: bytes | None) -> subprocess.CompletedProcess[bytes]:
        self._body.write_bytes(b"")  # curl makes no file of an empty body
        given = [str(each) for each in arguments]
        if content is not None:
            given += ["--data-binary", "@-"]
        return subprocess.run(  # noqa: S603 - arguments of our own
            [*self._command, "--dump-header", self._head, "--output", self._body, *given, url],
            input=content,
            capture_output=True,
            check=False,
        )


@pytest.fixture
def curl(stack: RunningStack, tmp_path: Path) -> Curl:
    return Curl(stack, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--data-binary", "@{path}", "--header", "content-type: application/octet-stream"),
        ("--request", "POST", "--upload-file", "{path}"),
        ("--request", "POST", "--upload-file", "{path}", "--header", "transfer-encoding: chunked"),
        ("--form", "file=@{path};type=application/octet-stream"),
    ],
    ids=["data", "streamed", "chunked", "form"],
)
def test_one_request(stack: RunningStack, curl: Curl, file: SentFile, arguments: tuple[str, ...]) -> None:
    disposition = f'content-disposition: attachment; filename="{file.path.name}"'
    named = () if "--form" in arguments else ("--header", disposition)

    answer = curl(stack.url("/files"), *(each.format(path=file.path) for each in arguments), *named)

    assert answer.status == 201, answer.body
    file.assert_arrived(stack, answer.json()["id"])


def begin(stack: RunningStack, curl: Curl, file: SentFile, first: bytes) -> str:
    """Create an upload that is to be continued; its address."""
    answer = curl(
        stack.url("/uploads"),
        *INTEROP_VERSION,
        *("--header", "upload-complete: ?0"),
        *("--header", f"upload-length: {len(file.content)}"),
        *("--header", f'content-disposition: attachment; filename="{file.path.name}"'),
        *("--header", "content-type: application/octet-stream"),
        content=first,
    )
    assert answer.status == 201, answer.body
    assert answer.headers["upload-complete"] == "?0"
    return urljoin(stack.url("/uploads"), answer.headers["location"])


def offset(curl: Curl, url: str) -> int:
    answer = curl(url, "--head", *INTEROP_VERSION)
    assert answer.status in {200, 204}
    assert answer.headers["upload-complete"] == "?0"
    assert "no-store" in answer.headers["cache-control"]
    return int(answer.headers["upload-offset"])


def appending(at: int, *, complete: bool) -> tuple[str, ...]:
    """curl's arguments for a PATCH."""
    return (
        *("--request", "PATCH", *INTEROP_VERSION, *PARTIAL_UPLOAD),
        *("--header", f"upload-offset: {at}", "--header", f"upload-complete: ?{int(complete)}"),
    )


def finish(stack: RunningStack, curl: Curl, file: SentFile, url: str, at: int) -> None:
    answer = curl(url, *appending(at, complete=True), content=file.content[at:])
    assert answer.status in {200, 201}, answer.body
    assert answer.headers["upload-complete"] == "?1"
    file.assert_arrived(stack, answer.headers["dropbell-file-id"])


def test_an_upload_in_two_parts(stack: RunningStack, curl: Curl, file: SentFile) -> None:
    half = len(file.content) // 2

    url = begin(stack, curl, file, file.content[:half])

    assert offset(curl, url) == half
    finish(stack, curl, file, url, half)


def test_an_upload_in_many_parts(stack: RunningStack, curl: Curl, file: SentFile) -> None:
    url = begin(stack, curl, file, b"")
    at = 0
    for size in (1, MEBIBYTE - 1, 5 * MEBIBYTE + 7):
        answer = curl(url, *appending(at, complete=False), content=file.content[at : at + size])
        assert answer.status in {200, 204}, answer.body
        assert answer.headers["upload-complete"] == "?0"
        at += size
    finish(stack, curl, file, url, at)


def test_an_upload_that_was_cut_off_goes_on_where_it_ended(
    stack: RunningStack, curl: Curl, file: SentFile
) -> None:
    url = begin(stack, curl, file, b"")
    curl.cut_off(url, *appending(0, complete=True), content=file.content, after_seconds=1.2)

    at = offset(curl, url)

    assert 0 < at < len(file.content)
    finish(stack, curl, file, url, at)


def test_another_offset_than_the_server_s_is_refused_with_the_right_one(
    stack: RunningStack, curl: Curl, file: SentFile
) -> None:
    url = begin(stack, curl, file, file.content[:MEBIBYTE])

    answer = curl(url, *appending(2 * MEBIBYTE, complete=True), content=file.content[2 * MEBIBYTE :])

    assert answer.status == 409
    assert answer.headers["upload-offset"] == str(MEBIBYTE)
    assert answer.headers["upload-complete"] == "?0"
    problem = answer.json()
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    assert (problem["expected-offset"], problem["provided-offset"]) == (MEBIBYTE, 2 * MEBIBYTE)
    finish(stack, curl, file, url, MEBIBYTE)


def test_a_cancelled_upload_is_gone(stack: RunningStack, curl: Curl, file: SentFile) -> None:
    url = begin(stack, curl, file, file.content[:MEBIBYTE])

    assert curl(url, "--request", "DELETE", *INTEROP_VERSION).status == 204

    assert curl(url, "--head", *INTEROP_VERSION).status in {404, 410}
