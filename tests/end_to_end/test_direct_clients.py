"""Bytes that go straight to the blob: with the storage SDK, and with curl as the answer says."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, ContentSettings

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    type Upload = Callable[[Mapping[str, Any], SentFile], None]

CONTENT_TYPE = "application/octet-stream"


def by_the_sdk(told: Mapping[str, Any], file: SentFile) -> None:
    """In several blocks."""
    with BlobClient.from_blob_url(
        told["upload_url"], max_single_put_size=MEBIBYTE, max_block_size=4 * MEBIBYTE
    ) as blob:
        blob.upload_blob(file.content, content_settings=ContentSettings(content_type=CONTENT_TYPE))


def by_curl(told: Mapping[str, Any], file: SentFile) -> None:
    program = shutil.which("curl")
    assert program is not None, "curl is not installed, or not in PATH."
    headers = [part for name, value in told["headers"].items() for part in ("--header", f"{name}: {value}")]
    command = [program, "--silent", "--show-error", "--fail-with-body", "--max-time", "30"]
    command += ["--request", told["method"], *headers, "--upload-file", str(file.path), told["upload_url"]]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert ended.returncode == 0, ended.stdout + ended.stderr


WAYS = pytest.mark.parametrize("upload", [by_the_sdk, by_curl])


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path, name="Glöckchen ✓.bin")


def ask(stack: RunningStack, file: SentFile, **more: str) -> dict[str, Any]:
    """Where to send the file."""
    name, size_bytes = file.path.name, len(file.content)
    answer = requests.post(
        stack.url("/direct-uploads"),
        json={"name": name, "content_type": CONTENT_TYPE, "size_bytes": size_bytes, **more},
        headers=stack.headers(),
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    assert told.keys() >= {"id", "upload_url", "method", "headers", "expires_at", "complete_url"}
    assert stack.get(f"/files/{told['id']}").status_code == 404  # nothing is to be seen of it yet
    return told


def complete(stack: RunningStack, told: Mapping[str, Any]) -> requests.Response:
    url = urljoin(stack.url("/"), told["complete_url"])
    return requests.post(url, headers=stack.headers(), timeout=HTTP_TIMEOUT_SECONDS)


@WAYS
def test_the_client_says_when_it_is_done(stack: RunningStack, file: SentFile, upload: Upload) -> None:
    told = ask(stack, file, sha256=file.sha256)
    upload(told, file)

    answer = complete(stack, told)

    assert answer.status_code in {200, 201}, answer.text
    assert answer.json()["id"] == told["id"]
    file.assert_arrived(stack, told["id"])


@WAYS
def test_the_blob_itself_says_when_it_is_there(stack: RunningStack, file: SentFile, upload: Upload) -> None:
    told = ask(stack, file)
    upload(told, file)

    wait_until(lambda: stack.get(f"/files/{told['id']}").ok, timeout_seconds=20)

    file.assert_arrived(stack, told["id"])
    assert complete(stack, told).status_code in {200, 201}  # said late, but not wrong


def test_other_bytes_than_announced_are_not_published(stack: RunningStack, file: SentFile) -> None:
    told = ask(stack, file, sha256="0" * 64)
    by_the_sdk(told, file)

    assert not complete(stack, told).ok

    assert not stack.get(f"/files/{told['id']}/content").ok


def test_the_address_is_good_for_nothing_but_writing_that_blob(stack: RunningStack, file: SentFile) -> None:
    told = ask(stack, file)
    by_the_sdk(told, file)

    with BlobClient.from_blob_url(told["upload_url"]) as blob:
        for forbidden in (blob.download_blob, blob.get_blob_properties, blob.delete_blob):
            with pytest.raises(HttpResponseError) as refused:
                forbidden()
            assert refused.value.status_code == 403
    another = told["upload_url"].replace(told["id"], told["id"][::-1])
    with BlobClient.from_blob_url(another) as blob, pytest.raises(HttpResponseError) as refused:
        blob.upload_blob(b"x")
    assert refused.value.status_code == 403
