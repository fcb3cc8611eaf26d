from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from tests.unit.identity import forge
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import BOB, MAX_FILE_BYTES, Portal, bearer


async def test_an_upload_is_answered_with_the_file_its_place_and_its_tag() -> None:
    portal = Portal()
    response = await portal.upload(
        b"hel",
        b"lo",
        content_type="text/plain; charset=utf-8",
        content_length="5",
        content_disposition="attachment; filename*=UTF-8''%e2%82%ac.txt",
        x_correlation_id="my-upload.1",
        traceparent=f"00-{'1' * 32}-{'2' * 16}-00",
    )
    file = body_of(response)
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/files/{file['id']}"
    assert response.headers["etag"] == file["etag"]
    assert re.fullmatch(r'"[0-9a-f]{12}\.[0-9a-f]{20}"', file["etag"])
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert file | {"id": "", "etag": ""} == {
        "id": "",
        "etag": "",
        "name": "€.txt",
        "content_type": "text/plain; charset=utf-8",
        "size_bytes": 5,
        "sha256": hashlib.sha256(b"hello").hexdigest(),
        "status": "stored",
        "labels": {},
        "created_at": "2026-03-01T12:00:00.000Z",
        "stored_at": "2026-03-01T12:00:00.000Z",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "announced_at": None,
        "settled_at": None,
        "expires_at": None,
        "deleted_at": None,
        "reason": None,
        "trace_id": "1" * 32,
        "correlation_id": "my-upload.1",
    }


async def test_what_was_uploaded_can_be_read_by_its_owner() -> None:
    portal = Portal()
    made = body_of(await portal.upload(b"hello"))
    response = await portal.app.answer(
        "get_file", request(headers=bearer(scopes="Files.Read"), file_id=made["id"])
    )
    assert response.status_code == 200
    told = body_of(response)
    assert not any(told.pop("deliveries").values())
    assert told == made
    assert response.headers["etag"] == made["etag"]
    assert (made["name"], made["content_type"]) == ("unnamed", "application/octet-stream")


async def test_the_tag_changes_with_the_file() -> None:
    portal = Portal()
    made = body_of(await portal.upload(b"hello"))
    (name,) = portal.blobs.contents
    await portal.app.announce(name)
    now = body_of(await portal.app.answer("get_file", request(headers=bearer(), file_id=made["id"])))
    assert now["status"] == "settled"
    assert now["etag"] != made["etag"]


@pytest.mark.parametrize("route", ["get_file", "list_deliveries"])
@pytest.mark.parametrize("whose", ["another's", "nobody's", "malformed"])
async def test_anothers_file_and_no_file_look_the_same(route: str, whose: str) -> None:
    portal = Portal()
    made = body_of(await portal.upload(b"hello"))
    file_id = {"another's": made["id"], "nobody's": made["id"][:-1] + "_", "malformed": "../x"}[whose]
    caller = bearer(user=BOB) if whose == "another's" else bearer()
    response = await portal.app.answer(route, request(headers=caller, file_id=file_id))
    assert response.status_code == 404
    assert body_of(response)["detail"] == "You have no file of this id."


@pytest.mark.parametrize(
    ("parts", "headers", "status", "code"),
    [
        ((), {}, 400, "body-missing"),
        ((b"",), {"content_length": "0"}, 400, "body-missing"),
        ((b"x",), {"content_length": "-1"}, 400, "invalid-request"),
        ((b"x",), {"content_length": "one"}, 400, "invalid-request"),
        ((b"x",), {"content_length": "1, 1"}, 400, "invalid-request"),
        ((b"x",), {"content_length": "\xb9"}, 400, "invalid-request"),
        ((b"x",), {"content_length": str(MAX_FILE_BYTES + 1)}, 413, "too-large"),
        ((b"x" * MAX_FILE_BYTES, b"x"), {}, 413, "too-large"),
        ((b"x",), {"content_length": "2"}, 400, "upload-incomplete"),
        ((b"x",), {"content_disposition": 'attachment; filename="../x"'}, 400, "invalid-name"),
        ((b"x",), {"content_type": "nonsense"}, 415, "unsupported-media-type"),
        ((b"x",), {"content_type": "multipart/form-data; boundary=x"}, 400, "invalid-form"),
    ],
)
async def test_a_bad_upload_gets_its_problem_and_leaves_nothing(
    parts: tuple[bytes, ...], headers: dict[str, str], status: int, code: str
) -> None:
    portal = Portal()
    response = await portal.upload(*parts, hangs_up=False, **headers)
    problem = body_of(response)
    assert (response.status_code, problem["type"]) == (status, f"/api/problems/{code}")
    assert not portal.blobs.contents
    assert not portal.tables.rows


async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing() -> None:
    portal = Portal()
    response = await portal.upload(b"hel", hangs_up=True, content_length="5")
    assert response.status_code == 400
    assert body_of(response)["type"] == "/api/problems/upload-incomplete"
    assert not portal.blobs.contents
    assert not portal.tables.rows


async def test_deliveries_tell_who_was_told_and_how_it_went() -> None:
    portal = Portal()
    made = await portal.subscribe(b'{"channel": "webhook", "target": "http://127.0.0.1:9/hook"}')
    file = body_of(await portal.upload(b"hello"))
    (name,) = portal.blobs.contents
    await portal.app.announce(name)
    await portal.app.deliver(portal.queue.messages[0].body, enqueued_at=forge.NOW)
    response = await portal.app.answer(
        "list_deliveries", request(headers=bearer(scopes="Deliveries.Read"), file_id=file["id"])
    )
    listed: dict[str, Any] = body_of(response)
    (delivery,) = listed["items"]
    assert listed["next_cursor"] is None
    assert (delivery["status"], delivery["reason"], delivery["next_attempt_at"]) == ("delivered", None, None)
    assert (delivery["file_id"], delivery["subscription_id"]) == (file["id"], body_of(made)["id"])
    assert delivery["attempts"] == [
        {
            "number": 1,
            "started_at": "2026-03-01T12:00:00.000Z",
            "duration_ms": 0,
            "outcome": "delivered",
            "status_code": 200,
            "detail": "accepted by the target",
        }
    ]
    assert delivery["queued_at"] == delivery["settled_at"] == "2026-03-01T12:00:00.000Z"
