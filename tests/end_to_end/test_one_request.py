"""One request, one file, with curl over the whole stack: forms, digests, idempotency keys."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CLIENTS = 20


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["type"]).rpartition("/")[2]

    @property
    def is_replay(self) -> bool:
        return self.headers.get("idempotent-replayed") == "true"


def curl(stack: RunningStack, *arguments: str, user: str = "alice") -> Answer:
    """POST to ``/files`` with the binary that people have."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--include",
        "--max-time",
        str(HTTP_TIMEOUT_SECONDS),
        "--header",
        f"Authorization: Bearer {stack.token(user=user)}",
        "--header",
        "Expect:",
        *arguments,
        stack.url("/files"),
    ]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own command
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answer(int(status.split()[1]), headers, json.loads(body))


def digest(content: bytes, algorithm: str = "sha256") -> str:
    made = b64encode(hashlib.new(algorithm, content).digest()).decode()
    return f"{algorithm.replace('sha', 'sha-')}=:{made}:"


def blobs(stack: RunningStack) -> dict[str, int]:
    """All that is stored, what is only staged included."""
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        listed = service.get_container_client("uploads").list_blobs(include=["uncommittedblobs"])
        return {blob.name: blob.size for blob in listed}


@pytest.fixture
def content(tmp_path: Path) -> Path:
    file = tmp_path / "Übersicht 1.bin"
    file.write_bytes(uuid.uuid4().bytes * 1000)
    return file


@pytest.mark.parametrize("size_bytes", [5, 20 * 1024 * 1024 + 1])
def test_a_form_brings_its_file_byte_for_byte(stack: RunningStack, content: Path, size_bytes: int) -> None:
    sent = (content.read_bytes() * (size_bytes // 16_000 + 1))[:size_bytes]
    content.write_bytes(sent)

    answer = curl(
        stack,
        *("--form-string", 'labels={"project": "roof"}'),
        *("--form", f"file=@{content};type=application/x-of-tomorrow"),
    )

    assert answer.status == 201, answer
    file = answer.body
    assert (file["name"], file["content_type"]) == (content.name, "application/x-of-tomorrow")
    assert (file["size_bytes"], file["sha256"]) == (size_bytes, hashlib.sha256(sent).hexdigest())
    assert file["labels"] == {"project": "roof"}
    assert answer.headers["repr-digest"] == digest(sent)
    assert stack.get(f"/files/{file['id']}/content").content == sent


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size_bytes", [16_000, 24_000_000])
def test_a_body_with_its_digest_is_taken_and_with_another_leaves_nothing(
    stack: RunningStack, content: Path, algorithm: str, size_bytes: int
) -> None:
    content.write_bytes(uuid.uuid4().bytes * (size_bytes // 16))
    before, sent = blobs(stack), content.read_bytes()

    def send(of: bytes) -> Answer:
        announced = f"Content-Digest: {digest(of, algorithm)}"
        return curl(stack, "--data-binary", f"@{content}", "--header", announced)

    wrong = send(b"something else")
    assert (wrong.status, wrong.code) == (422, "digest-mismatch")
    assert blobs(stack) == before
    right = send(sent)
    assert (right.status, right.body["sha256"]) == (201, hashlib.sha256(sent).hexdigest())


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("--form", "file=text without a file"), 400, "invalid-form"),
        (("--form", "a=@{file}", "--form", "b=@{file}"), 400, "invalid-form"),
        (("--form", "file=@{file}", "--form", "name=late"), 400, "invalid-form"),
        (("--form", "file=@{file};filename=../x"), 400, "invalid-name"),
        (("--data-binary", "x", "--header", "Content-Type: multipart/form-data"), 400, "invalid-form"),
        (("--data-binary", "@{file}", "--header", "Content-Digest: sha-256=x"), 400, "invalid-digest"),
        (("--data-binary", "@{file}", "--header", "Idempotency-Key: a b"), 400, "invalid-idempotency-key"),
        (
            ("--data-binary", "@{png}", "--header", "Content-Type: application/pdf"),
            415,
            "content-type-mismatch",
        ),
    ],
)
def test_what_cannot_be_a_file_gets_its_problem_and_leaves_nothing(
    stack: RunningStack, content: Path, arguments: tuple[str, ...], status: int, code: str
) -> None:
    before = blobs(stack)
    png = content.with_name("picture.png")
    png.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(13))

    answer = curl(stack, *(each.format(file=content, png=png) for each in arguments))

    assert (answer.status, answer.code) == (status, code)
    assert blobs(stack) == before


def test_a_request_that_is_sent_again_is_answered_again(stack: RunningStack, content: Path) -> None:
    again = ("--data-binary", f"@{content}", "--header", f"Idempotency-Key: {uuid.uuid4()}")

    first, second = curl(stack, *again), curl(stack, *again)
    content.write_bytes(b"other")
    third = curl(stack, *again)

    assert (first.status, first.is_replay) == (201, False)
    assert (second.status, second.is_replay, second.body) == (201, True, first.body)
    for field in ("location", "etag", "repr-digest"):
        assert second.headers[field] == first.headers[field]
    assert (third.status, third.code) == (422, "idempotency-key-reused")


def test_twenty_clients_with_one_key_make_one_file(stack: RunningStack) -> None:
    before = blobs(stack)
    sent = uuid.uuid4().bytes * 100_000
    headers = stack.headers("alice", **{"idempotency-key": str(uuid.uuid4())})

    def send(_: int) -> requests.Response:
        return requests.post(stack.url("/files"), data=sent, headers=headers, timeout=HTTP_TIMEOUT_SECONDS)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send, range(CLIENTS)))

    made = [each for each in answers if each.status_code == 201]
    fresh = [each for each in made if "Idempotent-Replayed" not in each.headers]
    waiting = [each for each in answers if each.status_code == 409]
    assert len(fresh) == 1, [each.status_code for each in answers]
    assert len(made) + len(waiting) == CLIENTS
    assert {each.json()["id"] for each in made} == {fresh[0].json()["id"]}
    for each in waiting:
        assert each.json()["type"].endswith("/request-in-progress")
        assert int(each.headers["Retry-After"]) > 0
    (name,) = blobs(stack).keys() - before.keys()
    assert name.endswith(fresh[0].json()["id"])
    assert stack.get(f"/files/{fresh[0].json()['id']}/content").content == sent
