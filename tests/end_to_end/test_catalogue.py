"""The catalogue, the content and share links over the real parts."""

from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import requests
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.end_to_end.running_stack import RunningStack

EDITORS = 4
ROUNDS = 5


def send(
    stack: RunningStack, method: str, path: str, *, user: str = "alice", **how: Any
) -> requests.Response:
    headers = stack.headers(user) | how.pop("headers", {})
    return requests.request(
        method, stack.url(path), headers=headers, timeout=HTTP_TIMEOUT_SECONDS, allow_redirects=False, **how
    )


def upload(stack: RunningStack, content: bytes = b"ring", name: str = "bell.txt") -> dict[str, Any]:
    answer = stack.upload(
        content, content_type="text/plain", content_disposition=f'attachment; filename="{name}"'
    )
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


def patch(stack: RunningStack, file_id: str, tag: str, body: Any, token: dict[str, str]) -> requests.Response:
    return requests.patch(
        stack.url(f"/files/{file_id}"),
        json=body,
        headers=token | {"if-match": tag, "content-type": "application/merge-patch+json"},
        timeout=HTTP_TIMEOUT_SECONDS,
    )


def blob_names(stack: RunningStack) -> list[str]:
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        return [blob.name for blob in service.get_container_client("uploads").list_blobs()]


def test_of_editors_of_the_same_version_one_wins(stack: RunningStack) -> None:
    token = stack.headers()
    file = upload(stack)
    with ThreadPoolExecutor(EDITORS) as editors:
        for turn in range(ROUNDS):
            patches = [
                (stack, file["id"], file["etag"], {"name": f"{turn}-{editor}.txt"}, token)
                for editor in range(EDITORS)
            ]
            answers = list(editors.map(lambda arguments: patch(*arguments), patches))
            assert sorted(answer.status_code for answer in answers) == [200] + [412] * (EDITORS - 1)
            (won,) = [answer for answer in answers if answer.ok]
            (lost, *_) = [answer for answer in answers if not answer.ok]
            assert lost.json()["detail"] == "Changed by someone else; reload it and try again."
            file = stack.get(f"/files/{file['id']}").json()
            assert file["name"] == won.json()["name"]


def test_deliveries_that_go_on_do_not_stop_an_edit(stack: RunningStack) -> None:
    token = stack.headers()
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook)
    for turn in range(3):
        file = upload(stack)
        tag = file["etag"]
        for name in ("first.txt", "second.txt"):  # the row is changed meanwhile by the announcement
            answer = patch(stack, file["id"], tag, {"name": name, "labels": {"turn": str(turn)}}, token)
            assert answer.status_code == 200, answer.text
            tag = answer.headers["ETag"]
        assert stack.settled_delivery(file["id"], subscription["id"])["status"] == "delivered"
        answer = patch(stack, file["id"], tag, {"name": "third.txt"}, token)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["status"], told["labels"]) == ("settled", {"turn": str(turn)})
        assert told["deliveries"]["delivered"] >= 1


def test_a_list_is_paged_from_the_newest_to_the_oldest(stack: RunningStack) -> None:
    prefix = uuid.uuid4().hex
    made = [upload(stack, name=f"{prefix}-{number}.txt")["id"] for number in range(5)]
    told: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        query = {"limit": "2", "name_prefix": prefix, **cursor}
        page = send(stack, "GET", "/files", params=query).json()
        told += [file["id"] for file in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert told == made[::-1]
    query = {"name_prefix": prefix, **cursor}
    assert send(stack, "GET", "/files", params=query, user="bob").status_code == 400
    assert send(stack, "GET", "/files", params={"name_prefix": prefix}, user="bob").json()["items"] == []


def test_what_a_client_has_is_not_sent_again(stack: RunningStack) -> None:
    file = upload(stack)
    for path in (f"/files/{file['id']}", f"/files/{file['id']}/content"):

        def is_not_sent_again(path: str = path) -> bool:
            """In the end: until it is settled, the file goes on changing."""
            tag = send(stack, "GET", path).headers["ETag"]
            again = send(stack, "GET", path, headers={"if-none-match": f'"other", {tag}'})
            return (again.status_code, again.content) == (304, b"")

        wait_until(is_not_sent_again, timeout_seconds=20)


def test_ranges_put_together_are_the_file(stack: RunningStack) -> None:
    content = os.urandom(9 * 1024 * 1024 + 17)
    path = f"/files/{upload(stack, content, 'noise.bin')['id']}/content"
    whole = send(stack, "GET", path)
    assert (whole.status_code, whole.content == content) == (200, True)
    assert whole.headers["Content-Disposition"].startswith("attachment; ")
    tag = whole.headers["ETag"]
    assert tag == f'"{hashlib.sha256(content).hexdigest()}"'
    cuts = [0, 1, 4 * 1024 * 1024, 8 * 1024 * 1024 + 5, len(content)]
    parts = b""
    for first, end in pairwise(cuts):
        headers = {"range": f"bytes={first}-{end - 1}", "if-range": tag}
        part = send(stack, "GET", path, headers=headers)
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(content)}"
        parts += part.content
    assert parts == content
    beyond = send(stack, "GET", path, headers={"range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
    head = send(stack, "HEAD", path)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))


