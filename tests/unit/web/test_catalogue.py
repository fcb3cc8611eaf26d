from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.files import file as files
from shared.files.file import FileStatus
from shared.ports import Insert, Replace
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of
from tests.unit.web.shelf import MERGE_PATCH, Shelf


async def shelf_of(count: int) -> Shelf:
    shelf = Shelf()
    for number in range(count):
        made_at = sample.NOW + timedelta(seconds=number)
        file = sample.file(id=files.new_file_id(made_at), accepted_at=made_at, name=f"{number}.txt")
        await shelf.memory.apply([Insert(files.to_entity(file))])
    return shelf


async def shelf_with_file(**changes: Any) -> tuple[Shelf, str]:
    shelf = Shelf()
    await shelf.put(**changes)
    return shelf, (await shelf.get()).headers["etag"]


async def settle(shelf: Shelf) -> None:
    """What a worker does to the row when the last delivery has settled."""
    file = await shelf.row()
    for status in (FileStatus.ANNOUNCED, FileStatus.SETTLED):
        file = file.moved_to(status, shelf.clock.now())
    await shelf.memory.apply([Replace(files.to_entity(file))])


async def test_cursors_lead_through_all_files_once() -> None:
    shelf = await shelf_of(5)
    told: list[str] = []
    query = "limit=2"
    for _ in range(3):
        page = body_of(await shelf.list_files(query))
        told += [file["name"] for file in page["items"]]
        query = f"limit=2&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert told == ["4.txt", "3.txt", "2.txt", "1.txt", "0.txt"]


async def test_an_owner_sees_nobody_elses_files() -> None:
    shelf = await shelf_of(3)
    assert body_of(await shelf.list_files(owner="f" * 32)) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "how"),
    [
        ("name_prefix=1&cursor={}", {}),
        ("status=deleted&cursor={}", {}),
        ("cursor={}", {"owner": "f" * 32}),
        ("cursor=x{}", {}),
        ("cursor={}x", {}),
        ("cursor=%C3%A9", {}),
        ("cursor=", {}),
    ],
)
async def test_a_cursor_is_good_for_its_own_list_only(query: str, how: dict[str, str]) -> None:
    shelf = await shelf_of(3)
    cursor = body_of(await shelf.list_files("limit=1"))["next_cursor"]
    assert (await shelf.list_files(f"cursor={cursor}")).status_code == 200
    response = await shelf.list_files(query.format(cursor), **how)
    assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-cursor")


async def test_a_cursor_that_was_cut_or_changed_is_refused() -> None:
    shelf = await shelf_of(3)
    cursor = body_of(await shelf.list_files("limit=1"))["next_cursor"]
    for position in range(0, len(cursor), 7):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        assert (await shelf.list_files(f"cursor={changed}")).status_code == 400
        assert (await shelf.list_files(f"cursor={cursor[:position]}")).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1.0",
        "limit=%D9%A1",
        "limit=",
        "limit=1&limit=2",
        "limit=" + "9" * 5000,
        "status=",
        "status=new",
        "status=stored,",
        "content_type=png",
        "content_type=*/png",
        "content_type=a/b;c=d",
        "name_prefix=" + "x" * 256,
        "created_after=2026-03-01",
        "created_after=2026-03-01T12:00:00",
        "created_before=2026-13-01T12:00:00Z",
        "created_before=0001-01-01T00:00:00%2B23:59",
        "created_before=1772366400",
        "nme_prefix=x",
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused_by_name(query: str) -> None:
    response = await Shelf().list_files(query)
    problem = body_of(response)
    assert (response.status_code, problem["type"]) == (400, "/api/problems/invalid-query")
    assert query.partition("=")[0] in problem["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=stored&status=deleted", 3),
        ("status=stored,settled", 3),
        ("status=deleted", 0),
        ("name_prefix=1", 1),
        ("name_prefix=", 3),
        ("content_type=application/*", 3),
        ("content_type=IMAGE/png", 0),
        ("created_after=2026-03-01T12:00:00%2B00:00", 2),
        ("created_after=2026-03-01T12:00:00+00:00", 2),
        ("created_before=2026-03-01t14:00:01.000%2B02:00", 1),
    ],
)
async def test_filters_narrow_the_list(query: str, expected: int) -> None:
    shelf = await shelf_of(3)
    assert len(body_of(await shelf.list_files(query))["items"]) == expected


