"""Bytes that go straight to Blob Storage: what is published of them, and what never is."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until

CONTENT_TYPE = "audio/x-bell"
CONTENT = b"ding dong\n" + os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PROBLEMS = "/api/problems/"


def ask(stack: RunningStack, *, user: str = "alice", **changes: Any) -> dict[str, Any]:
    wish: dict[str, Any] = {
        "name": "bell.bin",
        "content_type": CONTENT_TYPE,
        "size_bytes": len(CONTENT),
    } | changes
    answer = requests.post(
        stack.url("/direct-uploads"), json=wish, headers=stack.headers(user), timeout=HTTP_TIMEOUT_SECONDS
    )
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def send(told: dict[str, Any], content: bytes = CONTENT) -> requests.Response:
    return requests.request(
        told["method"],
        told["upload_url"],
        headers=told["headers"],
        data=content,
        timeout=HTTP_TIMEOUT_SECONDS,
    )


def complete(stack: RunningStack, told: dict[str, Any], *, user: str = "alice") -> requests.Response:
    return requests.post(told["complete_url"], headers=stack.headers(user), timeout=HTTP_TIMEOUT_SECONDS)


def content_of(stack: RunningStack, told: dict[str, Any]) -> bytes:
    answer = stack.get(f"/files/{told['id']}/content")
    assert answer.status_code == 200, answer.text
    return answer.content


def blob_names(stack: RunningStack, told: dict[str, Any]) -> list[str]:
    """The blobs that hold bytes of the upload."""
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        names = [blob.name for blob in service.get_container_client("uploads").list_blobs()]
    return [name for name in names if name.endswith(told["id"])]


def test_bytes_sent_to_the_url_are_a_file_once_the_client_says_so(stack: RunningStack) -> None:
    told = ask(stack, sha256=SHA256)
    assert complete(stack, told).json()["type"] == f"{PROBLEMS}not-uploaded"
    assert send(told).status_code == 201

    answer = complete(stack, told)

    assert answer.status_code == 200, answer.text
    file = answer.json()
    assert (file["id"], file["sha256"], file["size_bytes"]) == (told["id"], SHA256, len(CONTENT))
    assert file["content_type"] == CONTENT_TYPE
    assert answer.headers["ETag"] == file["etag"]
    assert content_of(stack, told) == CONTENT
    assert complete(stack, told).json()["sha256"] == SHA256
    (name,) = blob_names(stack, told)
    assert not name.startswith("incoming/")


def test_the_blob_trigger_finishes_it_and_tells_subscribers_once(stack: RunningStack) -> None:
    hook = f"direct-{os.urandom(4).hex()}"
    subscription = stack.subscribe(hook, user="bob")
    told = ask(stack, user="bob")
    assert send(told).status_code == 201

    wait_until(lambda: stack.get(f"/files/{told['id']}", user="bob").ok, timeout_seconds=20)

    assert complete(stack, told, user="bob").json()["sha256"] == SHA256
    (message,) = stack.messages(hook)
    assert message["json"]["subject"] == told["id"]
    wait_until(
        lambda: stack.get(f"/files/{told['id']}", user="bob").json()["status"] == "settled",
        timeout_seconds=20,
    )
    deliveries = stack.get(f"/files/{told['id']}/deliveries", user="bob").json()["items"]
    assert [item["subscription_id"] for item in deliveries].count(subscription["id"]) == 1


def test_said_by_many_at_once_it_is_one_file(stack: RunningStack) -> None:
    headers = stack.headers()
    told = ask(stack, sha256=SHA256)
    assert send(told).status_code == 201  # the blob trigger begins, too

    def say(_: int) -> requests.Response:
        return requests.post(told["complete_url"], headers=headers, timeout=HTTP_TIMEOUT_SECONDS)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(say, range(16)))

    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert {answer.json()["sha256"] for answer in answers} == {SHA256}
    assert content_of(stack, told) == CONTENT


def test_a_large_file_goes_in_blocks_as_the_answer_says(stack: RunningStack) -> None:
    parts = [os.urandom(300_000), os.urandom(300_000), os.urandom(17)]
    told = ask(stack, size_bytes=sum(map(len, parts)))
    steps = told["in_blocks"]
    block_ids = [base64.b64encode(f"{number:08}".encode()).decode() for number in range(len(parts))]
    for block_id, part in zip(block_ids, parts, strict=True):
        url = steps["block_url"].replace("{block_id}", quote(block_id, safe=""))
        assert requests.put(url, data=part, timeout=HTTP_TIMEOUT_SECONDS).status_code == 201
    listed = "".join(f"<Latest>{block_id}</Latest>" for block_id in block_ids)
    committed = requests.put(
        steps["commit_url"],
        data=f"<BlockList>{listed}</BlockList>",
        headers=steps["commit_headers"],
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    assert committed.status_code == 201, committed.text

    assert complete(stack, told).status_code == 200

    assert content_of(stack, told) == b"".join(parts)


@pytest.mark.parametrize(
    ("changes", "content", "status", "problem"),
    [
        ({}, CONTENT[:-1], 422, "size-mismatch"),
        ({"sha256": SHA256}, CONTENT[:-1] + b"?", 422, "digest-mismatch"),
        ({"content_type": "image/png"}, b"%PDF-1.7\n" + CONTENT[9:], 415, None),
    ],
)
def test_other_content_than_announced_is_never_seen(
    stack: RunningStack, changes: dict[str, Any], content: bytes, status: int, problem: str | None
) -> None:
    told = ask(stack, **changes)
    assert send(told, content).status_code == 201

    for _ in range(2):
        answer = complete(stack, told)
        assert answer.status_code == status, answer.text
        assert problem is None or answer.json()["type"] == PROBLEMS + problem

    assert stack.get(f"/files/{told['id']}").json()["status"] == "rejected"
    assert not stack.get(f"/files/{told['id']}/content").ok
    wait_until(lambda: not blob_names(stack, told), timeout_seconds=10)


def test_writing_again_after_publication_does_not_change_the_file(stack: RunningStack) -> None:
    told = ask(stack)
    assert send(told).status_code == 201
    assert complete(stack, told).status_code == 200

    assert send(told, CONTENT[::-1]).status_code == 201  # the URL still lives

    assert complete(stack, told).json()["sha256"] == SHA256
    assert content_of(stack, told) == CONTENT
    wait_until(lambda: len(blob_names(stack, told)) == 1, timeout_seconds=20)  # what was written again goes


def test_the_url_lets_nobody_read_list_delete_or_write_elsewhere(stack: RunningStack) -> None:
    told = ask(stack)
    url = told["upload_url"]
    another = url.replace(told["id"], ask(stack)["id"])
    container = re.sub(r"/incoming/[^?]+", "", url) + "&restype=container&comp=list"

    assert send(told | {"upload_url": another}).status_code == 403
    assert requests.get(container, timeout=HTTP_TIMEOUT_SECONDS).status_code == 403
    assert send(told).status_code == 201
    for method in ("GET", "HEAD", "DELETE"):
        assert requests.request(method, url, timeout=HTTP_TIMEOUT_SECONDS).status_code in {403, 404}


def test_another_user_cannot_complete_it(stack: RunningStack) -> None:
    told = ask(stack)

    answer = complete(stack, told, user="bob")

    assert (answer.status_code, answer.json()["type"]) == (404, f"{PROBLEMS}not-found")


def test_a_page_in_a_browser_may_ask_for_leave(stack: RunningStack) -> None:
    answer = requests.options(
        stack.url("/direct-uploads"),
        headers={
            "Origin": "http://localhost:5173",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert answer.status_code == 204, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