def test_a_redirect_leads_to_the_bytes_without_a_token(stack: RunningStack) -> None:
    file = upload(stack, b"ring ring", "böll.txt".encode().decode("latin-1"))
    answer = send(stack, "GET", f"/files/{file['id']}/content?redirect=true")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "no-store")
    direct = requests.get(answer.headers["Location"], timeout=HTTP_TIMEOUT_SECONDS)
    assert (direct.status_code, direct.content) == (200, b"ring ring")
    assert "filename*=UTF-8''b%C3%B6ll.txt" in direct.headers["Content-Disposition"]


def test_a_share_link_works_for_anybody_until_it_is_revoked(stack: RunningStack) -> None:
    links = f"/files/{upload(stack, b'ring ring')['id']}/share-links"
    assert send(stack, "POST", links, user="bob", json={}).status_code == 404
    made = send(stack, "POST", links, json={"expires_in_seconds": 600})
    assert made.status_code == 201, made.text
    url = made.json()["url"]
    anybody = requests.get(url, headers={"range": "bytes=5-"}, timeout=HTTP_TIMEOUT_SECONDS)
    assert (anybody.status_code, anybody.content) == (206, b"ring")
    assert requests.head(url, timeout=HTTP_TIMEOUT_SECONDS).headers["Content-Length"] == "9"
    assert [link["url"] for link in send(stack, "GET", links).json()["items"]] == [url]
    assert send(stack, "DELETE", f"{links}/{made.json()['id']}").status_code == 204
    revoked = requests.get(url, timeout=HTTP_TIMEOUT_SECONDS)
    assert (revoked.status_code, revoked.json()["type"]) == (410, "/api/problems/share-link-expired")
    made_up = url[:-8] + "AAAAAAAA"
    assert requests.get(made_up, timeout=HTTP_TIMEOUT_SECONDS).status_code == 404


def test_a_deleted_file_is_gone_and_a_purged_one_leaves_no_bytes(stack: RunningStack) -> None:
    file = upload(stack)
    path = f"/files/{file['id']}"
    assert send(stack, "DELETE", path, headers={"if-match": '"stale"'}).status_code == 412
    assert send(stack, "DELETE", path, headers={"if-match": file["etag"]}).status_code == 204
    for method, each in (("DELETE", path), ("GET", path), ("GET", f"{path}/content")):
        assert send(stack, method, each).status_code == 404
    deleted = send(stack, "GET", "/files", params={"status": "deleted"}).json()["items"]
    assert file["id"] in {each["id"] for each in deleted}
    assert any(name.endswith(file["id"]) for name in blob_names(stack))
    assert send(stack, "DELETE", f"{path}?purge=true").status_code == 204
    assert not any(name.endswith(file["id"]) for name in blob_names(stack))


def test_an_expired_file_is_out_of_sight_at_once(stack: RunningStack) -> None:
    token = stack.headers()
    file = upload(stack)
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    answer = patch(stack, file["id"], file["etag"], {"expires_at": soon}, token)
    assert answer.status_code == 200, answer.text

    def has_gone() -> bool:
        return send(stack, "GET", f"/files/{file['id']}/content").status_code == 404

    assert not has_gone()
    wait_until(has_gone, timeout_seconds=5)


def test_an_edit_that_cannot_be_meant_is_refused(stack: RunningStack) -> None:
    token = stack.headers()
    file = upload(stack)
    past = patch(stack, file["id"], file["etag"], {"expires_at": "2020-01-01T00:00:00Z"}, token)
    assert (past.status_code, past.json()["type"]) == (400, "/api/problems/invalid-body")
    unguarded = send(stack, "PATCH", f"/files/{file['id']}", json={"name": "x"})
    assert (unguarded.status_code, unguarded.json()["type"]) == (428, "/api/problems/if-match-missing")