async def test_a_file_is_told_with_its_deliveries() -> None:
    shelf, empty = await shelf_with_file(labels={"a": "1"}, expires_at=sample.NOW + timedelta(days=1))
    await sample.insert(shelf.memory, sample.delivery(1), sample.delivery(2))
    response = await shelf.get()
    file = body_of(response)
    assert file["deliveries"] == {
        "queued": 2,
        "delivering": 0,
        "retrying": 0,
        "delivered": 0,
        "dead": 0,
        "suppressed": 0,
    }
    assert (file["labels"], file["expires_at"]) == ({"a": "1"}, "2026-03-02T12:00:00.000Z")
    assert response.headers["etag"] == file["etag"] != empty
    assert response.headers["cache-control"] == "private, no-cache"


async def test_a_client_that_has_the_file_as_it_is_gets_no_body() -> None:
    shelf, tag = await shelf_with_file()
    response = await shelf.get(headers={"if-none-match": tag})
    assert (response.status_code, response.body, response.headers["etag"]) == (304, b"", tag)
    await settle(shelf)
    assert (await shelf.get(headers={"if-none-match": tag})).status_code == 200


async def test_a_client_is_told_of_progress_that_the_row_does_not_show() -> None:
    shelf, tag = await shelf_with_file()
    await sample.insert(shelf.memory, sample.delivery(1))
    assert (await shelf.get(headers={"if-none-match": tag})).status_code == 200


async def test_a_rejected_file_says_why() -> None:
    shelf, _ = await shelf_with_file(status=FileStatus.REJECTED, reason="digest-mismatch: It differs.")
    file = body_of(await shelf.get())
    assert (file["status"], file["reason"]) == ("rejected", "digest-mismatch: It differs.")


@pytest.mark.parametrize("file_id", ["x", sample.FILE_ID.upper(), "../", sample.FILE_ID[:-1] + "2"])
async def test_an_id_that_is_none_is_not_found(file_id: str) -> None:
    shelf, _ = await shelf_with_file()
    for response in (await shelf.get(file_id), await shelf.delete(file_id=file_id)):
        assert response.status_code == 404


async def test_a_patch_changes_what_it_names() -> None:
    shelf, tag = await shelf_with_file(labels={"a": "1", "b": "2"})
    patch = {"name": "  new.pdf", "labels": {"a": None, "c": "3"}, "expires_at": "2026-03-01T14:00:00+01:00"}
    response = await shelf.patch(json.dumps(patch).encode(), if_match=tag)
    file = body_of(response)
    assert response.status_code == 200
    assert (file["name"], file["labels"]) == ("new.pdf", {"b": "2", "c": "3"})
    assert file["expires_at"] == "2026-03-01T13:00:00.000Z"
    assert response.headers["etag"] == file["etag"] != tag
    assert body_of(await shelf.get()) == file


async def test_null_removes_what_can_be_removed() -> None:
    shelf, _ = await shelf_with_file(labels={"a": "1"}, expires_at=sample.NOW + timedelta(days=1))
    file = body_of(await shelf.patch(b'{"labels": null, "expires_at": null}', if_match="*"))
    assert (file["labels"], file["expires_at"]) == ({}, None)


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b'{"name": null}', "invalid-body", "name"),
        (b'{"name": 7}', "invalid-body", "name"),
        (b'{"name": ""}', "invalid-name", "name"),
        (b'{"name": "a/b"}', "invalid-name", "name"),
        (b'{"labels": []}', "invalid-body", "labels"),
        (b'{"labels": {"a": 1}}', "invalid-body", "labels.a"),
        (b'{"labels": {"A": "1"}}', "invalid-body", "labels.A"),
        (b'{"labels": {"a": "\\ud800"}}', "invalid-body", "body"),
        (b'{"expires_at": "2026-03-01T12:00:00Z"}', "invalid-body", "expires_at"),
        (b'{"expires_at": "2036-03-03T12:00:00Z"}', "invalid-body", "expires_at"),
        (b'{"expires_at": "2027-01-01T00:00:00"}', "invalid-body", "expires_at"),
        (b'{"expires_at": 1900000000}', "invalid-body", "expires_at"),
        (b'{"size_bytes": 1}', "invalid-body", "size_bytes"),
        (b'{"status": "deleted"}', "invalid-body", "status"),
        (b'[{"op": "remove", "path": "/name"}]', "invalid-body", "body"),
        (b"null", "invalid-body", "body"),
        (b"", "invalid-body", "body"),
        (b"{" * 1000, "invalid-body", "body"),
        (b'{"name": "\xff"}', "invalid-body", "body"),
    ],
)
async def test_a_patch_that_cannot_be_taken_changes_nothing(body: bytes, code: str, named: str) -> None:
    shelf, tag = await shelf_with_file()
    response = await shelf.patch(body, if_match=tag)
    problem = body_of(response)
    assert (response.status_code, problem["type"]) == (400, f"/api/problems/{code}")
    assert named in problem["detail"]
    assert (await shelf.get()).headers["etag"] == tag


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (MERGE_PATCH, 428),
        (MERGE_PATCH | {"if-match": '"old"'}, 412),
        (MERGE_PATCH | {"if-match": "old"}, 400),
        (MERGE_PATCH | {"if-match": "*"}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": "*", "content-type": "application/json; charset=utf-8"}, 200),
        ({"if-match": "*", "content-type": "application/json-patch+json"}, 415),
    ],
)
async def test_a_patch_must_say_what_it_changes_and_how(headers: dict[str, str], status: int) -> None:
    shelf, _ = await shelf_with_file()
    response = await shelf.patch(b'{"name": "new"}', headers=headers)
    assert response.status_code == status
    if status == 415:
        assert response.headers["accept-patch"].startswith("application/merge-patch+json")


async def test_the_loser_of_two_editors_is_told_what_to_do() -> None:
    shelf, tag = await shelf_with_file()
    answers = await asyncio.gather(
        shelf.patch(b'{"name": "mine"}', if_match=tag), shelf.patch(b'{"name": "yours"}', if_match=tag)
    )
    won, lost = sorted(answers, key=lambda response: response.status_code)
    assert (won.status_code, lost.status_code) == (200, 412)
    assert body_of(lost)["detail"] == "Changed by someone else; reload it and try again."
    assert (await shelf.row()).name == body_of(won)["name"]


async def test_an_edit_is_not_refused_for_what_workers_do_meanwhile() -> None:
    shelf, tag = await shelf_with_file()
    await settle(shelf)
    file = body_of(await shelf.patch(b'{"name": "new"}', if_match=tag))
    assert (file["name"], file["status"]) == ("new", "settled")


@pytest.mark.parametrize(("if_match", "status"), [(None, 204), ("*", 204), ('"old"', 412), ("old", 400)])
async def test_a_file_is_deleted_if_it_is_the_one_that_is_meant(if_match: str | None, status: int) -> None:
    shelf, tag = await shelf_with_file()
    response = await shelf.delete(headers={"if-match": if_match} if if_match else None)
    assert response.status_code == status
    if status != 204:
        assert (await shelf.delete(headers={"if-match": tag})).status_code == 204


async def test_what_is_deleted_is_not_found_and_listed_when_asked_for() -> None:
    shelf, _ = await shelf_with_file()
    assert (await shelf.delete()).status_code == 204
    again = [await shelf.delete(), await shelf.get(), await shelf.patch(b"{}", if_match="*")]
    assert [response.status_code for response in again] == [404] * 3
    assert body_of(await shelf.list_files())["items"] == []
    (file,) = body_of(await shelf.list_files("status=deleted"))["items"]
    assert (file["status"], file["deleted_at"]) == ("deleted", "2026-03-01T12:00:00.000Z")


async def test_a_purge_leaves_nothing_to_list() -> None:
    shelf, _ = await shelf_with_file()
    assert (await shelf.delete("purge=maybe")).status_code == 400
    assert (await shelf.delete("purge=true")).status_code == 204
    assert body_of(await shelf.list_files("status=deleted"))["items"] == []
    assert not shelf.blobs.contents
